"""Expectation maximisation with draws of the latent variables in place of their expectation."""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from skgen._exact_model import ExactModel, Parameters, Posterior, Statistics, added
from skgen._rows import Rows, Tile
from skgen.training.distinct_rows import DistinctRows
from skgen.training.expectation import Repair, Solver, mixed

AVERAGING_DECAY = 0.7
"""Power of the number of iterations with which the weight of new draws falls."""

LogDensity = Callable[[Tensor], Tensor]


class Sampler(Protocol):
    """Markov chains, one for each row, such as :mod:`skgen.samplers.langevin`; states are named tuples of tensors."""

    State: Any

    def init(self, log_density: LogDensity, position: Tensor) -> Any:
        """Chains at some positions, (rows, latent)."""

    def renew(self, log_density: LogDensity, state: Any) -> Any:
        """The same chains for another density."""

    def step(self, log_density: LogDensity, state: Any, *, generator: torch.Generator) -> Any:
        """The chains' next state."""


class MonteCarloEM(Solver):
    """Stochastic-approximation EM: statistics of posterior draws, averaged over iterations.

    In the first ``n_warmup`` iterations an M-step follows on the draws of that iteration alone. From then on, new draws
    have the weight t^-0.7 in iteration t, so that the noise dies out and the parameters converge to a stationary point
    of the likelihood (Delyon, Lavielle and Moulines 1999, https://doi.org/10.1214/aos/1018031103). Draws are exact,
    or those of Markov chains that live as long as the solver (Kuhn and Lavielle 2004).

    One step is one pass over the rows to draw, and one to tell the exact bound.

    Parameters
    ----------
    model, rows, parameters, generator, repair
        See :class:`~skgen.training.expectation.Solver`.
    n_warmup : int, default=50
        Number of iterations before averaging.
    n_draws : int, default=1
        Number of draws per distinct row and iteration; repetitions share them.
    sampler : Sampler, default=None
        What draws continuous latent variables; None takes the model's exact draws.
    n_moves : int, default=5
        Number of steps of the chains from one draw to the next.
    """

    mixes = True
    monotone = False

    def __init__(
        self,
        model: ExactModel,
        rows: Rows,
        parameters: Parameters,
        *,
        generator: torch.Generator,
        repair: Repair | None = None,
        n_warmup: int = 50,
        n_draws: int = 1,
        sampler: Sampler | None = None,
        n_moves: int = 5,
    ) -> None:
        distinct = DistinctRows(rows).take(slice(None))
        super().__init__(model, distinct, parameters, generator=generator, repair=repair)
        self.n_draws, self.sampler, self.n_moves = n_draws, sampler, n_moves
        self.averaging_from = n_warmup
        self.statistics: Statistics = {}
        self.chains: list[Any] = []

    def _step(self) -> float:
        value = self._finite(self.expectation.value(self.parameters))
        posterior = self.model.bind(self.parameters)
        drawn: Statistics = {}
        for i, tile in enumerate(self.rows):
            for _ in range(self.n_draws):
                added(drawn, self._draw(posterior, tile, i))
        self.statistics = mixed(self.statistics, {name: each / self.n_draws for name, each in drawn.items()}, self.rate)
        self._maximise(self.statistics)
        return value

    @property
    def rate(self) -> float:
        """Weight of the draws of the next iteration."""
        n_averaged = self.n_steps - self.averaging_from
        return 1.0 if n_averaged < 0 or not self.statistics else (1 + n_averaged) ** -AVERAGING_DECAY

    def _draw(self, posterior: Posterior, tile: Tile, i: int) -> Statistics:
        """Statistics of one draw for the rows of tile ``i``."""
        if self.sampler is None:
            return posterior.draw(tile, self.generator)

        def log_density(z: Tensor) -> Tensor:
            return posterior.log_joint(tile, z)

        if i == len(self.chains):
            self.chains.append(self.sampler.init(log_density, posterior.latent(tile)))
        state = self.sampler.renew(log_density, self.chains[i])
        for _ in range(self.n_moves):
            state = self.sampler.step(log_density, state, generator=self.generator)
        self.chains[i] = state
        return posterior.complete(tile, state.position)

    def _restart(self) -> None:
        self.statistics, self.chains = {}, []
        self.averaging_from = max(self.averaging_from, self.n_steps + 1)

    def _state(self) -> dict[str, Tensor]:
        named = {f"statistics.{name}": value for name, value in self.statistics.items()}
        for i, chain in enumerate(self.chains):
            named |= {f"chain.{i}.{name}": value for name, value in chain._asdict().items()}
        return named | {"averaging_from": torch.tensor(self.averaging_from)}

    def _load(self, state: dict[str, Tensor]) -> None:
        self.averaging_from = int(state.pop("averaging_from"))
        self.statistics = {}
        chains: dict[int, dict[str, Tensor]] = {}
        for key, value in state.items():
            kind, _, name = key.partition(".")
            if kind == "statistics":
                self.statistics[name] = value
            else:
                i, _, name = name.partition(".")
                chains.setdefault(int(i), {})[name] = value
        self.chains = [self._chain(chains[i]) for i in sorted(chains)]

    def _chain(self, named: dict[str, Tensor]) -> Any:
        if self.sampler is None:
            raise ValueError("The state has Markov chains; load it with the sampler that made it.")
        return self.sampler.State(**named)
