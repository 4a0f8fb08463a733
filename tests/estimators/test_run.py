"""A fit in progress, with records that are written down beforehand."""

import numpy as np
import pytest
import torch

from skgen.estimators._run import Run
from skgen.training.stopping import Plateau

VALUES = [0.0, 2.0, 1.0, 3.0, 2.5, 2.9, 1.0, 3.0, 2.0, 0.0]


class Scripted(Run):
    """Has given values as its records, and the number of each epoch as its parameter."""

    monitored = "value"
    device = torch.device("cpu")

    def __init__(self, values=VALUES, *, patience=np.inf, tol=0.0, n_epochs=None, keep=False, idle=0):
        super().__init__(Plateau(tol, patience), n_epochs or len(values), keep=keep)
        self.script, self.idle = values, idle
        self.parameters = torch.zeros(3, dtype=torch.float64)
        self.moment = 0.0

    def _records(self):
        for epoch in range(self.epoch, self.last):
            self.parameters += 1
            self.moment = 0.5 * self.moment + self.script[epoch]
            yield {"value": self.script[epoch], "cost": -self.script[epoch], "moment": self.moment}

    def _values(self):
        return self.parameters.clone()

    def _restore(self, values):
        self.parameters.copy_(values)

    def _counts(self):
        return self.epoch >= self.idle

    def training_state(self):
        return {"moment": np.array(self.moment)}

    def load_training_state(self, state):
        self.moment = float(state.get("moment", 0.0))


def ended(run):
    """The run after all its records, with its final parameters in place."""
    for _ in run.records():
        pass
    run.keep_best()
    return run


def outcome(run):
    return run.history, run.epoch, run.best_epoch, run.converged, run.finished, run.parameters.tolist()


def test_every_record_is_in_the_history_once_and_in_order():
    run = ended(Scripted())
    assert run.history["value"] == VALUES
    assert run.history["cost"] == [-value for value in VALUES]
    assert run.finished
    assert not run.converged


def test_a_run_ends_after_as_many_epochs_without_progress_as_patience_allows():
    assert ended(Scripted(patience=2)).epoch == 6
    assert ended(Scripted(patience=1)).epoch == 3
    assert ended(Scripted(patience=1)).converged
    assert ended(Scripted(patience=1, tol=10.0)).epoch == 2
    assert list(ended(Scripted(patience=2)).records()) == []


def test_an_epoch_that_does_not_count_uses_up_no_patience():
    assert ended(Scripted(patience=1, idle=5)).epoch == 6


def test_the_first_of_the_best_epochs_gives_the_parameters():
    for keep in (False, True):
        run = ended(Scripted(keep=keep))
        assert run.best_epoch == 4
        assert run.parameters.tolist() == [4.0 if keep else 10.0] * 3


def test_a_run_without_an_epoch_has_nothing_to_go_back_to():
    run = Scripted(keep=True)
    run.keep_best()
    assert run.best_epoch == run.epoch == 0
    assert run.parameters.tolist() == [0.0] * 3


def test_a_watch_follows_its_entry_by_its_sign_and_the_last_that_keeps_wins():
    run = Scripted(keep=True)
    run.watch("low", monitor="cost", sign=-1, tol=0.0, patience=np.inf, keep=True)
    run.watch("worst", monitor="value", sign=-1, tol=0.0, patience=np.inf, keep=True)
    run.watch("moment", monitor="moment", sign=1, tol=0.0, patience=4, keep=False)
    run.watch("low", monitor="value", sign=1, tol=0.0, patience=1, keep=True)  # a name counts once
    ended(run)
    assert run.watches["low"].plateau.best == max(VALUES)
    assert run.best_epoch == 1
    assert run.parameters.tolist() == [1.0] * 3
    moment = run.history["moment"]
    assert run.epoch == min(10, 1 + int(np.argmax(moment)) + 4)


def test_a_watch_names_the_entries_there_are():
    run = Scripted()
    run.watch("loss", monitor="loss", sign=1, tol=0.0, patience=1, keep=False)
    with pytest.raises(ValueError, match=r"monitor must be one of \['cost', 'moment', 'value'\], got 'loss'"):
        ended(run)


def test_a_watch_without_an_entry_follows_validation_before_the_monitored_one():
    run = Scripted()
    run.watch("any", monitor=None, sign=1, tol=0.0, patience=np.inf, keep=False)
    run.take({"value": 1.0, "cost": -1.0})
    assert run.watches["any"].plateau.best == 1.0
    run.take({"value": 2.0, "cost": -2.0, "validation_value": 7.0})
    assert run.watches["any"].plateau.best == 7.0


@pytest.mark.parametrize("options", [{}, {"keep": True, "patience": 3}, {"idle": 4, "patience": 2, "keep": True}])
@pytest.mark.parametrize("watched", [False, True])
def test_a_run_that_is_continued_from_its_state_ends_as_the_whole_run(options, watched):
    def begun(watched):
        run = Scripted(**options)
        if watched:
            run.watch("cost", monitor="cost", sign=1, tol=0.5, patience=6, keep=True)
        return run

    whole = ended(begun(watched))
    for stop in range(1, whole.epoch + 1):
        first = begun(watched)
        for _ in first.records():
            if first.epoch == stop:
                break
        state = {name: value.copy() for name, value in first.state().items()}
        assert all(isinstance(value, np.ndarray) and not value.dtype.hasobject for value in state.values())
        again = begun(False)  # the state says what is watched
        again.load(state)
        assert again.epoch == stop
        assert outcome(ended(again)) == outcome(whole)


def test_the_state_before_the_first_epoch_does_not_depend_on_watches():
    plain, watched = Scripted(), Scripted()
    watched.watch("cost", monitor="cost", sign=1, tol=0.5, patience=6, keep=True)
    assert {k: v.tolist() for k, v in plain.state().items()} == {k: v.tolist() for k, v in watched.state().items()}


def test_a_run_that_follows_a_fit_has_its_history_and_its_own_number_of_epochs():
    first = ended(Scripted(n_epochs=4))

    class Fitted:
        history_, n_iter_, training_state_ = first.history, first.epoch, first.training_state()

    second = Scripted(n_epochs=6)
    second.follow(Fitted)
    assert (second.start, second.epoch, second.last) == (4, 4, 10)
    ended(second)
    assert second.history == ended(Scripted()).history
    assert len(first.history["value"]) == 4
