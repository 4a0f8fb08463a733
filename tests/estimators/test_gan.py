"""Generators learnt from critics: what is theirs alone, beside the contract that all estimators keep."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from skgen import GenerativeAdversarialNetwork
from skgen.estimators import _inversion
from tests.estimators.configurations import ADVERSARIAL, ADVERSARIAL_LABELLED, configured, gan, rows
from tests.oracles import process_state

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

every = pytest.mark.parametrize("name", ADVERSARIAL | ADVERSARIAL_LABELLED)
SHORT = {"learning_rate": 3e-3, "ema_decay": 0.99, "batch_size": 100, "max_iter": 60, "random_state": 0}
"""A fit of few steps: averages are over fewer."""
LABELS = np.array(["few", "many", "some"])[np.arange(40) % 3]


def ring(n_rows, seed=0):
    """Rows around a circle."""
    random = np.random.default_rng(seed)
    angles = random.uniform(0, 2 * np.pi, n_rows)
    return np.column_stack([np.cos(angles), np.sin(angles)]) + 0.05 * random.normal(size=(n_rows, 2))


def fitted(name, X=None, **parameters):
    return configured(name, **parameters).fit(rows() if X is None else X, LABELS)


# -- the discrepancy ----------------------------------------------------------------------------------------------


def test_the_score_is_zero_in_the_mean_for_rows_of_the_model_and_below_for_others():
    model = gan(max_iter=20).fit(ring(400))
    own = [model.score(model.sample(200, random_state=seed)) for seed in range(30)]
    # The rows that the score draws are the same each time: their own error, from 100 draws, is that of the mean.
    assert abs(np.mean(own)) < 0.03
    assert model.score(model.sample(200, random_state=0) + 3) < min(own) - 0.1


@pytest.mark.parametrize("name", ["gan", "gan-conditional"])
def test_a_weight_in_a_score_is_no_matter_of_its_size_and_zero_leaves_a_row_out(name):
    model, X = fitted(name), rows()
    some = np.arange(40) % 4 > 0
    for few, y, y_few in ((X[some], None, None), (X[some], LABELS, LABELS[some])):
        assert model.score(X, y, 1e308 * some) == pytest.approx(model.score(few, y_few), rel=1e-12)
    first = np.where(np.arange(40) == 0, 1e300, 1.0)
    alone = model.score(X[:1], LABELS[:1])
    for weight in (first, 1.0 * (np.arange(40) == 0)):
        assert model.score(X, LABELS, weight) == pytest.approx(alone, rel=1e-12)


def test_a_search_over_parameters_needs_no_labels():
    search = GridSearchCV(gan(max_iter=3), {"n_components": [1, 2]}, cv=2).fit(ring(120))
    assert search.best_score_ == max(search.cv_results_["mean_test_score"])
    assert not hasattr(search.best_estimator_, "score_samples")
    assert search.best_estimator_.score_kind == "pseudo"


# -- training -----------------------------------------------------------------------------------------------------


def test_the_average_is_that_of_the_generator_s_weights():
    X = ring(300)
    kept = gan(batch_size=50, early_stopping=False, ema_decay=0.0).fit(X)
    for name, value in kept.weights_.items():
        if name.startswith("generator."):
            np.testing.assert_array_equal(value, kept.weights_[name.replace("generator.", "average.")])
    averaged = gan(batch_size=50, early_stopping=False, ema_decay=0.9).fit(X)
    # The game is the same, whatever is made of it.
    np.testing.assert_array_equal(averaged.history_["critic"], kept.history_["critic"])
    assert (averaged.weights_["average.layers.0.weight"] != kept.weights_["average.layers.0.weight"]).any()


def test_draws_come_to_look_like_the_rows():
    X = ring(1000)
    model = GenerativeAdversarialNetwork(2, hidden_layer_sizes=(32, 32), **SHORT).fit(X)
    drawn = model.sample(1000)
    assert model.history_["validation_score"][0] < 3 * max(model.history_["validation_score"])
    assert abs(np.linalg.norm(drawn, axis=1).mean() - 1) < 0.1
    assert (np.abs(drawn.mean(axis=0)) < 0.2).all()
    assert model.coverage_ > 0.7


def test_the_kept_weights_are_those_of_the_best_validation_epoch():
    kept = []

    class Notes:
        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context):
            if context.task_name == "epoch":
                kept.append(estimator._runtime.run._values().numpy())

    model = gan(max_iter=30, learning_rate=0.05, n_iter_no_change=5, batch_size=100)
    model.set_callbacks(Notes()).fit(ring(600))
    values = model.history_["validation_score"]
    assert model.best_iter_ == 1 + int(np.argmax(values))
    for name, value in model.weights_.items():
        if name.startswith(("average.", "generator.", "critic.")):
            assert np.isin(value, kept[model.best_iter_ - 1]).all(), name


def test_too_few_rows_to_validate_on_train_without_early_stopping_and_warn():
    with pytest.warns(ConvergenceWarning, match=r"n_samples = 499 .* too few rows to validate on"):
        model = gan().fit(ring(499))
    assert "validation_score" not in model.history_
    assert model.n_samples_seen_ == 499
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*too few rows")
        assert "validation_score" in gan().fit(ring(500)).history_
        assert "validation_score" in gan().fit(ring(99), X_val=ring(2, seed=1)).history_
    with pytest.warns(ConvergenceWarning, match="too few rows"):
        assert "validation_score" not in gan().fit(ring(99), X_val=ring(1, seed=1)).history_


def test_validation_rows_that_are_too_few_are_named():
    with pytest.warns(ConvergenceWarning, match="X_val with n_samples = 1 leaves too few rows"):
        gan().fit(ring(600), X_val=ring(1))


def test_a_batch_may_be_as_large_as_one_likes():
    huge, large = (gan(batch_size=size).fit(rows()) for size in (10**9, 1000))
    np.testing.assert_array_equal(huge.sample(5), large.sample(5))


@pytest.mark.parametrize("batch_size", [8, 100])
@pytest.mark.parametrize("size", [1e-320, 1e-160])
def test_columns_whose_variance_underflows_are_constants(size, batch_size):
    X = size * rows()
    with pytest.warns(UserWarning, match="Constant column"):
        model = gan(batch_size=batch_size).fit(X)
    np.testing.assert_array_equal(model.sample(3), np.tile(X.min(axis=0), (3, 1)))
    assert model.score(X) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("weight", [0.0, 1e-300])
def test_batches_of_rows_without_weight_teach_nothing_and_break_nothing(weight):
    weights = np.where(np.arange(40) < 4, 1.0, weight)
    model = gan(batch_size=2, max_iter=2).fit(rows(), sample_weight=weights)
    assert np.isfinite(model.sample(5)).all()


def test_a_small_chunk_leaves_the_scales_of_the_score_alone():
    model = gan().partial_fit(ring(300))
    before = model.bandwidths_
    np.testing.assert_array_equal(model.partial_fit(ring(1, seed=1)).bandwidths_, before)
    assert (model.partial_fit(ring(400, seed=1)).bandwidths_ != before).all()


def test_few_rows_are_trained_as_one_batch_of_rows_in_any_order():
    X, order = ring(60), np.random.default_rng(0).permutation(60)
    one, other = (gan(precision="float64").fit(each) for each in (X, X[order]))
    np.testing.assert_allclose(one.sample(5), other.sample(5), rtol=1e-9, atol=1e-12)
    batches = gan(batch_size=16).fit(X)
    assert {len(values) for values in batches.history_.values()} == {5}


@every
def test_constant_columns_are_drawn_as_that_constant(name):
    X = rows()
    X[:, 2] = 0.25
    with pytest.warns(UserWarning, match=r"Constant column\(s\) 2 .* generated as that constant"):
        model = fitted(name, X)
    np.testing.assert_array_equal(model.sample(7)[:, 2], np.full(7, 0.25))
    assert (model.sample(50)[:, 1].std() > 0).all()


def test_a_collapsed_generator_is_a_warning():
    X = np.concatenate([ring(300) - 50, ring(300) + 50])
    with pytest.warns(ConvergenceWarning, match=r"near only \d+ % of the training rows: the generator has collapsed"):
        model = gan(max_iter=2, learning_rate=1e-6).fit(X)
    assert model.coverage_ < 0.5


def test_a_critic_that_diverges_names_the_epoch_and_the_best_weights_are_kept():
    X = ring(600)

    class Break:
        """Spoil the critic after the fourth epoch."""

        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context):
            run = estimator._runtime.run
            if context.task_name == "epoch" and run.epoch == 4:
                run.parameters.part(run.model.critic).value.mul_(1e30)

    model = gan(max_iter=9)
    model.set_params(learning_rate_schedule="constant", penalty_annealing=2)
    whole = clone(model).set_params(max_iter=4).fit(X)
    model.set_callbacks(Break())
    with pytest.raises(FloatingPointError, match="diverged in epoch 5"):
        model.fit(X)
    assert model.n_iter_ == 4
    assert model.best_iter_ == whole.best_iter_
    np.testing.assert_array_equal(model.sample(9), whole.sample(9))
    assert pickle.loads(pickle.dumps(model.set_callbacks())).score(X) == whole.score(X)


@pytest.mark.parametrize("weight", ["discrepancy_weight", "gradient_penalty"])
def test_a_weight_beyond_the_precision_ends_in_divergence(weight):
    with pytest.raises(FloatingPointError, match="diverged in epoch 1"):
        gan(batch_size=8, **{weight: 1e300}).fit(rows())


def test_a_fit_that_diverges_before_anything_was_learnt_leaves_the_model_before():
    model = gan().fit(ring(600))
    before = model.sample(5)
    with pytest.raises(FloatingPointError, match="epoch 1"):
        model.set_params(learning_rate=1e30).fit(ring(600, seed=1))
    np.testing.assert_array_equal(model.sample(5), before)


@pytest.mark.parametrize("X", [rows(), ring(600)])
def test_storing_between_chunks_changes_nothing_and_the_process_is_left_alone(X):
    before = process_state()
    straight, stored = gan(batch_size=32, encoder=True), gan(batch_size=32, encoder=True)
    for chunk in np.array_split(X, 4):
        straight.partial_fit(chunk)
        stored = pickle.loads(pickle.dumps(stored)).partial_fit(chunk)
    for key, value in straight.weights_.items():
        np.testing.assert_array_equal(stored.weights_[key], value, err_msg=key)
    for key, value in straight.training_state_.items():
        np.testing.assert_array_equal(stored.training_state_[key], value, err_msg=key)
    assert process_state() == before


@pytest.mark.parametrize("name", ["gan", "gan-wasserstein", "gan-encoder", "gan-conditional"])
def test_a_warm_start_goes_on_where_the_fit_before_ended(name):
    options = {"learning_rate_schedule": "constant", "n_iter_no_change": np.inf, "penalty_annealing": 0}
    whole = fitted(name, max_iter=6, **options)
    halves = fitted(name, max_iter=3, warm_start=True, **options).fit(rows(), LABELS)
    assert halves.n_iter_ == 6
    np.testing.assert_allclose(halves.sample(5), whole.sample(5), rtol=1e-7)
    with pytest.raises(ValueError, match=r"another architecture: hidden_layer_sizes from \(8,\)"):
        halves.set_params(hidden_layer_sizes=(3,)).fit(rows(), LABELS)


@pytest.mark.parametrize("name", ["gan", "gan-conv", "gan-conditional"])
def test_a_moving_scale_leaves_what_was_learnt_alone(name):
    model = fitted(name, precision="float64", bounded=False, ema_decay=0.0)
    before = model.sample(9)
    model.set_params(learning_rate=0.0).partial_fit(2 + 8 * rows(seed=4), LABELS)
    np.testing.assert_allclose(model.sample(9), before, rtol=1e-9)


@every
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_components": 0}, "n_components"),
        ({"loss": "minimax"}, "loss"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"precision": "bfloat16"}, "precision"),
        ({"hidden_layer_sizes": (8.0,)}, "hidden_layer_sizes"),
        ({"generator_hidden_layer_sizes": (0,)}, "generator_hidden_layer_sizes"),
    ],
)
def test_a_parameter_out_of_range_is_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        fitted(name, **options)


def test_a_wasserstein_critic_without_a_penalty_is_refused():
    with pytest.raises(ValueError, match="loss='wasserstein-gp' has no bound with gradient_penalty=0"):
        gan(loss="wasserstein-gp", gradient_penalty=0).fit(rows())
    assert gan(loss="hinge", gradient_penalty=0).fit(rows()).n_iter_ == 5


# -- use ----------------------------------------------------------------------------------------------------------


def test_a_code_found_for_a_drawn_row_draws_it_again():
    model = gan(max_iter=20, inversion_steps=200).fit(ring(400))
    X = model.sample(30, random_state=3)
    again = model.inverse_transform(model.transform(X))
    # The prior of z pulls a row towards the middle, by less than a tenth of a standard deviation, the noise assumed.
    assert np.abs(again - X).max() < 0.1
    some = model.transform(X[:3])
    np.testing.assert_array_equal(some, model.transform(X)[:3])


@pytest.mark.parametrize("name", ["gan", "gan-conv", "gan-conditional"])
@pytest.mark.parametrize("most", [1, 3, 64])
def test_codes_do_not_depend_on_how_many_rows_are_searched_for_at_once(name, most, monkeypatch):
    model, X = fitted(name, precision="float64"), rows()[:7]
    expected = model.transform(X)
    monkeypatch.setattr(_inversion, "MOST_ROWS", most)
    # Rounding errors of products of other shapes, grown over a few steps.
    np.testing.assert_allclose(model.transform(X), expected, rtol=1e-6, atol=1e-6)


def test_an_encoder_learns_where_draws_come_from():
    options = {"encoder": True, "jumps": False, "early_stopping": False, "max_iter": 150, "random_state": 0}
    model = GenerativeAdversarialNetwork(1, hidden_layer_sizes=(16,), **options)
    line = np.random.default_rng(0).normal(size=(600, 1)) * [[1.0, 2.0]] + 0.01
    model.fit(line)
    z = np.linspace(-2, 2, 9)[:, None]
    np.testing.assert_allclose(model.transform(model.inverse_transform(z)), z, atol=0.3)
    assert model.history_["encoder"][-1] < 0.1 * model.history_["encoder"][0]


def test_the_unit_of_a_bounded_column_is_half_of_its_range():
    X = rows(200, 4)
    X[:, 0] = np.arange(200) == 7  # hardly ever varies
    model = gan(bounded=True, max_iter=1).fit(X)
    low, high = X.min(axis=0), X.max(axis=0)
    np.testing.assert_allclose(model.weights_["shift"], (low + high) / 2, rtol=1e-6)
    np.testing.assert_allclose(model.weights_["scale"], (high - low) / 2, rtol=1e-6)


@pytest.mark.parametrize("network", ["mlp", "conv"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bounded_draws_stay_in_the_range_of_the_rows_to_the_last_digit(network, dtype):
    X = (7 + 200 * rows(200, 9) ** 3).astype(dtype)
    model = gan(network=network, hidden_layer_sizes=(3,), bounded=True, batch_size=50).fit(X)
    far = 1e4 * np.random.default_rng(0).normal(size=(200, 2)).astype(dtype)
    for drawn in (model.sample(200), model.inverse_transform(far)):
        assert (drawn >= X.min(axis=0)).all()
        assert (drawn <= X.max(axis=0)).all()


# -- classes ------------------------------------------------------------------------------------------------------


def test_a_model_of_classes_draws_rows_of_each():
    X = ring(600) / 4 + np.where(np.arange(600) % 2, 3, -3)[:, None]
    y = np.array(["low", "high"])[np.arange(600) % 2]
    model = GenerativeAdversarialNetwork(2, conditional=True, hidden_layer_sizes=(32,), **SHORT).fit(X, y)
    for label, center in (("low", -3), ("high", 3)):
        np.testing.assert_allclose(model.sample(200, y=label).mean(axis=0), center, atol=0.5)
        np.testing.assert_array_equal(model.sample(3, y=[label] * 3), model.sample(3, y=label))
    drawn, labels = model.sample(400, return_labels=True)
    assert set(labels) == {"low", "high"}
    assert ((drawn.mean(axis=1) > 0) == (labels == "high")).mean() > 0.95
    assert model.score(X, y) > model.score(X, y[::-1]) + 0.1
    codes = model.transform(X[:9])
    np.testing.assert_array_equal(codes, model.transform(X[:9], y[:9]))
    np.testing.assert_allclose(model.inverse_transform(codes, y[:9]), X[:9], atol=0.5)


def test_one_class_only_is_refused():
    with pytest.raises(ValueError, match=r"y has one class, .*conditional=True .* or set conditional=False"):
        gan(conditional=True).fit(rows(), np.zeros(40))
    with pytest.raises(ValueError, match=r"y has one class, 'few', .* name all in the first call of partial_fit"):
        gan(conditional=True).partial_fit(rows(), np.full(40, "few"))
    model = gan(conditional=True).partial_fit(rows(), np.full(40, "few"), classes=["few", "many"])
    assert set(model.sample(9, return_labels=True)[1]) == {"few"}
    with pytest.raises(ValueError, match="requires y to be passed"):
        gan(conditional=True).fit(rows())


def test_labels_are_for_models_of_classes_alone():
    plain = gan().fit(rows(), LABELS)
    np.testing.assert_array_equal(plain.sample(3), gan().fit(rows()).sample(3))
    inverse = fitted("gan-encoder")
    for use, argument in (
        (plain.sample, 2),
        (plain.transform, rows(2)),
        (inverse.transform, rows(2)),
        (plain.inverse_transform, plain.transform(rows(2))),
    ):
        with pytest.raises(ValueError, match="the model has no classes"):
            use(argument, y="few")
    with pytest.raises(ValueError, match="return_labels=True needs a model with classes"):
        plain.sample(2, return_labels=True)
    with pytest.raises(ValueError, match=r"y has label\(s\) 'none'"):
        fitted("gan-conditional").sample(2, y="none")
