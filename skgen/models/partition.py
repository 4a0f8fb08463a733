"""The normalising constant of Boltzmann machines: exact, in closed form or by enumeration, or by annealing."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from skgen._spec import check_choice
from skgen.models.energy import BoltzmannMachine, TemperedMachine
from skgen.models.enumeration import MOST_STATES, can_enumerate, enumerated_log_partition
from skgen.models.real_machine import is_linear, linear_log_partition
from skgen.samplers.annealed import Path, anneal, estimate, reverse_estimate, temperatures

METHODS = ("auto", "exact", "ais")


class LogPartition(NamedTuple):
    """log Z in nats, and how well it is known.

    Attributes
    ----------
    value : float
    lower, upper : float
        Interval of three standard errors of annealed importance sampling; the value itself where it is exact.
    reverse : float or None
        Estimate by annealing in the other direction, from rows of data.
    effective_sample_size : float
        Of the annealed chains, at most their number; infinite where the value is exact.
    method : {"exact", "ais"}
    """

    value: float
    lower: float
    upper: float
    reverse: float | None
    effective_sample_size: float
    method: str


class CopiedMachine(BoltzmannMachine):
    """A machine's parameters as they are now, in a dtype, with products of matrices in full precision."""

    def __init__(self, machine: BoltzmannMachine, dtype: torch.dtype) -> None:
        self.visible, self.hidden = machine.visible, machine.hidden
        self.weight = machine.weight.detach().to(dtype)
        self.visible_bias = machine.visible_bias.detach().to(dtype)
        self.hidden_bias = machine.hidden_bias.detach().to(dtype)
        self.log_scale = None if machine.log_scale is None else machine.log_scale.detach().to(dtype)
        self.inverse_temperature = machine.inverse_temperature


# -- exact ---------------------------------------------------------------------------------------------------------


def has_exact_log_partition(machine: BoltzmannMachine) -> bool:
    """Whether :func:`log_partition_exact` gives a value."""
    return is_linear(machine) or can_enumerate(machine)


@torch.no_grad()
def log_partition_exact(machine: BoltzmannMachine) -> Tensor:
    """log Z in float64, shape ().

    Two linear layers have a closed form. Otherwise the layer with fewer joint states, at most 2^20 of them (20 binary
    units), is enumerated in tiles, and its states' free energies are exact.

    Raises
    ------
    ValueError
        If Z is infinite, or neither way is open.
    """
    machine.require_normalizable()
    machine = CopiedMachine(machine, torch.float64)
    if is_linear(machine):
        return linear_log_partition(machine)
    if not can_enumerate(machine):
        raise ValueError(
            f"The exact log Z takes a layer of at most {MOST_STATES} joint states (20 binary units), or two linear "
            f"layers; got {machine.visible.n_units} visible and {machine.hidden.n_units} hidden units. Take "
            f"method='ais'."
        )
    return enumerated_log_partition(machine)


# -- annealed ------------------------------------------------------------------------------------------------------


class Coupled(NamedTuple):
    """States of chains: v (rows, n_visible), and W phi(v) (rows, n_hidden), which density and next step both need."""

    v: Tensor
    coupled: Tensor


class TemperedPath(Path[Coupled]):
    r"""From independent visible units, at 0, to a machine, at 1, by :class:`~skgen.models.energy.TemperedMachine`.

    A step is one of block Gibbs sampling, two products of matrices. The hidden biases rise with the temperature as the
    weights do, so that at 0 the law of v is that of units with the fields of ``base_bias``, and log Z is known.

    Parameters
    ----------
    machine : BoltzmannMachine
        Its parameters must not change as long as the path is used.
    base_bias : Tensor of shape (n_visible,)
        The visible biases at 0, in the units of v. Those of units alone that have the data's means make a short path.

    References
    ----------
    Salakhutdinov and Murray (2008), On the quantitative analysis of deep belief networks,
    https://doi.org/10.1145/1390156.1390266.
    """

    def __init__(self, machine: BoltzmannMachine, base_bias: Tensor) -> None:
        self.machine, self.base_bias = machine, base_bias
        start = machine.features(base_bias)
        self._slope = machine.features(machine.visible_bias) - start
        # Of the squares of the features' biases, which are in the density of real units only.
        self._linear, self._square = torch.dot(start, self._slope), self._slope.square().sum()

    def state(self, v: Tensor) -> Coupled:
        """Chains at some visible states."""
        return Coupled(v, self.machine.coupled(v))

    def at(self, beta: float | Tensor) -> BoltzmannMachine:
        """The machine at an inverse temperature, or at one for each row."""
        return TemperedMachine(self.machine, _column(beta), self.base_bias)

    def draw(self, n_chains: int, generator: Generator) -> Coupled:
        """Chains drawn from the law at 0."""
        return self.state(self.at(0.0).draw_visible_alone(n_chains, generator))

    def log_density(self, beta: float | Tensor, x: Coupled) -> Tensor:
        return -self.at(beta).free_energy(x.v, x.coupled)

    def step(self, beta: float | Tensor, x: Coupled, generator: Generator) -> Coupled:
        machine = self.at(beta)
        h = machine.hidden.draw(machine.hidden_field(x.v, x.coupled), generator)
        return self.state(machine.draw_visible(h, generator))

    def change(self, old: float | Tensor, new: float | Tensor, x: Coupled) -> Tensor:
        # Differences are taken unit by unit: those of sums over units would lose digits in single precision.
        field, hidden = self.machine.hidden_field(x.v, x.coupled), self.machine.hidden
        gained = hidden.log_partition(field * _column(new)) - hidden.log_partition(field * _column(old))
        slope = self.machine.features(x.v) @ self._slope
        if self.machine.log_scale is not None:
            slope = slope - self._linear - 0.5 * (new + old) * self._square
        return gained.sum(-1, dtype=torch.float64) + slope * (new - old)


def _column(beta: float | Tensor) -> float | Tensor:
    return beta.unsqueeze(1) if isinstance(beta, Tensor) else beta


def base_bias_of(machine: BoltzmannMachine, rows: Tensor | None) -> Tensor:
    """Visible biases to start a path from: those of independent units with the means of some visible states.

    Without rows, the machine's own.
    """
    if rows is None:
        return machine.visible_bias.detach()
    return machine.visible.initial_bias(rows.mean(0).to(machine.visible_bias))


@torch.no_grad()
def log_partition(
    machine: BoltzmannMachine,
    method: str = "auto",
    *,
    rows: Tensor | None = None,
    base_bias: Tensor | None = None,
    betas: Sequence[float] | int = 1000,
    n_chains: int = 100,
    n_settle: int = 100,
    generator: Generator | None = None,
) -> LogPartition:
    r"""log Z of a machine.

    Annealed importance sampling goes from independent units to the machine. Its estimate errs to the low side in the
    mean, and its interval only knows of the weights that were met. With rows it is repeated backwards from rows drawn
    at random, after ``n_settle`` steps of Gibbs sampling. That reverse estimate errs to the high side in the mean if
    the chains start from exactly the machine's law. Rows are draws from it for a machine that has learnt the data, and
    only nearly so. Then the two bracket log Z nearly, not surely: where they agree to a fraction of a nat neither the
    path nor the start can be far off, and where they do not at least one cannot be trusted.

    Parameters
    ----------
    machine : BoltzmannMachine
        Chains run in the dtype of its weights, weights of chains and enumeration in float64.
    method : {"auto", "exact", "ais"}, default="auto"
        Whether to enumerate or to anneal; "auto" anneals only where the exact value is out of reach.
    rows : Tensor of shape (n_rows, n_visible), default=None
        Visible states of the data: their means start the path, and reverse chains start at them.
    base_bias : Tensor of shape (n_visible,), default=None
        Visible biases at the start of the path; None takes :func:`base_bias_of` of the rows.
    betas : int or sequence of float, default=1000
        Number of temperatures in equal steps, or the inverse temperatures from 0 to 1.
    n_chains : int, default=100
    n_settle : int, default=100
    generator : Generator
        For annealing only.
    """
    check_choice(method, METHODS, "method")
    if method == "exact" or (method == "auto" and has_exact_log_partition(machine)):
        value = float(log_partition_exact(machine))
        return LogPartition(value, value, value, None, math.inf, "exact")
    if generator is None:
        raise ValueError("annealing draws random numbers: pass a torch.Generator as generator.")
    machine.require_normalizable()
    machine = CopiedMachine(machine, machine.weight.dtype)
    path = TemperedPath(machine, base_bias_of(machine, rows) if base_bias is None else base_bias)
    betas = temperatures(betas) if isinstance(betas, int) else list(betas)
    forward = estimate(anneal(path, path.draw(n_chains, generator), betas, generator).log_weight)
    base = float(path.at(betas[0]).independent_log_partition())
    value, lower, upper, size = (float(each) for each in forward)
    reverse = None if rows is None else base + _reversed(path, rows, betas, n_chains, n_settle, generator)
    return LogPartition(base + value, base + lower, base + upper, reverse, size, "ais")


def _reversed(
    path: TemperedPath, rows: Tensor, betas: Sequence[float], n_chains: int, n_settle: int, generator: Generator
) -> float:
    """The reverse estimate of log Z over that of the path's start."""
    index = torch.randint(len(rows), (n_chains,), generator=generator, device=rows.device)
    x = path.state(rows[index].to(path.machine.weight))
    for _ in range(n_settle):
        x = path.step(betas[-1], x, generator)
    return float(reverse_estimate(anneal(path, x, betas[::-1], generator).log_weight).value)
