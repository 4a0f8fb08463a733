"""Tests of skgen.inspection._images."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from skgen.inspection import _images

ROWS = np.arange(5 * 6, dtype=float).reshape(5, 6)


def test_a_sheet_has_each_image_in_its_place_with_blank_gaps():
    images = _images.as_images(ROWS, (2, 3))
    sheet = _images.sheet(images, 2)
    assert sheet.shape == (3 * 3 - 1, 2 * 4 - 1)
    for i, image in enumerate(images):
        line, place = divmod(i, 2)
        np.testing.assert_array_equal(sheet[3 * line : 3 * line + 2, 4 * place : 4 * place + 3], image)
    assert np.isnan(sheet).sum() == sheet.size - ROWS.size


def test_columns_of_colour_images_are_in_the_order_of_channels():
    row = np.arange(12.0)
    (image,) = _images.as_images(row, (3, 2, 2))
    assert image.shape == (2, 2, 3)
    np.testing.assert_array_equal(image[..., 1], row[4:8].reshape(2, 2))
    np.testing.assert_array_equal(_images.as_images(row, (1, 3, 4)), _images.as_images(row, (3, 4)))


def test_gaps_between_colour_images_show_the_background():
    _, ax = plt.subplots()
    images = np.full((2, 2, 2, 3), 0.25)
    array = _images.draw_sheet(ax, _images.sheet(images, 2)).get_array()
    np.testing.assert_array_equal(array[:, 2, 3], 0)
    np.testing.assert_array_equal(array[:, [0, 1, 3, 4]], np.broadcast_to([0.25, 0.25, 0.25, 1], (2, 4, 4)))
    assert to_rgb(ax.get_facecolor()) == to_rgb(_images.BACKGROUND)


def test_blocks_are_below_each_other_with_their_labels_in_the_middle():
    _, ax = plt.subplots()
    upper, lower = np.zeros((3, 4)), np.ones((5, 4))
    drawn = _images.draw_blocks(ax, [upper, lower], ["a", "b"])
    array = drawn.get_array().filled(np.nan)
    np.testing.assert_array_equal(array[:3], upper)
    np.testing.assert_array_equal(array[-5:], lower)
    assert np.isnan(array[3:-5]).all()
    np.testing.assert_array_equal(ax.get_yticks(), [1, 3 + _images.WIDE_GAP + 2])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]


def test_lines_have_their_labels_in_the_middle_of_their_images():
    _, ax = plt.subplots()
    _images.draw_sheet(ax, _images.sheet(np.zeros((4, 3, 3)), 2))
    _images.label_lines(ax, ["a", "b"], 3)
    np.testing.assert_array_equal(ax.get_yticks(), [1, 5])


def test_a_diverging_scale_is_symmetric_about_white():
    options = _images.diverging(np.array([-1.0, 3.0]))
    assert (options["vmin"], options["vmax"]) == (-3, 3)
    assert _images.diverging(np.zeros(2))["vmax"] == 1


@pytest.mark.parametrize("n_names", [3, _images.MOST_NAMES + 1])
def test_a_table_names_its_columns_where_there_is_room(n_names):
    _, ax = plt.subplots()
    names = [f"name {i}" for i in range(n_names)]
    values = np.ones((2, n_names))
    np.testing.assert_array_equal(_images.draw_table(ax, values, ["a", "b"], names).get_array(), values)
    shown = [label.get_text() for label in ax.get_xticklabels()]
    assert (shown == names) == (n_names == 3)
    assert (ax.get_xlabel() == "column") == (n_names > 3)


def test_only_grey_and_colour_images_are_shown():
    with pytest.raises(ValueError, match=r"image_shape must have 1 or 3 channels to be shown, got \(2, 1, 3\)"):
        _images.as_images(ROWS, (2, 1, 3))


def test_a_sheet_is_somewhat_wider_than_high_unless_told():
    assert _images.side_by_side(60) == 10
    assert _images.side_by_side(60, 4) == 4
    with pytest.raises(ValueError, match="n_columns must be an integer of at least 1, got 0"):
        _images.side_by_side(60, 0)
