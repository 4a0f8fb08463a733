"""Critics: networks that score pairs by how much they look as if drawn together."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from skgen.networks import MLP


class Critic(nn.Module, ABC):
    """A function T(x, z) of pairs of rows. Implement ``codes``, ``paired``, ``crossed`` and ``absorb``.

    Parameters
    ----------
    networks : MLP
        All networks that it is made of.
    """

    def __init__(self, *networks: MLP) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def _networks(self) -> list[MLP]:
        return [network for network in self.networks if isinstance(network, MLP)]

    @property
    def width(self) -> int:
        """Most numbers held per pair at once, for sizing tiles."""
        return sum(network.width for network in self._networks())

    def reset(self, generator: Generator) -> None:
        """Draw initial parameters from the generator."""
        for network in self._networks():
            network.reset(generator)

    @abstractmethod
    def codes(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """What scores need of each x and of each z: computed once for each row, not for each pair."""

    @abstractmethod
    def paired(self, of_x: Tensor, of_z: Tensor) -> Tensor:
        """Scores (pairs,) of pairs from the codes of their parts."""

    @abstractmethod
    def crossed(self, of_x: Tensor, of_z: Tensor) -> Tensor:
        """Scores (K, L) of every x with every z from their codes."""

    @abstractmethod
    def absorb(self, ratio: tuple[Tensor, Tensor], offset: tuple[Tensor, Tensor]) -> None:
        """Change the weights in place so that T(x, z) is what T was at ``ratio * (x, z) + offset``."""

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """Scores of pairs, (pairs, n_x) and (pairs, n_z) to (pairs,)."""
        return self.paired(*self.codes(x, z))

    def matrix(self, x: Tensor, z: Tensor) -> Tensor:
        """Scores of every x with every z, (K, n_x) and (L, n_z) to (K, L)."""
        return self.crossed(*self.codes(x, z))


class ConcatCritic(Critic):
    """One network on both parts of a pair: flexible, and a matrix of scores costs a pass for each of its entries."""

    def __init__(self, n_x: int, n_z: int, hidden_sizes: Sequence[int], activation: str = "relu") -> None:
        super().__init__(MLP(n_x + n_z, hidden_sizes, 1, activation))

    def codes(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        return x, z

    def paired(self, of_x: Tensor, of_z: Tensor) -> Tensor:
        scores: Tensor = self.networks[0](torch.cat([of_x, of_z], -1)).squeeze(-1)
        return scores

    def crossed(self, of_x: Tensor, of_z: Tensor) -> Tensor:
        shape = len(of_x), len(of_z)
        return self.paired(of_x.unsqueeze(1).expand(*shape, -1), of_z.unsqueeze(0).expand(*shape, -1))

    def absorb(self, ratio: tuple[Tensor, Tensor], offset: tuple[Tensor, Tensor]) -> None:
        self._networks()[0].absorb_input(torch.cat(ratio), torch.cat(offset))


class SeparableCritic(Critic):
    """The product f(x) . g(z) of two networks' outputs: a matrix of scores is a product of matrices.

    With ``offsets`` each network has one more output, which is added to the score: T = f(x) . g(z) + a(x) + b(z).
    """

    def __init__(
        self,
        n_x: int,
        n_z: int,
        hidden_sizes: Sequence[int],
        n_outputs: int = 32,
        activation: str = "relu",
        *,
        offsets: bool = False,
    ) -> None:
        super().__init__(
            MLP(n_x, hidden_sizes, n_outputs + offsets, activation),
            MLP(n_z, hidden_sizes, n_outputs + offsets, activation),
        )
        self.offsets = offsets

    def codes(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        of_x, of_z = self.networks[0](x), self.networks[1](z)
        if not self.offsets:
            return of_x, of_z
        # A factor of 1 beside the other's offset makes the whole score one product.
        one_x, one_z = torch.ones_like(of_x[..., :1]), torch.ones_like(of_z[..., :1])
        return torch.cat([of_x, one_x], -1), torch.cat([of_z[..., :-1], one_z, of_z[..., -1:]], -1)

    def paired(self, of_x: Tensor, of_z: Tensor) -> Tensor:
        return (of_x * of_z).sum(-1)

    def crossed(self, of_x: Tensor, of_z: Tensor) -> Tensor:
        return of_x @ of_z.T

    def absorb(self, ratio: tuple[Tensor, Tensor], offset: tuple[Tensor, Tensor]) -> None:
        for network, *change in zip(self._networks(), ratio, offset, strict=True):
            network.absorb_input(*change)


class StandardizedCritic(nn.Module):
    """A critic of rows (pairs, n_x + n_z) that hold both parts of a pair, each column standardised.

    Attributes
    ----------
    shift, scale : (n_x + n_z,)
        What columns are standardised with.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, critic: Critic, n_x: int, n_z: int) -> None:
        super().__init__()
        self.critic = critic
        self.sizes = n_x, n_z
        self.register_buffer("shift", torch.zeros(n_x + n_z))
        self.register_buffer("scale", torch.ones(n_x + n_z))

    @property
    def width(self) -> int:
        """Most numbers held per pair at once, for sizing tiles."""
        return self.critic.width

    def reset(self, generator: Generator) -> None:
        """Draw initial parameters from the generator."""
        self.critic.reset(generator)

    def split(self, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Both parts of pairs."""
        x, z = pairs.split(self.sizes, -1)
        return x, z

    def standardize(self, pairs: Tensor) -> Tensor:
        """Pairs in the user's units as the critic takes them."""
        return (pairs - self.shift) / self.scale

    def codes(self, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Codes of both parts of standardised pairs."""
        return self.critic.codes(*self.split(pairs))

    def restandardize(self, shift: Tensor, scale: Tensor) -> None:
        """Standardise with other numbers, and leave the scores of pairs in the user's units as they are."""
        ratio, offset = scale / self.scale, (shift - self.shift) / self.scale
        self.critic.absorb(self.split(ratio), self.split(offset))
        self.shift.copy_(shift)
        self.scale.copy_(scale)
