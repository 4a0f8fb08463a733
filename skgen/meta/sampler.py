"""Rows of rare classes drawn from densities."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets

from skgen.estimators._arrays import seed_from
from skgen.estimators._density_adapter import draw
from skgen.estimators._sklearn import HasMethods, Interval, StrOptions, _fit_context
from skgen.estimators.bayesian_mixture import BayesianGaussianMixture
from skgen.meta._inner import allows_nan, checked_rows
from skgen.meta._labelled import fitted_class

STRATEGIES = {
    "minority": lambda counts: [counts.argmin()],
    "not minority": lambda counts: np.delete(np.arange(len(counts)), counts.argmin()),
    "not majority": lambda counts: np.delete(np.arange(len(counts)), counts.argmax()),
    "all": lambda counts: np.arange(len(counts)),
}
"""Classes that are brought to the number of rows of the largest."""
DEFAULT_COMPONENTS = 5
"""Most components of the default density."""


class GenerativeOverSampler(MetaEstimatorMixin, BaseEstimator):
    r"""Adds rows to rare classes, drawn from a density of the rows of the class.

    For imbalanced-learn's pipelines, whose steps with ``fit_resample`` act on training rows only: rows that are drawn
    must never be in a test set. Works with every estimator that can draw, the package's and scikit-learn's own.

    Parameters
    ----------
    estimator : object, default=None
        The density of a class. None stands for ``BayesianGaussianMixture(5)``, which knows no units and leaves out
        components that the rows do not ask for, with as many components as a class has rows where these are fewer.
    sampling_strategy : "auto", str, float or dict, default="auto"
        Numbers of rows afterwards, as in imbalanced-learn:

        * "minority", "not minority", "not majority" or "all": these classes get as many rows as the largest has; "auto"
          is "not majority".
        * A float is the number of rows of the rarer of two classes divided by that of the other.
        * A dict gives the number for each class in it.
    random_state : int, RandomState instance or None, default=None
        Source of the draws, and of the start of the default density.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes, sorted.
    sampling_strategy_ : dict
        Number of rows drawn for each class that gets some.
    estimators_ : dict
        Fitted density of each of these classes.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, where the rows had some.

    See Also
    --------
    GenerativeClassifier : Uses the densities of classes themselves.

    Notes
    -----
    Interpolation between neighbours (SMOTE) puts rows on segments between training rows, and so within their convex
    hull, with less variance than the class has; a density has the variance of the rows it was fitted to.

    References
    ----------
    Chawla, Bowyer, Hall and Kegelmeyer (2002), SMOTE: synthetic minority over-sampling technique,
    https://doi.org/10.1613/jair.953.

    Examples
    --------
    >>> import numpy as np
    >>> from skgen.meta import GenerativeOverSampler
    >>> X = np.random.default_rng(0).normal(size=(110, 2))
    >>> y = np.repeat(["common", "rare"], [100, 10])
    >>> X_more, y_more = GenerativeOverSampler(random_state=0).fit_resample(X, y)
    >>> np.unique(y_more, return_counts=True)[1]
    array([100, 100])
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit"]), None],
        "sampling_strategy": [StrOptions({"auto", *STRATEGIES}), Interval(Real, 0, 1, closed="right"), dict],
        "random_state": ["random_state"],
    }

    def __init__(self, estimator=None, *, sampling_strategy="auto", random_state=None):
        self.estimator = estimator
        self.sampling_strategy = sampling_strategy
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y):
        """Fit the densities, and find how many rows they have to give.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Classes.

        Returns
        -------
        self : object
            The fitted sampler.
        """
        self._fit(X, y, check_random_state(self.random_state))
        return self

    @_fit_context(prefer_skip_nested_validation=False)
    def fit_resample(self, X, y):
        """The rows, and below them those that are drawn.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Classes.

        Returns
        -------
        X : array or data frame of shape (n_samples_new, n_features)
            The rows, unchanged, and the new ones class by class; a data frame where ``X`` is one.
        y : array or series of shape (n_samples_new,)
            Their classes.
        """
        source = check_random_state(self.random_state)
        rows, classes = self._fit(X, y, source)
        parts, labels = [rows], [classes]
        for name, n_new in self.sampling_strategy_.items():
            parts.append(draw(self.estimators_[name], n_new, seed_from(source)))
            labels.append(np.full(n_new, name, dtype=classes.dtype))
        return _like(X, np.concatenate(parts).astype(rows.dtype)), _like(y, np.concatenate(labels))

    def _fit(self, X, y, source):
        seed = seed_from(source)
        X, y = checked_rows(self, X, [self._inside(1, seed)], y=y, reset=True)
        check_classification_targets(y)
        self.classes_, label, counts = np.unique(y, return_inverse=True, return_counts=True)
        wanted = self._wanted(counts)
        self.sampling_strategy_ = {self.classes_[k]: int(n) for k, n in enumerate(wanted - counts) if n > 0}
        self.estimators_ = {
            name: fitted_class(self._inside(counts[k], seed), X[label == k], None, name)
            for k, name in enumerate(self.classes_)
            if name in self.sampling_strategy_
        }
        return X, y

    def _inside(self, n_rows, seed):
        if self.estimator is not None:
            return self.estimator
        return BayesianGaussianMixture(int(min(DEFAULT_COMPONENTS, n_rows)), random_state=seed)

    def _wanted(self, counts):
        """Number of rows of each class afterwards."""
        wanted, strategy = counts.copy(), self.sampling_strategy
        if isinstance(strategy, str):
            wanted[STRATEGIES["not majority" if strategy == "auto" else strategy](counts)] = counts.max()
        elif isinstance(strategy, dict):
            for name, number in strategy.items():
                wanted[self._place(name)] = number
        elif len(counts) == 2:
            wanted[counts.argmin()] = int(strategy * counts.max())
        else:
            raise ValueError(
                f"sampling_strategy={strategy} is a ratio, which needs two classes; y has {len(counts)}. Give a dict."
            )
        if (wanted < counts).any():
            raise ValueError(
                f"sampling_strategy={strategy!r} asks for {wanted.tolist()} rows of the classes {self.classes_}, which "
                f"have {counts.tolist()} already: rows are added, never taken away."
            )
        return wanted

    def _place(self, name):
        found = np.flatnonzero(self.classes_ == name)
        if not len(found) or not isinstance(self.sampling_strategy[name], Integral):
            raise ValueError(
                f"sampling_strategy must give whole numbers for classes among {self.classes_}, got "
                f"{name!r}: {self.sampling_strategy[name]!r}."
            )
        return found[0]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = allows_nan(self._inside(1, 0))
        tags.target_tags.required = True
        return tags


def _like(given, values):
    """Values as a data frame or a series, where what was given is one."""
    if hasattr(given, "columns"):
        return type(given)(dict(zip(given.columns, values.reshape(len(values), -1).T, strict=True)))
    if not hasattr(given, "name"):
        return values
    # pandas takes values first, polars names.
    return type(given)(values, name=given.name) if hasattr(given, "index") else type(given)(given.name, values)
