"""What an Autoencoder computes."""

import numpy as np
import pytest
from scipy.linalg import subspace_angles
from sklearn.datasets import load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.metrics import log_loss

from tests.estimators.configurations import autoencoder, rows

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("load", [load_iris, load_wine])
@pytest.mark.parametrize("networks", [{"hidden_layer_sizes": ()}, {"activation": "identity"}])
@pytest.mark.parametrize("solver", ["lbfgs", "bfgs"])
def test_linear_networks_span_the_principal_subspace(load, networks, solver):
    X = load().data
    estimator = autoencoder(2, solver=solver, max_iter=2000, tol=1e-12, n_iter_no_change=100, **networks).fit(X)
    pca = PCA(2).fit(X)
    directions = np.diff(estimator.inverse_transform([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])[[0, 1, 0, 2]], axis=0)[::2]
    # The loss is flat at its optimum: an angle is the square root of what it is short of it.
    assert np.degrees(subspace_angles(directions.T, pca.components_.T)).max() < 0.5
    error = ((X - pca.inverse_transform(pca.transform(X))) ** 2).sum(axis=1).mean()
    assert -estimator.score(X) == pytest.approx(error, rel=1e-4)


def test_the_score_is_minus_the_squared_error_in_the_units_of_the_rows():
    X = 100 * rows()
    estimator = autoencoder().fit(X)
    error = ((X - estimator.inverse_transform(estimator.transform(X))) ** 2).sum(axis=1)
    np.testing.assert_allclose(estimator.score_samples(X), -error, rtol=1e-9)
    assert estimator.score(X) == pytest.approx(-error.mean(), rel=1e-12)


def test_the_score_is_minus_the_cross_entropy():
    X = (rows() > 0.5).astype(float)
    estimator = autoencoder(loss="cross_entropy").fit(X)
    means = estimator.inverse_transform(estimator.transform(X))
    expected = [-log_loss(row, mean, labels=[0, 1], normalize=False) for row, mean in zip(X, means, strict=True)]
    np.testing.assert_allclose(estimator.score_samples(X), expected, rtol=1e-9)


@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
def test_history_is_in_the_units_of_the_score(loss):
    X = rows(300)
    estimator = autoencoder(loss=loss, learning_rate=0.0, precision="float64").fit(X, X_val=X)
    np.testing.assert_allclose(estimator.history_["validation_reconstruction"], estimator.score(X), rtol=1e-9)
    np.testing.assert_allclose(estimator.history_["reconstruction"], estimator.score(X), rtol=1e-9)
    assert set(estimator.history_["kl_weight"]) == {1.0}


def test_divergence_names_epoch_and_term():
    with pytest.raises(FloatingPointError, match=r"epoch \d+: reconstruction is not finite"):
        autoencoder(solver="sgd", learning_rate=1e6, max_iter=50).fit(rows())


def test_scores_say_what_they_are():
    assert (autoencoder().score_measure, autoencoder(loss="cross_entropy").score_measure) == ("density", "mass")
    assert autoencoder().score_kind == "pseudo"


def test_no_option_of_a_loss_is_shared_between_estimators():
    one, other = autoencoder().fit(rows()), autoencoder().fit(rows())
    one.likelihood_.set_params(noise_variance=3.0)
    assert other.likelihood_.noise_variance == autoencoder().fit(rows()).likelihood_.noise_variance != 3.0
