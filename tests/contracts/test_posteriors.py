"""What every posterior family in the table keeps."""

import functools

import pytest
import torch
from torch.func import jacrev, vmap

from skgen._terms import evaluate
from skgen.distributions.normal import antithetic_normal
from skgen.posteriors import POSTERIORS, Posterior, PosteriorSpec
from skgen.posteriors.base import SMALLEST_VARIANCE
from tests.oracles import within
from tests.parts import POSTERIOR_SPECS, normal, perturbed

COMPONENTS = 3

pytestmark = pytest.mark.parametrize("spec", POSTERIOR_SPECS)


@pytest.fixture
def posterior(spec, generator):
    built = spec.build(COMPONENTS)
    built.reset(generator)
    return perturbed(built, generator)


@pytest.fixture
def parameters(posterior, generator):
    return 0.5 * normal(4, posterior.n_parameters, generator=generator)


def test_the_table_holds_specs_that_build_posteriors(spec, posterior):
    assert isinstance(spec, PosteriorSpec)
    assert type(spec) in POSTERIORS.values()
    assert isinstance(posterior, Posterior)
    assert posterior.n_components == COMPONENTS


def test_log_prob_is_the_change_of_variables(posterior, parameters, generator):
    noise = normal(2, 4, COMPONENTS, generator=generator)
    with torch.no_grad():
        log_prob = evaluate(posterior.draw(parameters, noise).log_prob)

    def transform(row, e):
        return posterior.draw(row[None], e[None, None]).z[0, 0]

    jacobian = vmap(vmap(jacrev(transform, 1)), (None, 0))(parameters, noise).detach()
    base = torch.distributions.Normal(0.0, 1.0).log_prob(noise).sum(-1)
    torch.testing.assert_close(log_prob, base - torch.linalg.slogdet(jacobian)[1], rtol=1e-10, atol=1e-10)


def test_mean_and_scale_are_those_of_draws(posterior, parameters, generator):
    with torch.no_grad():
        draws = posterior.draw(parameters, normal(20000, 4, COMPONENTS, generator=generator)).z
        mean, scale = posterior.mean_and_scale(parameters)
    assert mean.shape == scale.shape == (4, COMPONENTS)
    assert within(draws, mean)
    assert within((draws - mean) ** 2, scale**2)


def test_a_draw_states_its_moments(posterior, parameters, generator):
    with torch.no_grad():
        draw = posterior.draw(parameters, normal(1, 4, COMPONENTS, generator=generator))
        mean, scale = posterior.mean_and_scale(parameters)
    assert (draw.scale is None) == (draw.log_scale is None) == (not posterior.normal_margins)
    if draw.mean is not None:
        torch.testing.assert_close(draw.mean, mean)
    if draw.scale is not None:
        torch.testing.assert_close(draw.scale, scale)
        torch.testing.assert_close(draw.scale, draw.log_scale.exp())


def test_noise_shared_by_rows_is_the_same_as_noise_repeated(posterior, parameters, generator):
    noise = normal(3, 1, COMPONENTS, generator=generator)
    with torch.no_grad():
        shared, repeated = (
            posterior.draw(parameters, noise),
            posterior.draw(parameters, noise.expand(3, 4, -1)),
        )
    torch.testing.assert_close(shared.z, repeated.z)
    torch.testing.assert_close(evaluate(shared.log_prob), evaluate(repeated.log_prob))


def test_the_score_of_a_path_is_the_gradient_of_log_q_by_its_point(posterior, parameters, generator):
    noise = normal(2, 4, COMPONENTS, generator=generator)

    def log_prob(row, e):
        return evaluate(posterior.draw(row[None], e[None, None]).log_prob)[0, 0]

    def transform(row, e):
        return posterior.draw(row[None], e[None, None]).z[0, 0]

    # By the rule of the chain: the gradient by the noise is that by z times the derivative of z.
    slope = vmap(vmap(jacrev(transform, 1)), (None, 0))(parameters, noise).detach()
    by_noise = vmap(vmap(jacrev(log_prob, 1)), (None, 0))(parameters, noise).detach()
    expected = torch.linalg.solve(slope.mT, by_noise.unsqueeze(-1)).squeeze(-1)
    for score in (posterior.path_score, functools.partial(Posterior.path_score, posterior)):
        torch.testing.assert_close(score(parameters, noise), expected, rtol=1e-8, atol=1e-8)


def test_draws_turn_back_into_their_noise(posterior, parameters, generator):
    noise = normal(5, 4, posterior.n_noise, generator=generator)
    with torch.no_grad():
        back = posterior.noise(posterior.draw(parameters, noise).z, parameters)
    torch.testing.assert_close(back, noise, rtol=1e-9, atol=1e-9)


def test_draws_whose_moments_tell_the_parameters_give_them_back(posterior, parameters, generator):
    # Draws from a block with mean 0 and covariance I have the moments of the posterior exactly.
    block = antithetic_normal(2 * COMPONENTS + 4, COMPONENTS, generator).unsqueeze(1)
    with torch.no_grad():
        z = posterior.draw(parameters, block).z
    if not posterior.normal_margins:
        with pytest.raises(NotImplementedError, match="choose another posterior"):
            posterior.matched(z)
        return
    matched = posterior.matched(z)
    torch.testing.assert_close(matched, parameters, rtol=1e-9, atol=1e-9)
    mean, scale = posterior.mean_and_scale(matched)
    torch.testing.assert_close(mean, z.mean(0))
    torch.testing.assert_close(scale, z.std(0, correction=0))


def test_equal_draws_are_matched_by_a_posterior_of_no_more_than_a_tiny_width(posterior, generator):
    if posterior.normal_margins:
        z = normal(1, 4, COMPONENTS, generator=generator).expand(7, -1, -1)
        mean, scale = posterior.mean_and_scale(posterior.matched(z))
        torch.testing.assert_close(mean, z[0])
        torch.testing.assert_close(scale, torch.full_like(scale, SMALLEST_VARIANCE**0.5))


CASES = {
    "elbo, closed KL": (True, False, True),
    "weights": (True, True, False),
    "all": (True, True, True),
    "z alone": (True, False, False),
}


@pytest.mark.parametrize("shape", [(4,), (1,), (3, 4), (3, 1)], ids=str)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("numbers", [False, True], ids=["tensors", "numbers"])
def test_tracer_equals_autograd(posterior, parameters, generator, shape, case, numbers):
    noise = normal(*shape, COMPONENTS, generator=generator)
    rows = (*shape[:-1], 4)
    to_z = normal(*rows, COMPONENTS, generator=generator)
    to_log_prob = normal(*(() if numbers else rows), generator=generator)
    to_moments = [normal(4, COMPONENTS, generator=generator) for _ in range(3)]
    _, log_prob, kl = CASES[case]
    cotangents = (to_z, to_log_prob if log_prob else None, *(to_moments if kl else (None,) * 3))
    results = []
    for tracer in (posterior.tracer(), Posterior.tracer(posterior)):
        posterior.zero_grad(set_to_none=False)
        draw, pullback = tracer(parameters, noise)
        parts = [draw.z, evaluate(draw.log_prob)]
        parts += [part for part in draw[2:] if part is not None]
        results.append([*parts, pullback(*cotangents), *(p.grad.clone() for p in posterior.parameters())])
    for ours, reference in zip(*results, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-12, atol=1e-12)
