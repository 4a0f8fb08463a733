"""How far drawn rows are from others: what stands for a likelihood where there is none."""

import functools

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors

from skgen.distributions.mean_discrepancy import (
    mean_of_products,
    median_distance,
    nearest_distance,
    scales_kernel,
)

N_BANDWIDTHS = 5
SMALLEST_BANDWIDTH = 1e-6
"""In standard deviations: smaller differences of rows are rounding errors in float32."""
MOST_COMPARED = 1000
"""Rows of a batch, or of a fit, that drawn ones are compared with; bandwidths are taken from so many too."""
MOST_DRAWN, LEAST_DRAWN = 1000, 100
"""Rows that are drawn for the comparison of an epoch."""
N_NEIGHBORS = 5
"""The nearest row, by its number, that ends a row's neighbourhood."""


def compared_rows(n_rows):
    """Numbers of the rows that drawn ones are compared with, in order: all, or else some that are always the same.

    They are chosen at random: evenly spaced ones may all be alike, where groups of rows take turns.
    """
    return np.sort(np.random.default_rng(0).choice(n_rows, min(n_rows, MOST_COMPARED), replace=False))


def bandwidths_of(x):
    """Bandwidths from the distance of nearest rows to that of any two, so that no size of difference is overlooked.

    Of repeated rows each counts once.
    """
    x = torch.unique(x, dim=0)
    ends = (max(distance(x), SMALLEST_BANDWIDTH) for distance in (nearest_distance, median_distance))
    return np.geomspace(*ends, N_BANDWIDTHS)


def kernel_of(bandwidths):
    """The kernel of the distance, a mean of kernels of several bandwidths."""
    return functools.partial(scales_kernel, bandwidths=tuple(bandwidths.tolist()))


def distance_by_draws(x, share, drawn, kernel):
    """What of the squared mean discrepancy depends on drawn rows, (m_rows, n_features): a scalar.

    The shares of x add up to 1, of batches in the mean. Pairs of a drawn row with itself are left out, and so are all
    of them of a single one.
    """
    n_others = max(len(drawn) - 1, 1)
    weight = torch.cat([-2 * share, share.new_full((len(drawn),), 1 / n_others)])
    return mean_of_products(drawn, torch.cat([x, drawn]), kernel, None, weight) - 1 / n_others


class Distance:
    """Squared mean discrepancy of drawn rows to others.

    Parameters
    ----------
    x : Tensor of shape (n_rows, n_features)
    share : Tensor of shape (n_rows,)
        Adds up to 1.
    bandwidths : array of shape (n_bandwidths,)
    sample : bool
        Whether the rows are a sample of what is compared with, whose pairs of a row with itself are left out; the
        rows may also be all that there is. A row that has all the weight, but for rounding, is all that there is.

    References
    ----------
    Gretton et al. (2012), A kernel two-sample test, https://jmlr.org/papers/v13/gretton12a.html.
    """

    def __init__(self, x, share, bandwidths, *, sample):
        self.x, self.share = x, share
        self.kernel = kernel_of(bandwidths)
        own = mean_of_products(x, x, self.kernel, share, share)
        alone = share.square().sum()
        others = 1 - alone
        self.own = (own - alone) / others if sample and others > torch.finfo(x.dtype).eps ** 0.5 else own

    def __call__(self, drawn):
        """The distance of drawn rows, (m_rows, n_features), a scalar."""
        return self.own + distance_by_draws(self.x, self.share, drawn, self.kernel)


def with_classes(x, condition, bandwidths):
    """Rows beside their classes, so far apart that rows of different ones have nothing in common."""
    return x if condition is None else torch.cat([x, 10 * float(bandwidths.max()) * condition], 1)


class EpochDistance:
    """Minus the distance of rows drawn with the same noise at every call, under a name.

    Parameters
    ----------
    name : str
    model : AdversarialModel
    rows, share, condition : Tensor
        Standardised rows, shares that add up to 1, and conditions or None; drawn rows have classes of these rows.
    drawing : Drawing
    bandwidths, sample
        As for :class:`Distance`.
    seed : int
    """

    def __init__(self, name, model, rows, share, condition, drawing, bandwidths, *, sample, seed):
        self.name, self.model, self.drawing, self.bandwidths, self.seed = name, model, drawing, bandwidths, seed
        self.rows, self.share, self.condition = rows, share, condition
        self.distance = Distance(with_classes(rows, condition, bandwidths), share, bandwidths, sample=sample)
        self.n_drawn = max(LEAST_DRAWN, min(MOST_DRAWN, 2 * len(rows)))

    def __call__(self):
        generator = torch.Generator(self.rows.device).manual_seed(self.seed)
        with torch.no_grad():
            drawn = self.drawing.rows(self.model, self.n_drawn, generator)
            return {self.name: -float(self.distance(with_classes(*drawn, self.bandwidths)))}


def coverage_of(x, drawn):
    """Share of rows with a drawn one nearer than their fifth nearest other row (Naeem et al. 2020)."""
    radius = NearestNeighbors(n_neighbors=N_NEIGHBORS).fit(x).kneighbors()[0][:, -1]
    nearest = NearestNeighbors(n_neighbors=1).fit(drawn).kneighbors(x)[0][:, 0]
    return float((nearest <= radius).mean())
