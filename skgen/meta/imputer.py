"""Missing entries filled in from a density, by means or by draws."""

import hashlib

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, TransformerMixin
from sklearn.impute import MissingIndicator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from skgen._spec import check_count
from skgen.estimators._arrays import seed_from
from skgen.estimators._density_adapter import conditioned, unwrapped
from skgen.estimators._sklearn import HasMethods, _fit_context
from skgen.estimators.gaussian_mixture import GaussianMixture
from skgen.meta._inner import WeightedFit, allows_nan, checked_rows, fitted_clone


class GenerativeImputer(WeightedFit, TransformerMixin, MetaEstimatorMixin, BaseEstimator):
    r"""Fills in missing entries from their distribution given the observed ones of the row.

    Entries may be missing at random: whether they are may depend on what is observed, not on what they are themselves.
    The estimator is fitted to incomplete rows by their exact likelihood, not to filled-in ones.

    Parameters
    ----------
    estimator : object, default=None
        The density. None stands for one normal distribution, fitted to standardised columns with a thousandth added to
        their variances, until an iteration gains less than 0.3 nats per row: what comes after that is fitted to noise
        more often than not. For incomplete training rows it must take missing entries, as GaussianMixture,
        ProbabilisticPCA, FactorAnalysis, MixtureOfFactorAnalyzers, BayesianGaussianMixture and VariationalAutoencoder
        of skgen do, or a search or a selector over these.
    sample_posterior : bool, default=False
        Whether ``transform`` fills in draws in place of means. Draws have the variance that means lack; they depend on
        ``random_state`` and the observed entries of their row only, so that a row gets the same draw in any company.
    add_indicator : bool, default=False
        Whether columns are added that are 1 where an entry was missing, for columns with missing training entries.
    keep_empty_features : bool, default=False
        Whether columns without a single training entry are kept, filled with 0; they are left out otherwise.
    random_state : int, RandomState instance or None, default=None
        Source of the draws.

    Attributes
    ----------
    estimator_ : object
        The density of the columns that are not empty, fitted.
    indicator_ : :class:`~sklearn.impute.MissingIndicator` or None
        What adds the indicators.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, where the training rows had some.

    See Also
    --------
    sklearn.impute.IterativeImputer : Predicts columns from each other in turns.

    References
    ----------
    Rubin (1976), Inference and missing data, https://doi.org/10.1093/biomet/63.3.581.
    Ghahramani and Jordan (1994), Supervised learning from incomplete data via an EM approach.

    Examples
    --------
    >>> import numpy as np
    >>> from skgen.meta import GenerativeImputer
    >>> x = np.random.default_rng(0).normal(size=300)
    >>> X = np.column_stack([x, 2 * x])
    >>> imputer = GenerativeImputer(random_state=0).fit(X)
    >>> imputer.transform([[1.0, np.nan], [np.nan, -4.0]]).round(1)
    array([[ 1.,  2.],
           [-2., -4.]])
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit"]), None],
        "sample_posterior": ["boolean"],
        "add_indicator": ["boolean"],
        "keep_empty_features": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator=None,
        *,
        sample_posterior=False,
        add_indicator=False,
        keep_empty_features=False,
        random_state=None,
    ):
        self.estimator = estimator
        self.sample_posterior = sample_posterior
        self.add_indicator = add_indicator
        self.keep_empty_features = keep_empty_features
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, **fit_params):
        """Fit the density.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows, NaN where an entry is missing.
        y : Ignored
            Present for API consistency.
        **fit_params : dict
            ``sample_weight`` of shape (n_samples,), if the estimator takes weights.

        Returns
        -------
        self : object
            The fitted imputer.
        """
        X = self._checked(X, reset=True)
        weight = self._fit_weight(X, fit_params)
        missing = np.isnan(X)
        self._kept = ~missing.all(axis=0)
        if not self._kept.any():
            raise ValueError("X has no column with an entry: there is nothing to learn from. Pass observed values.")
        self._check_takes(missing[:, self._kept])
        self.indicator_ = MissingIndicator(error_on_new=False).fit(X) if self.add_indicator else None
        self.estimator_ = fitted_clone(self._inside(), X[:, self._kept], None, weight)
        conditioned(self.estimator_)
        self._seed = seed_from(check_random_state(self.random_state))
        return self

    def transform(self, X):
        """Fill in missing entries.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, NaN where an entry is missing.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features_out)
            The rows, their observed entries unchanged, without columns that were empty in ``fit`` unless these are
            kept, and the indicators where these are asked for.
        """
        check_is_fitted(self)
        X = self._checked(X, reset=False)
        model = conditioned(self.estimator_)
        rows = X[:, self._kept]
        filled = self._drawn(model, rows) if self.sample_posterior else model.impute(rows)
        filled = self._with_empty(filled)
        return filled if self.indicator_ is None else np.hstack([filled, self.indicator_.transform(X)])

    def draw(self, X, n_draws=1):
        """Independent draws of missing entries, for multiple imputation and intervals.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, NaN where an entry is missing.
        n_draws : int, default=1
            Number of draws.

        Returns
        -------
        draws : ndarray of shape (n_draws, n_samples, n_features)
            The rows with their missing entries drawn, observed ones unchanged; without indicators, and without columns
            that were empty in ``fit`` unless these are kept.
        """
        check_is_fitted(self)
        check_count(n_draws, "n_draws")
        X = self._checked(X, reset=False)
        # Copies of a row lie together, so that what is computed for its pattern serves all of them.
        copies = np.repeat(X[:, self._kept], n_draws, axis=0)
        seed = seed_from(check_random_state(self.random_state))
        drawn = self._with_empty(conditioned(self.estimator_).impute(copies, method="sample", random_state=seed))
        return np.ascontiguousarray(drawn.reshape(len(X), n_draws, -1).swapaxes(0, 1))

    def get_feature_names_out(self, input_features=None):
        """Names of the columns that ``transform`` returns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns of X; None takes those of ``fit``, or "x0", "x1" and so on.

        Returns
        -------
        names : ndarray of str
            Of the columns that are kept, and of the indicators.
        """
        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        kept = names if self.keep_empty_features else names[self._kept]
        return kept if self.indicator_ is None else np.concatenate([kept, self.indicator_.get_feature_names_out(names)])

    # -- parts ------------------------------------------------------------------------------------------------------

    def _inside(self):
        if self.estimator is not None:
            return self.estimator
        return make_pipeline(StandardScaler(), GaussianMixture(1, reg_covar=1e-3, tol=0.3))

    def _checked(self, X, *, reset):
        return checked_rows(self, X, [self._inside()], reset=reset, ensure_all_finite="allow-nan")

    def _check_takes(self, missing):
        estimator = self._inside()
        if missing.any() and not allows_nan(estimator):
            raise TypeError(
                f"X has {missing.sum()} missing entries, which the fit of {type(unwrapped(estimator)).__name__} does "
                "not take. Estimators that do: GaussianMixture, ProbabilisticPCA, FactorAnalysis, "
                "MixtureOfFactorAnalyzers, BayesianGaussianMixture and VariationalAutoencoder of skgen. Others can be "
                "fitted to complete rows."
            )

    def _drawn(self, model, rows):
        """Rows filled in one by one, each from noise of its own."""
        filled = rows.copy()
        for i in np.flatnonzero(np.isnan(rows).any(axis=1)):
            row = rows[i : i + 1]
            filled[i] = model.impute(row, method="sample", random_state=_row_seed(row, self._seed))[0]
        return filled

    def _with_empty(self, filled):
        if self._kept.all() or not self.keep_empty_features:
            return filled
        values = np.zeros((len(filled), len(self._kept)), dtype=filled.dtype)
        values[:, self._kept] = filled
        return values

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _row_seed(row, seed):
    """A seed from a seed and the observed entries of a row: missing entries, zeros and precisions look alike."""
    values = np.where(np.isnan(row), np.nan, row.astype(np.float64) + 0.0)
    digest = hashlib.sha256(seed.to_bytes(8, "little") + values.tobytes()).digest()
    return int.from_bytes(digest[:4], "little") >> 1
