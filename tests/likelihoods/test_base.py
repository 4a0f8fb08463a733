import torch
from torch import nn

from skgen.distributions.normal import positive_scale
from skgen.likelihoods.base import Likelihood, Standardization
from tests.parts import normal


class Laplace(Likelihood):
    """Laplace columns with learnt widths: a likelihood that has only what the base class asks for."""

    def __init__(self, n_features):
        super().__init__(n_features, n_features)
        self.log_width = nn.Parameter(torch.full((n_features,), 0.2, dtype=torch.float64))

    def standardize(self, mean, scale):
        return Standardization(mean, positive_scale(scale), positive_scale(scale))

    def initialize(self, head, mean, scale):
        """Nothing to set."""

    def compensate(self, head, old, new, revived):
        """Nothing to move."""

    def log_probs(self, outputs, x):
        return torch.distributions.Laplace(outputs, self.log_width.exp()).log_prob(x)

    def mean(self, outputs):
        return outputs

    def sample(self, outputs, *, generator):
        uniform = torch.rand(outputs.shape, dtype=outputs.dtype, generator=generator)
        return torch.distributions.Laplace(outputs, self.log_width.exp()).icdf(uniform)


def test_the_default_tracer_differentiates_outputs_and_parameters(generator):
    likelihood = Laplace(3)
    outputs, cotangent = normal(2, 4, 3, generator=generator), normal(2, 4, generator=generator)
    x = normal(4, 3, generator=generator)
    value, pullback = likelihood.tracer()(outputs, x)
    gradient = pullback(cotangent)
    width, away = likelihood.log_width.detach().exp(), x - outputs
    torch.testing.assert_close(value, (-away.abs() / width - torch.log(2 * width)).sum(-1))
    torch.testing.assert_close(gradient, cotangent[..., None] * away.sign() / width)
    expected = (cotangent[..., None] * (away.abs() / width - 1)).sum((0, 1))
    torch.testing.assert_close(likelihood.log_width.grad, expected)


def test_rows_are_not_redrawn_and_there_is_no_noise_variance_unless_given(generator):
    likelihood = Laplace(3)
    x = normal(4, 3, generator=generator)
    assert likelihood.augment(x, generator=generator) is x
    assert likelihood.noise_variance() is None
    assert likelihood.support is None
