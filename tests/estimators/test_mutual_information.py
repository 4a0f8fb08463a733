import math
import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skgen import MutualInformation
from tests.estimators.configurations import PAIRED, configured, information
from tests.oracles import process_state

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
every = pytest.mark.parametrize("name", PAIRED)
RHO = 0.8
TRUTH = -math.log(1 - RHO**2)
"""Information of two pairs of normal numbers with this correlation."""


def pairs(n=2000, *, rho=RHO, seed=0, dtype=np.float64):
    """Rows, and partners whose first two columns are correlated with theirs."""
    random = np.random.default_rng(seed)
    X, noise = random.normal(size=(2, n, 2))
    return X.astype(dtype), (rho * X + math.sqrt(1 - rho**2) * noise).astype(dtype)


def learner(bound="infonce", **parameters):
    small = {"hidden_layer_sizes": (32,), "batch_size": 200, "max_iter": 30, "learning_rate": 3e-3, "random_state": 0}
    return MutualInformation(bound, **small | parameters)


@pytest.mark.parametrize(
    ("bound", "critic"),
    [("infonce", "separable"), ("donsker-varadhan", "separable"), ("nwj", "separable"), ("infonce", "concatenated")],
)
def test_a_bound_comes_close_to_the_information_of_correlated_normals_and_stays_below(bound, critic):
    estimator = learner(bound, critic=critic, hidden_layer_sizes=(32,), batch_size=100).fit(*pairs())
    value, (low, high) = estimator.estimate(*pairs(seed=1))
    assert low < value < high
    assert low < TRUTH
    assert value > 0.85 * TRUTH
    assert estimator.score_kind == "bound"


def test_the_estimate_that_is_no_bound_says_so_and_comes_close_too():
    estimator = learner("smile").fit(*pairs())
    assert estimator.score_kind == "estimate"
    assert abs(estimator.score(*pairs(seed=1)) - TRUTH) < 0.15 * TRUTH


@pytest.mark.parametrize("bound", ["infonce", "donsker-varadhan", "nwj", "smile"])
def test_independent_parts_have_no_information(bound):
    estimator = learner(bound).fit(*pairs(rho=0.0))
    assert estimator.score(*pairs(rho=0.0, seed=1)) <= 0.05
    assert estimator.estimate_ <= 0.05


def test_the_sign_of_a_number_has_a_bit_whether_it_is_a_number_or_text():
    X, _ = pairs()
    X_new, _ = pairs(seed=1)
    for name in (lambda X: np.sign(X[:, 0]), lambda X: np.where(X[:, 0] > 0, "up", "down")):
        estimator = learner().fit(X, name(X))
        value, (low, _) = estimator.estimate(X_new, name(X_new))
        assert value > 0.8 * math.log(2)
        assert low < math.log(2)
    assert estimator.classes_.tolist() == ["down", "up"]


def test_units_change_nothing():
    X, Y = pairs(300)
    one, other = (learner(max_iter=3).fit(scale * X + shift, Y / scale) for scale, shift in ((1, 0), (1024, 512)))
    np.testing.assert_allclose(other.estimate_, one.estimate_, rtol=1e-5)


def test_evaluation_changes_nothing_and_does_not_depend_on_the_order_of_pairs():
    estimator = learner("donsker-varadhan", warm_start=True, max_iter=2).fit(*pairs(500))
    before = pickle.dumps(estimator)
    X, Y = pairs(300, seed=1)
    values = [estimator.score(X, Y), estimator.score(X, Y), estimator.score(X[::-1], Y[::-1])]
    assert values[0] == values[1]
    np.testing.assert_allclose(values[2], values[0], rtol=1e-12)
    assert pickle.dumps(estimator) == before


def test_tiles_change_nothing(monkeypatch):
    for critic in ("separable", "concatenated"):
        estimator = learner(critic=critic, max_iter=2).fit(*pairs(300))
        whole = estimator.estimate(*pairs(100, seed=1))
        with monkeypatch.context() as patch:
            patch.setattr("skgen.estimators._arrays.TILE_BYTES", 2**12)
            tiled = estimator.estimate(*pairs(100, seed=1))
        np.testing.assert_allclose(np.hstack(tiled), np.hstack(whole), rtol=1e-12)


def test_the_estimate_of_a_fit_is_that_of_its_validation_pairs():
    X_val, y_val = pairs(200, seed=2)
    estimator = learner(max_iter=5, precision="float64").fit(*pairs(500), X_val=X_val, y_val=y_val)
    np.testing.assert_allclose(estimator.estimate(X_val, y_val)[0], estimator.estimate_, rtol=1e-9)
    best = max(estimator.history_["validation_mutual_information"])
    np.testing.assert_allclose(estimator.estimate_, best, rtol=1e-9)
    low, high = estimator.interval_
    assert low < estimator.estimate_ < high


def test_without_pairs_that_are_held_out_there_is_no_estimate():
    estimator = learner(early_stopping=False, max_iter=2).fit(*pairs(300))
    assert math.isnan(estimator.estimate_)
    assert np.isnan(estimator.interval_).all()
    assert math.isnan(learner(max_iter=2).fit(*pairs(300)).partial_fit(*pairs(50)).estimate_)


def test_a_value_near_the_logarithm_of_the_number_of_pairs_is_warned_of():
    X = np.random.default_rng(0).normal(size=(1000, 3))
    estimator = learner().fit(X, X)
    with pytest.warns(UserWarning, match="the logarithm of the number of its pairs, 30"):
        assert estimator.score(X[:30], X[:30]) <= math.log(30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learner().fit(*pairs()).score(*pairs(seed=1))


def test_in_a_single_batch_the_cap_is_that_of_all_bounds_and_is_warned_of():
    X = np.random.default_rng(0).normal(size=(400, 3))
    for bound in ("infonce", "donsker-varadhan", "nwj"):
        with pytest.warns(ConvergenceWarning, match="near 3.69, the logarithm of the number of its pairs, 40"):
            estimator = learner(bound, batch_size=400, max_iter=60, learning_rate=0.01).fit(X, X)
        assert estimator.estimate_ <= math.log(40)


def test_a_value_that_so_few_pairs_cannot_tell_is_warned_of():
    X = np.random.default_rng(0).normal(size=(1000, 3))
    estimator = learner("donsker-varadhan").fit(X, X)
    with pytest.warns(UserWarning, match="above 2.3, the logarithm of the number of its pairs, 10"):
        assert estimator.score(X[:10], X[:10]) > math.log(10)
    estimator.set_params(bound="smile", clip=0.5)
    with pytest.warns(UserWarning, match="above 0.5, clip.*Raise clip"):
        assert estimator.score(X, X) > 0.5


def test_an_interval_holds_the_value_of_many_pairs_about_nineteen_times_in_twenty():
    n_repeats = 60
    for bound in ("infonce", "donsker-varadhan", "nwj", "smile"):
        estimator = learner(bound).fit(*pairs())
        results = [estimator.estimate(*pairs(150, seed=1 + seed)) for seed in range(n_repeats)]
        mean = np.mean([value for value, _ in results])
        covered = np.mean([low < mean < high for _, (low, high) in results])
        assert covered > 0.95 - 4 * math.sqrt(0.95 * 0.05 / n_repeats)


def test_a_denominator_that_few_rows_make_up_is_warned_of():
    X, Y = pairs(150, rho=0.0)
    forever = {"early_stopping": False, "n_iter_no_change": 100, "max_iter": 100}
    forever |= {"hidden_layer_sizes": (128,), "batch_size": 50, "learning_rate": 0.01}
    by_heart = learner("donsker-varadhan", **forever).fit(X, Y)
    with pytest.warns(UserWarning, match="due to few rows: its interval is too narrow"):
        by_heart.score(*pairs(300, rho=0.0, seed=1))


def test_a_critic_that_learns_its_pairs_by_heart_is_found_out_by_others():
    X, Y = pairs(150, rho=0.0)
    forever = {"early_stopping": False, "n_iter_no_change": 300, "max_iter": 300}
    estimator = learner(**forever, hidden_layer_sizes=(128,), batch_size=50, learning_rate=0.01).fit(X, Y)
    _, (low, _) = estimator.estimate(X, Y)
    assert low > 0
    assert estimator.score(*pairs(300, rho=0.0, seed=1)) < 0


def test_a_single_pair_held_out_gives_no_estimate_and_is_warned_of():
    with pytest.warns(ConvergenceWarning, match="a single pair was held out"):
        assert math.isnan(information().fit(*pairs(10)).estimate_)


def test_the_scale_of_weights_means_nothing():
    X, Y = pairs(60, seed=1)
    estimator = information().fit(*pairs(60))
    weight = np.random.default_rng(0).uniform(0.5, 1, size=60)
    expected = np.hstack(estimator.estimate(X, Y, sample_weight=weight))
    for factor in (1e-300, 1e308):
        ours = estimator.estimate(X, Y, sample_weight=factor * weight)
        np.testing.assert_allclose(np.hstack(ours), expected, rtol=1e-12)


def test_parameters_that_are_set_later_say_how_a_critic_is_valued_and_are_checked():
    estimator, other = (information(bound).fit(*pairs(60)) for bound in ("infonce", "nwj"))
    other = pickle.loads(pickle.dumps(other))
    estimator.set_params(bound="nwj", critic="concatenated", hidden_layer_sizes=(3,))
    other.weights_ = estimator.weights_
    assert estimator.score(*pairs(60, seed=1)) == other.score(*pairs(60, seed=1))
    for change in ({"bound": "mine"}, {"bound": "smile", "clip": -1}):
        with pytest.raises(ValueError, match=f"The '{list(change)[-1]}' parameter of MutualInformation must be"):
            estimator.set_params(**change).score(*pairs(60))


def test_scores_beyond_the_floats_are_an_error():
    X, Y = pairs(60)
    estimator = information("nwj").fit(X, Y)
    with pytest.raises(FloatingPointError, match="Check X and y for values far from those"):
        estimator.score(X, 1e300 * Y)


def test_an_integer_weight_is_a_repeated_pair():
    X, Y = pairs(40)
    weight = np.random.default_rng(0).integers(0, 4, size=len(X))
    for bound in ("infonce", "donsker-varadhan", "nwj", "smile"):
        weighted = learner(bound, max_iter=5).fit(X, Y, sample_weight=weight)
        repeated = learner(bound, max_iter=5).fit(np.repeat(X, weight, axis=0), np.repeat(Y, weight, axis=0))
        np.testing.assert_allclose(weighted.estimate_, repeated.estimate_, rtol=1e-7, atol=1e-9)
        for name, value in repeated.weights_.items():
            np.testing.assert_allclose(weighted.weights_[name], value, rtol=1e-7, atol=1e-9)


def test_pairs_of_weight_zero_are_left_out_of_a_score():
    X, Y = pairs(100, seed=1)
    estimator = learner(max_iter=2).fit(*pairs(300))
    weight = np.arange(100) < 60
    np.testing.assert_allclose(estimator.score(X, Y, sample_weight=weight), estimator.score(X[:60], Y[:60]))


@every
def test_the_same_seed_gives_the_same_critic_and_the_process_is_left_alone(name):
    X, Y = pairs(60)
    before = process_state()
    one, other = (configured(name).fit(X, Y) for _ in range(2))
    one.score(X, Y)
    assert process_state() == before
    assert one.history_ == other.history_
    for key, value in one.weights_.items():
        np.testing.assert_array_equal(other.weights_[key], value)


@every
def test_an_interrupted_training_goes_on_as_if_it_were_not(name):
    X, Y = pairs(60)
    options = {"early_stopping": False, "n_iter_no_change": 100}
    whole = configured(name, **options, max_iter=6).fit(X, Y)
    halves = configured(name, **options, max_iter=3, warm_start=True).fit(X, Y).fit(X, Y)
    # Sums over memory of another alignment may round differently.
    for key, values in whole.history_.items():
        np.testing.assert_allclose(halves.history_[key], values, rtol=1e-10, atol=1e-12)
    for key, value in whole.weights_.items():
        np.testing.assert_allclose(halves.weights_[key], value, rtol=1e-10, atol=1e-12)


@every
def test_a_stored_estimator_holds_no_rows_and_scores_alike(name):
    few, many = (configured(name, max_iter=1).fit(*pairs(n)) for n in (50, 500))
    assert abs(len(pickle.dumps(many)) - len(pickle.dumps(few))) < 100
    again = pickle.loads(pickle.dumps(few))
    assert again.score(*pairs(30, seed=1)) == few.score(*pairs(30, seed=1))
    assert b"torch" not in pickle.dumps(few)


@every
def test_chunks_of_any_size_are_taken_and_other_units_leave_the_scores_alone(name):
    estimator = configured(name, learning_rate=0.0).partial_fit(*pairs(40))
    before = estimator.score(*pairs(30, seed=1))
    X, Y = pairs(40, seed=2)
    estimator.partial_fit(5 * X + 3, 2 * Y)
    np.testing.assert_allclose(estimator.score(*pairs(30, seed=1)), before, rtol=1e-4, atol=1e-4)
    X, Y = pairs(1)
    with pytest.warns(UserWarning, match="a single pair teaches nothing"):
        assert configured(name).partial_fit(X, Y).partial_fit(X, Y).n_samples_seen_ == 2


def test_bfloat16_and_float32_rows_are_taken():
    X, Y = pairs(600, dtype=np.float32)
    for precision in ("float32", "bfloat16"):
        assert learner(precision=precision, max_iter=5, batch_size=100).fit(X, Y).score(*pairs(seed=1)) > 0.3


def test_one_column_of_y_may_have_any_shape():
    X, Y = pairs(60)
    values = {information().fit(X, y).estimate_ for y in (Y[:, 0], Y[:, :1], Y[:, 0].tolist())}
    assert len(values) == 1
    text = np.where(Y[:, :1] > 0, "up", "down")
    assert information().fit(X, text).estimate_ == information().fit(X, text[:, 0]).estimate_


def test_a_diverging_critic_says_in_which_epoch():
    X, Y = pairs(300)
    with pytest.raises(FloatingPointError, match="epoch"):
        learner("nwj", solver="sgd", learning_rate=1e30, max_grad_norm=None).fit(X, Y)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": None}, "requires y to be passed, but the target y is None"),
        ({"y": np.zeros((40, 3))}, "y has 3 columns, but MutualInformation was fitted to a y with 2"),
        ({"y": np.zeros(30)}, "inconsistent numbers of samples: 30 and 40"),
        ({"y": np.zeros((40, 2, 2))}, r"y must have the shape .* got \(40, 2, 2\)"),
        ({"y": np.zeros((40, 0))}, r"y must have the shape .* got \(40, 0\)"),
        ({"y": np.array(["a", None] * 20)}, r"y holds text, .* and also None"),
        ({"y": np.array(["a", 1] * 20, dtype=object)}, r"y holds text, .* and also 1"),
        ({"y": np.full((40, 2), np.nan)}, "Input y contains NaN"),
        ({"y": ["a"] * 40}, "y holds text, but MutualInformation was fitted to a y of numbers"),
        ({"X": np.zeros((40, 5))}, "X has 5 features, but MutualInformation is expecting 2"),
        ({"X": np.zeros((1, 2)), "y": np.zeros((1, 2))}, "at least 2 pairs, got n_samples = 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_score_refuses_what_it_cannot_take(change, message):
    X, Y = pairs(40)
    estimator = information().fit(X, Y)
    with pytest.raises(ValueError, match=message):
        estimator.score(**{"X": X, "y": Y} | change)


def test_a_fit_refuses_what_it_cannot_take():
    X, Y = pairs(40)
    with pytest.raises(ValueError, match="pass both, or none"):
        information().fit(X, Y, X_val=X)
    for n, options in ((1, {}), (1, {"early_stopping": False}), (2, {}), (40, {"validation_fraction": 0.99})):
        with pytest.raises(ValueError, match="n_samples = 1"):
            information(**options).fit(X[:n], Y[:n])
    with pytest.raises(ValueError, match=r"'batch_size' parameter .* range \[2, inf\)"):
        information(batch_size=1).fit(X, Y)
    with pytest.raises(ValueError, match="at least 2 pairs"):
        information().fit(X, Y, X_val=X[:1], y_val=Y[:1])
    with pytest.raises(ValueError, match=r"column\(s\) 1 of y is beyond float64"):
        information().fit(X, Y * [1, 1e200])
    with pytest.raises(ValueError, match=r"in an array of shape \(40, 2\), but one column of it is allowed"):
        information().fit(X, np.full((40, 2), "a"))
    fitted = information(warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match="critic from 'separable' to 'concatenated'"):
        clone(fitted).set_params(critic="separable").fit(X, Y).set_params(critic="concatenated").fit(X, Y)
    with pytest.raises(ValueError, match=r"label.* 'c' that the model does not know"):
        information().fit(X, ["a", "b"] * 20).score(X, ["a", "c"] * 20)


def test_constant_columns_are_named_and_change_nothing_else():
    X, Y = pairs(40)
    with pytest.warns(UserWarning, match=r"Constant column\(s\) 2 of X"):
        information().fit(np.column_stack([X, np.ones(40)]), Y)
    with pytest.warns(UserWarning, match=r"Constant column\(s\) 0 of y"):
        assert information().fit(X, np.ones(40)).score(X, np.ones(40)) <= 1e-9


@every
def test_a_column_that_was_constant_has_no_part_in_scores_until_it_has_varied(name):
    X, Y = pairs(60)
    with pytest.warns(UserWarning, match="Constant column"):
        estimator = configured(name).fit(np.column_stack([X, np.ones(60)]), np.column_stack([Y, np.ones(60)]))
    X_new, Y_new = pairs(30, seed=1)
    before, after = (
        estimator.score(np.column_stack([X_new, value]), np.column_stack([Y_new, value]))
        for value in (np.ones(30), 1e6 * np.arange(30))
    )
    assert after == before
    varied = np.random.default_rng(0).normal(size=60)
    estimator.partial_fit(np.column_stack([X, varied]), np.column_stack([Y, varied]))
    assert estimator.score(np.column_stack([X_new, varied[:30]]), np.column_stack([Y_new, varied[:30]])) != before


def test_ctrl_c_leaves_a_critic_that_scores(monkeypatch):
    estimator = learner(max_iter=50, n_iter_no_change=50)
    from skgen.estimators import _training

    original = _training.TrainingRun._before

    def before(run, epoch):
        if epoch == 3:
            raise KeyboardInterrupt
        original(run, epoch)

    monkeypatch.setattr(_training.TrainingRun, "_before", before)
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        estimator.fit(*pairs(300))
    assert estimator.n_iter_ == 3
    assert np.isfinite(estimator.score(*pairs(50, seed=1)))
