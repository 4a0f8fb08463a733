"""The E-step over all rows, and what the solvers that build on it share."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import cached_property

import torch
from torch import Tensor

from skgen._exact_model import ExactModel, Parameters, Statistics, added
from skgen._rows import Rows, Tile
from skgen.distributions.covariance import LinAlgError
from skgen.training.loop import diverged

Repair = Callable[[Parameters, Statistics], Parameters | None]
"""Other parameters in place of degenerate ones, given the statistics that these came from; None changes nothing."""

MOMENT_ENTRIES = 2**21
"""Numbers in the tiles that moments are taken of: products of so many are fast."""
OWN = "solver."
"""What the names of a solver's own state begin with."""


def mixed(old: Statistics, new: Statistics, rate: float) -> Statistics:
    """(1 - rate) old + rate new; what only one of them has counts as 0 in the other."""
    result = {name: (1 - rate) * value for name, value in old.items()}
    for name, value in new.items():
        result[name] = result[name].add_(value, alpha=rate) if name in result else rate * value
    return result


class Expectation:
    """The E-step over all rows, tile by tile, and the log-likelihood that comes with it.

    Parameters
    ----------
    model : ExactModel
    rows : Rows

    Attributes
    ----------
    prior_weight : float
        Weight of all rows that there are, in whose bound the log-prior is shared out; that of ``rows`` at first.
    """

    def __init__(self, model: ExactModel, rows: Rows) -> None:
        self.model, self.rows = model, rows
        self.weight = self.prior_weight = rows.total_weight

    @cached_property
    def moments(self) -> Statistics:
        """Sums over complete rows that depend on no parameter."""
        total: Statistics = {}
        # Products of the tiles of an iteration would be too small.
        size = max(self.rows.tile_rows, MOMENT_ENTRIES // self.rows.n_features)
        for tile in self.rows.complete_tiles(size, shared=True):
            more = self.model.moments(tile)
            if not more:
                break
            added(total, more)
        return total

    def tiles(self) -> Iterator[Tile]:
        """Tiles that have to be visited at every iteration."""
        return self.rows.incomplete_tiles() if self.model.summarized else iter(self.rows)

    def sums(self, parameters: Parameters) -> tuple[Statistics, Tensor | float]:
        """Expected statistics of all rows, and their log-likelihood in nats, summed."""
        posterior = self.model.bind(parameters)
        total: Statistics = {}
        value: Tensor | float = 0.0
        for tile in self.tiles():
            more, part = posterior.expect(tile)
            total, value = added(total, more), value + part
        if self.moments:
            more, rest = posterior.expect_moments(self.moments)
            total, value = added(total, more), value + rest
        return total, value

    def __call__(self, parameters: Parameters) -> tuple[Statistics, float]:
        """Expected statistics of all rows, and the penalised log-likelihood in nats per unit of weight."""
        total, value = self.sums(parameters)
        prior = float(self.model.log_prior(parameters))
        return total, float(value) / self.weight + prior / self.prior_weight

    def value(self, parameters: Parameters) -> float:
        """The penalised log-likelihood in nats per unit of weight."""
        return self(parameters)[1]

    def backward(self, vector: Tensor) -> tuple[float, Tensor]:
        """The penalised log-likelihood per unit of weight at unconstrained parameters, and its gradient.

        The graph of one tile is held at a time.
        """
        with torch.enable_grad():
            vector = vector.detach().requires_grad_()
            constrained = self.model.constrain(vector)
            moving = {name: value for name, value in constrained.items() if value.requires_grad}
            leaves = {name: value.detach().requires_grad_() for name, value in moving.items()}
            slopes = [torch.zeros_like(leaf) for leaf in leaves.values()]
            total = vector.new_zeros(())
            for part in self._parts(constrained | leaves):
                total += part.detach()
                found = torch.autograd.grad(part, list(leaves.values()), allow_unused=True)
                for slope, more in zip(slopes, found, strict=True):
                    if more is not None:
                        slope += more
            gradient = torch.autograd.grad(list(moving.values()), vector, slopes)[0]
        return float(total) / self.weight, gradient / self.weight

    def _parts(self, parameters: Parameters) -> Iterator[Tensor]:
        """Differentiable summands of the penalised log-likelihood, each with a graph of its own."""
        prior = self.model.log_prior(parameters)
        if isinstance(prior, Tensor):
            yield prior
        if self.model.summarized and self.moments:
            value = self.model.bind(parameters).expect_moments(self.moments)[1]
            assert isinstance(value, Tensor)
            yield value
        for tile in self.tiles():
            log_prob = self.model.bind(parameters).log_prob(tile)
            yield log_prob.sum() if tile.weight is None else torch.dot(log_prob, tile.weight)


class SinglePrecisionLost(ArithmeticError):
    """Parameters have come out that rows in float32 do not resolve: the step has to be repeated in float64."""


class Solver(ABC):
    """Improves the parameters of a model, iteration by iteration.

    Parameters
    ----------
    model : ExactModel
    rows : Rows
    parameters : dict of str to Tensor
        Where to start.
    generator : torch.Generator
        Source of all draws, on the rows' device; deterministic solvers leave it alone.
    repair : callable, default=None
        ``repair(parameters, statistics)`` is called after each M-step, and may give other parameters in place of
        degenerate ones. What the solver has remembered is dropped then.
    """

    monotone = True
    """Whether the bound never falls."""
    averaging_from = 0
    """Number of iterations before noise begins to be averaged out, where there is any."""
    mixes = False
    """Whether statistics of several iterations are added up, so that what they are taken about has to stay as it is."""

    def __init__(
        self,
        model: ExactModel,
        rows: Rows,
        parameters: Parameters,
        *,
        generator: torch.Generator,
        repair: Repair | None = None,
    ) -> None:
        self.model, self.rows, self.generator, self.repair = model, rows, generator, repair
        self.parameters = model.refreshed(parameters)
        self.expectation = Expectation(model, rows)
        self.n_steps = 0

    def step(self) -> float:
        """One iteration: the bound, in nats per unit of weight, at the parameters that it started from.

        Raises FloatingPointError, and keeps the parameters, where these or the bound would not be finite.
        """
        try:
            value = self._resolved_step() if self.rows.single else self._step()
        except LinAlgError as error:
            raise self._diverged("a covariance") from error
        self.n_steps += 1
        return value

    def _resolved_step(self) -> float:
        """The iteration, from its start again in float64 where rows in float32 do not resolve its parameters."""
        state, generator = self.state(), self.generator.get_state()
        try:
            return self._step()
        except SinglePrecisionLost:
            self.rows.single = False
            self.load(state)
            self.generator.set_state(generator)
            return self._step()

    @abstractmethod
    def _step(self) -> float:
        """The iteration itself."""

    def value(self) -> float:
        """The bound at the parameters in force."""
        return self._finite(self.expectation.value(self.parameters))

    def state(self) -> dict[str, Tensor]:
        """All that the next iteration depends on, besides the generator."""
        own = {OWN + name: value for name, value in self._state().items()}
        return self.parameters | own | {OWN + "n_steps": torch.tensor(self.n_steps)}

    def load(self, state: dict[str, Tensor]) -> None:
        """Continue from :meth:`state`."""
        device = self.rows.x.device
        state = {name: value.to(device) for name, value in state.items()}
        self.parameters = {name: value for name, value in state.items() if not name.startswith(OWN)}
        self.n_steps = int(state.pop(OWN + "n_steps"))
        self._load({name.removeprefix(OWN): value for name, value in state.items() if name.startswith(OWN)})

    def _state(self) -> dict[str, Tensor]:
        """What the solver remembers besides the parameters."""
        return {}

    def _load(self, state: dict[str, Tensor]) -> None:
        """Continue from :meth:`_state`."""
        if state:
            raise ValueError(f"The state is that of another solver: it has {', '.join(state)}.")

    @abstractmethod
    def _restart(self) -> None:
        """Forget what belongs to parameters that have been replaced."""

    def _maximise(self, statistics: Statistics, parameters: Parameters | None = None) -> None:
        """Put the M-step's parameters in force; ``parameters`` are those that the statistics were taken at."""
        updated = self.model.m_step(statistics, self.parameters if parameters is None else parameters)
        if self.rows.single and not self.model.survives_single(updated):
            raise SinglePrecisionLost
        repaired = None if self.repair is None else self.repair(updated, statistics)
        if repaired is not None:
            self._restart()
        if repaired is not None or not self.mixes:
            updated = self.model.refreshed(updated if repaired is None else repaired)
        bad = [name for name, value in updated.items() if bool(value.isnan().any())]
        if bad:
            raise self._diverged(", ".join(bad))
        self.parameters = updated

    def _finite(self, value: float) -> float:
        if not math.isfinite(value):
            raise self._diverged("the log-likelihood")
        return value

    def _diverged(self, what: str) -> FloatingPointError:
        return diverged(self.n_steps, what, unit="iteration", remedy=self.model.remedy)
