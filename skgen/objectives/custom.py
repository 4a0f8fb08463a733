"""Objectives that a user writes."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from skgen._terms import Terms
from skgen.objectives.base import Objective
from skgen.objectives.importance import elbo_parts

LogWeightFunction = Callable[[Tensor], Tensor]
"""Log-weights in nats, (draws, batch), to a value for each row, (batch,), that autograd can differentiate."""

N_TRIAL_ROWS = 3


class Custom(Objective):
    r"""A function of the log-weights of a row's draws.

    .. math:: f(\log w_1, \dots, \log w_K), \quad
        \log w_k = \log p(x \mid z_k) + \beta (\log p(z_k) - \log q(z_k \mid x))

    Whether it bounds log p(x) is for its writer to know. Families between the ELBO and IWAE have this form: those of
    Li and Turner (2016, https://arxiv.org/abs/1602.02311) and Dieng et al. (2017, https://arxiv.org/abs/1611.00328).

    Parameters
    ----------
    function : callable
        See ``LogWeightFunction``; it must treat rows apart.
    offset : float
        Added to log-weights of standardised rows, which makes them those of the user's rows.
    """

    needs_log_weights = True
    monitor = "objective"
    unitless = Objective.unitless | {"objective"}

    def __init__(self, function: LogWeightFunction, offset: float = 0.0) -> None:
        self.function, self.offset = function, offset

    def __call__(self, terms: Terms, kl_weight: float) -> Tensor:
        log_weight = terms.log_likelihood + kl_weight * (terms.log_prior - terms.log_posterior) + self.offset
        value = self.function(log_weight)
        self._check(value, log_weight)
        return value

    def _check(self, value: object, log_weight: Tensor) -> None:
        """Refuse what is not a number for each row, with a gradient where the log-weights have one."""
        draws, batch = log_weight.shape
        if not isinstance(value, Tensor) or value.shape != (batch,):
            got = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
            raise ValueError(
                f"objective must map log-weights of shape (draws, batch) = ({draws}, {batch}) to a tensor of shape "
                f"({batch},), one value for each row, got {got}. Reduce over the first axis only."
            )
        if log_weight.requires_grad and not value.requires_grad:
            raise ValueError(
                "objective must be differentiable by the log-weights, got a value without a gradient. Write it with "
                "torch's functions, without detach, item or numpy."
            )

    def try_out(self, n_draws: int) -> None:
        """As documented by the base class: at random log-weights, values and derivatives must be finite."""
        noise = torch.empty(n_draws, N_TRIAL_ROWS, dtype=torch.float64).normal_(generator=Generator().manual_seed(0))
        with torch.enable_grad():
            zero = torch.zeros_like(noise)
            terms = Terms(noise.requires_grad_() - self.offset, zero, zero, n_draws=n_draws)
            value = self(terms, 1.0)
            gradient = torch.autograd.grad(value.sum(), noise)[0]
        if not bool(value.isfinite().all() and gradient.isfinite().all()):
            raise ValueError(
                f"objective must have finite values and derivatives, got {value.tolist()} with derivatives "
                f"{gradient.tolist()} at log-weights {noise.tolist()} of n_draws={n_draws} draws for each of "
                f"{N_TRIAL_ROWS} rows."
            )

    def report(self, terms: Terms) -> dict[str, Tensor]:
        """The value at weight 1, and the parts of the ELBO."""
        return {"objective": self(terms, 1.0)} | elbo_parts(terms)
