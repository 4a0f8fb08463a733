"""Hamiltonian Monte Carlo for laws that are a standard normal one, reweighed."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from skgen._trace import differentiated
from skgen.distributions.normal import standard_normal_log_prob
from skgen.distributions.streams import Streams

LogWeight = Callable[[Tensor], Tensor]
"""Log of the weight at the position of each chain, (..., dimension) to (...); differentiable."""

BEST_ACCEPTANCE = 0.651
"""Share of accepted proposals at which chains move fastest (Beskos et al. 2013)."""
QUARTER_TURN = math.pi / 2
"""Angle that forgets where it began where the weight is constant."""
JITTER = 0.2
"""Largest relative change of the angle of a step: equal ones can turn in circles."""
TUNING_DECAY = 0.6
"""Power of the number of steps with which the changes of an angle die out."""


class State(NamedTuple):
    """Where the chains are.

    Attributes
    ----------
    position, gradient : Tensor of shape (..., dimension)
        The chains' positions, and the gradient of the log-weight there.
    log_weight : Tensor of shape (...)
        The log-weight there.
    acceptance : Tensor of shape (...)
        Probability with which the last proposal was to be accepted.
    """

    position: Tensor
    gradient: Tensor
    log_weight: Tensor
    acceptance: Tensor


def init(log_weight: LogWeight, position: Tensor) -> State:
    """Chains at some positions (..., dimension), where the log-weight is finite."""
    value, gradient = differentiated(log_weight, position)
    return State(position, gradient, value, torch.ones_like(value))


def leapfrog(
    log_weight: LogWeight, state: State, momentum: Tensor, beta: float, angle: Tensor, n_leapfrog: int
) -> tuple[State, Tensor]:
    """Positions and momenta after some steps along the flow; reversible, and of determinant 1.

    A step kicks the momentum by the weight's gradient and turns position and momentum by an angle (..., 1), in which it
    follows the normal law exactly (Beskos et al. 2011, https://doi.org/10.1016/j.spa.2011.06.003).
    """
    cosine, sine, kick = torch.cos(angle), torch.sin(angle), 0.5 * beta * angle
    position, gradient, value = state.position, state.gradient, state.log_weight
    for _ in range(n_leapfrog):
        momentum = momentum + kick * gradient
        position, momentum = cosine * position + sine * momentum, cosine * momentum - sine * position
        value, gradient = differentiated(log_weight, position)
        momentum = momentum + kick * gradient
    return State(position, gradient, value, state.acceptance), momentum


def step(
    log_weight: LogWeight, state: State, beta: float, angle: Tensor, *, streams: Streams, n_leapfrog: int = 5
) -> State:
    r"""One proposal of each chain, accepted or rejected by itself (Neal 2011, https://arxiv.org/abs/1206.1901).

    It leaves invariant the law with density :math:`f(z) \propto N(z; 0, I)\, w(z)^\beta`. Every law on real numbers
    is of that form; where the weight is constant, a quarter turn in all gives independent draws.

    Parameters
    ----------
    log_weight : callable
        :math:`\log w`.
    state : State
    beta : float
        Power of the weight.
    angle : Tensor, broadcast to (...)
        Size of a leapfrog step; a proposal has ``n_leapfrog`` of them, of random size about it.
    streams : Streams
        Source of randomness of each chain.
    """
    momentum = streams.normal(state.position.shape[-1]).to(state.position)
    jitter, uniform = streams.uniform(2).to(state.position).unbind(-1)
    angle = (angle * (1 + JITTER * (2 * jitter - 1))).unsqueeze(-1)
    end, last_momentum = leapfrog(log_weight, state, momentum, beta, angle, n_leapfrog)

    def energy(state: State, momentum: Tensor) -> Tensor:
        return standard_normal_log_prob(state.position) + standard_normal_log_prob(momentum) + beta * state.log_weight

    log_ratio = energy(end, last_momentum) - energy(state, momentum)
    acceptance = torch.nan_to_num(log_ratio, nan=-torch.inf).clamp_max(0.0).exp()
    accepted = uniform < acceptance
    chosen = accepted.unsqueeze(-1)
    return State(
        torch.where(chosen, end.position, state.position),
        torch.where(chosen, end.gradient, state.gradient),
        torch.where(accepted, end.log_weight, state.log_weight),
        acceptance,
    )


def tuned(
    log_angle: Tensor, state: State, n_tuned: int, *, largest: Tensor, best_acceptance: float = BEST_ACCEPTANCE
) -> Tensor:
    """Log-angles (rows,) moved towards the acceptance that is best, by less and less, and to ``largest`` at most.

    ``state`` is that of chains (chains, rows) after a step, and ``n_tuned`` the number of changes before.
    """
    change = state.acceptance.mean(0) - best_acceptance
    return torch.minimum(log_angle + 2 * (n_tuned + 1) ** -TUNING_DECAY * change, largest)
