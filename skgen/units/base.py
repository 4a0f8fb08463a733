"""What a layer of units must offer."""

from abc import ABC, abstractmethod

from torch import Generator, Tensor, nn


class Units(nn.Module, ABC):
    r"""A layer of independent units, each an exponential family in its field.

    .. math:: p(x_i; \theta_i) = m(x_i) \exp(\theta_i x_i - A(\theta_i))

    with the base measure m and the log-partition function A. States and fields are (..., n_units). Implement the
    abstract methods. A unit may be a block of several columns, as a category is: ``log_partition`` then has one entry
    per block.
    """

    measure = "mass"
    """What densities of the states are relative to: "mass" or "density"."""
    unbounded = False
    """Whether the states reach infinity, so that a density with real visible units may have no finite integral."""
    mean_bound = (1.0, 0.0)
    """Numbers c and s with means between 0 and c + s max(field, 0), for units whose means have one sign."""
    scaled = False
    """Whether the states have a scale, so that a visible layer needs one standard deviation per column."""

    def __init__(self, n_units: int) -> None:
        super().__init__()
        self.n_units = n_units

    @abstractmethod
    def log_partition(self, field: Tensor) -> Tensor:
        """A(field) of each unit, (..., n_units) to (..., number of units or blocks)."""

    @abstractmethod
    def mean(self, field: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Expected states; ``out`` may be the field itself, which is then overwritten."""

    @abstractmethod
    def draw(self, field: Tensor, generator: Generator) -> Tensor:
        """Independent states, in the dtype of the field."""

    def mean_and_draw(self, field: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Both, for less than twice the work where they have something in common; the field may be overwritten."""
        drawn = self.draw(field, generator)
        return self.mean(field, out=reusable(field)), drawn

    @abstractmethod
    def log_base(self, x: Tensor) -> Tensor:
        """Logarithm of the base measure, summed over units, (..., n_units) to (...)."""

    def states(self, numbers: Tensor | None = None) -> Tensor | None:
        """The joint states of the layer with the given numbers, from 0 to n_states - 1, (len(numbers), n_units).

        All of them without numbers, and None where there are infinitely many.
        """
        return None

    @property
    def n_states(self) -> int | None:
        """Number of joint states of the layer; None where there are infinitely many."""
        return None

    def initial_bias(self, mean: Tensor, *, least: float = 1e-3) -> Tensor:
        """Fields at which units alone have a mean; probabilities are kept from 0 and 1 by ``least``."""
        return mean.clone()


def reusable(tensor: Tensor) -> Tensor | None:
    """The tensor as memory for a result, or None where autograd needs it."""
    return None if tensor.requires_grad else tensor
