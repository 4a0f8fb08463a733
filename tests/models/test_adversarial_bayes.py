"""Tests of skgen.models.adversarial_bayes."""

import pytest
import torch
from torch.distributions import MultivariateNormal

from skgen._terms import Cotangents
from skgen.distributions.logistic import reals_from_box
from skgen.likelihoods import LIKELIHOODS
from skgen.models.adversarial_bayes import AdversarialBayesModel
from skgen.networks import MLP
from skgen.posteriors import POSTERIORS
from skgen.priors import PRIORS, Vamp
from skgen.training.flat import FlatParameters
from tests.parts import normal, perturbed

CODE = 3
LINEAR = ()


def model_from(
    generator, *, prior="normal", posterior="full", sampler=(5,), n_components=2, n_noise=3, jumps=False, start=False
):
    """A model in float64 of rows with 4 columns, where its training starts or with random parameters."""
    prior = (PRIORS[prior]() if isinstance(prior, str) else prior).build(n_components)
    posterior = prior.adapted(POSTERIORS[posterior]().build(n_components))
    likelihood = LIKELIHOODS["gaussian"]().build(4)
    model = AdversarialBayesModel(
        MLP(4, (6,), 2 * n_components + CODE, "tanh"),
        MLP(n_components, (6,), likelihood.n_outputs, "tanh"),
        prior,
        posterior,
        likelihood,
        MLP(CODE + (1 + jumps) * n_noise, sampler, n_components, "tanh"),
        MLP(CODE + n_components, (5,), 1, "tanh"),
        jumps=jumps,
    ).double()
    with torch.no_grad():
        model.reset(generator)
        model.initialize(torch.zeros(4), torch.ones(4))
    return model.requires_grad_() if start else perturbed(model, generator)


@pytest.mark.parametrize("jumps", [False, True])
def test_draws_jump_where_noise_changes_its_sign_or_are_continuous_there(jumps, generator):
    model, x = model_from(generator, jumps=jumps), normal(5, 4, generator=generator)
    assert model.n_noise == 3
    noise = torch.full((2, 1, 3), 0.7, dtype=torch.float64)
    noise[:, 0, 2] = torch.tensor([1e-9, -1e-9])
    with torch.no_grad():
        one, other = model.draw(x, noise)
    assert bool(((one - other).abs().amax(1) > 1e-3).all()) == jumps


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_without_bends_posteriors_are_diagonal_and_their_density_is_known(prior, generator):
    model, x = model_from(generator, prior=prior), normal(5, 4, generator=generator)
    model.bends = False
    noise = normal(7, 5, 3, generator=generator)
    with torch.no_grad():
        outputs = model.code(x)
        z, relative, log_density = model.relative(outputs, noise, model.contrast_parameters(outputs))
        mean, log_variance, _ = outputs.split([2, 2, CODE], -1)
        reals, log_slope = (z, 0.0) if prior == "normal" else reals_from_box(z, *model.prior.support)
        exact = torch.distributions.Normal(mean, (0.5 * log_variance).exp()).log_prob(reals).sum(-1) - log_slope
    torch.testing.assert_close(relative, noise[..., :2])
    torch.testing.assert_close(log_density, exact)


def linear_draws(model, x):
    """Mean and root of the covariance of draws that are linear in the noise, at some rows."""
    with torch.no_grad():
        mean, log_variance, _ = model.code(x).split([2, 2, CODE], -1)
        scale = (0.5 * log_variance).exp()
        code = torch.tanh(model.code(x)[:, -CODE:])
        zero = model.sampler(torch.cat([code, x.new_zeros(len(x), 3)], -1))
        root = torch.eye(2, 3, dtype=x.dtype) + model.sampler.head[0][CODE:].T
    return mean + scale * zero, scale.unsqueeze(-1) * root


@pytest.mark.parametrize("prior", ["normal", "uniform"])
@pytest.mark.parametrize("posterior", ["diagonal", "full"])
def test_where_training_starts_posteriors_are_normal_and_the_adversary_is_exact(prior, posterior, generator):
    model = model_from(generator, prior=prior, posterior=posterior, start=True)
    x, noise = normal(5, 4, generator=generator), normal(7, 5, 3, generator=generator)
    with torch.no_grad():
        terms, parameters = model.pseudo_terms(x, noise), model.encode(x)
        draw = model.posterior.draw(parameters, noise[..., :2])
        torch.testing.assert_close(draw.z, model.draw(x, noise))
        torch.testing.assert_close(terms.log_posterior, draw.log_prob)
        torch.testing.assert_close(terms.log_weight, model.terms_given(parameters, x, noise[..., :2]).log_weight)


@pytest.mark.parametrize("noise", ["points", "contrast"])
def test_moments_of_draws_that_are_linear_in_the_noise_are_exact(noise, generator):
    model, x = model_from(generator, sampler=LINEAR), normal(5, 4, generator=generator)
    model.redraw_contrast(generator)
    mean, root = linear_draws(model, x)
    with torch.no_grad():
        parameters = model.normal.matched(model._moment_draws(model.code(x), getattr(model, noise)))
        z = normal(6, 5, 2, generator=generator)
        value = model.normal.draw(parameters, model.normal.noise(z, parameters)).log_prob
    torch.testing.assert_close(value, MultivariateNormal(mean, root @ root.mT).log_prob(z))
    torch.testing.assert_close(model.normal.mean_and_scale(parameters)[0], mean)


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_densities_are_exact_where_draws_are_normal_and_the_adversary_says_so(prior, generator):
    model, x = model_from(generator, prior=prior, sampler=LINEAR), normal(5, 4, generator=generator)
    for part in model.adversary.head:
        part.zero_()
    mean, root = linear_draws(model, x)
    noise, slope = normal(7, 5, 3, generator=generator), 0.0
    with torch.no_grad():
        found, z = model.pseudo_terms(x, noise).log_posterior, model.draw(x, noise)
    if model.prior.support is not None:
        assert ((z > -1) & (z < 1)).all()
        z, slope = reals_from_box(z, *model.prior.support)
    torch.testing.assert_close(found, MultivariateNormal(mean, root @ root.mT).log_prob(z) - slope)


@pytest.mark.parametrize("prior", ["normal", "uniform", "mixture", Vamp(4)])
@pytest.mark.parametrize("posterior", ["diagonal", "full"])
@pytest.mark.parametrize("n_draws", [1, 3])
def test_the_trace_is_that_of_autograd_with_the_normal_distribution_and_the_adversary_fixed(
    prior, posterior, n_draws, generator
):
    model = model_from(generator, prior=prior, posterior=posterior)
    x, noise = normal(5, 4, generator=generator), normal(n_draws, 5, 3, generator=generator)
    weights = normal(3, n_draws, 5, generator=generator)
    outputs = model.code(x)
    parameters = model.contrast_parameters(outputs)
    z, relative, log_normal = model.relative(outputs, noise, parameters)
    judged = model.judged(outputs.detach(), relative)
    log_posterior = log_normal + model.adversary(judged).squeeze(-1)
    values = [model.log_likelihood(z, x), model.prior.log_prob(z), log_posterior]
    names = [name for name, _ in model.named_parameters() if not name.startswith("adversary")]
    learnt = [parameter for name, parameter in model.named_parameters() if name in names]
    total = sum((weight * value).sum() for weight, value in zip(weights, values, strict=True))
    expected = torch.autograd.grad(total, learnt, allow_unused=True)

    flat = FlatParameters(model)
    flat.gradient.zero_()
    with torch.no_grad():
        terms, pullback = model.tracer()(x, noise, None)
        for name, value in zip(("log_likelihood", "log_prior", "log_posterior"), values, strict=True):
            torch.testing.assert_close(getattr(terms, name), value.detach())
        pullback(Cotangents(*(weight[0] if n_draws == 1 else weight for weight in weights)))
    for name, parameter, gradient in zip(names, learnt, expected, strict=True):
        torch.testing.assert_close(
            parameter.grad, torch.zeros_like(parameter) if gradient is None else gradient, msg=name
        )
    assert all(not parameter.grad.any() for parameter in model.adversary.parameters())


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_the_distributions_that_a_prior_may_be_made_of_integrate_to_one(prior, generator):
    model = model_from(generator, prior=prior, n_components=1, n_noise=1)
    limits = model.prior.support or (-30, 30)
    z = torch.linspace(*limits, 20003, dtype=torch.float64)[1:-1, None]
    with torch.no_grad():
        density = model.posterior_log_probs(z, normal(3, 4, generator=generator)).exp()
    torch.testing.assert_close(
        torch.trapezoid(density, z, dim=0), torch.ones(3, dtype=torch.float64), atol=1e-3, rtol=0
    )


def test_draws_of_a_row_depend_on_no_other(generator):
    model, x = model_from(generator), normal(5, 4, generator=generator)
    noise = normal(6, 1, 3, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(model.draw(x, noise)[:, 2:3], model.draw(x[2:3], noise))
        torch.testing.assert_close(model.encode(x)[2:3], model.encode(x[2:3]))
