"""Classification by one density for each class."""

import numpy as np
from scipy.special import logsumexp
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from skgen.estimators._class_probabilities import ClassProbabilities
from skgen.estimators._density_adapter import kind, log_density, unwrapped
from skgen.estimators._sklearn import HasMethods, _fit_context
from skgen.estimators.probabilistic_pca import ProbabilisticPCA
from skgen.meta._inner import WeightedFit, allows_nan, checked_rows, some_rows, takes_strings, weight_parameters
from skgen.meta._labelled import fitted_class


def _inner_partial_fit(self):
    return hasattr(self._inside(), "partial_fit")


class GenerativeClassifier(WeightedFit, ClassProbabilities, ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    r"""One density for each class, and Bayes' rule: p(class | x) is proportional to p(x | class) p(class).

    Works with every density estimator of the package, with scikit-learn's GaussianMixture, KernelDensity, PCA and
    FactorAnalysis, and with pipelines of scalers that end in one of them. With one normal distribution for each class
    it is quadratic discriminant analysis, with diagonal covariances a naive Bayes classifier.

    Parameters
    ----------
    estimator : object, default=None
        The density of a class. None stands for ``ProbabilisticPCA("ard")``, which has no parameter to choose and
        is content with any number of rows. Its noise has one variance in all directions: scale columns of different
        units beforehand.
    priors : array-like of shape (n_classes,), default=None
        Probabilities of the classes, in the order of ``classes_``. None takes their shares of the training rows.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes, sorted.
    estimators_ : list of object
        Their densities, fitted; None for a class that ``partial_fit`` has not seen yet.
    class_count_ : ndarray of shape (n_classes,)
        Training rows of each class, or their weights.
    class_prior_ : ndarray of shape (n_classes,)
        Probabilities of the classes.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, where the training rows had some.

    See Also
    --------
    GenerativeRegressor : Predicts numbers by a joint density.

    Notes
    -----
    Parameters of the density are chosen by cross-validation as ``estimator__<parameter>``. A variance floor,
    ``estimator__reg_covar`` of a mixture, is the one that matters most where classes have few rows for their columns.

    References
    ----------
    Hastie and Tibshirani (1996), Discriminant analysis by Gaussian mixtures,
    https://doi.org/10.1111/j.2517-6161.1996.tb02073.x.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skgen import GaussianMixture
    >>> from skgen.meta import GenerativeClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> GenerativeClassifier(GaussianMixture(1)).fit(X, y).score(X, y)
    0.98
    """

    __metadata_request__partial_fit = {"sample_weight": None}

    _parameter_constraints = {"estimator": [HasMethods(["fit"]), None], "priors": ["array-like", None]}

    def __init__(self, estimator=None, *, priors=None):
        self.estimator = estimator
        self.priors = priors

    # -- fit --------------------------------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, **fit_params):
        """Fit one density to the rows of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows; NaN where an entry is missing, if the estimator takes that.
        y : array-like of shape (n_samples,)
            Classes.
        **fit_params : dict
            ``sample_weight`` of shape (n_samples,), if the estimator takes weights: 0 leaves a row out, a whole number
            is the row repeated.

        Returns
        -------
        self : object
            The fitted classifier.
        """
        X, y, weight = self._rows(X, y, fit_params, reset=True)
        self.classes_, label = np.unique(y, return_inverse=True)
        estimators = [
            fitted_class(self._inside(), some_rows(X, label == k), None if weight is None else weight[label == k], name)
            for k, name in enumerate(self.classes_)
        ]
        return self._finish(estimators, np.bincount(label, weights=weight).astype(np.float64))

    @available_if(_inner_partial_fit)
    @_fit_context(prefer_skip_nested_validation=False)
    def partial_fit(self, X, y, classes=None, **fit_params):
        """Continue with a chunk of rows, by the ``partial_fit`` of the densities.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Classes.
        classes : array-like of shape (n_classes,), default=None
            All classes that there will be; needed in the first call.
        **fit_params : dict
            ``sample_weight`` of shape (n_samples,), if the estimator takes weights.

        Returns
        -------
        self : object
            The updated classifier.
        """
        first = not hasattr(self, "classes_")
        if first and classes is None:
            raise ValueError("The first call of partial_fit needs classes, all classes that there will be.")
        X, y, weight = self._rows(X, y, fit_params, reset=first)
        known = np.unique(classes) if first else self.classes_
        if classes is not None and not np.array_equal(np.unique(classes), known):
            raise ValueError(f"classes={np.unique(classes)} are not those of the first call, {known}.")
        label = np.searchsorted(known, y).clip(0, len(known) - 1)
        if not np.array_equal(known[label], y):
            raise ValueError(f"y has the classes {np.setdiff1d(y, known)}, which are not among {known}.")
        if first:
            self.classes_, self.class_count_ = known, np.zeros(len(known))
            self.estimators_ = [None] * len(known)
        estimators = [self._continued(k, X, label == k, weight) for k in range(len(known))]
        return self._finish(estimators, self.class_count_ + np.bincount(label, weights=weight, minlength=len(known)))

    def _inside(self):
        return ProbabilisticPCA("ard") if self.estimator is None else self.estimator

    def _rows(self, X, y, fit_params, *, reset):
        """Rows that have some weight, their classes and weights."""
        X, y = checked_rows(self, X, [self._inside()], y=y, reset=reset, tables=True)
        check_classification_targets(y)
        weight = self._fit_weight(X, fit_params)
        if weight is None:
            return X, y, None
        there = weight > 0
        return some_rows(X, there), y[there], weight[there]

    def _continued(self, k, X, chosen, weight):
        estimator = self.estimators_[k]
        if not chosen.any():
            return estimator
        estimator = clone(self._inside()) if estimator is None else estimator
        given = {} if weight is None else weight_parameters(estimator, weight[chosen])
        return estimator.partial_fit(some_rows(X, chosen), **given)

    def _finish(self, estimators, counts):
        for estimator in estimators:
            if estimator is not None and kind(estimator) == "pseudo":
                raise ValueError(
                    f"{type(unwrapped(estimator)).__name__} scores rows by a pseudo-likelihood, which does not compare "
                    "between models of different classes. Use an estimator whose score_kind is 'exact', 'bound' or "
                    "'estimate'."
                )
        self.class_prior_ = self._priors(counts)
        self.estimators_, self.class_count_ = estimators, counts
        return self

    def _priors(self, counts):
        if self.priors is None:
            return counts / counts.sum()
        priors = np.asarray(self.priors, dtype=np.float64)
        if priors.shape != counts.shape or not (priors >= 0).all() or not np.isclose(priors.sum(), 1):
            raise ValueError(
                f"priors must be {len(counts)} numbers that add up to 1, one for each of the classes {self.classes_}, "
                f"got {self.priors!r}."
            )
        return priors

    # -- use --------------------------------------------------------------------------------------------------------

    def predict_joint_log_proba(self, X):
        """Log-density of rows and classes, log p(x | class) + log p(class).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        joint : ndarray of shape (n_samples, n_classes)
            Nats, in the order of ``classes_``.
        """
        check_is_fitted(self)
        X = checked_rows(self, X, [self._inside()], reset=False, tables=True)
        joint = np.full((len(X), len(self.classes_)), -np.inf)
        for k, estimator in enumerate(self.estimators_):
            if self.class_prior_[k] > 0 and estimator is not None:
                joint[:, k] = log_density(estimator, X) + np.log(self.class_prior_[k])
        return joint

    def predict_log_proba(self, X):
        """Log-probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows. Those that no density can tell from impossible have the probabilities ``class_prior_``.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``.
        """
        joint = self.predict_joint_log_proba(X)
        lost = ~np.isfinite(joint.max(axis=1))
        with np.errstate(divide="ignore"):
            joint[lost] = np.log(self.class_prior_)
        # Far away the digits of a sum of logarithms would not tell it from its terms.
        joint = joint - joint.max(axis=1, keepdims=True)
        return joint - logsumexp(joint, axis=1, keepdims=True)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = allows_nan(self._inside())
        tags.input_tags.string = takes_strings(self._inside())
        return tags
