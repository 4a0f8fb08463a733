"""Critics: networks that score pairs by how much they look as if drawn together."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from skgen.networks import MLP


class Critic(nn.Module, ABC):
    """A function T(x, z) of pairs of rows. Implement ``forward`` and ``matrix``.

    Parameters
    ----------
    networks : MLP
        All networks that it is made of.
    """

    def __init__(self, *networks: MLP) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def reset(self, generator: Generator) -> None:
        """Draw initial parameters from the generator."""
        for network in self.networks:
            assert isinstance(network, MLP)
            network.reset(generator)

    @abstractmethod
    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """Scores of pairs, (pairs, n_x) and (pairs, n_z) to (pairs,)."""

    @abstractmethod
    def matrix(self, x: Tensor, z: Tensor) -> Tensor:
        """Scores of every x with every z, (K, n_x) and (L, n_z) to (K, L)."""


class ConcatCritic(Critic):
    """One network on both parts of a pair: flexible, and a matrix of scores costs a pass for each of its entries."""

    def __init__(self, n_x: int, n_z: int, hidden_sizes: Sequence[int], activation: str = "relu") -> None:
        super().__init__(MLP(n_x + n_z, hidden_sizes, 1, activation))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        scores: Tensor = self.networks[0](torch.cat([x, z], -1)).squeeze(-1)
        return scores

    def matrix(self, x: Tensor, z: Tensor) -> Tensor:
        shape = len(x), len(z)
        scores: Tensor = self(x.unsqueeze(1).expand(*shape, -1), z.unsqueeze(0).expand(*shape, -1))
        return scores


class SeparableCritic(Critic):
    """The product f(x) . g(z) of two networks' outputs: a matrix of scores is a product of matrices."""

    def __init__(
        self, n_x: int, n_z: int, hidden_sizes: Sequence[int], n_outputs: int = 32, activation: str = "relu"
    ) -> None:
        super().__init__(
            MLP(n_x, hidden_sizes, n_outputs, activation),
            MLP(n_z, hidden_sizes, n_outputs, activation),
        )

    def _codes(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.networks[0](x), self.networks[1](z)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        of_x, of_z = self._codes(x, z)
        return (of_x * of_z).sum(-1)

    def matrix(self, x: Tensor, z: Tensor) -> Tensor:
        of_x, of_z = self._codes(x, z)
        return of_x @ of_z.T
