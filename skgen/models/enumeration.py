"""The partition function of a Boltzmann machine as a sum over all states of one layer."""

import math

import torch
from torch import Tensor

from skgen.models.energy import BoltzmannMachine
from skgen.units import BernoulliUnits, Units

MOST_STATES = 2**20
"""Joint states of a layer that are enumerated at most."""
TILE_NUMBERS = 2**18
"""Numbers that a tile of states holds, so that it stays in a processor's cache."""
MOST_FACTORS = 16
"""Factors 1 + exp(field) that are multiplied before a logarithm is taken."""
LARGEST_EXPONENT = 600.0
"""Fields whose exponentials, and products of them, are finite in float64."""


def n_joint_states(units: Units) -> float:
    """Number of joint states of a layer, infinite for real units."""
    return math.inf if units.n_states is None else units.n_states


def can_enumerate(machine: BoltzmannMachine) -> bool:
    """Whether a layer has at most 2^20 joint states."""
    return min(n_joint_states(machine.visible), n_joint_states(machine.hidden)) <= MOST_STATES


def enumerated_log_partition(machine: BoltzmannMachine) -> Tensor:
    """log Z, shape (), from the free energies of all states of the layer that has fewer; in the weights' dtype."""
    by_hidden = n_joint_states(machine.hidden) <= n_joint_states(machine.visible)
    if isinstance(machine.visible, BernoulliUnits) and isinstance(machine.hidden, BernoulliUnits):
        weight = machine.weight * machine.inverse_temperature
        biases = (machine.hidden_bias, machine.visible_bias)
        summed = (weight, *biases) if by_hidden else (weight.t(), *biases[::-1])
        if float(largest_field(*summed)) < LARGEST_EXPONENT / 2:
            return binary_log_partition(*summed)
    layer, other = (machine.hidden, machine.visible) if by_hidden else (machine.visible, machine.hidden)
    free_energy = machine.hidden_free_energy if by_hidden else machine.free_energy
    n_states = layer.n_states
    assert n_states is not None
    numbers = torch.arange(n_states, device=machine.weight.device)
    sums = []
    for tile in numbers.split(max(1, TILE_NUMBERS // (layer.n_units + other.n_units))):
        states = layer.states(tile)
        assert states is not None
        sums.append(torch.logsumexp(-free_energy(states), 0))
    return torch.logsumexp(torch.stack(sums), 0)


def largest_field(weight: Tensor, bias: Tensor, other_bias: Tensor) -> Tensor:
    """A bound on the absolute fields of the second layer in all states of the first, shape ()."""
    return (other_bias.abs() + weight.abs().sum(0)).max()


def binary_log_partition(weight: Tensor, bias: Tensor, other_bias: Tensor) -> Tensor:
    r"""log Z of two layers of binary units by the states s of the first, shape ().

    .. math:: \log \sum_s e^{b \cdot s} \prod_i (1 + e^{c_i} \prod_j e^{s_j W_{ji}})

    The exponentials of a state are the products of those of its lower and its upper bits, which are taken once, and
    logarithms are those of products: a state costs two multiplications and an addition per unit, ten times less than
    a softplus.

    Parameters
    ----------
    weight : Tensor of shape (n, m)
    bias, other_bias : Tensors of shape (n,) and (m,)
        b of the layer that is enumerated, and c of the other; fields are within half of ``LARGEST_EXPONENT``.
    """
    n, m = weight.shape
    n_factors = min(MOST_FACTORS, int(LARGEST_EXPONENT / (float(largest_field(weight, bias, other_bias)) + 1)))
    n_halvings = int(math.log2(n_factors))
    n_lower = min(n, max(0, int(math.log2(TILE_NUMBERS / m))))
    lower, upper = (BernoulliUnits(k).states().to(weight) for k in (n_lower, n - n_lower))
    # Units without a field's exponential, 0, contribute a factor of 1.
    padding = (0, -m % 2**n_halvings)
    of_lower = torch.nn.functional.pad(torch.exp(lower @ weight[:n_lower]), padding)
    of_upper = torch.nn.functional.pad(torch.exp(other_bias + upper @ weight[n_lower:]), padding)
    linear, factors = lower @ bias[:n_lower], torch.empty_like(of_lower)
    sums = []
    for exponential in of_upper:
        torch.mul(of_lower, exponential, out=factors).add_(1)
        product = factors
        for _ in range(n_halvings):
            half = product.shape[1] // 2
            product = product[:, :half].mul_(product[:, half:])
        sums.append(torch.logsumexp(linear + torch.log(product).sum(1), 0))
    return torch.logsumexp(torch.stack(sums) + upper @ bias[n_lower:], 0)
