"""What a fitted linear Gaussian model is used for: factors given rows, rows given factors, and its covariance."""

import numpy as np
import torch
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from skgen._spec import check_count
from skgen.distributions.low_rank import posterior_covariance
from skgen.estimators._arrays import as_array
from skgen.estimators._exact_estimator import ExactEstimator
from skgen.models.linear_gaussian import LinearGaussian


class FactorEstimator(ExactEstimator):
    """Base of the estimators of x = W z + mean + noise: all but learning.

    Learning sets ``n_components_``, ``_column_variance``, ``_noise_floor``, ``_summarized`` and ``_expanded``.
    """

    _noise = "isotropic"

    def _build_model(self, n_features):
        floor, variance = self._noise_floor, self._column_variance
        if self._noise == "isotropic":
            variance = np.full_like(variance, variance.mean())
        floor = torch.from_numpy(floor) if isinstance(floor, np.ndarray) else floor
        return LinearGaussian(
            n_features,
            self.n_components_,
            self._noise,
            floor,
            summarized=self._summarized,
            expanded=self._expanded,
            unit=torch.from_numpy(np.sqrt(np.where(variance > 0, variance, 1.0))),
        )

    @property
    def _n_features_out(self):
        return self.n_components_

    @property
    def _loadings(self):
        return self.parameters_["loadings"]

    @property
    def mean_(self):
        """Means of the columns, (n_features,)."""
        return self._cast(self.parameters_["mean"] + self.center_)

    def get_covariance(self):
        """Covariance of the model, W W' + noise.

        Returns
        -------
        covariance : ndarray of shape (n_features, n_features)
            In the units of the training rows.
        """
        check_is_fitted(self)
        noise = np.broadcast_to(self.parameters_["noise"], len(self._loadings))
        return self._cast(self._loadings @ self._loadings.T + np.diag(noise))

    def get_precision(self):
        """Inverse of the covariance of the model, by Woodbury's identity.

        Returns
        -------
        precision : ndarray of shape (n_features, n_features)
            The inverse of :meth:`get_covariance`.
        """
        check_is_fitted(self)
        posterior = self._fitted()[1]
        projection = as_array(posterior.shared.projection)
        noise = np.broadcast_to(self.parameters_["noise"], len(self._loadings))
        return self._cast(np.diag(1 / noise) - projection.T @ projection)

    # -- use --------------------------------------------------------------------------------------------------------

    def transform(self, X):
        """Posterior mean of the factors, E[z | x].

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, NaN where an entry is missing.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            Given the observed entries.
        """
        return self._map_rows(X, lambda posterior, tile: [posterior.factors(tile)[0]])[0]

    def posterior(self, X):
        """Mean and covariance of the factors given each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, NaN where an entry is missing.

        Returns
        -------
        mean : ndarray of shape (n_samples, n_components)
            What :meth:`transform` gives.
        covariance : ndarray of shape (n_components, n_components) or (n_samples, n_components, n_components)
            Complete rows have one covariance; where a row has missing entries, there is one for each row.
        """
        shared = self._fitted()[1].shared.factor
        complete = not np.isnan(self._check_input(X)).any()

        def factors(posterior, tile):
            mean, factor = posterior.factors(tile)
            return [mean] if complete else [mean, posterior_covariance(factor).expand(len(mean), *shared.shape)]

        mean, *covariance = self._map_rows(X, factors)
        return mean, covariance[0] if covariance else as_array(posterior_covariance(shared)).astype(mean.dtype)

    def inverse_transform(self, X):
        """Mean of p(x | z), W z + mean, in the units of the training rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Factors.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            Rows.
        """
        check_is_fitted(self)
        Z = check_array(X, dtype=[np.float64, np.float32], input_name="X")
        if Z.shape[1] != self.n_components_:
            raise ValueError(
                f"X has {Z.shape[1]} columns, but {type(self).__name__} has n_components={self.n_components_}."
            )
        rows = Z.astype(np.float64) @ self._loadings.T + self.parameters_["mean"] + self.center_
        return rows.astype(Z.dtype)

    def sample(self, n_samples=1, random_state=None):
        """Draw rows from the model.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        random_state : int, RandomState instance or None, default=None
            Source of the draws; None uses the estimator's own, whose integer value repeats its draws.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Independent draws.
        """
        check_count(n_samples, "n_samples")
        model, _, device = self._fitted()
        x = model.sample(self._tensors(device), n_samples, self._generator(random_state, device))
        return self._cast(as_array(x) + self.center_)
