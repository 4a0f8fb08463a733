"""Latent-variable models with an exact posterior: what they tell an EM algorithm."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from skgen._rows import Tile

Parameters = dict[str, Tensor]
Statistics = dict[str, Tensor]


def added(total: Statistics, other: Statistics) -> Statistics:
    """The sum of statistics of two sets of rows; what only one of them has counts as it is. ``total`` is reused."""
    for name, value in other.items():
        total[name] = total[name].add_(value) if name in total else value.clone()
    return total


class Posterior(ABC):
    """A model with its parameters bound: p(x) and p(latent | x), with everything precomputed that rows share.

    Only some models can fill in, draw, or have continuous latent variables. The methods for it are not abstract, so
    that the others need not mention them: they raise NotImplementedError there, and estimators and solvers that need
    them say so by their own parameters before.
    """

    @abstractmethod
    def log_prob(self, tile: Tile) -> Tensor:
        """log p(x) of the observed entries of each row in nats, (rows,); differentiable in the parameters."""

    @abstractmethod
    def expect(self, tile: Tile) -> tuple[Statistics, Tensor]:
        """Expected sufficient statistics of a tile, and the sum of weight times log p(x).

        What :meth:`expect_moments` says of complete rows is left out of both.
        """

    def expect_moments(self, moments: Statistics) -> tuple[Statistics, Tensor | float]:
        """What the moments of complete rows add to the statistics and to the log-likelihood; differentiable."""
        return {}, 0.0

    def impute(self, tile: Tile, generator: torch.Generator | None = None) -> Tensor:
        """Rows of a tile with missing entries filled in, (rows, features): by conditional means, or by draws."""
        raise NotImplementedError(f"{type(self).__name__} does not fill in missing entries.")

    def draw(self, tile: Tile, generator: torch.Generator) -> Statistics:
        """Statistics of a tile with one draw from p(latent | x) in place of the expectation, moments included."""
        raise NotImplementedError(f"{type(self).__name__} has no posterior draws.")

    def latent(self, tile: Tile) -> Tensor:
        """Continuous latent variables from which Markov chains may start, (rows, latent)."""
        raise NotImplementedError(f"{type(self).__name__} has no continuous latent variables.")

    def log_joint(self, tile: Tile, z: Tensor) -> Tensor:
        """log p(x, z) of each row in nats, (rows,), up to a constant for each row; differentiable in z (rows, latent).

        Discrete latent variables are summed over.
        """
        raise NotImplementedError(f"{type(self).__name__} has no continuous latent variables.")

    def complete(self, tile: Tile, z: Tensor) -> Statistics:
        """Statistics of a tile with the latent variables z (rows, latent), moments included."""
        raise NotImplementedError(f"{type(self).__name__} has no continuous latent variables.")


class ExactModel(ABC):
    """A latent-variable model that EM can learn; it holds sizes and options, and no parameters.

    Statistics are sums over rows, so they add over tiles, batches and machines, and no array of the size of rows times
    components is ever stored. From these methods come batch, incremental, online, accelerated, gradient and
    Monte Carlo EM (see :mod:`skgen.training.em`).
    """

    takes_single = False
    """Whether E-steps take complete rows in float32, and do not lose more than float32 rows resolve."""
    remedy = "Regularise the variances (reg_covar), ask for fewer components, or check X for extreme values."
    """What a user may do where parameters diverge."""
    summarized = False
    """Whether the moments of complete rows say all about them, so that they are never visited again."""

    @abstractmethod
    def bind(self, parameters: Parameters) -> Posterior:
        """The posterior at some parameters."""

    @abstractmethod
    def m_step(self, statistics: Statistics, parameters: Parameters) -> Parameters:
        """The parameters that maximise the expected complete-data log-likelihood plus the log-prior.

        ``parameters`` are those that the statistics were taken at.
        """

    @abstractmethod
    def unconstrain(self, parameters: Parameters) -> Tensor:
        """The parameters as one vector of any real numbers; differentiable."""

    @abstractmethod
    def constrain(self, vector: Tensor) -> Parameters:
        """The parameters of a vector, the inverse of :meth:`unconstrain`; differentiable."""

    def moments(self, tile: Tile) -> Statistics:
        """Sums over complete rows that depend on no parameter, taken once."""
        return {}

    def survives_single(self, parameters: Parameters) -> bool:
        """Whether parameters could be learnt from statistics of rows in float32."""
        return True

    def tile_rows(self) -> int:
        """Number of rows in a tile that an E-step is fast with."""
        return 8192

    def log_prior(self, parameters: Parameters) -> Tensor | float:
        """Log-density of the prior on the parameters, up to a constant, in nats; differentiable."""
        return 0.0

    def refreshed(self, parameters: Parameters) -> Parameters:
        """The same parameters, with what they say about the next pass over the rows brought up to date."""
        return parameters

    def free(self, parameters: Parameters) -> Parameters:
        """The parameters without what :meth:`refreshed` adds, which is not there at all times."""
        return parameters

    def statistics(self, parameters: Parameters, tile: Tile) -> tuple[Statistics, Tensor]:
        """All expected statistics of a tile and the sum of weight times log p(x)."""
        posterior = self.bind(parameters)
        total, value = posterior.expect(tile)
        if tile.observed is None:
            more, rest = posterior.expect_moments(self.moments(tile))
            total, value = added(total, more), value + rest
        return total, value
