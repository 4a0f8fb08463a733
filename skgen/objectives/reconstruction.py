"""Objective of deterministic autoencoders."""

from torch import Tensor

from skgen._terms import Cotangents, Terms
from skgen.objectives.base import Objective


class Reconstruction(Objective):
    """The log-likelihood term alone."""

    monitor = "reconstruction"

    def __call__(self, terms: Terms, kl_weight: float) -> Tensor:
        return terms.mean_log_likelihood()

    def report(self, terms: Terms) -> dict[str, Tensor]:
        """The term."""
        return {"reconstruction": terms.mean_log_likelihood()}

    def cotangents(self, terms: Terms, kl_weight: float) -> Cotangents:
        """One for each draw."""
        return Cotangents(1 / terms.n_draws)
