"""Tests of whether two samples come from one distribution, with p-values that hold."""

from functools import partial

import numpy as np
import torch
from scipy.stats import mannwhitneyu
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.utils import Bunch, check_random_state

from skgen._spec import check_count, check_number
from skgen.distributions.mean_discrepancy import divided_discrepancies, gaussian_kernel, median_distance
from skgen.estimators._arrays import as_tensor, seed_from
from skgen.metrics._permutations import permutation_pvalue
from skgen.metrics._samples import check_samples, check_squares

N_MEDIAN_ROWS = 1000
"""Rows, drawn from both samples, whose distances the median is taken of."""


def mmd_test(X, Y, *, bandwidth="median", n_permutations=200, random_state=None):
    r"""Test whether two samples have the same distribution by their maximum mean discrepancy.

    The statistic is the unbiased estimate of the squared discrepancy with the kernel
    :math:`\exp(-|x - y|^2 / 2 h^2)`. Its p-value comes from dividing the pooled rows at random, so that it is exact
    for any number of rows: of samples from one distribution at most a share of :math:`\alpha` has a p-value of at
    most :math:`\alpha`.

    Parameters
    ----------
    X, Y : array-like of shape (n_samples, n_features) and (m_samples, n_features)
        Independent rows, at least 2 each. Distances are Euclidean: scale columns of different units first.
    bandwidth : "median" or float, default="median"
        h in the units of the rows. The median distance of up to 1000 of the pooled rows is a choice that respects
        their scale; a bandwidth far below the distances of rows makes the test blind.
    n_permutations : int, default=200
        Divisions of the pooled rows. The least p-value is ``1 / (1 + n_permutations)``.
    random_state : int, RandomState instance or None, default=None
        Source of the divisions and of the rows for the median.

    Returns
    -------
    result : Bunch
        ``statistic``, the squared discrepancy, 0 in the mean where the distributions are equal and at most 2;
        ``pvalue``; ``bandwidth``.

    See Also
    --------
    classifier_two_sample_test : Learns what differs; better for few informative among many columns.

    Notes
    -----
    Time grows with the square of the number of rows, memory with the number of rows.

    References
    ----------
    Gretton, Borgwardt, Rasch, Schoelkopf and Smola (2012), "A kernel two-sample test",
    https://jmlr.org/papers/v13/gretton12a.html

    Examples
    --------
    >>> import numpy as np
    >>> from skgen.metrics import mmd_test
    >>> source = np.random.RandomState(0)
    >>> X, Y = source.standard_normal((100, 2)), source.standard_normal((100, 2)) + [1, 0]
    >>> bool(mmd_test(X, Y, random_state=0).pvalue < 0.01)
    True
    """
    X, Y = check_samples(X=X, Y=Y)
    check_count(n_permutations, "n_permutations")
    if bandwidth != "median":
        check_number(bandwidth, 'bandwidth, if not "median",', above=0, below=np.inf)
        check_squares(np.array([bandwidth]), "bandwidth")
    random_state = check_random_state(random_state)
    pooled = np.concatenate([X, Y])
    check_squares(pooled, "X and Y")
    if bandwidth == "median":
        some = random_state.permutation(len(pooled))[:N_MEDIAN_ROWS]
        bandwidth = median_distance(as_tensor(pooled[some]))
    members = np.zeros((len(pooled), 1 + n_permutations), dtype=bool)
    members[: len(X), 0] = True
    for division in members.T[1:]:
        division[random_state.permutation(len(pooled))[: len(X)]] = True
    kernel = partial(gaussian_kernel, bandwidth=float(bandwidth))
    with torch.no_grad():
        values = divided_discrepancies(as_tensor(pooled), as_tensor(members), kernel).numpy()
    pvalue = permutation_pvalue(values[0], values[1:])
    return Bunch(statistic=float(values[0]), pvalue=pvalue, bandwidth=float(bandwidth))


def classifier_two_sample_test(X, Y, *, estimator=None, test_size=0.5, random_state=None):
    """Test whether two samples have the same distribution by a classifier that tells them apart.

    The classifier learns from one part of the rows, and scores the others. The p-value is that of the Mann-Whitney
    test, one-sided and corrected for ties, of whether the held-out rows of Y score higher than those of X. Scores of
    cross-validation depend on each other, so that there is no such test of them.

    Parameters
    ----------
    X, Y : array-like of shape (n_samples, n_features) and (m_samples, n_features)
        Independent rows, at least 4 each.
    estimator : object, default=None
        A classifier with ``decision_function`` or ``predict_proba``, which is cloned. None stands for
        ``HistGradientBoostingClassifier(random_state=...)``, which takes columns of any units, dependences of any
        shape, and NaN. A linear classifier sees no more than a difference of means.
    test_size : float, default=0.5
        Share of the rows of each sample that is held out.
    random_state : int, RandomState instance or None, default=None
        Source of the split, and of the default classifier.

    Returns
    -------
    result : Bunch
        ``auc``, the area under the ROC curve of the held-out rows, 0.5 where nothing tells them apart; ``accuracy``
        on them, balanced; ``pvalue``.

    See Also
    --------
    mmd_test : Learns nothing, so that no rows are held out; better for few rows.

    References
    ----------
    Lopez-Paz and Oquab (2017), "Revisiting classifier two-sample tests", https://arxiv.org/abs/1610.06545

    Examples
    --------
    >>> import numpy as np
    >>> from skgen.metrics import classifier_two_sample_test
    >>> source = np.random.RandomState(0)
    >>> X = source.multivariate_normal([0, 0], [[1, 0.95], [0.95, 1]], size=400)
    >>> Y = source.standard_normal((400, 2))  # the same columns, independent of each other
    >>> result = classifier_two_sample_test(X, Y, random_state=0)
    >>> bool(result.auc > 0.7), bool(result.pvalue < 0.001)
    (True, True)
    """
    X, Y = check_samples(least=4, allow_nan=True, X=X, Y=Y)
    check_number(test_size, "test_size", above=0, below=1)
    random_state = check_random_state(random_state)
    rows, labels = np.concatenate([X, Y]), np.repeat([0, 1], [len(X), len(Y)])
    learnt, held, labels_learnt, labels_held = train_test_split(
        rows, labels, test_size=test_size, stratify=labels, random_state=random_state
    )
    for part, name in ((labels_learnt, "learn from"), (labels_held, "hold out")):
        if np.bincount(part, minlength=2).min() == 0:
            raise ValueError(
                f"test_size={test_size} leaves no row of one sample to {name}; they have {len(X)} and {len(Y)} rows. "
                "Choose another share, or pass more rows."
            )
    if estimator is None:
        estimator = HistGradientBoostingClassifier(random_state=seed_from(random_state))
    classifier = clone(estimator).fit(learnt, labels_learnt)
    auc, pvalue = _rank_sum(_scores(classifier, held), labels_held)
    accuracy = balanced_accuracy_score(labels_held, classifier.predict(held))
    return Bunch(auc=auc, accuracy=float(accuracy), pvalue=pvalue)


def _scores(classifier, X):
    """Higher where a row looks more like one of the second sample."""
    if hasattr(classifier, "decision_function"):
        return classifier.decision_function(X)
    if hasattr(classifier, "predict_proba"):
        return classifier.predict_proba(X)[:, 1]
    raise TypeError(
        f"estimator must be a classifier with decision_function or predict_proba, got {type(classifier).__name__}."
    )


def _rank_sum(scores, labels):
    """Area under the ROC curve and its one-sided p-value, which is 1 where all scores are equal and say nothing."""
    if (scores == scores[0]).all():
        return 0.5, 1.0
    result = mannwhitneyu(scores[labels == 1], scores[labels == 0], alternative="greater")
    return float(result.statistic / (labels == 1).sum() / (labels == 0).sum()), float(result.pvalue)
