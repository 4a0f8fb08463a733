"""One way to ask any fitted density for rows, log-densities and conditionals: the package's own, and scikit-learn's."""

from copy import copy

import numpy as np
from scipy.sparse import issparse
from sklearn.decomposition import PCA
from sklearn.decomposition import FactorAnalysis as SklearnFactorAnalysis
from sklearn.mixture import BayesianGaussianMixture as SklearnBayesianMixture
from sklearn.mixture import GaussianMixture as SklearnMixture
from sklearn.neighbors import KernelDensity
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skgen.estimators._linear_gaussian_fitted import FactorEstimator
from skgen.estimators._scalers import map_of, steps, unwrapped
from skgen.estimators.factor_mixture import MixtureOfFactorAnalyzers
from skgen.estimators.gaussian_mixture import GaussianMixture

__all__ = [
    "conditioned",
    "draw",
    "kind",
    "last_step",
    "log_density",
    "measure",
    "through",
    "unwrapped",
]

# The scores of BayesianGaussianMixture are logarithms of geometric means over the posterior, and so below those of
# its predictive density.
PEERS = {
    SklearnMixture: ("density", "exact"),
    SklearnBayesianMixture: ("density", "bound"),
    KernelDensity: ("density", "exact"),
    PCA: ("density", "exact"),
    SklearnFactorAnalysis: ("density", "exact"),
    BernoulliRBM: ("mass", "pseudo"),
}
"""What the scores of scikit-learn's estimators are relative to, and what they are."""

RESCALED = {"spherical": "diag", "tied_spherical": "tied_diag"}
"""Structures of covariances that a change of units takes out of, and what they become."""

SCORING = "those of skgen with score_samples, and scikit-learn's " + ", ".join(peer.__name__ for peer in PEERS)
DRAWING = (
    "those of skgen with sample, and scikit-learn's GaussianMixture, BayesianGaussianMixture, PCA, FactorAnalysis and "
    "KernelDensity with a gaussian or tophat kernel"
)
MIXTURES = (
    "skgen's GaussianMixture, MixtureOfFactorAnalyzers, ProbabilisticPCA and FactorAnalysis, and scikit-learn's "
    "GaussianMixture, PCA, FactorAnalysis and KernelDensity with a gaussian kernel"
)
CONDITIONING = {"impute": f"those of skgen with impute; {MIXTURES}", "conditional": MIXTURES}


def _lacking(estimator, capability, having):
    return TypeError(f"{type(estimator).__name__} has no {capability}. Estimators that have it: {having}.")


# -- scores -----------------------------------------------------------------------------------------------------------


def _score_traits(estimator):
    estimator = last_step(estimator)
    if hasattr(estimator, "score_kind") and hasattr(estimator, "score_measure"):
        return estimator.score_measure, estimator.score_kind
    for peer, traits in PEERS.items():
        if isinstance(estimator, peer):
            return traits
    raise TypeError(
        f"{type(estimator).__name__} is not known to have scores in nats. Estimators that have them: {SCORING}. One of "
        "your own says so by attributes score_measure ('density', 'mass' or 'mixed') and score_kind ('exact', 'bound', "
        "'estimate' or 'pseudo')."
    )


def measure(estimator):
    """What the scores of an estimator are relative to: "density", "mass" or "mixed"."""
    return _score_traits(estimator)[0]


def kind(estimator):
    """What the scores of an estimator are: "exact", "bound", "estimate" or "pseudo"."""
    return _score_traits(estimator)[1]


def log_density(estimator, X):
    """Scores of rows in nats, in the units of X.

    Densities get the logarithms of the scales of the scalers that a pipeline puts before them; masses need none.

    Parameters
    ----------
    estimator : object
        Fitted.
    X : array-like of shape (n_samples, n_features)
        Rows.

    Returns
    -------
    log_density : ndarray of shape (n_samples,)
        Nats per row, of the kind that :func:`kind` says; minus infinity where a row is impossible.
    """
    relative_to = measure(estimator)
    rows, jacobian = through(estimator, X)
    if relative_to == "mixed" and np.any(jacobian != 0):
        raise TypeError("Scores relative to a mixed measure cannot be taken through scalers: transform X beforehand.")
    values = np.asarray(last_step(estimator).score_samples(rows))
    _check_scores(estimator, values, len(rows))
    return values + np.asarray(jacobian if relative_to == "density" else 0, dtype=values.dtype)


def _check_scores(estimator, values, n_rows):
    """ValueError where scores are no log-densities of rows: NaN compares with nothing, and infinity wins always."""
    name = type(last_step(estimator)).__name__
    if values.shape != (n_rows,) or values.dtype.kind != "f":
        raise ValueError(
            f"score_samples of {name} must give a floating-point number for each of the {n_rows} rows, got an array of "
            f"shape {values.shape} and dtype {values.dtype}."
        )
    lost = np.isnan(values) | (values == np.inf)
    if lost.any():
        raise ValueError(
            f"{name} gives {lost.sum()} of {n_rows} rows, the first of them row {lost.argmax()}, the score "
            f"{values[lost][0]}, which is no log-density. Look for a covariance without variance, or for numbers in X "
            "whose squares are beyond floating point, and scale X."
        )


def last_step(estimator):
    """The estimator itself, or the one that a pipeline ends in."""
    estimator = unwrapped(estimator)
    return last_step(steps(estimator)[1]) if isinstance(estimator, Pipeline) else estimator


def through(estimator, X):
    """Rows as the last step of a pipeline of scalers sees them, and the log-Jacobian; of others X and 0.

    Where entries are missing the log-Jacobian is an array with a number for each row, over its observed entries.
    """
    estimator = unwrapped(estimator)
    if not isinstance(estimator, Pipeline):
        return X, 0.0
    check_is_fitted(estimator)
    affine, last = map_of(estimator)
    for _, step in steps(estimator)[0]:
        X = step.transform(X)
    X, jacobian = through(last, X)
    each = np.log(np.abs(np.broadcast_to(affine.scale, np.shape(X)[1])))
    missing = np.zeros((1, 1), dtype=bool) if issparse(X) else np.isnan(np.asarray(X))
    return X, jacobian + (~missing @ each if missing.any() else each.sum())


# -- draws ------------------------------------------------------------------------------------------------------------


def draw(estimator, n_samples, random_state=None):
    """Rows drawn from an estimator, which is not changed.

    Parameters
    ----------
    estimator : object
        Fitted. Through the steps of a pipeline draws go back by ``inverse_transform``.
    n_samples : int
        Number of rows.
    random_state : int, RandomState instance or None, default=None
        Source of the draws; None uses the estimator's own.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        Independent draws.
    """
    estimator = unwrapped(estimator)
    if isinstance(estimator, Pipeline):
        return _drawn_through(estimator, n_samples, random_state)
    if isinstance(estimator, (PCA, SklearnFactorAnalysis)):
        return _normal_draws(estimator, n_samples, random_state)
    unable = isinstance(estimator, KernelDensity) and estimator.kernel not in ("gaussian", "tophat")
    if unable or not hasattr(estimator, "sample"):
        raise _lacking(estimator, "sample to draw rows by", DRAWING)
    if isinstance(estimator, (SklearnMixture, SklearnBayesianMixture)):
        estimator = copy(estimator)
        estimator.random_state = estimator.random_state if random_state is None else random_state
        return estimator.sample(n_samples)[0]
    drawn = estimator.sample(n_samples, random_state=random_state)
    return drawn[0] if isinstance(drawn, tuple) else drawn


def _normal_draws(estimator, n_samples, random_state):
    check_is_fitted(estimator)
    source = check_random_state(getattr(estimator, "random_state", None) if random_state is None else random_state)
    values, vectors = np.linalg.eigh(estimator.get_covariance())
    noise = source.standard_normal((n_samples, len(values)))
    return estimator.mean_ + (noise * np.sqrt(values.clip(0))) @ vectors.T


def _drawn_through(pipeline, n_samples, random_state):
    before, last = steps(pipeline)
    for name, step in before:
        if not hasattr(step, "inverse_transform"):
            raise TypeError(
                f"The step {name!r}, {step!r}, has no inverse_transform, so that draws cannot be taken back to the "
                "columns of X. Use a transformer that has one, or transform X beforehand."
            )
    X = draw(last, n_samples, random_state)
    for _, step in reversed(before):
        X = step.inverse_transform(X)
    return np.asarray(X)


# -- conditionals -----------------------------------------------------------------------------------------------------


def conditioned(estimator, capability="impute"):
    """A fitted estimator of the same density with ``impute`` or ``conditional``.

    Parameters
    ----------
    estimator : object
        Fitted.
    capability : {"impute", "conditional"}, default="impute"
        What is needed.

    Returns
    -------
    estimator : object
        The estimator itself where it has the capability, otherwise a :class:`~skgen.GaussianMixture`, which has both.
    """
    estimator = unwrapped(estimator)
    check_is_fitted(estimator)
    if not isinstance(estimator, Pipeline) and hasattr(estimator, capability):
        return estimator
    mixture = _as_mixture(estimator)
    if mixture is not None:
        if hasattr(estimator, "feature_names_in_"):
            mixture.feature_names_in_ = estimator.feature_names_in_
        return mixture
    if capability == "impute" and isinstance(estimator, Pipeline):
        affine, last = map_of(estimator)
        return Rescaled(conditioned(last), affine)
    raise _lacking(estimator, capability, CONDITIONING[capability])


class Rescaled:
    """An estimator that imputes, in other units than its own."""

    def __init__(self, estimator, affine):
        self.estimator, self.affine = estimator, affine

    def impute(self, X, *, method="mean", random_state=None):
        """Fill in missing entries, as the estimator's own ``impute`` does."""
        X = np.asarray(X)
        scale, shift = self.affine
        filled = self.estimator.impute(X * scale + shift, method=method, random_state=random_state)
        return np.where(np.isnan(X), (filled - shift) / scale, X)


def _as_mixture(estimator):
    """The same density as a mixture of normal distributions, or None where it is none."""
    if isinstance(estimator, Pipeline):
        affine, last = map_of(estimator)
        mixture = _as_mixture(last)
        return None if mixture is None else _rescaled(mixture, affine)
    if isinstance(estimator, GaussianMixture):
        return estimator
    if isinstance(estimator, MixtureOfFactorAnalyzers):
        return _mixture(estimator.weights_, estimator.means_, estimator.get_covariance())
    if isinstance(estimator, (FactorEstimator, PCA, SklearnFactorAnalysis)):
        return _mixture([1.0], [estimator.mean_], [estimator.get_covariance()])
    if isinstance(estimator, SklearnMixture):
        return GaussianMixture.from_sklearn(estimator, random_state=estimator.random_state)
    if isinstance(estimator, KernelDensity) and (estimator.kernel, estimator.metric) == ("gaussian", "euclidean"):
        return _kernels(estimator)
    return None


def _mixture(weights, means, covariances, covariance_type="full"):
    weights = np.asarray(weights, dtype=np.float64)
    return GaussianMixture.from_parameters(
        weights / weights.sum(), np.asarray(means), np.asarray(covariances), covariance_type=covariance_type
    )


def _kernels(estimator):
    """One component for each training row of a kernel density."""
    rows, weights = np.asarray(estimator.tree_.data), estimator.tree_.sample_weight
    weights = np.ones(len(rows)) if weights is None else np.asarray(weights)
    return _mixture(weights, rows, estimator.bandwidth_**2, "tied_spherical")


def _rescaled(mixture, affine):
    """The mixture of x where ``mixture`` is that of x * scale + shift."""
    units = np.broadcast_to(1 / affine.scale, mixture.n_features_in_)
    structure = mixture.covariance_type
    covariances = mixture.covariances_
    if structure in ("full", "tied"):
        covariances = covariances * np.outer(units, units)
    elif structure == "spherical":
        covariances = np.multiply.outer(covariances, units**2)
    else:
        covariances = covariances * units**2
    means = (mixture.means_ - affine.shift) * units
    return _mixture(mixture.weights_, means, covariances, RESCALED.get(structure, structure))
