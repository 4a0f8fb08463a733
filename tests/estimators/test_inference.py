"""Tests of skgen.estimators._inference: from rows to their posteriors."""

import numpy as np
import pytest
import torch

from skgen import priors
from skgen.estimators._inference import INFERENCES, Search, guessed
from skgen.estimators._refinement import lower_bound
from skgen.likelihoods import Gaussian
from tests.estimators.configurations import amortized, rows
from tests.parts import model_from, rows_from

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SEARCHES = [name for name, kind in INFERENCES.items() if kind.by_row]


@pytest.fixture
def model(generator):
    return model_from("gaussian", generator=generator)


@pytest.mark.parametrize("solver", ["bfgs", "lbfgs", "adam"])
@pytest.mark.parametrize("name", ["semi_amortized", "local"])
def test_a_search_never_ends_below_its_start(name, solver, model, generator):
    x = rows_from(model, 20, generator)
    kind = INFERENCES[name](Search(solver, 5, 0.01))
    noise = torch.randn(32, 1, 2, dtype=torch.float64, generator=generator)
    bound = lower_bound(model, x, noise)
    kept = kind.completed(model, x, noise, None, 0).parameters
    start = model.encode(x).detach() if name == "semi_amortized" else guessed(model, x, 0)
    assert (bound(kept)[0] >= bound(start)[0] - 1e-12).all()
    again = kind.completed(model, x, noise, kept, 0).parameters
    assert (bound(again)[0] >= bound(kept)[0] - 1e-12).all()


def test_a_guess_is_likelier_than_the_centre_of_the_prior(model, generator):
    x = rows_from(model, 20, generator)
    with torch.no_grad():
        z = torch.stack([guessed(model, x, 0)[:, :2], torch.zeros(20, 2, dtype=torch.float64)])
        value = model.log_likelihood(z, x) + model.prior.log_prob(z)
    assert (value[0] >= value[1]).all()
    torch.testing.assert_close(guessed(model, x[3:4], 0), guessed(model, x, 0)[3:4], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("inference", "solver"), [*((name, "lbfgs") for name in SEARCHES), ("local", "adam"), ("local", "newton-cg")]
)
def test_a_row_is_answered_alone_as_in_any_company(inference, solver):
    X = rows(20)
    model = amortized(inference=inference, e_solver=solver, max_iter=2, refine_steps=8).fit(X)
    for method in (model.transform, model.score_samples):
        together = method(X)
        alone = np.concatenate([method(X[i : i + 1]) for i in range(3)])
        np.testing.assert_allclose(alone, together[:3], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(method(X[::-1])[::-1], together, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("inference", ["laplace", "mcmc", "semi_amortized"])
def test_the_posterior_of_a_linear_model_is_found(inference):
    """Mean (W^T W / s + I)^-1 W^T (x - b) / s of z given x, with a standard normal generator."""
    X = rows(30)
    options = {"latent_generator": priors.Normal(), "likelihood": Gaussian("shared"), "hidden_layer_sizes": ()}
    model = amortized(2, inference=inference, refine_steps=40, max_iter=2, **options).fit(X)
    module = model._module(np.float64)
    weight, bias = (value.detach() for value in module.decoder.head)
    variance = module.likelihood.noise_variance()[0]
    x = module.standardize(torch.from_numpy(X))
    precision = torch.eye(2, dtype=torch.float64) + weight @ weight.T / variance
    exact = torch.linalg.solve(precision, weight @ (x - bias).T / variance).T
    found, scale = (torch.from_numpy(each) for each in model.encode(X, return_std=True))
    if inference == "mcmc":  # of 8 chains, whose states hang together
        assert ((found - exact).abs() < 5 * scale / 8**0.5).all()
    else:
        torch.testing.assert_close(found, exact, rtol=1e-3, atol=1e-3)
    if inference == "laplace":
        torch.testing.assert_close(scale, torch.linalg.inv(precision).diagonal().sqrt().expand_as(scale))
