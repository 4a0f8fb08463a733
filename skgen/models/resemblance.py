"""What training may maximise in place of a likelihood: how alike a reconstruction and a row look."""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from skgen._trace import Pullback, Tracer
from skgen.distributions.similarity import feature_distance, layers_of, structural_similarity

Distance = Callable[[Tensor, Tensor], Tensor]
"""Of images (n, channels, height, width) from as many others, (n,); 0 where they are equal."""
RowMap = Callable[[Tensor], Tensor]


class Resemblance:
    r"""Minus the distance of the mean of p(x | z) from a row, times the number of columns.

    .. math:: -D\, d(E[x \mid z], x)

    It takes the place of :math:`\log p(x \mid z)` in training, with a size like that of a sum over the columns, but is
    no log-density: nothing that is computed from it is a likelihood or a bound on one.

    Parameters
    ----------
    distance : Distance
        Differentiable, of images in the user's units.
    mean : callable
        Decoder's outputs (..., n_outputs) to standardised means (..., D).
    unstandardize : callable
        Standardised rows to the user's units.
    image_shape : tuple of int
        Channels, height and width, D numbers together.
    """

    def __init__(
        self, distance: Distance, mean: RowMap, unstandardize: RowMap, image_shape: tuple[int, int, int]
    ) -> None:
        self.distance = distance
        self.mean = mean
        self.unstandardize = unstandardize
        self.image_shape = image_shape

    def __call__(self, outputs: Tensor, x: Tensor) -> Tensor:
        """For outputs (..., n_outputs) and standardised rows that they broadcast to, (...)."""
        mean = self.unstandardize(self.mean(outputs))
        rows = self.unstandardize(x).expand_as(mean)
        distance = self.distance(*(part.reshape(-1, *self.image_shape) for part in (mean, rows)))
        return -math.prod(self.image_shape) * distance.view(mean.shape[:-1])

    def tracer(self) -> Tracer:
        """As that of a likelihood; parameters that the distance may have get no gradient."""

        def trace(outputs: Tensor, x: Tensor) -> tuple[Tensor, Pullback]:
            with torch.enable_grad():
                leaf = outputs.detach().requires_grad_()
                value = self(leaf, x)

            def pullback(cotangent: Tensor) -> Tensor:
                (gradient,) = torch.autograd.grad(value, leaf, cotangent.expand_as(value))
                return gradient

            return value.detach(), pullback

        return trace


def dissimilarity(data_range: float, sigma: float | None) -> Distance:
    """1 less the structural similarity, averaged over channels; for the arguments see the function of that name."""

    def distance(x: Tensor, y: Tensor) -> Tensor:
        # In units of the range, which it does not depend on, no square overflows.
        return 1 - structural_similarity(x / data_range, y / data_range, data_range=1.0, sigma=sigma).mean(1)

    return distance


def feature_distance_of(network: Callable[[Tensor], object], device: torch.device) -> Distance:
    """Distance in the features of a network (see ``layers_of``), which of a module is a copy in evaluation mode."""
    parameter = None
    if isinstance(network, nn.Module):
        network = copy.deepcopy(network).to(device).eval().requires_grad_(False)
        parameter = next(network.parameters(), None)

    def distance(x: Tensor, y: Tensor) -> Tensor:
        images = (part if parameter is None else part.to(parameter.dtype) for part in (x, y))
        return feature_distance(*(layers_of(network, part) for part in images)).to(x.dtype)

    return distance
