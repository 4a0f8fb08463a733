"""The replicas of :mod:`skgen.samplers.tempering` against the exact law of a small ladder."""

import math

import pytest
import torch

from skgen.models.partition import TemperedPath
from skgen.samplers import tempering
from skgen.samplers.annealed import Path
from tests.boltzmann import machine_from
from tests.oracles import process_state, within
from tests.parts import normal

BETAS = torch.tensor([0.0, 0.5, 1.0]).double()
N_STATES = 16


@pytest.fixture
def machine(generator):
    return machine_from("bernoulli", "bernoulli", generator=generator, n_visible=4, n_hidden=4, size=1.5)


@pytest.fixture
def path(machine):
    return TemperedPath(machine, torch.tensor([0.5, -0.5, 0.2, 0.0]).double())


class WrongPath(TemperedPath):
    """One whose exchanges take beta times the free energy at 1 for the free energy at beta."""

    def change(self, old, new, x):
        return -(new - old) * self.machine.free_energy(x.v)


class Wells(Path):
    """Two normal wells that a random walk seldom leaves at temperature 1."""

    def log_density(self, beta, x):
        wells = torch.logaddexp(-0.5 * ((x[:, 0] - 6) / 0.5) ** 2, -0.5 * ((x[:, 0] + 6) / 0.5) ** 2)
        return beta * wells - (1 - beta) * 0.5 * (x[:, 0] / 6) ** 2

    def step(self, beta, x, generator):
        proposal = x + normal(*x.shape, generator=generator)
        chance = torch.exp((self.log_density(beta, proposal) - self.log_density(beta, x)).clamp_max(0))
        accepted = torch.empty_like(chance).uniform_(generator=generator) < chance
        return torch.where(accepted.unsqueeze(1), proposal, x)


def laws(machine, path):
    """Probabilities of the visible states, (n_temperatures, N_STATES)."""
    v = machine.visible.states()
    joint = torch.stack([-path.at(float(beta)).free_energy(v) for beta in BETAS])
    return torch.softmax(joint, 1).detach()


def gibbs_matrices(machine, path):
    """Chances to go from one visible state to another by a step at each temperature."""
    v, h = machine.visible.states(), machine.hidden.states()
    matrices = []
    for beta in BETAS:
        at = path.at(float(beta))
        up, down = at.hidden_mean(v).detach(), at.visible_mean(h).detach()
        to_h = torch.prod(torch.where(h.bool(), up.unsqueeze(1), 1 - up.unsqueeze(1)), -1)
        to_v = torch.prod(torch.where(v.bool(), down.unsqueeze(1), 1 - down.unsqueeze(1)), -1)
        matrices.append(to_h @ to_v)
    return matrices


def ladder_states():
    """Numbers of the visible states of all replicas, (N_STATES^3, 3)."""
    return torch.cartesian_prod(*[torch.arange(N_STATES)] * 3)


def exchange_matrix(machine, path, turn):
    """Chances to go from one state of the ladder to another by the exchanges of a turn."""
    numbers, partner = ladder_states(), tempering.partners(3, turn)
    v = machine.visible.states()[numbers.t().flatten()]
    log_ratio = tempering.exchange_log_ratio(path, path.state(v), BETAS, partner).detach()
    chance = torch.exp(log_ratio.clamp_max(0))
    pair = int(torch.nonzero(partner != torch.arange(3))[0])
    place = (numbers[:, partner] * torch.tensor([N_STATES**2, N_STATES, 1])).sum(1)
    matrix = torch.diag(1 - chance[pair])
    return matrix.index_put((torch.arange(len(numbers)), place), chance[pair], accumulate=True)


def after_two_steps(law, machine, path):
    """The law of the ladder after a turn of each kind, (N_STATES^3,)."""
    matrices = gibbs_matrices(machine, path)
    for turn in (0, 1):
        law = torch.einsum("abc,ai,bj,ck->ijk", law.view([N_STATES] * 3), *matrices).flatten()
        law = law @ exchange_matrix(machine, path, turn)
    return law


def total_variation(a, b):
    return 0.5 * float((a - b).abs().sum())


def test_the_product_of_the_laws_is_left_as_it_is(machine, path):
    law = torch.einsum("a,b,c->abc", *laws(machine, path)).flatten()
    assert total_variation(after_two_steps(law, machine, path), law) < 1e-12


def test_multiples_of_the_free_energy_at_1_would_change_it(machine, path):
    law = torch.einsum("a,b,c->abc", *laws(machine, path)).flatten()
    wrong = WrongPath(machine, path.base_bias)
    assert total_variation(after_two_steps(law, machine, wrong), law) > 0.05


def test_steps_are_those_of_the_transition_matrix(machine, path, generator):
    # From one state of the ladder, the law after two steps is known in full.
    n, start = 40_000, torch.tensor([3, 12, 9])
    law = torch.zeros(N_STATES**3).double()
    law[(start * torch.tensor([N_STATES**2, N_STATES, 1])).sum()] = 1.0
    expected = after_two_steps(law, machine, path).view([N_STATES] * 3)
    v = machine.visible.states()
    with torch.no_grad():
        state = tempering.init(path.state(v[start.repeat_interleave(n)]), BETAS)
        for _ in range(2):
            state = tempering.step(path, state, generator)
    numbers = (state.x.v @ torch.tensor([1.0, 2.0, 4.0, 8.0]).double()).long().view(3, n)
    torch.testing.assert_close(v[numbers.flatten()], state.x.v)
    for replica, others in enumerate([(1, 2), (0, 2), (0, 1)]):
        found = torch.nn.functional.one_hot(numbers[replica], N_STATES).double()
        assert within(found, expected.sum(others))
    same = (numbers[0] == numbers[1]).double()
    assert within(same, torch.einsum("iij->", expected))


def test_what_belongs_to_a_state_moves_with_it(machine, path, generator):
    with torch.no_grad():
        state = tempering.init(path.draw(30, generator), BETAS)
        for _ in range(5):
            state = tempering.step(path, state, generator)
        torch.testing.assert_close(state.x.coupled, machine.coupled(state.x.v))
    cold = tempering.coldest(state)
    assert torch.equal(cold.v, state.x.v[-10:])
    assert torch.equal(cold.coupled, state.x.coupled[-10:])


def test_acceptances_are_the_expected_ones(machine, path, generator):
    law = laws(machine, path)
    v = machine.visible.states()
    with torch.no_grad():
        density = torch.stack([path.log_density(float(beta), path.state(v)) for beta in BETAS])
    expected = []
    for k in (0, 1):
        gain = density[k + 1] - density[k]
        expected.append((law[k].unsqueeze(1) * law[k + 1] * torch.exp(gain.unsqueeze(1) - gain).clamp_max(1)).sum())
    numbers = torch.stack([torch.multinomial(each, 20_000, replacement=True, generator=generator) for each in law])
    with torch.no_grad():
        state = tempering.init(path.state(v[numbers.flatten()]), BETAS)
        for _ in range(10):
            state = tempering.step(path, state, generator)
    assert state.offered.tolist() == [5, 5]
    # A mean of 10^5 chances, each between 0 and 1, has a standard error of 0.0016 at most.
    assert (tempering.acceptance(state) - torch.stack(expected)).abs().max() < 5 * 0.0016


@pytest.mark.parametrize("n", [1, 2, 3, 6, 7])
def test_in_two_turns_all_neighbours_are_paired_once(n):
    pairs = [tempering.partners(n, turn) for turn in (4, torch.tensor(5))]
    for partner in pairs:
        assert torch.equal(partner[partner], torch.arange(n))
    met = sorted((k, int(p)) for partner in pairs for k, p in enumerate(partner) if p > k)
    assert met == [(k, k + 1) for k in range(n - 1)]


def acceptances(path, betas, generator, *, n_ladders=200, n_steps=100):
    state = tempering.init(6 * normal(n_ladders * len(betas), 1, generator=generator), betas)
    for _ in range(n_steps):
        state = tempering.step(path, state, generator)
    return tempering.acceptance(state)


def test_a_ladder_adapts_to_acceptances_from_3_to_5_tenths(generator):
    betas = torch.tensor([0.0, 0.8, 0.9, 1.0]).double()
    before = acceptances(Wells(), betas, generator)
    assert not ((before > 0.3) & (before < 0.5)).all()
    for _ in range(4):
        chance = acceptances(Wells(), betas, generator)
        betas = tempering.ladder(betas, chance)
    chance = acceptances(Wells(), betas, generator)
    assert ((chance > 0.3) & (chance < 0.5)).all()
    assert betas[0] == 0
    assert betas[-1] == 1
    assert (betas.diff() > 0).all()


def test_normal_energies_get_the_ladder_of_theory():
    # With acceptances 2 Phi(-c (difference of betas)), equal distances are equal differences.
    betas = torch.tensor([0.0, 0.1, 0.5, 1.0]).double()
    best = -torch.special.ndtri(torch.tensor(0.2).double())
    chance = 2 * torch.special.ndtr(-6 * best * betas.diff())
    torch.testing.assert_close(tempering.ladder(betas, chance), torch.linspace(0, 1, 7).double())
    torch.testing.assert_close(tempering.ladder(betas, chance, 4), torch.linspace(0, 1, 4).double())


def test_extreme_and_unknown_acceptances_give_a_ladder_all_the_same():
    betas = torch.tensor([0.0, 0.5, 1.0]).double()
    for chance in ([0.0, 0.0], [1.0, 1.0], [math.nan, 0.4]):
        new = tempering.ladder(betas, torch.tensor(chance).double())
        assert new[0] == 0
        assert new[-1] == 1
        assert (new.diff() > 0).all()


def test_replicas_move_to_the_nearest_temperature_of_a_new_ladder():
    x = torch.arange(6.0).unsqueeze(1)
    state = tempering.init(x, BETAS)._replace(n_steps=torch.tensor(3), offered=torch.ones(2))
    new = tempering.moved(state, torch.tensor([0.0, 0.2, 0.4, 1.0]).double())
    assert new.x.flatten().tolist() == [0, 1, 0, 1, 2, 3, 4, 5]
    assert new.offered.tolist() == [0, 0, 0]
    assert new.n_steps == 3


def test_cold_replicas_cross_between_wells_that_hold_a_single_chain(generator):
    betas = torch.tensor([0.0, 0.02, 0.06, 0.16, 0.4, 1.0]).double()
    right = torch.full((300 * len(betas), 1), 6.0).double()
    state, alone = tempering.init(right, betas), tempering.init(right[:300], betas[-1:])
    for _ in range(300):
        state = tempering.step(Wells(), state, generator)
        alone = tempering.step(Wells(), alone, generator)
    assert within((tempering.coldest(state) > 0).double(), torch.tensor(0.5).double())
    assert (tempering.coldest(alone) > 0).all()


def test_states_of_single_precision_stay_so(machine, path, generator):
    single = TemperedPath(machine.float(), path.base_bias.float())
    with torch.no_grad():
        state = tempering.step(single, tempering.init(single.draw(30, generator), BETAS), generator)
    assert state.x.v.dtype == state.x.coupled.dtype == torch.float32
    assert state.accepted.dtype == torch.float64


def test_rows_that_do_not_divide_among_temperatures_are_refused():
    with pytest.raises(ValueError, match="7 rows do not divide among 3 temperatures"):
        tempering.init(torch.zeros(7, 1), BETAS)


def test_global_state_is_untouched(path, generator):
    before = process_state()
    with torch.no_grad():
        tempering.step(path, tempering.init(path.draw(6, generator), BETAS), generator)
    assert process_state() == before
