"""What a posterior family must offer."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import compress
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from skgen._spec import Spec
from skgen._terms import Part, evaluate
from skgen._trace import Pullback, Tracer, autograd_trace, differentiated
from skgen.distributions.normal import balanced_normal

N_MOMENT_DRAWS, MOMENT_DRAWS_AT_ONCE = 256, 8
"""Draws that moments without a closed form are taken over, and how many of them are held at once."""
SMALLEST_VARIANCE = 1e-10
"""Of posteriors that are matched to draws, which may all be equal."""


class Draw(NamedTuple):
    """Reparameterised draws and what is known in closed form about the posterior they came from."""

    z: Tensor
    """(draws, batch, components)"""
    log_prob: Part
    """log q(z | x), (draws, batch), or a function that computes it."""
    mean: Tensor | None
    """E[z | x], (batch, components), None without a closed form."""
    log_scale: Tensor | None
    """Log standard deviations where each component is normal, else None."""
    scale: Tensor | None
    """Their exponential."""
    dependence: Tensor | None = None
    """What each component adds to the KL from q to the product of its margins; None for independent components."""


class Posterior(nn.Module, ABC):
    """A family q(z; parameters) with z = T(noise; parameters) for standard normal noise.

    Implement ``draw``; override ``mean_and_scale`` where moments have a closed form, ``matched`` where they tell the
    parameters, ``tracer`` where derivatives by hand are faster, and ``reset`` or ``initialize`` where training starts
    from something. Noise has ``n_noise`` columns, ``n_components`` unless another number is given.

    Only some families know densities at any point, turn draws back, or have a member for given moments. ``log_probs``,
    ``noise`` and ``matched`` are not abstract, so that the others need not mention them: they raise NotImplementedError
    there, with a remedy for whoever combines such a family with what needs them.
    """

    normal_margins = False
    """Whether each component is normal."""

    has_path = True
    """Whether draws have derivatives by the noise and the parameters."""

    def __init__(self, n_components: int, n_parameters: int, n_noise: int | None = None) -> None:
        super().__init__()
        self.n_components = n_components
        self.n_parameters = n_parameters
        self.n_noise = n_components if n_noise is None else n_noise

    @property
    def width(self) -> int:
        """Most numbers held per row at once, beside draws and parameters."""
        return 0

    @property
    def density_width(self) -> int:
        """Most numbers held per point and posterior in :meth:`log_probs`."""
        return 4

    def reset(self, generator: Generator) -> None:
        """Draw initial values of own parameters, in place."""
        return

    def initialize(self, weight: Tensor, bias: Tensor) -> None:
        """Change, in place, the last layer of the network that gives the parameters.

        weight (n_hidden, n_parameters) and bias (n_parameters,).
        """
        return

    @abstractmethod
    def draw(self, parameters: Tensor, noise: Tensor) -> Draw:
        """Draws from noise (draws, batch or 1, n_noise) and parameters (batch, n_parameters)."""

    def mean_and_scale(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of z, (batch, n_components) each.

        Those of the draws from one balanced block of noise, unless overridden by a closed form.
        """
        block = balanced_normal(N_MOMENT_DRAWS, self.n_noise, 0).to(parameters).unsqueeze(1)
        center = self.draw(parameters, torch.zeros_like(block[:1])).z[0]
        # About the draw at no noise, so that squares of large means do not cancel; a few at a time, to hold little.
        first = second = torch.zeros_like(center)
        for part in block.split(MOMENT_DRAWS_AT_ONCE):
            deviation = self.draw(parameters, part).z - center
            first, second = first + deviation.sum(0), second + deviation.square().sum(0)
        shift = first / N_MOMENT_DRAWS
        return center + shift, (second / N_MOMENT_DRAWS - shift.square()).clamp_min(0).sqrt()

    def log_probs(self, z: Tensor, parameters: Tensor) -> Tensor:
        """log q of points (..., n_components) under each of K posteriors (K, n_parameters), (..., K).

        Raises NotImplementedError where densities are known at a posterior's own draws only.
        """
        raise NotImplementedError(
            f"{type(self).__name__} knows densities at its own draws only: choose another prior or posterior."
        )

    def noise(self, z: Tensor, parameters: Tensor) -> Tensor:
        """The noise that becomes z (..., batch, n_components) under parameters (batch, n_parameters), (..., n_noise).

        Raises NotImplementedError where draws cannot be turned back.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot turn draws back into noise: choose another posterior.")

    def matched(self, z: Tensor) -> Tensor:
        """Parameters (batch, n_parameters) of the members of the family with the moments of draws of z.

        z (draws, batch, n_components). Where they have moments in closed form, no other member makes the draws more
        probable.

        Raises NotImplementedError where moments do not tell the parameters.
        """
        raise NotImplementedError(f"{type(self).__name__} has no member for given moments: choose another posterior.")

    def relaxed(self, parameters: Tensor, noise: Tensor) -> Draw:
        """Draws with a gradient, near those of :meth:`draw`, for families whose draws have none; for training."""
        return self.draw(parameters, noise)

    def path_score(self, parameters: Tensor, noise: Tensor) -> Tensor:
        """Gradient of log q(z; parameters) by z at the draws, with the parameters fixed, of the draws' shape."""

        def paired(z: Tensor, row: Tensor) -> Tensor:
            return self.log_probs(z, row.unsqueeze(0)).squeeze(-1)

        parameters = parameters.detach()
        log_prob = torch.vmap(paired, in_dims=(-2, 0), out_dims=-1)
        return differentiated(lambda z: log_prob(z, parameters), self.draw(parameters, noise).z)[1]

    def tracer(self) -> Tracer:
        """``trace(parameters, noise)`` returns a Draw and ``pullback(z, log_prob, mean, log_scale, dependence)``.

        The pullback takes the cotangent of z, that of log_prob or None, and those of mean and log_scale or None
        for both, and that of dependence, where the draw has it; it returns the gradient of the parameters. A single
        draw may come without its axis.
        """

        def trace(parameters: Tensor, noise: Tensor) -> tuple[Draw, Pullback]:
            known: list[bool] = []

            def parts(leaf: Tensor) -> tuple[Tensor, ...]:
                draw = self.relaxed(leaf, noise)
                found = (draw.z, evaluate(draw.log_prob), draw.mean, draw.log_scale, draw.dependence)
                known.extend(part is not None for part in found)
                return tuple(part for part in found if part is not None)

            values, backward = autograd_trace(parts, parameters)

            def pullback(*cotangents: Tensor | None) -> Tensor | None:
                given = cotangents + (None,) * (len(known) - len(cotangents))
                gradient: Tensor | None = backward(*compress(given, known))[0]
                return gradient

            rest = iter(values)
            z, log_prob, mean, log_scale, dependence = (next(rest) if there else None for there in known)
            assert z is not None
            assert log_prob is not None
            scale = None if log_scale is None else log_scale.exp()
            return Draw(z, log_prob, mean, log_scale, scale, dependence), pullback

        return trace


@dataclass
class PosteriorSpec(Spec, ABC):
    """Base of the posterior specs."""

    @abstractmethod
    def build(self, n_components: int) -> Posterior:
        """Return the module; raises ValueError for fields out of range."""
