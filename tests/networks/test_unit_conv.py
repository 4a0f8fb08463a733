import pytest
import torch

from skgen.networks.conv import ConvDecoder, ConvEncoder
from skgen.networks.unit_conv import UnitConvDecoder, UnitConvEncoder
from skgen.training.flat import FlatParameters
from tests.networks.test_units import changed, every_activation, every_subset, parts
from tests.parts import normal

N_UNITS, SIZE, SHAPE = 3, 2, (2, 5, 7)
N_PIXELS = 70

every_depth = pytest.mark.parametrize("channels", [(), (4,), (4, 3)], ids=str)


def encoder(channels, activation="tanh", n_blocks=2):
    built = UnitConvEncoder(N_PIXELS, N_UNITS, channels, SIZE, SHAPE, activation, 0.0, n_blocks)
    return started(built.double())


def decoder(channels, activation="tanh"):
    return started(UnitConvDecoder(N_UNITS * SIZE, N_UNITS, channels, N_PIXELS, SHAPE, activation).double())


def started(network):
    """With random parameters, gain, bias and change of the input among them, in flat buffers."""
    generator = torch.Generator().manual_seed(3)
    network.reset(generator)
    for tensor in (network.gain.data, network.bias.data, network.input_ratio, network.input_offset):
        tensor.copy_(normal(*tensor.shape, generator=generator))
    FlatParameters(network)
    return network


def own(network, like, unit, n_blocks=1):
    """The body of a unit, as a network of its own of the shape of ``like``."""
    state = {}
    for name, tensor in network.state_dict().items():
        if name.startswith(("changes", "residuals")):
            state[name] = tensor.unflatten(0, (N_UNITS, -1))[unit]
        elif name.startswith(("first", "last")):
            state[name] = parts(tensor, n_blocks)[unit]
    like.reset(torch.Generator())
    like.double().load_state_dict(like.state_dict() | state)
    return like


@every_activation
@every_depth
@pytest.mark.parametrize("n_blocks", [1, 2])
def test_an_encoder_is_convolutional_networks_whose_outputs_are_ordered_by_blocks(
    channels, activation, n_blocks, generator
):
    net = encoder(channels, activation, n_blocks)
    x = normal(6, N_PIXELS, generator=generator)
    with torch.no_grad():
        rows, outputs = x * net.input_ratio + net.input_offset, []
        for unit in range(N_UNITS):
            like = ConvEncoder(N_PIXELS, channels, n_blocks * SIZE, SHAPE, activation)
            outputs.append(own(net, like, unit, n_blocks)(rows).unflatten(-1, (n_blocks, SIZE)))
        expected = torch.stack(outputs, -2).flatten(1) * net.gain + net.bias
        torch.testing.assert_close(net(x), expected, rtol=1e-12, atol=1e-12)


@every_activation
@every_depth
def test_a_decoder_adds_up_convolutional_networks_of_each_unit_s_latent_variables(channels, activation, generator):
    net = decoder(channels, activation)
    z = normal(6, N_UNITS * SIZE, generator=generator)
    with torch.no_grad():
        shares, outputs = parts(z * net.input_ratio + net.input_offset), []
        for unit, share in enumerate(shares):
            like = ConvDecoder(SIZE, channels, N_PIXELS, SHAPE, activation)
            outputs.append(own(net, like, unit)(share) * net.gain)
        contributions = net.contributions(z)
        torch.testing.assert_close(contributions, torch.stack(outputs, 1), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(net(z), contributions.sum(1) + net.bias, rtol=1e-12, atol=1e-12)
        assert net.contributions(z.view(2, 3, -1)).shape == (2, 3, N_UNITS, N_PIXELS)


@every_depth
@every_subset
def test_masks_of_an_encoder_mark_what_the_units_outputs_depend_on(channels, indices, generator):
    net = encoder(channels)
    masks = net.unit_masks(indices)
    others = [unit for unit in range(N_UNITS) if unit not in indices]
    before, after = changed(net, masks, normal(6, N_PIXELS, generator=generator), net.forward)
    for unit, (a, b) in enumerate(zip(parts(before, 2), parts(after, 2), strict=True)):
        assert torch.equal(a, b) == (unit in others)
    for name, mask in net.unit_masks(others).items():
        assert torch.equal(mask + masks[name], torch.ones_like(mask))


@every_depth
@every_subset
def test_masks_of_a_decoder_mark_what_the_units_contributions_depend_on(channels, indices, generator):
    net = decoder(channels)
    masks = net.unit_masks(indices)
    others = [unit for unit in range(N_UNITS) if unit not in indices]
    before, after = changed(net, masks, normal(6, N_UNITS * SIZE, generator=generator), net.contributions)
    for unit in range(N_UNITS):
        assert torch.equal(before[:, unit], after[:, unit]) == (unit in others)
    for name, mask in net.unit_masks(others).items():
        assert torch.equal(mask + masks[name], torch.full_like(mask, name not in ("gain", "bias")))


@pytest.mark.parametrize("build", [encoder, decoder])
def test_width_is_at_least_what_every_layer_holds(build, generator):
    network, held = build((4, 3)), []
    for layer in network.modules():
        layer.register_forward_hook(lambda _, inputs, output: held.append(inputs[0].numel() + output.numel()))
    with torch.no_grad():
        network(normal(1, network.n_inputs, generator=generator))
    assert network.width >= max(held)


def test_sizes_that_cannot_be_shared_out_are_refused():
    with pytest.raises(ValueError, match=r"image_shape=\(1, 2, 3\) needs a multiple of 6 inputs, got 7"):
        UnitConvEncoder(7, 3, (4,), 2, (1, 2, 3))
    with pytest.raises(ValueError, match="n_units=3 does not divide 7 of them"):
        UnitConvDecoder(7, 3, (4,), 6, (1, 2, 3))
    with pytest.raises(ValueError, match="numbered from 0 to 2, got 3"):
        encoder((4,)).unit_masks([3])
