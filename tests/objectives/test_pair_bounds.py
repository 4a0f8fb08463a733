import math

import pytest
import torch

from skgen.objectives.mutual_information import donsker_varadhan, infonce, nwj, smile
from skgen.objectives.pair_bounds import PAIR_BOUNDS, pair_sums, pair_weights
from tests.oracles import within
from tests.parts import normal

CLIP = 2.0
every = pytest.mark.parametrize("name", PAIR_BOUNDS)
RHO = 0.8
TRUTH = -0.5 * math.log(1 - RHO**2)


def sums_of(scores, weight=None, tile=None, bound=None, *, whole=False):
    """Sums of a matrix of scores, in tiles of so many rows; ``whole``: parts of a row count as drawn apart too."""
    n = len(scores)
    weight = torch.ones(n).double() if weight is None else weight
    parts = [slice(i, min(i + (tile or n), n)) for i in range(0, n, tile or n)]
    squash = bound.squash if bound is not None else (lambda some: some)
    own = squash(scores.diagonal()) if whole else None
    return pair_sums(scores.diagonal(), lambda part: squash(scores[part]).clone(), parts, weight, own)


def others(scores):
    return scores[~torch.eye(len(scores), dtype=torch.bool)]


def log_ratios(x, z, rho=RHO):
    """log p(x, z) / (p(x) p(z)) of every x with every z, standard normal numbers with a correlation."""
    x, z, rest = x[:, None], z[None], 1 - rho**2
    return -0.5 * math.log(rest) - (rho**2 * (x**2 + z**2) - 2 * rho * x * z) / (2 * rest)


def drawn(n, generator):
    x, noise = normal(2, n, generator=generator)
    return log_ratios(x, RHO * x + math.sqrt(1 - RHO**2) * noise)


def test_values_on_held_out_pairs_are_those_of_the_formulas(generator):
    scores = normal(7, 7, generator=generator)
    expected = {
        "donsker-varadhan": donsker_varadhan(scores.diagonal(), others(scores)),
        "nwj": nwj(scores.diagonal(), others(scores)),
        "smile": smile(scores.diagonal(), others(scores), CLIP),
        "infonce": 0.5 * (infonce(scores) + infonce(scores.T)),
    }
    assert expected.keys() == PAIR_BOUNDS.keys()
    for name, value in expected.items():
        bound = PAIR_BOUNDS[name](CLIP)
        torch.testing.assert_close(bound.value(sums_of(scores, bound=bound)), value)


@every
def test_tiles_change_nothing(name, generator):
    scores, weight = 3 * normal(9, 9, generator=generator), normal(9, generator=generator).exp()
    bound = PAIR_BOUNDS[name](CLIP)
    whole, tiled = (sums_of(scores, weight, tile, bound) for tile in (9, 2))
    torch.testing.assert_close(bound.value(tiled), bound.value(whole))
    torch.testing.assert_close(torch.tensor(bound.interval(tiled)), torch.tensor(bound.interval(whole)))


@every
def test_a_weight_in_a_whole_batch_is_a_repeated_row(name, generator):
    scores = normal(4, 4, generator=generator)
    times = torch.tensor([1, 3, 1, 2])
    repeated = scores.repeat_interleave(times, 0).repeat_interleave(times, 1)
    bound = PAIR_BOUNDS[name](CLIP)
    average = torch.tensor(-math.inf).double()
    weighted = bound.train(scores, times.double(), average, whole=True)
    for ours, expected in zip(weighted, bound.train(repeated, None, average, whole=True), strict=True):
        torch.testing.assert_close(ours, expected)
    assert average == -math.inf


@every
def test_a_weight_is_a_repeated_row_where_its_own_parts_count_as_drawn_apart(name, generator):
    scores = normal(4, 4, generator=generator)
    times = torch.tensor([1, 3, 1, 2])
    repeated = scores.repeat_interleave(times, 0).repeat_interleave(times, 1)
    bound = PAIR_BOUNDS[name](CLIP)

    def value(scores, weight):
        return bound.value(sums_of(scores, weight, bound=bound, whole=True))

    torch.testing.assert_close(value(scores, times.double()), value(repeated, torch.ones(7).double()))
    assert value(scores[:1, :1], torch.ones(1).double()).isfinite()


@every
def test_the_scale_of_weights_means_nothing(name, generator):
    scores, weight = normal(6, 6, generator=generator), normal(6, generator=generator).exp()
    bound = PAIR_BOUNDS[name](CLIP)
    one, other = (sums_of(scores, factor * weight, None, bound) for factor in (1.0, 7.0))
    torch.testing.assert_close(bound.value(one), bound.value(other))
    torch.testing.assert_close(torch.tensor(bound.interval(one)), torch.tensor(bound.interval(other)))


@every
def test_a_batch_of_one_row_moves_nothing(name, generator):
    scores = normal(1, 1, generator=generator).requires_grad_()
    value, surrogate = PAIR_BOUNDS[name](CLIP).train(scores, None, torch.tensor(0.0).double(), whole=False)
    (gradient,) = torch.autograd.grad(surrogate, scores)
    assert value.isfinite()
    assert gradient.isfinite().all()


def test_only_pairs_of_different_rows_are_drawn_apart_in_a_batch_of_many(generator):
    weight = normal(3, generator=generator).exp()
    expected = weight[:, None] * weight * (1 - torch.eye(3).double())
    torch.testing.assert_close(pair_weights(weight, 3, weight, own=False), expected)
    assert pair_weights(None, 3, weight, own=True) is None


def test_in_batches_the_average_of_the_denominator_moves_and_its_gradient_has_it(generator):
    scores = normal(5, 5, generator=generator).requires_grad_()
    bound, average = PAIR_BOUNDS["donsker-varadhan"](CLIP), torch.tensor(-math.inf).double()
    with torch.no_grad():
        bound.train(scores, None, average, whole=False)
    torch.testing.assert_close(average, others(scores.detach()).exp().mean().log())
    average += math.log(2)
    value, surrogate = bound.train(scores, None, average.clone(), whole=False)
    torch.testing.assert_close(value, donsker_varadhan(scores.diagonal(), others(scores)))
    (gradient,) = torch.autograd.grad(surrogate, scores)
    moved = torch.logaddexp(average + math.log1p(-0.01), average - math.log(2) + math.log(0.01))
    torch.testing.assert_close(others(gradient), -others(scores.detach()).exp() / (20 * moved.exp()))


@pytest.mark.parametrize("name", ["donsker-varadhan", "nwj", "infonce"])
def test_with_the_optimal_critic_an_interval_holds_its_mean_nineteen_times_in_twenty(name, generator):
    bound, n_repeats = PAIR_BOUNDS[name](CLIP), 400
    shift = 1.0 if name == "nwj" else 0.0
    results = [sums_of(drawn(150, generator) + shift) for _ in range(n_repeats)]
    mean = torch.stack([bound.value(sums) for sums in results]).mean()
    covered = torch.tensor([low < mean < high for low, high in map(bound.interval, results)]).double()
    # The delta method leaves out terms of the order of 1 / n, a few per cent of coverage at 150 pairs.
    assert 0.90 < covered.mean() <= 1


def test_with_the_optimal_critic_the_unbiased_bound_is_the_information(generator):
    bound = PAIR_BOUNDS["nwj"](CLIP)
    assert within(torch.stack([bound.value(sums_of(drawn(100, generator) + 1)) for _ in range(300)]), TRUTH)


def test_a_contrastive_value_is_at_most_the_entropy_of_the_weights(generator):
    bound = PAIR_BOUNDS["infonce"](CLIP)
    equal = sums_of(1000 * torch.eye(50).double())
    assert math.isclose(bound.cap(equal), math.log(50))
    torch.testing.assert_close(bound.value(equal), torch.tensor(math.log(50)).double())
    weighted = sums_of(1000 * torch.eye(9).double(), normal(9, generator=generator).exp())
    assert bound.cap(weighted) < math.log(9)
    torch.testing.assert_close(bound.value(weighted), torch.tensor(bound.cap(weighted)).double())


@pytest.mark.parametrize("name", ["donsker-varadhan", "nwj"])
def test_where_parts_of_a_row_count_as_drawn_apart_no_critic_gives_more_than_the_entropy_of_the_weights(
    name, generator
):
    bound, weight = PAIR_BOUNDS[name](CLIP), normal(9, generator=generator).exp()
    for size in (1.0, 50.0):
        sums = sums_of(size * normal(9, 9, generator=generator), weight, whole=True)
        assert bound.value(sums) <= bound.cap(sums) < math.log(9)
    # The best critic knows each row: exp T is e over the row's share on the diagonal, and 0 elsewhere.
    best = torch.diag(1001 - (weight / weight.sum()).log()) - 1000
    sums = sums_of(best, weight, whole=True)
    torch.testing.assert_close(bound.value(sums), torch.tensor(bound.cap(sums)).double())
    assert bound.cap(sums_of(best, weight)) == math.inf


def test_an_estimate_above_its_clip_is_too_high(generator):
    bound, rho = PAIR_BOUNDS["smile"](CLIP), 0.999
    truth = -0.5 * math.log(1 - rho**2)
    values = []
    for _ in range(50):
        x, noise = normal(2, 100, generator=generator)
        sums = sums_of(log_ratios(x, rho * x + math.sqrt(1 - rho**2) * noise, rho), bound=bound)
        values.append(bound.value(sums))
    assert bound.reach(sums) == CLIP < truth
    assert torch.stack(values).mean() > truth + 0.5


def test_a_mean_rests_on_all_rows_alike_or_on_as_few_as_one(generator):
    equal = torch.zeros(6, 6).double()
    assert math.isclose(sums_of(equal).evenness, 1.0)
    # An x that scores by far the highest with any z is half of all, and the other half is spread over the z.
    star = torch.zeros(100, 100).double()
    star[7] = 50.0
    assert math.isclose(sums_of(star).evenness, 4 * 99 / 100**2, rel_tol=1e-6)
    scores = normal(6, 6, generator=generator)
    assert 1 / 6 < sums_of(scores).evenness < 1
    assert math.isclose(sums_of(scores + 900).evenness, sums_of(scores).evenness)


def test_an_interval_moves_with_its_value_and_is_the_whole_line_where_scores_give_no_error(generator):
    scores = normal(6, 6, generator=generator)
    bound = PAIR_BOUNDS["donsker-varadhan"](CLIP)
    torch.testing.assert_close(
        torch.tensor(bound.interval(sums_of(scores + 900))), torch.tensor(bound.interval(sums_of(scores)))
    )
    assert PAIR_BOUNDS["nwj"](CLIP).interval(sums_of(scores + 900)) == (-math.inf, math.inf)


def test_a_classifier_s_objective_is_highest_at_the_logarithm_of_the_ratio(generator):
    scores = torch.full((2, 2), 0.3, dtype=torch.float64, requires_grad=True)
    _, surrogate = PAIR_BOUNDS["smile"](CLIP).train(scores, None, torch.tensor(0.0).double(), whole=False)
    (gradient,) = torch.autograd.grad(surrogate, scores)
    # Pairs have a half each, and so have parts drawn apart: a score of 0 is the optimum of a ratio of 1.
    sigmoid = torch.sigmoid(torch.tensor(0.3)).double()
    torch.testing.assert_close(gradient.diagonal(), (1 - sigmoid).expand(2) / 2)
    torch.testing.assert_close(others(gradient), -sigmoid.expand(2) / 2)


def test_only_smile_is_no_bound():
    kinds = {name: make(CLIP).kind for name, make in PAIR_BOUNDS.items()}
    assert kinds == {"donsker-varadhan": "bound", "nwj": "bound", "infonce": "bound", "smile": "estimate"}
