"""The chains of :mod:`skgen.samplers.gibbs` on machines whose law is enumerated."""

import pytest
import torch

from skgen.samplers import gibbs
from tests.boltzmann import PAIRS, machine_from
from tests.oracles import process_state, within

ENUMERABLE = [(visible, hidden) for visible, hidden in PAIRS if visible != "gaussian" and hidden == "bernoulli"]
N_CHAINS = 20000


def four_by_four(visible, hidden, generator):
    return machine_from(visible, hidden, generator=generator, n_visible=4, n_hidden=4, size=1.5)


def visible_law(machine):
    states = machine.visible.states()
    return states, torch.softmax(-machine.free_energy(states), 0)


def conditionals(machine):
    """p(h | v), (visible states, hidden states), and p(v | h), transposed to it, from the energy."""
    v, h = machine.visible.states(), machine.hidden.states()
    joint = torch.stack([-machine.energy(v, row.expand(len(v), -1)) for row in h], 1)
    return torch.softmax(joint, 1), torch.softmax(joint, 0).T


def index_of(states, v):
    """The number of each row among some states."""
    return torch.cdist(v, states).argmin(1)


def frequencies(machine, v):
    return torch.nn.functional.one_hot(index_of(machine.visible.states(), v), machine.visible.n_states).double()


@pytest.mark.parametrize(("visible", "hidden"), ENUMERABLE)
def test_the_exact_law_is_invariant(visible, hidden, generator):
    with torch.no_grad():
        machine = four_by_four(visible, hidden, generator)
        _, law = visible_law(machine)
        to_hidden, to_visible = conditionals(machine)
        assert (law @ to_hidden @ to_visible - law).abs().sum() < 1e-12
        # Blocks are drawn with these conditional laws: units are independent, with the means of the machine.
        h_mean = to_hidden @ machine.hidden.states()
        v_mean = to_visible @ machine.visible.states()
        torch.testing.assert_close(machine.hidden_mean(machine.visible.states()), h_mean)
        torch.testing.assert_close(machine.visible_mean(machine.hidden.states()), v_mean)


@pytest.mark.parametrize(("visible", "hidden"), ENUMERABLE)
def test_a_step_from_a_state_has_the_transition_law(visible, hidden, generator):
    with torch.no_grad():
        machine = four_by_four(visible, hidden, generator)
        to_hidden, to_visible = conditionals(machine)
        for start in (0, machine.visible.n_states - 1):
            v = machine.visible.states()[start].expand(N_CHAINS, -1)
            state = gibbs.step(machine, gibbs.init(machine, v, generator), generator)
            assert within(frequencies(machine, state.v), (to_hidden @ to_visible)[start])


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_a_walk_goes_where_its_steps_go(visible, hidden):
    with torch.no_grad():
        machine = machine_from(visible, hidden, generator=torch.Generator().manual_seed(0))
        h = torch.zeros(7, machine.hidden.n_units).double()
        drawn = gibbs.walk(machine, h, 3, torch.Generator().manual_seed(1))
        generator = torch.Generator().manual_seed(1)
        state = gibbs.init(machine, machine.draw_visible(h, generator), generator)
        for _ in range(2):
            state = gibbs.step(machine, state, generator)
        assert torch.equal(drawn, state.v)


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_chains_that_have_the_law_keep_it(visible, hidden, generator):
    with torch.no_grad():
        machine = machine_from(visible, hidden, generator=generator, n_visible=4, n_hidden=4, size=0.5)
        state = gibbs.init(machine, torch.zeros(N_CHAINS, 4).double(), generator)
        for _ in range(60):
            state = gibbs.step(machine, state, generator)
        # E[v | h] and E[h | v] have the means of v and h, and phi(v) E[h | v]' has that of phi(v) h'.
        assert within(state.h - state.hidden_mean, 0.0)
        later = gibbs.step(machine, state, generator)
        assert within(later.v - machine.visible_mean(state.h), 0.0)
        assert within(later.v - state.v, 0.0)
        product = (state.v.unsqueeze(2) * state.h.unsqueeze(1)).flatten(1)
        assert within((later.v.unsqueeze(2) * later.h.unsqueeze(1)).flatten(1) - product, 0.0)
        if machine.visible.n_states is not None:
            assert within(frequencies(machine, later.v), visible_law(machine)[1])


@pytest.mark.parametrize(("visible", "hidden"), ENUMERABLE)
def test_clamped_chains_have_the_exact_conditional_law(visible, hidden, generator):
    with torch.no_grad():
        machine = four_by_four(visible, hidden, generator)
        states, law = visible_law(machine)
        clamp = torch.tensor([True, True, False, False])
        known = states[1]
        agrees = (states[:, clamp] == known[clamp]).all(1)
        conditional = torch.where(agrees, law, 0.0) / law[agrees].sum()
        _, to_visible = conditionals(machine)
        to_hidden = conditionals(machine)[0]
        # The transition of the free cells: v given h, with the known cells put back.
        restricted = torch.zeros_like(to_visible)
        restored = torch.where(clamp, known, states)
        restricted.index_add_(1, index_of(states, restored), to_visible)
        assert (conditional @ to_hidden @ restricted - conditional).abs().sum() < 1e-12
        state = gibbs.init(machine, known.expand(N_CHAINS, -1), generator)
        for _ in range(60):
            state = gibbs.step(machine, state, generator, clamp)
        assert (state.v[:, clamp] == known[clamp]).all()
        assert within(frequencies(machine, state.v), conditional)


def test_each_row_has_a_clamp_of_its_own(generator):
    with torch.no_grad():
        machine = four_by_four("bernoulli", "bernoulli", generator)
        v = (torch.rand(50, 4, generator=generator) < 0.5).double()
        clamp = torch.rand(50, 4, generator=generator) < 0.5
        state = gibbs.init(machine, v, generator)
        for _ in range(5):
            state = gibbs.step(machine, state, generator, clamp)
        assert torch.equal(state.v[clamp], v[clamp])
        assert not torch.equal(state.v, v)


def test_global_state_is_untouched(generator):
    before = process_state()
    with torch.no_grad():
        machine = four_by_four("bernoulli", "bernoulli", generator)
        gibbs.step(machine, gibbs.init(machine, torch.zeros(3, 4).double(), generator), generator)
    assert process_state() == before
