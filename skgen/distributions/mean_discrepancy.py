"""The squared distance between the mean embeddings of two samples, by which samples of any kind can be compared.

A kernel is a function of rows (n, features) and (m, features) that gives (n, m). All sums over pairs run in blocks, so
that memory grows with the number of rows and not with its square, as long as no gradient is recorded.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Kernel = Callable[[Tensor, Tensor], Tensor]

BLOCK = 2048
"""Rows and columns of the blocks in which sums over pairs are taken."""


def squared_distances(x: Tensor, y: Tensor, accuracy: float = math.inf) -> Tensor:
    r"""The :math:`|x_i - y_j|^2` of rows, by a matrix product; (n, features) and (m, features) give (n, m).

    Rows are taken relative to the median of y, so that neither an offset that all share nor a few rows far from all
    others cost digits. Where rounding errors may exceed ``accuracy`` all the same, as between two groups far apart,
    distances come from differences, which takes longer.
    """
    center = y.detach().median(0).values
    x, y = x - center, y - center
    lengths, others = x.square().sum(1, keepdim=True), y.square().sum(1)
    if math.isfinite(accuracy) and _rounding(lengths, others) > accuracy:
        return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square()
    return (lengths + others - 2 * x @ y.mT).clamp_min(0)


def _rounding(lengths: Tensor, others: Tensor) -> float:
    """Bound of the error of the squared distances of rows with such squared lengths."""
    return 8 * torch.finfo(lengths.dtype).eps * float(lengths.detach().max() + others.detach().max())


def gaussian_kernel(x: Tensor, y: Tensor, bandwidth: float) -> Tensor:
    r""":math:`\exp(-|x - y|^2 / 2 h^2)`, (n, m); characteristic, so that only equal distributions have distance 0."""
    accuracy = math.sqrt(torch.finfo(x.dtype).eps) * bandwidth**2
    return torch.exp(squared_distances(x, y, accuracy) * (-0.5 / bandwidth**2))


def scales_kernel(x: Tensor, y: Tensor, bandwidths: Sequence[float]) -> Tensor:
    r"""The mean of :math:`(1 + |x - y|^2 / 2 h^2)^{-1}` over bandwidths h, (n, m): it sees differences of each size.

    Each is a mixture of Gaussian kernels, and costs a division in the place of an exponential (Binkowski et al. 2018,
    https://arxiv.org/abs/1801.01401).
    """
    distances = squared_distances(x, y, math.sqrt(torch.finfo(x.dtype).eps) * min(bandwidths) ** 2)
    total = torch.zeros_like(distances)
    for bandwidth in bandwidths:
        total += (distances * (0.5 / bandwidth**2)).add_(1).reciprocal_()
    return total / len(bandwidths)


def cubic_kernel(x: Tensor, y: Tensor) -> Tensor:
    r""":math:`(x \cdot y / d + 1)^3` of rows of d features, (n, m); it compares the first three moments."""
    return (x @ y.mT / x.shape[1] + 1) ** 3


def median_distance(x: Tensor) -> float:
    """The median distance of distinct rows, a common bandwidth of the Gaussian kernel; 1 if all rows are equal.

    Pairs of equal rows are left out, since in discrete data they may be more than half. Memory grows with the square
    of the number of rows.
    """
    distances = torch.pdist(x.detach())
    apart = distances[distances > 0]
    return float(apart.median()) if len(apart) else 1.0


def nearest_distance(x: Tensor) -> float:
    """The median distance of a row to the nearest one that is not equal to it; 1 if all rows are equal.

    Memory grows with the square of the number of rows.
    """
    distances = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    nearest = distances.masked_fill(distances == 0, math.inf).amin(1)
    apart = nearest[nearest < math.inf]
    return float(apart.median()) if len(apart) else 1.0


def mean_of_products(
    x: Tensor, y: Tensor, kernel: Kernel, share: Tensor | None = None, other: Tensor | None = None
) -> Tensor:
    """The sum of k over all pairs of a row of x and a row of y, weighted by the shares of both, a scalar.

    Shares may be any numbers; None are equal ones that add up to 1.
    """
    share = x.new_full((len(x),), 1 / len(x)) if share is None else share
    other = y.new_full((len(y),), 1 / len(y)) if other is None else other
    blocks = list(zip(y.split(BLOCK), other.split(BLOCK), strict=True))
    means = [
        part @ kernel(rows, columns) @ of_columns
        for rows, part in zip(x.split(BLOCK), share.split(BLOCK), strict=True)
        for columns, of_columns in blocks
    ]
    return torch.stack(means).sum()


def mean_discrepancy(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    r"""Unbiased estimate of the squared maximum mean discrepancy of two samples, differentiable in both.

    .. math:: \frac{1}{n (n-1)} \sum_{i \ne j} k(x_i, x_j) + \frac{1}{m (m-1)} \sum_{i \ne j} k(y_i, y_j)
        - \frac{2}{n m} \sum_{i, j} k(x_i, y_j)

    Its mean is 0 if both are from one distribution, so that it is often negative there (Gretton et al. 2012, "A kernel
    two-sample test", https://jmlr.org/papers/v13/gretton12a.html).

    Shapes: (n, features) and (m, features), n and m at least 2, give a scalar.
    """
    return _mean_of_pairs(x, kernel) + _mean_of_pairs(y, kernel) - 2 * _sum(x, y, kernel) / (len(x) * len(y))


def _mean_of_pairs(x: Tensor, kernel: Kernel) -> Tensor:
    """The mean of k over pairs of distinct rows."""
    total = x.new_zeros(())
    for i, rows in enumerate(x.split(BLOCK)):
        own = kernel(rows, rows)
        total = total + own.sum() - own.diagonal().sum()
        if len(rest := x[(i + 1) * BLOCK :]):
            total = total + 2 * _sum(rows, rest, kernel)
    return total / (len(x) * (len(x) - 1))


def _sum(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    """The sum of k over all pairs of a row of x and a row of y."""
    sums = [kernel(rows, columns).sum() for rows in x.split(BLOCK) for columns in y.split(BLOCK)]
    return torch.stack(sums).sum()


def divided_discrepancies(pooled: Tensor, members: Tensor, kernel: Kernel) -> Tensor:
    """:func:`mean_discrepancy` of several divisions of the same rows into two samples.

    Each block of the kernel is computed once and multiplied with all divisions.

    Parameters
    ----------
    pooled : Tensor of shape (rows, features)
        The rows of both samples.
    members : Tensor of shape (rows, divisions), bool
        Which rows make up the first sample. Each division has the same number of them, at least 2 and at most
        the number of rows less 2.
    kernel : callable
        A symmetric kernel.

    Returns
    -------
    Tensor of shape (divisions,)
    """
    within = pooled.new_zeros(members.shape[1])  # over pairs of rows that are both in the first sample
    touching = torch.zeros_like(within)  # over pairs of a row in the first sample and any other
    total = pooled.new_zeros(())  # over all pairs
    blocks = list(zip(pooled.split(BLOCK), members.split(BLOCK), strict=True))
    for i, (x, own) in enumerate(blocks):
        own = own.to(x.dtype)
        for j, (y, other) in enumerate(blocks[i:]):
            k = kernel(x, y)
            if j == 0:
                k = k - torch.diag(k.diagonal())
            other = other.to(x.dtype)
            # A block off the diagonal stands for its mirror image as well.
            twice = 1 if j == 0 else 2
            within += twice * (own * (k @ other)).sum(0)
            touching += k.sum(1) @ own if j == 0 else k.sum(1) @ own + k.sum(0) @ other
            total += twice * k.sum()
    n = int(members[:, 0].sum())
    m = len(pooled) - n
    between = touching - within
    return within / (n * (n - 1)) + (total - touching - between) / (m * (m - 1)) - 2 * between / (n * m)
