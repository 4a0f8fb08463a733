"""Priors on the weights of mixtures, and their variational posteriors."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class WeightPrior(ABC):
    """Prior on the weights of components.

    Parameters
    ----------
    concentration : float
        Of the prior, above 0: the higher, the more components are used.
    """

    concentration: float

    @abstractmethod
    def posterior(self, count: Tensor) -> Tensor:
        """Parameters (..., K) of q from expected numbers of rows (K,)."""

    @abstractmethod
    def expected_log(self, posterior: Tensor) -> Tensor:
        """E[log weight] under q, (K,)."""

    @abstractmethod
    def expected(self, posterior: Tensor) -> Tensor:
        """E[weight] under q, (K,), up to a factor."""

    @abstractmethod
    def divergence(self, posterior: Tensor) -> Tensor:
        """KL(q || prior), in nats."""

    @abstractmethod
    def shape(self, n_components: int) -> tuple[int, ...]:
        """Shape of the parameters of q."""


class DirichletWeights(WeightPrior):
    """A symmetric Dirichlet prior; q is a Dirichlet distribution with concentrations (K,)."""

    def posterior(self, count: Tensor) -> Tensor:
        return self.concentration + count

    def expected_log(self, posterior: Tensor) -> Tensor:
        return torch.digamma(posterior) - torch.digamma(posterior.sum())

    def expected(self, posterior: Tensor) -> Tensor:
        return posterior

    def divergence(self, posterior: Tensor) -> Tensor:
        return dirichlet_divergence(posterior, torch.full_like(posterior, self.concentration))

    def shape(self, n_components: int) -> tuple[int, ...]:
        return (n_components,)


class DirichletProcessWeights(WeightPrior):
    """Weights by breaking a stick for ever, v_k ~ Beta(1, concentration); q has Beta(a_k, b_k) for K pieces, (2, K).

    Under q no row belongs to a later piece; their distributions are those of the prior, and cost nothing.
    """

    def posterior(self, count: Tensor) -> Tensor:
        later = count.flip(0).cumsum(0).flip(0) - count
        return torch.stack([1 + count, self.concentration + later])

    def expected_log(self, posterior: Tensor) -> Tensor:
        logs = torch.digamma(posterior) - torch.digamma(posterior.sum(0))
        return logs[0] + logs[1].cumsum(0) - logs[1]

    def expected(self, posterior: Tensor) -> Tensor:
        shares = posterior / posterior.sum(0)
        return shares[0] * torch.cat([torch.ones_like(shares[1, :1]), shares[1, :-1].cumprod(0)])

    def divergence(self, posterior: Tensor) -> Tensor:
        prior = posterior.new_tensor([1.0, self.concentration]).expand_as(posterior.T)
        return dirichlet_divergence(posterior.T, prior).sum()

    def shape(self, n_components: int) -> tuple[int, ...]:
        return (2, n_components)


WEIGHT_PRIORS: dict[str, type[WeightPrior]] = {
    "dirichlet_process": DirichletProcessWeights,
    "dirichlet_distribution": DirichletWeights,
}


def dirichlet_divergence(a: Tensor, b: Tensor) -> Tensor:
    """KL between Dirichlet distributions with concentrations a and b (..., K), (...)."""
    shift = ((a - b) * (torch.digamma(a) - torch.digamma(a.sum(-1, keepdim=True)))).sum(-1)
    return _log_norm(b) - _log_norm(a) + shift


def _log_norm(concentration: Tensor) -> Tensor:
    """Logarithm of the multivariate beta function."""
    return torch.lgamma(concentration).sum(-1) - torch.lgamma(concentration.sum(-1))
