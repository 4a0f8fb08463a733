"""Rows of numbers as images."""

import math

import numpy as np


def checked_shape(image_shape, n_features):
    """(channels, height, width) of an ``image_shape`` for rows of so many columns; ValueError where it does not fit."""
    shape = tuple(np.atleast_1d(image_shape).tolist())
    if len(shape) not in (2, 3) or not all(type(number) is int and number > 0 for number in shape):
        raise ValueError(
            f"image_shape must be (height, width) or (channels, height, width), whole numbers, got {image_shape!r}."
        )
    if np.prod(shape) != n_features:
        raise ValueError(
            f"image_shape={image_shape!r} has {np.prod(shape)} numbers, but a row has {n_features} columns: both "
            "must be equal."
        )
    return (1, *shape) if len(shape) == 2 else shape


def channels_first(rows, image_shape):
    """Rows (..., n_features) as images (n, n_channels, height, width).

    ``image_shape`` is (height, width) or (channels, height, width), in the order of the columns.
    """
    return rows.reshape(-1, *checked_shape(image_shape, rows.shape[-1]))


def likely_shape(n_features):
    """A square of one channel where the number of columns is one, else a single line of pixels."""
    side = math.isqrt(n_features)
    return (1, side, side) if side**2 == n_features else (1, 1, n_features)
