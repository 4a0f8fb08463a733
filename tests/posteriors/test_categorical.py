import pytest
import torch

from skgen._terms import evaluate
from skgen.posteriors.base import Posterior
from skgen.posteriors.categorical import CategoricalPosterior
from tests.oracles import within
from tests.parts import normal

COMPONENTS, CATEGORIES = 2, 3


@pytest.fixture
def posterior():
    return CategoricalPosterior(COMPONENTS, CATEGORIES).double()


@pytest.fixture
def parameters(posterior, generator):
    return normal(4, posterior.n_parameters, generator=generator)


def probabilities_of(parameters):
    return torch.softmax(parameters.reshape(-1, COMPONENTS, CATEGORIES), -1).flatten(1)


def test_draws_are_one_hot_with_the_probabilities_of_the_logits(posterior, parameters, generator):
    z = posterior.draw(parameters, normal(20000, 4, posterior.n_noise, generator=generator)).z
    blocks = z.reshape(-1, COMPONENTS, CATEGORIES)
    assert ((blocks == 0) | (blocks == 1)).all()
    assert (blocks.sum(-1) == 1).all()
    assert within(z, probabilities_of(parameters))
    # The variables are independent.
    pair = z[..., :1] * z[..., CATEGORIES : CATEGORIES + 1]
    expected = probabilities_of(parameters)
    assert within(pair, expected[:, :1] * expected[:, CATEGORIES : CATEGORIES + 1])


def test_log_probs_are_those_of_the_logits_at_draws_and_at_any_state(posterior, parameters, generator):
    draw = posterior.draw(parameters, normal(5, 4, posterior.n_noise, generator=generator))
    expected = (draw.z * torch.log(probabilities_of(parameters))).sum(-1)
    torch.testing.assert_close(evaluate(draw.log_prob), expected)
    at_all = posterior.log_probs(draw.z, parameters)
    torch.testing.assert_close(torch.diagonal(at_all, dim1=1, dim2=2), expected)


def test_moments_are_those_of_draws(posterior, parameters, generator):
    mean, scale = posterior.mean_and_scale(parameters)
    z = posterior.draw(parameters, normal(20000, 4, posterior.n_noise, generator=generator)).z
    assert within(z, mean)
    assert within((z - mean) ** 2, scale**2)


def test_relaxed_draws_tend_to_the_draws_as_the_temperature_falls(posterior, parameters, generator):
    noise = normal(50, 4, posterior.n_noise, generator=generator)
    hard = posterior.draw(parameters, noise).z
    distances = []
    for temperature in (1.0, 0.3, 0.1, 0.01):
        posterior.temperature.fill_(temperature)
        relaxed = posterior.relaxed(parameters, noise).z
        torch.testing.assert_close(relaxed.reshape(50, 4, COMPONENTS, CATEGORIES).sum(-1), noise.new_ones(50, 4, 2))
        distances.append((relaxed - hard).abs().mean())
        # Draws themselves know no temperature.
        assert torch.equal(posterior.draw(parameters, noise).z, hard)
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.01


def test_the_bias_of_the_relaxed_gradient_falls_with_the_temperature(posterior, generator):
    logits = normal(1, posterior.n_parameters, generator=generator)
    value = normal(posterior.n_parameters, generator=generator)

    def function(z):
        """A function of one-hot rows that is not linear between them."""
        return torch.sin(3 * z @ value)

    leaf = logits.clone().requires_grad_()
    states = torch.eye(CATEGORIES, dtype=torch.float64)
    first, second = torch.softmax(leaf.reshape(COMPONENTS, CATEGORIES), -1)
    pairs = torch.cat([states.repeat_interleave(CATEGORIES, 0), states.repeat(CATEGORIES, 1)], -1)
    exact = torch.autograd.grad(((first[:, None] * second).flatten() * function(pairs)).sum(), leaf)[0]
    noise = normal(40000, 1, posterior.n_noise, generator=generator)
    biases = []
    for temperature in (2.0, 0.3):
        posterior.temperature.fill_(temperature)
        leaf = logits.clone().requires_grad_()
        relaxed = function(posterior.relaxed(leaf, noise).z).mean()
        biases.append((torch.autograd.grad(relaxed, leaf)[0] - exact).norm())
    assert biases[1] < 0.5 * biases[0]


@pytest.mark.parametrize("shape", [(4,), (1,), (3, 4), (3, 1)], ids=str)
def test_the_tracer_is_that_of_relaxed_draws(posterior, parameters, generator, shape):
    noise = normal(*shape, posterior.n_noise, generator=generator)
    draw, pullback = Posterior.tracer(posterior)(parameters, noise)
    leaf = parameters.clone().requires_grad_()
    reference = posterior.relaxed(leaf, noise)
    parts = reference.z, reference.log_prob, reference.mean
    cotangents = [normal(*part.shape, generator=generator) for part in parts]
    torch.testing.assert_close((draw.z, evaluate(draw.log_prob), draw.mean), tuple(part.detach() for part in parts))
    expected = torch.autograd.grad(parts, leaf, cotangents)[0]
    torch.testing.assert_close(pullback(*cotangents, None), expected)


def test_extreme_logits_give_finite_numbers(generator):
    posterior = CategoricalPosterior(1, 3)
    parameters = torch.tensor([[1e4, 0.0, -1e4], [-1e30, 1e30, 0.0]])
    draw = posterior.draw(parameters, normal(10, 2, 3, generator=generator, dtype=torch.float32))
    mean, scale = posterior.mean_and_scale(parameters)
    assert draw.log_prob.isfinite().all()
    assert mean.isfinite().all()
    assert scale.isfinite().all()
