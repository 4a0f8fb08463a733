"""The chains of :mod:`skgen.samplers.hamiltonian`."""

import math

import pytest
import torch
from torch.func import jacrev

from skgen.distributions.streams import Streams, row_keys
from skgen.samplers import hamiltonian
from tests.oracles import process_state, within
from tests.parts import normal

N_CHAINS = 4000
MEAN = torch.tensor([0.7, -0.4]).double()
PRECISION = torch.tensor([[3.0, 1.0], [1.0, 1.5]]).double()


def quadratic(z):
    """A log-weight that is quadratic: the law is normal at every power of it."""
    deviation = z - MEAN
    return -0.5 * (deviation @ PRECISION * deviation).sum(-1)


def law(beta):
    """Mean and covariance of N(z; 0, I) w(z)^beta."""
    covariance = torch.linalg.inv(torch.eye(2).double() + beta * PRECISION)
    return covariance @ (beta * PRECISION @ MEAN), covariance


def exact(beta, generator):
    mean, covariance = law(beta)
    return mean + normal(N_CHAINS, 2, generator=generator) @ torch.linalg.cholesky(covariance).T


def streams(n_chains=N_CHAINS, seed=0):
    return Streams(row_keys(torch.arange(float(n_chains)).double().unsqueeze(1), seed))


def moments(z, beta):
    mean, covariance = law(beta)
    deviation = z - mean
    found = torch.cat([deviation, deviation**2, deviation[:, :1] * deviation[:, 1:]], 1)
    return found, torch.cat([torch.zeros(2).double(), covariance.diagonal(), covariance[0, 1:]])


@pytest.mark.parametrize("beta", [0.3, 1.0])
@pytest.mark.parametrize("angle", [0.1, 0.4, 0.9])
def test_the_law_is_left_as_it_is(beta, angle, generator):
    state, source = hamiltonian.init(quadratic, exact(beta, generator)), streams()
    for _ in range(10):
        state = hamiltonian.step(quadratic, state, beta, torch.tensor(angle).double(), streams=source)
    assert within(*moments(state.position, beta))


def test_chains_come_to_it_from_anywhere():
    state, source = hamiltonian.init(quadratic, torch.full((N_CHAINS, 2), 3.0).double()), streams()
    for _ in range(60):
        state = hamiltonian.step(quadratic, state, 1.0, torch.tensor(0.3).double(), streams=source)
    assert within(*moments(state.position, 1.0))


def test_the_flow_runs_back_when_the_momentum_is_turned_and_keeps_volumes(generator):
    def curved(z):
        return torch.sin(3 * z).sum(-1) - 0.1 * z.pow(4).sum(-1)

    angle = torch.full((5, 1), 0.2).double()
    start, momentum = normal(5, 2, generator=generator), normal(5, 2, generator=generator)
    there, last = hamiltonian.leapfrog(curved, hamiltonian.init(curved, start), momentum, 0.8, angle, 7)
    back, first = hamiltonian.leapfrog(curved, there, -last, 0.8, angle, 7)
    torch.testing.assert_close(back.position, start)
    torch.testing.assert_close(first, -momentum)

    def gradient(z):
        return 3 * torch.cos(3 * z) - 0.4 * z.pow(3)

    def one_step(both):
        z, p = both.chunk(2)
        p = p + 0.5 * 0.8 * 0.2 * gradient(z)
        z, p = math.cos(0.2) * z + math.sin(0.2) * p, math.cos(0.2) * p - math.sin(0.2) * z
        return torch.cat([z, p + 0.5 * 0.8 * 0.2 * gradient(z)])

    both = torch.cat([start[0], momentum[0]])
    step, last = hamiltonian.leapfrog(curved, hamiltonian.init(curved, start), momentum, 0.8, angle, 1)
    torch.testing.assert_close(one_step(both), torch.cat([step.position[0], last[0]]))
    torch.testing.assert_close(torch.linalg.det(jacrev(one_step)(both)), torch.tensor(1.0).double())


def test_errors_of_the_energy_fall_with_the_square_of_the_angle(generator):
    start, momentum = exact(1.0, generator), normal(N_CHAINS, 2, generator=generator)

    def energy(state, momentum):
        return -0.5 * (state.position.square() + momentum.square()).sum(-1) + state.log_weight

    state, errors = hamiltonian.init(quadratic, start), []
    for n_leapfrog in (10, 20, 40):
        angle = torch.tensor([[1.0 / n_leapfrog]]).double()
        end, last = hamiltonian.leapfrog(quadratic, state, momentum, 1.0, angle, n_leapfrog)
        errors.append((energy(end, last) - energy(state, momentum)).abs().mean())
    assert 3.5 < errors[0] / errors[1] < 4.5
    assert 3.8 < errors[1] / errors[2] < 4.2


def test_a_constant_weight_refuses_nothing_and_a_quarter_turn_forgets_the_start(generator):
    def constant(z):
        return 0.0 * z.sum(-1)

    start = normal(N_CHAINS, 2, generator=generator)
    angle = torch.tensor(hamiltonian.QUARTER_TURN / 5).double()
    after = hamiltonian.step(constant, hamiltonian.init(constant, start), 1.0, angle, streams=streams())
    assert (after.acceptance > 1 - 1e-12).all()
    # The angle varies by a fifth at most about the quarter turn, evenly: what is left of the start is 0 in the mean.
    assert within((after.position * start), torch.zeros(2).double())


def test_each_chain_is_moved_by_itself(generator):
    start, angle = exact(1.0, generator)[:6], torch.linspace(0.1, 1.2, 6).double()
    whole = hamiltonian.step(quadratic, hamiltonian.init(quadratic, start), 1.0, angle, streams=streams(6))
    for k in range(6):
        one = hamiltonian.init(quadratic, start[k : k + 1])
        source = Streams(streams(6).keys[k : k + 1])
        alone = hamiltonian.step(quadratic, one, 1.0, angle[k : k + 1], streams=source)
        torch.testing.assert_close(alone.position[0], whole.position[k])


def test_proposals_outside_the_domain_are_turned_down():
    def positive(z):
        return torch.where(z[..., 0] > 0, 0.0 * z[..., 0], torch.nan)

    state, source = hamiltonian.init(positive, torch.full((N_CHAINS, 1), 0.7).double()), streams()
    for _ in range(40):
        state = hamiltonian.step(positive, state, 1.0, torch.tensor(0.3).double(), streams=source)
        assert (state.position > 0).all()
    expected = torch.tensor([math.sqrt(2 / math.pi), 1.0]).double()
    assert within(torch.cat([state.position, state.position**2], 1), expected)


def test_global_state_is_untouched(generator):
    before = process_state()
    state = hamiltonian.init(quadratic, exact(1.0, generator))
    hamiltonian.step(quadratic, state, 1.0, torch.tensor(0.3).double(), streams=streams())
    assert process_state() == before
