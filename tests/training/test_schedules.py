from itertools import pairwise

import pytest

from skgen.training.schedules import (
    KL_SCHEDULES,
    LEARNING_RATE_SCHEDULES,
    annealed,
    cyclical_warm_up,
    warm_up,
    warm_up_epochs,
)


@pytest.mark.parametrize("length", [1, 4, 10, 2.5])
def test_a_warm_up_rises_to_one_and_stays(length):
    values = [warm_up(epoch, length) for epoch in range(15)]
    assert values[0] == min(1.0, 1 / length)
    assert values == sorted(values)
    assert all((value == 1) == (epoch + 1 >= length) for epoch, value in enumerate(values))


def test_without_a_warm_up_the_weight_is_one():
    assert [warm_up(epoch, 0) for epoch in range(3)] == [1.0] * 3
    assert warm_up(0, 0.5) == 1.0


@pytest.mark.parametrize("length", [8, 20, 50])
def test_cycles_rise_four_times_and_end_at_one(length):
    values = [cyclical_warm_up(epoch, length) for epoch in range(60)]
    assert all(0 < value <= 1 for value in values)
    assert all(value == 1 for epoch, value in enumerate(values) if epoch >= length * 7 / 8)
    falls = sum(b < a for a, b in pairwise(values))
    assert falls == (0 if length / 8 <= 1 else 3)


def test_a_cycle_is_a_warm_up_over_half_of_it():
    assert [cyclical_warm_up(epoch, 32) for epoch in range(16)] == 2 * [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]
    assert cyclical_warm_up(0, 0) == 1.0


@pytest.mark.parametrize("name", KL_SCHEDULES)
def test_every_schedule_of_the_kl_is_at_one_from_its_end_on(name):
    for length in (0, 0.5, 1, 7, 30):
        assert all(KL_SCHEDULES[name](epoch, length) == 1 for epoch in range(40) if epoch >= length)


def test_annealing_falls_by_one_factor_from_ten():
    values = [annealed(epoch, 8) for epoch in range(9)]
    assert values[0] == 10
    assert [b / a for a, b in pairwise(values)] == pytest.approx(8 * [10 ** (-1 / 8)])


def test_an_integer_counts_epochs_and_a_fraction_is_of_max_iter():
    assert warm_up_epochs(1, 200) == 1.0
    assert warm_up_epochs(1.0, 200) == 200.0
    assert warm_up_epochs(0.1, 200) == pytest.approx(20)
    assert warm_up_epochs(0, 200) == warm_up_epochs(0.0, 200) == 0.0


@pytest.mark.parametrize("name", LEARNING_RATE_SCHEDULES)
def test_every_schedule_starts_at_one_and_never_rises_or_turns_negative(name):
    values = [LEARNING_RATE_SCHEDULES[name](i / 100) for i in range(101)]
    assert values[0] == 1
    assert all(b <= a for a, b in pairwise(values))
    assert values[-1] >= 0


def test_schedules_follow_their_formulas():
    assert [LEARNING_RATE_SCHEDULES[name](0.25) for name in ("constant", "linear")] == [1.0, 0.75]
    assert LEARNING_RATE_SCHEDULES["cosine"](0.5) == pytest.approx(0.5)
    assert LEARNING_RATE_SCHEDULES["cosine"](1.0) == pytest.approx(0.0)
