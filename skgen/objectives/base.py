"""What an objective must offer."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from skgen._terms import Cotangents, Terms


class Objective(ABC):
    """A function of :class:`Terms` with one value per example, higher is better.

    Implement ``__call__``; override ``cotangents`` where they have a closed form.
    """

    needs_log_weights = False
    """Whether the objective needs log_prior and log_posterior even where a closed-form KL exists."""
    exact_gradient = True
    """Whether the cotangents are the derivatives of the value, and not of another with their expectation."""
    final_weight_one = False
    """Whether the objective has a meaning only for beta = 1."""
    unitless: frozenset[str] = frozenset({"kl"})
    """Entries of the report that do not depend on the units of the rows, or are in the user's already."""
    monitor = "elbo"
    """The entry of the report that measures progress, whatever weights training uses."""

    @abstractmethod
    def __call__(self, terms: Terms, kl_weight: float) -> Tensor:
        """Value per example, (batch,), with the KL weighted by ``kl_weight``."""

    @abstractmethod
    def report(self, terms: Terms) -> dict[str, Tensor]:
        """Named values per example, (batch,), for the history: unweighted, so that schedules never change them."""

    def try_out(self, n_draws: int) -> None:
        """Raise a ValueError where the objective turns out to be unfit for so many draws, before training begins."""
        return

    def scheduled(self, kl_weight: float) -> dict[str, float]:
        """What changes with the schedule of the KL, by its name in the history."""
        return {"kl_weight": kl_weight}

    def cotangents(self, terms: Terms, kl_weight: float) -> Cotangents:
        """Derivatives of the sum over examples by each term; by autograd unless overridden."""
        by_kl = terms.has_kl and not self.needs_log_weights
        names = ["log_likelihood", *(["kl"] if by_kl else ["log_prior", "log_posterior"])]
        with torch.enable_grad():
            leaves = {name: getattr(terms, name).detach().requires_grad_() for name in names}
            value = self(Terms(**leaves, n_draws=terms.n_draws), kl_weight).sum()
            gradients = torch.autograd.grad(value, list(leaves.values()))
        return Cotangents(**dict(zip(names, gradients, strict=True)))
