import numpy as np
import pandas as pd
import pytest

from skgen.estimators import _arrays
from skgen.metrics._samples import (
    LARGEST,
    LEAST,
    check_finite,
    check_samples,
    check_squares,
    distance_blocks,
    feature_blocks,
    features_of,
)


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(_arrays, "TILE_BYTES", 200)


def test_samples_become_float64_arrays():
    X, Y = check_samples(X=[[1, 2], [3, 4]], Y=np.ones((3, 2), dtype=np.float32))
    assert X.dtype == Y.dtype == np.float64
    assert (X.shape, Y.shape) == ((2, 2), (3, 2))


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (np.ones((3, 4)), "A has 2 features, but B has 4"),
        (np.ones((1, 2)), "B must have at least 2 rows here, got n_samples = 1"),
        ([[1.0, np.nan], [0, 0]], "Input B contains NaN"),
        ([[1.0, np.inf], [0, 0]], "Input B contains infinity"),
        (pd.DataFrame(np.ones((3, 2)), columns=["y", "x"]), r"columns of B, \['y', 'x'\], are not those of A"),
    ],
)
def test_a_sample_that_does_not_fit_is_refused_by_name(second, message):
    first = pd.DataFrame(np.ones((3, 2)), columns=["x", "y"])
    with pytest.raises(ValueError, match=message):
        check_samples(A=first, B=second)


def test_columns_without_names_fit_any_names():
    frame = pd.DataFrame(np.ones((3, 2)), columns=["x", "y"])
    check_samples(A=frame, B=np.ones((3, 2)))
    check_samples(A=np.ones((3, 2)), B=frame)


def test_nan_is_allowed_on_demand():
    assert np.isnan(check_samples(least=1, allow_nan=True, X=[[np.nan]])[0]).all()


@pytest.mark.usefixtures("small_tiles")
def test_features_are_mapped_in_blocks():
    X, seen = np.arange(40.0).reshape(10, 4), []

    def feature_map(rows):
        seen.append(len(rows))
        return rows[:, :2] ** 2

    np.testing.assert_array_equal(features_of(X, feature_map, "X"), X[:, :2] ** 2)
    assert sum(seen) == 10
    assert len(seen) > 1
    np.testing.assert_array_equal(np.concatenate(list(feature_blocks(X, None, "X"))), X)


def test_a_map_that_loses_rows_is_refused():
    with pytest.raises(ValueError, match="feature_map must give one row of numbers for each row of X"):
        features_of(np.ones((4, 2)), lambda rows: rows[:1], "X")


@pytest.mark.usefixtures("small_tiles")
def test_distances_are_symmetric_to_the_last_bit():
    source = np.random.RandomState(0)
    X, Y = source.standard_normal((20, 13)), source.standard_normal((30, 13))
    blocks = list(distance_blocks(X, Y))
    assert len(blocks) > 1
    forward = np.concatenate([distance for _, distance in blocks])
    backward = np.concatenate([distance for _, distance in distance_blocks(Y, X)])
    np.testing.assert_array_equal(forward, backward.T)
    np.testing.assert_allclose(forward, ((X[:, None] - Y) ** 2).sum(axis=-1), rtol=1e-13)
    assert (np.concatenate([distance for _, distance in distance_blocks(X, X)]).diagonal() == 0).all()


def test_numbers_whose_squares_float64_does_not_hold_are_refused_by_name():
    for X in (np.zeros((2, 2)), np.full((2, 2), LEAST), np.full((2, 2), -LARGEST), np.empty((0, 2))):
        check_squares(X, "A")
    for factor in (1e-200, 1e200):
        with pytest.raises(ValueError, match=r"The largest number in A is 1e[-+]200, and squares are taken"):
            check_squares(np.array([[0, -factor]]), "A")
        with pytest.raises(ValueError, match=r"The largest number in feature_map\(A\)"):
            features_of(np.ones((2, 2)), lambda rows, factor=factor: factor * rows, "A")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_refused(value):
    assert check_finite(1.5, "The distance", "") == 1.5
    with pytest.raises(ValueError, match=r"The distance is .*, which is no number to rely on\. Look there\."):
        check_finite(value, "The distance", "Look there.")
