import pytest
import torch

from skgen.networks import ACTIVATIONS, MLP
from skgen.networks.units import UnitDecoder, UnitDense, UnitEncoder
from skgen.training.flat import FlatParameters
from tests.parts import normal

N_UNITS, SIZE, N_INPUTS, N_OUTPUTS = 3, 2, 5, 4
DEPTHS = [(), (5,), (7, 4), (4, 1, 3)]

every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)
every_depth = pytest.mark.parametrize("hidden", DEPTHS, ids=str)
every_subset = pytest.mark.parametrize("indices", [[], [1], [0, 2], range(N_UNITS)], ids=str)


def encoder(hidden, activation="tanh", dropout=0.0, n_blocks=2):
    built = UnitEncoder(N_INPUTS, N_UNITS, hidden, SIZE, activation, dropout, n_blocks).double()
    return started(built)


def decoder(hidden, activation="tanh", dropout=0.0):
    return started(UnitDecoder(N_UNITS * SIZE, N_UNITS, hidden, N_OUTPUTS, activation, dropout).double())


def started(built):
    built.reset(torch.Generator().manual_seed(3))
    FlatParameters(built)
    return built


def parts(columns, n_blocks=1):
    """Columns (..., n) as the list of those of each unit, (..., blocks * size)."""
    return [part.flatten(-2) for part in columns.unflatten(-1, (n_blocks, N_UNITS, -1)).unbind(-2)]


def encoder_units(net, hidden, activation, n_blocks):
    """The units of an encoder as perceptrons of their own."""
    units = []
    for unit in range(N_UNITS):
        own = MLP(N_INPUTS, hidden, n_blocks * SIZE, activation).double()
        for depth, (layer, whole) in enumerate(zip(own.layers, net.layers, strict=True)):
            blocks = n_blocks if depth == len(hidden) else 1
            layer.weight.data = parts(whole.weight.detach(), blocks)[unit]
            layer.bias.data = parts(whole.bias.detach(), blocks)[unit]
        units.append(own)
    return units


def test_a_unit_layer_is_an_affine_map_of_each_unit_s_own_inputs(generator):
    layer = UnitDense(N_UNITS, 5, SIZE, n_blocks=2).double()
    layer.reset(generator)
    x = normal(6, N_UNITS * 5, generator=generator)
    own = zip(parts(x), parts(layer.weight, 2), parts(layer.bias, 2), parts(layer(x), 2), strict=True)
    for inputs, weight, bias, output in own:
        torch.testing.assert_close(output, inputs @ weight + bias)


@every_activation
@every_depth
@pytest.mark.parametrize("n_blocks", [1, 2, 3])
def test_an_encoder_is_perceptrons_whose_outputs_are_ordered_by_blocks(hidden, activation, n_blocks, generator):
    net = encoder(hidden, activation, n_blocks=n_blocks)
    x = normal(2, 6, N_INPUTS, generator=generator)
    with torch.no_grad():
        units = torch.stack([unit(x) for unit in encoder_units(net, hidden, activation, n_blocks)], -2)
        expected = units.unflatten(-1, (n_blocks, SIZE)).transpose(-3, -2).flatten(-3)
        torch.testing.assert_close(net(x), expected, rtol=1e-12, atol=1e-12)


@every_activation
@every_depth
def test_a_decoder_adds_up_its_units_contributions(hidden, activation, generator):
    net = decoder(hidden, activation)
    z = normal(2, 6, N_UNITS * SIZE, generator=generator)
    with torch.no_grad():
        contributions = net.contributions(z)
        assert contributions.shape == (2, 6, N_UNITS, N_OUTPUTS)
        torch.testing.assert_close(contributions.sum(-2) + net.head[1], net(z), rtol=1e-12, atol=1e-12)


@every_activation
@every_depth
def test_a_contribution_depends_on_the_unit_s_own_latent_variables_only(hidden, activation, generator):
    net = decoder(hidden, activation)
    z, other = normal(2, 6, N_UNITS * SIZE, generator=generator)
    for unit in range(N_UNITS):
        mixed = other.clone()
        own = slice(unit * SIZE, (unit + 1) * SIZE)
        mixed[:, own] = z[:, own]
        with torch.no_grad():
            both = net.contributions(torch.stack([z, mixed]))
        torch.testing.assert_close(both[0, :, unit], both[1, :, unit], rtol=1e-12, atol=1e-12)


def test_a_decoder_without_hidden_layers_is_linear(generator):
    net, joint = decoder(()), MLP(N_UNITS * SIZE, (), N_OUTPUTS).double()
    joint.load_state_dict(net.state_dict())
    z = normal(6, N_UNITS * SIZE, generator=generator)
    assert torch.equal(net(z), joint(z))


def test_the_head_of_a_decoder_holds_all_hidden_units_and_that_of_an_encoder_one_unit_s():
    assert decoder((7, 4)).head[0].shape == (N_UNITS * 4, N_OUTPUTS)
    assert decoder(()).head[0].shape == (N_UNITS * SIZE, N_OUTPUTS)
    assert encoder((7, 4)).head[0].shape == (4, 2 * N_UNITS * SIZE)


@every_depth
@pytest.mark.parametrize("n_given", [0, 1, 4, 6])
def test_a_decoder_absorbs_a_change_of_its_first_inputs(hidden, n_given, generator):
    net = decoder(hidden)
    z, ratio, offset = normal(6, 6, generator=generator), *normal(2, n_given, generator=generator)
    with torch.no_grad():
        expected = net(torch.cat([z[:, :n_given] * ratio + offset, z[:, n_given:]], -1))
        net.absorb_input(ratio, offset)
        torch.testing.assert_close(net(z), expected, rtol=1e-12, atol=1e-12)


@every_depth
@every_subset
def test_masks_of_an_encoder_mark_what_the_units_outputs_depend_on(hidden, indices, generator):
    net = encoder(hidden)
    masks = net.unit_masks(indices)
    others = [unit for unit in range(N_UNITS) if unit not in indices]
    before, after = changed(net, masks, normal(6, N_INPUTS, generator=generator), net.forward)
    for unit, (a, b) in enumerate(zip(parts(before, 2), parts(after, 2), strict=True)):
        assert torch.equal(a, b) == (unit in others)
    complement = net.unit_masks(others)
    for name, mask in masks.items():
        assert torch.equal(mask + complement[name], torch.ones_like(mask))


@every_depth
@every_subset
def test_masks_of_a_decoder_mark_what_the_units_contributions_depend_on(hidden, indices, generator):
    net = decoder(hidden)
    masks = net.unit_masks(indices)
    others = [unit for unit in range(N_UNITS) if unit not in indices]
    before, after = changed(net, masks, normal(6, N_UNITS * SIZE, generator=generator), net.contributions)
    for unit in range(N_UNITS):
        assert torch.equal(before[:, unit], after[:, unit]) == (unit in others)
    complement = net.unit_masks(others)
    *_, bias = masks
    for name, mask in masks.items():
        assert torch.equal(mask + complement[name], torch.full_like(mask, name != bias))


def changed(net, masks, x, function):
    """Values before and after the masked parameters are drawn anew."""
    assert {name: mask.shape for name, mask in masks.items()} == {name: p.shape for name, p in net.named_parameters()}
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        before = function(x)
        for name, parameter in net.named_parameters():
            parameter.add_(masks[name] * normal(*parameter.shape, generator=generator))
        return before, function(x)


@pytest.mark.parametrize("index", [-1, N_UNITS])
def test_a_unit_that_is_not_there_is_refused(index):
    for net in (encoder((4,)), decoder((4,))):
        with pytest.raises(ValueError, match=f"numbered from 0 to 2, got {index}"):
            net.unit_masks([0, index])


def test_latent_variables_that_cannot_be_shared_out_are_refused():
    with pytest.raises(ValueError, match=r"n_units=3 does not divide 7 of them.*n_units \* unit_size"):
        UnitDecoder(7, 3, (), 4)


def test_dropout_drops_units_of_every_unit_apart(generator):
    net = decoder((50,), "identity", dropout=0.5)
    net.shared_masks = True
    hidden = torch.ones(6, N_UNITS * 50, dtype=torch.float64)
    mask = net._mask(hidden, generator)
    first, second, third = parts(mask)
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)
