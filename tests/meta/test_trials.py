"""skgen.meta._trials: fits of candidates, and the table of what they say of unseen rows."""

import numpy as np
import pytest
from scipy import stats
from sklearn.exceptions import FitFailedWarning

from skgen import GaussianMixture, ProbabilisticPCA
from skgen.meta._trials import Trial, by_bic, held_out, table

X = np.random.default_rng(0).normal(size=(40, 2))
HALVES = [(np.arange(20), np.arange(20, 40)), (np.arange(20, 40), np.arange(20))]


def trial(values):
    return Trial(np.array(values, dtype=float), "exact", 1.0)


def test_each_split_is_scored_by_the_fit_to_its_training_rows():
    (found,) = held_out(["pca"], [ProbabilisticPCA(1)], X, None, HALVES, None)
    expected = [ProbabilisticPCA(1).fit(X[train]).score_samples(X[test]) for train, test in HALVES]
    np.testing.assert_array_equal(found.values, np.concatenate(expected))
    assert (found.kind, found.failure) == ("exact", "")


def test_a_criterion_is_a_score_per_row():
    weight = np.arange(1.0, 41.0)
    (found,) = by_bic(["one"], [GaussianMixture()], X, weight, None)
    fitted = GaussianMixture().fit(X, sample_weight=weight)
    assert found.values == pytest.approx([-fitted.bic(X, sample_weight=weight) / 2 / weight.sum()])


def test_the_table_pairs_rows_and_weights_are_repetitions():
    random = np.random.default_rng(0)
    one, two, weight = random.normal(size=30), random.normal(size=30), random.integers(1, 4, size=30)
    found = table(["one", "two"], [trial(one), trial(two)], weight.astype(float))
    repeated = np.repeat(one, weight), np.repeat(two, weight)
    best = repeated[np.argmax([each.mean() for each in repeated])]
    np.testing.assert_allclose(found["standard_error"], stats.sem(repeated, axis=1))
    np.testing.assert_allclose(found["difference_error"], [stats.sem(each - best) for each in repeated])


def test_impossible_rows_are_never_the_best():
    found = table(["no", "yes"], [trial([0.0, -np.inf]), trial([-5.0, -5.0])], None)
    assert found["score"].tolist() == [-np.inf, -5.0]
    assert found["difference"].tolist() == [-np.inf, 0.0]


def test_a_failure_in_one_split_is_one_of_the_candidate():
    splits = [(np.arange(3), np.arange(3, 40)), (np.arange(3, 40), np.arange(3))]
    with pytest.warns(FitFailedWarning, match="Candidate 'many' is left out: ValueError: Expected n_samples"):
        found = held_out(["many", "one"], [GaussianMixture(5), GaussianMixture()], X, None, splits, None)
    columns = table(["many", "one"], found, None)
    assert np.isnan(columns["score"]).tolist() == [True, False]
