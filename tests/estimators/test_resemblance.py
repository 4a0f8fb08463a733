"""Training on how alike images look in place of a likelihood, skgen.estimators._resemblance."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from skgen import VariationalAutoencoder
from skgen.metrics import perceptual_distance, structural_similarity
from tests.estimators.configurations import rows
from tests.estimators.test_network_kinds import gratings

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def vae(**parameters):
    small = {"hidden_layer_sizes": (32,), "max_iter": 40, "kl_warmup": 0, "learning_rate": 3e-3, "random_state": 0}
    return VariationalAutoencoder(2, **small | parameters)


def lines(images):
    """The lines of images as channels of one layer, and the columns as those of another."""
    return [images.squeeze(1), images.squeeze(1).mT]


def test_training_on_similarity_raises_it_and_the_history_holds_it():
    X = gratings(200, 9)
    trained = vae(reconstruction="ssim").fit(X)
    similarity, objective = trained.history_["ssim"], np.array(trained.history_["objective"])
    assert similarity[-1] > similarity[0] + 0.2
    np.testing.assert_allclose(81 * (np.array(similarity) - 1) - trained.history_["kl"], objective, rtol=1e-5)
    assert not {"elbo", "reconstruction", "log_likelihood"} & trained.history_.keys()
    by_likelihood = vae().fit(X)

    def reached(estimator):
        decoded = estimator.inverse_transform(estimator.transform(X))
        return structural_similarity(X, decoded, image_shape=(9, 9), data_range=np.ptp(X), sigma=None)

    assert reached(trained) > reached(by_likelihood)


def test_training_on_features_lowers_their_distance():
    X = gratings(200, 9)
    trained = vae(reconstruction=lines).fit(X)
    distance = trained.history_["feature_distance"]
    assert distance[-1] < 0.7 * distance[0]
    decoded = trained.inverse_transform(trained.transform(X))
    reached = perceptual_distance(X, decoded, network=lines, image_shape=(9, 9))
    assert 0 < reached < distance[-1]


def test_scores_are_those_of_the_likelihood_but_none_that_training_maximised():
    X = gratings(60, 9)
    assert (vae().score_kind, vae(reconstruction="ssim").score_kind) == ("bound", "pseudo")
    estimator = vae(reconstruction="ssim", max_iter=2).fit(X)
    terms = estimator.elbo(X)
    assert terms.keys() == {"elbo", "reconstruction", "kl"}
    plain = clone(estimator).set_params(reconstruction=None)
    plain.fit(X).weights_ = estimator.weights_
    plain._score_seed = estimator._score_seed
    plain._runtime.models.clear()
    np.testing.assert_array_equal(plain.score_samples(X), estimator.score_samples(X))
    np.testing.assert_array_equal(plain.elbo(X)["elbo"], terms["elbo"])


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli", "student_t"])
def test_validation_rows_are_compared_as_training_rows_are(likelihood):
    X = 0.5 + 0.3 * gratings(60, 9).clip(-1.5, 1.5)
    estimator = vae(reconstruction="ssim", likelihood=likelihood, learning_rate=0, n_draws=64, max_iter=1)
    history = estimator.fit(X, X_val=X).history_
    assert abs(history["validation_objective"][0] - history["objective"][0]) < 2


def test_a_network_is_left_as_it_is_and_copied_once():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
    before = [parameter.clone() for parameter in network.parameters()]
    estimator = vae(reconstruction=network, max_iter=2).fit(gratings(200, 9), X_val=gratings(50, 9))
    assert network.training
    for parameter, old in zip(network.parameters(), before, strict=True):
        assert torch.equal(parameter, old)
        assert parameter.grad is None
    assert not any("resemblance" in name for name in estimator.weights_)
    assert np.isfinite(clone(estimator).fit(gratings(50, 9)).score(gratings(50, 9)))


def test_single_batches_mini_batches_and_chunks_are_trained_alike():
    X = gratings(60, 9)
    for parameters in ({}, {"batch_size": 16}, {"precision": "float64"}, {"network": "conv"}):
        estimator = vae(reconstruction="ssim", max_iter=2, **parameters).fit(X)
        assert np.isfinite(estimator.partial_fit(2 * X).history_["ssim"]).all()


@pytest.mark.parametrize(
    ("parameters", "columns", "message"),
    [
        ({}, 5, r"needs images of at least 7 x 7 pixels, got rows of image_shape=\(1, 1, 5\)"),
        ({"image_shape": (8, 8)}, 81, r"image_shape=\(8, 8\) has 64 numbers"),
        ({"likelihood": "categorical"}, 81, "columns of categories have none"),
        ({"objective": "iwae", "n_draws": 2}, 81, "objective='iwae' does not go with reconstruction='ssim'"),
        ({"target_kl": 1.0}, 81, "target_kl=1.0 does not go with reconstruction='ssim'"),
    ],
)
def test_what_cannot_be_compared_is_refused(parameters, columns, message):
    X = rows(n_features=columns)
    X = (X > 0.5).astype(float) if "likelihood" in parameters else X
    with pytest.raises(ValueError, match=message):
        vae(reconstruction="ssim", **parameters).fit(X)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Conv2d(3, 2, 3), r"Conv2d.* gives no features of images \(1, 1, 9, 9\): .*3 channels"),
        (lambda images: images.mean(), r"gives no features of images \(1, 1, 9, 9\): .*got the shape \(\)"),
        (lambda images: images.numpy(), "gives no features .*requires grad"),
        (lambda images: images.detach(), "must be differentiable by the images"),
    ],
)
def test_a_network_without_features_that_have_a_gradient_is_refused_by_the_parameter(network, message):
    with pytest.raises(ValueError, match=f"(?s)^reconstruction=.*{message}"):
        vae(reconstruction=network).fit(gratings(30, 9))


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_similarity_is_learnt_alike_in_units_of_any_size(scale):
    X = gratings(60, 9).astype(np.float32)
    one, other = (vae(reconstruction="ssim", max_iter=3).fit(rows) for rows in (X, X * np.float32(scale)))
    np.testing.assert_allclose(one.history_["ssim"], other.history_["ssim"], rtol=1e-2)


def test_missing_entries_are_refused():
    X = gratings(30, 9)
    X[0, 0] = np.nan
    with pytest.raises(ValueError, match="missing values, with which images cannot be compared, as"):
        vae(reconstruction="ssim").fit(X)
    with pytest.raises(ValueError, match="X_val contains missing values, with which images cannot be compared"):
        vae(reconstruction="ssim").fit(gratings(30, 9), X_val=X)
