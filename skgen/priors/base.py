"""What a prior must offer."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Generator, Tensor, nn

from skgen._spec import Spec
from skgen._terms import Part, evaluate
from skgen._trace import Pullback, Tracer, autograd_trace
from skgen.posteriors.base import Draw, Posterior


def weighted_points(z: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Draws (draws, batch, components) as points (n, components), and what each counts (n,).

    A row's weight, 1 unless they are given (batch,), is shared by its draws; or each draw has its own (draws, batch).
    """
    weight = z.new_ones(z.shape[1]) if weight is None else weight
    share = weight if weight.dim() == 2 else (weight / len(z)).expand(z.shape[:2])
    return z.flatten(0, 1), share.reshape(-1)


class TrainingRows(Protocol):
    """What a prior may ask for when it starts. It depends on the weighted distribution of the rows only."""

    def rows(self, n_rows: int) -> Tensor:
        """So many standardised rows, drawn by weight as evenly as can be, (n_rows, features)."""

    def mixture(self, n_clusters: int, n_init: int) -> tuple[Tensor, Tensor, Tensor]:
        """Log-weights (K,), means and variances (K, n_components) of a mixture fitted to the encoded rows."""


class AmortizedModel(Protocol):
    """What a prior may ask of the model that it is part of."""

    @property
    def n_features(self) -> int:
        """Width of a row."""

    def posterior_log_probs(self, z: Tensor, x: Tensor) -> Tensor:
        """log q(z | x_k) of points (..., n_components) for each of some standardised rows (K, features), (..., K)."""

    @property
    def density_width(self) -> int:
        """Most numbers that the former holds per point and row."""

    def draw_posteriors(self, x: Tensor, generator: Generator) -> Tensor:
        """A draw of q(z | x) for each standardised row, (rows, n_components)."""


class Prior(nn.Module, ABC):
    """A distribution p(z) of ``n_components`` latent variables, over (..., n_latent).

    Implement ``log_prob`` and ``sample``. A prior with a closed-form divergence from a normal posterior overrides
    ``normal_kl``; both have tracers by autograd, which may be overridden by closed forms. One that starts from rows
    sets ``starts_from_rows`` and overrides ``start``. One on another space than all real numbers overrides
    ``adapted``. One whose parameters have a best value in closed form given draws, or given one value of some of them,
    sets ``closed_m_step`` and overrides ``statistics``, ``expected_statistics`` and ``maximise``, an M-step. These are
    not abstract, so that other priors need not mention them: there the last two raise NotImplementedError, and solvers
    ask ``closed_m_step`` before.

    Attributes
    ----------
    n_latent : int
        Numbers that the decoder sees of z, ``n_components`` unless others are given.
    started : Tensor of shape (), dtype bool
        Whether ``start`` has been called, where there is one.
    """

    starts_from_rows = False
    """Whether :meth:`start` has to be called, once, before the KL counts in training."""
    closed_m_step = False
    """Whether there is an M-step in closed form, :meth:`maximise` of :meth:`statistics`."""
    start_is_fit = False
    """Whether :meth:`start` from draws maximises their likelihood."""
    support: tuple[float, float] | None = None
    """Bounds of each component, None for all real numbers."""
    n_clusters = 0
    """Number of components that draws have labels of, in a prior that is a mixture."""

    def __init__(self, n_components: int, n_latent: int | None = None) -> None:
        super().__init__()
        self.n_components = n_components
        self.n_latent = n_components if n_latent is None else n_latent
        if self.starts_from_rows:
            self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    @property
    def width(self) -> int:
        """Most numbers held per draw at once, for sizing tiles."""
        return self.n_components

    def adapted(self, posterior: Posterior) -> Posterior:
        """The posterior brought from the space of its family to that of the prior."""
        return posterior

    def states(self) -> Tensor | None:
        """All values of z where they are few, (states, n_latent), so that models sum over them; else None."""
        return None

    def connect(self, model: AmortizedModel) -> None:
        """Take what the prior needs of the model that it becomes part of, and make parameters of the size of rows."""
        return

    def reset(self, generator: Generator) -> None:
        """Draw initial values of own parameters, in place."""
        return

    def map_rows(self, change: Callable[[Tensor], Tensor]) -> None:
        """Follow rows to another standardisation, in place; ``change`` maps standardised rows to what they become."""
        return

    def start(self, rows: TrainingRows) -> None:
        """Set the parameters, in place, from the training rows."""
        return

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density, (..., n_latent) to (...)."""

    @abstractmethod
    def sample(self, n_draws: int, *, generator: Generator, like: Tensor) -> Tensor:
        """Independent draws, (n_draws, n_latent), in the dtype and on the device of ``like``."""

    def normal_kl(self, mean: Tensor, log_scale: Tensor) -> Tensor | None:
        """KL(N(mean, scale^2) || p) of each component, (batch, n_components); None without a closed form."""
        return None

    def closed_kl(self, draw: Draw) -> Tensor | None:
        """KL(q || p) of each component, (batch, n_components), for the posterior of a draw; None if not closed."""
        if draw.mean is None or draw.log_scale is None:
            return None
        kl = self.normal_kl(draw.mean, draw.log_scale)
        return kl if kl is None or draw.dependence is None else kl + draw.dependence

    def statistics(self, draw: Draw, weight: Tensor | None = None) -> dict[str, Tensor] | None:
        """What :meth:`maximise` needs of draws of posteriors at the present parameters; None without a closed form.

        Sums over rows, in float64 where the device has it: those of tiles add up to those of all rows.

        Parameters
        ----------
        draw : Draw
            Draws, (draws, batch, n_components), and what is known of the posteriors that they are from.
        weight : Tensor of shape (batch,) or (draws, batch), default=None
            Weights of rows, each of which its draws share; or a weight for each draw, such as those of importance
            sampling. None stands for rows of weight 1.
        """
        return None

    def expected_statistics(self) -> dict[str, Tensor]:
        """:meth:`statistics` of one row, in the mean over rows that are distributed as the prior says.

        Raises NotImplementedError where ``closed_m_step`` is False.
        """
        raise NotImplementedError(f"{type(self).__name__} has no closed M-step, and so no statistics.")

    def maximise(self, statistics: dict[str, Tensor]) -> None:
        """Change the parameters, in place, so that the weighted mean of log p(z) over the draws is no less than before.

        Raises NotImplementedError where ``closed_m_step`` is False.
        """
        raise NotImplementedError(f"{type(self).__name__} has no closed M-step: learn its parameters by gradients.")

    def tracer(self) -> Tracer:
        """``trace(z)`` returns log_prob and ``pullback(cotangent) -> gradient of z``."""

        def trace(z: Tensor) -> tuple[Tensor, Pullback]:
            (value,), backward = autograd_trace(self.log_prob, z)

            def pullback(cotangent: Tensor) -> Tensor:
                gradient: Tensor | None = backward(cotangent)[0]
                # A density that is constant in z has no gradient.
                return torch.zeros_like(z) if gradient is None else gradient

            return value, pullback

        return trace

    def normal_kl_tracer(self) -> Tracer:
        """``trace(mean, log_scale, scale)`` returns the KL and ``pullback(cotangent)``, the gradients of the first two.

        The value may come as a function that computes it; ``scale`` is exp(log_scale), which the caller has.
        """

        def trace(mean: Tensor, log_scale: Tensor, scale: Tensor) -> tuple[Part, Pullback]:
            (value,), pullback = autograd_trace(self.normal_kl, mean, log_scale)
            return value, pullback

        return trace

    def kl_tracer(self) -> Tracer:
        """``trace(draw)`` returns :meth:`closed_kl` and ``pullback(cotangent)``, what the draw's pullback takes of it.

        That is the gradients of mean, log_scale and dependence. The value may come as a function that computes it.
        """
        normal = self.normal_kl_tracer()

        def trace(draw: Draw) -> tuple[Part, Pullback]:
            kl, pull = normal(draw.mean, draw.log_scale, draw.scale)
            dependence = draw.dependence
            value = kl if dependence is None else lambda: evaluate(kl) + dependence
            return value, lambda cotangent: (*pull(cotangent), cotangent)

        return trace


@dataclass
class PriorSpec(Spec, ABC):
    """Base of the prior specs."""

    has_components: ClassVar[bool] = False
    """Whether the prior is a mixture of few components: clusters."""
    has_categories: ClassVar[bool] = False
    """Whether latent variables are categories, so that posterior means are probabilities."""

    @property
    def fits_draws(self) -> bool:
        """Whether the prior has parameters that can be fitted to draws of posteriors, whatever the networks."""
        return False

    @property
    def pretraining(self) -> float | int:
        """Epochs, or the share of them, before the prior starts from rows; the KL has weight 0 until then."""
        return 0

    @property
    def temperatures(self) -> tuple[float, float, float | int] | None:
        """First and last temperature of relaxed draws, and the epochs, or the share of them, from one to the other."""
        return None

    def n_latent(self, n_components: int) -> int:
        """Numbers that the decoder sees of z."""
        return n_components

    def has_exact_sums(self, n_components: int) -> bool:
        """Whether z has so few values that models sum over them."""
        return False

    @abstractmethod
    def build(self, n_components: int) -> Prior:
        """Return the module; raises ValueError for fields out of range."""
