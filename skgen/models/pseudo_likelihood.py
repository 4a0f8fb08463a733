"""Exact pseudo-likelihoods of Boltzmann machines."""

import math

import torch
from torch import Tensor

from skgen.distributions.bernoulli import softplus
from skgen.distributions.normal import LOG_2PI
from skgen.models.energy import BoltzmannMachine
from skgen.models.real_machine import is_linear
from skgen.units.bernoulli import BernoulliUnits
from skgen.units.categorical import CategoricalUnits

TILE_NUMBERS = 2**17
"""Most hidden fields that are held at once; they stay in the processor's cache."""
LARGEST_EXPONENT = 60.0
"""Weights up to which exponentials of them can be multiplied by probabilities in float32."""
SPACING = 0.75
"""Distance of the nodes of a quadrature, in standard deviations of v given h. The integrand is a mixture of normal
densities with variance 1, for which the trapezoidal rule has a relative error of 2 exp(-2 (pi / SPACING)^2) = 1e-15."""
NODES = 32
"""Nodes of a quadrature, of which there are some more with large weights."""
MOST_NODES = 2**20
"""A machine whose columns would need more has diverged."""
REACH = 8.5
"""Standard deviations by which a quadrature goes beyond the means; what lies outside has a share below e^-36."""


def takes_quadrature(machine: BoltzmannMachine) -> bool:
    """Whether each column of a row costs some :data:`NODES` times as many hidden fields as a binary one does."""
    return machine.visible.scaled and not is_linear(machine)


def pseudo_log_likelihood(machine: BoltzmannMachine, v: Tensor, columns: Tensor | None = None) -> Tensor:
    r"""The sum over columns of :math:`\log p(v_i \mid v_{-i})`, in nats, (rows, n_visible) to (rows,).

    Exact and deterministic: binary columns by the free energies of both values, categories by those of all of them,
    real columns by a quadrature, and in closed form with linear hidden units (Besag 1975,
    https://doi.org/10.2307/2987782). For probabilities v_i of binary columns it is the mean over the two values given
    the other probabilities. It takes some rows * n_visible * n_hidden hidden fields; with a quadrature, as many for
    each node.

    Numbers of ``columns`` (rows, n_columns), where :func:`takes_quadrature`, name columns of each row whose features
    stand for those of all: the value is then an estimate, unbiased where all columns are named equally often.
    """
    machine.require_normalizable()
    assert columns is None or takes_quadrature(machine)
    n_rows = max(1, TILE_NUMBERS // (8 * machine.hidden.n_units))
    if not len(v):
        return v.new_zeros(0)
    tiles = v.split(n_rows)
    named = [None] * len(tiles) if columns is None else columns.split(n_rows)
    return torch.cat([_of_rows(machine, *each) for each in zip(tiles, named, strict=True)])


def _of_rows(machine: BoltzmannMachine, v: Tensor, columns: Tensor | None) -> Tensor:
    weight = machine.weight * machine.inverse_temperature
    if isinstance(machine.visible, BernoulliUnits):
        return _binary(machine, v, weight)
    if isinstance(machine.visible, CategoricalUnits):
        return _categorical(machine, machine.visible, v, weight)
    features = machine.features(v)
    if takes_quadrature(machine):
        of_features = _quadrature(machine, features, weight, columns)
    else:
        of_features = _normal(machine, features, weight)
    assert machine.log_scale is not None
    return of_features - machine.log_scale.expand(v.shape[1]).sum()


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


def _quadrature(machine: BoltzmannMachine, features: Tensor, weight: Tensor, columns: Tensor | None) -> Tensor:
    """Real columns with other hidden units."""
    field, bias = machine.hidden_bias + features @ weight.t(), machine.features(machine.visible_bias)
    if columns is None:
        columns = torch.arange(features.shape[1], device=features.device).expand(features.shape)
    # Column by column: the nodes of a tile are as many as its widest cell needs.
    order, shape = columns.t(), (columns.shape[1], columns.shape[0])
    row = torch.arange(len(features), device=features.device).expand(shape)
    size = max(1, TILE_NUMBERS // (NODES * machine.hidden.n_units))
    parts = [
        _cells(machine, field[i], features[i, j], bias[j], weight.t()[j])
        for i, j in zip(row.flatten().split(size), order.flatten().split(size), strict=True)
    ]
    return torch.cat(parts).view(shape).sum(0) * (features.shape[1] / columns.shape[1])


def _cells(machine: BoltzmannMachine, field: Tensor, u: Tensor, centre: Tensor, w: Tensor) -> Tensor:
    """log p(u | other columns) of cells, each by the trapezoidal rule on nodes of its own.

    ``field`` (cells, n_hidden) are the fields in the rows of the cells, and ``w`` the weights of their columns.
    """
    without = field - u.unsqueeze(1) * w
    low, high = _span(machine, without, centre, w)
    width = float((high - low).max())
    if not width < MOST_NODES * SPACING:
        return torch.full_like(u, torch.nan)
    n_steps = max(1, math.ceil(width / SPACING))
    step, log_sum = ((high - low) / n_steps).unsqueeze(1), torch.full_like(u, -torch.inf)
    for steps in torch.arange(n_steps + 1, device=u.device).split(max(1, TILE_NUMBERS // field.numel())):
        values = _log_density(machine, without, centre, w, low.unsqueeze(1) + step * steps)
        log_sum = torch.logaddexp(log_sum, torch.logsumexp(values, 1))
    own = _log_density(machine, without, centre, w, u.unsqueeze(1)).squeeze(1)
    return own - log_sum - torch.log(step.squeeze(1))


def _log_density(machine: BoltzmannMachine, without: Tensor, centre: Tensor, w: Tensor, u: Tensor) -> Tensor:
    """log p(u | other columns) of cells up to a constant, at nodes (cells, n_nodes)."""
    fields = torch.addcmul(without.unsqueeze(1), u.unsqueeze(2), w.unsqueeze(1))
    return machine.hidden.log_partition(fields).sum(2) - 0.5 * (u - centre.unsqueeze(1)).square()


def _span(machine: BoltzmannMachine, without: Tensor, centre: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """Where the density of each cell lies, lowest and highest u.

    With means of hidden units at most c + s max(theta, 0), the slope of the log-density is below B - k u for
    u >= 0 and B = a + sum of w (c + s max(theta, 0)) over positive w, k = 1 - s sum of w^2: the density falls like a
    normal one from max(0, B / k) on. The other side is its mirror image.
    """
    most, slope = machine.hidden.mean_bound
    bound = most + slope * without.clamp_min(0.0)
    ends = []
    for sign in (-1.0, 1.0):
        part = (sign * w).clamp_min(0.0)
        curvature = 1 - slope * part.square().sum(1)
        peak = ((bound * part).sum(1) + sign * centre) / curvature
        ends.append(peak.clamp_min(0.0) + REACH / torch.sqrt(curvature))
    return -ends[0], ends[1]
