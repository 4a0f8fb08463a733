"""Small deep belief networks, and what enumeration says of them."""

import torch

from skgen.models.deep_belief import DeepBeliefNetwork, visible_log_prob
from skgen.training.flat import FlatParameters
from tests.boltzmann import machine_from, states_from
from tests.oracles import every_row

SIZES = {"two": (4, 3, 2), "three": (4, 3, 2, 3)}


def network_from(generator, sizes=SIZES["two"], visible="bernoulli", *, tied=False):
    """A network with random parameters, both directions on their own unless ``tied``."""
    kinds = [visible] + ["bernoulli"] * (len(sizes) - 2)
    machines = [
        machine_from(kind, "bernoulli", generator=generator, n_visible=below, n_hidden=above)
        for kind, below, above in zip(kinds, sizes, sizes[1:], strict=False)
    ]
    network = DeepBeliefNetwork.stacked(machines)
    if not tied:
        for machine in network.generation:
            for parameter in machine.parameters():
                parameter.data.add_(0.5 * torch.randn(parameter.shape, dtype=torch.float64, generator=generator))
    FlatParameters(network)
    return network


def every_state(network):
    """Uniforms that draw each joint state of the hidden units once, and those states layer by layer."""
    joint = every_row((0.0, 1.0), sum(network.n_drawn))
    states = list(joint.split(network.n_drawn, 1))
    return [1 - state.unsqueeze(1) for state in states], states


def posterior(network, v):
    """q(h | v) at every joint state, (states, rows)."""
    _, states = every_state(network)
    total = torch.ones(len(states[0]), len(v), dtype=torch.float64)
    below = v.expand(len(total), *v.shape)
    for machine, state in zip(network.recognition, states, strict=True):
        mean = torch.stack([machine.hidden_mean(rows) for rows in below])
        total *= torch.where(state.unsqueeze(1) == 1, mean, 1 - mean).prod(-1)
        below = state.unsqueeze(1).expand(-1, len(v), -1)
    return total


def log_partition(network):
    return torch.logsumexp(-network.top.free_energy(network.top.visible.states()), 0)


def log_likelihood(network, v):
    """log p(v) by enumeration of all hidden layers."""
    _, states = every_state(network)
    values = []
    for row in v:
        below, total = row.expand(len(states[0]), -1), 0.0
        for machine, state in zip(network.generation, states, strict=True):
            total = total + visible_log_prob(machine, below, state)
            below = state
        values.append(torch.logsumexp(total - network.top.free_energy(below), 0))
    return torch.stack(values) - log_partition(network)


def exact_bound(network, v):
    """The variational bound, with q enumerated."""
    log_weights = network.log_weights(v, every_state(network)[0])
    return (posterior(network, v) * log_weights).sum(0) - log_partition(network)


def rows_of(network, n_rows, generator):
    return states_from(network.bottom.visible, n_rows, generator)
