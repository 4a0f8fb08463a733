"""Rows that restricted Boltzmann machines take: probabilities, codes, sparse ones."""

import itertools
import pickle

import numpy as np
import pytest
from scipy.sparse import csc_array, csc_matrix, csr_array, csr_matrix

from tests.estimators.configurations import configured, machine, rows
from tests.estimators.machines import binary, codes


def test_values_outside_are_clipped_and_counted():
    X = rows()
    X[3, 1], X[4, 4] = 1.5, -0.25
    with pytest.warns(UserWarning, match=r"outside \[0, 1\], 1 % of its cells.*Scale .*visible='gaussian'"):
        model = machine().fit(X)
    np.testing.assert_array_equal(model.components_, machine().fit(X.clip(0, 1)).components_)
    assert X[3, 1] == 1.5


def test_codes_have_their_own_categories():
    X = codes()
    model = machine(3, visible="categorical", max_iter=200, batch_size=20, learning_rate=0.3).fit(X)
    for found, column in zip(model.categories_, X.T, strict=True):
        np.testing.assert_array_equal(found, np.unique(column))
    assert model.components_.shape == (3, 9)
    assert set(map(tuple, model.sample(50, random_state=0))) <= set(itertools.product(*model.categories_))
    assert set(map(tuple, model.inverse_transform(model.transform(X)))) <= set(itertools.product(*model.categories_))
    # The third column depends on the second: the machine knows it.
    independent = sum(np.log(np.mean(X[:, i, None] == X[:, i], axis=1)).mean() for i in range(3))
    assert model.score(X) > independent + 0.1
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.score_samples(X), model.score_samples(X))


def test_a_code_that_was_not_seen_is_named():
    X = codes()
    other = X.copy()
    other[0, 2] = 7
    model = machine(visible="categorical").fit(X)
    for method in (model.transform, model.score_samples, model.partial_fit, model.impute):
        with pytest.raises(ValueError, match=r"Column 2 of X holds the category 7, .* known are -1, 0, 1, 2\."):
            method(other)
    named = machine(visible="categorical", categories=[[0, 1, 2], [0, 10], [-1, 0, 1, 2, 7]]).fit(X)
    assert np.isfinite(named.score_samples(other)).all()
    with pytest.raises(ValueError, match="categories must have one list for each column of X, got 1 for 3"):
        machine(visible="categorical", categories=[[0, 1]]).fit(X)
    with pytest.raises(ValueError, match=r"Column 0 of X has 1200 distinct values"):
        machine(visible="categorical").fit(np.arange(1200.0)[:, None])


@pytest.mark.parametrize("named", [[], 3, ["a"], [0, np.nan], [[0, 1], [2, 3]]])
def test_categories_of_a_column_are_a_list_of_numbers(named):
    match = "categories of column 0 must be a list of at least one finite number, got"
    with pytest.raises(ValueError, match=match):
        machine(visible="categorical", categories=[named, [0, 10], [-1, 0, 1, 2]]).fit(codes())


def test_categories_may_come_in_a_tuple_and_be_one_alone():
    X = codes()
    one = machine(visible="categorical", categories=([0, 1, 2], [0, 10], [-1, 0, 1, 2])).fit(X)
    np.testing.assert_array_equal(one.score_samples(X), machine(visible="categorical").fit(X).score_samples(X))
    constant = np.full((10, 2), 4.0)
    assert machine(visible="categorical").fit(constant).score(constant) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fractions_are_the_same_codes_in_both_precisions(dtype):
    X = codes() / 10
    other = np.float32 if dtype == np.float64 else np.float64
    model = machine(visible="categorical").fit(X.astype(dtype))
    np.testing.assert_allclose(model.score_samples(X.astype(other)), model.score_samples(X.astype(dtype)), rtol=1e-5)


def test_codes_that_single_precision_would_mix_up_are_told_apart_or_refused():
    X = codes() + 2.0**24
    model = machine(visible="categorical").fit(X)
    assert len(model.categories_[2]) == 4
    with pytest.raises(
        ValueError, match=r"Column 0 of X has categories that float32 does not hold\. Pass X in float64"
    ):
        model.score_samples(X.astype(np.float32))
    near = np.array([[1.0], [1.0 + 1e-9]] * 9)
    assert len(np.unique(machine(visible="categorical").fit(near).sample(50, random_state=0))) == 2


def test_weights_of_codes_are_repetitions_and_zero_weights_absences():
    X = codes(30)
    times = np.random.default_rng(0).integers(0, 4, size=30)
    X[times == 0, 0] = 99
    weighted = machine(visible="categorical").fit(X, sample_weight=times)
    repeated = machine(visible="categorical").fit(np.repeat(X, times, axis=0))
    np.testing.assert_allclose(weighted.components_, repeated.components_, rtol=1e-6, atol=1e-9)


def test_a_refit_learns_codes_anew():
    model = machine(visible="categorical").fit(codes()).fit(codes() + 5)
    assert model.categories_[0].tolist() == [5, 6, 7]
    assert model.set_params(visible="bernoulli").fit(binary()).components_.shape == (2, 6)


SPARSE = [csr_matrix, csc_matrix, csr_array, csc_array]


@pytest.mark.parametrize("sparse", SPARSE)
@pytest.mark.parametrize("name", ["rbm", "rbm-cd", "rbm-gaussian", "rbm-early-stopping"])
@pytest.mark.parametrize("batch_size", [16, 100])
@pytest.mark.filterwarnings("ignore:The best epoch is the last")
def test_sparse_rows_are_the_rows_that_they_stand_for(sparse, name, batch_size):
    X = np.where(rows(60) > 0.6, rows(60), 0)
    weight = np.arange(60.0)
    dense = configured(name, batch_size=batch_size).fit(X, sample_weight=weight)
    model = configured(name, batch_size=batch_size).fit(sparse(X), sample_weight=weight)
    for key, value in dense.weights_.items():
        np.testing.assert_array_equal(model.weights_[key], value, err_msg=key)
    assert model.history_ == dense.history_
    for method in ("transform", "score_samples", "free_energy", "pseudo_log_likelihood"):
        np.testing.assert_array_equal(getattr(model, method)(sparse(X)), getattr(dense, method)(X))
    np.testing.assert_array_equal(model.gibbs(sparse(X), random_state=0), dense.gibbs(X, random_state=0))
    model.partial_fit(sparse(X))


def test_sparse_rows_are_read_a_batch_at_a_time(monkeypatch):
    read = []
    X = csr_matrix(np.eye(300, 40))
    toarray = csr_matrix.toarray

    def spy(self, *arguments, **options):
        read.append(self.shape[0])
        return toarray(self, *arguments, **options)

    monkeypatch.setattr(csr_matrix, "toarray", spy)
    monkeypatch.setattr("skgen.training.batches.BLOCK_BYTES", {"cpu": 1})
    monkeypatch.setattr("skgen.estimators._arrays.TILE_BYTES", 2**14)
    monkeypatch.setattr("skgen.estimators._rbm_monitor.UNITS", 0)
    model = machine(batch_size=20).fit(X)
    model.score_samples(X)
    assert 0 < max(read) <= 30


def test_sparse_values_outside_are_clipped_in_a_copy():
    X = csr_matrix(2 * np.eye(30, 5))
    with pytest.warns(UserWarning, match=r"outside \[0, 1\], 3\.33 % of its cells"):
        model = machine().fit(X)
    assert X.max() == 2
    np.testing.assert_array_equal(model.components_, machine().fit(np.eye(30, 5)).components_)


def test_missing_cells_of_sparse_rows_are_imputed():
    X = binary()
    model, holes = machine().fit(X), X.copy()
    holes[0, 0] = holes[3, 2] = np.nan
    filled = model.impute(csr_matrix(holes), random_state=0)
    np.testing.assert_array_equal(filled, model.impute(holes, random_state=0))
    with pytest.raises(ValueError, match="NaN"):
        model.transform(holes)
