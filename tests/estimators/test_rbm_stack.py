"""What an RBMStack computes, and the course of its fit."""

import inspect
import pickle

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.callback import CallbackSupportMixin
from sklearn.datasets import load_digits

from skgen.callbacks import Checkpoint, EarlyStopping, LossMonitor, TimeBudget
from skgen.estimators.rbm import RBM
from skgen.estimators.rbm_stack import RBMStack
from tests.deep_belief import exact_bound, log_likelihood
from tests.estimators.configurations import rows
from tests.oracles import every_row

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def stack(hidden_layer_sizes=(3, 2), **parameters):
    return RBMStack(hidden_layer_sizes, **{"max_iter": 4, "random_state": 0, "fine_tuning_max_iter": 3} | parameters)


def binary(n_rows=200, n_features=5):
    """Rows of zeros and ones with something to learn."""
    return (rows(n_rows, n_features) > 0.5).astype(float)


KINDS = {
    "greedy": {},
    "fine-tuned": {"fine_tuning": "up-down"},
    "deep": {"hidden_layer_sizes": (3, 4, 2), "fine_tuning": "up-down"},
}
LEARNT = {"learning_rate": 0.3, "max_iter": 30, "fine_tuning_learning_rate": 0.05, "fine_tuning_max_iter": 10}


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_the_bound_and_lie_below_the_likelihood(kind):
    estimator = stack(**KINDS[kind], **LEARNT, n_score_draws=2**14).fit(binary())
    every = every_row((0.0, 1.0), 5)
    with torch.no_grad():
        exact, bound = (each(estimator._fitted_model(), every).numpy() for each in (log_likelihood, exact_bound))
    scores = estimator.score_samples(every.numpy())
    assert estimator.score_kind == "bound"
    assert np.exp(exact).sum() == pytest.approx(1)
    assert np.exp(scores).sum() < 1
    # 16384 points of a block that fills its cube evenly.
    np.testing.assert_allclose(scores, bound, atol=5e-3)
    assert (bound < exact).all()


def test_an_estimate_of_the_top_is_called_one():
    assert stack((30, 20)).score_kind == "bound"
    assert stack((30, 21)).score_kind == "estimate"
    assert stack((20, 300)).score_kind == "bound"
    fitted = stack(25).fit(binary())
    assert fitted.score_kind == "bound"
    # What was fitted decides, not what a next fit would be.
    assert fitted.set_params(hidden_layer_sizes=(30, 21)).score_kind == "bound"
    assert (stack().score_measure, stack(visible="gaussian").score_measure) == ("mass", "density")
    assert stack(visible="gaussian").fit(rows()).set_params(visible="bernoulli").score_measure == "density"


def test_a_stack_of_one_machine_is_that_machine():
    X = binary()
    estimator = stack(3).fit(X)
    machine = RBM(3, max_iter=4, random_state=estimator.rbms_[0].random_state).fit(X)
    for answer in ("transform", "score_samples"):
        np.testing.assert_allclose(getattr(estimator, answer)(X), getattr(machine, answer)(X), rtol=1e-9)
    Z = machine.transform(X)
    np.testing.assert_allclose(estimator.inverse_transform(Z), machine.inverse_transform(Z), rtol=1e-9)


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_layers_follow_each_other_up_and_down(visible):
    X = rows(150)
    estimator = stack((4, 3, 2), visible=visible).fit(X)
    first, second, third = estimator.rbms_
    up = [first.transform(X)]
    up += [second.transform(up[0])]
    up += [third.transform(up[1])]
    down = [
        first.inverse_transform(up[0]),
        first.inverse_transform(second.inverse_transform(up[1])),
        first.inverse_transform(second.inverse_transform(third.inverse_transform(up[2]))),
    ]
    for number, layer in [(1, 0), (2, 1), (3, 2), (-1, 2), (-2, 1), (-3, 0)]:
        estimator.set_params(output_layer=number)
        Z = estimator.transform(X)
        np.testing.assert_allclose(Z, up[layer], rtol=1e-9)
        np.testing.assert_allclose(estimator.inverse_transform(Z), down[layer], rtol=1e-9)
        assert len(estimator.get_feature_names_out()) == Z.shape[1]
    with pytest.raises(ValueError, match="output_layer=4 names none of the 3"):
        estimator.set_params(output_layer=4).transform(X)


@pytest.mark.parametrize("kind", KINDS)
def test_samples_follow_the_law_of_the_network(kind):
    estimator = stack(**KINDS[kind], **LEARNT).fit(binary(n_features=4))
    n = 20000
    drawn = estimator.sample(n, n_steps=100, random_state=1)
    numbers = (drawn @ 2 ** np.arange(4)[::-1]).astype(int)
    found = np.bincount(numbers, minlength=16) / n
    with torch.no_grad():
        exact = log_likelihood(estimator._fitted_model(), every_row((0.0, 1.0), 4)).exp().numpy()
    assert (np.abs(found - exact) < 5 * np.sqrt(exact * (1 - exact) / n)).all()


def test_samples_of_real_rows_are_in_their_units():
    X = 100 + 10 * rows(400)
    drawn = stack(visible="gaussian", max_iter=20).fit(X).sample(2000, random_state=0)
    assert (np.abs(drawn.mean(axis=0) - X.mean(axis=0)) < X.std(axis=0)).all()
    assert (drawn.std(axis=0) < 3 * X.std(axis=0)).all()


def test_greedy_layers_have_the_same_weights_in_both_directions_and_fine_tuning_parts_them():
    greedy, tuned = (stack(fine_tuning=kind).fit(binary()) for kind in (None, "up-down"))
    for estimator, same in ((greedy, True), (tuned, False)):
        up, down = (estimator.weights_[f"{part}.0.weight"] for part in ("recognition", "generation"))
        assert np.array_equal(up, down) is same
    for one, other in zip(greedy.rbms_, tuned.rbms_, strict=True):
        np.testing.assert_array_equal(one.components_, other.components_)


def test_up_down_learning_raises_the_bound():
    X = (load_digits().data / 16 > 0.5).astype(np.float32)
    settings = {"learning_rate": 0.2, "max_iter": 20, "n_score_draws": 64}
    greedy, tuned = (stack((40, 12), fine_tuning=kind, **settings).fit(X) for kind in (None, "up-down"))
    tuned_long = stack((40, 12), fine_tuning="up-down", **settings | {"fine_tuning_max_iter": 20}).fit(X)
    assert greedy.score(X) < tuned.score(X) < tuned_long.score(X)


def test_the_score_of_a_fine_tuned_stack_has_the_partition_function_of_its_own_top():
    estimator = stack(fine_tuning="up-down", **LEARNT).fit(binary())
    value = estimator.log_partition().value
    assert value != estimator.rbms_[-1].log_partition().value
    top = estimator._fitted_model().top
    with torch.no_grad():
        exact = torch.logsumexp(-top.free_energy(top.visible.states()), 0)
    assert value == pytest.approx(float(exact), rel=1e-12)


# -- the course of a fit -------------------------------------------------------------------------------------------


class Tasks:
    """Records the tasks of a fit with those that they are parts of."""

    def __init__(self):
        self.begun, self.ended = [], []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    @staticmethod
    def path(context):
        path = []
        while context is not None:
            path.insert(0, (context.task_name, context.task_id))
            context = context.parent
        return path

    def on_fit_task_begin(self, estimator, context):
        self.begun.append(self.path(context))

    def on_fit_task_end(self, estimator, context):
        self.ended.append(self.path(context))


def test_layers_are_tasks_of_a_fit_and_epochs_are_tasks_of_layers():
    tasks = Tasks()
    stack(fine_tuning="up-down", max_iter=2, fine_tuning_max_iter=1).set_callbacks(tasks).fit(binary())
    fit, first, second, last = ("fit", 0), ("layer", 0), ("layer", 1), ("fine-tuning", 2)
    expected = [[fit]]
    for stage, n_epochs in ((first, 2), (second, 2), (last, 1)):
        expected += [[fit, stage], *([fit, stage, ("epoch", i)] for i in range(n_epochs))]
    assert tasks.begun == expected
    assert sorted(tasks.ended) == sorted(expected)
    assert tasks.ended[-1] == [fit]


def test_a_snapshot_in_a_fit_is_the_stack_of_the_layers_so_far():
    found = []

    class Snapshots(Tasks):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            if context.task_name == "epoch":
                found.append((fitted_estimator.transform(binary()).shape[1], fitted_estimator.n_iter_))

    stack((4, 3), max_iter=2, fine_tuning="up-down", fine_tuning_max_iter=1).set_callbacks(Snapshots()).fit(binary())
    assert found == [(4, 1), (4, 2), (3, 3), (3, 4), (3, 5)]


def test_the_history_tells_the_stages_apart():
    estimator = stack(fine_tuning="up-down").fit(binary())
    assert estimator.history_["stage"] == [1.0] * 4 + [2.0] * 4 + [3.0] * 3
    assert {len(values) for values in estimator.history_.values()} == {estimator.n_iter_} == {11}
    for machine, part in zip(estimator.rbms_, (slice(4), slice(4, 8)), strict=True):
        for name, values in machine.history_.items():
            assert estimator.history_[name][part] == values
    assert np.isfinite(estimator.history_["wake"][8:]).all()
    assert np.isnan(estimator.history_["wake"][:8]).all()


def test_watches_follow_each_layer_by_itself():
    settings = {"max_iter": 300, "learning_rate": 0.0}
    stopping = EarlyStopping("pseudo_log_likelihood", patience=2)
    estimator = stack(**settings).set_callbacks(stopping).fit(binary())
    assert [machine.n_iter_ for machine in estimator.rbms_] == [3, 3]
    assert estimator.converged_


def test_losses_are_logged_as_they_are_in_the_history():
    monitor = LossMonitor()
    estimator = stack(fine_tuning="up-down").set_callbacks(monitor).fit(binary())
    (log,) = monitor.get_logs()
    assert log["history"].keys() == estimator.history_.keys()
    for name, values in log["history"].items():
        np.testing.assert_array_equal(values, estimator.history_[name])


@pytest.mark.parametrize("fine_tuning", [None, "up-down"])
def test_a_fit_ended_after_every_epoch_continues_to_the_same_end(fine_tuning, tmp_path):
    X = binary()
    whole = stack(max_iter=3, fine_tuning=fine_tuning).fit(X)
    parts = stack(max_iter=3, fine_tuning=fine_tuning).set_callbacks(Checkpoint(tmp_path), TimeBudget(0))
    n_layers = []
    for i in range(whole.n_iter_):
        parts.fit(X)
        assert parts.n_iter_ == i + 1
        n_layers.append(len(parts.rbms_))
    assert n_layers == [1] * 3 + [2] * (whole.n_iter_ - 3)
    assert not list(tmp_path.iterdir())
    np.testing.assert_array_equal(parts.score_samples(X), whole.score_samples(X))
    np.testing.assert_array_equal(parts.history_["stage"], whole.history_["stage"])


def test_an_interrupted_fit_leaves_the_layers_that_were_begun():
    class Interrupt(Tasks):
        def on_fit_task_end(self, estimator, context):
            if self.path(context)[1:] == [("layer", 1), ("epoch", 1)]:
                raise KeyboardInterrupt

    estimator = stack((4, 3, 2)).set_callbacks(Interrupt())
    with pytest.warns(match="interrupted"):
        estimator.fit(binary())
    assert isinstance(estimator, CallbackSupportMixin)
    assert len(estimator.rbms_) == 2
    assert estimator.n_iter_ == 6
    assert estimator.transform(binary()).shape == (200, 3)
    assert np.isfinite(estimator.score(binary()))


# -- continued fits --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_go_on_identically_after_a_round_trip(kind):
    parts = np.array_split(binary(), 4)
    whole, stored = stack(**KINDS[kind]), stack(**KINDS[kind])
    if kind != "greedy":
        whole.set_params(warm_start=True).fit(parts[0])
        stored.set_params(warm_start=True).fit(parts[0])
    for part in parts:
        whole.partial_fit(part)
        stored = pickle.loads(pickle.dumps(stored)).partial_fit(part)
    np.testing.assert_array_equal(whole.score_samples(binary()), stored.score_samples(binary()))
    assert whole.history_.keys() == stored.history_.keys()


@pytest.mark.parametrize(("size", "n_passes"), [(7, 5), (100, 20), (200, 20)])
def test_chunks_of_any_size_learn(size, n_passes):
    X = binary(400)
    estimator = stack(learning_rate=0.3)
    for _ in range(n_passes):
        for start in range(0, len(X), size):
            estimator.partial_fit(X[start : start + size])
    mean = X.mean(axis=0)
    independent = (X * np.log(mean) + (1 - X) * np.log(1 - mean)).sum(axis=1).mean()
    assert estimator.score(X) > independent


def test_chunks_of_a_fine_tuned_stack_fine_tune_it():
    estimator = stack(fine_tuning="up-down").fit(binary())
    machines = [machine.components_ for machine in estimator.rbms_]
    weights = estimator.weights_
    estimator.partial_fit(binary())
    assert estimator.history_["stage"][-1] == 3.0
    assert estimator.n_iter_ == 12
    for before, machine in zip(machines, estimator.rbms_, strict=True):
        np.testing.assert_array_equal(before, machine.components_)
    assert not np.array_equal(weights["top.weight"], estimator.weights_["top.weight"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_warm_start_goes_on(kind):
    estimator = stack(**KINDS[kind], warm_start=True).fit(binary())
    n_iter, before = estimator.n_iter_, estimator.weights_
    estimator.fit(binary())
    added = 3 if "fine_tuning" in KINDS[kind] else 8
    assert estimator.n_iter_ == n_iter + added
    assert {len(values) for values in estimator.history_.values()} == {n_iter + added}
    assert not np.array_equal(before["top.weight"], estimator.weights_["top.weight"])


def test_a_stack_cannot_be_continued_with_other_layers():
    estimator = stack(warm_start=True).fit(binary())
    with pytest.raises(ValueError, match="2 layers cannot be continued"):
        estimator.set_params(hidden_layer_sizes=(3, 2, 2)).fit(binary())
    with pytest.raises(ValueError, match="n_components from 2 to 4"):
        estimator.set_params(hidden_layer_sizes=(3, 4)).fit(binary())
    assert estimator.transform(binary()).shape == (200, 2)


# -- input ------------------------------------------------------------------------------------------------------------


def test_parameters_are_those_of_the_machines():
    machine, own = (inspect.signature(each).parameters for each in (RBM, RBMStack))
    assert set(machine) - set(own) == {"n_components", "hidden", "categories", "score_method"}
    # A machine among several has fewer epochs.
    for name in set(machine) & set(own) - {"max_iter"}:
        assert own[name].default == machine[name].default, name


def test_values_outside_the_range_are_told_once():
    with pytest.warns(UserWarning, match=r"outside \[0, 1\]") as told:
        stack().fit(2 * rows(50))
    assert len([warning for warning in told if "outside" in str(warning.message)]) == 1


def test_sparse_rows_are_rows():
    X = binary()
    dense, sparse = stack(fine_tuning="up-down").fit(X), stack(fine_tuning="up-down").fit(csr_array(X))
    np.testing.assert_array_equal(dense.score_samples(X), sparse.score_samples(csr_array(X)))
    np.testing.assert_array_equal(dense.transform(X), sparse.transform(csr_array(X)))


def test_a_stack_needs_a_layer():
    with pytest.raises(ValueError, match="at least one layer"):
        stack(()).fit(binary())
