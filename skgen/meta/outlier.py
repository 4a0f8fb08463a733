"""Outliers as rows of low density."""

from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skgen.estimators._arrays import RunningMoments, seed_from
from skgen.estimators._density_adapter import log_density
from skgen.estimators._reconstruction import check_reconstructs, reconstructed
from skgen.estimators._sklearn import HasMethods, Interval, StrOptions, _fit_context
from skgen.estimators.bayesian_mixture import BayesianGaussianMixture
from skgen.meta._folds import cross_fitted, dividing_line, splits_of
from skgen.meta._inner import WeightedFit, allows_nan, checked_rows, fitted_clone, takes_strings

AUTO_SHARE = 0.05
"""Share of rows to come of the training rows' law that contamination="auto" calls outliers."""


class GenerativeOutlierDetector(WeightedFit, OutlierMixin, MetaEstimatorMixin, BaseEstimator):
    r"""Outliers as rows to which a generative model gives a low score.

    Works with every density estimator of the package, with scikit-learn's GaussianMixture, KernelDensity, PCA and
    FactorAnalysis, and with pipelines of scalers that end in one of them.

    Parameters
    ----------
    estimator : object, default=None
        The model. None stands for ``BayesianGaussianMixture(5)``: its density has heavy tails, knows no units of the
        columns, and leaves components out that the rows do not ask for.
    score_method : {"log_likelihood", "typicality", "reconstruction"}, default="log_likelihood"
        What tells outliers:

        * "log_likelihood": log p(x), low for outliers.
        * "typicality": the distance of log p(x) from its mean over the training rows, so that rows of too *high* a
          density are outliers too. In many dimensions no row of a normal distribution lies near its mode.
        * "reconstruction": the error of ``inverse_transform(transform(X))``, a mean over columns of squares in units of
          the columns' variances. For models that compress, :class:`~skgen.Autoencoder` among them.
    contamination : "auto" or float, default="auto"
        Where the line is drawn. "auto" lets one in twenty of rows like the training rows be an outlier: it is the 5 %
        quantile of scores by fits that have not seen the row. A number up to 0.5 is the share of the training rows
        themselves that are outliers.
    cv : int, cross-validation generator or iterable, default=5
        Number of folds that scores of unseen rows are taken in, or how rows are split otherwise. Equal rows share a
        fold.
    random_state : int, RandomState instance or None, default=None
        Source of the folds, and of the draws of the default model.

    Attributes
    ----------
    estimator_ : object
        The model, fitted to all rows.
    offset_ : float
        Score below which a row is an outlier.
    expected_log_likelihood_ : float
        Mean of log p(x) over unseen rows, in nats. Only with ``score_method="typicality"``.
    variance_ : ndarray of shape (n_features,)
        Variances of the columns, 1 for constant ones. Only with ``score_method="reconstruction"``.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, where the training rows had some.

    See Also
    --------
    DensitySelector : Picks a model by its likelihood of unseen rows, and can be the estimator here.

    References
    ----------
    Nalisnick et al. (2019), Detecting out-of-distribution inputs to deep generative models using typicality,
    https://arxiv.org/abs/1906.02994.

    Examples
    --------
    >>> import numpy as np
    >>> from skgen.meta import GenerativeOutlierDetector
    >>> X = np.random.default_rng(0).normal(size=(500, 2))
    >>> detector = GenerativeOutlierDetector(random_state=0).fit(X)
    >>> detector.predict([[0.0, 0.0], [5.0, 5.0]])
    array([ 1, -1])
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit"]), None],
        "score_method": [StrOptions({"log_likelihood", "typicality", "reconstruction"})],
        "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
        "cv": ["cv_object"],
        "random_state": ["random_state"],
    }

    def __init__(self, estimator=None, *, score_method="log_likelihood", contamination="auto", cv=5, random_state=None):
        self.estimator = estimator
        self.score_method = score_method
        self.contamination = contamination
        self.cv = cv
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, **fit_params):
        """Fit the model, and draw the line.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows; NaN where an entry is missing, if the model takes that.
        y : Ignored
            Present for API consistency.
        **fit_params : dict
            ``sample_weight`` of shape (n_samples,), if the model takes weights: 0 leaves a row out, a whole number is
            the row repeated.

        Returns
        -------
        self : object
            The fitted detector.
        """
        source = check_random_state(self.random_state)
        estimator = self._inside(seed_from(source))
        X = self._checked(X, estimator, reset=True)
        weight = self._fit_weight(X, fit_params)
        if self.score_method == "reconstruction":
            scale = RunningMoments.empty(X.shape[1]).updated(X, weight).scale
            self.variance_ = np.where(scale > 0, scale, 1.0) ** 2
        self.estimator_ = fitted_clone(estimator, X, None, weight)
        if self.contamination == "auto" or self.score_method == "typicality":
            splits = splits_of(self.cv, X, source, weight)
            unseen, of_unseen = cross_fitted(estimator, X, weight, splits, self._raw_scores)
            if self.score_method == "typicality":
                self.expected_log_likelihood_ = _finite_mean(unseen, of_unseen)
        if self.contamination == "auto":
            raw, share, weight = unseen, AUTO_SHARE, of_unseen
        else:
            raw, share = self._raw_scores(self.estimator_, X), self.contamination
        self.offset_ = dividing_line(self._scores(raw), share, weight)
        if not np.isfinite(self.offset_):
            raise ValueError(
                f"More than {share:.3g} of the rows are impossible under the model, with the score {self.offset_}, so "
                "that no line can be drawn. Use a wider bandwidth, or a density that is positive everywhere."
            )
        return self

    def _inside(self, seed):
        """The estimator, or the default one, if it can tell what ``score_method`` asks for."""
        estimator = BayesianGaussianMixture(5, random_state=seed) if self.estimator is None else self.estimator
        if self.score_method == "reconstruction":
            check_reconstructs(estimator)
        return estimator

    def _checked(self, X, estimator, *, reset):
        tables = self.score_method != "reconstruction"  # there is no distance between categories
        return checked_rows(self, X, [estimator], reset=reset, tables=tables)

    def _raw_scores(self, estimator, X):
        if self.score_method != "reconstruction":
            return log_density(estimator, X)
        squares = (X - reconstructed(estimator, X)) ** 2 / self.variance_
        there = ~np.isnan(X)
        errors = np.where(there, squares, 0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
        if np.isnan(errors).any():
            raise ValueError(
                f"The reconstructions of {np.isnan(errors).sum()} of {len(X)} rows are NaN. Look at what "
                "inverse_transform gives, and scale X."
            )
        return -errors

    def _scores(self, raw):
        return -np.abs(raw - self.expected_log_likelihood_) if self.score_method == "typicality" else raw

    def score_samples(self, X):
        """Score of each row, lower for outliers.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        score : ndarray of shape (n_samples,)
            Nats per row in the units of X, minus a distance in nats, or minus an error per column, as the parameter
            ``score_method`` says.
        """
        check_is_fitted(self)
        return self._scores(self._raw_scores(self.estimator_, self._checked(X, self.estimator_, reset=False)))

    def decision_function(self, X):
        """Score of each row, less the line that was drawn.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        decision : ndarray of shape (n_samples,)
            Negative for outliers.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X):
        """Whether rows are like the training rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        label : ndarray of shape (n_samples,)
            1, or -1 for outliers.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.estimator is None or allows_nan(self.estimator)
        tags.input_tags.string = self.estimator is not None and takes_strings(self.estimator)
        return tags


def _finite_mean(values, weight):
    """Mean of log-densities of unseen rows; ValueError where rows are impossible."""
    mean = float(np.average(values, weights=weight))
    if not np.isfinite(mean):
        raise ValueError(
            f"score_method='typicality' needs the mean log-density of unseen rows, which is {mean}: some are "
            "impossible under the model. Use a density that is positive everywhere, or score_method='log_likelihood'."
        )
    return mean
