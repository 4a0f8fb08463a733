"""Machines of :mod:`skgen.models.energy` against enumeration and quadrature."""

import pytest
import torch

from tests.boltzmann import PAIRS, grid, machine_from, states_from


def small(visible, hidden, generator, **parameters):
    return machine_from(visible, hidden, generator=generator, n_visible=4, n_hidden=2, **parameters)


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_the_free_energy_sums_the_joint_law_over_hidden_states(visible, hidden, generator):
    machine = small(visible, hidden, generator)
    h, log_weight = grid(machine.hidden, 2, n_nodes=141)
    v = states_from(machine.visible, 5, generator)
    free = [-torch.logsumexp(log_weight - machine.energy(row.expand(len(h), -1), h), 0) for row in v]
    torch.testing.assert_close(machine.free_energy(v), torch.stack(free), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(machine.free_energy(v, machine.coupled(v)), machine.free_energy(v))
