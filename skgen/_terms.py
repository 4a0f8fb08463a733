"""The named terms of a variational bound, one value per example."""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

Part = Tensor | Callable[[], Tensor]


def evaluate(part: Part) -> Tensor:
    """The tensor that a part is or computes."""
    return part if isinstance(part, Tensor) else part()


class Terms:
    """Terms of a bound on log p(x), in nats; a term given as a function is computed when it is first read.

    Parameters
    ----------
    log_likelihood : (draws, batch)
        log p(x | z) of standardised rows: the log-Jacobian of the standardisation is not in it.
    log_prior, log_posterior : (draws, batch) or None
        log p(z) and log q(z | x) at the draws.
    kl : (batch, components) or None
        KL(q(z | x) || p(z)) where there is a closed form.
    n_draws : int
        Size of the first axis; a term of a single draw may come without it.
    draw : Draw or None
        The draws of z that the terms are of, as a tracer made them; good until its next trace.
    """

    __slots__ = ("_parts", "draw", "n_draws")

    def __init__(
        self,
        log_likelihood: Part,
        log_prior: Part | None = None,
        log_posterior: Part | None = None,
        kl: Part | None = None,
        *,
        n_draws: int = 1,
        draw: Any = None,
    ) -> None:
        self.n_draws, self.draw = n_draws, draw
        self._parts: dict[str, Part | None] = {
            "log_likelihood": log_likelihood,
            "log_prior": log_prior,
            "log_posterior": log_posterior,
            "kl": kl,
        }

    def _read(self, name: str) -> Tensor:
        part = self._parts[name]
        if part is None:
            raise AttributeError(f"the model did not compute the term {name!r}")
        value = evaluate(part)
        value = value.unsqueeze(0) if name != "kl" and value.dim() == 1 else value
        self._parts[name] = value
        return value

    def compute(self) -> None:
        """Compute every term now, before what it is computed from is overwritten."""
        for name, part in self._parts.items():
            if part is not None:
                self._read(name)

    @property
    def log_likelihood(self) -> Tensor:
        """log p(x | z), shape (draws, batch)."""
        return self._read("log_likelihood")

    @property
    def log_prior(self) -> Tensor:
        """log p(z), shape (draws, batch)."""
        return self._read("log_prior")

    @property
    def log_posterior(self) -> Tensor:
        """log q(z | x), shape (draws, batch)."""
        return self._read("log_posterior")

    @property
    def kl(self) -> Tensor:
        """Closed-form KL per latent component, shape (batch, components)."""
        return self._read("kl")

    @property
    def has_kl(self) -> bool:
        """Whether prior and posterior have a closed-form KL."""
        return self._parts["kl"] is not None

    @property
    def log_weight(self) -> Tensor:
        """Log importance weight log p(x | z) + log p(z) - log q(z | x), shape (draws, batch)."""
        return self.log_likelihood + self.log_prior - self.log_posterior

    def mean_log_likelihood(self) -> Tensor:
        """Mean of log p(x | z) over the draws, (batch,)."""
        return self.log_likelihood[0] if self.n_draws == 1 else self.log_likelihood.mean(0)

    def kl_per_row(self) -> Tensor:
        """KL per row: the closed form, else the mean of log q - log p over the draws; shape (batch,)."""
        return self.kl.sum(-1) if self.has_kl else (self.log_posterior - self.log_prior).mean(0)


class Cotangents(NamedTuple):
    """Derivatives of an objective by the terms, each a number, a tensor of the term's shape, or None for zero.

    Pullbacks take tensors: numbers become tensors without axes when the loss weighs rows. Where there is a ``path``,
    (draws, batch), the derivative by a draw z is multiplied by it, once the decoder and the prior have theirs, and
    the parameters of q(z | x) get a gradient through z alone, without that of log q at fixed z.
    """

    log_likelihood: float | Tensor
    log_prior: float | Tensor | None = None
    log_posterior: float | Tensor | None = None
    kl: float | Tensor | None = None
    path: Tensor | None = None
