"""Tests of skgen.inspection.plane."""

import numpy as np
import pytest
import sklearn.mixture
from scipy.stats import multivariate_normal
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer, StandardScaler

from skgen import BayesianGaussianMixture, GaussianMixture, MixtureOfFactorAnalyzers
from skgen.inspection import PosteriorPlaneDisplay
from skgen.inspection._base import colours

WINE = load_wine(as_frame=True)
FRAME, y = WINE.data.iloc[:, [0, 6, 9, 10]], WINE.target.to_numpy()
X = FRAME.to_numpy()
PLANE = X[:, 1:3]
DISPLAY = PosteriorPlaneDisplay.from_estimator


def grid_of(display):
    return np.stack(np.meshgrid(display.across, display.upwards), axis=-1).reshape(-1, 2)


@pytest.mark.parametrize(
    "mixture",
    [
        GaussianMixture(3, random_state=0),
        sklearn.mixture.GaussianMixture(3, random_state=0),
        BayesianGaussianMixture(n_components=3, random_state=0),
        sklearn.mixture.BayesianGaussianMixture(n_components=3, random_state=0, max_iter=500),
        MixtureOfFactorAnalyzers(2, n_factors=1, random_state=0),
        make_pipeline(StandardScaler(), sklearn.mixture.GaussianMixture(3, random_state=0)),
    ],
    ids=["ours", "sklearn", "Bayesian", "sklearn's Bayesian", "factors", "scaled"],
)
def test_with_two_columns_the_picture_is_what_the_estimator_itself_gives(mixture):
    mixture.fit(PLANE)
    display = DISPLAY(mixture, PLANE, n_points=20)
    grid = grid_of(display)
    np.testing.assert_array_equal(display.responsibilities.reshape(400, -1), mixture.predict_proba(grid))
    jacobian = np.log(mixture[0].scale_).sum() if hasattr(mixture, "steps") else 0
    np.testing.assert_allclose(display.log_density.ravel(), mixture.score_samples(grid) - jacobian)
    np.testing.assert_array_equal(display.labels, mixture.predict(PLANE))
    assert display.components_ is not None
    np.testing.assert_array_equal(display.image_.get_array(), display.colours)
    low, high = PLANE.min(axis=0), PLANE.max(axis=0)
    assert (grid.min(axis=0) < low).all()
    assert (grid.max(axis=0) > high).all()
    np.testing.assert_allclose(display.image_.get_extent(), np.ravel([grid.min(axis=0), grid.max(axis=0)], order="F"))


def test_colours_are_blended_by_responsibility_and_fade_with_the_number_of_candidates():
    shares = np.array([[[1.0, 0.0], [0.5, 0.5]]])
    display = PosteriorPlaneDisplay(np.arange(2), np.arange(1), shares)
    first, second = colours(2)
    np.testing.assert_allclose(display.colours[0, 0], 1 - 0.6 * (1 - first))
    np.testing.assert_allclose(display.colours[0, 1], 1 - 0.6 / 2**1.5 * (1 - (first + second) / 2))


def test_the_projection_to_two_columns_is_the_marginal():
    mixture = GaussianMixture(3, random_state=0).fit(FRAME)
    display = DISPLAY(mixture, FRAME, plane=(2, 0), n_points=15)
    marginal = GaussianMixture(3, random_state=0).fit(X).marginal([2, 0])
    grid = grid_of(display)
    np.testing.assert_allclose(display.responsibilities.reshape(225, -1), marginal.predict_proba(grid), atol=1e-9)
    np.testing.assert_allclose(display.log_density.ravel(), marginal.score_samples(grid), rtol=1e-9)
    assert display.names == [FRAME.columns[2], FRAME.columns[0]]
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == tuple(display.names)


@pytest.mark.parametrize("plane", ["discriminant", np.random.RandomState(0).normal(size=(2, 4))])
def test_the_projection_to_directions_is_the_law_of_the_projected_rows(plane):
    mixture = sklearn.mixture.GaussianMixture(2, random_state=0).fit(X)
    display = DISPLAY(mixture, X, plane=plane, n_points=10)
    A = np.linalg.lstsq(X, display.rows)[0].T
    if not isinstance(plane, str):
        np.testing.assert_allclose(A, plane)
    densities = np.stack(
        [
            weight * multivariate_normal(A @ mean, A @ covariance @ A.T).pdf(grid_of(display))
            for weight, mean, covariance in zip(mixture.weights_, mixture.means_, mixture.covariances_, strict=True)
        ],
        axis=1,
    )
    np.testing.assert_allclose(np.exp(display.log_density.ravel()), densities.sum(axis=1), rtol=1e-6)
    shares = densities / densities.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(display.responsibilities.reshape(100, -1), shares, atol=1e-9)


def test_the_density_of_two_turned_and_stretched_columns_is_that_of_the_coordinates_in_the_plane():
    mixture = GaussianMixture(3, random_state=0).fit(PLANE)
    A = np.array([[2.0, 1.0], [-1.0, 3.0]])
    display = DISPLAY(mixture, PLANE, plane=A, n_points=20)
    np.testing.assert_allclose(display.log_density.ravel(), display.mixture.score_samples(grid_of(display)), rtol=1e-9)


def test_a_slice_holds_the_other_columns_where_the_point_has_them():
    mixture = GaussianMixture(3, random_state=0).fit(X)
    at = X.mean(axis=0)
    display = DISPLAY(mixture, X, plane=(1, 3), at=at, n_points=12)
    rows = np.tile(at, (144, 1))
    rows[:, [1, 3]] = grid_of(display)
    np.testing.assert_allclose(display.responsibilities.reshape(144, -1), mixture.predict_proba(rows), atol=1e-9)
    np.testing.assert_allclose(display.log_density.ravel(), mixture.score_samples(rows))
    # A slice has no normal components to outline.
    assert display.components_ is None


def test_a_slice_in_directions_has_points_with_these_coordinates_nearest_to_the_point():
    seen = []

    class Recorder(LogisticRegression):
        def predict_proba(self, X):
            seen.append(X)
            return super().predict_proba(X)

    model = Recorder(max_iter=5000).fit(X, y)
    A, at = np.random.RandomState(0).normal(size=(2, 4)), X[3]
    display = DISPLAY(model, X, plane=A, at=at, n_points=5)
    np.testing.assert_allclose(seen[0] @ A.T, grid_of(display))
    # What is moved by is in the plane of the two directions.
    moved = seen[0] - at
    np.testing.assert_allclose(moved @ np.linalg.pinv(A) @ A, moved, atol=1e-9)
    assert display.log_density is None


def test_ellipses_rows_and_labels_are_drawn_or_left_out():
    mixture = GaussianMixture(3, random_state=0).fit(PLANE)
    display = DISPLAY(mixture, PLANE, y, n_points=10)
    assert [len(drawn.get_segments()) for drawn in display.components_] == [3, 3]
    points = [c for c in display.ax_.collections if c not in display.components_]
    np.testing.assert_allclose(np.concatenate([c.get_offsets() for c in points]), PLANE[np.argsort(y, kind="stable")])
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["0", "1", "2"]
    bare = DISPLAY(mixture, PLANE, n_points=10, show_rows=False, ellipses=False)
    assert not bare.ax_.collections
    assert bare.components_ is None


def test_names_of_columns_are_neither_missed_nor_needed_at_the_points_of_the_plane():
    frame = FRAME.iloc[:, 1:3]
    mixture = GaussianMixture(3, random_state=0).fit(frame)
    display = DISPLAY(mixture, frame, n_points=10)
    nameless = DISPLAY(GaussianMixture(3, random_state=0).fit(PLANE), PLANE, n_points=10)
    np.testing.assert_array_equal(display.responsibilities, nameless.responsibilities)
    assert display.ax_.get_xlabel() == frame.columns[0]


def test_many_labels_are_written_out():
    mixture = GaussianMixture(2, random_state=0).fit(PLANE)
    display = DISPLAY(mixture, PLANE[:20], np.arange(20), n_points=10)
    assert [text.get_text() for text in display.ax_.texts] == [str(i) for i in range(20)]


def test_the_density_has_levels_in_nats_below_its_top():
    mixture = GaussianMixture(3, random_state=0).fit(PLANE)
    display = DISPLAY(mixture, PLANE, n_points=30, kind="density")
    levels = display.image_.levels
    np.testing.assert_allclose(np.diff(levels), 1)
    assert levels[0] < display.log_density.max() <= levels[-1]
    assert display.colorbar_.ax.get_ylabel() == "log-density in nats"
    assert display.plot().colorbar_ is None


def test_what_cannot_be_shown_is_refused_with_a_remedy():
    mixture = GaussianMixture(2, random_state=0).fit(X)
    with pytest.raises(ValueError, match="kind must be one of"):
        DISPLAY(mixture, X, n_points=5, kind="colour")
    with pytest.raises(ValueError, match="plane must be one of"):
        DISPLAY(mixture, X, plane="principal")
    with pytest.raises(ValueError, match="plane must be 2 different numbers from 0 to 3"):
        DISPLAY(mixture, X, plane=(1, 1))
    with pytest.raises(ValueError, match="plane must be two independent directions of 4 numbers"):
        DISPLAY(mixture, X, plane=np.ones((2, 4)))
    with pytest.raises(ValueError, match="at must be 4 finite numbers"):
        DISPLAY(mixture, X, at=[0, 1])
    with pytest.raises(TypeError, match=r"show a slice: at=X.mean\(axis=0\)"):
        DISPLAY(LogisticRegression(max_iter=5000).fit(X, y), X)
    with pytest.raises(ValueError, match="kind='density' needs an estimator with scores in nats"):
        DISPLAY(LogisticRegression().fit(PLANE, y), PLANE, n_points=5, kind="density")


def test_behind_a_transformer_that_is_not_affine_there_is_the_posterior_alone():
    model = make_pipeline(PowerTransformer(), GaussianMixture(3, random_state=0)).fit(PLANE)
    display = DISPLAY(model, PLANE, n_points=10)
    np.testing.assert_array_equal(display.responsibilities.reshape(100, -1), model.predict_proba(grid_of(display)))
    assert display.log_density is None
    assert display.components_ is None


def test_rows_and_planes_of_too_few_columns_are_refused():
    X = np.random.RandomState(0).standard_normal((30, 3))
    with pytest.raises(ValueError, match="X has 2 features, but GaussianMixture is expecting 3"):
        PosteriorPlaneDisplay.from_estimator(GaussianMixture(1).fit(X), X[:, :2])
    with pytest.raises(ValueError, match="plane='discriminant' needs at least 2 columns"):
        PosteriorPlaneDisplay.from_estimator(GaussianMixture(1).fit(X[:, :1]), X[:, :1], plane="discriminant")
