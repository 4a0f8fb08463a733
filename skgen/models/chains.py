"""Draws of p(z | x) by Markov chains of each row, in the noise that draws of q(z | x) are made from."""

from typing import NamedTuple

import torch
from torch import Tensor

from skgen.distributions.streams import Streams
from skgen.samplers import hamiltonian, langevin
from skgen.samplers.hamiltonian import QUARTER_TURN, LogWeight


class Kernel(NamedTuple):
    """Leapfrog steps of a proposal, and the share of accepted ones at which chains move fastest."""

    n_leapfrog: int
    best_acceptance: float


KERNELS = {"hmc": Kernel(5, hamiltonian.BEST_ACCEPTANCE), "langevin": Kernel(1, langevin.BEST_ACCEPTANCE)}
"""One leapfrog step is a Langevin proposal that follows the normal law of the noise exactly (Beskos et al. 2011)."""


def warm_beta(i: int, n_warm: int) -> float:
    """Power of the weight at a warming step: 1 after a quarter of them, slow at first, where laws change fastest."""
    return min(1.0, 4 * (i + 1) / n_warm) ** 2


def posterior_draws(
    log_weight: LogWeight,
    streams: Streams,
    n_noise: int,
    *,
    n_steps: int,
    n_chains: int,
    kernel: str = "hmc",
    n_kept: int | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    r"""Noise whose draws of q are draws of p(z | x) in the end, from chains that start at q.

    .. math:: f(\epsilon) \propto N(\epsilon; 0, I)\, w(\epsilon), \quad
        w = p(x, z) / q(z \mid x) \text{ at } z = T(\epsilon)

    The first half of the steps warm up: they lead from q to p(z | x) by powers of w, so that chains divide among modes
    as they part, and tune the angles of each row, which its chains share. The others leave f as it is. (Hamiltonian
    Monte Carlo: Neal 2011, https://arxiv.org/abs/1206.1901; in this splitting, and Langevin proposals: Beskos et al.
    2011, https://doi.org/10.1016/j.spa.2011.06.003). Chains that start at a q which is far off take long, and between
    modes that lie far apart they hardly cross: how many there are in each is then as it was when they parted.

    Parameters
    ----------
    log_weight : callable
        :math:`\log w`, (chains, rows, n_noise) to (chains, rows), with rows independent of each other.
    streams : Streams of shape (rows,)
        Source of randomness of each row: with its weight it determines the row's draws, up to rounding.
    n_noise : int
        Width of the noise.
    n_steps : int
        Proposals of each chain, each of 5 gradients ("hmc") or 1 ("langevin").
    n_chains : int
        Chains of each row.
    kernel : {"hmc", "langevin"}, default="hmc"
    n_kept : int, default=None
        States of each chain that are kept, evenly spaced among those after the warming steps; None keeps all.
    dtype : torch.dtype, default=None
        Of the noise; None leaves that of the streams, float64 where the device has it.

    Returns
    -------
    Tensor of shape (n_kept * n_chains, rows, n_noise)

    Raises
    ------
    ValueError
        If there are fewer steps after the warming ones than states to keep.
    """
    n_leapfrog, best_acceptance = KERNELS[kernel]
    n_warm = n_steps // 2
    n_states = n_steps - n_warm
    n_kept = n_states if n_kept is None else n_kept
    if not 1 <= n_kept <= n_states:
        raise ValueError(
            f"n_kept={n_kept} of the {n_states} states after the first half of n_steps={n_steps}: keep from 1 to "
            f"{n_states}, or take more steps."
        )
    streams, kept = streams.branches(range(n_chains)), []
    state = hamiltonian.init(log_weight, streams.normal(n_noise).to(dtype=dtype))
    log_largest = torch.log(state.log_weight.new_tensor(QUARTER_TURN / n_leapfrog))
    log_angle = log_largest.expand(state.log_weight.shape[1])
    for i in range(n_steps):
        beta = warm_beta(i, n_warm) if i < n_warm else 1.0
        state = hamiltonian.step(log_weight, state, beta, log_angle.exp(), streams=streams, n_leapfrog=n_leapfrog)
        if i < n_warm:
            log_angle = hamiltonian.tuned(log_angle, state, i, largest=log_largest, best_acceptance=best_acceptance)
        elif (i - n_warm + 1) * n_kept // n_states > (i - n_warm) * n_kept // n_states:
            kept.append(state.position)
    return torch.cat(kept)
