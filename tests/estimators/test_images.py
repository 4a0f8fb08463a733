"""Tests of skgen.estimators._images."""

import numpy as np
import pytest

from skgen.estimators._images import channels_first, checked_shape, likely_shape

ROWS = np.arange(5 * 6, dtype=float).reshape(5, 6)


@pytest.mark.parametrize("shape", [(2, 3), (1, 2, 3), (2, 1, 3), [2, 3], np.array([2, 3])])
def test_columns_are_in_the_order_of_channels_lines_and_pixels(shape):
    images = channels_first(ROWS, shape)
    assert images.shape == (5, *(shape if len(shape) == 3 else (1, *shape)))
    np.testing.assert_array_equal(images.ravel(), ROWS.ravel())


@pytest.mark.parametrize("shape", [6, (2, 3, 1, 1), (), (2.0, 3), (-2, -3), None])
def test_a_shape_that_is_no_image_is_refused(shape):
    with pytest.raises(ValueError, match="image_shape must be"):
        channels_first(ROWS, shape)


def test_a_shape_with_another_number_of_columns_is_refused():
    with pytest.raises(ValueError, match=r"image_shape=\(2, 2\) has 4 numbers, but a row has 6 columns"):
        channels_first(ROWS, (2, 2))


@pytest.mark.parametrize(("n_features", "shape"), [(1, (1, 1, 1)), (5, (1, 1, 5)), (64, (1, 8, 8)), (63, (1, 1, 63))])
def test_rows_are_taken_for_squares_where_they_can_be(n_features, shape):
    assert likely_shape(n_features) == shape


def test_a_shape_without_channels_has_one():
    assert checked_shape((2, 3), 6) == (1, 2, 3)
    assert checked_shape([3, 2, 1], 6) == (3, 2, 1)
