"""Distances of draws from rows, which stand for a likelihood."""

import numpy as np
import pytest
import torch

from skgen.estimators._adversarial_score import MOST_COMPARED, Distance, bandwidths_of, compared_rows
from tests.parts import normal


def test_distances_weigh_rows_and_count_a_sample_s_pairs_without_themselves(generator):
    x, drawn = normal(12, 2, generator=generator), normal(9, 2, generator=generator)
    times = torch.tensor([1, 2, 0, 3, 1, 1, 4, 1, 2, 1, 1, 1])
    bandwidths = np.array([0.5, 2.0])
    weighted = Distance(x, times / times.sum().double(), bandwidths, sample=False)(drawn)
    repeated = x.repeat_interleave(times, 0)
    equal = torch.full((len(repeated),), 1 / len(repeated), dtype=torch.float64)
    torch.testing.assert_close(weighted, Distance(repeated, equal, bandwidths, sample=False)(drawn))
    kernel = Distance(x, equal[:12], bandwidths, sample=True).kernel
    expected = (kernel(x, x).sum() - 12) / 132 + (kernel(drawn, drawn).sum() - 9) / 72 - 2 * kernel(x, drawn).mean()
    share = torch.full((12,), 1 / 12, dtype=torch.float64)
    torch.testing.assert_close(Distance(x, share, bandwidths, sample=True)(drawn), expected)


def test_bandwidths_reach_from_nearest_rows_to_all_and_forget_repetitions(generator):
    x = normal(30, 2, generator=generator)
    found = bandwidths_of(x)
    np.testing.assert_allclose(found, bandwidths_of(torch.cat([x, x[:9], x[:9]])))
    assert (np.diff(found) > 0).all()
    assert found[-1] == pytest.approx(float(torch.pdist(x).median()))


@pytest.mark.parametrize("size", [0.0, 1e-320, 1e-160, 1e-25])
def test_differences_below_those_of_rounding_make_no_bandwidth(size):
    x = torch.linspace(-1, 1, 40, dtype=torch.float64).reshape(-1, 1)
    alike = torch.cat([x, x + size, size * x])
    for rows in (alike, size * x, alike.float()):
        found = bandwidths_of(rows)
        assert (np.isfinite(found) & (found >= 1e-6)).all()
        share = torch.full((len(rows),), 1 / len(rows), dtype=rows.dtype)
        distance = Distance(rows, share, found, sample=False)
        assert float(distance(rows + 3)) > float(distance(rows))


def test_a_row_with_all_the_weight_is_like_a_single_row(generator):
    x, drawn, bandwidths = normal(9, 2, generator=generator), normal(7, 2, generator=generator), np.array([0.5, 2.0])
    alone = Distance(x[:1], torch.ones(1, dtype=torch.float64), bandwidths, sample=True)(drawn)
    for others in (0.0, 1e-300, 1e-20):
        share = torch.tensor([1.0] + 8 * [others], dtype=torch.float64)
        torch.testing.assert_close(Distance(x, share, bandwidths, sample=True)(drawn), alone)


@pytest.mark.parametrize("n_groups", [2, 3, 10])
def test_compared_rows_are_of_all_groups_where_groups_take_turns(n_groups):
    rows = compared_rows(2000)
    assert len(np.unique(rows)) == MOST_COMPARED
    np.testing.assert_array_equal(compared_rows(30), np.arange(30))
    count = np.bincount(rows % n_groups, minlength=n_groups)
    # The variance of the number of draws without replacement is below that of independent ones.
    assert (abs(count - MOST_COMPARED / n_groups) < 4 * np.sqrt(MOST_COMPARED / n_groups)).all()
