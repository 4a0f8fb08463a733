import torch
from torch import nn

from skgen.models import LatentVariableModel
from skgen.networks import MLP
from skgen.objectives import ELBO
from skgen.posteriors import DiagonalPosterior
from skgen.priors.base import Prior
from skgen.training.flat import FlatParameters
from tests.parts import model_from, normal, rows_from


class Laplace(Prior):
    """A prior with a learnt scale that has only what the base class asks for."""

    def __init__(self, n_components):
        super().__init__(n_components)
        self.log_scale = nn.Parameter(torch.full((n_components,), 0.3, dtype=torch.float64))

    def _distribution(self):
        return torch.distributions.Laplace(torch.zeros_like(self.log_scale), self.log_scale.exp())

    def log_prob(self, z):
        return self._distribution().log_prob(z).sum(-1)

    def sample(self, n_draws, *, generator, like):
        uniform = torch.rand(n_draws, self.n_components, generator=generator, dtype=like.dtype)
        return self._distribution().icdf(uniform)


def test_there_is_no_closed_kl_unless_given():
    assert Laplace(2).normal_kl(torch.zeros(1, 2), torch.zeros(1, 2)) is None


def test_two_methods_make_a_prior_that_trains(generator):
    base = model_from("gaussian", generator=generator)
    model = LatentVariableModel(base.encoder, base.decoder, Laplace(2), DiagonalPosterior(2), base.likelihood)
    model.double()
    for name in ("shift", "scale", "input_scale", "input_ratio"):
        getattr(model, name).copy_(getattr(base, name))
    assert not model.has_closed_kl()
    assert isinstance(model.encoder, MLP)
    FlatParameters(model)
    with torch.no_grad():
        x = rows_from(model, 4, generator)
    noise = normal(2, 4, 2, generator=generator)
    terms, pullback = model.tracer(closed_kl=False)(x, noise, None)
    cotangents = ELBO().cotangents(terms, 1.0)
    pullback(type(cotangents)(*(None if c is None else torch.tensor(c, dtype=torch.float64) for c in cotangents)))
    reference = ELBO()(model.terms(x, noise), 1.0).sum()
    gradients = torch.autograd.grad(reference, list(model.parameters()))
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-10, atol=1e-10)
