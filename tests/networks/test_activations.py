import pytest
import torch

from skgen.networks.activations import ACTIVATIONS, Activation

X = torch.tensor([[-2.0, -0.5, 0.0, 0.5, 2.0]], dtype=torch.float64)
FORMULAS = {
    "leaky_relu": lambda x: torch.where(x > 0, x, 0.2 * x),
    "relu": lambda x: x.clamp_min(0),
    "tanh": lambda x: (torch.exp(2 * x) - 1) / (torch.exp(2 * x) + 1),
    "sigmoid": lambda x: 1 / (1 + torch.exp(-x)),
    "silu": lambda x: x / (1 + torch.exp(-x)),
    "elu": lambda x: torch.where(x > 0, x, torch.exp(x) - 1),
    "identity": lambda x: x,
}


@pytest.mark.parametrize("name", FORMULAS)
def test_values_follow_the_formula(name):
    torch.testing.assert_close(ACTIVATIONS[name](X), FORMULAS[name](X))


def test_a_gate_multiplies_the_first_half_by_the_sigmoid_of_the_second():
    a, b = X, X.flip(-1)
    torch.testing.assert_close(ACTIVATIONS["gated"](torch.cat([a, b], -1)), a / (1 + torch.exp(-b)))


def test_every_activation_is_final():
    for activation in ACTIVATIONS.values():
        assert type(activation).__mro__[1] is Activation
