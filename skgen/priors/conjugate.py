"""Conjugate prior on the parameters of mixtures of normal distributions, as users write it."""

from dataclasses import dataclass
from typing import Any

from skgen._spec import Spec, check_number


@dataclass
class Conjugate(Spec):
    """Dirichlet prior on weights, normal prior on means, inverse Wishart or chi-squared prior on covariances.

    The defaults are those of Fraley and Raftery (2007, https://doi.org/10.1007/s00357-007-0004-5): weak, and enough to
    keep a component from collapsing onto a few rows. It is the prior of :class:`skgen.GaussianMixture`.

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
