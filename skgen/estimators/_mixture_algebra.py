"""Mixtures that come from parameters rather than from rows: known ones, scikit-learn's, marginals and conditionals."""

import numpy as np
import torch
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from skgen.distributions.covariance import COVARIANCES
from skgen.estimators import _mixture_parameters
from skgen.estimators._arrays import as_array
from skgen.estimators._iterative import Runtime
from skgen.models.conditioning import conditional, marginal


class DerivedMixtures:
    """Mixin of the mixtures that are closed under marginals and conditionals."""

    @classmethod
    def from_parameters(cls, weights, means, covariances, *, covariance_type="full", **params):
        """A fitted mixture with known parameters.

        Parameters
        ----------
        weights : array-like of shape (n_components,)
            Weights, which add up to 1.
        means : array-like of shape (n_components, n_features)
            Means.
        covariances : array-like
            Covariances in the shape of ``covariances_``.
        covariance_type : str, default="full"
            Structure of the covariances.
        **params : dict
            Other parameters of the estimator.

        Returns
        -------
        mixture : GaussianMixture
            It scores, samples and conditions as if it had been fitted. There are no rows behind the parameters, so
            ``partial_fit``, and ``fit`` with ``warm_start``, start from them and let the rows decide.
        """
        k, d = np.shape(means) if np.ndim(means) == 2 else (0, 0)
        if k == 0:
            raise ValueError(f"means must have shape (n_components, n_features), got {np.shape(means)}.")
        mixture = cls(k, covariance_type=covariance_type, **params)
        mixture._validate_params()
        structure = COVARIANCES[covariance_type]
        log_weights = _mixture_parameters.log_weights(weights, "weights", k)
        means = _mixture_parameters.checked(means, "means", (k, d))
        covariances = _mixture_parameters.checked(covariances, "covariances", structure.shape(k, d))
        return mixture._with(
            {
                "log_weights": log_weights,
                "means": torch.tensor(means),
                "covariances": _mixture_parameters.in_groups(structure, covariances, d, "covariances"),
            },
            np.zeros(d),
        )

    def _with(self, parameters, center, dtype="float64"):
        """The estimator with parameters in place of a fit."""
        self.parameters_ = {name: as_array(value) for name, value in parameters.items()}
        self.n_components_, self.n_features_in_ = self.parameters_["means"].shape
        self.center_, self._dtype = center, dtype
        self._covariance_type, self._prior_terms = self.covariance_type, None
        self._chosen_sizes = {name: getattr(self, name) for name in self._fixed_parameters}
        self.n_iter_, self.best_iter_, self.converged_, self.lower_bound_ = 0, 0, True, np.nan
        self.history_, self.events_, self.n_samples_seen_ = {"lower_bound": []}, [], 0
        self._average = {}, 0.0
        self._runtime = Runtime()
        return self

    @classmethod
    def from_sklearn(cls, mixture, **params):
        """A fitted mixture with the parameters of one of scikit-learn's.

        Parameters
        ----------
        mixture : sklearn.mixture.GaussianMixture
            Fitted.
        **params : dict
            Other parameters of the estimator.

        Returns
        -------
        mixture : GaussianMixture
            Of the same density.
        """
        check_is_fitted(mixture)
        kind = mixture.covariance_type
        return cls.from_parameters(
            mixture.weights_, mixture.means_, mixture.covariances_, covariance_type=kind, **params
        )

    def to_sklearn(self):
        """A fitted mixture of scikit-learn's with the same density.

        Returns
        -------
        mixture : sklearn.mixture.GaussianMixture
            Covariances that scikit-learn has no structure for become "tied" or "full".
        """
        check_is_fitted(self)
        return _mixture_parameters.to_sklearn(self, self._covariance, self._tensors("cpu"))

    def marginal(self, columns):
        """The mixture of some columns.

        Parameters
        ----------
        columns : array-like of int or str
            Numbers, or names where the training rows had some.

        Returns
        -------
        mixture : GaussianMixture
            Fitted, of these columns in this order.
        """
        kept = torch.tensor(self._places(columns))
        parameters = marginal(self._covariance, self._tensors("cpu"), kept)
        return self._derived(parameters, self.center_[kept.numpy()], kept.numpy())

    def conditional(self, columns, values):
        """The mixture of the other columns, given some.

        Parameters
        ----------
        columns : array-like of int or str
            Numbers, or names where the training rows had some, of what is known.
        values : array-like of shape (n_known,) or (n_rows, n_known)
            What it is.

        Returns
        -------
        mixture : GaussianMixture or list of GaussianMixture
            Fitted; one for each row of ``values`` where it has rows.
        """
        known = self._places(columns)
        rows = check_array(np.atleast_2d(values), dtype=np.float64, input_name="values")
        if rows.shape[1] != len(known):
            raise ValueError(f"values must have {len(known)} numbers in a row, as columns has, got {rows.shape[1]}.")
        given = np.zeros(self.n_features_in_, dtype=bool)
        given[known] = True
        if given.all():
            raise ValueError("columns must leave at least one column that is not given.")
        log_weights, means, covariances = self._conditional(given, rows[:, np.argsort(known)])
        mixtures = [
            self._derived(
                {"log_weights": weight, "means": mean, "covariances": covariances}, self.center_[~given], ~given
            )
            for weight, mean in zip(log_weights, means, strict=True)
        ]
        return mixtures[0] if np.ndim(values) == 1 else mixtures

    def _conditional(self, given, rows):
        """Parameters of the mixtures of the other columns, relative to the center, given rows of those marked."""
        rows = torch.tensor(rows - self.center_[given])
        return conditional(self._covariance, self._tensors("cpu"), torch.tensor(given), rows)

    def _conditional_moments(self, given, rows):
        """Means and variances, (n_rows, others), of the other columns given rows of those marked."""
        log_weights, means, covariances = self._conditional(given, rows)
        variances = self._covariance.matrices(covariances).diagonal(dim1=-2, dim2=-1)
        weights = log_weights.exp().unsqueeze(-1)
        mean = (weights * means).sum(1)
        variance = (weights * (variances + (means - mean.unsqueeze(1)).square())).sum(1)
        return as_array(mean) + self.center_[~given], as_array(variance)

    def _places(self, columns):
        """Numbers of columns that are given by number or name."""
        check_is_fitted(self)
        names = list(getattr(self, "feature_names_in_", ()))
        columns = np.atleast_1d(np.asarray(columns))
        found = [names.index(c) if c in names else c for c in columns.tolist()]
        known = all(not isinstance(c, bool) and c in range(self.n_features_in_) for c in found)
        if not found or len(set(found)) < len(found) or not known:
            allowed = f"numbers from 0 to {self.n_features_in_ - 1}" + (f" or names among {names}" if names else "")
            raise ValueError(f"columns must be different {allowed}, got {columns.tolist()}.")
        return np.array(found, dtype=int)

    def _derived(self, parameters, center, columns):
        """A fitted mixture of some of the columns."""
        mixture = type(self)(
            self.n_components_, covariance_type=self._covariance_type, random_state=self.random_state
        )._with(parameters, center, self._dtype)
        if hasattr(self, "feature_names_in_"):
            mixture.feature_names_in_ = self.feature_names_in_[columns]
        return mixture
