import math

import pytest
import torch

from skgen.objectives.mutual_information import (
    donsker_varadhan,
    infonce,
    jensen_shannon,
    log_mean_exp,
    mine,
    moving_log_average,
    nwj,
    smile,
)
from tests.oracles import within
from tests.parts import normal

RHO = 0.7
TRUTH = -0.5 * math.log(1 - RHO**2)
N_REPEATS, N_PAIRS = 200, 500


def log_ratio(x, z):
    """log p(x, z) / (p(x) p(z)) of standard normal numbers with correlation RHO."""
    return TRUTH - (RHO**2 * (x**2 + z**2) - 2 * RHO * x * z) / (2 * (1 - RHO**2))


@pytest.fixture
def pairs(generator):
    x, noise = normal(2, N_REPEATS, N_PAIRS, generator=generator)
    return x, RHO * x + math.sqrt(1 - RHO**2) * noise


@pytest.fixture
def scores(pairs):
    """Those of the optimal critic, of pairs and of pairs of parts that were drawn apart."""
    x, z = pairs
    return log_ratio(x, z), log_ratio(x, z.roll(1, 0))


def test_with_the_optimal_critic_the_unbiased_bound_is_the_information_of_correlated_normals(scores):
    joint, product = scores
    values = torch.stack([nwj(1 + a, 1 + b) for a, b in zip(joint, product, strict=True)])
    assert within(values, TRUTH)


def test_with_the_optimal_critic_the_others_come_to_the_information_as_pairs_are_added(scores):
    joint, product = scores
    # The delta method gives the standard error of the logarithm of a mean, whose bias is of a smaller order.
    error = joint.std() / joint.numel() ** 0.5 + product.exp().std() / product.numel() ** 0.5
    for bound in (donsker_varadhan, lambda a, b: smile(a, b, 20.0)):
        assert abs(bound(joint.flatten(), product.flatten()) - TRUTH) < 5 * error


def test_the_contrastive_bound_is_below_the_information_and_comes_to_it_with_more_pairs(pairs):
    values = [
        torch.stack([infonce(log_ratio(a[:k, None], b[None, :k])) for a, b in zip(*pairs, strict=True)])
        for k in (2, 10, 200)
    ]
    means = [value.mean() for value in values]
    errors = [value.std() / N_REPEATS**0.5 for value in values]
    assert means[0] < means[1] < means[2]
    assert all(mean < TRUTH + 5 * error for mean, error in zip(means, errors, strict=True))
    assert abs(means[2] - TRUTH) < 5 * errors[2] + 0.02


@pytest.mark.parametrize("size", [1.0, 50.0])
def test_the_contrastive_bound_is_at_most_the_logarithm_of_the_number_of_pairs(size, generator):
    scores = size * normal(8, 8, generator=generator)
    assert infonce(scores) <= math.log(8)
    torch.testing.assert_close(infonce(1000.0 * torch.eye(8).double()), torch.tensor(math.log(8)).double())


def test_for_the_same_critic_the_bound_of_donsker_and_varadhan_is_the_higher_one(generator):
    for _ in range(20):
        joint, product = 3 * normal(2, 50, generator=generator)
        assert donsker_varadhan(joint, product) >= nwj(joint, product)
    # They are equal where the mean of the exponentials is e.
    product = product + 1 - log_mean_exp(product)
    torch.testing.assert_close(donsker_varadhan(joint, product), nwj(joint, product))


def test_a_constant_added_to_a_critic_changes_no_bound_but_nwj(generator):
    joint, product = normal(2, 50, generator=generator)
    matrix = normal(6, 6, generator=generator)
    torch.testing.assert_close(donsker_varadhan(joint + 3, product + 3), donsker_varadhan(joint, product))
    torch.testing.assert_close(infonce(matrix + 3), infonce(matrix))
    assert nwj(joint + 3, product + 3) != nwj(joint, product)


def test_a_clip_bounds_what_a_single_pair_can_do(generator):
    joint, product = normal(2, 50, generator=generator)
    product[0] = 1000.0
    assert smile(joint, product, 5.0) > joint.mean() - 5 - 1e-12
    assert donsker_varadhan(joint, product) < -900
    torch.testing.assert_close(smile(joint, product, 1e6), donsker_varadhan(joint, product))


def test_scores_of_a_thousand_overflow_nothing():
    joint, product = torch.full((5,), 1000.0), torch.full((5, 5), 1000.0)
    for value in (donsker_varadhan(joint, product), smile(joint, product, 2000.0), infonce(product)):
        assert value.isfinite()


def test_an_integer_weight_is_a_repeated_pair(generator):
    joint, product = normal(2, 4, generator=generator)
    times = torch.tensor([1, 3, 0, 2])
    repeated = joint.repeat_interleave(times), product.repeat_interleave(times)
    weight = times.double()
    for bound in (donsker_varadhan, nwj):
        torch.testing.assert_close(bound(joint, product, weight, weight), bound(*repeated))
    torch.testing.assert_close(smile(joint, product, 1.0, weight, weight), smile(*repeated, 1.0))
    torch.testing.assert_close(jensen_shannon(joint, product, weight, weight), jensen_shannon(*repeated))
    matrix = normal(4, 4, generator=generator)
    repeated_matrix = matrix.repeat_interleave(times, 0).repeat_interleave(times, 1)
    torch.testing.assert_close(infonce(matrix, weight), infonce(repeated_matrix))


def test_a_classifier_s_objective_is_that_of_its_log_probabilities(generator):
    joint, product = normal(2, 50, generator=generator)
    expected = torch.sigmoid(joint).log().mean() + (1 - torch.sigmoid(product)).log().mean()
    torch.testing.assert_close(jensen_shannon(joint, product), expected)


def test_the_surrogate_of_mine_has_the_bound_s_gradient_where_the_average_is_the_batch_s_own(generator):
    scores = normal(2, 30, generator=generator).requires_grad_()
    (expected,) = torch.autograd.grad(donsker_varadhan(*scores), scores)
    average = log_mean_exp(scores[1])
    (ours,) = torch.autograd.grad(mine(*scores, average), scores)
    torch.testing.assert_close(ours, expected)
    (halved,) = torch.autograd.grad(mine(*scores, average + math.log(2)), scores)
    torch.testing.assert_close(halved[0], expected[0])
    torch.testing.assert_close(halved[1], expected[1] / 2)


def test_gradients_with_a_long_average_have_less_bias_than_those_of_small_batches(generator):
    # T(x, z) = t z with z standard normal: the gradient of log E exp(t z) by t is t.
    t = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    log_average = torch.tensor(-math.inf).double()
    own, corrected = [], []
    for _ in range(4000):
        z = normal(5, generator=generator)
        log_average = moving_log_average(log_average, t * z, 0.01)
        joint = torch.zeros(5, dtype=torch.float64)
        own.append(torch.autograd.grad(-donsker_varadhan(joint, t * z), t)[0])
        corrected.append(torch.autograd.grad(-mine(joint, t * z, log_average), t)[0])
    bias = [abs(torch.stack(gradients[500:]).mean() - 1) for gradients in (own, corrected)]
    assert bias[1] < bias[0] / 2


def test_a_moving_average_starts_with_the_first_batch_and_then_moves_by_its_rate(generator):
    first, second = normal(2, 10, generator=generator)
    start = moving_log_average(torch.tensor(-math.inf).double(), first, 0.1)
    torch.testing.assert_close(start.exp(), first.exp().mean())
    moved = moving_log_average(start, second, 0.1)
    torch.testing.assert_close(moved.exp(), 0.9 * first.exp().mean() + 0.1 * second.exp().mean())
