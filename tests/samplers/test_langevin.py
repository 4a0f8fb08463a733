"""The chains of :mod:`skgen.samplers.langevin`."""

import pytest
import torch

from skgen.samplers import langevin
from tests.oracles import process_state, within
from tests.parts import normal

N_CHAINS = 4000
MEAN = torch.tensor([1.0, -2.0]).double()
COVARIANCE = torch.tensor([[1.0, 0.6], [0.6, 2.0]]).double()


def gaussian(z):
    """log N(z; m, S) up to a constant."""
    deviation = z - MEAN
    return -0.5 * (deviation @ torch.linalg.inv(COVARIANCE) * deviation).sum(1)


def exact(generator):
    return MEAN + normal(N_CHAINS, 2, generator=generator) @ torch.linalg.cholesky(COVARIANCE).T


def moments(z):
    deviation = z - MEAN
    return torch.cat([z, deviation**2, deviation[:, :1] * deviation[:, 1:]], 1)


TRUE_MOMENTS = torch.cat([MEAN, COVARIANCE.diagonal(), COVARIANCE[0, 1:]])


@pytest.mark.parametrize("step_size", [0.3, 1.0, 2.0])
def test_a_normal_distribution_is_left_as_it_is(step_size, generator):
    state = langevin.init(gaussian, exact(generator), step_size)
    for _ in range(30):
        state = langevin.step(gaussian, state, generator=generator, adapt=False)
    assert within(moments(state.position), TRUE_MOMENTS)
    assert (state.step_size == step_size).all()


def test_chains_come_to_it_from_anywhere_with_step_sizes_of_their_own(generator):
    scale = torch.exp(normal(N_CHAINS, generator=generator)).unsqueeze(1)

    def scaled(z):
        return gaussian(MEAN + (z - MEAN) / scale)

    state = langevin.init(scaled, torch.zeros(N_CHAINS, 2).double(), 5.0)
    accepted = torch.zeros(N_CHAINS)
    for i in range(400):
        before = state.position
        state = langevin.step(scaled, state, generator=generator)
        if i >= 200:
            accepted += (state.position != before).any(1)
    assert within(moments(MEAN + (state.position - MEAN) / scale), TRUE_MOMENTS)
    assert abs(accepted.mean() / 200 - langevin.BEST_ACCEPTANCE) < 0.05
    # In units of the target, the step sizes agree.
    relative = torch.log(state.step_size / scale.squeeze(1))
    assert relative.std() < 0.25


def test_each_row_is_accepted_by_itself(generator):
    position = exact(generator)
    state = langevin.init(gaussian, position, 1.5)
    after = langevin.step(gaussian, state, generator=generator)
    moved = (after.position != position).any(1)
    assert 0 < moved.sum() < N_CHAINS
    value, gradient = gaussian(after.position), -(after.position - MEAN) @ torch.linalg.inv(COVARIANCE)
    torch.testing.assert_close(after.log_density, value)
    torch.testing.assert_close(after.gradient, gradient)


def test_proposals_outside_the_domain_are_turned_down(generator):
    def positive(z):
        return torch.where(z[:, 0] > 0, -z[:, 0], torch.nan)

    state = langevin.init(positive, torch.full((N_CHAINS, 1), 0.7).double(), 1.0)
    for _ in range(60):
        state = langevin.step(positive, state, generator=generator, adapt=False)
        assert (state.position > 0).all()
    assert within(torch.cat([state.position, state.position**2], 1), torch.tensor([1.0, 2.0]).double())


def test_chains_go_on_where_the_density_has_changed(generator):
    state = langevin.init(gaussian, exact(generator))
    renewed = langevin.renew(lambda z: 2 * gaussian(z), state)
    assert torch.equal(renewed.position, state.position)
    torch.testing.assert_close(renewed.log_density, 2 * state.log_density)
    torch.testing.assert_close(renewed.gradient, 2 * state.gradient)


def test_global_state_is_untouched(generator):
    before = process_state()
    langevin.step(gaussian, langevin.init(gaussian, exact(generator)), generator=generator)
    assert process_state() == before
