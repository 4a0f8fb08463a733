"""What a restricted Boltzmann machine says about rows, against enumeration."""

import itertools
import pickle

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.model_selection import GridSearchCV

from skgen import RBM
from tests.estimators.configurations import machine, rows
from tests.estimators.machines import binary, codes, every_binary_row, strong


def test_probabilities_of_all_binary_rows_sum_to_one():
    model = strong(machine(3).fit(binary()))
    assert model.score_kind == "exact"
    assert model.score_measure == "mass"
    assert logsumexp(model.score_samples(every_binary_row(6))) == pytest.approx(0, abs=1e-12)


def test_probabilities_of_all_codes_sum_to_one():
    model = strong(machine(3, visible="categorical").fit(codes()))
    everything = np.array(list(itertools.product(*model.categories_)))
    assert len(everything) == 24
    assert logsumexp(model.score_samples(everything)) == pytest.approx(0, abs=1e-12)
    assert model.score_measure == "mass"


@pytest.mark.parametrize("hidden", ["bernoulli", "gaussian", "relu"])
def test_a_density_integrates_to_one_in_the_units_of_the_rows(hidden):
    X = rows(60, 2) * [1, 50] + [0, 100]
    model = machine(2, visible="gaussian", hidden=hidden, max_iter=30).fit(X)
    assert model.score_measure == "density"
    mean, scale = X.mean(axis=0), X.std(axis=0)
    axes = [np.linspace(m - 12 * s, m + 12 * s, 241) for m, s in zip(mean, scale, strict=True)]
    grid = np.array(list(itertools.product(*axes)))
    cell = np.prod([axis[1] - axis[0] for axis in axes])
    total = logsumexp(-model.free_energy(grid)) + np.log(cell)
    found = model.log_partition(random_state=0)
    if found.method == "exact":
        # The trapezoidal rule on a smooth density that vanishes at the ends.
        assert total == pytest.approx(found.value, abs=1e-6)
    else:
        assert found.lower - 0.01 <= total <= found.upper + 0.01


@pytest.mark.parametrize("visible", ["bernoulli", "categorical"])
def test_the_pseudo_likelihood_is_that_of_each_column_given_the_others(visible):
    X = binary() if visible == "bernoulli" else codes()
    model = strong(machine(3, visible=visible).fit(X))
    expected = np.zeros(len(X))
    for i in range(X.shape[1]):
        scores = []
        for value in np.unique(X[:, i]):
            other = X.copy()
            other[:, i] = value
            scores.append(model.score_samples(other))
        expected += model.score_samples(X) - logsumexp(scores, axis=0)
    np.testing.assert_allclose(model.pseudo_log_likelihood(X), expected, rtol=1e-9)
    np.testing.assert_array_equal(
        model.set_params(score_method="pseudo").score_samples(X), model.pseudo_log_likelihood(X)
    )
    assert model.score_kind == "pseudo"


def test_annealing_brackets_the_exact_normaliser():
    model = strong(machine(5).fit(binary()), size=1.0)
    exact = model.log_partition("exact")
    assert exact.value == exact.lower == exact.upper
    for X in (None, binary()):
        found = model.log_partition("ais", X=X, random_state=0)
        assert found.lower <= exact.value <= found.upper
        assert abs(found.value - exact.value) < 0.1
    assert abs(model.log_partition("ais", random_state=0).reverse - exact.value) < 0.2


def test_the_normaliser_is_computed_once_and_kept_until_a_refit(monkeypatch):
    X, calls = binary(), []
    model = machine(3).fit(X)
    expected = model.score_samples(X)
    assert pickle.loads(pickle.dumps(model))._log_partition == model._log_partition
    monkeypatch.setattr(RBM, "log_partition", lambda *a, **k: calls.append(1))
    np.testing.assert_array_equal(model.score_samples(X), expected)
    assert not calls
    assert model.fit(X)._log_partition is None
    assert model.partial_fit(X)._log_partition is None


def test_estimates_that_disagree_are_a_warning(monkeypatch):
    model = machine(3).fit(binary())
    found = model.log_partition("ais", random_state=0)
    monkeypatch.setattr(RBM, "log_partition", lambda *a, **k: found._replace(reverse=found.value + 1.5))
    with pytest.warns(UserWarning, match=r"differ by 1\.5 nats"):
        model.score(binary())


def test_a_score_that_is_an_estimate_says_so_and_repeats():
    X = binary(80, 25)
    one, other = (machine(25, hidden="gaussian", max_iter=2).fit(X) for _ in range(2))
    assert one.score_kind == "estimate"
    np.testing.assert_array_equal(one.score_samples(X), other.score_samples(X))
    assert machine(2).score_kind == "exact"
    assert machine(200).score_kind == "estimate"
    assert machine(200, visible="gaussian", hidden="gaussian").score_kind == "exact"


def test_a_search_chooses_by_the_score():
    search = GridSearchCV(machine(), {"n_components": [1, 3]}, cv=2, error_score="raise").fit(binary())
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
