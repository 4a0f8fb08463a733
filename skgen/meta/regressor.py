"""Regression by a joint density of rows and targets."""

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from skgen.estimators._density_adapter import conditioned
from skgen.estimators._sklearn import HasMethods, _fit_context
from skgen.estimators.gaussian_mixture import GaussianMixture
from skgen.meta._inner import WeightedFit, allows_nan, checked_rows, fitted_clone


class GenerativeRegressor(WeightedFit, RegressorMixin, MetaEstimatorMixin, BaseEstimator):
    r"""Joint density of rows and targets, p(x, y), and the mean of y given x.

    With a mixture of normal distributions the mean is a sum of linear functions, weighted by the probabilities of the
    components, and its standard deviation varies with x; one component is linear regression. Rows may have missing
    entries, in ``fit`` where the estimator takes them and in ``predict`` too: what is there is conditioned on.

    Parameters
    ----------
    estimator : object, default=None
        The joint density of the columns of X and y, in this order. None stands for three normal distributions, fitted
        to standardised columns with a hundredth added to the variances. It needs ``impute`` or be one of scikit-learn's
        GaussianMixture, PCA, FactorAnalysis and KernelDensity, or a pipeline of scalers before one of these.

    Attributes
    ----------
    estimator_ : object
        The density, fitted.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, where the training rows had some.

    See Also
    --------
    GenerativeClassifier : One density for each class.
    GenerativeImputer : Any column given any others.

    References
    ----------
    Ghahramani and Jordan (1994), Supervised learning from incomplete data via an EM approach.

    Examples
    --------
    >>> import numpy as np
    >>> from skgen.meta import GenerativeRegressor
    >>> X = np.linspace(-3, 3, 200)[:, None]
    >>> y = np.abs(X[:, 0]) + 0.1 * np.random.default_rng(0).normal(size=200)
    >>> mean, deviation = GenerativeRegressor().fit(X, y).predict([[-2.0], [2.0]], return_std=True)
    >>> mean.round(1)
    array([2., 2.])
    """

    _parameter_constraints = {"estimator": [HasMethods(["fit"]), None]}

    def __init__(self, estimator=None):
        self.estimator = estimator

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, **fit_params):
        """Fit the joint density.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows; NaN where an entry is missing, if the estimator takes that.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.
        **fit_params : dict
            ``sample_weight`` of shape (n_samples,), if the estimator takes weights: 0 leaves a row out, a whole number
            is the row repeated.

        Returns
        -------
        self : object
            The fitted regressor.
        """
        estimator = self._inside()
        X, y = checked_rows(self, X, [estimator], y=y, reset=True, multi_output=True, y_numeric=True)
        weight = self._fit_weight(X, fit_params)
        self._target_shape = y.shape[1:]
        self.estimator_ = fitted_clone(estimator, np.column_stack([X, y]).astype(X.dtype), None, weight)
        conditioned(self.estimator_)
        return self

    def _inside(self):
        if self.estimator is not None:
            return self.estimator
        return make_pipeline(StandardScaler(), GaussianMixture(3, reg_covar=1e-2, random_state=0))

    def predict(self, X, return_std=False):
        """Means of y given x, and how far y scatters about them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        return_std : bool, default=False
            Whether standard deviations are returned too. Only where the estimator is a mixture of normal distributions
            or one such distribution; TypeError otherwise.

        Returns
        -------
        y_mean : ndarray of shape (n_samples,) or (n_samples, n_targets)
            E[y | x], in the units of y.
        y_std : ndarray of the same shape
            Square root of Var[y | x]. Only with ``return_std``.
        """
        check_is_fitted(self)
        X = checked_rows(self, X, [self._inside()], reset=False)
        if return_std:
            mean, variance = self._moments(conditioned(self.estimator_, "conditional"), X)
            return self._shaped(mean, X), self._shaped(np.sqrt(variance), X)
        n_targets = int(np.prod(self._target_shape))
        joint = np.column_stack([X, np.full((len(X), n_targets), np.nan, dtype=X.dtype)])
        return self._shaped(conditioned(self.estimator_).impute(joint)[:, X.shape[1] :], X)

    def _moments(self, mixture, X):
        """Means and variances of the targets, from rows with the same entries together."""
        n_targets = int(np.prod(self._target_shape))
        mean, variance = np.empty((2, len(X), n_targets))
        patterns, pattern = np.unique(~np.isnan(X), axis=0, return_inverse=True)
        for k, seen in enumerate(patterns):
            rows = pattern.ravel() == k
            given = np.concatenate([seen, np.zeros(n_targets, dtype=bool)])
            moments = mixture._conditional_moments(given, X[rows][:, seen])
            mean[rows], variance[rows] = (each[:, -n_targets:] for each in moments)
        return mean, variance

    def _shaped(self, values, X):
        return values.reshape(len(X), *self._target_shape).astype(X.dtype)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = allows_nan(self._inside())
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        return tags
