"""Bounds on mutual information from the scores that a critic gives to pairs of rows.

Scores are numbers T(x, z) without bounds: of pairs drawn together, and of pairs whose parts were drawn apart. Values
are in nats. Weights of pairs are relative; None weighs all alike.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def _mean(values: Tensor, weight: Tensor | None) -> Tensor:
    return values.mean() if weight is None else (values * weight).sum() / weight.sum()


def log_mean_exp(scores: Tensor, weight: Tensor | None = None) -> Tensor:
    """Logarithm of the weighted mean of the exponentials of all scores, a scalar."""
    if weight is None:
        return torch.logsumexp(scores.flatten(), 0) - math.log(scores.numel())
    return torch.logsumexp((scores + weight.log()).flatten(), 0) - weight.sum().log()


def donsker_varadhan(
    joint: Tensor, product: Tensor, weight: Tensor | None = None, product_weight: Tensor | None = None
) -> Tensor:
    r"""Bound of Donsker and Varadhan, that of MINE (Belghazi et al. 2018, https://arxiv.org/abs/1801.04062).

    .. math:: I \ge E_{p(x, z)} T - \log E_{p(x) p(z)} e^T

    with equality for :math:`T = \log p(x, z) / (p(x) p(z))` plus any constant. A finite sample makes the second mean
    too small, and so the value too high in expectation. Shapes: joint (pairs,), product (pairs,) or a matrix.
    """
    return _mean(joint, weight) - log_mean_exp(product, product_weight)


def nwj(joint: Tensor, product: Tensor, weight: Tensor | None = None, product_weight: Tensor | None = None) -> Tensor:
    r"""Bound of Nguyen, Wainwright and Jordan (2010, https://doi.org/10.1109/TIT.2010.2068870).

    .. math:: I \ge E_{p(x, z)} T - e^{-1} E_{p(x) p(z)} e^T

    with equality for :math:`T = 1 + \log p(x, z) / (p(x) p(z))`. Unbiased in a sample, and never above
    :func:`donsker_varadhan` for the same critic. Shapes as there.
    """
    return _mean(joint, weight) - torch.exp(log_mean_exp(product, product_weight) - 1)


def smile(
    joint: Tensor,
    product: Tensor,
    clip: float,
    weight: Tensor | None = None,
    product_weight: Tensor | None = None,
) -> Tensor:
    r"""Estimate of Song and Ermon (2020, https://arxiv.org/abs/1910.06222), which is no bound.

    .. math:: E_{p(x, z)} T - \log E_{p(x) p(z)} \operatorname{clip}(e^T, e^{-\tau}, e^\tau)

    The clip :math:`\tau` trades variance for bias; a large one gives :func:`donsker_varadhan`. Shapes as there.
    """
    return donsker_varadhan(joint, product.clamp(-clip, clip), weight, product_weight)


def infonce(scores: Tensor, weight: Tensor | None = None) -> Tensor:
    r"""Contrastive bound (van den Oord et al. 2018, https://arxiv.org/abs/1807.03748).

    .. math:: I \ge \frac1K \sum_i \log \frac{e^{T(x_i, z_i)}}{\frac1K \sum_j e^{T(x_i, z_j)}}

    Never above :math:`\log K`, whatever the truth. Shape: a matrix (K, K) of scores of x_i and z_j, whose diagonal
    are the pairs drawn together; their weights are (K,).
    """
    if weight is None:
        return (scores.diagonal() - torch.logsumexp(scores, 1)).mean() + math.log(len(scores))
    return _mean(scores.diagonal() - torch.logsumexp(scores + weight.log(), 1), weight) + weight.sum().log()


def jensen_shannon(
    joint: Tensor, product: Tensor, weight: Tensor | None = None, product_weight: Tensor | None = None
) -> Tensor:
    r"""What a classifier of pairs maximises (Nowozin et al. 2016, https://arxiv.org/abs/1606.00709).

    .. math:: -E_{p(x, z)} \log(1 + e^{-T}) - E_{p(x) p(z)} \log(1 + e^T)

    It is no bound on mutual information, but its maximum has the critic :math:`T = \log p(x, z) / (p(x) p(z))`, and
    its gradient is bounded. Shapes as in :func:`donsker_varadhan`.
    """
    return -_mean(F.softplus(-joint), weight) - _mean(F.softplus(product), product_weight)


def moving_log_average(log_average: Tensor, product: Tensor, rate: float, weight: Tensor | None = None) -> Tensor:
    """Logarithm of the moving average of the mean exponential of product scores; minus infinity starts one, ()."""
    new = log_mean_exp(product.detach(), weight)
    moved = torch.logaddexp(log_average + math.log1p(-rate), new + math.log(rate))
    return torch.where(log_average == -math.inf, new, moved)


def mine(
    joint: Tensor,
    product: Tensor,
    log_average: Tensor,
    weight: Tensor | None = None,
    product_weight: Tensor | None = None,
) -> Tensor:
    r"""A surrogate whose gradient is that of :func:`donsker_varadhan` with less bias (Belghazi et al. 2018).

    .. math:: E_{p(x, z)} \nabla T - \frac{E_{p(x) p(z)} e^T \nabla T}{a}

    where :math:`a` is a moving average of the denominator over batches, given by its logarithm from
    :func:`moving_log_average`. Only the gradient has a meaning. Shapes as there.
    """
    return _mean(joint, weight) - torch.exp(log_mean_exp(product, product_weight) - log_average.detach())
