"""Choice among densities by the likelihood of rows that they have not seen."""

from numbers import Integral

import numpy as np
from sklearn.base import MetaEstimatorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skgen._spec import check_count
from skgen.estimators._arrays import seed_from
from skgen.estimators._density import DensityEstimator
from skgen.estimators._density_adapter import draw, kind, log_density, measure
from skgen.estimators._sklearn import StrOptions, _BaseComposition, _fit_context
from skgen.estimators.bayesian_mixture import BayesianGaussianMixture
from skgen.estimators.probabilistic_pca import ProbabilisticPCA
from skgen.meta._folds import splits_of
from skgen.meta._inner import WeightedFit, allows_nan, checked_rows, fitted_clone, takes_strings, weight_parameters
from skgen.meta._trials import by_bic, held_out, table

KINDS = ("exact", "bound", "estimate", "pseudo")
"""What scores are, from the best."""


class DensitySelector(WeightedFit, MetaEstimatorMixin, DensityEstimator, _BaseComposition):
    r"""Picks among estimators of a density, of whatever families, the one that likes unseen rows best.

    Log-densities of the same rows, relative to the same measure, compare across families, so that a mixture, a factor
    model, a kernel density and an autoencoder stand in one table. Fits in pipelines of scalers are compared in the
    units of X.

    Parameters
    ----------
    candidates : list of (str, estimator) or list of estimators, default=None
        What to choose among. None stands for a probabilistic PCA and Bayesian mixtures of up to five components with
        full and with diagonal covariances, which know no units.
    criterion : {"held_out", "bic"}, default="held_out"
        Mean log-density of rows that a fit has not seen; or the Bayesian information criterion of the fit to all rows,
        for candidates with a method ``bic``, as a score: minus half of it, divided by the number of rows. It takes one
        fit in place of one for each fold, and the numbers of scalers in pipelines are not counted.
    cv : int, cross-validation generator or iterable, default=5
        Number of folds, or how rows are split otherwise. Equal rows share a fold, so that nothing is gained by
        remembering them.
    n_jobs : int, default=None
        Fits at a time, see joblib.
    random_state : int, RandomState instance or None, default=None
        Source of the folds, and of the draws of the default candidates.

    Attributes
    ----------
    best_estimator_ : object
        The chosen candidate, fitted to all rows.
    best_name_ : str
        Its name: its class and a number where candidates came without names.
    best_index_ : int
        Its place among the candidates.
    best_score_ : float
        Its score, in nats per row.
    results_ : dict of str to ndarray
        A table with a row for each candidate: "name"; "score_kind", what its scores are, "exact", "bound" or
        "estimate"; "score", nats per row; "standard_error" of that; "difference" from the best and its
        "difference_error", from paired rows; "seconds" of fits and scores; NaN where a fit failed, or where there is
        no error, as of BIC.
    score_kind, score_measure : str
        Those of the chosen candidate.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, where the training rows had some.

    See Also
    --------
    GenerativeOutlierDetector : Finds outliers by the chosen density.

    Notes
    -----
    A lower bound on a likelihood counts as the likelihood, so that a candidate whose ``score_kind`` is "bound" may lose
    to one that it would beat, but never wins by it. Pseudo-likelihoods, and candidates whose scores are relative to
    different measures, are refused. A frozen candidate is scored as it is: rows that it has learnt from are not unseen.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.neighbors import KernelDensity
    >>> from skgen import GaussianMixture
    >>> from skgen.meta import DensitySelector
    >>> random = np.random.default_rng(0)
    >>> X = np.concatenate([random.normal(-3, 1, size=(200, 2)), random.normal(3, 1, size=(200, 2))])
    >>> candidates = [(f"mixture-{k}", GaussianMixture(k, random_state=0)) for k in (1, 2)]
    >>> selector = DensitySelector([*candidates, ("kernels", KernelDensity(bandwidth=0.5))], random_state=0).fit(X)
    >>> selector.best_name_
    'mixture-2'
    """

    _parameter_constraints = {
        "candidates": [list, tuple, None],
        "criterion": [StrOptions({"held_out", "bic"})],
        "cv": ["cv_object"],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(self, candidates=None, *, criterion="held_out", cv=5, n_jobs=None, random_state=None):
        self.candidates = candidates
        self.criterion = criterion
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state

    def get_params(self, deep=True):
        """Parameters, and where candidates have names, theirs as ``<name>__<parameter>``.

        Parameters
        ----------
        deep : bool, default=True
            Whether those of the candidates are there too.

        Returns
        -------
        params : dict
            Values by name.
        """
        return self._get_params("candidates", deep=deep)

    def set_params(self, **params):
        """Set parameters, those of a candidate as ``<name>__<parameter>``, a candidate itself by its name.

        Parameters
        ----------
        **params : dict
            Values by name.

        Returns
        -------
        self : object
            The selector.
        """
        return self._set_params("candidates", **params)

    # -- choice -----------------------------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, **fit_params):
        """Score all candidates, and fit the best one to all rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows; NaN where an entry is missing, if all candidates take that.
        y : Ignored
            Present for API consistency.
        **fit_params : dict
            ``sample_weight`` of shape (n_samples,), if all candidates take weights: 0 leaves a row out, a whole number
            is the row repeated.

        Returns
        -------
        self : object
            The fitted selector.
        """
        source = check_random_state(self.random_state)
        names, estimators = self._named(seed_from(source))
        X = checked_rows(self, X, estimators, reset=True, tables=True)
        weight = self._fit_weight(X, fit_params)
        for estimator in estimators if weight is not None else []:
            weight_parameters(estimator, weight)
        if self.criterion == "held_out":
            splits = splits_of(self.cv, X, source, weight)
            trials = held_out(names, estimators, X, weight, splits, self.n_jobs)
            tested = None if weight is None else weight[np.concatenate([test for _, test in splits])]
        else:
            trials, tested = by_bic(names, estimators, X, weight, self.n_jobs), None
        self.results_ = table(names, trials, tested)
        self.best_index_ = int(np.nanargmax(self.results_["score"]))
        self.best_name_, self.best_score_ = names[self.best_index_], float(self.results_["score"][self.best_index_])
        self.best_estimator_ = fitted_clone(estimators[self.best_index_], X, None, weight)
        return self

    def _named(self, seed=None):
        """Names and estimators; of those without names, names from their classes."""
        candidates = _default(seed) if self.candidates is None else list(self.candidates)
        pairs = [isinstance(each, (tuple, list)) and len(each) == 2 for each in candidates]
        if not candidates or any(pairs) != all(pairs):
            raise ValueError(
                f"candidates must be estimators, or pairs of a name and an estimator, at least one, got {candidates!r}."
            )
        if not any(pairs):
            candidates = [(f"{type(each).__name__.lower()}-{i}", each) for i, each in enumerate(candidates)]
        names, estimators = (list(each) for each in zip(*candidates, strict=True))
        for name, each in candidates:
            if not isinstance(name, str) or not hasattr(each, "fit"):
                raise ValueError(f"candidates must be estimators, each with a name or without, got {(name, each)!r}.")
        self._validate_names(names)
        return names, estimators

    # -- use --------------------------------------------------------------------------------------------------------

    @property
    def score_measure(self):
        """What scores are relative to: "density", "mass" or "mixed"."""
        return measure(self._named()[1][0])

    @property
    def score_kind(self):
        """What the scores of the chosen candidate are; before a choice, the least that those of any may be."""
        if hasattr(self, "best_estimator_"):
            return kind(self.best_estimator_)
        return max((kind(each) for each in self._named()[1]), key=KINDS.index)

    def score_samples(self, X):
        """Log-density of each row under the chosen candidate.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            Nats per row in the units of X, of the kind that ``score_kind`` says.
        """
        check_is_fitted(self)
        X = checked_rows(self, X, [self.best_estimator_], reset=False, tables=True)
        return log_density(self.best_estimator_, X)

    def sample(self, n_samples=1, random_state=None):
        """Draw rows from the chosen candidate.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        random_state : int, RandomState instance or None, default=None
            Source of the draws; None uses the chosen candidate's own.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Independent draws.
        """
        check_is_fitted(self)
        check_count(n_samples, "n_samples")
        return draw(self.best_estimator_, n_samples, random_state)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = all(allows_nan(each) for each in self._named()[1])
        tags.input_tags.string = all(takes_strings(each) for each in self._named()[1])
        return tags


def _default(seed):
    return [
        ("components", ProbabilisticPCA("mle", random_state=seed)),
        ("mixture", BayesianGaussianMixture(5, random_state=seed)),
        ("diagonal", BayesianGaussianMixture(5, covariance_type="diag", random_state=seed)),
    ]
