"""Parallel tempering: replicas of a chain at a ladder of temperatures that exchange their states."""

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Generator, Tensor

from skgen.samplers.annealed import Path

X = TypeVar("X")

BEST_ACCEPTANCE = 0.4
"""Share of accepted exchanges that a ladder is made for; from 0.3 to 0.5 all are nearly as good."""
MOST_TEMPERATURES = 1000
"""A ladder that would need more is cut off here."""


class State(NamedTuple, Generic[X]):
    """Where the replicas are.

    Attributes
    ----------
    x : X
        States of the path (rows, ...), those at the first temperature in front. ``rows`` is the number of temperatures
        times the number of independent ladders.
    betas : Tensor of shape (n_temperatures,)
        Inverse temperatures in rising order, float64; the last is the one that is sampled from.
    accepted, offered : Tensor of shape (n_temperatures - 1,)
        Chances of exchange between neighbours, summed over exchanges that were offered, and the number of these.
    n_steps : Tensor of shape ()
        Number of steps so far.
    """

    x: X
    betas: Tensor
    accepted: Tensor
    offered: Tensor
    n_steps: Tensor


def init(x: X, betas: Sequence[float] | Tensor) -> State[X]:
    """Replicas at some states, as many for each temperature; see :class:`State` for their order."""
    first = _parts(x)[0]
    ladder = torch.as_tensor(betas, dtype=torch.float64, device=first.device)
    if len(first) % len(ladder):
        raise ValueError(f"{len(first)} rows do not divide among {len(ladder)} temperatures.")
    zeros = torch.zeros_like(ladder[1:])
    return State(x, ladder, zeros, zeros, torch.zeros((), dtype=torch.int64, device=first.device))


def step(path: Path[X], state: State[X], generator: Generator) -> State[X]:
    """A step of every replica at its own temperature, and then an offer to exchange neighbours' states.

    Pairs whose lower member is even have their turn in every other step and the other pairs in between, which takes
    states through the ladder faster than random turns do (Syed et al. 2022, https://doi.org/10.1111/rssb.12464). Leaves
    the product of the ladder's laws invariant.
    """
    n, betas = _n_ladders(state), state.betas
    x = path.step(_by_row(betas, state.x), state.x, generator)
    own = torch.arange(len(betas), device=betas.device)
    partner = partners(len(betas), state.n_steps)
    log_ratio = exchange_log_ratio(path, x, betas, partner)
    chance = torch.exp(log_ratio.clamp_max(0.0))
    # Both members of a pair see the uniform of the lower one.
    uniform = torch.empty_like(chance).uniform_(generator=generator)
    uniform = uniform[torch.minimum(partner, own)]
    source = torch.where(uniform < chance, partner.unsqueeze(1), own.unsqueeze(1))
    index = source * n + torch.arange(n, device=partner.device)
    offered = (partner[:-1] > own[:-1]).to(chance)
    return State(
        _rows(x, index.flatten()),
        betas,
        state.accepted + offered * chance[:-1].mean(1),
        state.offered + offered,
        state.n_steps + 1,
    )


def partners(n_temperatures: int, turn: Tensor | int) -> Tensor:
    """Which temperature each exchanges states with in a turn, itself where it has none, (n_temperatures,)."""
    own = torch.arange(n_temperatures, device=turn.device if isinstance(turn, Tensor) else None)
    partner = torch.where((own + turn) % 2 == 0, own + 1, own - 1)
    return torch.where((partner >= 0) & (partner < n_temperatures), partner, own)


def exchange_log_ratio(path: Path[X], x: X, betas: Tensor, partner: Tensor) -> Tensor:
    r"""Log of the density of exchanged states over that of states as they are, (n_temperatures, ladders).

    For replicas x at :math:`\beta` and y at :math:`\gamma` it is
    :math:`\log f_\gamma(x) + \log f_\beta(y) - \log f_\beta(x) - \log f_\gamma(y)`, with the densities that the
    replicas are really drawn from: for a Boltzmann machine, exp of minus the free energies of the tempered machines,
    which are not multiples of the free energy at 1.
    """
    change = path.change(_by_row(betas, x), _by_row(betas[partner], x), x).double().view(len(betas), -1)
    return change + change[partner]


def coldest(state: State[X]) -> X:
    """The replicas at the last temperature."""
    n = _n_ladders(state)
    x: X = _rows(state.x, slice(-n, None))
    return x


def acceptance(state: State[X]) -> Tensor:
    """Mean chance of exchange between neighbours, (n_temperatures - 1,); nan where none was offered."""
    return state.accepted / state.offered


def ladder(betas: Tensor, acceptance: Tensor, n_temperatures: int | None = None) -> Tensor:
    r"""Temperatures between the same ends at which all neighbours exchange equally often, in some 40 % of offers.

    Where energies are normal, neighbours exchange with chance :math:`2 \Phi(-d)`, and the distance d is the integral of
    a density along the ladder (Predescu, Predescu and Ciobanu 2004, https://doi.org/10.1063/1.1644093). Distances are
    taken from the acceptances, and the new temperatures lie at equal distances between the old ones.

    Parameters
    ----------
    betas : Tensor of shape (n_temperatures,)
        The old ladder.
    acceptance : Tensor of shape (n_temperatures - 1,)
        Of :func:`acceptance`, between neighbours.
    n_temperatures : int, default=None
        Length of the new ladder; None takes what comes nearest to an acceptance of 0.4.
    """
    chance = torch.nan_to_num(acceptance.double(), nan=BEST_ACCEPTANCE).clamp(1e-6, 1 - 1e-6)
    distance = torch.cat([chance.new_zeros(1), -torch.special.ndtri(chance / 2)]).cumsum(0)
    if n_temperatures is None:
        best = -float(torch.special.ndtri(torch.tensor(BEST_ACCEPTANCE / 2, dtype=torch.float64)))
        n_temperatures = min(MOST_TEMPERATURES, 1 + max(1, round(float(distance[-1]) / best)))
    target = torch.linspace(0, 1, n_temperatures).to(distance) * distance[-1]
    after = torch.searchsorted(distance, target).clamp(1, len(distance) - 1)
    share = (target - distance[after - 1]) / (distance[after] - distance[after - 1])
    new = torch.lerp(betas[after - 1], betas[after], share)
    new[0], new[-1] = betas[0], betas[-1]
    return new


def moved(state: State[X], betas: Tensor) -> State[X]:
    """The replicas on another ladder, each temperature with those of the nearest old one; counts start anew."""
    n = _n_ladders(state)
    nearest = (betas.unsqueeze(1) - state.betas).abs().argmin(1)
    index = nearest.unsqueeze(1) * n + torch.arange(n, device=nearest.device)
    return init(_rows(state.x, index.flatten()), betas)._replace(n_steps=state.n_steps)


def _n_ladders(state: State[X]) -> int:
    return len(_parts(state.x)[0]) // len(state.betas)


def _by_row(values: Tensor, x: Any) -> Tensor:
    first = _parts(x)[0]
    return values.repeat_interleave(len(first) // len(values)).to(first.dtype)


def _parts(x: Any) -> tuple[Tensor, ...]:
    return (x,) if isinstance(x, Tensor) else tuple(x)


def _rows(x: Any, index: Tensor | slice) -> Any:
    return x[index] if isinstance(x, Tensor) else type(x)(*(part[index] for part in x))
