"""Conjugate priors on the parameters of mixtures of normal distributions, as an M-step takes them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from skgen.distributions.covariance import Covariance


@dataclass
class ConjugateTerms:
    """A conjugate prior with its numbers filled in, as the M-step and the log-prior need it.

    Attributes
    ----------
    concentration : float
        Of the weights.
    mean_precision : float
        Rows that the prior on a mean counts for.
    mean : Tensor of shape (features,)
        Expected mean, centred as the rows are.
    count : float
        :meth:`Covariance.prior_count`.
    scatter : Tensor of shape (n_packed,)
        Scale of the covariances' prior, packed; a pooled one is shared out over the features.
    """

    concentration: float
    mean_precision: float
    mean: Tensor
    count: float
    scatter: Tensor

    def means(self, means: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
        """Means at the mode, and what the prior adds to the scatters: vectors (K, features) times themselves."""
        share = (count / (count + self.mean_precision)).unsqueeze(1)
        deviation = means - self.mean
        return self.mean + share * deviation, (self.mean_precision * share).sqrt() * deviation

    def log_density(
        self, covariance: Covariance, log_weights: Tensor, means: Tensor, precision: Tensor, log_det: Tensor
    ) -> Tensor:
        """Log-density up to a constant, in nats."""
        coefficients = covariance.coefficients(precision)
        distance = (coefficients * covariance.phi(means - self.mean).T).sum()
        shape = self.count * log_det + coefficients @ self.scatter
        quadratic = self.mean_precision * distance + shape.sum()
        value: Tensor = (self.concentration - 1) * log_weights.sum() - 0.5 * quadratic
        return value


def mode_of_weights(count: Tensor, concentration: float) -> Tensor:
    """Logarithms of the weights at the mode of their posterior, from expected numbers of rows."""
    weights = (count + (concentration - 1)).clamp_min(torch.finfo(count.dtype).tiny)
    return weights.log() - weights.sum().log()
