"""Networks of images and of the user's in the estimators that take them, skgen.estimators._network_kinds."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from skgen import Autoencoder, VariationalAutoencoder
from skgen.likelihoods import Gaussian
from skgen.networks import ConvDecoder, ConvEncoder
from tests.estimators.configurations import autoencoder, rows, vae
from tests.oracles import process_state

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

every_estimator = pytest.mark.parametrize("make", [vae, autoencoder])


def layered(n_inputs, n_outputs):
    return nn.Sequential(nn.Linear(n_inputs, 8), nn.Tanh(), nn.Linear(8, n_outputs))


def dropping(n_inputs, n_outputs):
    return nn.Sequential(nn.Linear(n_inputs, 8), nn.Dropout(0.2), nn.ReLU(), nn.Linear(8, n_outputs))


def normalised(n_inputs, n_outputs):
    return nn.Sequential(nn.BatchNorm1d(n_inputs), nn.Linear(n_inputs, n_outputs))


def wrong(n_inputs, n_outputs):
    return nn.Linear(n_inputs, 1 + n_outputs)


def gratings(n_rows, side, seed=0):
    """Images of stripes, whose width and phase are two numbers."""
    random = np.random.default_rng(seed)
    width, phase = random.uniform(0.5, 1.5, (n_rows, 1)), random.uniform(0, 2, (n_rows, 1))
    lines = np.sin(width * np.arange(side) + phase)
    noise = 0.05 * random.normal(size=(n_rows, side**2))
    return np.repeat(lines[:, None, :], side, axis=1).reshape(n_rows, -1) + noise


# -- images ---------------------------------------------------------------------------------------------------------


@every_estimator
def test_sizes_are_channels_and_the_shape_of_an_image_is_that_of_the_columns(make):
    X = rows(n_features=30)
    estimator = make(network="conv", image_shape=(2, 3, 5), hidden_layer_sizes=(4, 6), max_iter=1).fit(X)
    assert estimator.weights_["encoder.changes.0.weight"].shape == (4, 2, 3, 3)
    assert estimator.weights_["encoder.changes.1.weight"].shape == (6, 4, 3, 3)
    assert estimator.weights_["decoder.changes.1.weight"].shape == (2, 4, 3, 3)
    model = estimator._module(X.dtype)
    assert (type(model.encoder), type(model.decoder)) == (ConvEncoder, ConvDecoder)
    assert [network.sides[-1] for network in (model.encoder, model.decoder)] == [(1, 2)] * 2


@pytest.mark.parametrize(("network", "sizes"), [("mlp", (256, 256)), ("conv", (32, 64))])
@every_estimator
def test_sizes_that_are_not_given_are_those_of_the_network(make, network, sizes):
    estimator = make(network=network, hidden_layer_sizes=None, max_iter=1).fit(rows(n_features=4))
    assert estimator._architecture["encoder_sizes"] == sizes
    assert estimator._architecture["decoder_sizes"] == sizes[::-1]


@every_estimator
def test_an_image_shape_that_does_not_fit_is_refused(make):
    with pytest.raises(ValueError, match=r"image_shape=\(2, 3\) has 6 numbers, but a row has 5 columns"):
        make(network="conv", image_shape=(2, 3)).fit(rows())


@pytest.mark.parametrize("variance", ["fixed", "feature", "network"])
def test_moving_moments_leave_what_was_learnt_unchanged_in_the_units_of_the_rows(variance):
    X = rows(n_features=15)
    # Without a floor, which is a share of the scale and moves with it.
    likelihood = Gaussian(variance, min_variance=1e-200)
    estimator = vae(network="conv", image_shape=(3, 5), hidden_layer_sizes=(4,), likelihood=likelihood, learning_rate=0)
    estimator.partial_fit(X)
    before = estimator.transform(X), estimator.score_samples(X), estimator.inverse_transform(np.eye(2))
    for scale in (30.0, 0.1):
        estimator.partial_fit(scale * rows(100, 15, seed=1) + scale)
    after = estimator.transform(X), estimator.score_samples(X), estimator.inverse_transform(np.eye(2))
    assert not np.allclose(estimator.weights_["encoder.input_ratio"], 1)
    for a, b in zip(after, before, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_a_new_decoder_is_at_the_column_means_where_its_body_is_zero():
    for likelihood in ("bernoulli", "gaussian"):
        estimator = vae(network="conv", likelihood=likelihood, learning_rate=0, max_iter=1).fit(rows())
        estimator.weights_["decoder.gain"][:] = 0
        estimator._runtime.models.clear()
        np.testing.assert_allclose(estimator.inverse_transform(np.eye(2)), [rows().mean(0)] * 2)


def test_convolutions_reconstruct_images_that_a_linear_map_does_not():
    X, X_test = gratings(300, 9), gratings(100, 9, seed=1)
    errors = {}
    for name, sizes in (("conv", (8, 8)), ("linear", ())):
        network = {"network": "conv", "image_shape": (9, 9)} if name == "conv" else {}
        estimator = Autoencoder(
            2, hidden_layer_sizes=sizes, **network, max_iter=20, learning_rate=3e-3, batch_size=50, random_state=0
        ).fit(X)
        errors[name] = -estimator.score(X_test)
    assert errors["conv"] < 0.5 * errors["linear"]


@every_estimator
def test_missing_entries_are_shown_to_a_convolutional_encoder_as_channels(make):
    X = rows(n_features=6)
    X[::3, 2] = np.nan
    estimator = make(network="conv", image_shape=(2, 3)).fit(X)
    assert estimator.weights_["encoder.changes.0.weight"].shape[1] == 2
    assert np.isfinite(estimator.score(X))


# -- modules of the user's ------------------------------------------------------------------------------------------


@every_estimator
def test_a_factory_makes_encoder_and_decoder(make):
    estimator = make(network=layered).fit(rows())
    n_code = 2 if make is autoencoder else 4
    assert estimator.weights_["encoder.module.2.weight"].shape == (n_code, 8)
    assert estimator.weights_["decoder.module.0.weight"].shape == (8, 2)
    pair = make(network=(dropping, layered)).fit(rows())
    assert "encoder.module.3.weight" in pair.weights_
    assert "decoder.module.2.weight" in pair.weights_


@every_estimator
def test_a_module_obeys_the_contract(make):
    estimator, X = make(network=(dropping, layered), batch_size=16), rows()
    estimator.fit(X)
    torch.rand(3)
    again = clone(estimator).fit(X)
    copy = pickle.loads(pickle.dumps(estimator))
    for other in (again, copy):
        np.testing.assert_array_equal(other.transform(X), estimator.transform(X))
        np.testing.assert_array_equal(other.score_samples(X), estimator.score_samples(X))
    alone = np.concatenate([estimator.transform(row[None]) for row in X])
    np.testing.assert_allclose(alone, estimator.transform(X), rtol=1e-9, atol=1e-9)
    assert estimator.partial_fit(3 * X).score(X) < np.inf
    assert all(isinstance(value, np.ndarray) for value in estimator.weights_.values())


@every_estimator
def test_the_process_is_left_alone_by_modules_that_draw(make):
    before = process_state()
    make(network=dropping).fit(rows()).transform(rows())
    assert process_state() == before


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (normalised, "holds a BatchNorm1d, but rows must not depend on each other"),
        (wrong, r"must map rows \(4, 5\) to \(4, 4\), but gave \(4, 5\)"),
        ((layered,), "or a pair of such functions"),
        ((layered, "mlp"), "or a pair of such functions"),
        (nn.Linear(5, 4), "or a pair of such functions"),
    ],
)
def test_what_is_no_network_is_refused(network, message):
    with pytest.raises(ValueError, match=message):
        VariationalAutoencoder(network=network).fit(rows())


def test_a_module_of_complete_rows_cannot_go_on_with_missing_ones():
    X = rows()
    X[0, 0] = np.nan
    assert np.isfinite(vae(network=layered).partial_fit(X).partial_fit(rows()).score(X))
    with pytest.raises(ValueError, match="of which the rows so far had none"):
        vae(network=layered).partial_fit(rows()).partial_fit(X)


def test_solvers_that_compare_losses_refuse_modules_that_draw():
    with pytest.raises(ValueError, match="solver='lbfgs' needs the same loss"):
        vae(network=dropping, solver="lbfgs").fit(rows())
    assert np.isfinite(vae(network=layered, solver="lbfgs").fit(rows()).score(rows()))


def test_a_fit_continues_with_the_same_network_only():
    estimator = vae(network="conv", warm_start=True).fit(rows())
    with pytest.raises(ValueError, match="network from 'conv' to 'mlp'"):
        estimator.set_params(network="mlp").fit(rows())
