"""Tests of skgen.inspection.traversal."""

import numpy as np
import pytest
import sklearn.decomposition
import sklearn.mixture
from sklearn.datasets import load_digits, load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgen import Autoencoder, ProbabilisticPCA
from skgen.inspection import LatentTraversalDisplay
from skgen.inspection._images import as_images, sheet

DIGITS = load_digits().data[:300]
DIGITS = DIGITS + np.random.RandomState(0).uniform(size=DIGITS.shape)  # no column is constant
IRIS = load_iris(as_frame=True).data


def test_images_are_what_the_estimator_decodes_along_each_line():
    model = ProbabilisticPCA(4).fit(DIGITS)
    display = LatentTraversalDisplay.from_estimator(
        model, DIGITS, components=[2, 0], n_steps=5, coverage=0.8, image_shape=(8, 8)
    )
    Z = model.transform(DIGITS)
    low, high = np.quantile(Z, [0.1, 0.9], axis=0)
    paths = np.tile(np.median(Z, axis=0), (2, 5, 1))
    paths[0, :, 2], paths[1, :, 0] = np.linspace(low[2], high[2], 5), np.linspace(low[0], high[0], 5)
    np.testing.assert_allclose(display.latent, paths, rtol=1e-12)
    decoded = model.inverse_transform(display.latent.reshape(-1, 4))
    np.testing.assert_allclose(display.decoded.reshape(-1, 64), decoded, rtol=1e-12)
    expected = sheet(as_images(display.decoded, (8, 8)), 5)
    np.testing.assert_array_equal(display.image_.get_array().filled(np.nan), expected)
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == ["z2", "z0"]


def test_lines_start_from_the_latent_variables_of_a_row_if_one_is_given():
    model = Autoencoder(3, hidden_layer_sizes=8, max_iter=3, random_state=0).fit(DIGITS.astype(np.float32))
    row = DIGITS[7].astype(np.float32)
    display = LatentTraversalDisplay.from_estimator(model, DIGITS.astype(np.float32), start=row, image_shape=(8, 8))
    z = model.transform(row[None])[0]
    for line, name in enumerate(display.names):
        moved = int(name[1:])
        others = np.delete(np.arange(3), moved)
        np.testing.assert_array_equal(display.latent[line][:, others], np.tile(z[others], (9, 1)))
        assert np.ptp(display.latent[line][:, moved]) > 0


def test_a_plane_has_the_first_variable_to_the_right_and_the_second_upwards():
    model = ProbabilisticPCA(3).fit(DIGITS)
    display = LatentTraversalDisplay.from_estimator(
        model, DIGITS, components=(1, 2), plane=True, n_steps=4, image_shape=(8, 8)
    )
    assert (np.diff(display.latent[..., 1], axis=1) > 0).all()
    assert (np.diff(display.latent[..., 2], axis=0) < 0).all()
    assert np.ptp(display.latent[..., 0]) == 0
    np.testing.assert_allclose(display.decoded[2, 3], model.inverse_transform(display.latent[2, 3:4])[0])
    assert display.ax_.get_xlabel().startswith("z1")
    assert display.ax_.get_ylabel().startswith("z2")


def test_of_a_table_the_change_of_each_column_is_shown_in_standard_deviations():
    model = make_pipeline(StandardScaler(), sklearn.decomposition.PCA(2)).fit(IRIS)
    display = LatentTraversalDisplay.from_estimator(model, IRIS, components=[0, 1])
    Z = model.transform(IRIS)
    spans = np.ptp(np.quantile(Z, [0.025, 0.975], axis=0), axis=0)
    # In standardised columns a unit of a principal component is its direction.
    np.testing.assert_allclose(display.changes, spans[:, None] * model[-1].components_, atol=1e-9)
    np.testing.assert_array_equal(display.image_.get_array(), display.changes)
    assert [label.get_text() for label in display.ax_.get_xticklabels()] == list(IRIS.columns)
    assert display.colorbar_ is not None


def test_the_latent_variables_that_change_most_come_first():
    model = ProbabilisticPCA(4).fit(DIGITS @ np.diag(np.linspace(1, 5, 64)))
    display = LatentTraversalDisplay.from_estimator(model, DIGITS, image_shape=(8, 8))
    strength = np.square(display.decoded[:, -1] - display.decoded[:, 0]).sum(axis=1)
    assert (np.diff(strength) <= 0).all()
    assert sorted(display.names) == ["z0", "z1", "z2", "z3"]


def test_at_most_ten_of_many_latent_variables_are_shown_by_default():
    model = sklearn.decomposition.PCA(12).fit(DIGITS)
    assert len(LatentTraversalDisplay.from_estimator(model, DIGITS).names) == 10


def test_what_makes_no_sense_is_refused():
    model = ProbabilisticPCA(2).fit(IRIS)
    with pytest.raises(ValueError, match="plane=True needs image_shape"):
        LatentTraversalDisplay.from_estimator(model, IRIS, plane=True)
    with pytest.raises(ValueError, match="components must be different numbers from 0 to 1, got"):
        LatentTraversalDisplay.from_estimator(model, IRIS, components=[0, 2])
    with pytest.raises(ValueError, match="n_steps must be an integer of at least 2, got 1"):
        LatentTraversalDisplay.from_estimator(model, IRIS, n_steps=1)
    with pytest.raises(ValueError, match="coverage must be a number > 0 and < 1, got 1"):
        LatentTraversalDisplay.from_estimator(model, IRIS, coverage=1)
    mixture = sklearn.mixture.GaussianMixture().fit(IRIS)
    with pytest.raises(TypeError, match="GaussianMixture has no transform, which LatentTraversalDisplay needs"):
        LatentTraversalDisplay.from_estimator(mixture, IRIS)
