import pytest
import torch
from torch import nn
from torch.nn import functional as F

from skgen.networks import ACTIVATIONS
from skgen.networks.conv import ConvDecoder, ConvEncoder
from skgen.training.flat import FlatParameters
from tests.contracts.test_networks import assert_equal, assert_parameters_left_alone, by_autograd, traced
from tests.parts import normal

SHAPES = [(1, 8, 8), (1, 5, 7), (3, 8, 8), (1, 1, 5), (2, 7, 1), (1, 1, 1)]
N_CODE = 3

every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
every_kind = pytest.mark.parametrize("kind", [ConvEncoder, ConvDecoder])


def conv(kind, shape=(1, 5, 7), channels=(4, 6), activation="tanh", dropout=0.0, planes=1, dtype=torch.float64):
    """A convolutional network with random parameters in flat buffers, for ``planes`` images on its side of images."""
    n_pixels = planes * shape[0] * shape[1] * shape[2]
    sizes = (n_pixels, N_CODE) if kind is ConvEncoder else (N_CODE, n_pixels)
    network = kind(sizes[0], channels, sizes[1], shape, activation, dropout).to(dtype)
    network.reset(torch.Generator().manual_seed(3))
    FlatParameters(network)
    return network


def convolved(x, convolution, stride=1):
    return F.conv2d(x, convolution.weight, convolution.bias, stride=stride, padding=1)


def test_the_encoder_is_strided_convolutions_with_residual_blocks_and_an_affine_layer(generator):
    network, x = conv(ConvEncoder, (2, 5, 7)), normal(6, 70, generator=generator)
    h = x.view(6, 2, 5, 7)
    for change, residual, shape in zip(network.changes, network.residuals, [(4, 3, 4), (6, 2, 2)], strict=True):
        h = torch.tanh(convolved(h, change, stride=2))
        assert h.shape[1:] == shape
        h = h + convolved(torch.tanh(convolved(h, residual.first)), residual.second)
    expected = h.reshape(6, -1) @ network.last.weight + network.last.bias
    torch.testing.assert_close(network(x), expected)


def test_the_decoder_is_its_mirror_image(generator):
    network, z = conv(ConvDecoder, (2, 5, 7), (6, 4)), normal(6, N_CODE, generator=generator)
    h = (z @ network.first.weight + network.first.bias).view(6, 6, 2, 2)
    for change, residual, size in zip(network.changes, network.residuals, [(3, 4), (5, 7)], strict=True):
        h = torch.tanh(h)
        h = h + convolved(torch.tanh(convolved(h, residual.first)), residual.second)
        h = convolved(nn.Upsample(size)(h), change)
    assert h.shape == (6, 2, 5, 7)
    torch.testing.assert_close(network(z), h.reshape(6, 70))


@pytest.mark.parametrize("kind", [ConvEncoder, ConvDecoder])
def test_without_stages_the_network_is_affine(kind, generator):
    network = conv(kind, channels=())
    x, y = normal(2, 6, network.n_inputs, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(network(0.3 * x + 0.7 * y), 0.3 * network(x) + 0.7 * network(y))


@every_kind
@every_shape
@every_activation
def test_rows_do_not_depend_on_each_other_whatever_the_sides(kind, shape, activation, generator):
    network = conv(kind, shape, activation=activation, planes=2)
    x = normal(2, 3, network.n_inputs, generator=generator)
    with torch.no_grad():
        together = network(x)
        assert together.shape == (2, 3, network.n_outputs)
        alone = torch.cat([network(row[None]) for row in x.flatten(0, 1)])
        torch.testing.assert_close(together.flatten(0, 1), alone, rtol=1e-12, atol=1e-12)


@every_kind
@every_activation
def test_the_tracer_adds_the_gradients_of_autograd(kind, activation, generator):
    network = conv(kind, activation=activation, dropout=0.3)
    x = normal(2, 3, network.n_inputs, generator=generator)
    cotangent = normal(2, 3, network.n_outputs, generator=generator)
    for seed in (None, 1):
        full = traced(network.tracer(), network, x, cotangent, seed)
        assert_equal(full, by_autograd(network, x, cotangent, seed))
        output, none, *gradients = traced(network.tracer(input_gradient=False), network, x, cotangent, seed)
        assert none is None
        assert_equal([output, *gradients], [full[0], *full[2:]])
        assert_parameters_left_alone(network, x, cotangent, full, seed)


@every_kind
def test_low_precision_is_near_the_exact_network(kind, generator):
    network = conv(kind, dtype=torch.float32)
    x = normal(6, network.n_inputs, generator=generator).float()
    cotangent = normal(6, network.n_outputs, generator=generator).float()
    exact = traced(network.tracer(), network, x, cotangent)
    low = traced(network.tracer(low_precision=True), network, x, cotangent)
    assert not torch.equal(low[0], exact[0])
    # Seven layers, each of which rounds two factors and a result by 2^-9 of their size, there and back.
    for a, b in zip(low, exact, strict=True):
        assert a.dtype == torch.float32
        assert torch.linalg.vector_norm(a - b) <= 2 * 7 * 3 * 2.0**-9 * torch.linalg.vector_norm(b)


@every_kind
def test_dropout_masks_come_from_the_generator_and_can_be_shared_by_rows(kind, generator):
    network = conv(kind, dropout=0.5)
    x = normal(1, network.n_inputs, generator=generator).expand(6, -1)
    with torch.no_grad():
        one, same, other = (network(x, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
        assert torch.equal(one, same)
        assert not torch.equal(one, other)
        assert not torch.allclose(one[0], one[1])
        network.shared_masks = True
        shared = network(x, torch.Generator().manual_seed(1))
        torch.testing.assert_close(shared, shared[:1].expand(6, -1))
        assert not torch.allclose(shared, network(x))


@every_kind
def test_reset_draws_from_the_generator_within_torch_s_bounds(kind):
    one, other = conv(kind), conv(kind)
    other.reset(torch.Generator().manual_seed(4))
    for layer in (*one.changes, *(r.first for r in one.residuals), *(r.second for r in one.residuals)):
        bound = (9 * layer.weight.shape[1]) ** -0.5
        assert 0.5 * bound < layer.weight.abs().max() <= bound
    assert not torch.equal(one.changes[0].weight, other.changes[0].weight)
    other.reset(torch.Generator().manual_seed(3))
    for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)


@every_kind
@every_shape
def test_width_is_at_least_what_every_layer_holds(kind, shape, generator):
    network, held = conv(kind, shape), []
    for layer in network.modules():
        layer.register_forward_hook(lambda _, inputs, output: held.append(inputs[0].numel() + output.numel()))
    with torch.no_grad():
        network(normal(1, network.n_inputs, generator=generator))
    assert network.width >= max(held)


def test_inputs_and_outputs_that_are_no_images_are_refused():
    with pytest.raises(ValueError, match=r"image_shape=\(1, 2, 3\) needs a multiple of 6 inputs, got 7"):
        ConvEncoder(7, (4,), 2, (1, 2, 3))
    with pytest.raises(ValueError, match="needs a multiple of 6 outputs of the likelihood, got 8"):
        ConvDecoder(2, (4,), 8, (1, 2, 3))


@pytest.mark.parametrize("decoder", [False, True])
def test_matrices_and_kernels_decay_and_vectors_do_not(decoder):
    network = conv(ConvDecoder if decoder else ConvEncoder)
    flat = FlatParameters(network)
    mask = flat.matrix_mask()
    total = sum(parameter.numel() for parameter in network.parameters() if parameter.dim() > 1)
    assert mask.sum() == total
    decayed, _ = flat.spans()
    for part in decayed:
        flat.value[part] = 0
    for parameter in network.parameters():
        assert bool((parameter == 0).all()) == (parameter.dim() > 1) or parameter is network.bias
