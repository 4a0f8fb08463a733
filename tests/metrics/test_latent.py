import itertools

import numpy as np
import pytest
from scipy.stats import entropy

from skgen.metrics.latent import cluster_accuracy, mutual_information_gap


@pytest.mark.parametrize(("n_classes", "n_clusters"), [(4, 4), (3, 5), (5, 2)])
def test_accuracy_is_the_best_over_all_matchings(n_classes, n_clusters):
    source = np.random.RandomState(0)
    y_true, y_pred = source.randint(n_classes, size=40), source.randint(n_clusters, size=40)
    size = max(n_classes, n_clusters)
    best = max(np.mean(np.array(names)[y_pred] == y_true) for names in itertools.permutations(range(size)))
    assert cluster_accuracy(y_true, y_pred) == best


def test_names_of_clusters_do_not_matter():
    y = np.repeat([0, 1, 2], 5)
    assert cluster_accuracy(y, np.array(["c", "a", "b"])[y]) == 1
    assert cluster_accuracy(y, np.zeros(15)) == 1 / 3


@pytest.mark.parametrize(("y_true", "y_pred"), [([0, 1], [0]), ([], [])])
def test_labels_that_do_not_pair_are_refused(y_true, y_pred):
    with pytest.raises(ValueError, match="y_true and y_pred must have the same number of labels"):
        cluster_accuracy(y_true, y_pred)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1.0, np.nan, 2.0], "must have a label for each row, but some are missing"),
        (["a", None, "b"], "must have a label for each row, but some are missing"),
        ([0.5, 1.0, 1.5], "must have labels, got numbers that are not whole"),
    ],
)
def test_what_is_no_label_is_refused_on_either_side(labels, message):
    with pytest.raises(ValueError, match=f"y_true {message}"):
        cluster_accuracy(labels, [0, 0, 1])
    with pytest.raises(ValueError, match=f"y_pred {message}"):
        cluster_accuracy([0, 0, 1], labels)


def test_the_gap_of_discrete_variables_is_its_definition():
    """With as many bins as values every variable is known, and all informations follow from the counts."""
    source = np.random.RandomState(0)
    factor = np.repeat([0, 1], 500)
    flipped = np.where(source.uniform(size=1000) < 0.1, 1 - factor, factor)
    order = source.permutation(1000)
    Z = np.column_stack([flipped, factor[order]])

    def information(a, b):
        table = np.histogram2d(a, b, bins=2)[0].ravel() / len(a)
        return entropy(np.bincount(a) / len(a)) + entropy(np.bincount(b) / len(b)) - entropy(table)

    expected = (information(factor, flipped) - information(factor, factor[order])) / np.log(2)
    np.testing.assert_allclose(mutual_information_gap(Z, factor, n_bins=2), expected, atol=1e-12)


def test_one_variable_for_each_factor_has_gap_one_and_a_shared_one_gap_zero():
    factors = np.array(list(itertools.product(range(4), range(3))) * 50)
    assert mutual_information_gap(factors, factors) == pytest.approx(1)
    doubled = np.column_stack([factors, factors])
    assert mutual_information_gap(doubled, factors) == pytest.approx(0)


def test_the_gap_is_the_mean_over_factors_and_keeps_under_monotone_maps():
    source = np.random.RandomState(0)
    factors = source.randint(3, size=(400, 2))
    Z = factors @ [[1.0, 0.3], [0.2, 1.0]] + 0.3 * source.standard_normal((400, 2))
    gap = mutual_information_gap(Z, factors)
    assert gap == pytest.approx(np.mean([mutual_information_gap(Z, factor) for factor in factors.T]))
    assert gap == pytest.approx(mutual_information_gap(np.exp(Z), np.array(["a", "b", "c"])[factors]))
    assert 0 < gap < 1


@pytest.mark.parametrize(
    ("Z", "factors", "options", "message"),
    [
        (np.eye(4)[:, :1], [0, 1, 0, 1], {}, "minimum of 2 is required"),
        (np.eye(4), [0, 1, 0], {}, r"factors must have one row for each of the 4 rows of Z, got the shape \(3, 1\)"),
        (np.eye(4), [[0, 1]] * 4, {}, "Column 0 of factors has a single value, 0"),
        (np.eye(4), np.empty((4, 0)), {}, r"factors must have one row .* got the shape \(4, 0\)"),
        (np.eye(4), [0, 1, np.nan, 1], {}, "factors must have a label for each row, but some are missing"),
        (np.eye(4), [0.1, 0.2, 0.3, 0.4], {}, "Column 0 of factors has 4 values in 4 rows, too many to count"),
        (np.eye(4), [0, 1, 0, 1], {"n_bins": 1}, "n_bins must be an integer of at least 2, got 1"),
    ],
)
def test_what_has_no_gap_is_refused(Z, factors, options, message):
    with pytest.raises(ValueError, match=message):
        mutual_information_gap(Z, factors, **options)
