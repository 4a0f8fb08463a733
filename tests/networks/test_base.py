import pytest
import torch
from torch import nn

from skgen.networks.base import Network
from skgen.training.flat import FlatParameters
from tests.parts import normal


class Quadratic(Network):
    """x @ weight + (x @ weight)^2: a network that has only what the base class asks for."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(n_inputs, n_outputs)
        self.weight = nn.Parameter(torch.zeros(n_inputs, n_outputs, dtype=torch.float64))

    def forward(self, x, generator=None):
        y = x @ self.weight
        return y + y.square()

    def reset(self, generator):
        with torch.no_grad():
            self.weight.normal_(generator=generator)

    @property
    def head(self):
        raise NotImplementedError

    def absorb_input(self, ratio, offset):
        raise NotImplementedError

    @property
    def width(self):
        return self.n_inputs + self.n_outputs


def test_the_default_tracer_differentiates_by_autograd(generator):
    network = Quadratic(3, 2)
    network.reset(generator)
    x, cotangent = normal(5, 3, generator=generator), normal(5, 2, generator=generator)
    output, pullback = network.tracer()(x)
    y = x @ network.weight.detach()
    torch.testing.assert_close(output, y + y.square())
    to_y = cotangent * (1 + 2 * y)
    torch.testing.assert_close(pullback(cotangent), to_y @ network.weight.detach().T)
    torch.testing.assert_close(network.weight.grad, x.T @ to_y)
    output, pullback = network.tracer()(x)
    pullback(cotangent)
    torch.testing.assert_close(network.weight.grad, 2 * x.T @ to_y)


def test_the_default_tracer_adds_to_flat_gradients_in_silence(generator):
    network = Quadratic(3, 2)
    network.reset(generator)
    FlatParameters(network)
    x, cotangent = normal(5, 3, generator=generator), normal(5, 2, generator=generator)
    # torch gives some warnings once per process; here every one is an error.
    torch.set_warn_always(True)
    try:
        for _ in range(2):
            network.tracer()(x)[1](cotangent)
    finally:
        torch.set_warn_always(False)
    to_y = cotangent * (1 + 2 * (x @ network.weight.detach()))
    torch.testing.assert_close(network.weight.grad, 2 * x.T @ to_y)


def test_what_is_missing_is_named():
    with pytest.raises(TypeError, match=r"absorb_input.*forward.*head.*reset.*width"):
        Network(1, 1)
