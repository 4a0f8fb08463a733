import numpy as np
import pytest
from scipy.stats import kstest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KernelDensity
from sklearn.tree import DecisionTreeClassifier

from skgen.metrics import two_sample
from skgen.metrics.two_sample import classifier_two_sample_test, mmd_test
from tests.oracles import process_state

N_REPEATS = 500
CORRELATED = [[1, 0.95], [0.95, 1]]


def uniform(test, n_rows, n_other):
    """The p-value of the Kolmogorov-Smirnov test of p-values under the null hypothesis."""
    source = np.random.RandomState(0)
    pvalues = []
    for seed in range(N_REPEATS):
        rows = source.standard_normal((n_rows + n_other, 2)) ** 3
        pvalues.append(test(rows[:n_rows], rows[n_rows:], random_state=seed).pvalue)
    return kstest(pvalues, "uniform").pvalue


@pytest.mark.parametrize(("n_rows", "n_other"), [(20, 20), (30, 8)])
def test_p_values_of_the_discrepancy_are_uniform_under_the_null(n_rows, n_other):
    def test(X, Y, random_state):
        return mmd_test(X, Y, n_permutations=199, random_state=random_state)

    assert uniform(test, n_rows, n_other) > 0.01


def test_p_values_of_a_classifier_are_uniform_under_the_null():
    """Few small trees, whose scores are full of ties."""
    estimator = HistGradientBoostingClassifier(max_iter=4, random_state=0)

    def test(X, Y, random_state):
        return classifier_two_sample_test(X, Y, estimator=estimator, random_state=random_state)

    assert uniform(test, 120, 90) > 0.01


@pytest.mark.parametrize("test", [mmd_test, classifier_two_sample_test])
def test_a_destroyed_correlation_is_seen(test):
    """A linear classifier, as popular detection scores have it, is blind for it."""
    source = np.random.RandomState(0)
    X = source.multivariate_normal([0, 0], CORRELATED, size=300)
    Y = np.column_stack(
        [source.permutation(column) for column in source.multivariate_normal([0, 0], CORRELATED, 300).T]
    )
    assert test(X, Y, random_state=0).pvalue < 0.01
    blind = classifier_two_sample_test(X, Y, estimator=LogisticRegression(), random_state=0)
    assert blind.pvalue > 0.05


@pytest.mark.parametrize("test", [mmd_test, classifier_two_sample_test])
def test_a_shift_in_many_dimensions_is_seen(test):
    """A fixed bandwidth of 1, at which no two rows are near each other in 30 dimensions, is blind for it."""
    X, Y = np.random.RandomState(0).standard_normal((2, 100, 30))
    Y = Y + 3
    assert test(X, Y, random_state=0).pvalue < 0.01
    assert mmd_test(X, Y, random_state=0).statistic > 0.5
    assert mmd_test(X, Y, bandwidth=0.5, random_state=0).statistic < 1e-6


def test_power_grows_with_the_number_of_rows():
    source = np.random.RandomState(0)
    rejected = []
    for n_rows in (20, 200):
        pvalues = []
        for seed in range(20):
            X, Y = source.standard_normal((2, n_rows, 3))
            pvalues.append(mmd_test(X, Y + 0.4, n_permutations=99, random_state=seed).pvalue)
        rejected.append(np.mean(np.array(pvalues) <= 0.05))
    assert rejected[0] < rejected[1] == 1


def test_the_discrepancy_of_normal_distributions_is_the_closed_form():
    X, Y = np.random.RandomState(0).standard_normal((2, 2000, 2))
    Y[:, 0] += 1
    statistics = [
        mmd_test(X[i::10], Y[i::10], bandwidth=1.5, n_permutations=1, random_state=0).statistic for i in range(10)
    ]
    expected = 2 * (1.5**2 / (1.5**2 + 2)) * (1 - np.exp(-0.5 / (1.5**2 + 2)))
    assert abs(np.mean(statistics) - expected) < 5 * np.std(statistics, ddof=1) / np.sqrt(10)


@pytest.mark.parametrize("test", [mmd_test, classifier_two_sample_test])
def test_results_follow_the_seed_and_leave_global_state_alone(test):
    X, Y = np.random.RandomState(0).standard_normal((2, 40, 2))
    before = process_state()
    assert test(X, Y, random_state=3) == test(X, Y, random_state=3)
    assert process_state() == before


def test_the_unit_of_the_rows_does_not_matter():
    X, Y = np.random.RandomState(0).standard_normal((2, 40, 2))
    one, other = mmd_test(X, Y, random_state=0), mmd_test(1e6 * X, 1e6 * Y, random_state=0)
    assert one.pvalue == other.pvalue
    np.testing.assert_allclose([one.statistic, 1e6 * one.bandwidth], [other.statistic, other.bandwidth], rtol=1e-9)


def test_the_median_of_many_rows_is_taken_of_some_of_both_samples(monkeypatch):
    monkeypatch.setattr(two_sample, "N_MEDIAN_ROWS", 200)
    X = np.random.RandomState(0).standard_normal((2000, 2))
    few = mmd_test(X[:1000], X[1000:] + 10, n_permutations=1, random_state=0).bandwidth
    monkeypatch.setattr(two_sample, "N_MEDIAN_ROWS", 2000)
    assert abs(few / mmd_test(X[:1000], X[1000:] + 10, n_permutations=1, random_state=0).bandwidth - 1) < 0.5
    assert few > 2


@pytest.mark.parametrize("test", [mmd_test, classifier_two_sample_test])
def test_equal_rows_are_no_evidence(test):
    assert test(np.ones((20, 2)), np.ones((20, 2)), random_state=0).pvalue == 1


def test_a_classifier_may_have_probabilities_only_and_take_nan():
    X, Y = np.random.RandomState(0).standard_normal((2, 200, 2))
    X[::3, 0] = np.nan
    result = classifier_two_sample_test(
        X, Y, estimator=DecisionTreeClassifier(max_depth=2, random_state=0), random_state=0
    )
    assert result.pvalue < 0.01
    assert 0.5 < result.accuracy < 1
    assert classifier_two_sample_test(X, Y, random_state=0).pvalue < 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bandwidth": 0}, r"bandwidth, if not \"median\", must be a number > 0"),
        ({"bandwidth": "mean"}, "bandwidth"),
        ({"n_permutations": 0}, "n_permutations must be an integer of at least 1, got 0"),
    ],
)
def test_a_parameter_out_of_range_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        mmd_test(np.eye(3), np.eye(3), **options)


def test_what_is_no_classifier_is_refused():
    X = np.random.RandomState(0).standard_normal((20, 2))
    with pytest.raises(ValueError, match="test_size must be a number > 0 and < 1, got 2"):
        classifier_two_sample_test(X, X, test_size=2)
    with pytest.raises(TypeError, match="with decision_function or predict_proba, got KernelDensity"):
        classifier_two_sample_test(X, X, estimator=KernelDensity())


def test_the_area_is_scikit_learn_s():
    source = np.random.RandomState(0)
    labels, scores = source.randint(2, size=60), source.randint(5, size=60).astype(float)
    assert two_sample._rank_sum(scores, labels)[0] == pytest.approx(roc_auc_score(labels, scores))


@pytest.mark.parametrize("far", [1e9, 1e12])
def test_a_row_far_from_all_others_does_not_blind_the_test(far):
    X, Y = np.random.RandomState(0).standard_normal((2, 100, 2)) + np.array([0, 1])[:, None, None]
    X[0] = far
    result = mmd_test(X, Y, random_state=0)
    assert result.pvalue < 0.01
    assert result.bandwidth < 10


def test_no_p_value_comes_from_numbers_whose_squares_float64_does_not_hold():
    X = np.random.RandomState(0).standard_normal((20, 2))
    for factor in (1e-200, 1e200):
        with pytest.raises(ValueError, match="The largest number in X and Y is"):
            mmd_test(factor * X, factor * X)
        with pytest.raises(ValueError, match="The largest number in bandwidth is"):
            mmd_test(X, X, bandwidth=factor)


def test_a_split_without_rows_of_a_sample_is_refused():
    X = np.random.RandomState(0).standard_normal((60, 2))
    with pytest.raises(ValueError, match=r"test_size=0\.05 leaves no row of one sample to hold out; they"):
        classifier_two_sample_test(X[:4], X[4:], test_size=0.05)
