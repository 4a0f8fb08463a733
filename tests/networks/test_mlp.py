import pytest
import torch

from skgen.networks.mlp import MLP, Dense
from skgen.training.flat import FlatParameters
from tests.parts import normal


def test_a_dense_layer_is_affine(generator):
    layer = Dense(3, 2).double()
    layer.reset(generator)
    x = normal(4, 3, generator=generator)
    torch.testing.assert_close(layer(x), torch.addmm(layer.bias, x, layer.weight))


@pytest.mark.parametrize("size", [(3, 2), (3, 16), (16, 1), (1, 17)], ids=str)
def test_weight_and_bias_in_flat_buffers_are_one_matrix(size, generator):
    layer = Dense(*size)
    layer.reset(generator)
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    FlatParameters(layer)
    value, gradient = layer.joint()
    n_outputs = size[1]
    assert torch.equal(value[:-1, :n_outputs], weight)
    assert torch.equal(value[-1, :n_outputs], bias)
    gradient[:, :n_outputs] = 1
    assert (layer.weight.grad == 1).all()
    assert (layer.bias.grad == 1).all()
    assert not value[:, n_outputs:].any()


def test_no_hidden_layers_make_an_affine_map_for_any_activation(generator):
    network = MLP(3, (), 2, "gated")
    assert len(list(network.parameters())) == 2
    assert network.layers[0].weight.shape == (3, 2)


def test_gates_double_the_hidden_layers_only():
    shapes = [tuple(layer.weight.shape) for layer in MLP(3, (5, 4), 2, "gated").layers]
    assert shapes == [(3, 10), (5, 8), (4, 2)]


def test_an_identity_network_is_one_affine_map(generator):
    network = MLP(3, (5, 4), 2, "identity").double()
    network.reset(generator)
    a, b = normal(2, 6, 3, generator=generator)
    zero = torch.zeros(1, 3, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(network(a + b) + network(zero), network(a) + network(b))


def test_dropout_is_off_without_a_generator_and_zeroes_units_with_one(generator):
    network = MLP(3, (1000,), 1, "relu", dropout=0.25)
    network.reset(generator)
    with torch.no_grad():
        hidden = torch.ones(1, 1000)
        mask = network._mask(hidden, generator)
        assert network._mask(hidden, None) is None
    torch.testing.assert_close(mask.unique(), torch.tensor([0.0, 4 / 3]))
    assert abs((mask == 0).double().mean() - 0.25) < 5 * (0.25 * 0.75 / 1000) ** 0.5


def test_an_unknown_activation_is_a_key_error():
    with pytest.raises(KeyError):
        MLP(1, (), 1, "nothing")
