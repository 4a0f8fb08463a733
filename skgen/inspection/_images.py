"""Rows as images on a sheet, and matrices as tables of colours."""

import numpy as np

from skgen._spec import check_count
from skgen.estimators._images import channels_first

GAP, WIDE_GAP = 1, 4
"""Pixels between the images of a sheet, and between blocks of them."""
CHANNELS = (1, 3)
"""Numbers of channels that can be shown: grey and colour."""
BACKGROUND = "lightsteelblue"
"""Colour behind images, seen in gaps between them and where pixels are missing."""
INCH = 0.45
"""Width of an image on a sheet of its own, in inches."""
MOST_NAMES = 40
"""Columns up to which each has its name at an axis."""


def as_images(rows, image_shape):
    """Rows (..., features) as images (n, height, width), or (n, height, width, 3) in colour.

    ``image_shape`` is (height, width) or (channels, height, width), in the order of the columns.
    """
    images = channels_first(rows, image_shape)
    if images.shape[1] not in CHANNELS:
        raise ValueError(f"image_shape must have 1 or 3 channels to be shown, got {image_shape!r}.")
    return images[:, 0] if images.shape[1] == 1 else images.transpose(0, 2, 3, 1)


def side_by_side(n_images, n_columns=None):
    """Number of images side by side; None stands for that of a sheet somewhat wider than high."""
    if n_columns is None:
        return min(n_images, int(np.ceil(np.sqrt(1.5 * n_images))))
    check_count(n_columns, "n_columns")
    return n_columns


def sheet(images, n_columns):
    """Images beside and below each other, with gaps of NaN; images (n, height, width) or (n, height, width, 3)."""
    n_lines = -(-len(images) // n_columns)
    absent = [(0, n_lines * n_columns - len(images)), (0, GAP), (0, GAP)] + [(0, 0)] * (images.ndim - 3)
    padded = np.pad(images.astype(float), absent, constant_values=np.nan)
    height, width = padded.shape[1:3]
    grid = padded.reshape(n_lines, n_columns, height, width, *padded.shape[3:]).swapaxes(1, 2)
    return grid.reshape(n_lines * height, n_columns * width, *padded.shape[3:])[:-GAP, :-GAP]


def sheet_size(n_images, n_columns):
    """Width and height of the figure of a sheet of square images, in inches."""
    return max(3.0, INCH * n_columns) + 0.8, max(1.2, INCH * -(-n_images // n_columns)) + 0.3


def draw_sheet(ax, array, **options):
    """Draw a sheet, of grey values or of colours in [0, 1]; gaps and missing pixels show the background."""
    if array.ndim == 3:
        seen = ~np.isnan(array).any(axis=2, keepdims=True)
        array = np.concatenate([np.where(seen, array, 0).clip(0, 1), seen], axis=2)
    drawn = ax.imshow(array, **{"interpolation": "nearest"} | options)
    ax.set(xticks=[], yticks=[], facecolor=BACKGROUND)
    return drawn


def grey(images):
    """Options of a sheet of grey values: dark is high, from the least to the largest of them."""
    return {"cmap": "gray_r", "vmin": np.nanmin(images), "vmax": np.nanmax(images)}


def diverging(values):
    """Options of an image of values on both sides of 0, which is white: red is positive, blue negative."""
    bound = np.nanmax(np.abs(values)) or 1.0
    return {"cmap": "RdBu_r", "vmin": -bound, "vmax": bound}


def draw_blocks(ax, blocks, labels, **options):
    """Draw sheets of one width below each other, each with its label to the left."""
    parts, middles, height = [], [], 0
    for block in blocks:
        middles.append(height + (len(block) - 1) / 2)
        parts += [block, np.full_like(block[:1], np.nan).repeat(WIDE_GAP, axis=0)]
        height += len(block) + WIDE_GAP
    drawn = draw_sheet(ax, np.concatenate(parts[:-1]), **options)
    label_heights(ax, middles, labels)
    return drawn


def label_lines(ax, labels, height):
    """Write a label to the left of each line of a sheet of images of a height."""
    label_heights(ax, (height + GAP) * np.arange(len(labels)) + (height - 1) / 2, labels)


def label_heights(ax, heights, labels):
    """Write labels to the left of an image."""
    ax.set_yticks(heights, labels)
    ax.tick_params(axis="y", length=0)


def table_size(n_lines, names):
    """Width and height of the figure of a table, in inches, with room for the names of columns below."""
    below = 0.085 * max(map(len, names)) if len(names) <= MOST_NAMES else 0
    return 7.5, min(12, 1.5 + 0.3 * n_lines + below)


def draw_table(ax, values, lines, names, **options):
    """Draw a matrix as coloured cells, with names of its lines and columns where there is room."""
    drawn = ax.imshow(values, **{"aspect": "auto", "interpolation": "nearest"} | diverging(values) | options)
    if len(lines) <= MOST_NAMES:
        ax.set_yticks(range(len(lines)), lines)
    if len(names) <= MOST_NAMES:
        ax.set_xticks(range(len(names)), names, rotation=90 if max(map(len, names)) > 2 else 0)
    else:
        ax.set(xlabel="column")
    return drawn
