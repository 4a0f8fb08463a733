"""What a prior must offer."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Generator, Tensor, nn

from skgen._spec import Spec
from skgen._terms import Part
from skgen._trace import Pullback, Tracer, autograd_trace


class Prior(nn.Module, ABC):
    """A distribution p(z) over (..., n_components).

    Implement ``log_prob`` and ``sample``. A prior with a closed-form divergence from a normal posterior overrides
    ``normal_kl``; both have tracers by autograd, which may be overridden by closed forms.
    """

    def __init__(self, n_components: int) -> None:
        super().__init__()
        self.n_components = n_components

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density, (..., n_components) to (...)."""

    @abstractmethod
    def sample(self, n_draws: int, *, generator: Generator, like: Tensor) -> Tensor:
        """Independent draws, (n_draws, n_components), in the dtype and on the device of ``like``."""

    def normal_kl(self, mean: Tensor, log_scale: Tensor) -> Tensor | None:
        """KL(N(mean, scale^2) || p) of each component, (batch, n_components); None without a closed form."""
        return None

    def tracer(self) -> Tracer:
        """``trace(z)`` returns log_prob and ``pullback(cotangent) -> gradient of z``."""

        def trace(z: Tensor) -> tuple[Tensor, Pullback]:
            (value,), pullback = autograd_trace(self.log_prob, z)
            return value, lambda cotangent: pullback(cotangent)[0]

        return trace

    def normal_kl_tracer(self) -> Tracer:
        """``trace(mean, log_scale, scale)`` returns the KL and ``pullback(cotangent)``, the gradients of the first two.

        The value may come as a function that computes it; ``scale`` is exp(log_scale), which the caller has.
        """

        def trace(mean: Tensor, log_scale: Tensor, scale: Tensor) -> tuple[Part, Pullback]:
            (value,), pullback = autograd_trace(self.normal_kl, mean, log_scale)
            return value, pullback

        return trace


@dataclass
class PriorSpec(Spec, ABC):
    """Base of the prior specs."""

    @abstractmethod
    def build(self, n_components: int) -> Prior:
        """Return the module; raises ValueError for fields out of range."""
