"""Samples of restricted Boltzmann machines, Gibbs steps and imputation."""

import numpy as np
import pytest
from scipy.special import logsumexp

from tests.estimators.configurations import machine, rows
from tests.estimators.machines import binary, codes, every_binary_row, strong


def law(model, n_features):
    return np.exp(model.score_samples(every_binary_row(n_features)))


def frequencies(X):
    index = (X @ 2 ** np.arange(X.shape[1])[::-1]).astype(int)
    return np.bincount(index, minlength=2 ** X.shape[1]) / len(X)


@pytest.mark.parametrize("method", ["pcd", "cd", "tempering"])
def test_samples_have_the_law_of_the_machine(method):
    model = strong(machine(2, method=method, n_chains=7).fit(binary(n_features=4)), size=0.8)
    n = 20_000
    expected = law(model, 4)
    found = frequencies(model.sample(n, n_steps=100, random_state=0))
    # Five standard errors of independent draws.
    assert (np.abs(found - expected) < 5 * np.sqrt(expected * (1 - expected) / n) + 1e-4).all()


def test_a_gibbs_step_keeps_the_law_of_the_machine():
    model = strong(machine(2).fit(binary(n_features=4)), size=0.8)
    expected, n = law(model, 4), 20_000
    start = every_binary_row(4)[np.random.default_rng(0).choice(16, n, p=expected / expected.sum())]
    moved = model.gibbs(start, random_state=1)
    assert (moved != start).any()
    assert (np.abs(frequencies(moved) - expected) < 5 * np.sqrt(expected / n) + 1e-4).all()


def test_linear_machines_are_drawn_from_without_chains():
    X = rows(200) * [1, 5, 1, 2, 1]
    model = machine(2, visible="gaussian", hidden="gaussian", max_iter=100).fit(X)
    drawn = model.sample(50_000, n_steps=1, random_state=0)
    np.testing.assert_allclose(drawn.mean(axis=0), X.mean(axis=0), atol=5 * X.std(axis=0).max() / np.sqrt(50_000))
    # The density at the draws has the mean that the entropy of a normal law gives.
    covariance = np.cov(drawn.T)
    entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * covariance)[1]
    assert model.score(drawn) == pytest.approx(-entropy, abs=0.05)


@pytest.mark.parametrize("visible", ["bernoulli", "categorical"])
def test_missing_cells_are_drawn_given_the_observed_ones(visible):
    X = binary() if visible == "bernoulli" else codes()
    model = strong(machine(2, visible=visible).fit(X), size=0.8)
    row = X[0].copy()
    row[1] = np.nan
    values = np.unique(X[:, 1])
    candidates = np.repeat(row[None], len(values), axis=0)
    candidates[:, 1] = values
    expected = np.exp(model.score_samples(candidates) - logsumexp(model.score_samples(candidates)))
    n = 4000
    drawn = model.impute(np.repeat(row[None], n, axis=0), method="sample", n_steps=30, random_state=0)
    np.testing.assert_array_equal(np.delete(drawn, 1, axis=1), np.repeat(np.delete(row, 1)[None], n, axis=0))
    found = np.array([(drawn[:, 1] == value).mean() for value in values])
    assert (np.abs(found - expected) < 5 * np.sqrt(expected / n)).all()
    mean = model.impute(row[None], n_steps=4000, random_state=0)[0, 1]
    if visible == "bernoulli":
        assert mean == pytest.approx(expected[1], abs=0.03)
    else:
        assert mean == values[expected.argmax()]


def test_imputing_leaves_complete_rows_alone_and_takes_empty_ones():
    X = binary()
    model = machine().fit(X)
    np.testing.assert_array_equal(model.impute(X), X)
    empty = np.full((3, 6), np.nan)
    assert np.isfinite(model.impute(empty)).all()
    np.testing.assert_array_equal(model.impute(empty, random_state=3), model.impute(empty, random_state=3))
    with pytest.raises(ValueError, match=r"method must be one of \['mean', 'sample'\], got 'mode'"):
        model.impute(X, method="mode")


@pytest.mark.parametrize("n_steps", [0, 1.5, "3"])
def test_a_number_of_steps_is_a_positive_integer(n_steps):
    model = machine().fit(binary())
    for call in (model.sample, lambda **k: model.gibbs(binary(), **k), lambda **k: model.impute(binary(), **k)):
        with pytest.raises(ValueError, match="n_steps must be an integer of at least 1, got"):
            call(n_steps=n_steps)


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"n_temperatures": 1}, "n_temperatures must be an integer of at least 2, got 1"),
        ({"n_temperatures": 2.5}, "n_temperatures must be an integer of at least 2, got 2.5"),
        ({"n_chains": 0}, "n_chains must be an integer of at least 1, got 0"),
    ],
)
def test_an_annealing_needs_two_temperatures_and_a_chain(parameters, match):
    with pytest.raises(ValueError, match=match):
        machine().fit(binary()).log_partition("ais", **parameters)
