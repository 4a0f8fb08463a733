"""How alike two images look, by functions that have gradients and so serve as losses too."""

from collections.abc import Callable, Iterable, Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn.functional import conv2d

STABILIZERS = (0.01, 0.03)
"""Shares of the data range whose squares keep the quotients of means and of variances finite where both are 0."""
TRUNCATE = 3.5
"""Standard deviations at which a Gaussian window ends."""
UNIFORM_SIZE = 7
"""Side of the window of equal weights."""
TINY = 1e-10
"""Added to the length of a feature vector, so that one of zeros has a direction, 0, and a gradient."""


def window_size(sigma: float | None) -> int:
    """Side of the window, in pixels."""
    return UNIFORM_SIZE if sigma is None else 2 * int(TRUNCATE * sigma + 0.5) + 1


def structural_similarity(x: Tensor, y: Tensor, *, data_range: float, sigma: float | None = 1.5) -> Tensor:
    r"""Mean structural similarity of images, 1 where they are equal, differentiable in both.

    .. math:: \frac{(2 \mu_x \mu_y + c_1) (2 \sigma_{xy} + c_2)}
        {(\mu_x^2 + \mu_y^2 + c_1) (\sigma_x^2 + \sigma_y^2 + c_2)}

    with local means, variances and covariances in a window around each pixel, averaged over the pixels whose window
    lies in the image (Wang, Bovik, Sheikh and Simoncelli 2004, "Image quality assessment: from error visibility to
    structural similarity", https://doi.org/10.1109/TIP.2003.819861).

    Parameters
    ----------
    x, y : Tensor of shape (..., height, width)
        Images, each side at least ``window_size(sigma)``.
    data_range : float
        The largest value that a pixel can have, less the smallest.
    sigma : float or None
        Standard deviation of the Gaussian window in pixels; None stands for windows of 7 x 7 equal weights with
        unbiased variances, scikit-image's default.

    Returns
    -------
    Tensor of shape (...)
    """
    weights = _window(sigma, x)
    # Variances and covariances do not depend on the origin, but their digits do.
    origin = x.detach().mean((-2, -1), keepdim=True)
    x, y = x - origin, y - origin
    stacked = torch.stack([x, y, x * x, y * y, x * y])
    mean_x, mean_y, square_x, square_y, product = _filtered(stacked, weights)
    unbiased = 1.0 if sigma is not None else UNIFORM_SIZE**2 / (UNIFORM_SIZE**2 - 1)
    variances = unbiased * (square_x - mean_x.square() + square_y - mean_y.square())
    covariance = unbiased * (product - mean_x * mean_y)
    c1, c2 = ((share * data_range) ** 2 for share in STABILIZERS)
    mean_x, mean_y = mean_x + origin, mean_y + origin
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    similarity: Tensor = luminance * (2 * covariance + c2) / (variances + c2)
    return similarity.mean((-2, -1))


def _window(sigma: float | None, like: Tensor) -> Tensor:
    """Weights along one side of the window; those of the window are their products."""
    size = window_size(sigma)
    offsets = torch.arange(size, dtype=like.dtype, device=like.device) - size // 2
    weights = torch.ones_like(offsets) if sigma is None else torch.exp(-0.5 * (offsets / sigma) ** 2)
    return weights / weights.sum()


def _filtered(images: Tensor, weights: Tensor) -> Tensor:
    """Weighted local means of images (..., height, width), where the window lies inside."""
    flat = images.reshape(-1, 1, *images.shape[-2:])
    flat = conv2d(conv2d(flat, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))
    return flat.view(*images.shape[:-2], *flat.shape[-2:])


def layers_of(network: Callable[[Tensor], object], x: Tensor) -> list[Tensor]:
    """A network's features of x (n, ...), layer by layer, (n, n_channels, ...); ValueError where they are none."""
    features = network(x)
    layers = [features] if isinstance(features, Tensor) else list(cast("Iterable[Tensor]", features))
    if not layers:
        raise ValueError("network must give a tensor or a list of tensors, got an empty list.")
    for layer in layers:
        if layer.ndim < 2 or len(layer) != len(x):
            raise ValueError(
                f"network must give tensors (n, n_channels, ...) with one entry for each of the {len(x)} rows, got the "
                f"shape {tuple(layer.shape)}."
            )
    return layers


def feature_distance(features_x: Sequence[Tensor], features_y: Sequence[Tensor]) -> Tensor:
    r"""Squared distances of the directions of feature vectors, averaged over places and summed over layers.

    .. math:: \sum_l \mathrm{mean}_p \left| \frac{f^l_p(x)}{|f^l_p(x)|} - \frac{f^l_p(y)}{|f^l_p(y)|} \right|^2

    It is the perceptual distance with equal weights (Zhang, Isola, Efros, Shechtman and Wang 2018, "The unreasonable
    effectiveness of deep features as a perceptual metric", https://arxiv.org/abs/1801.03924); differentiable.

    Parameters
    ----------
    features_x, features_y : sequences of Tensors of shape (batch, channels, ...)
        Features of both, layer by layer.

    Returns
    -------
    Tensor of shape (batch,)
    """
    layers = []
    for x, y in zip(features_x, features_y, strict=True):
        difference = (_directions(x) - _directions(y)).square().sum(1)
        layers.append(difference.flatten(1).mean(1) if difference.ndim > 1 else difference)
    return torch.stack(layers).sum(0)


def _directions(features: Tensor) -> Tensor:
    """Vectors along the axis of channels, scaled to length 1; their gradient is finite at 0, unlike the length's."""
    # In units of the largest entry no square overflows; the quotient does not depend on the units.
    unit = features.detach().abs().amax(1, keepdim=True).clamp_min(TINY)
    features = features / unit
    return features / torch.sqrt(features.square().sum(1, keepdim=True) + (TINY / unit) ** 2)
