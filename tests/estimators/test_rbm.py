"""Restricted Boltzmann machines as estimators: their parameters beside scikit-learn's machine."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.exceptions import NotFittedError
from sklearn.neural_network import BernoulliRBM

from skgen import RBM
from tests.estimators.configurations import machine, rows
from tests.estimators.machines import binary, strong


def test_parameters_mean_what_they_mean_in_scikit_learn():
    X = binary()
    model = strong(machine(3).fit(X))
    other = BernoulliRBM(3).fit(X)
    other.components_, other.intercept_hidden_ = model.components_, model.intercept_hidden_
    other.intercept_visible_ = model.intercept_visible_
    np.testing.assert_allclose(model.transform(X), other.transform(X), rtol=1e-12)
    np.testing.assert_allclose(model.free_energy(X), other._free_energy(X), rtol=1e-12)
    assert model.gibbs(X, random_state=0).shape == other.gibbs(X).shape


def test_parameters_of_scikit_learn_have_the_same_names():
    named = set(BernoulliRBM().get_params()) - {"n_iter"}
    assert named <= set(RBM().get_params())
    assert RBM().n_components == BernoulliRBM().n_components


@pytest.mark.parametrize("hidden", ["bernoulli", "gaussian"])
def test_parameters_are_in_the_units_of_the_rows(hidden):
    X = 5 + rows(60) * [1, 10, 100, 1000, 0.1]
    model = machine(visible="gaussian", hidden=hidden, max_iter=20).fit(X)
    field = X @ model.components_.T + model.intercept_hidden_
    H = field if hidden == "gaussian" else expit(field)
    np.testing.assert_allclose(model.transform(X), H, rtol=1e-9)
    mean = model.intercept_visible_ + model.noise_variance_ * (H @ model.components_)
    np.testing.assert_allclose(model.inverse_transform(H), mean, rtol=1e-9)


def test_attributes_are_there_only_after_a_fit():
    with pytest.raises(NotFittedError):
        _ = RBM().components_
    assert not hasattr(machine().fit(binary()), "noise_variance_")
