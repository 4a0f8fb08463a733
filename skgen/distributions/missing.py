"""Normal distributions of rows with missing entries: exact densities of what is there, and moments of what is not.

Missing at random (Rubin 1976): the likelihood of a row is that of its observed entries, and the E-step completes it
with the conditional mean and covariance of the others (Ghahramani and Jordan 1994).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from skgen.distributions.normal import LOG_2PI

CHUNK = 2**21
"""Numbers in the matrices of the patterns that are held at a time."""
GROUPED = 4
"""Rows per pattern from which on a pattern's rows are multiplied together."""


@dataclass
class Completion:
    """What a mixture's components say of incomplete rows.

    Attributes
    ----------
    log_prob : Tensor of shape (K, rows)
        Log-density of the observed entries, in nats.
    mean : Tensor of shape (K, rows, features)
        Observed entries, and the conditional means of the missing ones.
    covariance : Tensor of shape (K or 1, P, features, features) or (K or 1, P, features)
        Conditional covariances, or variances, of the missing entries for each pattern; 0 for observed ones.
    """

    log_prob: Tensor
    mean: Tensor
    covariance: Tensor


def complete_diagonal(x: Tensor, means: Tensor, variance: Tensor, patterns: Tensor, index: Tensor) -> Completion:
    """Completion under independent features.

    Parameters
    ----------
    x : Tensor of shape (rows, features)
        Rows, with any finite number where an entry is missing.
    means : Tensor of shape (K, features)
        Means of the components.
    variance : Tensor of shape (K or 1, features)
        Variances.
    patterns : Tensor of shape (P, features)
        Patterns, True where observed.
    index : Tensor of shape (rows,)
        Pattern of each row.
    """
    mask = patterns[index]
    deviation = (x - means.unsqueeze(1)).masked_fill(~mask, 0)
    squares = torch.einsum("knd,kd->kn", deviation.square(), variance.reciprocal().expand_as(means))
    constants = mask.to(x) @ (variance.log() + LOG_2PI).T
    mean = torch.where(mask, x, means.unsqueeze(1))
    return Completion(-0.5 * (squares + constants.T), mean, variance.unsqueeze(1) * (~patterns).to(x))


def complete_dense(x: Tensor, means: Tensor, covariance: Tensor, patterns: Tensor, index: Tensor) -> Completion:
    """Completion under full covariances (K or 1, features, features), with the rows sorted by pattern.

    Where the rows and columns of missing entries are the identity's, one batch of Cholesky factors serves patterns with
    any number of them.
    """
    deviation = (x - means.unsqueeze(1)).masked_fill(~patterns[index], 0)
    counts = torch.bincount(index, minlength=len(patterns))
    size = max(1, CHUNK // covariance.numel())
    log_prob, shift, spread = [], [], []
    for seen, count, rows in zip(
        patterns.split(size),
        counts.split(size),
        deviation.split([int(part.sum()) for part in counts.split(size)], dim=1),
        strict=True,
    ):
        inverse, log_det = _inverses(covariance, seen)
        regression = inverse @ covariance.unsqueeze(1)
        missing = (~seen).unsqueeze(-1) & (~seen).unsqueeze(-2)
        spread.append((covariance.unsqueeze(1) - covariance.unsqueeze(1) @ regression) * missing)
        constant = (log_det + LOG_2PI * seen.sum(1).to(log_det)).repeat_interleave(count, dim=1)
        log_prob.append(-0.5 * ((_by_pattern(rows, inverse, count) * rows).sum(-1) + constant))
        shift.append(_by_pattern(rows, regression, count))
    mean = torch.where(patterns[index], x, means.unsqueeze(1) + torch.cat(shift, 1))
    return Completion(torch.cat(log_prob, 1), mean, torch.cat(spread, 1))


def _inverses(covariance: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Inverses of the observed blocks, 0 elsewhere, (K or 1, P, features, features), and their log-determinants."""
    inside = seen.unsqueeze(-1) & seen.unsqueeze(-2)
    factor = torch.linalg.cholesky(covariance.unsqueeze(1) * inside + torch.diag_embed((~seen).to(covariance)))
    log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return torch.cholesky_inverse(factor) * inside, log_det


def _by_pattern(rows: Tensor, matrices: Tensor, count: Tensor) -> Tensor:
    """Each row (K, rows, features) times the matrix (K or 1, P, features, features) of its pattern."""
    if rows.shape[1] < GROUPED * len(count):
        return (rows.unsqueeze(-2) @ matrices.repeat_interleave(count, dim=1)).squeeze(-2)
    parts = [part @ matrices[:, p] for p, part in enumerate(rows.split(count.tolist(), dim=1))]
    return torch.cat(parts, 1)
