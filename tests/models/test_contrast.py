"""Gradients of :mod:`skgen.models.contrast` against those of exact log-likelihoods."""

import pytest
import torch

from skgen.models.contrast import Phase
from skgen.training.flat import FlatParameters
from tests.boltzmann import PAIRS, grid, machine_from, states_from
from tests.oracles import central_differences
from tests.parts import normal

SIZES = {True: (8, 4), False: (2, 2)}
"""Visible and hidden units where the visible ones can be enumerated, and where they are put on a grid."""


def small(visible, hidden, generator, **parameters):
    n_visible, n_hidden = SIZES[visible != "gaussian"]
    return machine_from(
        visible, hidden, generator=generator, n_visible=n_visible, n_hidden=n_hidden, size=0.4, **parameters
    )


def visible_grid(machine):
    return grid(machine.visible, machine.visible.n_units, limit=6.0, n_nodes=49)


def loss(machine, x, weight=None):
    """Minus the mean log-likelihood, with the law restricted to the grid where visible units are real."""
    v, log_weight = visible_grid(machine)
    log_partition = torch.logsumexp(log_weight - machine.free_energy(v), 0)
    values = machine.free_energy(x) + log_partition
    return (values if weight is None else weight * values).mean()


@torch.no_grad()
def exact_gradient(machine, flat, x, weight=None, centers=None):
    """What contrasts with single states of the machine add up to, each with its probability."""
    v, log_weight = visible_grid(machine)
    log_p = log_weight - machine.free_energy(v)
    probability = torch.exp(log_p - torch.logsumexp(log_p, 0))
    total, positive = torch.zeros_like(flat.gradient), Phase(x, machine.hidden_mean(x))
    for state, share in zip(v.unsqueeze(1), probability, strict=True):
        flat.gradient.zero_()
        machine.contrast(positive, Phase(state, machine.hidden_mean(state)), weight, centers)
        total += share * flat.gradient
    return total


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_with_exact_states_of_the_machine_the_gradient_is_that_of_the_log_likelihood(
    visible, hidden, weighted, generator
):
    machine = small(visible, hidden, generator)
    flat = FlatParameters(machine)
    x = states_from(machine.visible, 6, generator)
    weight = torch.rand(6, generator=generator, dtype=torch.float64) if weighted else None
    gradient = exact_gradient(machine, flat, x, weight)
    inside = torch.zeros_like(flat.value)
    for parameter in machine.parameters():
        parameter.grad.fill_(1)
    inside.copy_(flat.gradient)
    directions = torch.stack([inside * normal(len(inside), generator=generator) for _ in range(8)])
    with torch.no_grad():
        slopes = central_differences(lambda: loss(machine, x, weight), flat.value, directions)
    torch.testing.assert_close(directions @ gradient, slopes, rtol=1e-6, atol=1e-7)
    assert (gradient[inside == 0] == 0).all()
