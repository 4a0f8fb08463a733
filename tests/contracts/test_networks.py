"""What every activation in the table and every network keeps."""

import copy

import pytest
import torch

from skgen.networks import (
    ACTIVATIONS,
    MLP,
    ConstantNetwork,
    ConvDecoder,
    ConvEncoder,
    Network,
    RandomFeatureMLP,
    UnitConvDecoder,
    UnitConvEncoder,
    UnitDecoder,
    UnitEncoder,
)
from skgen.training.flat import FlatParameters
from tests.parts import normal

DEPTHS = [(), (5,), (7, 3), (16, 17, 1)]
N_INPUTS, N_OUTPUTS = 6, 12
STEPPED = {"relu", "leaky_relu"}
"""Activations whose derivative is not continuous."""
UNIT_SIZE = 2


def unit_encoder(n_inputs, hidden, n_outputs, *options):
    return UnitEncoder(n_inputs, n_outputs // (2 * UNIT_SIZE), hidden, UNIT_SIZE, *options)


def unit_decoder(n_inputs, hidden, n_outputs, *options):
    return UnitDecoder(n_inputs, n_outputs // (2 * UNIT_SIZE), hidden, n_outputs, *options)


def unit_conv_encoder(n_inputs, channels, n_outputs, *options):
    return UnitConvEncoder(n_inputs, n_outputs // (2 * UNIT_SIZE), channels, UNIT_SIZE, (1, 2, n_inputs // 2), *options)


def unit_conv_decoder(n_inputs, channels, n_outputs, *options):
    return UnitConvDecoder(
        n_inputs, n_outputs // (2 * UNIT_SIZE), channels, n_outputs, (1, 2, n_outputs // 2), *options
    )


LAYERED = {"mlp": MLP, "unit encoder": unit_encoder, "unit decoder": unit_decoder}
CONVOLUTIONAL = {
    "conv encoder": lambda n, channels, m, *options: ConvEncoder(n, channels, m, (1, 2, n // 2), *options),
    "conv decoder": lambda n, channels, m, *options: ConvDecoder(n, channels, m, (1, 2, m // 2), *options),
    "unit conv encoder": unit_conv_encoder,
    "unit conv decoder": unit_conv_decoder,
}
CONSTANT = {"constant": lambda n_inputs, hidden, n_outputs, *options: ConstantNetwork(n_inputs, n_outputs)}
FEATURES = {"random features": lambda n, hidden, m, activation, dropout: RandomFeatureMLP(n, hidden, m, 2, activation)}
KINDS = LAYERED | CONVOLUTIONAL | CONSTANT | FEATURES

every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)
every_depth = pytest.mark.parametrize("hidden", DEPTHS, ids=str)
every_layered = pytest.mark.parametrize("kind", LAYERED)


def networks(depths, convolutional=()):
    """Layered networks with every activation and each of the depths, the constant one, and convolutional ones."""
    cases = [(kind, hidden, activation) for kind in LAYERED for hidden in depths for activation in ACTIVATIONS]
    cases += [(kind, channels, activation) for kind in CONVOLUTIONAL for channels, activation in convolutional]
    cases += [("constant", (), "identity"), ("random features", depths[-1], "silu")]
    return pytest.mark.parametrize(("kind", "hidden", "activation"), cases, ids=str)


every_network = networks(DEPTHS, [((), "tanh"), ((5,), "tanh"), ((4, 3), "gated")])


def network(kind, hidden, activation, dropout=0.0, dtype=torch.float64, n_inputs=N_INPUTS, n_outputs=N_OUTPUTS):
    """A network with random parameters in flat buffers."""
    built = KINDS[kind](n_inputs, hidden, n_outputs, activation, dropout).to(dtype)
    built.reset(torch.Generator().manual_seed(3))
    FlatParameters(built)
    return built


def by_autograd(net, x, cotangent, seed=None):
    """As :func:`traced`, by the default of the base class on a copy whose parameters lie apart."""
    apart = copy.deepcopy(net)
    for parameter in apart.parameters():
        parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
        parameter.grad = torch.zeros_like(parameter)
    return traced(Network.tracer(apart), apart, x, cotangent, seed)


def traced(tracer, net, x, cotangent, seed=None):
    """Output, gradient of the input and gradients of the parameters, these after starting from 0.5."""
    for parameter in net.parameters():
        parameter.grad.fill_(0.5)
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    output, pullback = tracer(x, generator)
    output = output.clone()
    return [output, pullback(cotangent), *(parameter.grad.clone() for parameter in net.parameters())]


def assert_parameters_left_alone(net, x, cotangent, full, seed=None):
    """That tracers without the parameters' gradients give all else that the full one gave."""
    tracer = net.tracer(parameter_gradient=False)
    output, to_x, *gradients = traced(tracer, net, x, cotangent, seed)
    assert_equal([output, to_x], full[:2])
    assert all((gradient == 0.5).all() for gradient in gradients)
    tracer = net.tracer(input_gradient=False, parameter_gradient=False)
    output, none, *gradients = traced(tracer, net, x, cotangent, seed)
    assert_equal([output], full[:1])
    assert none is None
    assert all((gradient == 0.5).all() for gradient in gradients)


def assert_equal(ours, reference):
    for a, b in zip(ours, reference, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@every_activation
def test_activation_maps_gates_to_width_with_the_derivative_of_autograd(activation, generator):
    activation = ACTIVATIONS[activation]
    x = 3 * normal(6, 4 * activation.n_gates, generator=generator)
    leaf = x.clone().requires_grad_()
    expected = activation(leaf)
    cotangent = normal(6, 4, generator=generator)
    given = x.clone()
    value, pullback = activation.trace(given)
    assert value.shape == (6, 4)
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(pullback(cotangent), torch.autograd.grad(expected, leaf, cotangent)[0])
    assert activation.in_place or torch.equal(given, x)


@every_network
@pytest.mark.parametrize("shape", [(1,), (6,), (2, 3)], ids=str)
def test_tracer_equals_autograd_and_adds_to_the_gradients(kind, hidden, activation, shape, generator):
    net = network(kind, hidden, activation)
    x = normal(*shape, N_INPUTS, generator=generator)
    cotangent = normal(*shape, N_OUTPUTS, generator=generator)
    kept = x.clone(), cotangent.clone()
    ours = traced(net.tracer(), net, x, cotangent)
    assert_equal(ours, by_autograd(net, x, cotangent))
    assert ours[0].shape == (*shape, N_OUTPUTS)
    assert torch.equal(x, kept[0])
    assert torch.equal(cotangent, kept[1])


@every_layered
@every_activation
@pytest.mark.parametrize("shape", [(6,), (2, 3)], ids=str)
def test_dropout_draws_the_same_masks_by_hand_and_by_autograd(kind, activation, shape, generator):
    net = network(kind, (8, 5), activation, dropout=0.4)
    x = normal(*shape, N_INPUTS, generator=generator)
    cotangent = normal(*shape, N_OUTPUTS, generator=generator)
    ours = traced(net.tracer(), net, x, cotangent, seed=1)
    assert_equal(ours, by_autograd(net, x, cotangent, seed=1))
    assert not torch.equal(ours[0], traced(net.tracer(), net, x, cotangent, seed=2)[0])
    assert_equal(traced(net.tracer(), net, x, cotangent), by_autograd(net, x, cotangent))


@every_layered
def test_dropout_keeps_a_linear_network_s_mean(kind, generator):
    net = network(kind, (40,), "identity", dropout=0.3)
    x = normal(1, N_INPUTS, generator=generator)
    with torch.no_grad():
        draws = net(x.expand(20000, -1), generator)
        error = draws.std(0) / 20000**0.5
        assert ((draws.mean(0) - net(x)[0]).abs() < 5 * error).all()


@every_network
def test_the_input_gradient_can_be_left_out(kind, hidden, activation, generator):
    net = network(kind, hidden, activation)
    x, cotangent = normal(6, N_INPUTS, generator=generator), normal(6, N_OUTPUTS, generator=generator)
    full = traced(net.tracer(), net, x, cotangent)
    output, none, *gradients = traced(net.tracer(input_gradient=False), net, x, cotangent)
    assert none is None
    assert_equal([output, *gradients], [full[0], *full[2:]])


@every_network
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_parameters_gradients_can_be_left_alone(kind, hidden, activation, dropout, generator):
    net = network(kind, hidden, activation, dropout)
    x, cotangent = normal(6, N_INPUTS, generator=generator), normal(6, N_OUTPUTS, generator=generator)
    full = traced(net.tracer(), net, x, cotangent, seed=1)
    assert_parameters_left_alone(net, x, cotangent, full, seed=1)


@networks([(), (33,), (40, 24)])
def test_low_precision_is_within_the_roundings_of_its_products(kind, hidden, activation, generator):
    net = network(kind, hidden, activation, dtype=torch.float32, n_inputs=30, n_outputs=20)
    x, cotangent = normal(64, 30, generator=generator).float(), normal(64, 20, generator=generator).float()
    ours = traced(net.tracer(low_precision=True), net, x, cotangent)
    exact = traced(net.tracer(), net, x, cotangent)
    # Each product rounds two factors and its result by 2^-9 of their size; there are two a layer, one back.
    # A step in the derivative is missed by a share of units about as large, whose norm is its square root.
    bound = 3 * 2 * (len(hidden) + 1) * 2.0**-9
    bounds = [bound] + [bound**0.5 if activation in STEPPED else bound] * (len(ours) - 1)
    for a, b, limit in zip(ours, exact, bounds, strict=True):
        assert torch.linalg.vector_norm(a - b) <= limit * torch.linalg.vector_norm(b)
        assert a.dtype == torch.float32


@networks([(6,)])
def test_a_tracer_serves_any_number_of_rows_and_sees_new_parameters(kind, hidden, activation, generator):
    net = network(kind, hidden, activation)
    tracer = net.tracer()
    for n_rows in (5, 1, 7, 2, 3, 4, 5):
        x, cotangent = (
            normal(n_rows, N_INPUTS, generator=generator),
            normal(n_rows, N_OUTPUTS, generator=generator),
        )
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(0.1)
        assert_equal(traced(tracer, net, x, cotangent), by_autograd(net, x, cotangent))


@every_network
def test_rows_do_not_depend_on_each_other(kind, hidden, activation, generator):
    net = network(kind, hidden, activation)
    x = normal(6, N_INPUTS, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(net(x), torch.cat([net(row[None]) for row in x]))


@every_network
def test_absorb_input_folds_an_affine_change_into_the_parameters(kind, hidden, activation, generator):
    net = network(kind, hidden, activation)
    x, ratio, offset = normal(6, N_INPUTS, generator=generator), *normal(2, N_INPUTS, generator=generator)
    with torch.no_grad():
        expected = net(x * ratio + offset)
        net.absorb_input(ratio, offset)
        torch.testing.assert_close(net(x), expected, rtol=1e-12, atol=1e-12)


@every_network
def test_the_head_is_the_last_affine_layer_and_shares_its_memory(kind, hidden, activation, generator):
    net = network(kind, hidden, activation)
    x = normal(6, N_INPUTS, generator=generator)
    weight, bias = net.head
    assert weight.shape[1:] == bias.shape == (N_OUTPUTS,)
    assert not weight.requires_grad
    with torch.no_grad():
        before = net(x)
        weight.mul_(2)
        bias.mul_(2).add_(1)
        torch.testing.assert_close(net(x), 2 * before + 1)


@every_layered
@every_depth
def test_reset_draws_from_the_generator_within_torch_s_bounds(kind, hidden):
    net = network(kind, hidden, "relu")
    again = copy.deepcopy(net)
    net.reset(torch.Generator().manual_seed(5))
    again.reset(torch.Generator().manual_seed(5))
    for a, b in zip(net.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    for layer in net.layers:
        bound = layer.weight.shape[0] ** -0.5
        assert 0 < layer.weight.abs().max() <= bound
        assert 0 < layer.bias.abs().max() <= bound


@every_layered
@every_activation
@every_depth
def test_width_is_at_least_every_layer_s(kind, activation, hidden):
    net = network(kind, hidden, activation)
    assert net.width >= max(N_INPUTS, N_OUTPUTS, *(layer.bias.numel() for layer in net.layers))
