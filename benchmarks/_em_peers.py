"""The sides of the benchmarks of exact models: what is fitted, and seconds inside ``fit``."""

import time
from contextlib import nullcontext

import numpy as np
import torch
from _timing import TaskClock
from sklearn.mixture import GaussianMixture as PeerMixture
from threadpoolctl import threadpool_limits

from skgen.distributions.covariance import COVARIANCES


class TimedPeerMixture(PeerMixture):
    """scikit-learn's mixture, which notes the time at the end of each iteration."""

    def _compute_lower_bound(self, *args):
        self.times.append(time.perf_counter())
        return super()._compute_lower_bound(*args)


class TimedPomegranate:
    """pomegranate's mixture of full covariances in float32, its own dtype, from the same start."""

    def __init__(self, start, max_iter):
        self.start, self.max_iter, self.times = start, max_iter, []
        n_threads = torch.get_num_threads()
        from pomegranate.distributions import Normal
        from pomegranate.gmm import GeneralMixtureModel

        torch.set_num_threads(n_threads)  # importing pomegranate changes it
        self.component, self.kind = Normal, GeneralMixtureModel

    def fit(self, X):
        x = torch.as_tensor(X, dtype=torch.float32)
        means = torch.as_tensor(self.start["means_init"], dtype=torch.float32)
        covariances = torch.linalg.inv(torch.as_tensor(self.start["precisions_init"])).float()
        parts = [self.component(mean, covariance) for mean, covariance in zip(means, covariances, strict=True)]
        self.mixture = self.kind(parts)
        for _ in range(self.max_iter):
            self.mixture.summarize(x)
            self.mixture.from_summaries()
            self.times.append(time.perf_counter())
        return self

    def score(self, X):
        """Mean log-likelihood of rows, nats per row."""
        return float(self.mixture.log_probability(torch.as_tensor(X, dtype=torch.float32)).double().mean())


class Fit:
    """A side that fits a fresh model at each call.

    Parameters
    ----------
    make : callable
        Gives an unfitted model.
    X : array of shape (rows, features)
    threads : int, default=None
        Threads of NumPy's libraries during the fit; None leaves them alone.
    per_iteration : bool, default=False
        Whether the mean seconds of the iterations after the first are counted, or those of the whole fit.

    Attributes
    ----------
    fitted : object
        The last model.
    totals : list of float
        Seconds of all fits.
    times : list of float
        When the iterations of the last fit ended, in seconds from its beginning.
    """

    def __init__(self, make, X, *, threads=None, per_iteration=False):
        self.make, self.X, self.threads, self.per_iteration = make, X, threads, per_iteration
        self.totals = []

    def __call__(self):
        model = self.make()
        times = self._watch(model)
        with nullcontext() if self.threads is None else threadpool_limits(self.threads):
            start = time.perf_counter()
            self.fitted = model.fit(self.X)
            self.totals.append(time.perf_counter() - start)
        self.times = [each - start for each in times]
        if not self.per_iteration:
            return self.totals[-1]
        return (self.times[-1] - self.times[0]) / (len(self.times) - 1)

    @staticmethod
    def _watch(model):
        """The list that receives the time at which each iteration ends."""
        if type(model).__module__.startswith("skgen."):
            clock = TaskClock("iteration")
            model.set_callbacks(clock)
            return clock.times
        if isinstance(model, TimedPeerMixture):
            model.times = []
        return getattr(model, "times", [])

    def curve(self):
        """Seconds from the beginning of the last fit, and the likelihood of the parameters at that moment.

        Both packages list the likelihood that each iteration starts from.
        """
        return np.array(self.times), np.array([*self.fitted.lower_bounds_[1:], self.fitted.score(self.X)])


def products_iteration(n_rows, n_features, n_components, covariance_type):
    """The matrix products of an iteration alone, tile by tile on numbers that stay in cache, and their operations."""
    covariance = COVARIANCES[covariance_type]
    rows = 8192 if covariance.tied else covariance.tile_rows(n_features)
    n_columns = n_features + (0 if covariance.tied else covariance.n_packed(n_features))
    features = torch.randn(n_columns, rows, dtype=torch.float64)
    weights = torch.randn(n_components, n_columns, dtype=torch.float64)
    joint, sums = torch.empty(n_components, rows, dtype=torch.float64), torch.zeros_like(weights)

    def iteration():
        for _ in range(-(-n_rows // rows)):
            torch.mm(weights, features, out=joint)
            sums.addmm_(joint, features.T)

    return iteration, 4 * n_rows * n_columns * n_components


def cross_product(X):
    """X'X alone, by NumPy's symmetric update."""

    def product():
        X.T @ X

    return product
