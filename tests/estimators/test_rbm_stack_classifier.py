"""What an RBMStackClassifier predicts, where its network starts, and the course of its fit."""

import pickle

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

from skgen import RBMStack, RBMStackClassifier
from skgen.callbacks import Checkpoint, LossMonitor, TimeBudget
from tests.estimators.configurations import CLASSIFIERS, configured, rows, stack
from tests.oracles import process_state

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

every = pytest.mark.parametrize("name", CLASSIFIERS)
LABELS = (rows()[:, 0] > 0.5).astype(int) + (rows()[:, 1] > 0.7)
X = rows()


def network(estimator):
    """Weights and biases of the hidden layers in the units of the rows."""
    weights = estimator.weights_
    return [weights["network.layers.0.weight"] / weights["scale"][:, None], weights["network.layers.0.bias"]]


def classifier(*arguments, **parameters):
    return RBMStackClassifier(*arguments, **{"max_iter": 3, "random_state": 0} | parameters)


@every
def test_probabilities_are_those_of_a_distribution_and_their_largest_is_predicted(name):
    estimator = configured(name).fit(X, LABELS)
    proba = estimator.predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_array_equal(estimator.predict(X), estimator.classes_[proba.argmax(axis=1)])
    np.testing.assert_allclose(np.exp(estimator.predict_log_proba(X)), proba)
    np.testing.assert_allclose(np.exp(estimator.decision_function(X)), proba)
    log_likelihood = np.log(proba[np.arange(len(X)), np.searchsorted(estimator.classes_, LABELS)]).mean()
    assert log_likelihood > np.log(np.bincount(LABELS) / len(X))[LABELS].mean()


@every
def test_a_stored_classifier_answers_alike_and_draws_disturb_nothing(name):
    before = process_state()
    one, other = (configured(name).fit(X, LABELS) for _ in range(2))
    assert process_state() == before
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    stored = pickle.loads(pickle.dumps(one))
    np.testing.assert_array_equal(one.predict_proba(X), stored.predict_proba(X))
    assert b"torch" not in pickle.dumps(one)
    assert one.predict_proba(X.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_the_network_starts_from_the_stack(visible):
    estimator = classifier(stack((6, 4), visible=visible), learning_rate=0.0, solver="sgd").fit(X, LABELS)
    machine = estimator.stack_.rbms_[0]
    weight, _ = network(estimator)
    np.testing.assert_allclose(weight, machine.components_.T, rtol=1e-6, atol=1e-9)
    random = classifier(stack((6, 4), visible=visible), learning_rate=0.0, solver="sgd", pretrained=False)
    random.fit(X, LABELS)
    assert random.stack_ is None
    assert not np.allclose(network(random)[0], machine.components_.T, atol=1e-2)


@pytest.mark.filterwarnings("ignore:Values of X outside")
def test_the_network_sees_values_that_the_stack_clips():
    frozen = FrozenEstimator(stack((6,)).fit(X))
    estimator = classifier(frozen).fit(X, LABELS)
    beyond = np.concatenate([X - 1, X + 1])
    clipped = np.clip(beyond, 0, 1)
    np.testing.assert_allclose(frozen.transform(beyond), frozen.transform(clipped))
    assert (np.abs(estimator.predict_proba(beyond) - estimator.predict_proba(clipped)).max(axis=1) > 1e-6).all()


def test_rows_without_a_label_are_for_pretraining_alone():
    some = np.where(np.arange(len(X)) < 15, LABELS, -1)
    estimator = classifier(stack((6,)), unlabelled=-1).fit(X, some)
    assert list(estimator.classes_) == sorted(set(LABELS[:15]))
    alone = classifier(FrozenEstimator(estimator.stack_)).fit(X[:15], LABELS[:15])
    np.testing.assert_array_equal(estimator.predict_proba(X), alone.predict_proba(X))
    as_class = classifier(stack((6,))).fit(X, some)
    assert list(as_class.classes_) == [-1, *estimator.classes_]
    words = np.where(some == -1, "none", some.astype(str))
    named = classifier(stack((6,)), unlabelled="none").fit(X, words)
    np.testing.assert_array_equal(named.predict(X), estimator.predict(X).astype(str))
    with pytest.raises(ValueError, match="unlabelled=-1"):
        classifier(stack((6,)), unlabelled=-1).fit(X, np.full(len(X), -1))


@pytest.mark.parametrize("container", [list, lambda y: np.array(y, dtype=object)])
def test_a_number_may_stand_beside_names_for_rows_without_a_label(container):
    y = ["a", "b", -1, "a"] * 10
    assert classifier(stack((6,)), unlabelled=-1).fit(X, container(y)).classes_.tolist() == ["a", "b"]


@pytest.mark.parametrize(("unlabelled", "y"), [("-1", [-1, 0] * 20), (-1, ["-1", "a"] * 20)])
def test_a_mark_that_no_label_can_equal_is_refused(unlabelled, y):
    with pytest.raises(ValueError, match=r"unlabelled=.* no label in y is; the first is .* Pass it as y holds it"):
        classifier(stack((6,)), unlabelled=unlabelled).fit(X, y)


def test_a_frozen_stack_of_other_columns_is_refused():
    frozen = FrozenEstimator(stack((6,)).fit(X))
    with pytest.raises(ValueError, match="X has 3 features, but RBMStack is expecting 5 features"):
        classifier(frozen).fit(X[:, :3], LABELS)


def test_a_frozen_stack_survives_clones_and_searches():
    fitted = stack((6,)).fit(X)
    components = fitted.rbms_[0].components_.copy()
    estimator = classifier(FrozenEstimator(fitted))
    assert clone(estimator).stack.estimator is fitted
    search = GridSearchCV(estimator, {"learning_rate": [1e-3, 1e-2]}, cv=2).fit(X, LABELS)
    assert search.best_estimator_.stack_ is fitted
    np.testing.assert_array_equal(fitted.rbms_[0].components_, components)
    nested = GridSearchCV(classifier(stack()), {"stack__hidden_layer_sizes": [(3,), (5, 4)]}, cv=2).fit(X, LABELS)
    assert nested.best_estimator_.stack_.hidden_layer_sizes in [(3,), (5, 4)]


def test_pretraining_is_the_start_of_each_later_fit():
    estimator = classifier(stack((6,))).pretrain(X)
    assert isinstance(estimator.stack, FrozenEstimator)
    assert not hasattr(estimator, "classes_")
    machine = estimator.stack.estimator
    for part in (slice(0, 30), slice(10, 40)):
        assert clone(estimator).fit(X[part], LABELS[part]).stack_ is machine
    again = estimator.pretrain(X[:20]).stack.estimator
    assert again is not machine
    assert again.n_features_in_ == 5


def test_a_stack_without_a_seed_has_it_from_the_classifier():
    one, other = (classifier(RBMStack((4,), max_iter=2)).fit(X, LABELS) for _ in range(2))
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    assert one.stack.random_state is None


def test_what_is_no_fitted_stack_is_refused():
    from sklearn.decomposition import PCA
    from sklearn.exceptions import NotFittedError

    with pytest.raises(ValueError, match="FrozenEstimator of one"):
        classifier(FrozenEstimator(PCA().fit(X))).fit(X, LABELS)
    with pytest.raises(NotFittedError):
        classifier(FrozenEstimator(stack())).fit(X, LABELS)


def test_validation_rows_are_labelled_ones_and_keep_the_best_epoch():
    some = np.where(np.arange(len(X)) % 2 == 0, LABELS, -1)
    estimator = classifier(stack((6,)), unlabelled=-1, early_stopping=True, validation_fraction=0.3, max_iter=30)
    estimator.set_params(learning_rate=0.05).fit(X, some)
    values = estimator.history_["validation_log_likelihood"]
    assert estimator.best_iter_ == 1 + int(np.argmax(values))
    assert len(values) == estimator.n_iter_


def test_a_number_weighs_all_rows_and_a_weight_that_vanishes_beside_others_none():
    times = np.where(np.arange(len(X)) == 3, 1e-30, 1e308)
    for weight, kept in ((2.0, slice(None)), (times, times > 1)):
        one, other = classifier(stack((3,))).fit(X, LABELS, sample_weight=weight), classifier(stack((3,)))
        np.testing.assert_array_equal(one.predict_proba(X), other.fit(X[kept], LABELS[kept]).predict_proba(X))


def test_rows_that_are_all_equal_are_held_out_too():
    estimator = classifier(stack((3,)), early_stopping=True).fit(np.full((20, 3), 0.5), np.zeros(20))
    assert estimator.history_["validation_log_likelihood"] == [0, 0, 0]


@pytest.mark.parametrize("batch_size", [10, 128])
def test_a_warm_start_goes_on_without_pretraining(batch_size):
    estimator = classifier(stack((6,)), warm_start=True, batch_size=batch_size).fit(X, LABELS)
    first = estimator.stack_
    before = estimator.history_["log_likelihood"][-1]
    estimator.set_params(max_iter=20).fit(X, LABELS)
    assert estimator.stack_ is first
    assert estimator.n_iter_ == 23
    assert estimator.history_["log_likelihood"][-1] > before
    with pytest.raises(ValueError, match="other classes"):
        estimator.fit(X, LABELS + 1)
    with pytest.raises(ValueError, match=r"hidden layers \[6\] cannot be continued with \[7\]"):
        estimator.set_params(stack=stack((7,))).fit(X, LABELS)


def test_pretraining_is_a_task_of_the_fit_before_its_epochs():
    begun = []

    class Tasks:
        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            begun.append((context.task_name, context.task_id))

        def on_fit_task_end(self, estimator, context):
            pass

    own = LossMonitor()
    estimator = classifier(stack((6, 4), max_iter=2).set_callbacks(own)).set_callbacks(Tasks()).fit(X, LABELS)
    assert begun == [("fit", 0), ("pretraining", 0), ("epoch", 1), ("epoch", 2), ("epoch", 3)]
    (log,) = own.get_logs()
    assert [task[:2] for task in log["task"]] == [["RBMStackClassifier", "fit"], ["RBMStackClassifier", "fit"]]
    assert log["history"] == estimator.stack_.history_


def test_a_fit_ended_after_every_epoch_continues_to_the_same_end(tmp_path):
    whole = classifier(stack((6,))).fit(X, LABELS)
    parts = classifier(stack((6,))).set_callbacks(Checkpoint(tmp_path), TimeBudget(0))
    assert [parts.fit(X, LABELS).n_iter_ for _ in range(3)] == [1, 2, 3]
    np.testing.assert_array_equal(parts.predict_proba(X), whole.predict_proba(X))
    assert not list(tmp_path.iterdir())


def test_checkpoints_of_two_frozen_stacks_are_two(tmp_path):
    one, other = (FrozenEstimator(stack((6,)).fit(part)) for part in (X, 1 - X))
    callbacks = Checkpoint(tmp_path), TimeBudget(0)
    for frozen in (one, other):
        classifier(frozen).set_callbacks(*callbacks).fit(X, LABELS)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("solver", ["lbfgs", "bfgs"])
def test_line_searches_need_a_deterministic_loss(solver):
    with pytest.raises(ValueError, match="dropout=0"):
        classifier(stack((6,)), solver=solver, dropout=0.2).fit(X, LABELS)
    estimator = classifier(stack((6,)), solver=solver, max_iter=100, weight_decay=1e-3).fit(X, LABELS)
    assert estimator.score(X, LABELS) == 1.0


def test_sparse_rows_are_rows():
    binary = (X > 0.5).astype(float)
    dense, sparse = (classifier(stack((6,)), batch_size=16).fit(each, LABELS) for each in (binary, csr_array(binary)))
    np.testing.assert_array_equal(dense.predict_proba(binary), sparse.predict_proba(csr_array(binary)))


def test_digits_are_told_apart_from_few_labels_and_many_rows():
    rows, labels = load_digits(return_X_y=True)
    rows = rows / 16
    some = np.where(np.arange(len(rows)) < 200, labels, -1)
    machines = RBMStack((64,), max_iter=20, learning_rate=0.1)
    estimator = classifier(machines, unlabelled=-1, max_iter=150, batch_size=20).fit(rows, some)
    assert estimator.score(rows[200:], labels[200:]) > 0.75
