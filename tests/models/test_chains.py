"""The chains of :mod:`skgen.models.chains`, against exact posteriors."""

import pytest
import torch

from skgen.distributions.streams import Streams, row_keys
from skgen.models.chains import KERNELS, posterior_draws, warm_beta
from tests.oracles import process_state, within
from tests.parts import REAL_PRIOR_SPECS, model_from, normal, rows_from

N_STEPS = {"hmc": 60, "langevin": 240}
kernels = pytest.mark.parametrize("kernel", KERNELS)


def drawn(model, x, seed=0, **options):
    """Draws of z of standardised rows, (draws, rows, components)."""
    parameters = model.requires_grad_(False).encode(x)

    def log_weight(noise):
        return model.terms_given(parameters, x, noise).log_weight

    noise = posterior_draws(log_weight, Streams(row_keys(x, seed)), model.posterior.n_noise, **options)
    return model.posterior.draw(parameters, noise).z


@kernels
@pytest.mark.parametrize("posterior", ["diagonal", "full"])
def test_draws_have_the_moments_of_the_posterior_of_a_linear_gaussian_model(kernel, posterior, generator):
    """From an encoder that is wrong; last states of chains are independent."""
    model = model_from("gaussian", posterior=posterior, n_features=4, hidden=(), generator=generator)
    x = rows_from(model, 3, generator)
    loading, offset = (part.detach() for part in model.decoder.head)
    scaled = loading.T / model.likelihood.noise_variance().detach().unsqueeze(-1)
    covariance = torch.linalg.inv(torch.eye(2).double() + loading @ scaled)
    deviation = drawn(model, x, n_steps=N_STEPS[kernel], n_chains=3000, kernel=kernel, n_kept=1) - (
        (x - offset) @ scaled @ covariance
    )
    assert within(deviation, torch.zeros(2).double())
    assert within(deviation.unsqueeze(-1) * deviation.unsqueeze(-2), covariance)


def two_modes(noise):
    """A log-weight with which the law is a mixture of N(-1.5, 0.5^2) with weight 0.3 and N(1, 0.6^2) with 0.7."""
    places, scales, shares = torch.tensor([[-1.5, 1.0], [0.5, 0.6], [0.3, 0.7]]).double()
    joint = -0.5 * ((noise - places) / scales).square() + torch.log(shares / scales)
    return torch.logsumexp(joint, -1) + 0.5 * noise.squeeze(-1).square()


@kernels
def test_chains_divide_among_two_modes_as_a_grid_does(kernel):
    streams = Streams(torch.arange(2))
    noise = posterior_draws(two_modes, streams, 1, n_steps=N_STEPS[kernel], n_chains=3000, kernel=kernel, n_kept=1)
    grid = torch.linspace(-6, 6, 24001).double().unsqueeze(-1)
    density = torch.softmax(two_modes(grid) - 0.5 * grid.square().squeeze(-1), 0)
    for edge in (-2.0, -1.5, -1.0, -0.3, 0.0, 0.5, 1.0, 1.6):
        assert within((noise < edge).double(), density[grid.squeeze(-1) < edge].sum())


@kernels
@pytest.mark.parametrize("spec", REAL_PRIOR_SPECS)
def test_one_latent_variable_has_the_mean_that_quadrature_finds(kernel, spec, generator):
    model = model_from("bernoulli", prior=spec, n_components=1, hidden=(4,), generator=generator)
    x = rows_from(model, 2, generator)
    grid = torch.linspace(-9, 9, 6001).double().view(-1, 1, 1)
    y = model.posterior.draw(torch.zeros(1, 2).double(), grid)
    with torch.no_grad():
        joint = model.log_likelihood(y.z, x) + model.prior.log_prob(y.z) - y.log_prob - 0.5 * grid.square().squeeze(-1)
    mean = (torch.softmax(joint, 0).unsqueeze(-1) * y.z).sum(0)
    assert within(drawn(model, x, n_steps=N_STEPS[kernel], n_chains=1000, kernel=kernel, n_kept=1), mean)


def narrow(noise):
    """A log-weight far narrower than the normal law and far from its mean."""
    return -0.5 * ((noise - 2.0) / 0.05).square().sum(-1)


@kernels
def test_few_chains_come_to_a_narrow_law_far_off_and_move_there(kernel):
    options = {"n_steps": 4 * N_STEPS[kernel], "n_chains": 4, "kernel": kernel}
    noise = posterior_draws(narrow, Streams(torch.arange(200)), 5, **options)
    variance = 1 / (1 + 0.05**-2)
    mean = 2.0 * 0.05**-2 * variance
    rows = noise.mean(0)
    assert within(rows, torch.full((5,), mean).double())
    assert within((noise - mean).square().mean(0), torch.full((5,), variance).double())
    moved = (noise.view(-1, 4, 200, 5).diff(dim=0) != 0).any(-1).double().mean()
    assert abs(moved - KERNELS[kernel].best_acceptance) < 0.1


@kernels
def test_where_q_is_exact_draws_are_those_of_the_normal_law(kernel):
    noise = posterior_draws(
        lambda e: 0.0 * e.sum(-1), Streams(torch.arange(3)), 2, n_steps=10, n_chains=3000, kernel=kernel, n_kept=1
    )
    assert within(noise, torch.zeros(3, 2).double())
    assert within(noise.square(), torch.ones(3, 2).double())


@kernels
def test_rows_know_nothing_of_each_other(kernel, generator):
    model = model_from("gaussian", prior="mixture", generator=generator)
    x = rows_from(model, 6, generator)
    options = {"n_steps": 40, "n_chains": 5, "kernel": kernel, "n_kept": 4}
    together = drawn(model, x, **options)
    assert together.shape == (20, 6, 2)
    for i in range(6):
        torch.testing.assert_close(drawn(model, x[i : i + 1], **options)[:, 0], together[:, i], rtol=1e-9, atol=1e-9)
    order = torch.randperm(6, generator=generator)
    torch.testing.assert_close(drawn(model, x[order], **options), together[:, order], rtol=1e-9, atol=1e-9)
    assert not torch.allclose(drawn(model, x, seed=1, **options), together)


def test_kept_states_are_evenly_spaced_and_end_with_the_last():
    options = {"n_steps": 25, "n_chains": 3}
    keys = Streams(torch.arange(2))
    whole = posterior_draws(narrow, keys, 1, **options).view(13, 3, 2, 1)
    for n_kept, places in ((1, [12]), (2, [6, 12]), (3, [4, 8, 12]), (13, range(13))):
        some = posterior_draws(narrow, keys, 1, n_kept=n_kept, **options).view(n_kept, 3, 2, 1)
        assert torch.equal(some, whole[list(places)])


@pytest.mark.parametrize("n_kept", [0, 6])
def test_more_states_than_there_are_cannot_be_kept(n_kept):
    with pytest.raises(ValueError, match=r"n_kept=.* of the 5 states .* n_steps=10: keep from 1 to 5"):
        posterior_draws(narrow, Streams(torch.arange(2)), 1, n_steps=10, n_chains=1, n_kept=n_kept)


def test_a_single_step_is_allowed():
    found = posterior_draws(narrow, Streams(torch.arange(2)), 1, n_steps=1, n_chains=3)
    assert found.shape == (3, 2, 1)


def test_warming_ends_at_the_law_itself():
    powers = [warm_beta(i, 20) for i in range(20)]
    assert powers == sorted(powers)
    assert 0 < powers[0] < 0.05
    assert powers[4:] == [1.0] * 16


def test_single_precision_stays(generator):
    model = model_from("gaussian", generator=generator).float()
    x = normal(3, 3, generator=generator, dtype=torch.float32)
    assert drawn(model, x, n_steps=4, n_chains=2, dtype=torch.float32).dtype == torch.float32


def test_global_state_is_untouched(generator):
    model = model_from("gaussian", generator=generator)
    x, before = rows_from(model, 2, generator), process_state()
    drawn(model, x, n_steps=4, n_chains=2)
    assert process_state() == before
