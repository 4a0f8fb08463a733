import math
from functools import partial

import numpy as np
import pytest
import torch

from skgen.distributions import mean_discrepancy as module
from skgen.distributions.mean_discrepancy import (
    cubic_kernel,
    divided_discrepancies,
    gaussian_kernel,
    mean_discrepancy,
    mean_of_products,
    median_distance,
    nearest_distance,
    scales_kernel,
    squared_distances,
)
from tests.oracles import within
from tests.parts import normal

KERNELS = [partial(gaussian_kernel, bandwidth=1.5), cubic_kernel]


def by_definition(x, y, kernel):
    """The estimate by loops over pairs."""

    def mean(a, b, *, distinct):
        values = [
            float(kernel(a[i : i + 1], b[j : j + 1]))
            for i in range(len(a))
            for j in range(len(b))
            if i != j or not distinct
        ]
        return math.fsum(values) / len(values)

    return mean(x, x, distinct=True) + mean(y, y, distinct=True) - 2 * mean(x, y, distinct=False)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 4)


def expected_gaussian(shift, n_features, bandwidth):
    """The squared discrepancy of N(0, I) and N(shift, I), by the convolution of normal densities."""
    wide = bandwidth**2 + 2
    height = (bandwidth**2 / wide) ** (n_features / 2)
    return 2 * height * (1 - math.exp(-(shift @ shift) / (2 * wide)))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.usefixtures("small_blocks")
def test_the_discrepancy_is_its_definition_in_blocks_of_any_size(kernel, generator):
    x, y = normal(9, 3, generator=generator), normal(6, 3, generator=generator) + 1
    expected = by_definition(x, y, kernel)
    torch.testing.assert_close(float(mean_discrepancy(x, y, kernel)), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.usefixtures("small_blocks")
def test_every_division_has_the_discrepancy_of_its_two_samples(kernel, generator):
    pooled = normal(15, 3, generator=generator)
    members = torch.zeros(15, 5, dtype=torch.bool)
    for division in members.T:
        division[torch.randperm(15, generator=generator)[:6]] = True
    values = divided_discrepancies(pooled, members, kernel)
    expected = torch.stack([mean_discrepancy(pooled[own], pooled[~own], kernel) for own in members.T])
    torch.testing.assert_close(values, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_estimate_is_unbiased(shift, generator):
    shift = torch.tensor([shift, 0.0], dtype=torch.float64)
    estimates = torch.stack(
        [
            mean_discrepancy(normal(8, 2, generator=generator), shift + normal(5, 2, generator=generator), KERNELS[0])
            for _ in range(1000)
        ]
    )
    assert within(estimates, expected_gaussian(shift, 2, 1.5))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.usefixtures("small_blocks")
def test_the_discrepancy_has_gradients(kernel, generator):
    x, y = normal(6, 2, generator=generator).requires_grad_(), normal(5, 2, generator=generator).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: mean_discrepancy(x, y, kernel), (x, y))


def test_descending_the_discrepancy_moves_a_sample_to_the_other(generator):
    x, y = normal(60, 2, generator=generator) + 2, normal(60, 2, generator=generator)
    kernel = partial(gaussian_kernel, bandwidth=median_distance(torch.cat([x, y])))
    x.requires_grad_()
    optimizer = torch.optim.SGD([x], lr=20)
    first = float(mean_discrepancy(x.detach(), y, kernel))
    for _ in range(100):
        optimizer.zero_grad()
        mean_discrepancy(x, y, kernel).backward()
        optimizer.step()
    assert float(mean_discrepancy(x.detach(), y, kernel)) < 0.05 * first


def test_equal_rows_have_finite_gradients():
    x, y = torch.ones(4, 2, requires_grad=True), torch.ones(3, 2)
    mean_discrepancy(x, y, KERNELS[0]).backward()
    assert (x.grad == 0).all()


def test_distances_keep_their_digits_far_from_the_origin(generator):
    x, y = normal(5, 3, generator=generator), normal(4, 3, generator=generator)
    expected = (x[:, None] - y).square().sum(-1)
    torch.testing.assert_close(squared_distances(x, y), expected, rtol=1e-12, atol=1e-12)
    # Rows near 1e6 are themselves rounded to 1e-10.
    torch.testing.assert_close(squared_distances(x + 1e6, y + 1e6), expected, rtol=1e-8, atol=1e-8)


def test_a_row_far_from_all_others_takes_no_digits_from_their_distances(generator):
    x = normal(6, 3, generator=generator)
    far = torch.cat([x, torch.full((1, 3), 1e12, dtype=x.dtype)])
    torch.testing.assert_close(squared_distances(far, far)[:6, :6], squared_distances(x, x), rtol=1e-12, atol=1e-12)
    assert median_distance(far) < 10


def test_the_gaussian_kernel_sees_two_groups_however_far_apart(generator):
    x = normal(6, 3, generator=generator)
    both = torch.cat([x, x + 2.0**30])
    expected = torch.block_diag(*[gaussian_kernel(x, x, 1.0)] * 2)
    # Rows near 2**30 are themselves rounded to 2**-22.
    torch.testing.assert_close(gaussian_kernel(both, both, 1.0), expected, rtol=0, atol=1e-5)


def test_the_median_is_that_of_distinct_rows(generator):
    x = normal(20, 3, generator=generator)
    torch.testing.assert_close(median_distance(x), float(torch.pdist(x).median()))
    copies = torch.cat([x[:3]] + [x[:1]] * 50) + 100
    assert median_distance(copies) > 0.5 * float(torch.pdist(x[:3]).min())
    assert median_distance(torch.ones(5, 2) / 3) == 1.0


def test_single_precision_agrees_with_double(generator):
    x, y = normal(50, 3, generator=generator), normal(40, 3, generator=generator) + 1
    expected = mean_discrepancy(x, y, KERNELS[0]).float()
    torch.testing.assert_close(mean_discrepancy(x.float(), y.float(), KERNELS[0]), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("small_blocks")
def test_a_mean_of_products_weighs_pairs_by_the_shares_of_their_rows(generator):
    x, y = normal(9, 3, generator=generator), normal(6, 3, generator=generator)
    kernel = partial(gaussian_kernel, bandwidth=1.5)
    times = torch.tensor([1, 2, 0, 3, 1, 1, 4, 1, 2])
    share, repeated = times / times.sum().double(), x.repeat_interleave(times, 0)
    torch.testing.assert_close(mean_of_products(x, y, kernel, share), kernel(repeated, y).mean())
    torch.testing.assert_close(mean_of_products(y, x, kernel, None, share), kernel(repeated, y).mean())
    torch.testing.assert_close(mean_of_products(x, y, kernel), kernel(x, y).mean())


def test_the_kernel_of_many_scales_is_a_mean_of_mixtures_of_gaussian_kernels(generator):
    """1 / (1 + d / 2) is the mean of exp(-d t / 2) over exponential t, by Gauss-Laguerre quadrature."""
    x, y = normal(4, 3, generator=generator), normal(5, 3, generator=generator)
    points, weights = np.polynomial.laguerre.laggauss(60)
    expected = sum(
        weight * gaussian_kernel(x, y, bandwidth / point**0.5) / 2
        for bandwidth in (2.0, 5.0)
        for point, weight in zip(points, weights, strict=True)
    )
    torch.testing.assert_close(scales_kernel(x, y, (2.0, 5.0)), expected, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(scales_kernel(x, x, (0.1, 9.0)).diagonal(), torch.ones(4, dtype=torch.float64))


def test_the_nearest_distance_is_that_to_the_next_row_which_is_not_equal():
    x = torch.tensor([[0.0], [0.0], [1.0], [3.0], [7.0]])
    assert nearest_distance(x) == 1
    assert nearest_distance(torch.ones(3, 2)) == 1
    assert nearest_distance(torch.ones(1, 2)) == 1
