"""The skeletons that contributors copy are complete: each one keeps the contract of its family."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris, load_wine
from sklearn.decomposition import FactorAnalysis
from sklearn.utils.estimator_checks import parametrize_with_checks

from skgen import VariationalAutoencoder
from skgen._trace import autograd_trace
from skgen.likelihoods.base import Head

FOLDER = Path(__file__).parents[1] / "doc" / "developer" / "skeletons"
SPACING = 5e-4
GRID = torch.linspace(-60, 60, 240001, dtype=torch.float64)
N_DRAWS = 200_000


def load(name):
    """Import a skeleton under a name of its own, registered so that its classes pickle."""
    spec = importlib.util.spec_from_file_location(f"skeleton_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


PRIOR, LIKELIHOOD, ESTIMATOR = load("prior"), load("likelihood"), load("estimator")


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def normal(*shape, generator):
    return torch.empty(shape, dtype=torch.float64).normal_(generator=generator)


def standard_error(values):
    return values.std(0) / len(values) ** 0.5


# -- prior ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.0])
def test_prior_integrates_to_one(scale):
    prior = PRIOR.Laplace(scale=scale).build(1)
    mass = torch.trapezoid(torch.exp(prior.log_prob(GRID[:, None])), GRID)
    # The trapezoidal rule errs by spacing^2 / 12 times the jump of the derivative at 0, 1 / scale^2.
    assert float(mass) == pytest.approx(1, abs=2 * SPACING**2 / (12 * scale**2))


def test_prior_draws_have_its_moments(generator):
    z = PRIOR.Laplace(scale=0.5).build(3).sample(N_DRAWS, generator=generator, like=GRID)
    for values, expected in ((z, 0.0), (z.abs(), 0.5), (z.square(), 0.5)):
        assert (torch.abs(values.mean(0) - expected) < 5 * standard_error(values)).all()


def test_prior_closed_form_kl_agrees_with_monte_carlo(generator):
    prior = PRIOR.Laplace(scale=0.7).build(1)
    for mean, log_scale in ((0.0, 0.0), (1.5, -1.0), (-0.4, 0.6)):
        mean, log_scale = torch.tensor([[mean]]).double(), torch.tensor([[log_scale]]).double()
        z = mean + torch.exp(log_scale) * normal(N_DRAWS, 1, generator=generator)
        log_q = torch.distributions.Normal(mean, torch.exp(log_scale)).log_prob(z).sum(-1)
        values = log_q - prior.log_prob(z)
        assert torch.abs(values.mean() - prior.normal_kl(mean, log_scale)) < 5 * standard_error(values)


def test_prior_pullback_is_the_gradient(generator):
    prior = PRIOR.Laplace(scale=0.7).build(3)
    z, cotangent = normal(4, 5, 3, generator=generator), normal(4, 5, generator=generator)
    value, pullback = prior.tracer()(z)
    (expected,), autograd = autograd_trace(prior.log_prob, z)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(pullback(cotangent), autograd(cotangent)[0])


@pytest.mark.parametrize("objective", ["elbo", "iwae"])
def test_vae_takes_the_prior(objective):
    X = load_wine().data
    vae = VariationalAutoencoder(
        3,
        prior=PRIOR.Laplace(scale=0.7),
        objective=objective,
        n_draws=2,
        hidden_layer_sizes=(16,),
        max_iter=40,
        kl_warmup=0,
        random_state=0,
    ).fit(X)
    assert vae.history_[objective][-1] > vae.history_[objective][0]
    assert np.isfinite(vae.score_samples(X)).all()
    assert vae.set_params(prior__scale=2.0).prior.scale == 2.0


def test_prior_refuses_a_scale_out_of_range():
    with pytest.raises(ValueError, match="scale must be a number > 0"):
        PRIOR.Laplace(scale=0.0).build(1)


# -- likelihood ----------------------------------------------------------------------------------------------


def started_likelihood(n_features):
    """A likelihood in float64 as ``fit`` starts it, with a gradient to add to, and its head."""
    likelihood = LIKELIHOOD.Laplace().build(n_features).double()
    head = Head(torch.zeros(2, n_features).double(), torch.zeros(n_features).double())
    likelihood.initialize(head, torch.zeros(n_features).double(), torch.ones(n_features).double())
    likelihood.log_scale.grad = torch.zeros_like(likelihood.log_scale)
    return likelihood, head


def test_likelihood_integrates_to_one():
    likelihood, _ = started_likelihood(1)
    density = torch.exp(likelihood.log_prob(torch.tensor([[0.4]]).double(), GRID[:, None])).detach()
    scale = float(likelihood.noise_variance() / 2) ** 0.5
    assert float(torch.trapezoid(density, GRID)) == pytest.approx(1, abs=2 * SPACING**2 / (12 * scale**2))


def test_likelihood_draws_have_its_moments(generator):
    likelihood, _ = started_likelihood(2)
    x = likelihood.sample(torch.tensor([[1.0, -2.0]]).double().expand(N_DRAWS, 2), generator=generator)
    expected = likelihood.mean(torch.tensor([1.0, -2.0]).double())
    squares = (x - expected).square()
    assert (torch.abs(x.mean(0) - expected) < 5 * standard_error(x)).all()
    assert (torch.abs(squares.mean(0) - likelihood.noise_variance()) < 5 * standard_error(squares)).all()


@pytest.mark.parametrize("draws", [(), (3,)])
@pytest.mark.parametrize("one_for_all", [True, False])
def test_likelihood_pullback_is_the_gradient(draws, one_for_all, generator):
    likelihood, _ = started_likelihood(4)
    outputs, x = normal(*draws, 5, 4, generator=generator), normal(5, 4, generator=generator)
    cotangent = normal(*(() if one_for_all else (*draws, 5)), generator=generator)
    value, pullback = likelihood.tracer()(outputs, x)
    gradient = pullback(cotangent)
    by_hand = likelihood.log_scale.grad.clone()
    likelihood.log_scale.grad.zero_()
    (expected,), autograd = autograd_trace(lambda leaf: likelihood.log_prob(leaf, x), outputs)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradient, autograd(cotangent)[0])
    torch.testing.assert_close(by_hand, likelihood.log_scale.grad)


def test_likelihood_keeps_its_density_when_the_scale_moves(generator):
    likelihood, head = started_likelihood(3)
    hidden, rows = normal(6, 2, generator=generator), normal(6, 3, generator=generator)
    head.weight.copy_(normal(2, 3, generator=generator))
    old = likelihood.standardize(torch.zeros(3).double(), torch.ones(3).double())
    new = likelihood.standardize(torch.tensor([0.5, -1.0, 0.0]).double(), torch.tensor([2.0, 0.7, 1.0]).double())

    def log_density(standardization):
        x = (rows - standardization.shift) / standardization.scale
        return likelihood.log_prob(hidden @ head.weight + head.bias, x) - torch.log(standardization.scale).sum()

    before = log_density(old)
    likelihood.compensate(head, old, new, torch.zeros(3, dtype=torch.bool))
    torch.testing.assert_close(log_density(new), before)


def test_vae_takes_the_likelihood():
    X = load_iris().data
    vae = VariationalAutoencoder(
        likelihood=LIKELIHOOD.Laplace(),
        hidden_layer_sizes=(16,),
        max_iter=60,
        precision="float64",
        random_state=0,
    ).fit(X)
    assert vae.history_["elbo"][-1] > vae.history_["elbo"][0]
    assert vae.sample(3, random_state=0).shape == (3, 4)
    # Standardised, the rows are the same up to rounding; 1e6 times the units cost log(1e6) nats per column.
    rescaled = VariationalAutoencoder(**vae.get_params(deep=False)).fit(1e6 * X)
    assert rescaled.score(1e6 * X) == pytest.approx(vae.score(X) - 4 * np.log(1e6), abs=1e-6)


# -- estimator -----------------------------------------------------------------------------------------------


@parametrize_with_checks([ESTIMATOR.GradientFactorAnalysis(max_iter=5)])
def test_estimator_passes_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


def test_estimator_reaches_the_optimum_of_factor_analysis():
    X = load_wine().data
    scale = X.std(axis=0)
    fitted = ESTIMATOR.GradientFactorAnalysis(
        2, solver="lbfgs", max_iter=300, tol=0, n_iter_no_change=np.inf, random_state=0
    ).fit(X)
    exact = FactorAnalysis(2, tol=1e-6, max_iter=5000).fit(X / scale).score(X / scale) - np.log(scale).sum()
    assert fitted.score(X) == pytest.approx(exact, abs=0.01)
