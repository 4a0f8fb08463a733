"""Tests of skgen.inspection.samples."""

import numpy as np
import pytest
import sklearn.mixture
from sklearn.datasets import load_digits, load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgen import RBM, GaussianMixture, ProbabilisticPCA
from skgen.inspection import SamplesDisplay
from skgen.inspection._images import WIDE_GAP, as_images, sheet

DIGITS = load_digits().data
DIGITS = DIGITS + np.random.RandomState(0).uniform(size=DIGITS.shape)  # no column is constant
IRIS = load_iris(as_frame=True).data


def test_the_sheet_holds_what_the_estimator_draws():
    model = ProbabilisticPCA(5).fit(DIGITS)
    display = SamplesDisplay.from_estimator(model, n_samples=14, image_shape=(8, 8), n_columns=5, random_state=3)
    drawn = model.sample(14, random_state=3)
    np.testing.assert_array_equal(display.samples, drawn)
    expected = sheet(drawn.reshape(-1, 8, 8), 5)
    np.testing.assert_array_equal(display.image_.get_array().filled(np.nan), expected)
    assert display.image_.get_clim() == (drawn.min(), drawn.max())
    assert len(display.figure_.axes) == 1


def test_rows_are_above_the_draws_that_are_compared_with_them():
    rbm = RBM(n_components=4, max_iter=2, random_state=0).fit(DIGITS > 8)
    display = SamplesDisplay.from_estimator(rbm, DIGITS[:8] > 8, n_samples=6, image_shape=(8, 8), n_columns=4)
    array = display.image_.get_array().filled(np.nan)
    above, below = (sheet(as_images(rows, (8, 8)), 4) for rows in (DIGITS[:8] > 8, rbm.sample(6)))
    np.testing.assert_array_equal(array[: len(above)], above)
    np.testing.assert_array_equal(array[-len(below) :], below)
    assert len(array) == len(above) + WIDE_GAP + len(below)
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == ["rows", "draws"]


def test_draws_of_a_table_are_points_in_the_plane_of_two_columns():
    mixture = GaussianMixture(2, random_state=0).fit(IRIS)
    display = SamplesDisplay.from_estimator(mixture, IRIS, columns=(3, 1), random_state=1)
    drawn = mixture.sample(len(IRIS), random_state=1)[0]
    np.testing.assert_allclose(display.points_.get_offsets(), drawn[:, [3, 1]])
    np.testing.assert_allclose(display.row_points_.get_offsets(), IRIS.to_numpy()[:, [3, 1]])
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == (IRIS.columns[3], IRIS.columns[1])
    assert SamplesDisplay.from_estimator(mixture).samples.shape == (500, 4)
    assert SamplesDisplay.from_estimator(mixture).row_points_ is None


def test_densities_of_scikit_learn_and_pipelines_draw():
    X = IRIS.to_numpy()
    model = make_pipeline(StandardScaler(), sklearn.mixture.GaussianMixture(2, random_state=0)).fit(X)
    first, second = (SamplesDisplay.from_estimator(model, X, random_state=5).samples for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == X.shape
    # In the units of X, not of the scaler.
    assert (np.abs(first.mean(axis=0) - X.mean(axis=0)) < 5 * X.std(axis=0) / np.sqrt(len(X))).all()


def test_missing_pixels_show_the_background():
    rows = np.array([[0.0, np.nan, 1.0, 0.5]])
    array = SamplesDisplay(rows, image_shape=(2, 2)).plot().image_.get_array()
    np.testing.assert_array_equal(array.mask, [[False, True], [False, False]])


def test_images_in_colour_are_drawn():
    rows = np.random.RandomState(0).uniform(size=(4, 12))
    array = SamplesDisplay(rows, image_shape=(3, 2, 2)).plot(n_columns=4).image_.get_array()
    np.testing.assert_array_equal(array[:, :2, :3], rows[0].reshape(3, 2, 2).transpose(1, 2, 0))


def test_wrong_numbers_are_refused():
    mixture = GaussianMixture(2, random_state=0).fit(IRIS)
    with pytest.raises(ValueError, match="n_samples must be an integer of at least 1, got 0"):
        SamplesDisplay.from_estimator(mixture, n_samples=0)
    with pytest.raises(ValueError, match="columns must be 2 different numbers from 0 to 3"):
        SamplesDisplay.from_estimator(mixture, columns=(0, 9))
    with pytest.raises(ValueError, match="has 9 numbers, but a row has 4 columns"):
        SamplesDisplay.from_estimator(mixture, image_shape=(3, 3))


def test_rows_with_other_columns_than_the_draws_are_refused():
    with pytest.raises(ValueError, match="X must have the 3 columns of the samples, got 2"):
        SamplesDisplay(np.ones((4, 3)), np.ones((4, 2)))
