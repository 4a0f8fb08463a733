import torch

from skgen._terms import Terms
from skgen.objectives.base import Objective
from tests.parts import normal


class Median(Objective):
    """The middle log-weight, an objective that has only what the base class asks for."""

    def __call__(self, terms, kl_weight):
        return (terms.log_likelihood + kl_weight * (terms.log_prior - terms.log_posterior)).median(0).values

    def report(self, terms):
        return {"elbo": self(terms, 1.0)}


def test_the_default_cotangents_are_those_of_autograd(generator):
    parts = normal(3, 3, 4, generator=generator)
    terms = Terms(*parts, n_draws=3)
    cotangents = Median().cotangents(terms, 0.5)
    chosen = ((parts[0] + 0.5 * (parts[1] - parts[2])).argsort(0).argsort(0) == 1).double()
    torch.testing.assert_close(cotangents.log_likelihood, chosen)
    torch.testing.assert_close(cotangents.log_prior, 0.5 * chosen)
    torch.testing.assert_close(cotangents.log_posterior, -0.5 * chosen)
    assert cotangents.kl is None
