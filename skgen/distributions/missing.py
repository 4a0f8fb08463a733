"""Normal distributions of rows with missing entries: exact densities of what is there, and moments of what is not.

Missing at random (Rubin 1976): the likelihood of a row is that of its observed entries, and the E-step completes it
with the conditional mean and covariance of the others (Ghahramani and Jordan 1994).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from skgen.distributions.normal import LOG_2PI

CHUNK = 2**18
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

    def spread(self, label: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Different covariances of rows from their components and patterns, and which of them each row has."""
        cells, which = torch.unique(torch.stack([label, index]), dim=1, return_inverse=True)
        covariance = self.covariance.expand(len(self.log_prob), *self.covariance.shape[1:])
        return covariance[cells[0], cells[1]], which


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

    Given the observed entries of a row, the missing ones have the inverse of their block of the precision for
    covariance, so that the matrices to invert are no larger than what is missing.
    """
    mask = patterns[index]
    deviation = (x - means.unsqueeze(1)).masked_fill(~mask, 0)
    root = torch.linalg.cholesky(covariance)
    whitening = torch.linalg.solve_triangular(root, torch.eye(x.shape[1]).to(root), upper=False)
    precision = whitening.mT @ whitening
    counts = torch.bincount(index, minlength=len(patterns))
    size, groups, d = max(1, CHUNK // covariance.numel()), len(covariance), x.shape[1]
    slopes = (deviation @ precision).split([int(part.sum()) for part in counts.split(size)], dim=1)
    spread, shift, log_det = covariance.new_zeros(groups, len(patterns), d**2), [], []
    for i, (seen, count, slope) in enumerate(zip(patterns.split(size), counts.split(size), slopes, strict=True)):
        places, inverse, log_det_missing = _inverses(precision, seen)
        cells = (places.unsqueeze(-1) * d + places.unsqueeze(-2)).flatten(1)
        spread[:, i * size : (i + 1) * size].scatter_(2, cells.expand(groups, -1, -1), inverse.flatten(2))
        columns = places.repeat_interleave(count, dim=0).expand(len(slope), -1, -1)
        move = -_by_pattern(slope.gather(2, columns), inverse, count)
        shift.append(torch.zeros_like(slope).scatter_(2, columns, move))
        log_det.append(log_det_missing.repeat_interleave(count, dim=1))
    moved = torch.cat(shift, 1)
    squares = ((deviation + moved) @ whitening.mT).square().sum(-1)
    constant = 2 * root.diagonal(dim1=-2, dim2=-1).log().sum(-1, keepdim=True) + LOG_2PI * mask.sum(1).to(squares)
    log_prob = -0.5 * (squares + torch.cat(log_det, 1) + constant).masked_fill(~mask.any(1), 0)
    return Completion(log_prob, torch.where(mask, x, means.unsqueeze(1) + moved), spread.unflatten(2, (d, d)))


def _inverses(precision: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Inverses of the missing blocks of a precision, and the log-determinants of these, (K or 1, P).

    Blocks are as large as the largest, filled up with observed features, whose rows and columns are the identity's in
    what is inverted and 0 in the inverses, (K or 1, P, size, size). Their features are the first result, (P, size).
    """
    n_missing = (~seen).sum(1)
    size = max(1, int(n_missing.max()))
    places = seen.to(torch.uint8).argsort(dim=1, stable=True)[:, :size]
    real = torch.arange(size, device=seen.device) < n_missing.unsqueeze(1)
    both = real.unsqueeze(-1) & real.unsqueeze(-2)
    block = precision[:, places.unsqueeze(-1), places.unsqueeze(-2)]
    factor = torch.linalg.cholesky(torch.where(both, block, torch.eye(size).to(block)))
    log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return places, torch.cholesky_inverse(factor) * both, log_det


def _by_pattern(rows: Tensor, matrices: Tensor, count: Tensor) -> Tensor:
    """Each row (K, rows, features) times the matrix (K or 1, P, features, features) of its pattern."""
    if rows.shape[1] < GROUPED * len(count):
        return (rows.unsqueeze(-2) @ matrices.repeat_interleave(count, dim=1)).squeeze(-2)
    parts = [part @ matrices[:, p] for p, part in enumerate(rows.split(count.tolist(), dim=1))]
    return torch.cat(parts, 1)
