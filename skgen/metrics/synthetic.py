"""What drawn rows are good for, and whether they are copies."""

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import check_scoring
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import Bunch, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from skgen._spec import check_count
from skgen.estimators._arrays import seed_from
from skgen.estimators._density_adapter import draw
from skgen.metrics._permutations import permutation_pvalue
from skgen.metrics._samples import check_samples, check_squares, distance_blocks

N_NEIGHBORS = 5
"""Nearest rows of the same class of which one is interpolated to, as many as SMOTE takes."""


def train_on_synthetic_score(
    density, X, y, X_test, y_test, *, classifier=None, scoring=None, n_repeats=5, random_state=None
):
    """Score on real rows of a classifier that has learnt from drawn rows.

    A clone of the density is fitted to each class and draws as many rows as the class has; one that is learnt given the
    class (``conditional=True``) is fitted once, to all rows and their classes. Three brackets say what
    the score is worth: the real training rows; rows whose columns are drawn independently of each other within each
    class, which is what a model that has learnt no dependence gives; and rows interpolated between neighbours of a
    class, which costs nothing and is often hard to beat.

    Parameters
    ----------
    density : object
        An estimator that draws rows: one of skgen with ``sample``, scikit-learn's GaussianMixture, KernelDensity, PCA
        or FactorAnalysis, or a pipeline that ends in one. It is cloned.
    X, X_test : array-like of shape (n_samples, n_features) and (n_test_samples, n_features)
        Real rows to fit to, and to score on.
    y, y_test : array-like of shape (n_samples,) and (n_test_samples,)
        Classes.
    classifier : object, default=None
        The classifier that learns, which is cloned. None stands for
        ``HistGradientBoostingClassifier(random_state=...)``.
    scoring : str, callable or None, default=None
        A scorer as in scikit-learn; None stands for the classifier's own ``score``.
    n_repeats : int, default=5
        How often rows are drawn and learnt from. The densities are fitted once.
    random_state : int, RandomState instance or None, default=None
        Source of draws and of the default classifier's seeds. It does not reseed the density's fit.

    Returns
    -------
    result : Bunch
        ``synthetic``, ``real``, ``independent`` and ``interpolation``: the scores of all repeats, ndarrays of shape
        (n_repeats,).

    See Also
    --------
    memorization_test : Whether the drawn rows are copies, which score well.

    References
    ----------
    Esteban, Hyland and Raetsch (2017), "Real-valued (medical) time series generation with recurrent conditional
    GANs", https://arxiv.org/abs/1706.02633

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skgen import GaussianMixture
    >>> from skgen.metrics import train_on_synthetic_score
    >>> X, y = load_iris(return_X_y=True)
    >>> classifier = LogisticRegression(max_iter=1000)
    >>> result = train_on_synthetic_score(
    ...     GaussianMixture(random_state=0), X[::2], y[::2], X[1::2], y[1::2], classifier=classifier, random_state=0
    ... )
    >>> bool(result.synthetic.mean() > 0.9), bool(result.real.mean() > 0.9)
    (True, True)
    """
    X, X_test = check_samples(least=1, X=X, X_test=X_test)
    y, y_test = _check_classes(y, X, "y"), _check_classes(y_test, X_test, "y_test")
    check_count(n_repeats, "n_repeats")
    random_state = check_random_state(random_state)
    classes, counts = np.unique(y, return_counts=True)
    if len(classes) < 2:
        raise ValueError(f"y must have at least 2 classes, got {classes.tolist()} only.")
    draws = _draws(density, X, y, classes)
    sources = [_sources(draws[c], X[y == c], _spread(X)) for c in classes.tolist()]
    scores = {name: [] for name in sources[0]}
    for _ in range(n_repeats):
        learner = classifier
        if learner is None:
            learner = HistGradientBoostingClassifier(random_state=seed_from(random_state))
        for name, values in scores.items():
            rows = np.concatenate([source[name](random_state) for source in sources])
            learnt = clone(learner).fit(rows, np.repeat(classes, counts))
            values.append(check_scoring(learnt, scoring)(learnt, X_test, y_test))
    return Bunch(**{name: np.array(values) for name, values in scores.items()})


def _check_classes(y, X, name):
    y = column_or_1d(y)
    if len(y) != len(X):
        raise ValueError(f"{name} must have one class for each of the {len(X)} rows, got {len(y)}.")
    check_classification_targets(y)
    return y


def _spread(X):
    scale = X.std(axis=0)
    return np.where(scale > 0, scale, 1.0)


def _draws(density, X, y, classes):
    """For each class a function of a number of rows and a RandomState that draws rows of the class."""
    if getattr(density, "conditional", False) is True:  # mixtures have a method of that name
        fitted = clone(density).fit(X, y)
        return {
            c: lambda n, random_state, c=c: fitted.sample(n, seed_from(random_state), y=c) for c in classes.tolist()
        }
    fitted = {c: _fitted_class(density, X[y == c], c) for c in classes.tolist()}
    return {c: lambda n, random_state, c=c: draw(fitted[c], n, seed_from(random_state)) for c in classes.tolist()}


def _fitted_class(density, rows, label):
    try:
        return clone(density).fit(rows)
    except ValueError as error:
        raise ValueError(f"density cannot be fitted to the {len(rows)} rows of class {label!r}: {error}") from error


def _sources(drawn, rows, scale):
    """For each kind of training rows a function of a RandomState that draws as many as a class has."""
    neighbors = _neighbors(rows / scale)
    return {
        "synthetic": lambda random_state: drawn(len(rows), random_state),
        "real": lambda random_state: rows,
        "independent": lambda random_state: _independent_columns(rows, random_state),
        "interpolation": lambda random_state: _interpolated(rows, neighbors, random_state),
    }


def _independent_columns(rows, random_state):
    """Rows of which each entry is that of a row drawn for it alone."""
    return np.take_along_axis(rows, random_state.randint(len(rows), size=rows.shape), axis=0)


def _neighbors(rows):
    """Numbers of the nearest other rows, (rows, at most N_NEIGHBORS); a single row is its own."""
    n_neighbors = min(N_NEIGHBORS, len(rows) - 1)
    if n_neighbors == 0:
        return np.zeros((1, 1), dtype=int)
    return NearestNeighbors(n_neighbors=n_neighbors).fit(rows).kneighbors(return_distance=False)


def _interpolated(rows, neighbors, random_state):
    """Points drawn between a row and one of its neighbours, as SMOTE (Chawla et al. 2002) draws them."""
    start = random_state.randint(len(rows), size=len(rows))
    end = neighbors[start, random_state.randint(neighbors.shape[1], size=len(rows))]
    return rows[start] + random_state.uniform(size=(len(rows), 1)) * (rows[end] - rows[start])


def memorization_test(X_train, X_holdout, X_generated, *, n_permutations=1000, random_state=None):
    """Test whether drawn rows lie closer to training rows than to real rows that the model has not seen.

    The statistic is the share of drawn rows whose nearest real row is a training row. If the drawn rows do not depend
    on which of the real rows were trained on, these could as well be any others, so that the p-value comes from
    dividing the real rows at random.

    Parameters
    ----------
    X_train, X_holdout : array-like of shape (n_samples, n_features) and (n_holdout_samples, n_features)
        Independent real rows of one distribution: those that the model was fitted to, and others, as many as
        possible.
    X_generated : array-like of shape (n_generated_samples, n_features)
        Drawn rows. Distances are Euclidean: scale columns of different units first, by numbers that do not depend on
        which rows were trained on.
    n_permutations : int, default=1000
        Divisions of the real rows. The least p-value is ``1 / (1 + n_permutations)``.
    random_state : int, RandomState instance or None, default=None
        Source of the divisions.

    Returns
    -------
    result : Bunch
        ``share_closer_to_train``; ``expected_share``, the share of training rows among the real ones, which a model
        that copies nothing attains in the mean; ``pvalue``, one-sided.

    Notes
    -----
    Drawn rows share their neighbours, so that they are no independent trials: a binomial test of the share rejects
    too often, and always if enough rows are drawn. The p-value here is exact for any number of rows. A drawn row
    with several nearest rows, as in discrete data, counts in equal parts for each.

    References
    ----------
    Meehan, Chaudhuri and Dasgupta (2020), "A non-parametric test to detect data-copying in generative models",
    https://arxiv.org/abs/2004.05675

    Examples
    --------
    >>> import numpy as np
    >>> from skgen.metrics import memorization_test
    >>> source = np.random.RandomState(0)
    >>> X_train, X_holdout, fresh = source.standard_normal((3, 100, 5))
    >>> copies = X_train + 0.01 * source.standard_normal((100, 5))
    >>> result = memorization_test(X_train, X_holdout, copies, random_state=0)
    >>> result.share_closer_to_train, result.expected_share, bool(result.pvalue < 0.01)
    (1.0, 0.5, True)
    >>> bool(memorization_test(X_train, X_holdout, fresh, random_state=0).pvalue > 0.05)
    True
    """
    train, holdout, generated = check_samples(least=1, X_train=X_train, X_holdout=X_holdout, X_generated=X_generated)
    check_squares(np.concatenate([train, holdout, generated]), "X_train, X_holdout and X_generated")
    check_count(n_permutations, "n_permutations")
    random_state = check_random_state(random_state)
    n_nearest = np.zeros(len(train) + len(holdout))
    for _, distance in distance_blocks(generated, np.concatenate([train, holdout])):
        nearest = distance == distance.min(axis=1, keepdims=True)
        n_nearest += (nearest / nearest.sum(axis=1, keepdims=True)).sum(axis=0)
    share = n_nearest[: len(train)].sum() / len(generated)
    shares = [random_state.permutation(n_nearest)[: len(train)].sum() / len(generated) for _ in range(n_permutations)]
    return Bunch(
        share_closer_to_train=float(share),
        expected_share=len(train) / len(n_nearest),
        pvalue=permutation_pvalue(share, shares),
    )
