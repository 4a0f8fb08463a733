"""The evidence lower bound with a KL of a chosen size."""

import torch
from torch import Tensor

from skgen._terms import Cotangents, Terms
from skgen.objectives.base import Objective
from skgen.objectives.importance import elbo_parts


class TargetELBO(Objective):
    r"""Evidence lower bound whose KL is held at a target (Burgess et al. 2018, https://arxiv.org/abs/1804.03599).

    .. math:: E_q \log p(x \mid z) - \beta\, |KL - C_t|

    The weight stays :math:`\beta`, and the target :math:`C_t` rises with the weight that the schedule gives the KL:
    from 0 to ``target_kl`` nats per row. While that weight is 0, the KL does not count at all.

    Parameters
    ----------
    target_kl : float
        Final target, in nats per row.
    beta : float
        Weight, above 0.
    """

    def __init__(self, target_kl: float, beta: float = 1.0) -> None:
        self.target_kl, self.beta = target_kl, beta

    def scheduled(self, kl_weight: float) -> dict[str, float]:
        """The weight in force and the target, for a schedule that has come to ``kl_weight``."""
        weight = self.beta if kl_weight > 0 else 0.0
        return {"kl_weight": weight, "target_kl": self.target_kl * kl_weight / self.beta}

    def __call__(self, terms: Terms, kl_weight: float) -> Tensor:
        weight, target = self.scheduled(kl_weight).values()
        return terms.mean_log_likelihood() - weight * (terms.kl_per_row() - target).abs()

    def report(self, terms: Terms) -> dict[str, Tensor]:
        """ELBO at weight 1, and its two terms."""
        return elbo_parts(terms)

    def cotangents(self, terms: Terms, kl_weight: float) -> Cotangents:
        """Constants but for the side of the target that a row is on."""
        weight, target = self.scheduled(kl_weight).values()
        to_kl = -weight * torch.sign(terms.kl_per_row() - target)
        if terms.has_kl:
            return Cotangents(1 / terms.n_draws, kl=to_kl.unsqueeze(-1).expand_as(terms.kl))
        each = (to_kl / terms.n_draws).expand_as(terms.log_prior)
        return Cotangents(1 / terms.n_draws, -each, each)
