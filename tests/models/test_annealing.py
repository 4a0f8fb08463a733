"""The annealing of :mod:`skgen.models.annealing`, against exact answers."""

import math

import pytest
import torch

from skgen.distributions.streams import Streams, row_keys
from skgen.models.annealing import GRID, LARGEST_ANGLE, NoisePath, annealed_log_weights, tuned_angles
from skgen.samplers import hamiltonian
from skgen.samplers.annealed import estimate, reverse_estimate, temperatures
from tests.oracles import linear_gaussian_log_prob, log_likelihood_by_quadrature, process_state, within
from tests.parts import model_from, normal, rows_from

N_ROWS = 6


def prepared(model, x):
    """Log-weight, angles, streams of rows and the posterior's parameters."""
    parameters, streams = model.requires_grad_(False).encode(x), Streams(row_keys(x, 0))

    def log_weight(noise):
        return model.terms_given(parameters, x, noise).log_weight

    n_noise = model.posterior.n_noise
    angles = tuned_angles(log_weight, Streams(row_keys(x, 1)), n_noise)
    return log_weight, angles, streams, n_noise, parameters


def linear(generator, n_components=2, n_features=4):
    """A linear Gaussian model with an encoder that is wrong."""
    model = model_from("gaussian", n_features=n_features, n_components=n_components, hidden=(), generator=generator)
    loading, offset = (part.detach() for part in model.decoder.head)
    return model, lambda x: linear_gaussian_log_prob(x, loading.T, offset, model.likelihood.noise_variance().detach())


@pytest.mark.parametrize("n_temperatures", [3, 15])
def test_weights_of_a_linear_gaussian_model_have_the_density_as_their_mean(n_temperatures, generator):
    model, log_prob = linear(generator)
    x = rows_from(model, 3, generator)
    log_weight, angles, streams, n_noise, _ = prepared(model, x)
    betas = temperatures(n_temperatures)
    found = annealed_log_weights(log_weight, angles, betas, streams.branches(range(4000)), n_noise)
    weights = torch.exp(found - log_prob(x).detach())
    if n_temperatures == 15:
        assert within(weights, torch.ones(3).double())
    # The log of a mean of few weights lies below, in the mean.
    low = estimate(found.view(10, 400, 3)).value - log_prob(x).detach()
    assert (low.mean(0) < 4 * low.std(0) / 20).all()


def test_from_exact_posterior_draws_backwards_weights_have_its_inverse(generator):
    model, log_prob = linear(generator)
    z = model.prior.sample(4000, generator=generator, like=model.scale)
    x = model.likelihood.sample(model.decoder(z), generator=generator).detach()
    log_weight, angles, streams, n_noise, parameters = prepared(model, x)
    noise = model.posterior.noise(z, parameters)
    betas = temperatures(15)[::-1]
    found = annealed_log_weights(log_weight, angles, betas, streams.branches(range(1)), n_noise, noise)
    assert within(torch.exp(found[0] + log_prob(x).detach()), torch.tensor(1.0).double())
    high = reverse_estimate(found).value - log_prob(x).detach()
    assert high.mean() > 0


@pytest.mark.parametrize("prior", ["normal", "uniform", "vamp"])
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_one_nonlinear_latent_variable_agrees_with_quadrature(prior, likelihood, generator):
    model = model_from(likelihood, prior=prior, n_components=1, generator=generator)
    x = rows_from(model, N_ROWS, generator)
    log_weight, angles, streams, n_noise, _ = prepared(model, x)
    found = estimate(annealed_log_weights(log_weight, angles, temperatures(150), streams.branches(range(64)), n_noise))
    exact = log_likelihood_by_quadrature(model, x)
    error = (found.upper - found.value) / 3
    assert ((found.value - exact).abs() < 4 * error + 1e-6).all()
    assert error.median() < 0.05


def test_the_sandwich_closes_at_good_settings(generator):
    model, log_prob = linear(generator)
    z = model.prior.sample(200, generator=generator, like=model.scale)
    x = model.likelihood.sample(model.decoder(z), generator=generator).detach()
    log_weight, angles, streams, n_noise, parameters = prepared(model, x)
    noise, chains, betas = model.posterior.noise(z, parameters), streams.branches(range(8)), temperatures(200)
    low = estimate(annealed_log_weights(log_weight, angles, betas, chains, n_noise)).value
    back = streams.branches(range(8, 16))
    high = reverse_estimate(annealed_log_weights(log_weight, angles, betas[::-1], back, n_noise, noise)).value
    exact = log_prob(x).detach()
    for bound, sign in ((low, -1), (high, 1)):
        gap = sign * (bound - exact)
        assert gap.mean() > -4 * gap.std() / 200**0.5
    assert 0 < (high - low).mean() < 0.1


def test_where_the_posterior_is_exact_every_weight_is_the_density():
    """Constant weights, the largest angles, and not one refusal."""
    keys = Streams(torch.arange(5))

    def log_weight(noise):
        return 2.0 + 0.0 * noise.sum(-1)

    angles = tuned_angles(log_weight, keys, 3)
    torch.testing.assert_close(angles, torch.full((len(GRID), 5), LARGEST_ANGLE).to(angles))
    found = annealed_log_weights(log_weight, angles, temperatures(7), keys.branches(range(4)), 3)
    torch.testing.assert_close(found, torch.full((4, 5), 2.0).double())


def test_angles_are_tuned_to_the_acceptance_that_is_best(generator):
    scale = torch.tensor([0.02, 0.1]).double()

    def log_weight(noise):
        return -0.5 * (noise / scale.unsqueeze(1)).square().sum(-1)

    keys = Streams(torch.arange(2))
    angles = tuned_angles(log_weight, keys, 20)
    path, source = NoisePath(log_weight, angles), keys.branches(range(200))
    state = hamiltonian.init(log_weight, scale.unsqueeze(1) * normal(200, 2, 20, generator=generator))
    shares = []
    for _ in range(10):
        state = path.step(1.0, state, source)
        shares.append(state.acceptance.mean(0))
    shares = torch.stack(shares[5:]).mean(0)
    assert ((shares > 0.4) & (shares < 0.9)).all()


def test_angles_between_the_grid_are_between_those_of_the_grid():
    angles = torch.linspace(0.3, 0.1, len(GRID)).unsqueeze(1).double()
    path = NoisePath(lambda noise: noise.sum(-1), angles)
    for beta, angle in zip(GRID, angles, strict=True):
        torch.testing.assert_close(path.angle(beta), angle)
    between = path.angle((GRID[3] + GRID[4]) / 2)
    torch.testing.assert_close(between, torch.sqrt(angles[3] * angles[4]))


def test_rows_and_chains_know_nothing_of_each_other(generator):
    model = model_from("gaussian", generator=generator)
    x = rows_from(model, 5, generator)

    def run(x, chains):
        log_weight, angles, streams, n_noise, _ = prepared(model, x)
        return annealed_log_weights(log_weight, angles, temperatures(10), streams.branches(chains), n_noise)

    whole = run(x, range(6))
    torch.testing.assert_close(torch.cat([run(x[:2], range(6)), run(x[2:], range(6))], 1), whole)
    torch.testing.assert_close(torch.cat([run(x, range(2)), run(x, range(2, 6))]), whole)


def test_the_path_has_the_normal_law_at_one_end_and_the_joint_density_at_the_other(generator):
    def log_weight(noise):
        return torch.sin(noise).sum(-1)

    position = normal(4, 2, generator=generator)
    path = NoisePath(log_weight, torch.full((len(GRID), 4), 0.1).double())
    state = hamiltonian.init(log_weight, position)
    torch.testing.assert_close(path.log_density(0.0, state), -0.5 * position.square().sum(-1))
    torch.testing.assert_close(path.log_density(1.0, state) - path.log_density(0.0, state), log_weight(position))
    torch.testing.assert_close(path.change(0.2, 0.9, state), 0.7 * log_weight(position))


def test_global_state_is_untouched(generator):
    model = model_from("gaussian", generator=generator)
    x = rows_from(model, 2, generator)
    before = process_state()
    log_weight, angles, streams, n_noise, _ = prepared(model, x)
    annealed_log_weights(log_weight, angles, temperatures(3), streams.branches(range(2)), n_noise)
    assert process_state() == before
    assert math.isfinite(angles.sum())
