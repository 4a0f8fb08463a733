"""skgen.meta._folds: scores of rows by fits that have not seen them."""

import numpy as np
import pytest

from skgen.meta._folds import dividing_line, fold_splits, folds, splits_of


def seeded(seed=0):
    return np.random.RandomState(seed)


def test_folds_are_as_large_as_each_other_and_equal_rows_share_one():
    X = np.random.default_rng(0).normal(size=(50, 2))
    repeated = np.concatenate([X, X[:20]])
    found = folds(repeated, 5, seeded())
    np.testing.assert_array_equal(np.bincount(found[:50]), [10] * 5)
    np.testing.assert_array_equal(found[:20], found[50:])


def test_folds_follow_the_rows_in_any_order():
    X = np.random.default_rng(0).normal(size=(50, 2))
    order = np.random.default_rng(1).permutation(50)
    np.testing.assert_array_equal(folds(X, 5, seeded())[order], folds(X[order], 5, seeded()))


def test_both_zeros_are_one_number():
    assert len(set(folds(np.array([[0.0, 1.0], [-0.0, 1.0], [2.0, 0.0]]), 2, seeded())[:2])) == 1


def test_rows_of_weight_zero_are_in_no_fold():
    X, weight = np.arange(10.0)[:, None], np.array([0.0, 1.0] * 5)
    splits = fold_splits(X, 5, seeded(), weight)
    for train, test in splits:
        assert sorted([*train, *test]) == [1, 3, 5, 7, 9]
    assert sorted(np.concatenate([test for _, test in splits])) == [1, 3, 5, 7, 9]


def test_fewer_different_rows_than_folds_are_left_out_one_by_one():
    X = np.repeat(np.arange(3.0), 4)[:, None]
    assert sorted(len(test) for _, test in fold_splits(X, 5, seeded())) == [4, 4, 4]
    with pytest.raises(ValueError, match="at least two different rows"):
        fold_splits(np.ones((4, 1)), 5, seeded())


@pytest.mark.parametrize("n", [10, 30, 300, 999])
@pytest.mark.parametrize("share", [0.05, 0.1, 1 / 3, 0.5])
def test_the_share_lies_below_the_line_as_nearly_as_it_can(n, share):
    values = np.random.default_rng(0).normal(size=n)
    assert (values < dividing_line(values, share)).sum() == np.floor(share * n + 1e-9)


def test_the_line_is_halfway_between_values():
    assert dividing_line(np.array([3.0, 1.0, 2.0, 7.0]), 0.5) == 2.5
    assert dividing_line(np.array([3.0, 1.0]), 0.4) == 1.0
    assert dividing_line(np.array([-np.inf, 1.0]), 0.5) == 1.0
    assert dividing_line(np.array([1.0, 1.0, 1.0, 2.0]), 0.5) == 1.0


def test_weights_of_values_are_repetitions():
    random = np.random.default_rng(0)
    values, weight = random.normal(size=50), random.integers(0, 4, size=50)
    for share in (0.05, 0.2, 0.5):
        assert dividing_line(values, share, weight) == dividing_line(np.repeat(values, weight), share)


@pytest.mark.parametrize("cv", [[], [(np.arange(3), np.arange(0))]])
def test_splits_without_rows_are_refused(cv):
    with pytest.raises(ValueError, match="must give at least one split, and rows on both sides of each"):
        splits_of(cv, np.eye(3), np.random.RandomState(0))
