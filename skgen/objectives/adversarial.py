"""What a critic and a generator minimise, as functions of the critic's scores: one value per row.

Scores are numbers without bounds, the higher the more a row looks like a real one. To add a game, write its class and
name it in ``GAMES``; the contract tests run over the table.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F


class Game(ABC):
    """Losses of a critic, which tells real rows from drawn ones, and of a generator, which draws them.

    Each method maps scores (batch,) to losses (batch,), to be minimised. The gradient penalty is part of the game,
    since it decides what the critic estimates.
    """

    norm = 0.0
    """The norm of the critic's gradient by a row that has no penalty."""
    penalty_weight = 0.01
    """A usual weight of the penalty, for standardised rows."""
    n_critic_steps = 1
    """A usual number of the critic's steps for one of the generator."""
    between = False
    """Whether the penalty is taken between real and drawn rows; otherwise at both."""

    @abstractmethod
    def real(self, scores: Tensor) -> Tensor:
        """The critic's losses of real rows."""

    @abstractmethod
    def drawn(self, scores: Tensor) -> Tensor:
        """The critic's losses of drawn rows."""

    @abstractmethod
    def generator(self, scores: Tensor) -> Tensor:
        """The generator's losses of drawn rows."""

    def penalty(self, gradient: Tensor) -> Tensor:
        r""":math:`(|g| - \text{norm})^2` for gradients of scores by rows, (..., features) to (...)."""
        if self.norm == 0:
            return gradient.square().sum(-1)
        norm: Tensor = torch.linalg.vector_norm(gradient, dim=-1)
        return (norm - self.norm).square()


class NonSaturating(Game):
    r"""A classifier of rows, and a generator that raises the logarithm of its error (Goodfellow et al. 2014).

    .. math:: \log(1 + e^{-T(x)}), \quad \log(1 + e^{T(x)}), \quad \log(1 + e^{-T(x)})

    The best critic is the log-ratio of the densities of real and drawn rows. With the penalty at real rows alone
    training converges near the solution (Mescheder et al. 2018, https://arxiv.org/abs/1801.04406); at drawn ones too it
    does so for distributions that do not overlap (Roth et al. 2017, https://arxiv.org/abs/1705.09367).
    """

    def real(self, scores: Tensor) -> Tensor:
        return F.softplus(-scores)

    def drawn(self, scores: Tensor) -> Tensor:
        return F.softplus(scores)

    def generator(self, scores: Tensor) -> Tensor:
        return F.softplus(-scores)


class Wasserstein(Game):
    r"""A critic of slope 1, whose difference of means is the Wasserstein distance (Gulrajani et al. 2017).

    .. math:: -T(x), \quad T(x), \quad -T(x)

    with the penalty :math:`(|\nabla T| - 1)^2` between real and drawn rows, https://arxiv.org/abs/1704.00028.
    """

    norm = 1.0
    penalty_weight = 1.0
    n_critic_steps = 5
    between = True

    def real(self, scores: Tensor) -> Tensor:
        return -scores

    def drawn(self, scores: Tensor) -> Tensor:
        return scores

    def generator(self, scores: Tensor) -> Tensor:
        return -scores


class Hinge(Game):
    r"""A critic that leaves alone what it is sure of (Lim and Ye 2017, https://arxiv.org/abs/1705.02894).

    .. math:: \max(0, 1 - T(x)), \quad \max(0, 1 + T(x)), \quad -T(x)
    """

    def real(self, scores: Tensor) -> Tensor:
        return F.relu(1 - scores)

    def drawn(self, scores: Tensor) -> Tensor:
        return F.relu(1 + scores)

    def generator(self, scores: Tensor) -> Tensor:
        return -scores


class LeastSquares(Game):
    r"""Regression on 1 for real rows and on 0 for drawn ones (Mao et al. 2017, https://arxiv.org/abs/1611.04076).

    .. math:: \tfrac12 (T(x) - 1)^2, \quad \tfrac12 T(x)^2, \quad \tfrac12 (T(x) - 1)^2
    """

    def real(self, scores: Tensor) -> Tensor:
        return 0.5 * (scores - 1).square()

    def drawn(self, scores: Tensor) -> Tensor:
        return 0.5 * scores.square()

    def generator(self, scores: Tensor) -> Tensor:
        return 0.5 * (scores - 1).square()


GAMES: dict[str, type[Game]] = {
    "nonsaturating": NonSaturating,
    "wasserstein-gp": Wasserstein,
    "hinge": Hinge,
    "least-squares": LeastSquares,
}
"""Names of losses that a user may ask for."""
