"""How many principal directions of a covariance carry a signal.

Each function takes the variances along the principal directions in descending order, (directions,); where there are
fewer of them than features, the other features' variances are 0.
"""

import math

import torch
from torch import Tensor

RESOLVED = 1e-12
"""Variances, and differences of variances, below this share of the largest are taken for rounding."""


def spectral_rank(variances: Tensor) -> int:
    """The number of directions with a variance."""
    return int((variances > RESOLVED * variances[:1]).sum())


def share_dimension(variances: Tensor, share: float) -> int:
    """The least number of directions with more than a share of the variance."""
    reached = variances.cumsum(0) / variances.sum().clamp_min(torch.finfo(variances.dtype).tiny)
    return min(len(variances), 1 + int(torch.searchsorted(reached, share, right=True)))


def minka_dimension(variances: Tensor, n_features: int, weight: float) -> int:
    """The dimension of largest evidence, in Laplace's approximation (Minka 2000, "Automatic choice of dimensionality").

    ``weight`` is the number of rows. From 1 to the rank less one, so that some variance is left for the noise;
    O(n_features^2).
    """
    evidence = minka_evidence(variances, n_features, weight)
    return 1 + int(evidence.argmax()) if len(evidence) else 1


def minka_evidence(variances: Tensor, n_features: int, weight: float) -> Tensor:
    r"""Log-evidence of 1, 2, ... dimensions in nats, up to a constant, as far as rows and rank determine it.

    .. math:: \log p(X | k) = \log p(U) - \tfrac N2 \sum_{i \le k} \log\lambda_i - \tfrac{N (d-k)}2 \log v_k
        + \tfrac{m + k}2 \log 2\pi - \tfrac12 \log|A_k| - \tfrac k2 \log N

    with v_k the mean of the discarded variances, :math:`m = dk - k (k+1) / 2` and
    :math:`|A_k| = \prod_{i \le k} \prod_{j > i} N (\lambda_i - \lambda_j) (\hat\lambda_j^{-1} - \hat\lambda_i^{-1})`.
    """
    smallest = RESOLVED * float(variances[0]) if len(variances) else 0.0
    largest = min(spectral_rank(variances) - 1, max(1, math.ceil(weight) - 2))
    if largest < 1:
        return variances[:0]
    k = torch.arange(1, largest + 1, dtype=variances.dtype, device=variances.device)
    kept, n_zero = variances[:largest], n_features - len(variances)
    tail = variances.flip(0).clamp_min(0).cumsum(0).flip(0)
    tail = torch.cat([tail, tail.new_zeros(1)])[1 : largest + 1]
    mean = (tail / (n_features - k)).clamp_min(smallest)
    sphere = (torch.lgamma((n_features - k + 1) / 2) - 0.5 * (n_features - k + 1) * math.log(math.pi)).cumsum(0)
    m = n_features * k - k * (k + 1) / 2
    return (
        sphere
        - k * math.log(2)
        - 0.5 * weight * (kept.log().cumsum(0) + (n_features - k) * mean.log())
        + 0.5 * (m + k) * math.log(2 * math.pi)
        - 0.5 * (_log_curvature(variances, kept, mean, n_zero) + (m + k) * math.log(weight))
    )


def _log_curvature(variances: Tensor, kept: Tensor, mean: Tensor, n_zero: int) -> Tensor:
    """log |A_k| - m log N for k = 1, 2, ...; sums over pairs are sums over rows and columns of one table."""
    later = torch.ones(len(kept), len(variances), dtype=torch.bool, device=kept.device).triu(1)
    gaps = torch.maximum(kept[:, None] - variances, RESOLVED * kept[:, None]).log()
    gap = (gaps * later).sum(1) + n_zero * kept.log()
    inverse = 1 / kept
    between = torch.maximum(inverse - inverse[:, None], RESOLVED * inverse).log()
    within = (between * later[:, : len(kept)]).sum(0)
    # Row k holds 1 / v_k - 1 / lambda_i for i <= k.
    outside = torch.maximum(1 / mean[:, None] - inverse, RESOLVED / mean[:, None]).log().tril().sum(1)
    n_discarded = len(variances) + n_zero - torch.arange(1, len(kept) + 1, device=kept.device)
    return gap.cumsum(0) + within.cumsum(0) + n_discarded * outside


def relevant_dimension(variances: Tensor, n_features: int, weight: float) -> int:
    """The number of directions that automatic relevance determination keeps.

    Empirical variational Bayes fits a prior variance to each direction and the noise to all; its global optimum keeps
    the directions above a threshold, which finds the true number as both rows and features grow (Nakajima, Tomioka,
    Sugiyama and Babacan 2012, "Perfect dimensionality recovery by variational Bayesian PCA").
    ``weight`` is the number of rows. From 0 to the number of directions less one.
    """
    short, long = sorted((float(n_features), float(weight)))
    values = variances.clamp_min(0)[: max(1, math.ceil(short))] * weight / long
    ratio = short / long
    # The threshold's tau solves a transcendental equation; this is its solution to three digits for every ratio.
    tau = 2.5129 * math.sqrt(ratio)
    threshold = (1 + tau) * (1 + ratio / tau)
    largest = max(1, min(math.ceil(short / (1 + ratio)), len(values)) - 1)
    if float(values[0]) <= 0:
        return 0
    noise = _relevance_noise(values, short, ratio, threshold, largest)
    return min(largest, int((values > noise * threshold).sum()))


def _relevance_noise(values: Tensor, short: float, ratio: float, threshold: float, largest: int) -> float:
    """The noise variance of least free energy, by looking closely around the best point of a grid."""
    high = float(values.sum()) / short
    rest = values[largest:]
    low = max(float(rest[0]) / threshold, float(rest.mean())) if len(rest) else 0.0
    low = min(max(low, RESOLVED * high), high)
    for _ in range(3):
        grid = torch.linspace(math.log(low), math.log(high), 201, dtype=values.dtype, device=values.device)
        best = int(_relevance_energy(grid.exp(), values, short, ratio, threshold).argmin())
        low, high = (math.exp(float(grid[min(max(best + step, 0), 200)])) for step in (-1, 1))
    return math.sqrt(low * high)


def _relevance_energy(noise: Tensor, values: Tensor, short: float, ratio: float, threshold: float) -> Tensor:
    """Free energy at some noise variances (points,), up to a constant and in units of the longer side."""
    x = values / noise[:, None]
    b = x - (1 + ratio)
    tau = 0.5 * (b + (b.square() - 4 * ratio).clamp_min(0).sqrt()).clamp_min(0)
    tiny = torch.finfo(x.dtype).tiny
    kept = x - tau + torch.log((tau + 1) / x.clamp_min(tiny)) + ratio * torch.log(tau / ratio + 1)
    discarded = x - torch.log(x.clamp_min(tiny))
    energy = torch.where(x > threshold, kept, torch.where(x > 0, discarded, torch.zeros_like(x))).sum(1)
    # A direction without variance counts with its noise alone, as one with variance does after its logarithm.
    n_zero = short - float((values > 0).sum())
    return energy + n_zero * noise.log()
