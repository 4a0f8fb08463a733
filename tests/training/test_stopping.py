import math

import pytest

from skgen.training.stopping import Plateau


def feed(values, *, tol=0.0, patience=2, counting=True):
    plateau = Plateau(tol, patience)
    improved = [plateau.update(value, epoch, counting=counting) for epoch, value in enumerate(values)]
    return plateau, improved


def test_the_first_value_is_the_best_so_far_and_ties_are_not_better():
    plateau, improved = feed([-5.0, -5.0, -4.0])
    assert improved == [True, False, True]
    assert (plateau.best, plateau.best_epoch) == (-4.0, 2)


def test_patience_runs_out_after_that_many_epochs_without_progress():
    plateau = Plateau(0.0, 2)
    reached = []
    for epoch, value in enumerate([1.0, 2.0, 1.5, 1.9, 3.0]):
        plateau.update(value, epoch)
        reached.append(plateau.reached)
    assert reached == [False, False, False, True, False]


def test_rises_within_tol_are_no_progress_but_can_be_the_best():
    plateau, improved = feed([1.0, 1.05, 1.09], tol=0.1)
    assert improved == [True, True, True]
    assert plateau.reached
    assert plateau.best_epoch == 2


def test_slow_progress_adds_up_to_progress():
    # Values are compared with the last that counted as progress, not with the epoch before.
    plateau, _ = feed([1.0, 1.06, 1.12, 1.18, 1.24], tol=0.1)
    assert not plateau.reached


def test_epochs_that_do_not_count_use_up_no_patience():
    plateau, _ = feed([2.0, 1.0, 1.0, 1.0], counting=False)
    assert not plateau.reached
    assert plateau.best_epoch == 0


def test_infinite_patience_never_runs_out():
    assert not feed([0.0] * 100, patience=math.inf)[0].reached


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_no_number_below_all_others_is_ever_the_best(value):
    plateau, improved = feed([value, 1.0, value])
    assert improved == [False, True, False]
    assert plateau.best == 1.0
