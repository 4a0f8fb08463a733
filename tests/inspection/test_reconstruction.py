"""Tests of skgen.inspection.reconstruction."""

import numpy as np
import pytest
import sklearn.decomposition
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgen import ProbabilisticPCA
from skgen.inspection import ReconstructionDisplay
from skgen.inspection._images import sheet

DIGITS = load_digits().data
DIGITS = DIGITS + np.random.RandomState(0).uniform(size=DIGITS.shape)  # no column is constant
IRIS = load_iris(as_frame=True).data


@pytest.mark.parametrize("family", [ProbabilisticPCA, sklearn.decomposition.PCA])
def test_images_are_those_of_the_rows_above_what_they_are_rebuilt_to(family):
    model = family(n_components=5).fit(DIGITS)
    display = ReconstructionDisplay.from_estimator(model, DIGITS[:20], image_shape=(8, 8), n_images=7)
    rebuilt = model.inverse_transform(model.transform(DIGITS[:20]))
    expected = sheet(np.concatenate([DIGITS[:7], rebuilt[:7]]).reshape(-1, 8, 8), 7)
    np.testing.assert_array_equal(display.image_.get_array().filled(np.nan), expected)
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == ["rows", "rebuilt"]


def test_fewer_rows_than_images_are_all_shown():
    model = ProbabilisticPCA(2).fit(DIGITS)
    display = ReconstructionDisplay.from_estimator(model, DIGITS[:3], image_shape=(8, 8))
    assert display.image_.get_array().shape == (17, 26)


def test_errors_of_a_table_are_the_shares_of_variance_that_are_not_explained():
    model = make_pipeline(StandardScaler(), ProbabilisticPCA(2)).fit(IRIS)
    display = ReconstructionDisplay.from_estimator(model, IRIS)
    rebuilt = model.inverse_transform(model.transform(IRIS))
    unexplained = 1 - r2_score(IRIS, rebuilt, multioutput="raw_values")
    np.testing.assert_allclose(display.errors, unexplained)
    np.testing.assert_allclose([bar.get_width() for bar in display.bars_], unexplained)
    display.figure_.canvas.draw()
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == list(IRIS.columns)
    # The first column is at the top.
    assert display.ax_.yaxis_inverted()


def test_a_column_that_does_not_vary_has_no_error_and_a_missing_entry_is_left_out():
    X = np.array([[1.0, 0.0], [1.0, 2.0], [1.0, np.nan]])
    errors = ReconstructionDisplay(X, np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 5.0]])).plot().errors
    np.testing.assert_allclose(errors, [np.nan, 0.5])


def test_a_row_with_missing_pixels_is_shown_beside_the_whole_one():
    X = DIGITS[:50].copy()
    X[:, :32] = np.nan
    model = ProbabilisticPCA(3, random_state=0).fit(DIGITS)
    display = ReconstructionDisplay.from_estimator(model, X, image_shape=(8, 8), n_images=2)
    mask = display.image_.get_array().mask
    assert mask[:4, :8].all()
    assert not mask[4:8, :8].any()
    assert not mask[9:, :8].any()


def test_what_cannot_rebuild_is_refused():
    with pytest.raises(TypeError, match="LinearRegression has no transform"):
        ReconstructionDisplay.from_estimator(LinearRegression().fit(IRIS, IRIS), IRIS)
    with pytest.raises(ValueError, match=r"X and rebuilt must have one shape, got \(2, 1\) and \(1, 1\)"):
        ReconstructionDisplay(np.zeros((2, 1)), np.zeros((1, 1)))
    with pytest.raises(ValueError, match="n_images must be an integer of at least 1, got 0"):
        ReconstructionDisplay(DIGITS, DIGITS, image_shape=(8, 8)).plot(n_images=0)


def test_a_column_that_does_not_vary_has_no_bar():
    X = np.column_stack([np.ones(5), np.arange(5.0)])
    display = ReconstructionDisplay(X, 2 * X).plot()
    np.testing.assert_array_equal(np.isnan(display.bars_.datavalues), [True, False])
