"""What restricted Boltzmann machines learn, against what is known to be best."""

import numpy as np
import pytest
from scipy.linalg import subspace_angles
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.preprocessing import StandardScaler

from skgen import RBM
from tests.estimators.configurations import machine
from tests.estimators.machines import binary, digits


def linear(**parameters):
    return RBM(
        2,
        visible="gaussian",
        hidden="gaussian",
        solver="adam",
        learning_rate=0.01,
        weight_decay=0.0,
        batch_size=200,
        max_iter=1000,
        random_state=0,
        **parameters,
    )


def test_a_linear_machine_with_one_variance_finds_the_subspace_of_pca():
    X = StandardScaler().fit_transform(load_wine().data)
    model, expected = linear(variance="shared").fit(X), PCA(2).fit(X)
    loadings = model.noise_variance_[:, None] * model.components_.T
    assert np.rad2deg(subspace_angles(loadings, expected.components_.T)).max() < 0.01
    # scikit-learn divides the variance by n - 1: its likelihood is not at its maximum.
    assert expected.score(X) <= model.score(X) <= expected.score(X) + 1e-3


def test_a_linear_machine_with_a_variance_for_each_column_is_factor_analysis():
    X = StandardScaler().fit_transform(load_wine().data)
    model, expected = linear().fit(X), FactorAnalysis(2, tol=1e-9, max_iter=20_000).fit(X)
    loadings = model.noise_variance_[:, None] * model.components_.T
    assert np.rad2deg(subspace_angles(loadings, expected.components_.T)).max() < 0.1
    assert model.score(X) == pytest.approx(expected.score(X), abs=1e-4)


def test_a_machine_of_real_columns_knows_clusters():
    random = np.random.default_rng(0)
    means = np.array([[0, 0, 0], [4, 0, 1], [0, 4, -2], [3, 3, 3]])
    X = means[random.integers(0, 4, 2000)] + 0.5 * random.normal(size=(2000, 3))
    model = RBM(10, visible="gaussian", learning_rate=0.1, max_iter=100, random_state=0).fit(X[:1500])
    # A normal law with any covariance is the best that one cluster can be.
    one = PCA(3).fit(X[:1500]).score(X[1500:])
    assert model.score_kind == "exact"
    assert model.score(X[1500:]) > one + 1


def test_the_defaults_learn_digits():
    train, test = digits()
    model = RBM(16, random_state=0).fit(train)
    # scikit-learn's at its own defaults has -23.7 nats, tuned on the test rows -18.8.
    assert model.score(test) > -18.8
    assert model.score(train) < 0


def test_which_value_is_called_one_does_not_matter():
    train, test = digits()
    scores = [RBM(16, max_iter=20, random_state=0).fit(X).score(Y) for X, Y in ((train, test), (1 - train, 1 - test))]
    assert abs(scores[0] - scores[1]) < 0.3


@pytest.mark.parametrize("method", ["cd", "pcd", "tempering"])
def test_learning_raises_the_likelihood_of_dependent_columns(method):
    random = np.random.default_rng(0)
    first = random.integers(0, 2, 400)
    X = np.column_stack([first, first, 1 - first, random.integers(0, 2, 400)]).astype(float)
    model = machine(3, method=method, n_chains=20, batch_size=20, max_iter=60, learning_rate=0.2).fit(X)
    # The entropy of two independent bits is 1.386; columns on their own have 2.77.
    assert -1.386 - 0.15 < model.score(X) < -1.386 + 0.01


@pytest.mark.parametrize("size", [7, 100, 1000])
def test_chunks_of_any_size_learn_alike(size):
    X = np.tile(digits()[0], (2, 1))
    model = RBM(16, random_state=0)
    for start in range(0, len(X), size):
        model.partial_fit(X[start : start + size])
    # Of units alone it is -24.7; scikit-learn's machine falls to -1800 with chunks of 1000.
    assert model.pseudo_log_likelihood(X).mean() > -25.5
    assert 0 < model.transform(X).mean() < 1


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("hidden", ["bernoulli", "gaussian", "relu"])
def test_ten_times_the_learning_rate_leaves_numbers(visible, hidden):
    X = load_wine().data if visible == "gaussian" else binary(200)
    rate = 10 * RBM().learning_rate
    model = RBM(20, visible=visible, hidden=hidden, learning_rate=rate, max_iter=20, batch_size=20, random_state=0)
    model.fit(X)
    assert all(np.isfinite(value).all() for value in model.weights_.values())
    assert np.isfinite(model.pseudo_log_likelihood(X)).all()


@pytest.mark.parametrize("hidden", ["gaussian", "relu"])
@pytest.mark.parametrize("factor", [1, 10])
def test_unbounded_units_learn_real_columns_at_the_default_learning_rate_and_ten_times_that(hidden, factor):
    X = StandardScaler().fit_transform(load_wine().data)
    rate = factor * RBM().learning_rate
    model = RBM(4, visible="gaussian", hidden=hidden, learning_rate=rate, batch_size=20, max_iter=60, random_state=0)
    model.fit(X)
    independent = -X.shape[1] * (1 + np.log(2 * np.pi)) / 2
    assert model.score(X) > independent + 1
    assert min(model.history_["pseudo_log_likelihood"]) > independent - 1


@pytest.mark.parametrize("hidden", ["gaussian", "relu"])
def test_weights_stay_where_the_density_has_an_integral(hidden):
    X = np.repeat(np.random.default_rng(0).normal(size=(100, 1)), 6, axis=1)
    model = RBM(3, visible="gaussian", hidden=hidden, learning_rate=1.0, max_iter=50, random_state=0).fit(X)
    assert np.linalg.norm(model.weights_["weight"], 2) < 1
    assert np.isfinite(model.score_samples(X)).all()


def test_variances_do_not_collapse():
    X = np.repeat(np.random.default_rng(0).normal(size=(100, 1)), 4, axis=1)
    model = RBM(8, visible="gaussian", max_iter=300, random_state=0, learning_rate=0.1).fit(X)
    assert (model.noise_variance_ >= 0.03**2 * X.var(axis=0) * (1 - 1e-6)).all()


def test_sparse_units_are_on_as_often_as_wanted():
    X = binary(300, 12)
    common = {"learning_rate": 0.1, "max_iter": 100, "random_state": 0, "batch_size": 50}
    mean = RBM(8, sparsity_target=0.1, sparsity_cost=5.0, **common).fit(X).transform(X).mean(axis=0)
    plain = RBM(8, **common).fit(X).transform(X).mean(axis=0)
    assert np.abs(mean - 0.1).max() < 0.05 < np.abs(plain - 0.1).max()
