"""Expectation maximisation and its relatives for any :class:`~skgen._exact.ExactModel`."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from skgen._exact import ExactModel, Parameters, Statistics, added
from skgen._tiles import Rows


class Expectation:
    """The E-step over all rows, tile by tile, and the log-likelihood that comes with it.

    Parameters
    ----------
    model : ExactModel
    rows : Rows
    """

    def __init__(self, model: ExactModel, rows: Rows) -> None:
        self.model, self.rows = model, rows
        self.weight = rows.total_weight
        self.moments: Statistics = {}
        for tile in rows.complete_tiles():
            more = model.moments(tile)
            if not more:
                break
            added(self.moments, more)

    def tiles(self) -> Any:
        """Tiles that have to be visited at every iteration."""
        return self.rows.incomplete_tiles() if self.model.summarized else iter(self.rows)

    def __call__(self, parameters: Parameters) -> tuple[Statistics, float]:
        """Expected statistics of all rows, and the penalised log-likelihood in nats per unit of weight."""
        posterior = self.model.bind(parameters)
        total: Statistics = {}
        value: Tensor | float = self.model.log_prior(parameters)
        for tile in self.tiles():
            more, part = posterior.expect(tile)
            total, value = added(total, more), value + part
        if self.moments:
            more, part = posterior.expect_moments(self.moments)
            total, value = added(total, more), value + part
        return total, float(value) / self.weight

    def value(self, parameters: Parameters) -> float:
        """The penalised log-likelihood in nats per unit of weight."""
        return self(parameters)[1]

    def backward(self, vector: Tensor) -> tuple[float, Tensor]:
        """The penalised log-likelihood per unit of weight at unconstrained parameters, and its gradient.

        The graph of one tile is held at a time.
        """
        vector = vector.detach().requires_grad_()
        gradient = torch.zeros_like(vector)
        value = 0.0
        for part in self._parts(vector):
            if isinstance(part, Tensor) and part.requires_grad:
                gradient += torch.autograd.grad(part, vector)[0]
            value += float(part)
        return value / self.weight, gradient / self.weight

    def _parts(self, vector: Tensor) -> Any:
        """Differentiable summands of the penalised log-likelihood."""

        def bound() -> tuple[Parameters, Any]:
            parameters = self.model.constrain(vector)
            return parameters, self.model.bind(parameters)

        with torch.enable_grad():
            parameters, posterior = bound()
            yield self.model.log_prior(parameters)
            if self.model.summarized and self.moments:
                yield bound()[1].expect_moments(self.moments)[1]
            for tile in self.tiles():
                log_prob = bound()[1].log_prob(tile)
                yield log_prob.sum() if tile.weight is None else torch.dot(log_prob, tile.weight)


class Solver(ABC):
    """Improves the parameters of a model, iteration by iteration.

    Parameters
    ----------
    model : ExactModel
    rows : Rows
    parameters : dict of str to Tensor
        Where to start.
    generator : torch.Generator
        Source of all draws; deterministic solvers leave it alone.
    """

    def __init__(
        self, model: ExactModel, rows: Rows, parameters: Parameters, *, generator: torch.Generator, **options: Any
    ) -> None:
        self.model, self.rows, self.generator = model, rows, generator
        self.parameters = model.refreshed(parameters)
        self.expectation = Expectation(model, rows)

    @abstractmethod
    def step(self) -> float:
        """One iteration; the bound in nats per unit of weight at the parameters that it started from."""

    def value(self) -> float:
        """The bound at the parameters in force."""
        return self.expectation.value(self.parameters)

    def state(self) -> dict[str, Tensor]:
        """All that the next iteration depends on, besides the generator."""
        return dict(self.parameters)

    def load(self, state: dict[str, Tensor]) -> None:
        """Continue from :meth:`state`."""
        self.parameters = {name: state[name] for name in self.parameters}


class BatchEM(Solver):
    """Expectation maximisation over all rows (Dempster, Laird and Rubin 1977): the bound never falls."""

    def step(self) -> float:
        statistics, value = self.expectation(self.parameters)
        self.parameters = self.model.refreshed(self.model.m_step(statistics, self.parameters))
        return value


EM_SOLVERS: dict[str, type[Solver]] = {"em": BatchEM}
