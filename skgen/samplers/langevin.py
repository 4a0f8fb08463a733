"""The Metropolis-adjusted Langevin algorithm, with one chain per row."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from skgen._trace import differentiated
from skgen.distributions.normal import standard_normal

LogDensity = Callable[[Tensor], Tensor]
"""Log-density of the position of each chain up to a constant, (rows, dimension) to (rows,); differentiable."""

BEST_ACCEPTANCE = 0.574
"""Share of accepted proposals at which chains move fastest (Roberts and Rosenthal 1998)."""
ADAPTATION_DECAY = 0.6
"""Power of the number of steps with which the adaptation of step sizes dies out."""


class State(NamedTuple):
    """Where the chains are.

    Attributes
    ----------
    position, gradient : Tensor of shape (rows, dimension)
        The chains' positions, and the gradient of the log-density there.
    log_density : Tensor of shape (rows,)
        The log-density there.
    step_size : Tensor of shape (rows,)
        Standard deviations of the proposals.
    n_steps : Tensor of shape (rows,)
        Number of steps so far.
    """

    position: Tensor
    gradient: Tensor
    log_density: Tensor
    step_size: Tensor
    n_steps: Tensor


def init(log_density: LogDensity, position: Tensor, step_size: float = 1.0) -> State:
    """Chains at some positions (rows, dimension), where the log-density is finite."""
    value, gradient = differentiated(log_density, position)
    return State(position, gradient, value, torch.full_like(value, step_size), torch.zeros_like(value))


def renew(log_density: LogDensity, state: State) -> State:
    """The same chains where the log-density has become another one."""
    value, gradient = differentiated(log_density, state.position)
    return state._replace(gradient=gradient, log_density=value)


def step(log_density: LogDensity, state: State, *, generator: torch.Generator, adapt: bool = True) -> State:
    r"""One proposal, accepted or rejected in each row by itself.

    With step size h the proposal is :math:`z' = z + \frac{h^2}{2} \nabla \log p(z) + h \epsilon`, and the chance to
    accept it leaves p invariant (Roberts and Tweedie 1996, https://doi.org/10.2307/3318418). Where ``adapt``, step
    sizes move towards an acceptance of 0.574, by less and less.
    """
    noise = standard_normal(state.position, generator)
    h = state.step_size.unsqueeze(1)
    proposal = state.position + 0.5 * h**2 * state.gradient + h * noise
    value, gradient = differentiated(log_density, proposal)
    back = (state.position - proposal - 0.5 * h**2 * gradient) / h
    log_ratio = value - state.log_density - 0.5 * (back.square() - noise.square()).sum(1)
    acceptance = torch.nan_to_num(log_ratio, nan=-torch.inf).clamp_max(0.0).exp()
    uniform = torch.empty_like(acceptance).uniform_(generator=generator)
    accepted = uniform < acceptance
    chosen = accepted.unsqueeze(1)
    n_steps = state.n_steps + 1
    pace = n_steps**-ADAPTATION_DECAY if adapt else torch.zeros_like(n_steps)
    return State(
        torch.where(chosen, proposal, state.position),
        torch.where(chosen, gradient, state.gradient),
        torch.where(accepted, value, state.log_density),
        state.step_size * torch.exp(pace * (acceptance - BEST_ACCEPTANCE)),
        n_steps,
    )
