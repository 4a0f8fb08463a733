"""What a posterior family must offer."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from skgen._spec import Spec
from skgen._terms import Part, evaluate
from skgen._trace import Pullback, Tracer, autograd_trace


class Draw(NamedTuple):
    """Reparameterised draws and what is known in closed form about the posterior they came from."""

    z: Tensor
    """(draws, batch, components)"""
    log_prob: Part
    """log q(z | x), (draws, batch), or a function that computes it."""
    mean: Tensor
    """E[z | x], (batch, components)"""
    log_scale: Tensor | None
    """Log standard deviations where the components are independent normals, else None."""
    scale: Tensor | None
    """Their exponential."""


class Posterior(nn.Module, ABC):
    """A family q(z; parameters) with z = T(noise; parameters) for standard normal noise.

    Implement ``draw`` and ``mean_and_scale``; override ``tracer`` where derivatives by hand are faster. Noise has
    ``n_noise`` columns, ``n_components`` unless another number is given.
    """

    def __init__(self, n_components: int, n_parameters: int, n_noise: int | None = None) -> None:
        super().__init__()
        self.n_components = n_components
        self.n_parameters = n_parameters
        self.n_noise = n_components if n_noise is None else n_noise

    @property
    def width(self) -> int:
        """Most numbers held per row at once, beside draws and parameters."""
        return 0

    @abstractmethod
    def draw(self, parameters: Tensor, noise: Tensor) -> Draw:
        """Draws from noise (draws, batch or 1, n_noise) and parameters (batch, n_parameters)."""

    @abstractmethod
    def mean_and_scale(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of z, (batch, n_components) each."""

    def log_probs(self, z: Tensor, parameters: Tensor) -> Tensor:
        """log q of points (..., n_components) under each of K posteriors (K, n_parameters), (..., K).

        Raises NotImplementedError where densities are known at a posterior's own draws only.
        """
        raise NotImplementedError(
            f"{type(self).__name__} knows densities at its own draws only: choose another prior or posterior."
        )

    def path_score(self, parameters: Tensor, noise: Tensor) -> Tensor:
        """Gradient of log q(z; parameters) by z at the draws, with the parameters fixed, of the draws' shape."""

        def paired(z: Tensor, row: Tensor) -> Tensor:
            return self.log_probs(z, row.unsqueeze(0)).squeeze(-1)

        parameters = parameters.detach()
        with torch.enable_grad():
            z = self.draw(parameters, noise).z.detach().requires_grad_()
            log_prob = torch.vmap(paired, in_dims=(-2, 0), out_dims=-1)(z, parameters)
            gradient: Tensor = torch.autograd.grad(log_prob.sum(), z)[0]
            return gradient

    def tracer(self) -> Tracer:
        """``trace(parameters, noise)`` returns a Draw and ``pullback(z, log_prob, mean, log_scale)``.

        The pullback takes the cotangent of z, that of log_prob or None, and those of mean and log_scale or None
        for both; it returns the gradient of the parameters. A single draw may come without its axis.
        """

        def trace(parameters: Tensor, noise: Tensor) -> tuple[Draw, Pullback]:
            def parts(leaf: Tensor) -> tuple[Tensor, ...]:
                draw = self.draw(leaf, noise)
                return (draw.z, evaluate(draw.log_prob), draw.mean) + (
                    () if draw.log_scale is None else (draw.log_scale,)
                )

            values, backward = autograd_trace(parts, parameters)

            def pullback(*cotangents: Tensor | None) -> Tensor | None:
                gradient: Tensor | None = backward(*cotangents[: len(values)])[0]
                return gradient

            z, log_prob, mean, *rest = values
            log_scale = rest[0] if rest else None
            scale = None if log_scale is None else log_scale.exp()
            return Draw(z, log_prob, mean, log_scale, scale), pullback

        return trace


@dataclass
class PosteriorSpec(Spec, ABC):
    """Base of the posterior specs."""

    @abstractmethod
    def build(self, n_components: int) -> Posterior:
        """Return the module; raises ValueError for fields out of range."""
