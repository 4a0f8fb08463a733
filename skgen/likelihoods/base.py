"""What a likelihood must offer."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from skgen._spec import Spec
from skgen._trace import Pullback, Tracer, autograd_trace


class Standardization(NamedTuple):
    """Affine change of the user's columns, each field (n_features,).

    The likelihood sees (x - shift) / scale, and its log-density loses the sum of log scale; the encoder sees
    (x - shift) / input_scale.
    """

    shift: Tensor
    scale: Tensor
    input_scale: Tensor


def unscaled(mean: Tensor, scale: Tensor) -> Standardization:
    """Columns as they are for the likelihood; the encoder sees them divided by their root mean square."""
    size, one = torch.hypot(mean, scale), torch.ones_like(mean)
    return Standardization(torch.zeros_like(mean), one, torch.where(size > 0, size, one))


class Head(NamedTuple):
    """Weight (n_hidden, n_outputs) and bias (n_outputs,) of the layer that gives a likelihood its outputs."""

    weight: Tensor
    bias: Tensor


class Likelihood(nn.Module, ABC):
    """A distribution p(x | outputs) over standardised rows; outputs are unconstrained reals.

    Shapes: outputs (..., n_outputs), x (..., n_features), log_prob (...). Implement the abstract methods; override
    ``log_prob`` where the sum is cheaper than its parts, and ``tracer`` where the gradient has a closed form.
    """

    measure = "density"
    """What log_prob is relative to: "density", "mass" or "mixed"; nats compare only within one."""
    support: tuple[float, float] | None = None
    """Range of values: outside a bounded one they are clipped with a warning, below a one-sided one, that of counts,
    they are refused. None for the real line."""
    whole = False
    """Whether values are whole numbers; others are rounded with a warning."""
    redraws = False
    """Whether ``augment`` draws, so that training rows differ between epochs."""
    nominal = False
    """Whether values are codes without order, for which ``mean`` is the mode."""
    starts_from_shares = False
    """Whether a start needs the means of the inputs, as ``initialize_shares`` takes them."""

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__()
        self.n_features = n_features
        self.n_outputs = n_outputs

    @property
    def n_inputs(self) -> int:
        """Number of inputs that an encoder has for a row."""
        return self.n_features

    def inputs(self, x: Tensor) -> Tensor:
        """What an encoder sees of rows, (..., n_features) to (..., n_inputs): numbers are their own inputs."""
        return x

    def per_input(self, values: Tensor) -> Tensor:
        """A number for each column, (n_features,), as one for each of its inputs, (n_inputs,)."""
        return values

    @abstractmethod
    def standardize(self, mean: Tensor, scale: Tensor) -> Standardization:
        """Choose the standardisation from each column's mean and standard deviation (0 for constant columns)."""

    @abstractmethod
    def initialize(self, head: Head, mean: Tensor, scale: Tensor) -> None:
        """Set starting values of the head and of own parameters, in place; mean and scale as above."""

    def initialize_shares(self, head: Head, mean: Tensor) -> None:
        """Set what starts from the mean of each input over the rows, (n_inputs,), in place: shares of categories."""
        return

    @abstractmethod
    def compensate(self, head: Head, old: Standardization, new: Standardization, revived: Tensor) -> None:
        """Change head and own parameters, in place, so that p(x) in the user's units stays the same.

        ``revived`` marks the columns that had been constant and are no longer: they start afresh.
        """

    @abstractmethod
    def log_probs(self, outputs: Tensor, x: Tensor) -> Tensor:
        """Log-density of each entry of standardised rows, (..., n_features): features are independent given outputs."""

    def log_prob(self, outputs: Tensor, x: Tensor) -> Tensor:
        """Log-density of standardised rows, summed over features."""
        return self.log_probs(outputs, x).sum(-1)

    @abstractmethod
    def mean(self, outputs: Tensor) -> Tensor:
        """E[x | outputs], standardised."""

    def expectations(self, outputs: Tensor) -> Tensor:
        """What is averaged over draws of outputs: means, and probabilities of categories, (..., n_inputs)."""
        return self.mean(outputs)

    def from_expectations(self, values: Tensor) -> Tensor:
        """Rows from an average of :meth:`expectations`: means, and the most probable categories."""
        return values

    @abstractmethod
    def sample(self, outputs: Tensor, *, generator: Generator) -> Tensor:
        """One draw of x, standardised, for each row of outputs."""

    def augment(self, x: Tensor, *, generator: Generator, shared: bool = False) -> Tensor:
        """The rows to train on in this epoch; the same rows unless the likelihood redraws them.

        ``shared``: equal rows are redrawn alike, so that a row's weight means its repetition.
        """
        return x

    def noise_variance(self) -> Tensor | None:
        """Noise variance per column in standardised units, (n_features,); None where it depends on the row."""
        return None

    def tracer(self) -> Tracer:
        """``trace(outputs, x)`` returns log_prob and ``pullback(cotangent) -> gradient of outputs``.

        The value may come as a function that computes it.
        """

        def trace(outputs: Tensor, x: Tensor) -> tuple[Tensor, Pullback]:
            (value,), pullback = autograd_trace(lambda leaf: self.log_prob(leaf, x), outputs)
            return value, lambda cotangent: pullback(cotangent)[0]

        return trace


class Domain(NamedTuple):
    """What the modules of a spec say of values, whatever the columns are: see the attributes of Likelihood."""

    measure: str
    support: tuple[float, float] | None
    whole: bool


@dataclass
class LikelihoodSpec(Spec, ABC):
    """Base of the likelihood specs."""

    @abstractmethod
    def build(self, n_features: int) -> Likelihood:
        """Return the module; raises ValueError for fields out of range."""

    def domain(self) -> Domain:
        """Measure and values of the modules; raises as ``build`` does."""
        likelihood = self.build(1)
        return Domain(likelihood.measure, likelihood.support, likelihood.whole)

    def by_column(self, n_features: int) -> list["tuple[LikelihoodSpec, list[int]]"]:
        """The specs of single families that rows fall into, each with the numbers of its columns."""
        return [(self, list(range(n_features)))]
