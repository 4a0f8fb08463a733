"""Where priors that start from the training rows get them from."""

import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from skgen.distributions.normal import standard_normal
from skgen.estimators._arrays import as_array, tile_size
from skgen.estimators.gaussian_mixture import GaussianMixture
from skgen.training.representatives import read_off, representatives

MOST_ROWS = 10000
"""Distinct rows that a mixture is fitted to at most."""


def completed(x):
    """Rows with an ordinary value of its column in place of each missing entry."""
    medians = torch.nanmedian(x, 0).values.nan_to_num()  # observed values, and so ones that the likelihood takes
    return torch.where(x.isnan(), medians, x)


class PriorStart:
    """Starts the prior of a model from rows, once: the :class:`~skgen.priors.TrainingRows` of estimators.

    Parameters
    ----------
    model : LatentVariableModel
        In training.
    batches : Batches
        Its rows.
    seed : int
        Of all that is drawn.
    prior : Prior
        What is started; None takes the model's.
    """

    def __init__(self, model, batches, seed, prior=None):
        self.model, self.batches, self.seed = model, batches, seed
        self.prior = model.prior if prior is None else prior

    def __call__(self):
        if not bool(self.prior.started):
            with torch.no_grad():
                self.prior.start(self)
            self.prior.started.fill_(True)

    def _standardized(self, n_rows):
        """At most so many distinct rows as the model takes them, on its device, and their weights."""
        batches, generator = self.batches, torch.Generator().manual_seed(self.seed)
        rows, weight = representatives(batches.rows, batches.weight, n_rows, generator=generator)
        rows = rows.to(batches.rows.dtype)
        x = (rows if batches.prepare is None else batches.prepare(rows)).to(self.model.scale)
        if batches.augment is not None:
            x = batches.augment(x, generator=torch.Generator(x.device).manual_seed(self.seed))
        return x, weight

    def rows(self, n_rows):
        """Standardised rows, drawn by weight as evenly as can be."""
        x, weight = self._standardized(n_rows)
        cumulative = torch.cumsum(weight, 0)
        heights = (torch.arange(n_rows, device=weight.device) + 0.5) * (cumulative[-1] / n_rows)
        return completed(x)[read_off(cumulative, heights).to(x.device)]

    def posteriors(self, n_rows):
        """Parameters of q(z | x) of at most so many distinct rows, and the weights of the rows."""
        x, weight = self._standardized(n_rows)
        return torch.cat([self.model.encode(part) for part in x.split(tile_size(self.model.width))]), weight

    def _encoded(self):
        """Posterior means of rows, their mean posterior variance, and their weights, in float64 on the CPU."""
        parameters, weight = self.posteriors(MOST_ROWS)
        parts = [self.model.posterior.mean_and_scale(part) for part in parameters.split(tile_size(self.model.width))]
        mean, scale = (torch.cat(part).double().cpu() for part in zip(*parts, strict=True))
        weight = weight.double().cpu()
        return mean, weight @ scale.square() / weight.sum(), weight

    def mixture(self, n_clusters, n_init):
        """Log-weights, means and variances of a mixture fitted to the posterior means, widened by their variance."""
        codes, noise, weight = self._encoded()
        if len(codes) < max(2, n_clusters):
            return self._few(codes, noise, weight, n_clusters)
        mixture = GaussianMixture(n_clusters, covariance_type="diag", n_init=n_init, random_state=self.seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a start need not have converged
            mixture.fit(as_array(codes), sample_weight=as_array(weight))
        weights = np.log(np.clip(mixture.weights_, 1e-6, None))
        return (
            torch.from_numpy(weights),
            torch.from_numpy(mixture.means_),
            torch.from_numpy(mixture.covariances_) + noise,
        )

    def _few(self, codes, noise, weight, n_clusters):
        """Components about rows that are fewer than they; small noise tells those of one row apart."""
        share = weight / weight.sum()
        variance = share @ (codes - share @ codes).square() + noise
        mean = codes[torch.arange(n_clusters) % len(codes)]
        mean = mean + 0.1 * variance.sqrt() * standard_normal(mean, torch.Generator().manual_seed(self.seed))
        return mean.new_zeros(n_clusters), mean, variance.expand_as(mean)
