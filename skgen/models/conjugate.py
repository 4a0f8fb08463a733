"""Conjugate priors on the parameters of mixtures of normal distributions."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from skgen._spec import Spec, check_number
from skgen.distributions.covariance import Covariance


@dataclass
class ConjugatePrior(Spec):
    """Dirichlet prior on weights, normal prior on means, inverse Wishart or chi-squared prior on covariances.

    The defaults are those of Fraley and Raftery (2007, https://doi.org/10.1007/s00357-007-0004-5): weak, and enough to
    keep a component from collapsing onto a few rows.

    Parameters
    ----------
    weight_concentration : float, default=1.0
        Concentration of the Dirichlet prior, at least 1; 1 is flat.
    mean_precision : float, default=0.01
        Number of rows that the prior on each mean counts for.
    mean : array-like of shape (n_features,), default=None
        Expected mean; None takes that of the rows.
    degrees_of_freedom : float, default=None
        Of the covariances' prior; None takes n_features + 2.
    covariance : array-like, default=None
        Scale matrix of the covariances' prior, (n_features, n_features), or their variances, (n_features,) or a number;
        None takes the rows' own covariance, with correlations shrunk by a thousandth where it is singular, divided by
        n_components ** (2 / n_features).
    """

    weight_concentration: float = 1.0
    mean_precision: float = 0.01
    mean: Any = None
    degrees_of_freedom: float | None = None
    covariance: Any = None

    def check(self, n_features: int) -> None:
        """Raise a ValueError that names a parameter out of its range."""
        check_number(self.weight_concentration, "prior__weight_concentration", least=1)
        check_number(self.mean_precision, "prior__mean_precision", least=0)
        if self.degrees_of_freedom is not None:
            check_number(self.degrees_of_freedom, "prior__degrees_of_freedom", above=n_features - 1)


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
