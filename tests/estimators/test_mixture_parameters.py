"""Parameters that users write: what is refused, and what they become."""

import numpy as np
import pytest
import torch

from skgen import GaussianMixture
from skgen.distributions.covariance import COVARIANCES
from skgen.estimators import _mixture_parameters
from tests.estimators.test_gaussian_mixture import every_type, rows, start

K, D = 3, 3


@every_type
def test_what_is_shown_is_read_back(kind):
    X = rows()
    fitted = GaussianMixture(K, covariance_type=kind, max_iter=3, tol=0, random_state=0).fit(X)
    structure = COVARIANCES[kind]
    shape = structure.shape(K, D)
    assert fitted.covariances_.shape == fitted.precisions_.shape == fitted.precisions_cholesky_.shape == shape
    groups = _mixture_parameters.in_groups(structure, fitted.covariances_, D, "covariances")
    np.testing.assert_array_equal(groups, fitted.parameters_["covariances"])
    matrices = structure.matrices(torch.from_numpy(fitted.parameters_["covariances"]))
    inverse = structure.matrices(_mixture_parameters.in_groups(structure, fitted.precisions_, D, "precisions"))
    torch.testing.assert_close(matrices @ inverse, torch.eye(D).double().expand_as(matrices), rtol=1e-9, atol=1e-9)


@every_type
def test_a_start_that_is_given_is_the_start(kind):
    X = rows() + 100.0
    given = start(kind, X)
    fitted = GaussianMixture(K, covariance_type=kind, max_iter=1, tol=0, **given).fit(X)
    precision = np.broadcast_to(
        COVARIANCES[kind].matrices(
            _mixture_parameters.in_groups(COVARIANCES[kind], np.array(given["precisions_init"]), D, "p")
        ),
        (K, D, D),
    )
    joint = [
        np.log(w) - 0.5 * np.einsum("ni,ij,nj->n", X - m, p, X - m) + 0.5 * np.linalg.slogdet(p / (2 * np.pi))[1]
        for w, m, p in zip(given["weights_init"], given["means_init"], precision, strict=True)
    ]
    assert fitted.lower_bounds_[0] == pytest.approx(np.logaddexp.reduce(joint).mean(), rel=1e-9)


def test_a_weight_of_zero_stays_zero():
    X = rows()
    given = start("full", X) | {"weights_init": [0.5, 0.5, 0.0]}
    fitted = GaussianMixture(K, max_iter=3, tol=0, on_degenerate="prune", **given)
    with pytest.warns(match="prune 2"):
        fitted.fit(X)
    assert fitted.n_components_ == 2


WRONG = {
    "weights_init": [[1.0], [0.5, 0.5, 0.5], [1.5, -0.5, 0.0], [np.nan, 0.5, 0.5], ["a", "b", "c"], [[0.5, 0.5, 0.0]]],
    "means_init": [np.zeros((2, 3)), np.zeros((3, 2)), np.full((3, 3), np.inf), np.zeros(9)],
    "precisions_init": [np.eye(3), np.zeros((3, 3, 3)), -np.tile(np.eye(3), (3, 1, 1)), np.full((3, 3, 3), np.nan)],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_start_is_named(name, value):
    with pytest.raises(ValueError, match=f"The parameter '{name}' should"):
        GaussianMixture(K, **{name: value}).fit(rows())


@pytest.mark.parametrize("kind", [kind for kind in COVARIANCES if kind != "full"])
def test_precisions_of_another_structure_are_named(kind):
    with pytest.raises(ValueError, match="The parameter 'precisions_init' should have the shape"):
        GaussianMixture(K, covariance_type=kind, precisions_init=np.tile(np.eye(3), (3, 1, 1))).fit(rows())
    shape = COVARIANCES[kind].shape(K, D)
    with pytest.raises(ValueError, match="The parameter 'precisions_init' should be symmetric and positive definite"):
        GaussianMixture(K, covariance_type=kind, precisions_init=-np.ones(shape)).fit(rows())


def test_responsibilities_of_another_number_of_components_are_refused():
    fitted = GaussianMixture(2, random_state=0).fit(rows())
    with pytest.raises(ValueError, match="X has 3 columns, but the mixture has n_components_ = 2"):
        fitted.inverse_transform(np.zeros((1, 3)))
    np.testing.assert_allclose(fitted.inverse_transform([[0.25, 0.75]])[0], [0.25, 0.75] @ fitted.means_)


def test_what_is_given_is_never_written_to():
    X = rows()
    given = start("full", X)
    before = {name: np.array(value) for name, value in given.items()}
    fitted = GaussianMixture(K, max_iter=2, tol=0, **given).fit(X)
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(fitted, name), value)
        assert getattr(fitted, name) is given[name]
