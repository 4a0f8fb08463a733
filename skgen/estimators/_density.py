"""What every density estimator shares, whatever its model is made of."""

import numpy as np
import torch
from sklearn.base import DensityMixin
from sklearn.utils import check_random_state

from skgen.estimators._arrays import seed_from
from skgen.estimators._sklearn import _check_sample_weight


class RowScores:
    """Mixin of the estimators with ``score_samples``, of which ``score`` is the mean."""

    score_kind = "exact"
    """What a score is: "exact", "bound", "estimate", or "pseudo" where it is no likelihood."""

    score_measure = "density"
    """What scores are relative to: "density", "mass" or "mixed"; nats compare only within one."""

    def _scored_rows(self, X, y):
        """What :meth:`score` is the mean of."""
        return self.score_samples(X)

    def score(self, X, y=None, sample_weight=None):
        """Mean of :meth:`score_samples`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of rows in the mean.

        Returns
        -------
        score : float
            In the units of :meth:`score_samples`, higher is better.
        """
        values = self._scored_rows(X, y).astype(np.float64)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, values, dtype=np.float64, ensure_non_negative=True)
            sample_weight = sample_weight / sample_weight.max()
            values, sample_weight = values[sample_weight > 0], sample_weight[sample_weight > 0]
        return float(np.average(values, weights=sample_weight))


class Drawer:
    """Mixin of the estimators that draw rows."""

    def _generator(self, random_state, device):
        """Source of draws on a device; None stands for the estimator's own random state."""
        source = check_random_state(self.random_state if random_state is None else random_state)
        return torch.Generator(device).manual_seed(seed_from(source))


class DensityEstimator(Drawer, RowScores, DensityMixin):
    """Mixin of the estimators of a density p(x): a score in nats per row, and what drawing rows needs."""
