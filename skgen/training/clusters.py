"""Starts for mixtures: rows that stand for all, and clusters of them.

Everything here depends on rows and weights through their weighted empirical distribution only: a row of weight 0 is
absent, an integer weight repeats its row, and the order of the rows is of no account. Draws are made with a CPU
generator and are read off cumulative weights of rows in an order that their values define; choices between numbers
that differ by rounding only fall on the one that comes first.
"""

from collections.abc import Callable
from math import log
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from skgen.training.representatives import mean_and_scale, read_off, tile_rows, uniform

TIE = 1e-12
"""Relative difference up to which numbers count as equal: above rounding, far below what data resolves."""

ROUNDING = 1e-9
"""The same where a covariance has been inverted, which enlarges rounding errors."""


def _ranked(values: Tensor, tolerance: float | Tensor) -> Tensor:
    """Places of numbers (n,) in increasing order; chains of numbers closer than the tolerance keep their order."""
    ordered, order = torch.sort(values)
    group = torch.zeros_like(order)
    group[1:] = torch.cumsum(ordered.diff() > tolerance, 0)
    return torch.sort(group * len(values) + order).values % len(values)


# Coordinates in which rows are near each other.


def centred(x: Tensor, weight: Tensor) -> Tensor:
    """Rows less their weighted mean, (rows, features); missing entries are at the mean."""
    return (x - mean_and_scale(x, weight)[0]).nan_to_num_(0)


def whitened(x: Tensor, weight: Tensor) -> Tensor:
    """Coordinates of rows whose weighted mean is 0 and covariance the identity.

    An affine map of the rows turns or reflects them and changes no distance, as long as rounding does not hide a
    direction. Directions without variance, as duplicated columns, constant columns or fewer rows than columns have
    them, are left out. Affinely independent rows, as rows in more columns than rows are, are all equally far apart if
    their weights are equal: then distances say nothing, and :func:`centred` rows are the better choice.

    Parameters
    ----------
    x : Tensor of shape (rows, features)
        Missing entries, NaN, are put at the mean of their column.
    weight : Tensor of shape (rows,)
        Positive.

    Returns
    -------
    Tensor of shape (rows, directions)
        At least one direction: zeros if all rows are equal.
    """
    mean, scale = mean_and_scale(x, weight)
    rows = ((x - mean) / scale).nan_to_num_(0)
    root = rows * (weight / weight.sum()).sqrt().unsqueeze(1)
    wide = rows.shape[1] > len(rows)
    values, vectors = torch.linalg.eigh(root @ root.T if wide else root.T @ root)
    kept = values > values[-1] * max(rows.shape) * torch.finfo(values.dtype).eps
    values, vectors = values[kept], vectors[:, kept]
    if not len(values):
        return rows.new_zeros(len(rows), 1)
    directions: Tensor = root.T @ (vectors / values) if wide else vectors / values.sqrt()
    return rows @ directions


# Clusters, for several restarts at a time.


def coordinates(x: Tensor, weight: Tensor, *, whiten: bool) -> Tensor:
    """Rows whitened, or centred: fewer than two per direction would all be whitened to about the same distance."""
    return whitened(x, weight) if whiten and len(x) >= 2 * (x.shape[1] + 1) else centred(x, weight)


def _square(y: Tensor) -> Tensor:
    """Squared lengths along the last axis."""
    return y.square().sum(-1)


def _without_rounding(distance: Tensor, length: Tensor) -> Tensor:
    """Squared distances in place, 0 where they are rounding errors next to the squared lengths of the rows."""
    return distance.masked_fill_(distance <= TIE * length, 0)


def kmeans_plus_plus(
    y: Tensor,
    weight: Tensor,
    n_clusters: int,
    *,
    n_restarts: int,
    generator: Generator,
    n_trials: int | None = None,
) -> Tensor:
    """Centres among the rows, each drawn in proportion to weight times squared distance to the centres before it.

    Of ``n_trials`` draws the one that leaves the smallest sum of weighted squared distances is taken, as
    scikit-learn does. When all rows are centres already, further centres repeat a row.

    Parameters
    ----------
    y : Tensor of shape (rows, directions)
        Rows about their mean, in an order that their values define.
    weight : Tensor of shape (rows,)
    n_clusters, n_restarts : int
    generator : torch.Generator
        On the CPU.
    n_trials : int, default=None
        None takes 2 + log(n_clusters); 1 is the rule of the paper.

    Returns
    -------
    Tensor of shape (n_restarts, n_clusters, directions)

    References
    ----------
    Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding" (2007),
    https://theory.stanford.edu/~sergei/papers/kMeansPP-soda.pdf
    """
    n_trials = n_trials or 2 + int(log(n_clusters))
    length, restart = _square(y), torch.arange(n_restarts, device=y.device)
    favour = 1 + TIE * torch.arange(n_trials, dtype=y.dtype, device=y.device)
    closest = torch.full((n_restarts, len(y)), torch.inf, dtype=y.dtype, device=y.device)
    cumulative = torch.cumsum(weight, 0).repeat(n_restarts, 1)
    chosen = []
    for trials in [1] + [n_trials] * (n_clusters - 1):
        rows = read_off(cumulative, uniform(generator, n_restarts, trials, like=y) * cumulative[:, -1:])
        distance = torch.addmm(length, y[rows.flatten()], y.T, alpha=-2).add_(length[rows.flatten(), None])
        distance = torch.minimum(distance.view(n_restarts, trials, -1), closest[:, None])
        best = torch.argmin((distance @ weight) * favour[:trials], 1)
        chosen.append(rows[restart, best])
        closest = _without_rounding(distance[restart, best], length)
        cumulative = torch.cumsum(closest * weight, 1)
    return y[torch.stack(chosen, 1)]


def _nearest(y: Tensor, centres: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """The centre nearest to each row, and the squared distance to it less the squared length, (rows, n_restarts) each.

    ``bias`` (n_clusters,) is added to squared distances to decide between equal ones.
    """
    n_restarts, n_clusters, _ = centres.shape
    flat = centres.flatten(0, 1)
    offset = (_square(centres) + bias).flatten()
    found = [
        torch.addmm(offset, rows, flat.T, alpha=-2).view(-1, n_restarts, n_clusters).min(2)
        for rows in y.split(tile_rows(len(flat)))
    ]
    return torch.cat([each.indices for each in found]), torch.cat([each.values for each in found])


def _means(y: Tensor, weight: Tensor, labels: Tensor, n_clusters: int) -> tuple[Tensor, Tensor]:
    """Weighted means of the clusters of labels (rows, n_restarts), and the clusters' weights; 0 for empty ones."""
    n_restarts = labels.shape[1]
    total = y.new_zeros(n_restarts * n_clusters, y.shape[1])
    mass = y.new_zeros(n_restarts * n_clusters)
    column = labels + n_clusters * torch.arange(n_restarts, device=y.device)
    size = tile_rows(len(mass))
    for rows, part, place in zip(y.split(size), weight.split(size), column.split(size), strict=True):
        members = y.new_zeros(len(rows), len(mass)).scatter_(1, place, part[:, None].expand_as(place))
        total.addmm_(members.T, rows)
        mass += members.sum(0)
    means = total / mass.where(mass > 0, 1)[:, None]
    return means.view(n_restarts, n_clusters, -1), mass.view(n_restarts, n_clusters)


def _reseeded(y: Tensor, centres: Tensor, empty: Tensor, distance: Tensor) -> Tensor:
    """Centres with each empty cluster's moved to a row of its own, the farthest first, while rows are off centre."""
    n_rows = min(len(y), int(empty.sum(1).max()))
    farthest, row = distance.topk(n_rows, 1)
    place = (torch.cumsum(empty, 1) - 1).clamp_(0, n_rows - 1)
    moved = empty & (farthest.gather(1, place) > 0)
    return torch.where(moved[..., None], y[row.gather(1, place)], centres)


def lloyd(y: Tensor, weight: Tensor, centres: Tensor, n_iter: int) -> tuple[Tensor, Tensor]:
    """Clusters of rows by k-means, from several sets of centres at a time.

    Each iteration moves the centres to the means of their clusters, empty clusters to the rows that are farthest from
    their centre, and assigns every row to its nearest centre, the first of equal ones; the inertia never rises. With
    more clusters than distinct rows, some stay empty.

    Parameters
    ----------
    y : Tensor of shape (rows, directions)
        Rows about their mean.
    weight : Tensor of shape (rows,)
    centres : Tensor of shape (n_restarts, n_clusters, directions)
    n_iter : int
        Most iterations; it stops before if nothing changes. With 0, rows are assigned to the given centres.

    Returns
    -------
    labels : Tensor of shape (n_restarts, rows)
    inertia : Tensor of shape (n_restarts,)
        Sum of weights times squared distances to the centres.

    References
    ----------
    Lloyd, "Least squares quantization in PCM" (1982), https://doi.org/10.1109/TIT.1982.1056489
    """
    length = _square(y)
    scale = torch.dot(weight, length) / weight.sum()
    bias = TIE * scale * torch.arange(centres.shape[1], dtype=y.dtype, device=y.device)

    def distance() -> Tensor:
        return _without_rounding((value - bias[labels]).T + length, length)

    labels, value = _nearest(y, centres, bias)
    for _ in range(n_iter):
        means, mass = _means(y, weight, labels, centres.shape[1])
        empty = mass == 0
        centres = torch.where(empty[..., None], centres, means)
        if bool(empty.any()):
            centres = _reseeded(y, centres, empty, distance() * (weight > 0))
        before = labels
        labels, value = _nearest(y, centres, bias)
        if torch.equal(labels, before):
            break
    return labels.T.contiguous(), distance() @ weight


# Candidate responsibilities.


def _hard(labels: Tensor, n_clusters: int, like: Tensor) -> Tensor:
    """Responsibilities of 0 and 1, (n_restarts, rows, n_clusters)."""
    return like.new_zeros(*labels.shape, n_clusters).scatter_(2, labels[..., None], 1)


def _from_kmeans(
    y: Tensor, weight: Tensor, n_clusters: int, n_restarts: int, n_iter: int, generator: Generator
) -> Tensor:
    """Clusters of k-means from centres of k-means++."""
    centres = kmeans_plus_plus(y, weight, n_clusters, n_restarts=n_restarts, generator=generator)
    return _hard(lloyd(y, weight, centres, n_iter)[0], n_clusters, y)


def _from_seeds(
    y: Tensor, weight: Tensor, n_clusters: int, n_restarts: int, n_iter: int, generator: Generator
) -> Tensor:
    """Each row with its nearest centre of k-means++."""
    return _from_kmeans(y, weight, n_clusters, n_restarts, 0, generator)


def _from_rows(
    y: Tensor, weight: Tensor, n_clusters: int, n_restarts: int, n_iter: int, generator: Generator
) -> Tensor:
    """Each row with the nearest of some rows, which are drawn by weight without replacement as far as there are any."""
    # The first arrivals of a race of exponential clocks whose rates are the weights are such a draw.
    arrival = -torch.log1p(-uniform(generator, n_restarts, len(y), like=y)) / weight
    rows = torch.argsort(arrival, 1)[:, torch.arange(n_clusters, device=y.device) % len(y)]
    return _hard(lloyd(y, weight, y[rows], 0)[0], n_clusters, y)


def _from_nothing(
    y: Tensor, weight: Tensor, n_clusters: int, n_restarts: int, n_iter: int, generator: Generator
) -> Tensor:
    """Uniform numbers, scaled to add up to 1 in each row."""
    numbers = 1 - uniform(generator, n_restarts, len(y), n_clusters, like=y)
    return numbers / numbers.sum(2, keepdim=True)


INITS: dict[str, Callable[..., Tensor]] = {
    "kmeans": _from_kmeans,
    "k-means++": _from_seeds,
    "random": _from_nothing,
    "random_from_data": _from_rows,
}
"""Functions that give candidate responsibilities (n_restarts, rows, n_clusters) of rows about their mean."""


class Start(NamedTuple):
    """Candidates for the start of a mixture.

    Attributes
    ----------
    x : Tensor of shape (rows, features)
        Rows that stand for all, NaN where an entry is missing.
    weight : Tensor of shape (rows,)
    responsibilities : Tensor of shape (n_restarts, rows, n_clusters)
        How much of each row each component takes at first; the candidate with the smallest inertia comes first.
    """

    x: Tensor
    weight: Tensor
    responsibilities: Tensor


def _inertia(y: Tensor, weight: Tensor, responsibilities: Tensor) -> Tensor:
    """Weighted squared distances of rows to the means that responsibilities give, (n_restarts,)."""
    members = responsibilities * weight[:, None]
    mass = members.sum(1)
    total = _square(members.transpose(1, 2) @ y)
    return torch.dot(weight, _square(y)) - (total / mass.where(mass > 0, 1)).sum(1)


def start(
    x: Tensor,
    weight: Tensor,
    n_clusters: int,
    *,
    init: str = "kmeans",
    whiten: bool = True,
    n_restarts: int,
    n_iter: int,
    generator: Generator,
) -> Start:
    """Responsibilities from which a mixture may start, for rows that stand for all.

    With ``whiten``, an affine map of the rows changes nothing.

    Parameters
    ----------
    x : Tensor of shape (rows, features)
        Distinct rows, such as :func:`~skgen.training.representatives.representatives` are, in float64. NaN where an
        entry is missing; it is put at the mean of its column where distances are taken.
    weight : Tensor of shape (rows,)
        Positive.
    n_clusters : int
        There may be fewer rows: then some clusters are empty.
    init : str
        A name of ``INITS``.
    whiten : bool
        Whether distances are taken between :func:`whitened` rows, or between rows as they are.
    n_restarts : int
        Number of candidates.
    n_iter : int
        Most iterations of k-means.
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    Start
    """
    y = coordinates(x, weight, whiten=whiten)
    # Distances from the mean are an order that turning the rows does not change.
    length = _square(y)
    order = _ranked(length, ROUNDING * length.mean())
    x, weight, y = x[order], weight[order], y[order]
    candidates = INITS[init](y, weight, n_clusters, n_restarts, n_iter, generator)
    best = _ranked(_inertia(y, weight, candidates), ROUNDING * torch.dot(weight, length[order]))
    return Start(x, weight, candidates[best])
