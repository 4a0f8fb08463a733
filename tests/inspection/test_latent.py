"""Tests of skgen.inspection.latent."""

import numpy as np
import pytest
import sklearn.decomposition
import sklearn.mixture
import sklearn.neighbors
from sklearn.datasets import load_iris, load_wine
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgen import FactorAnalysis, GaussianMixture, MixtureOfFactorAnalyzers, ProbabilisticPCA, VariationalAutoencoder
from skgen.inspection import LatentSpaceDisplay
from skgen.inspection._base import colours
from skgen.inspection._normal import ellipses

FRAME, y = load_iris(return_X_y=True, as_frame=True)
X = FRAME.to_numpy()


def assert_ellipses(collection, means, covariances, n=1):
    for outline, expected in zip(collection.get_segments(), ellipses(means, covariances, n), strict=True):
        np.testing.assert_allclose(outline, expected, rtol=1e-6, atol=1e-9)


def test_points_are_posterior_means_with_their_labels():
    model = ProbabilisticPCA(3).fit(X)
    display = LatentSpaceDisplay.from_estimator(model, X, y, components=(2, 0), y_name="species")
    np.testing.assert_allclose(display.points_.get_offsets(), model.transform(X)[:, [2, 0]])
    np.testing.assert_array_equal(display.points_.get_array(), y)
    assert [axes.get_ylabel() for axes in (display.ax_, *display.ax_.child_axes)] == ["z0", "species"]
    assert display.ax_.get_aspect() == 1


def test_ellipses_are_the_exact_posteriors_of_a_linear_model_with_one_for_each_pattern_of_missing_entries():
    wine = load_wine().data
    model = FactorAnalysis(2).fit(wine)
    rows = wine.copy()
    rows[::3, 1] = np.nan
    for each in (wine, rows):
        display = LatentSpaceDisplay.from_estimator(model, each, n_ellipses=10)
        index = np.linspace(0, len(wine) - 1, 10).round().astype(int)
        mean, covariance = model.posterior(each[index])
        covariance = np.broadcast_to(covariance, (10, 2, 2))
        assert_ellipses(display.posteriors_, mean, covariance)
        np.testing.assert_allclose(mean, model.transform(each)[index])


def test_ellipses_of_an_autoencoder_have_the_standard_deviations_of_its_encoder_as_axes():
    vae = VariationalAutoencoder(3, hidden_layer_sizes=8, max_iter=5, kl_warmup=0, random_state=0)
    vae.set_params(learning_rate=0.02, max_iter=30).fit(FRAME)
    display = LatentSpaceDisplay.from_estimator(vae, FRAME, n_ellipses=4, components=(1, 2))
    mean, std = vae.encode(FRAME.iloc[[0, 50, 99, 149]], return_std=True)
    for outline, center, axes in zip(display.posteriors_.get_segments(), mean[:, 1:], std[:, 1:], strict=True):
        np.testing.assert_allclose(np.ptp(outline, axis=0), 2 * axes, rtol=1e-5)
        np.testing.assert_allclose((outline.max(axis=0) + outline.min(axis=0)) / 2, center, rtol=1e-4, atol=1e-5)


def test_a_pipeline_ends_with_what_knows_posteriors():
    model = make_pipeline(StandardScaler(), ProbabilisticPCA(2)).fit(X)
    display = LatentSpaceDisplay.from_estimator(model, X, n_ellipses=3)
    _, covariance = model[-1].posterior(model[0].transform(X))
    np.testing.assert_allclose(display.posterior_covariances, np.broadcast_to(covariance, (3, 2, 2)))


def test_an_estimator_without_posterior_has_no_ellipses():
    display = LatentSpaceDisplay.from_estimator(sklearn.decomposition.PCA(2).fit(X), X)
    assert display.posteriors_ is None
    assert display.components_ is None
    assert LatentSpaceDisplay.from_estimator(ProbabilisticPCA(2).fit(X), X, n_ellipses=0).posteriors_ is None


@pytest.mark.parametrize(
    "mixture",
    [
        GaussianMixture(3, random_state=0),
        GaussianMixture(3, covariance_type="tied_diag", random_state=0),
        MixtureOfFactorAnalyzers(2, n_factors=1, random_state=0),
        sklearn.mixture.GaussianMixture(3, random_state=0),
    ],
    ids=["full", "tied_diag", "factors", "sklearn"],
)
def test_a_mixture_shows_its_components_among_its_columns(mixture):
    mixture.fit(FRAME)
    display = LatentSpaceDisplay.from_estimator(mixture, FRAME, components=(2, 1))
    np.testing.assert_allclose(display.points_.get_offsets(), X[:, [2, 1]])
    labels = mixture.predict(FRAME)
    np.testing.assert_allclose(display.points_.get_facecolors()[:, :3], colours(len(mixture.means_))[labels])
    kind = getattr(mixture, "covariance_type", None)
    if kind == "full":
        for n, drawn in zip((1, 2), display.components_, strict=True):
            assert_ellipses(drawn, mixture.means_[:, [2, 1]], mixture.covariances_[:, [2, 1]][:, :, [2, 1]], n)
    assert len(display.components_[0].get_segments()) == len(mixture.means_)
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == (FRAME.columns[2], FRAME.columns[1])
    assert display.ax_.get_aspect() == "auto"


def test_a_mixture_behind_an_encoder_shows_its_components_in_the_latent_space():
    pipeline = make_pipeline(sklearn.decomposition.PCA(2), sklearn.mixture.GaussianMixture(3, random_state=0)).fit(X)
    display = LatentSpaceDisplay.from_estimator(pipeline, X, y)
    np.testing.assert_allclose(display.points_.get_offsets(), pipeline[:-1].transform(X))
    assert_ellipses(display.components_[0], pipeline[-1].means_, pipeline[-1].covariances_)
    encoder = ProbabilisticPCA(2).fit(X)
    groups = GaussianMixture(2, random_state=0).fit(encoder.transform(X))
    display = LatentSpaceDisplay.from_estimator(encoder, X, mixture=groups)
    assert_ellipses(display.components_[1], groups.means_, groups.covariances_, 2)
    assert display.posteriors_ is not None


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(ValueError, match="LatentSpaceDisplay needs two latent variables, got 1"):
        LatentSpaceDisplay.from_estimator(ProbabilisticPCA(1).fit(X), X)
    with pytest.raises(ValueError, match="components must be 2 different numbers from 0 to 1"):
        LatentSpaceDisplay.from_estimator(ProbabilisticPCA(2).fit(X), X, components=(0, 2))
    with pytest.raises(ValueError, match="y must have one label for each of the 150 rows"):
        LatentSpaceDisplay.from_estimator(ProbabilisticPCA(2).fit(X), X, y[:10])
    with pytest.raises(TypeError, match="KernelDensity has no transform, which LatentSpaceDisplay needs"):
        LatentSpaceDisplay.from_estimator(sklearn.neighbors.KernelDensity().fit(X), X)
    with pytest.raises(NotFittedError):
        LatentSpaceDisplay.from_estimator(ProbabilisticPCA(2), X)
