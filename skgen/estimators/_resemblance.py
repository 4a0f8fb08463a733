"""What ``reconstruction`` stands for: a resemblance of images that training maximises in place of the likelihood."""

import torch

from skgen.distributions.similarity import UNIFORM_SIZE, window_size
from skgen.models.resemblance import Resemblance, dissimilarity, feature_distance_of

SIGMA = 1.5
"""Standard deviation of the windows of Wang et al. (2004), in pixels."""


def report_of(reconstruction, n_features):
    """Name of the history's entry, and the function that reads it from the term in the likelihood's place."""
    if reconstruction == "ssim":
        return "ssim", lambda term: 1 + term / n_features
    return "feature_distance", lambda term: -term / n_features


def resemblance(reconstruction, model, image_shape, moments):
    """The term for a model; ``moments`` are those of the columns, for the range of their values."""
    likelihood = model.likelihood
    if model.missing:
        raise ValueError(_incomplete("X", reconstruction))
    if likelihood.nominal:
        raise ValueError(
            f"reconstruction={reconstruction!r} compares means with rows, but columns of categories have none: choose "
            "a likelihood of numbers, or set reconstruction=None."
        )
    if reconstruction == "ssim":
        distance = dissimilarity(_data_range(likelihood, moments), _window(image_shape))
    else:
        distance = feature_distance_of(reconstruction, model.scale.device)
        _try_out(distance, reconstruction, model.shift.view(1, *image_shape))
    return Resemblance(distance, likelihood.mean, model.unstandardize, image_shape)


def check_complete(x, reconstruction):
    """Refuse missing values in rows to validate on."""
    if bool(x.isnan().any()):
        raise ValueError(_incomplete("X_val", reconstruction))


def _incomplete(name, reconstruction):
    return (
        f"{name} contains missing values, with which images cannot be compared, as reconstruction={reconstruction!r} "
        "asks for: fill them in, or set reconstruction=None."
    )


def _try_out(distance, network, image):
    """A ValueError where a network gives no features of an image, or none that have a derivative."""
    image = image.detach().clone().requires_grad_()
    try:
        with torch.enable_grad():
            value = distance(image, image)
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        reason = str(error).rstrip(".")
        raise ValueError(
            f"reconstruction={network!r} gives no features of images {tuple(image.shape)}: {reason}. It must map "
            "images (n, channels, height, width), see image_shape, to a tensor or tensors (n, channels, ...)."
        ) from error
    if not value.requires_grad:
        raise ValueError(
            f"reconstruction={network!r} must be differentiable by the images, got features without a gradient. Write "
            "it with torch's functions, without detach, no_grad or numpy."
        )


def _data_range(likelihood, moments):
    """Largest less smallest value: of the likelihood where it has bounds, else of the rows."""
    low, high = likelihood.support or (float(moments["low"].min()), float(moments["high"].max()))
    high = min(high, float(moments["high"].max()))
    return high - low if high > low else 1.0


def _window(image_shape):
    """The largest of the two usual windows that images hold, by its standard deviation; None is the uniform one."""
    side = min(image_shape[1:])
    if side < UNIFORM_SIZE:
        raise ValueError(
            f"reconstruction='ssim' needs images of at least {UNIFORM_SIZE} x {UNIFORM_SIZE} pixels, got rows of "
            f"image_shape={image_shape}. Set image_shape, or reconstruction=None."
        )
    return SIGMA if side >= window_size(SIGMA) else None
