"""What all mixtures share: which component a row is from, and what starts and repairs ask of their model."""

import math
from abc import abstractmethod

import torch
from torch import Generator, Tensor

from skgen._exact_model import ExactModel, Parameters, Posterior
from skgen._rows import Tile

NO_WEIGHT = -1e4
"""Log-weight of components that are left out."""


def draw_labels(probability: Tensor, generator: Generator) -> Tensor:
    """A component for each row (rows,), drawn from its probabilities (K, rows)."""
    cumulative = probability.cumsum(0)
    uniform = torch.rand(probability.shape[1:], dtype=probability.dtype, device=probability.device, generator=generator)
    return (cumulative <= uniform * cumulative[-1]).sum(0).clamp_max(len(probability) - 1)


def draw_sorted_labels(log_weights: Tensor, n_rows: int, generator: Generator) -> Tensor:
    """Components (n_rows,) drawn by their log-weights (K,), in their order."""
    return draw_labels(log_weights.exp().unsqueeze(1).expand(-1, n_rows), generator).sort().values


def draw_responsibilities(joint: Tensor, weight: Tensor | None, generator: Generator) -> Tensor:
    """The weight of each row at a component drawn from log p(x, component) (K, rows), 0 elsewhere, (K, rows)."""
    label = draw_labels(torch.softmax(joint, 0), generator)
    weight = torch.ones_like(joint[0]) if weight is None else weight
    return torch.zeros_like(joint).scatter_(0, label.unsqueeze(0), weight.unsqueeze(0))


class ComponentPosterior(Posterior):
    """Which component a row is from, at some parameters; a subclass has ``joint``."""

    @abstractmethod
    def joint(self, tile: Tile) -> Tensor:
        """log p(x, component) for every component and row, (K, rows), in nats; differentiable."""

    def log_prob(self, tile: Tile) -> Tensor:
        return torch.logsumexp(self.joint(tile), 0)

    def responsibilities(self, tile: Tile) -> Tensor:
        """p(component | x), (rows, K)."""
        return torch.softmax(self.joint(tile), 0).T


class MixtureModel(ExactModel):
    """A mixture of ``n_components`` in ``n_features`` that starts from clusters, and can be drawn from."""

    n_components: int
    n_features: int

    @abstractmethod
    def from_responsibilities(self, r: Tensor, x: Tensor) -> Parameters:
        """Parameters of components that take some share of each row.

        Parameters
        ----------
        r : Tensor of shape (K, rows)
            The shares, times the weights of the rows.
        x : Tensor of shape (rows, features)
            Complete rows.
        """

    @abstractmethod
    def n_parameters(self) -> int:
        """Number of free parameters."""

    @abstractmethod
    def sample(self, parameters: Parameters, n_rows: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Independent draws (n_rows, features) and their components (n_rows,), in the order of the components."""


class RepairableMixture(MixtureModel):
    """A mixture with ``log_weights`` (K,) and ``means`` (K, features) whose degenerate components can be replaced."""

    @abstractmethod
    def degenerate(self, parameters: Parameters) -> Tensor:
        """True for components whose density has no upper limit in float64, (K,)."""

    @abstractmethod
    def of_components(self) -> set[str]:
        """Names of the parameters that have an entry for each component."""

    @abstractmethod
    def borrowed(self, parameters: Parameters, marks: Tensor) -> Parameters:
        """Other components' shape in place of the marked ones'."""

    def without(self, parameters: Parameters, marks: Tensor) -> Parameters:
        """The parameters with no weight on some components, marked (K,), and shapes for them that others have."""
        log_weights = torch.log_softmax(parameters["log_weights"].masked_fill(marks, NO_WEIGHT), 0)
        return parameters | self.borrowed(parameters, marks) | {"log_weights": log_weights}

    def placed(self, parameters: Parameters, index: Tensor, means: Tensor) -> Parameters:
        """The parameters with some components at other means, each with the share of an average one."""
        log_weights, places = parameters["log_weights"].clone(), parameters["means"].clone()
        log_weights[index] = -math.log(self.n_components)
        places[index] = means
        return parameters | {"log_weights": torch.log_softmax(log_weights, 0), "means": places}

    def kept(self, parameters: Parameters, marks: Tensor) -> Parameters:
        """The parameters of the marked components only, for a model of their number."""
        names = self.of_components()
        result = parameters | {name: value[marks] for name, value in parameters.items() if name in names}
        return result | {"log_weights": torch.log_softmax(result["log_weights"], 0)}
