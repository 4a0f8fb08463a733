"""Exact pseudo-likelihoods of Boltzmann machines."""

import math

import torch
from torch import Tensor

from skgen.distributions.bernoulli import softplus
from skgen.distributions.normal import LOG_2PI
from skgen.models.energy import BoltzmannMachine
from skgen.units.bernoulli import BernoulliUnits
from skgen.units.categorical import CategoricalUnits
from skgen.units.gaussian import GaussianUnits

TILE_NUMBERS = 2**17
"""Most hidden fields that are held at once; they stay in the processor's cache."""
LARGEST_EXPONENT = 60.0
"""Weights up to which exponentials of them can be multiplied by probabilities in float32."""
SPACING = 0.75
"""Distance of the nodes of a quadrature, in standard deviations of v given h. The integrand is a mixture of normal
densities with variance 1, for which the trapezoidal rule has a relative error of 2 exp(-2 (pi / SPACING)^2) = 1e-15."""
REACH = 8.5
"""Standard deviations by which a quadrature goes beyond the means; what lies outside has a share below e^-36."""


def pseudo_log_likelihood(machine: BoltzmannMachine, v: Tensor) -> Tensor:
    r"""The sum over columns of :math:`\log p(v_i \mid v_{-i})`, in nats, (rows, n_visible) to (rows,).

    Exact and deterministic: binary columns by the free energies of both values, categories by those of all of them,
    real columns by a quadrature, and in closed form with linear hidden units (Besag 1975,
    https://doi.org/10.2307/2987782). For probabilities v_i of binary columns it is the mean over the two values given
    the other probabilities. It takes some rows * n_visible * n_hidden hidden fields; with a quadrature, as many for
    each node.
    """
    machine.require_normalizable()
    n_rows = max(1, TILE_NUMBERS // (8 * machine.hidden.n_units))
    return torch.cat([_of_rows(machine, tile) for tile in v.split(n_rows)]) if len(v) else v.new_zeros(0)


def _of_rows(machine: BoltzmannMachine, v: Tensor) -> Tensor:
    weight = machine.weight * machine.inverse_temperature
    if isinstance(machine.visible, BernoulliUnits):
        return _binary(machine, v, weight)
    if isinstance(machine.visible, CategoricalUnits):
        return _categorical(machine, machine.visible, v, weight)
    real = _normal if isinstance(machine.hidden, GaussianUnits) else _quadrature
    assert machine.log_scale is not None
    return real(machine, machine.features(v), weight) - machine.log_scale.expand(v.shape[1]).sum()


def _column_tiles(n_columns: int, numbers_each: int) -> list[slice]:
    """Columns in tiles of TILE_NUMBERS numbers."""
    size = max(1, TILE_NUMBERS // numbers_each)
    return [slice(start, min(start + size, n_columns)) for start in range(0, n_columns, size)]


def _binary(machine: BoltzmannMachine, v: Tensor, weight: Tensor) -> Tensor:
    """Columns in {0, 1}, or probabilities."""
    field, total = machine.hidden_field(v), v.new_zeros(len(v))
    binary = bool(((v == 0) | (v == 1)).all())
    small = isinstance(machine.hidden, BernoulliUnits) and float(weight.detach().abs().max()) <= LARGEST_EXPONENT
    gain = _flip_gain if binary and small else _value_gain
    for columns in _column_tiles(v.shape[1], field.numel()):
        logits = machine.visible_bias[columns] + gain(machine, field, v[:, columns], weight[:, columns].t())
        total = total + (v[:, columns] * logits - softplus(logits)).sum(1)
    return total


def _value_gain(machine: BoltzmannMachine, field: Tensor, v: Tensor, weight: Tensor) -> Tensor:
    """Sum of the hidden log-partitions with 1 in a column minus that with 0 in it, (rows, columns)."""
    without = field.unsqueeze(1) - v.unsqueeze(2) * weight
    partition = machine.hidden.log_partition
    return (partition(without + weight) - partition(without)).sum(2)


def _flip_gain(machine: BoltzmannMachine, field: Tensor, v: Tensor, weight: Tensor) -> Tensor:
    """The same for binary rows and units: one logarithm of 1 - p + p exp(+-w) in place of two log-partitions."""
    on, off = torch.sigmoid(field).unsqueeze(1), torch.sigmoid(-field).unsqueeze(1)
    ratio = torch.where(v.unsqueeze(2) == 1, torch.exp(-weight), torch.exp(weight))
    change = torch.addcmul(off, on, ratio).log_().sum(2)
    return (1 - 2 * v) * change


def _categorical(machine: BoltzmannMachine, units: CategoricalUnits, v: Tensor, weight: Tensor) -> Tensor:
    """Blocks of one-hot columns."""
    field, total, start = machine.hidden_field(v), v.new_zeros(len(v)), 0
    for size in units.sizes:
        block = slice(start, start + size)
        start += size
        without = (field - v[:, block] @ weight[:, block].t()).unsqueeze(1)
        gains = [
            machine.hidden.log_partition(without + weight[:, block][:, columns].t()).sum(2)
            for columns in _column_tiles(size, field.numel())
        ]
        log_p = torch.log_softmax(machine.visible_bias[block] + torch.cat(gains, 1), 1)
        total = total + (v[:, block] * log_p).sum(1)
    return total


def _normal(machine: BoltzmannMachine, features: Tensor, weight: Tensor) -> Tensor:
    """Linear hidden units: all columns are jointly normal with precision I - W' W."""
    precision = 1 - weight.square().sum(0)
    field = machine.hidden_bias + features @ weight.t()
    residual = features - machine.features(machine.visible_bias) - field @ weight
    return 0.5 * (torch.log(precision) - LOG_2PI - residual.square() / precision).sum(1)


def _quadrature(machine: BoltzmannMachine, features: Tensor, weight: Tensor) -> Tensor:
    """Real columns with other hidden units, each by the trapezoidal rule on nodes of its own."""
    field = machine.hidden_bias + features @ weight.t()
    bias, total = machine.features(machine.visible_bias), features.new_zeros(len(features))
    for u, centre, w in zip(features.unbind(1), bias, weight.unbind(1), strict=True):
        without = field - torch.outer(u, w)
        low, high = _span(machine, without, centre, w)
        n_steps = max(1, math.ceil(float((high - low).max()) / SPACING))
        log_sum = torch.full_like(u, -torch.inf)
        for steps in torch.arange(n_steps + 1, device=u.device).split(max(1, TILE_NUMBERS // field.numel())):
            nodes = low.unsqueeze(1) + ((high - low) / n_steps).unsqueeze(1) * steps
            values = _log_density(machine, without, centre, w, nodes)
            log_sum = torch.logaddexp(log_sum, torch.logsumexp(values, 1))
        own = _log_density(machine, without, centre, w, u.unsqueeze(1)).squeeze(1)
        total = total + own - log_sum - torch.log((high - low) / n_steps)
    return total


def _log_density(machine: BoltzmannMachine, without: Tensor, centre: Tensor, w: Tensor, u: Tensor) -> Tensor:
    """log p(u | other columns) up to a constant, at nodes (rows, n_nodes)."""
    partitions = machine.hidden.log_partition(without.unsqueeze(1) + u.unsqueeze(2) * w)
    return partitions.sum(2) - 0.5 * (u - centre).square()


def _span(machine: BoltzmannMachine, without: Tensor, centre: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """Where a column's density lies, lowest and highest u of each row.

    With means of hidden units at most c + s max(theta, 0), the slope of the log-density is below B - k u for
    u >= 0 and B = a + sum of w (c + s max(theta, 0)) over positive w, k = 1 - s sum of w^2: the density falls like a
    normal one from max(0, B / k) on. The other side is its mirror image.
    """
    most, slope = machine.hidden.mean_bound
    bound = most + slope * without.clamp_min(0.0)
    ends = []
    for sign in (-1.0, 1.0):
        part = (sign * w).clamp_min(0.0)
        curvature = 1 - slope * part.square().sum()
        ends.append(((bound @ part + sign * centre) / curvature).clamp_min(0.0) + REACH / torch.sqrt(curvature))
    return -ends[0], ends[1]
