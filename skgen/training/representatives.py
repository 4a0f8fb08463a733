"""Rows that stand for all: a sample that depends on the weighted empirical distribution only."""

from collections.abc import Callable, Iterator

import torch
from torch import Generator, Tensor

TILE_ENTRIES = 2**17
"""Entries of a tile of rows or of distances: a megabyte, which stays in a processor's cache."""

TIE = 1e-13
"""Relative difference of keys up to which their rows are compared: above rounding, far below what data resolves."""

NEGLIGIBLE = 1e-9
"""Share of the mean weight of distinct rows below which a row is as good as absent."""


def uniform(generator: Generator, *shape: int, like: Tensor) -> Tensor:
    """Uniform numbers in [0, 1), drawn on the CPU."""
    return torch.rand(*shape, generator=generator, dtype=torch.float64).to(like.device)


def read_off(cumulative: Tensor, heights: Tensor) -> Tensor:
    """The rows at some heights of cumulative weights (..., rows); the last one above the top."""
    return torch.searchsorted(cumulative, heights, right=True).clamp_(max=cumulative.shape[-1] - 1)


def tile_rows(width: int) -> int:
    """Number of rows in a tile."""
    return max(1, TILE_ENTRIES // max(1, width))


def _tiles(x: Tensor, weight: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows of positive weight and their weights, tile by tile."""
    size = tile_rows(x.shape[1])
    for rows, part in zip(x.split(size), weight.split(size), strict=True):
        present = part > 0
        if not bool(present.all()):
            rows, part = rows[present], part[present]
        if len(rows):
            yield rows.double(), part


def _sums(rows: Tensor, weight: Tensor) -> Tensor:
    """Weighted sums of what is observed of each column, and the weights that they are over, (2, features)."""
    total = weight @ rows
    if not bool(total.isnan().any()):
        return torch.stack([total, weight.sum().expand_as(total)])
    missing = rows.isnan()
    return torch.stack([weight @ rows.masked_fill(missing, 0), weight @ (~missing).to(weight.dtype)])


def _some_value(x: Tensor, weight: Tensor) -> Tensor:
    """A value of each column, 0 where none is observed."""
    value = x.new_full((x.shape[1],), -torch.inf, dtype=torch.float64)
    for rows, _ in _tiles(x, weight):
        value = torch.maximum(value, rows.masked_fill(rows.isnan(), -torch.inf).amax(0))
        if bool(value.isfinite().all()):
            break
    return value.nan_to_num(neginf=0.0)


def mean_and_scale(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean and standard deviation of the observed entries of each column; the scale of a constant is 1."""

    def average(of: Callable[[Tensor], Tensor]) -> Tensor:
        sums = weight.new_zeros(2, x.shape[1])
        for rows, part in _tiles(x, weight):
            sums += _sums(of(rows), part)
        return sums[0] / sums[1].where(sums[1] > 0, 1)

    # About one of its own values a constant column is exactly 0, so that its deviation is no rounding error.
    origin = _some_value(x, weight)
    mean = origin + average(lambda rows: rows - origin)
    scale = average(lambda rows: (rows - mean).square_()).sqrt()
    return mean, scale.where(scale > 0, 1)


def _projected(x: Tensor, weight: Tensor, direction: Tensor) -> Tensor:
    """Coordinates of the standardised rows of positive weight along a direction, missing entries at the mean."""
    mean, scale = mean_and_scale(x, weight)
    keys = []
    for rows, _ in _tiles(x, weight):
        centred = rows - mean
        key = centred @ (direction / scale)
        if bool(key.isnan().any()):
            key = centred.nan_to_num_(0) @ (direction / scale)
        keys.append(key)
    return torch.cat(keys)


def _sort(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers in increasing order and their places, stably; torch sorts integers three times as fast as floats."""

    def flipped(bits: Tensor) -> Tensor:
        # The bits of floats below 0 fall as integers where the floats rise.
        return bits ^ ((bits >> 63) & torch.iinfo(torch.int64).max)

    bits, order = torch.sort(flipped(keys.view(torch.int64)), stable=True)
    return flipped(bits).view(torch.float64), order


def _same_as_next(x: Tensor, order: Tensor, places: Tensor) -> Tensor:
    """Whether the rows at some places of an order equal the rows that follow them; missing equals missing."""
    found = [torch.zeros_like(places[:0], dtype=torch.bool)]
    for part in places.split(tile_rows(x.shape[1])):
        row, following = x[order[part]], x[order[part + 1]]
        same = row == following
        if not bool(same.all()):
            same |= row.isnan() & following.isnan()
        found.append(same.all(1))
    return torch.cat(found)


def _lexicographic(x: Tensor, index: Tensor) -> Tensor:
    """Some rows in lexicographic order; missing entries come last."""
    for column in reversed(x.T):
        values = column[index].double()
        # Adding 0 makes zeros of both signs one number.
        index = index[_sort(values.masked_fill(values.isnan(), torch.inf) + 0.0)[1]]
    return index


def _canonical(x: Tensor, weight: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of positive weight in the order of their projections, and which of them equal the one before.

    Rows whose keys differ by no more than rounding are in most cases equal; where they are not, they are put in
    lexicographic order.
    """
    keys, order = _sort(_projected(x, weight, direction))
    if len(order) < len(x):
        order = torch.nonzero(weight > 0).squeeze(1)[order]
    close = keys.diff() <= TIE * (1 + keys[1:].abs())
    places = torch.nonzero(close).squeeze(1)
    same = _same_as_next(x, order, places)
    if not bool(same.all()):
        group = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        group[order[1:]] = torch.cumsum(~close, 0)
        mixed = torch.zeros_like(close, dtype=torch.bool)
        mixed[places[~same]] = True
        mixed = torch.isin(group[order], group[order[:-1][mixed]])
        ordered = _lexicographic(x, order[mixed])
        order[mixed] = ordered[torch.sort(group[ordered], stable=True).indices]
        same = _same_as_next(x, order, places)
    repeats = torch.zeros_like(order, dtype=torch.bool)
    repeats[places + 1] = same
    return order, repeats


def distinct(x: Tensor, weight: Tensor | None, *, generator: Generator) -> tuple[Tensor, Tensor]:
    """Places of the distinct rows of positive weight, (rows,), and the weights of all their repetitions together.

    They are in the order of their projection, standardised column by column, on a random direction, for which
    ``generator`` is, on the CPU. None stands for weights of 1.
    """
    weight = x.new_ones(len(x), dtype=torch.float64) if weight is None else weight.double()
    direction = torch.randn(x.shape[1], generator=generator, dtype=torch.float64)
    order, repeats = _canonical(x, weight, (direction / direction.norm()).to(x.device))
    weight = weight[order]
    if bool(repeats.any()):
        number = torch.cumsum(~repeats, 0) - 1
        order = order[~repeats]
        weight = weight.new_zeros(len(order)).index_add_(0, number, weight)
    return order, weight


def thinned(x: Tensor, weight: Tensor, n_rows: int, *, generator: Generator) -> tuple[Tensor, Tensor]:
    """A systematic sample of ``n_rows`` draws along the cumulative weight, or all rows where they are no more.

    Parameters
    ----------
    x : Tensor of shape (rows, features)
        Distinct rows in an order that their values define.
    weight : Tensor of shape (rows,)
    n_rows : int
    generator : torch.Generator
        On the CPU; it gives one uniform number.

    Returns
    -------
    x : Tensor of shape (at most n_rows, features)
    weight : Tensor of shape (at most n_rows,)
        Each draw has the same share of the total, so that a heavy row may have several shares.
    """
    shift = uniform(generator, 1, like=x)
    if len(x) <= n_rows:
        return x, weight
    cumulative = torch.cumsum(weight, 0)
    heights = (torch.arange(n_rows, device=x.device) + shift) * (cumulative[-1] / n_rows)
    chosen, count = torch.unique_consecutive(read_off(cumulative, heights), return_counts=True)
    return x[chosen], count * (cumulative[-1] / n_rows)


def representatives(x: Tensor, weight: Tensor | None, n_rows: int, *, generator: Generator) -> tuple[Tensor, Tensor]:
    """At most ``n_rows`` distinct rows that stand for all, with their weights.

    Rows are put in the order of their projection, standardised column by column, on a random direction, and equal ones
    are put together. Rows of next to no weight are left out, since the mere number of rows would tell of them. What
    is left is :func:`thinned`.

    Parameters
    ----------
    x : Tensor of shape (rows, features)
        NaN where an entry is missing.
    weight : Tensor of shape (rows,) or None
        None stands for ones.
    n_rows : int
    generator : torch.Generator
        On the CPU; it gives one direction and one uniform number.

    Returns
    -------
    x : Tensor of shape (at most n_rows, features)
        In float64.
    weight : Tensor of shape (at most n_rows,)
        The sum is the sum of the weights given, but for what is left out.
    """
    order, weight = distinct(x, weight, generator=generator)
    felt = weight > NEGLIGIBLE * weight.mean()
    if not bool(felt.all()):
        order, weight = order[felt], weight[felt]
    chosen, weight = thinned(order, weight, n_rows, generator=generator)
    return x[chosen].double(), weight
