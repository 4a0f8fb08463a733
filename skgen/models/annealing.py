"""Annealed importance sampling from the posterior that a model infers to the one that it has."""

from collections.abc import Sequence

import torch
from torch import Tensor

from skgen.distributions.streams import Streams
from skgen.samplers import hamiltonian
from skgen.samplers.annealed import Path, anneal
from skgen.samplers.hamiltonian import QUARTER_TURN, LogWeight, State

N_LEAPFROG = 5
LARGEST_ANGLE = QUARTER_TURN / N_LEAPFROG
GRID = [(k / 8) ** 2 for k in range(9)]
"""Inverse temperatures at which angles are tuned: those near 0, where they change fastest, are close."""
TUNING_CHAINS, TUNING_STEPS = 4, 10


def tuned_angles(log_weight: LogWeight, streams: Streams, n_noise: int) -> Tensor:
    """Leapfrog angles of each row at the temperatures of the grid, (len(GRID), rows), from chains of their own.

    Chains that carry weights must not tune their own steps: their weights would have another mean.
    """
    streams = streams.branches(range(TUNING_CHAINS))
    state = hamiltonian.init(log_weight, streams.normal(n_noise))
    log_largest = torch.log(state.log_weight.new_tensor(LARGEST_ANGLE))
    log_angle = log_largest.expand(state.log_weight.shape[1])
    angles = [log_angle.exp()]
    for beta in GRID[1:]:
        for i in range(TUNING_STEPS):
            state = hamiltonian.step(log_weight, state, beta, log_angle.exp(), streams=streams, n_leapfrog=N_LEAPFROG)
            log_angle = hamiltonian.tuned(log_angle, state, i, largest=log_largest)
        angles.append(log_angle.exp())
    return torch.stack(angles)


class NoisePath(Path[State]):
    r"""From q(z | x) to p(z | x) by their geometric means, in the noise that draws of q are made from.

    .. math:: f_\beta(\epsilon) = N(\epsilon; 0, I)\, w(\epsilon)^\beta, \quad
        w = p(x, z) / q(z \mid x) \text{ at } z = T(\epsilon)

    The noise is unbounded whatever the support of z, and the Jacobian of T is in q: at 0 the normaliser is 1, at 1 it
    is p(x), for every posterior family whose draws T are one-to-one.

    Parameters
    ----------
    log_weight : callable
        :math:`\log w`, (chains, rows, n_noise) to (chains, rows), with rows independent of each other.
    angles : Tensor of shape (len(GRID), rows)
        Leapfrog angles, see :func:`tuned_angles`.
    """

    def __init__(self, log_weight: LogWeight, angles: Tensor) -> None:
        self.log_weight, self.log_angles = log_weight, torch.log(angles)

    def log_density(self, beta: float | Tensor, x: State) -> Tensor:
        return beta * x.log_weight - 0.5 * x.position.square().sum(-1)

    def change(self, old: float | Tensor, new: float | Tensor, x: State) -> Tensor:
        return (new - old) * x.log_weight

    def angle(self, beta: float) -> Tensor:
        """The angle of each row at a temperature, between those of the grid, (rows,)."""
        k = next((k for k, node in enumerate(GRID[1:]) if beta < node), len(GRID) - 2)
        share = (beta - GRID[k]) / (GRID[k + 1] - GRID[k])
        return torch.exp((1 - share) * self.log_angles[k] + share * self.log_angles[k + 1])

    def step(self, beta: float | Tensor, x: State, generator: Streams) -> State:
        beta = float(beta)
        return hamiltonian.step(self.log_weight, x, beta, self.angle(beta), streams=generator, n_leapfrog=N_LEAPFROG)


def annealed_log_weights(
    log_weight: LogWeight,
    angles: Tensor,
    betas: Sequence[float],
    streams: Streams,
    n_noise: int,
    start: Tensor | None = None,
) -> Tensor:
    """Log-weights of chains (chains, rows), whose mean is an unbiased estimate of p(x), or of 1 / p(x) backwards.

    Parameters
    ----------
    log_weight, angles
        As :class:`NoisePath` takes them.
    betas : sequence of float
        Inverse temperatures from 0 to 1 or back.
    streams : Streams of shape (chains, rows)
    n_noise : int
        Width of the noise.
    start : Tensor of shape (rows, n_noise), default=None
        Noise of exact draws of p(z | x), where chains that go back start; others start at q.
    """
    position = streams.normal(n_noise) if start is None else start.expand(*streams.keys.shape, n_noise)
    state = hamiltonian.init(log_weight, position)
    return anneal(NoisePath(log_weight, angles), state, betas, streams).log_weight
