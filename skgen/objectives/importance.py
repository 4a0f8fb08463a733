"""Bounds on log p(x) from weighted draws of the posterior."""

import math

import torch
from torch import Tensor

from skgen._terms import Cotangents, Terms
from skgen.objectives.base import Objective


def elbo_parts(terms: Terms) -> dict[str, Tensor]:
    """The ELBO of each row at weight 1, and its terms, (batch,) each."""
    reconstruction, kl = terms.mean_log_likelihood(), terms.kl_per_row()
    return {"elbo": reconstruction - kl, "reconstruction": reconstruction, "kl": kl}


class ELBO(Objective):
    r"""Evidence lower bound (Kingma and Welling 2014, https://arxiv.org/abs/1312.6114).

    .. math:: E_q \log p(x \mid z) - \beta \sum_j \max(KL_j, \lambda)

    The KL is the closed form where there is one, else the mean of log q - log p over the draws. Free bits
    :math:`\lambda` (Kingma et al. 2016, https://arxiv.org/abs/1606.04934) are those of each of ``n_components`` latent
    variables; without a closed form only the KL of a row as a whole is known, and their sum is what it has free.
    """

    def __init__(self, free_bits: float = 0.0, n_components: int = 1) -> None:
        self.free_bits = free_bits
        self.free_per_row = free_bits * n_components

    def _kl(self, terms: Terms) -> Tensor:
        if self.free_bits == 0:
            return terms.kl_per_row()
        if terms.has_kl:
            return terms.kl.clamp_min(self.free_bits).sum(-1)
        return terms.kl_per_row().clamp_min(self.free_per_row)

    def __call__(self, terms: Terms, kl_weight: float) -> Tensor:
        return terms.mean_log_likelihood() - kl_weight * self._kl(terms)

    def report(self, terms: Terms) -> dict[str, Tensor]:
        """ELBO at weight 1 without free bits, and its two terms."""
        return elbo_parts(terms)

    def cotangents(self, terms: Terms, kl_weight: float) -> Cotangents:
        """Constants, but for the components within their free bits."""
        n_draws = terms.n_draws
        if not terms.has_kl:
            each: float | Tensor = kl_weight / n_draws
            if self.free_bits:
                counts = (terms.kl_per_row() > self.free_per_row).to(terms.log_prior.dtype)
                each = (counts * each).expand_as(terms.log_prior)
            return Cotangents(1 / n_draws, each, -each)
        if self.free_bits == 0:
            return Cotangents(1 / n_draws, kl=-kl_weight)
        return Cotangents(1 / n_draws, kl=(terms.kl > self.free_bits).to(terms.kl.dtype) * -kl_weight)


class IWAE(Objective):
    r"""Importance-weighted bound (Burda et al. 2016, https://arxiv.org/abs/1509.00519).

    .. math:: \log \frac1K \sum_k w_k, \quad \log w_k = \log p(x \mid z_k) + \beta (\log p(z_k) - \log q(z_k \mid x))

    A bound on log p(x) at :math:`\beta = 1`; other weights serve only as a warm-up.
    """

    needs_log_weights = True
    final_weight_one = True
    monitor = "iwae"

    def _log_weight(self, terms: Terms, kl_weight: float) -> Tensor:
        return terms.log_likelihood + kl_weight * (terms.log_prior - terms.log_posterior)

    def __call__(self, terms: Terms, kl_weight: float) -> Tensor:
        return torch.logsumexp(self._log_weight(terms, kl_weight), 0) - math.log(terms.n_draws)

    def report(self, terms: Terms) -> dict[str, Tensor]:
        """The bound at weight 1, and the parts of the ELBO."""
        return {"iwae": self(terms, 1.0)} | elbo_parts(terms)

    def cotangents(self, terms: Terms, kl_weight: float) -> Cotangents:
        """The normalised importance weights."""
        weight = torch.softmax(self._log_weight(terms, kl_weight), 0)
        return Cotangents(weight, kl_weight * weight, -kl_weight * weight)


class DReG(IWAE):
    r"""Importance-weighted bound, doubly reparameterised (Tucker et al. 2019, https://arxiv.org/abs/1810.04152).

    The bound and the gradients of decoder and prior are IWAE's. That of the encoder has the same expectation, and noise
    that does not outgrow it as draws are added:

    .. math:: \sum_k \tilde w_k \left(1 - \beta + \beta \tilde w_k\right)
        \frac{\partial \log w_k}{\partial z_k} \frac{\partial z_k}{\partial \phi}, \quad
        \tilde w_k = \frac{w_k}{\sum_l w_l}

    where :math:`\log w_k` depends on :math:`\phi` through :math:`z_k` alone: at the weight :math:`\beta = 1` the
    normalised weights are squared. A prior made of the encoder keeps the gradient that it has in IWAE.
    """

    exact_gradient = False

    def cotangents(self, terms: Terms, kl_weight: float) -> Cotangents:
        """Those of IWAE, and the factor of each draw's path."""
        weight = torch.softmax(self._log_weight(terms, kl_weight), 0)
        return Cotangents(weight, kl_weight * weight, -kl_weight * weight, path=1 - kl_weight + kl_weight * weight)
