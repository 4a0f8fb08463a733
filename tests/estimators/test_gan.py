"""Generators learnt from critics: what is theirs alone, beside the contract that all estimators keep."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from skgen import GenerativeAdversarialNetwork
from skgen.distributions.mean_discrepancy import mean_discrepancy
from skgen.estimators._adversarial import AdversarialLoss, Drawing
from skgen.estimators._adversarial_score import Distance, bandwidths_of, kernel_of
from skgen.models.adversarial import AdversarialModel
from skgen.networks import MLP
from skgen.objectives.adversarial import GAMES
from skgen.training.batches import Batch
from skgen.training.flat import FlatParameters
from tests.estimators.configurations import ADVERSARIAL, ADVERSARIAL_LABELLED, configured, gan, rows
from tests.oracles import process_state
from tests.parts import normal

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


# -- the game -----------------------------------------------------------------------------------------------------


BANDWIDTHS = np.array([0.1, 1.0])


def game(name, generator, *, n_drawn=None, penalty_weight=0.3, discrepancy_weight=0.0):
    """The loss of a game on four columns, and the flat parameters of its model."""
    critic, generators = MLP(4, (6,), 1, "tanh"), [MLP(4, (5,), 4, "tanh") for _ in range(2)]
    model = AdversarialModel(critic, *generators, MLP(4, (3,), 2), jumps=True).double()
    model.reset(generator)
    parameters = FlatParameters(model)
    drawing = Drawing(2, None, model.scale)
    nearness = discrepancy_weight, BANDWIDTHS
    return AdversarialLoss(model, GAMES[name](), penalty_weight, nearness, drawing, n_drawn), parameters


def gradient_of(part, parameters, batch):
    parameters.gradient.zero_()
    with torch.no_grad():
        terms, value = part(batch, torch.Generator().manual_seed(3))
    return {name: float(each) for name, each in terms().items()}, float(value()), parameters.gradient.clone()


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("part", ["critic", "generator", "encoder"])
@pytest.mark.parametrize("n_drawn", [None, 7])
def test_each_part_adds_the_gradient_of_its_loss_to_its_own_network(name, part, n_drawn, generator):
    loss, parameters = game(name, generator, n_drawn=n_drawn)
    own = parameters.marks(getattr(loss.model, part))
    batch = Batch(normal(5, 4, generator=generator), torch.rand(5, dtype=torch.float64, generator=generator) + 0.5)
    gradient = gradient_of(getattr(loss, part), parameters, batch)[2]
    assert (gradient[~own] == 0).all()

    def value():
        terms = gradient_of(getattr(loss, part), parameters, batch)[0]
        return terms[part] + loss.penalty_weight * terms.get("gradient_penalty", 0.0)

    direction = normal(len(gradient), generator=generator) * own
    step = 1e-5
    parameters.value.add_(step * direction)
    high = value()
    parameters.value.sub_(2 * step * direction)
    low = value()
    # Central differences of numbers near 1 are good to about 1e-10.
    assert float(gradient @ direction) == pytest.approx((high - low) / (2 * step), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("name", GAMES)
def test_the_weight_of_a_row_in_a_single_batch_is_its_repetition(name, generator):
    loss, parameters = game(name, generator, n_drawn=7)
    x, times = normal(5, 4, generator=generator), torch.tensor([1, 3, 0, 2, 1])
    weight = times / times.double().mean()
    weighted = gradient_of(loss.critic, parameters, Batch(x, weight))
    repeated = gradient_of(loss.critic, parameters, Batch(x.repeat_interleave(times, 0), None))
    assert weighted[0] == pytest.approx(repeated[0])
    torch.testing.assert_close(weighted[2], repeated[2])


def test_the_discrepancy_adds_its_own_gradient_to_the_generator_s(generator):
    loss, parameters = game("hinge", generator, discrepancy_weight=2.0)
    batch = Batch(normal(6, 4, generator=generator), None)
    both = gradient_of(loss.generator, parameters, batch)[2]
    loss.discrepancy_weight = 0.0
    game_s_own = gradient_of(loss.generator, parameters, batch)[2]
    parameters.gradient.zero_()
    drawn = loss._drawn(loss.model.generator, *loss._draw(batch, torch.Generator().manual_seed(3)))
    weights = list(loss.model.generator.parameters())
    value = 2 * mean_discrepancy(batch.x, drawn, kernel_of(BANDWIDTHS))
    for weight, gradient in zip(weights, torch.autograd.grad(value, weights), strict=True):
        weight.grad.add_(gradient)
    torch.testing.assert_close(both - game_s_own, parameters.gradient)


def test_slopes_along_random_directions_have_the_squared_norm_of_the_gradient_for_their_mean(generator):
    loss, _ = game("nonsaturating", generator, n_drawn=1)
    x = normal(1, 4, generator=generator).requires_grad_()
    (gradient,) = torch.autograd.grad(loss.model.critic(x).sum(), x)
    source, values = torch.Generator().manual_seed(1), []
    with torch.no_grad():
        for _ in range(3000):
            scores = torch.zeros(1, dtype=torch.float64)
            values.append(loss._judged_with_slopes(x.detach(), None, scores + 1, 1, source)[1]())
    values = torch.stack(values)
    # The differences reach over a step of 0.01, which moves the mean by less than its standard error.
    assert abs(float(values.mean() - gradient.square().sum())) < 4 * float(values.std()) / len(values) ** 0.5


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


# -- the discrepancy ----------------------------------------------------------------------------------------------


def test_the_score_is_zero_in_the_mean_for_rows_of_the_model_and_below_for_others():
    model = gan(max_iter=20).fit(ring(400))
    own = [model.score(model.sample(200, random_state=seed)) for seed in range(30)]
    # The rows that the score draws are the same each time: their own error, from 100 draws, is that of the mean.
    assert abs(np.mean(own)) < 0.03
    assert model.score(model.sample(200, random_state=0) + 3) < min(own) - 0.1


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


def test_a_search_over_parameters_needs_no_labels():
    search = GridSearchCV(gan(max_iter=3), {"n_components": [1, 2]}, cv=2).fit(ring(120))
    assert search.best_score_ == max(search.cv_results_["mean_test_score"])
    assert not hasattr(search.best_estimator_, "score_samples")
    assert search.best_estimator_.score_kind == "pseudo"


# -- training -----------------------------------------------------------------------------------------------------


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
    whole = gan(max_iter=4, learning_rate_schedule="constant").fit(X)
    model.set_params(learning_rate_schedule="constant").set_callbacks(Break())
    with pytest.raises(FloatingPointError, match="diverged in epoch 5"):
        model.fit(X)
    assert model.n_iter_ == 4
    assert model.best_iter_ == whole.best_iter_
    np.testing.assert_array_equal(model.sample(9), whole.sample(9))
    assert pickle.loads(pickle.dumps(model.set_callbacks())).score(X) == whole.score(X)


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
    options = {"learning_rate_schedule": "constant", "n_iter_no_change": np.inf}
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


def test_an_encoder_learns_where_draws_come_from():
    options = {"encoder": True, "jumps": False, "early_stopping": False, "max_iter": 150, "random_state": 0}
    model = GenerativeAdversarialNetwork(1, hidden_layer_sizes=(16,), **options)
    line = np.random.default_rng(0).normal(size=(600, 1)) * [[1.0, 2.0]] + 0.01
    model.fit(line)
    z = np.linspace(-2, 2, 9)[:, None]
    np.testing.assert_allclose(model.transform(model.inverse_transform(z)), z, atol=0.3)
    assert model.history_["encoder"][-1] < 0.1 * model.history_["encoder"][0]


def test_bounded_draws_stay_in_the_range_of_the_rows():
    X = (rows(200, 9) > 0.5).astype(float)
    drawn = gan(network="conv", hidden_layer_sizes=(3,), bounded=True, batch_size=50).fit(X).sample(200)
    assert drawn.min() >= 0
    assert drawn.max() <= 1


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
    with pytest.raises(ValueError, match="requires y to be passed"):
        gan(conditional=True).fit(rows())


def test_labels_are_for_models_of_classes_alone():
    plain = gan().fit(rows(), LABELS)
    np.testing.assert_array_equal(plain.sample(3), gan().fit(rows()).sample(3))
    for use in (plain.sample, plain.transform, plain.inverse_transform):
        argument = 2 if use == plain.sample else plain.transform(rows(2))
        with pytest.raises(ValueError, match=r"the model has no classes|has 2 features"):
            use(argument, y="few")
    with pytest.raises(ValueError, match="return_labels=True needs a model with classes"):
        plain.sample(2, return_labels=True)
    with pytest.raises(ValueError, match=r"y has label\(s\) 'none'"):
        fitted("gan-conditional").sample(2, y="none")
