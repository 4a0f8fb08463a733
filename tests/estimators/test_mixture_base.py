"""What every mixture estimator shares: weights of rows, starts, degenerate components and learning in chunks."""

import json
import pickle

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from skgen import GaussianMixture
from skgen._rows import Rows
from skgen.distributions.covariance import COVARIANCES
from skgen.estimators import _mixture
from skgen.estimators._mixture import StartedMixture
from skgen.estimators._repairs import MOST_RESTARTS, Repairs
from skgen.models.mixture import GaussianMixtureModel
from skgen.training.clusters import INITS
from tests.estimators.test_gaussian_mixture import every_type, rows

pytestmark = pytest.mark.filterwarnings("ignore:EM did not converge")

# Sums of some hundred products in another order, through a few iterations.
ROUNDING = {"rtol": 1e-10, "atol": 1e-10}


def mixture(n_components=3, **params):
    return GaussianMixture(n_components, **{"max_iter": 5, "tol": 0.0, "random_state": 0} | params)


def assert_same(one, other, **tolerance):
    assert one.parameters_.keys() == other.parameters_.keys()
    for name, value in one.parameters_.items():
        np.testing.assert_allclose(value, other.parameters_[name], **(tolerance or ROUNDING), err_msg=name)
    assert one.lower_bound_ == pytest.approx(other.lower_bound_, rel=1e-10)


def weighted(missing, seed=3):
    """Rows, whole weights some of which are 0, and the rows repeated."""
    random = np.random.default_rng(seed)
    X = rows(120)
    if missing:
        X[random.random(X.shape) < 0.15] = np.nan
    weight = random.integers(0, 4, size=len(X))
    return X, weight, np.repeat(X, weight, axis=0)


# -- weights ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("params", [{}, {"prior": "conjugate"}, {"solver": "em-accelerated"}], ids=str)
@every_type
def test_whole_weights_are_repetitions_and_zero_weights_absences(kind, params, missing):
    X, weight, repeated = weighted(missing)
    params = {"covariance_type": kind} | params
    one = mixture(**params).fit(X, sample_weight=weight)
    other = mixture(**params).fit(repeated)
    assert_same(one, other)
    assert one.score(X, sample_weight=weight) == pytest.approx(other.score(repeated), rel=1e-10)
    assert one.n_samples_seen_ == (weight > 0).sum()


@pytest.fixture(params=["all rows", "samples"])
def start_sizes(request, monkeypatch):
    """Starts that are found on all of some hundred rows, or on few of them."""
    if request.param == "samples":
        for name, size in {"START_ROWS": 40, "START_ENTRIES": 120, "TRIAL_ROWS": 80}.items():
            monkeypatch.setattr(_mixture, name, size)


@pytest.mark.usefixtures("start_sizes")
@pytest.mark.parametrize("whiten_init", [True, False])
@pytest.mark.parametrize("init", INITS)
class TestTheStartDependsOnWeightedRowsOnly:
    def test_whole_weights_are_repetitions_and_the_order_of_rows_is_of_no_account(self, init, whiten_init):
        X, weight, repeated = weighted(False)
        params = {"init_params": init, "whiten_init": whiten_init, "n_init": 4, "max_iter": 1}
        one = mixture(**params).fit(X, sample_weight=weight)
        other = mixture(**params).fit(repeated)
        order = np.random.default_rng(5).permutation(len(X))
        again = mixture(**params).fit(X[order], sample_weight=weight[order])
        assert_same(one, other)
        assert_same(one, again)

    def test_rows_of_next_to_no_weight_are_as_good_as_absent(self, init, whiten_init):
        X, heavy = rows(120), np.arange(120) % 3 > 0
        params = {"init_params": init, "whiten_init": whiten_init, "max_iter": 1}
        # The weights of 40 rows add up to 5e-11 of all; iterations enlarge that.
        one = mixture(**params).fit(X, sample_weight=np.where(heavy, 1.0, 1e-10))
        assert_same(one, mixture(**params).fit(X[heavy]), rtol=1e-7, atol=1e-7)


def test_more_rows_have_more_candidates_of_which_one_is_at_least_as_good_as_the_first(monkeypatch):
    X = rows(400)
    few = {"START_ROWS": 50, "START_ENTRIES": 150, "TRIAL_ROWS": 10_000}
    for name, size in few.items():
        monkeypatch.setattr(_mixture, name, size)
    scores = {}
    for restarts in (1, 3):
        monkeypatch.setattr(_mixture, "RESTARTS", restarts)
        fits = [mixture(5, max_iter=1, random_state=seed).fit(X) for seed in range(20)]
        scores[restarts] = np.array([fit.lower_bound_ for fit in fits])
    gain = scores[3] - scores[1]
    assert gain.mean() > -2 * gain.std(ddof=1) / np.sqrt(len(gain))


@pytest.mark.parametrize("work", [0, 2**16])
def test_starts_of_large_models_are_compared_for_bounded_work(monkeypatch, work):
    for name, size in {"START_ROWS": 50, "START_ENTRIES": 150, "TRIAL_ROWS": 200, "TRIAL_WORK": work}.items():
        monkeypatch.setattr(_mixture, name, size)
    spent, tried = [], StartedMixture._tried

    def counted(self, model, some, parameters, n_iterations):
        spent.append(model.n_parameters() * len(some) * n_iterations)
        return tried(self, model, some, parameters, n_iterations)

    monkeypatch.setattr(StartedMixture, "_tried", counted)
    fitted = mixture(5, max_iter=1).fit(rows(400))
    # One iteration of a candidate for each kind of coordinates is the least.
    least = 2 * 50 * fitted._n_parameters()
    assert least <= sum(spent) <= max(least, 2 * work)


@every_type
def test_the_order_of_the_rows_changes_nothing(kind):
    repeated = weighted(True)[2]
    order = np.random.default_rng(6).permutation(len(repeated))
    assert_same(mixture(covariance_type=kind).fit(repeated), mixture(covariance_type=kind).fit(repeated[order]))


@pytest.mark.parametrize("unit", [1e-3, 7.0, 1e6])
def test_the_unit_of_the_weights_changes_nothing(unit):
    X, weight, _ = weighted(False)
    one, other = (mixture().fit(X, sample_weight=c * weight) for c in (1.0, unit))
    assert_same(one, other)


@pytest.mark.parametrize("weight", [-1.0, 0.0, np.nan])
def test_weights_that_are_negative_missing_or_all_zero_are_refused(weight):
    X = rows(30)
    with pytest.raises(ValueError, match="weight"):
        mixture().fit(X, sample_weight=np.full(len(X), weight))


# -- degenerate components ----------------------------------------------------------------------------------------


def lost(**params):
    """A fit that starts with a component where there are no rows."""
    X = rows()
    means = np.array([X[0], X[1], [1e6, 1e6, 1e6]])
    return mixture(means_init=means, weights_init=[0.5, 0.5, 0.0], max_iter=40, **params), X


@every_type
def test_a_component_without_rows_starts_again_where_rows_are_explained_worst(kind):
    estimator, X = lost(covariance_type=kind)
    with pytest.warns(ConvergenceWarning, match=r"1 time\(s\) \(reinit 2\); see events_"):
        estimator.fit(X)
    assert estimator.events_ == [{"iteration": 1, "component": 2, "action": "reinit"}]
    assert estimator.n_components_ == 3
    assert estimator.weights_.min() > 1e-4
    json.dumps(estimator.events_)


def test_components_without_rows_start_again_at_different_rows_however_often_these_are_repeated():
    X, weight, repeated = weighted(missing=True)
    means = np.full((5, 3), 1e6)
    means[:3] = np.nan_to_num(X[:3])
    params = {"n_components": 5, "means_init": means, "weights_init": [0.4, 0.3, 0.3, 0.0, 0.0], "max_iter": 1}
    with pytest.warns(ConvergenceWarning, match=r"\(reinit 3, reinit 4\)"):
        one = mixture(**params).fit(X, sample_weight=weight)
    with pytest.warns(ConvergenceWarning, match=r"\(reinit 3, reinit 4\)"):
        other = mixture(**params).fit(repeated[np.random.default_rng(0).permutation(len(repeated))])
    assert_same(one, other)
    assert (one.means_[3] != one.means_[4]).any()


def test_fewer_different_rows_than_components_to_place_are_taken_again():
    model = GaussianMixtureModel(COVARIANCES["diag"], 3, 3)
    X = torch.from_numpy(rows(30))[:1].repeat(4, 1)
    repairs = Repairs(model, Rows(X), "reinit")
    parameters = {
        "log_weights": torch.zeros(3, dtype=torch.float64).log_softmax(0),
        "means": torch.zeros(3, 3, dtype=torch.float64),
        "covariances": torch.ones(3, 3, dtype=torch.float64),
    }
    repaired = repairs(parameters, {"weight": torch.tensor([4.0, 0.0, 0.0], dtype=torch.float64)})
    assert torch.equal(repaired["means"][1:], X[:2])


@every_type
def test_a_component_without_rows_is_left_out(kind):
    estimator, X = lost(covariance_type=kind, on_degenerate="prune")
    with pytest.warns(ConvergenceWarning, match="prune 2"):
        estimator.fit(X)
    assert estimator.n_components_ == len(estimator.weights_) == len(estimator.means_) == 2
    assert estimator.weights_.sum() == pytest.approx(1)
    assert estimator.transform(X).shape == (len(X), 2)
    assert estimator.lower_bound_ == pytest.approx(estimator.score(X), rel=1e-10)
    assert estimator.get_feature_names_out().tolist() == ["gaussianmixture0", "gaussianmixture1"]
    pickle.loads(pickle.dumps(estimator)).sample(5)
    before = estimator.score(X)
    for chunk in np.array_split(X, 3):
        estimator.partial_fit(chunk)
    assert estimator.score(X) > before - 0.1


def test_a_fit_goes_on_after_components_were_left_out():
    estimator, X = lost(on_degenerate="prune", warm_start=True)
    with pytest.warns(ConvergenceWarning, match="prune 2"):
        estimator.fit(X)
    before = estimator.lower_bound_
    estimator.fit(X)
    assert estimator.lower_bound_ >= before - 1e-9
    assert estimator.n_iter_ == 80


def test_a_component_without_rows_is_an_error_where_that_is_asked_for():
    estimator, X = lost(on_degenerate="raise")
    with pytest.raises(ValueError, match="Component 2 is degenerate after iteration 1: its share of the rows is"):
        estimator.fit(X)
    assert not hasattr(estimator, "means_")


@pytest.mark.parametrize("solver", ["em", "em-accelerated", "incremental", "online", "mcem"])
@pytest.mark.parametrize("action", ["reinit", "prune"])
@pytest.mark.filterwarnings("ignore:Components were left")
def test_components_that_collapse_onto_one_row_never_give_nan(solver, action):
    X = np.concatenate([rows(60), np.full((20, 3), 9.0)])
    estimator = mixture(6, reg_covar=0, on_degenerate=action, solver=solver, max_iter=60).fit(X)
    assert estimator.events_
    for value in estimator.parameters_.values():
        assert np.isfinite(value).all()
    assert np.isfinite(estimator.score_samples(X)).all()


def test_a_component_is_left_out_after_it_was_put_elsewhere_in_vain():
    model = GaussianMixtureModel(COVARIANCES["full"], 2, 3)
    X = torch.from_numpy(rows(30))
    parameters = {
        "log_weights": torch.tensor([0.5, 0.5], dtype=torch.float64).log(),
        "means": X[:2],
        "covariances": torch.eye(3, dtype=torch.float64).repeat(2, 1, 1),
    }
    repairs = Repairs(model, Rows(X), "reinit")
    statistics = {"weight": torch.tensor([30.0, 0.0], dtype=torch.float64)}
    actions = []
    for _ in range(MOST_RESTARTS + 1):
        repaired = repairs(parameters, statistics)
        actions.append(repairs.events[-1]["action"])
    assert actions == ["reinit"] * MOST_RESTARTS + ["prune"]
    assert float(repaired["log_weights"][0]) == 0.0
    again = Repairs(model, Rows(X), "reinit")
    again.load(repairs.state())
    assert (again.events, again.n_calls, again.pruned.tolist()) == (repairs.events, MOST_RESTARTS + 1, [False, True])


@every_type
def test_duplicated_rows_give_finite_parameters(kind):
    X = np.repeat(rows(9), 20, axis=0)
    estimator = mixture(3, covariance_type=kind).fit(X)
    assert all(np.isfinite(value).all() for value in estimator.parameters_.values())


# -- too few rows -------------------------------------------------------------------------------------------------


def test_more_components_than_rows_are_refused():
    with pytest.raises(ValueError, match=r"n_components = 5, n_samples = 4\. Lower n_components or pass more rows"):
        mixture(5).fit(rows(6)[:4])
    with pytest.raises(ValueError, match="n_samples = 1"):
        mixture(1).fit(rows(6)[:1])
    with pytest.raises(ValueError, match="n_samples = 2"):
        mixture(3).fit(rows(6), sample_weight=[0, 0, 1, 0, 2, 0])


# -- chunks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "n_rows"), [(1, 600), (7, 1200), (1000, 2400)])
@pytest.mark.parametrize("kind", ["full", "tied_diag"])
def test_a_stream_teaches_what_all_rows_do(size, n_rows, kind):
    X = rows(n_rows, seed=1)
    whole = GaussianMixture(3, covariance_type=kind, random_state=0, tol=1e-6, max_iter=500).fit(X)
    estimator = GaussianMixture(3, covariance_type=kind, random_state=0)
    for n in range(0, len(X), size):
        estimator.partial_fit(X[n : n + size])
        assert estimator.n_samples_seen_ == min(n + size, len(X))
    # Half of twice the log-likelihood ratio that chance leaves between n rows and as many others, several times over.
    n_parameters = 2 + 9 + (18 if kind == "full" else 3)
    assert estimator.score(X) > whole.score(X) - 3 * n_parameters / len(X)


@pytest.mark.parametrize("size", [7, 300])
def test_storing_between_chunks_changes_nothing(size):
    X = rows(7 * size, seed=1)
    one, other = mixture(2), mixture(2)
    for n in range(0, len(X), size):
        one.partial_fit(X[n : n + size])
        other = pickle.loads(pickle.dumps(other)).partial_fit(X[n : n + size])
    assert_same(one, other, rtol=0, atol=0)
    assert one.n_samples_seen_ == other.n_samples_seen_ == len(X)
    assert len(pickle.dumps(one)) < 20000


def test_chunks_may_be_weighted():
    X, weight, repeated = weighted(False)
    one, other = mixture(2), mixture(2)
    one.partial_fit(X, sample_weight=weight)
    other.partial_fit(repeated)
    assert_same(one, other)


def test_a_fit_forgets_the_chunks_before():
    X = rows()
    estimator = mixture().partial_fit(X[:50])
    estimator.fit(X)
    assert_same(estimator, mixture().fit(X), rtol=0, atol=0)
    assert vars(estimator).keys() == vars(mixture().fit(X)).keys()
