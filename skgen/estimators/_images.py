"""Rows of numbers as images."""

import numpy as np


def channels_first(rows, image_shape):
    """Rows (..., n_features) as images (n, n_channels, height, width).

    ``image_shape`` is (height, width) or (channels, height, width), in the order of the columns.
    """
    shape = tuple(np.atleast_1d(image_shape).tolist())
    if len(shape) not in (2, 3) or not all(type(number) is int and number > 0 for number in shape):
        raise ValueError(
            f"image_shape must be (height, width) or (channels, height, width), whole numbers, got {image_shape!r}."
        )
    if np.prod(shape) != rows.shape[-1]:
        raise ValueError(
            f"image_shape={image_shape!r} has {np.prod(shape)} numbers, but a row has {rows.shape[-1]} columns: both "
            "must be equal."
        )
    return rows.reshape(-1, *((1, *shape) if len(shape) == 2 else shape))
