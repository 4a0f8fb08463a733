import pytest
import torch

from skgen.networks.layered import LayeredNetwork
from skgen.networks.mlp import Dense
from tests.parts import normal


def test_layers_are_applied_with_an_activation_after_each_but_the_last(generator):
    layers = [Dense(3, 5), Dense(5, 4)]
    network = LayeredNetwork(3, 4, layers, "tanh", 0.0).double()
    network.reset(generator)
    x = normal(6, 3, generator=generator)
    torch.testing.assert_close(network(x), layers[1](torch.tanh(layers[0](x))))
    assert list(network.affine()) == layers
    assert network.width == 3 + 10


@pytest.mark.parametrize("n_given", [0, 2, 3])
def test_a_change_of_the_first_inputs_leaves_the_rest_as_they_are(n_given, generator):
    network = LayeredNetwork(3, 4, [Dense(3, 4)], "tanh", 0.0).double()
    network.reset(generator)
    x, ratio, offset = normal(6, 3, generator=generator), *normal(2, n_given, generator=generator)
    changed = torch.cat([x[:, :n_given] * ratio + offset, x[:, n_given:]], -1)
    with torch.no_grad():
        expected = network(changed)
        network.absorb_input(ratio, offset)
        torch.testing.assert_close(network(x), expected, rtol=1e-12, atol=1e-12)
