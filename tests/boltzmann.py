"""Small Boltzmann machines, and what enumeration and quadrature say of them."""

import itertools

import numpy as np
import torch

from skgen.models.energy import RestrictedBoltzmannMachine
from skgen.units import HIDDEN_UNITS, VISIBLE_UNITS, ReluUnits
from tests.parts import normal

PAIRS = [(visible, hidden) for visible in VISIBLE_UNITS for hidden in HIDDEN_UNITS]
BLOCKS = {8: (3, 2, 3), 4: (2, 2), 3: (3,), 2: (2,), 1: (1,), 5: (2, 3)}
"""Numbers of categories whose one-hot columns are so many."""


def layer(table, name, n_units):
    """Units of a table; categories are those of ``BLOCKS``."""
    return table[name](BLOCKS[n_units] if name == "categorical" else n_units)


def machine_from(visible, hidden, *, generator, n_visible=8, n_hidden=4, size=0.7, **parameters):
    """A machine in float64 with random parameters, normalizable, and with zero gradients in place."""
    machine = RestrictedBoltzmannMachine(
        layer(VISIBLE_UNITS, visible, n_visible), layer(HIDDEN_UNITS, hidden, n_hidden), **parameters
    ).double()
    for parameter in machine.parameters():
        parameter.data.copy_(size * normal(*parameter.shape, generator=generator))
        parameter.grad = torch.zeros_like(parameter)
    if not machine.is_normalizable():
        machine.weight.data.mul_(0.8 / torch.linalg.matrix_norm(machine.weight.data, 2))
    return machine


def states_from(units, n_rows, generator):
    """Rows of possible states of a layer, none of them special."""
    return units.draw(normal(n_rows, units.n_units, generator=generator), generator)


def nodes(units, *, limit=14.0, n_nodes=401):
    """Every state of one unit or block with the logarithm of its weight in an integral, (n, columns) and (n,).

    The trapezoidal rule on the real line and that of Gauss and Legendre on the half-line converge exponentially.
    """
    if units.n_states is not None:
        states = units.states()
        return states, states.new_zeros(len(states))
    if isinstance(units, ReluUnits):
        x, weight = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(n_nodes))
        return limit * (1 + x.unsqueeze(1)) / 2, (weight * limit / 2).log()
    x = torch.linspace(-limit, limit, n_nodes, dtype=torch.float64)
    return x.unsqueeze(1), torch.full_like(x, float(x[1] - x[0])).log()


def grid(units, n_columns, **quadrature):
    """Every state of a layer, or a grid of them, with the logarithms of their weights in a sum or integral."""
    if units.n_states is not None:
        states = units.states()
        return states, states.new_zeros(len(states))
    x, log_weight = nodes(units, **quadrature)
    states = torch.tensor(list(itertools.product(x[:, 0].tolist(), repeat=n_columns)), dtype=torch.float64)
    weights = torch.tensor(list(itertools.product(log_weight.tolist(), repeat=n_columns)), dtype=torch.float64)
    return states, weights.sum(1)
