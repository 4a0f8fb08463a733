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
MOST_COMPARED = 1000
"""Rows of a fit that drawn ones are compared with in each epoch, and that bandwidths are taken from."""
MOST_DRAWN, LEAST_DRAWN = 1000, 100
"""Rows that are drawn for the comparison of an epoch."""
N_NEIGHBORS = 5
"""The nearest row, by its number, that ends a row's neighbourhood."""


def spread_out(n_rows, most=MOST_COMPARED):
    """Numbers of at most so many rows, evenly spaced."""
    return np.linspace(0, n_rows - 1, min(n_rows, most)).astype(int)


def bandwidths_of(x):
    """Bandwidths from the distance of nearest rows to that of any two, so that no size of difference is overlooked.

    Of repeated rows each counts once.
    """
    x = torch.unique(x, dim=0)
    return np.geomspace(nearest_distance(x), median_distance(x), N_BANDWIDTHS)


def kernel_of(bandwidths):
    """The kernel of the distance, a mean of kernels of several bandwidths."""
    return functools.partial(scales_kernel, bandwidths=tuple(bandwidths.tolist()))


def distance_by_draws(x, share, drawn, kernel):
    """What of the squared mean discrepancy depends on drawn rows, (m_rows, n_features): a scalar.

    The shares of x add up to 1. Pairs of a drawn row with itself are left out, and so are all of them of a single one.
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
        rows may also be all that there is.
    """

    def __init__(self, x, share, bandwidths, *, sample):
        self.x, self.share = x, share
        self.kernel = kernel_of(bandwidths)
        own = mean_of_products(x, x, self.kernel, share, share)
        alone = share.square().sum()
        self.own = (own - alone) / (1 - alone) if sample and len(x) > 1 else own

    def __call__(self, drawn):
        """The distance of drawn rows, (m_rows, n_features), a scalar."""
        return self.own + distance_by_draws(self.x, self.share, drawn, self.kernel)


def with_classes(x, condition, bandwidths):
    """Rows beside their classes, so far apart that rows of different ones have nothing in common."""
    return x if condition is None else torch.cat([x, 10 * float(bandwidths.max()) * condition], 1)


def epoch_distance(model, rows, share, condition, drawing, bandwidths, *, sample, seed):
    """A function that gives minus the distance of rows drawn with the same noise at every call.

    ``rows`` are standardised; drawn ones have classes of these rows.
    """
    distance = Distance(with_classes(rows, condition, bandwidths), share, bandwidths, sample=sample)
    n_drawn = max(LEAST_DRAWN, min(MOST_DRAWN, 2 * len(rows)))

    def measure():
        generator = torch.Generator(rows.device).manual_seed(seed)
        z, of_drawn = drawing(n_drawn, generator)
        with torch.no_grad():
            return -float(distance(with_classes(model.drawn(z, of_drawn), of_drawn, bandwidths)))

    return measure


def coverage_of(x, drawn):
    """Share of rows with a drawn one nearer than their fifth nearest other row (Naeem et al. 2020)."""
    radius = NearestNeighbors(n_neighbors=N_NEIGHBORS).fit(x).kneighbors()[0][:, -1]
    nearest = NearestNeighbors(n_neighbors=1).fit(drawn).kneighbors(x)[0][:, 0]
    return float((nearest <= radius).mean())
