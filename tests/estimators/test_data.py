"""Input rows: what is refused and how, what is clipped, constant columns, splits, memory maps."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.datasets import load_digits

from skgen import VariationalAutoencoder
from skgen.estimators._data import _resident, hold_out, numbered, weighted_rows
from skgen.estimators._sparse import as_rows
from skgen.likelihoods import LIKELIHOODS, Gaussian
from tests.estimators.configurations import NETWORKS, ROUNDED, configured, rows, vae

pytestmark = [pytest.mark.filterwarnings(each) for each in ("ignore::sklearn.exceptions.ConvergenceWarning", ROUNDED)]

every = pytest.mark.parametrize("name", NETWORKS)
COUNTS = [name for name in LIKELIHOODS if LIKELIHOODS[name]().domain().support == (0.0, np.inf)]
BERNOULLI = ["vae-bernoulli", "vae-dynamic", "autoencoder-cross-entropy"]


def frame(X):
    return pd.DataFrame(X, columns=[f"c{i}" for i in range(X.shape[1])])


@every
def test_a_value_that_is_infinite_is_refused(name):
    X = rows()
    X[3, 2] = np.inf
    fitted = configured(name).fit(rows())
    for method in (
        configured(name).fit,
        configured(name).partial_fit,
        fitted.transform,
        fitted.score_samples,
    ):
        with pytest.raises(ValueError, match="X contains infinity"):
            method(X)
    with pytest.raises(ValueError, match="X_val contains"):
        configured(name).fit(rows(), X_val=X)


@every
def test_rows_of_another_width_are_refused(name):
    fitted = configured(name).fit(rows())
    for method in (fitted.transform, fitted.score_samples, fitted.partial_fit):
        with pytest.raises(ValueError, match=r"X has 4 features, but .* is expecting 5 features"):
            method(rows(n_features=4))
    with pytest.raises(ValueError, match="X_val has 4 features, but X has 5"):
        configured(name).fit(rows(), X_val=rows(n_features=4))
    width = fitted.transform(rows(1)).shape[1] + 1
    with pytest.raises(ValueError, match=rf"X has {width} columns, but .* has n_components=\d"):
        fitted.inverse_transform(np.zeros((1, width)))


@every
def test_no_rows_are_refused(name):
    fitted = configured(name).fit(rows())
    for method in (configured(name).fit, fitted.transform, fitted.score_samples, fitted.partial_fit):
        with pytest.raises(ValueError, match="0 sample"):
            method(np.zeros((0, 5)))


@pytest.mark.parametrize("name", ["vae", "gan", "adversarial-bayes"])
def test_the_size_of_a_batch_may_be_an_integer_of_numpy(name):
    one, other = (configured(name, batch_size=size).fit(rows()) for size in (7, np.int64(7)))
    np.testing.assert_array_equal(one.transform(rows()), other.transform(rows()))


def test_columns_in_another_order_are_refused():
    estimator = vae().fit(frame(rows()))
    with pytest.raises(ValueError, match="feature names"):
        estimator.transform(frame(rows())[["c1", "c0", "c2", "c3", "c4"]])
    with pytest.raises(ValueError, match="feature names"):
        vae().fit(frame(rows()), X_val=frame(rows())[["c1", "c0", "c2", "c3", "c4"]])


@pytest.mark.parametrize("name", BERNOULLI)
def test_values_outside_the_support_are_clipped_and_named(name):
    X = frame(rows())
    X.loc[3, "c1"], X.loc[4, "c4"] = 1.5, -0.25
    with pytest.warns(UserWarning, match=r"outside \[0, 1\] are clipped .* column\(s\) c1, c4\. Scale them"):
        estimator = configured(name).fit(X)
    clipped = configured(name).fit(X.clip(0, 1))
    np.testing.assert_array_equal(estimator.transform(X.clip(0, 1)), clipped.transform(X.clip(0, 1)))
    with pytest.warns(UserWarning, match="outside"):
        outside = estimator.score_samples(X)
    np.testing.assert_array_equal(outside, estimator.score_samples(X.clip(0, 1)))
    assert X.loc[3, "c1"] == 1.5


def counts(n_rows=40, *, seed=0):
    return frame(np.random.default_rng(seed).poisson(5 * rows(n_rows, seed=seed)).astype(float))


@pytest.mark.parametrize("likelihood", COUNTS)
def test_negative_counts_are_refused_and_fractions_rounded_and_named(likelihood):
    X = counts()
    estimator = vae(likelihood=likelihood).fit(X)
    negative, fractional = X.copy(), X.copy()
    negative.loc[3, "c1"] = -2
    fractional.loc[4, "c4"] += 0.25
    for method in (vae(likelihood=likelihood).fit, estimator.partial_fit, estimator.transform, estimator.score_samples):
        with pytest.raises(ValueError, match=r"Negative values in data: column\(s\) c1 of X hold values down to -2"):
            method(negative)
    with pytest.warns(UserWarning, match=r"no whole numbers are rounded for .* in column\(s\) c4\. Undo"):
        scores = estimator.score_samples(fractional)
    np.testing.assert_array_equal(scores, estimator.score_samples(X))
    with pytest.raises(ValueError, match="Negative values in data"):
        vae(likelihood=likelihood).fit(X, X_val=negative)


@pytest.mark.parametrize("likelihood", COUNTS)
def test_counts_are_scored_by_their_mass_and_drawn_as_whole_numbers(likelihood):
    X = counts()
    estimator = vae(likelihood=likelihood, max_iter=20).fit(X)
    assert estimator.score_measure == "mass"
    assert estimator.__sklearn_tags__().input_tags.positive_only
    assert (estimator.score_samples(X) < 0).all()
    drawn = estimator.sample(500)
    assert (drawn >= 0).all()
    np.testing.assert_array_equal(drawn, np.rint(drawn))
    assert (estimator.inverse_transform(estimator.transform(X)) > 0).all()
    assert estimator.noise_variance_ is None


@pytest.mark.parametrize("variance", ["fixed", "shared", "feature", "network"])
def test_constant_columns_are_named_scaled_by_one_and_kept_at_the_floor(variance):
    X = load_digits().data[:150]
    constant = np.flatnonzero(X.min(axis=0) == X.max(axis=0))
    assert len(constant) > 2
    spec = Gaussian(variance, min_variance=1e-3)
    with pytest.warns(UserWarning, match=rf"Constant column\(s\) {constant[0]}, {constant[1]}"):
        estimator = vae(likelihood=spec, max_iter=3).fit(X)
    scores = estimator.score_samples(X)
    assert np.isfinite(scores).all()
    assert np.isfinite(estimator.transform(X)).all()
    if variance in ("feature", "network"):
        np.testing.assert_array_equal(estimator.weights_["scale"][constant], 1)
        np.testing.assert_array_equal(estimator.inverse_transform(estimator.transform(X))[:, constant], X[:, constant])
        drawn = estimator.sample(2000, random_state=0)[:, constant]
        # Four standard deviations of a sample variance are 13 %.
        np.testing.assert_allclose(drawn.var(axis=0), 1e-3, rtol=0.13)


def test_nothing_but_constant_columns_can_be_fitted():
    X = np.full((30, 3), [1.0, 2.0, 3.0])
    for name in ("vae", "vae-shared", "vae-fixed", "vae-network", "autoencoder"):
        with pytest.warns(UserWarning, match=r"Constant column\(s\) 0, 1, 2"):
            estimator = configured(name).fit(X)
        assert np.isfinite(estimator.score_samples(X)).all()
        np.testing.assert_allclose(estimator.inverse_transform(estimator.transform(X)), X, rtol=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_the_split_keeps_the_share_of_weight_and_treats_weights_as_repetitions(seed):
    random = np.random.RandomState(seed)
    X = random.rand(30, 2)
    times = random.randint(1, 5, size=30)
    Xr = np.repeat(X, times, axis=0)
    _, weight = weighted_rows(X, times)
    kept, kept_weight, held, held_weight = hold_out(X, weight, 0.3, np.random.RandomState(seed), together=True)
    kept_r, _, held_r, _ = hold_out(Xr, None, 0.3, np.random.RandomState(seed), together=True)
    assert {tuple(row) for row in kept} == {tuple(row) for row in kept_r}
    assert {tuple(row) for row in held} == {tuple(row) for row in held_r}
    assert not {tuple(row) for row in kept} & {tuple(row) for row in held}
    assert len(kept) + len(held) == 30
    np.testing.assert_allclose(kept_weight.mean(), 1)
    # The nearest share that whole rows allow.
    assert abs(len(held_r) / len(Xr) - 0.3) <= 0.5 * times.max() / len(Xr) + 1e-12
    assert abs(held_weight.sum() / weight.sum() - len(held_r) / len(Xr)) < 1e-12


@pytest.mark.parametrize("together", [True, False])
def test_the_split_leaves_rows_on_both_sides(together):
    random = np.random.RandomState(0)
    for X in (rows(2), rows(3), np.ones((5, 2))):
        for fraction in (0.01, 0.5, 0.99):
            kept, _, held, _ = hold_out(X, None, fraction, random, together=together)
            assert min(len(kept), len(held)) >= 1
            assert len(kept) + len(held) == len(X)


def test_rows_are_not_copied_when_they_are_a_read_only_float32_map(tmp_path, monkeypatch):
    # Scaling and scoring work in tiles of this size, so that only the rows could exceed the bound below.
    monkeypatch.setattr("skgen.estimators._arrays.TILE_BYTES", 2**20)
    X = np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", dtype=np.float32, shape=(40_000, 50))
    X[:] = np.random.default_rng(0).normal(size=X.shape)
    X.flush()
    X = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert not X.flags.writeable
    estimator = vae(max_iter=1, batch_size=1000)
    addresses = []
    start = VariationalAutoencoder._start

    def spy(self, *arguments, **options):
        run = start(self, *arguments, **options)
        addresses.append(run.batches.rows.data_ptr())
        return run

    monkeypatch.setattr(VariationalAutoencoder, "_start", spy)
    tracemalloc.start()
    try:
        estimator.fit(X)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # torch trains on the map itself, and what NumPy allocates stays far below its 8 MB.
    assert addresses == [X.ctypes.data]
    assert peak < 4 * 2**20


def test_unknown_strings_name_the_parameter_and_what_is_allowed():
    for parameter, allowed in {
        "prior": "normal",
        "likelihood": "bernoulli",
        "posterior": "diagonal",
        "activation": "gated",
        "objective": "iwae",
        "solver": "adamw",
        "learning_rate_schedule": "cosine",
        "precision": "bfloat16",
    }.items():
        with pytest.raises(ValueError, match=rf"'{parameter}' parameter of .*'{allowed}'.* Got 'nonsense' instead"):
            vae(**{parameter: "nonsense"}).fit(rows())
    for spec, match in [
        (Gaussian(variance="nonsense"), r"variance must be one of .*'feature'.*, got 'nonsense'"),
        (Gaussian(min_variance=-1.0), "min_variance must be a number > 0 and < inf, got -1.0"),
        (Gaussian(noise_variance=0), "noise_variance must be a number > 0 and < inf, got 0"),
    ]:
        with pytest.raises(ValueError, match=match):
            vae(likelihood=spec).fit(rows())


def test_hidden_layer_sizes_are_checked():
    with pytest.raises(ValueError, match=r"hidden_layer_sizes must hold positive integers, got \(4, 0\)"):
        vae(hidden_layer_sizes=(4, 0)).fit(rows())
    with pytest.raises(ValueError, match="decoder_hidden_layer_sizes must hold positive integers"):
        vae(decoder_hidden_layer_sizes=(4, -1)).fit(rows())


def test_an_absent_device_is_refused_with_what_is_present(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for device in ("cuda", "cuda:3", "mps", "nonsense"):
        with pytest.raises(ValueError, match=rf"device='{device}' is not present; available: \['cpu'\]"):
            vae(device=device).fit(rows())
    vae(device="auto").fit(rows())


def test_rows_live_on_a_gpu_where_they_take_less_than_half_of_what_is_free_unless_they_are_sparse(monkeypatch):
    device = torch.device("cuda")
    for name, value in {"mem_get_info": (1000, 4000), "memory_reserved": 600, "memory_allocated": 200}.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    assert _resident(torch.zeros(699, dtype=torch.uint8), device)
    assert not _resident(torch.zeros(700, dtype=torch.uint8), device)
    assert not _resident(torch.zeros(1), torch.device("cpu"))
    assert not _resident(as_rows(csr_array(np.eye(2))), device)


def test_a_model_fitted_elsewhere_answers_on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    estimator = vae().fit(rows())
    expected = estimator.transform(rows())
    estimator.set_params(device="cuda")
    estimator.__setstate__(estimator.__getstate__())
    with pytest.warns(UserWarning, match="Using the CPU"):
        np.testing.assert_array_equal(estimator.transform(rows()), expected)


def test_combinations_without_meaning_are_refused():
    for parameters, match in [
        ({"objective": "iwae", "beta": 2.0}, "a bound only for beta=1"),
        ({"objective": "iwae", "free_bits": 0.5}, "objective='iwae' does not go with free_bits=0.5: "),
        ({"objective": "iwae", "solver": "lbfgs", "n_draws": 3}, "an even n_draws >= 4"),
        ({"solver": "lbfgs", "dropout": 0.5}, "solver='lbfgs' does not go with dropout=0.5: .* needs the same loss"),
    ]:
        with pytest.raises(ValueError, match=match):
            vae(**parameters).fit(rows())
    with pytest.raises(ValueError, match=r"solver='lbfgs' does not go with likelihood=.*needs the same loss"):
        configured("vae-dynamic", solver="lbfgs").fit(rows())


def test_rows_get_the_same_number_where_they_are_equal_and_miss_the_same_entries():
    zero, other = np.float64(0), np.frombuffer(b"\x01\x00\x00\x00\x00\x00\xf8\xff")[0]
    assert np.isnan(other)
    X = np.array([[zero, 1], [-zero, 1], [np.nan, 1], [other, 1], [1, np.nan], [np.nan, np.nan], [0, 2]])
    number = numbered(X)
    assert number[0] == number[1]
    assert number[2] == number[3]
    assert len(set(number.tolist())) == 5
    np.testing.assert_array_equal(numbered(X.astype(np.float32)[::-1]), numbered(X.astype(np.float32))[::-1])
