"""skgen.meta.sampler"""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from imblearn.pipeline import make_pipeline as make_resampling_pipeline
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture as SklearnMixture
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity

from skgen import GaussianMixture, ProbabilisticPCA
from skgen.meta.sampler import GenerativeOverSampler

COUNTS = {"common": 60, "odd": 20, "rare": 8}


def table():
    random = np.random.default_rng(0)
    y = np.repeat(list(COUNTS), list(COUNTS.values()))
    X = random.normal(size=(len(y), 3)) + 4 * (y == "rare")[:, None] - 4 * (y == "odd")[:, None]
    return X, y


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("auto", (60, 60, 60)),
        ("not majority", (60, 60, 60)),
        ("all", (60, 60, 60)),
        ("minority", (60, 20, 60)),
        ("not minority", (60, 60, 8)),
        ({"rare": 10, "common": 61}, (61, 20, 10)),
    ],
)
def test_classes_have_the_number_of_rows_that_was_asked_for(strategy, expected):
    X, y = table()
    sampler = GenerativeOverSampler(sampling_strategy=strategy, random_state=0)
    X_more, y_more = sampler.fit_resample(X, y)
    assert np.unique(y_more, return_counts=True)[1].tolist() == list(expected)
    np.testing.assert_array_equal(X_more[: len(X)], X)
    np.testing.assert_array_equal(y_more[: len(y)], y)
    assert sampler.sampling_strategy_ == {
        name: n - COUNTS[name] for name, n in zip(COUNTS, expected, strict=True) if n > COUNTS[name]
    }
    assert sampler.estimators_.keys() == sampler.sampling_strategy_.keys()


def test_a_ratio_is_that_of_two_classes():
    X, y = table()
    two = y != "odd"
    y_more = GenerativeOverSampler(sampling_strategy=0.5, random_state=0).fit_resample(X[two], y[two])[1]
    assert np.unique(y_more, return_counts=True)[1].tolist() == [60, 30]
    with pytest.raises(ValueError, match="needs two classes; y has 3"):
        GenerativeOverSampler(sampling_strategy=0.5).fit(X, y)


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ({"rare": 7}, "rows are added, never taken away"),
        ({"none": 70}, "classes among .*'none': 70"),
        ({"rare": 9.5}, "whole numbers"),
    ],
)
def test_impossible_numbers_are_refused(strategy, message):
    with pytest.raises(ValueError, match=message):
        GenerativeOverSampler(sampling_strategy=strategy).fit_resample(*table())


@pytest.mark.parametrize(
    "estimator", [None, GaussianMixture(1), ProbabilisticPCA(1), SklearnMixture(), KernelDensity()]
)
def test_new_rows_have_the_moments_of_their_class(estimator):
    X, y = table()
    n_new = 4000
    sampler = GenerativeOverSampler(estimator, sampling_strategy={"odd": 20 + n_new}, random_state=0)
    new = sampler.fit_resample(X, y)[0][len(X) :]
    # Every density here has the mean of its rows, the default one up to its prior's weight of a row per component.
    spread = new.std(axis=0) / np.sqrt(n_new)
    slack = 0.2 if estimator is None else 0.0
    assert (np.abs(new.mean(axis=0) - X[y == "odd"].mean(axis=0)) < 5 * spread + slack).all()


def test_a_normal_distribution_keeps_the_variance_that_interpolation_loses():
    X, y = table()
    n_new = 20000
    sampler = GenerativeOverSampler(GaussianMixture(1, reg_covar=0.0), sampling_strategy={"odd": 20 + n_new})
    new = clone(sampler).set_params(random_state=0).fit_resample(X, y)[0][len(X) :]
    # The variance of n draws has the relative standard error sqrt(2 / n).
    np.testing.assert_allclose(new.var(axis=0), X[y == "odd"].var(axis=0), rtol=5 * np.sqrt(2 / n_new))


def test_a_seed_repeats_the_rows_and_another_gives_others():
    X, y = table()
    one, again, other = (GenerativeOverSampler(random_state=s).fit_resample(X, y)[0] for s in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_classes_get_different_noise_and_one_row_is_too_few_for_the_default():
    X, y = table()
    sampler = GenerativeOverSampler(random_state=0, sampling_strategy={"rare": 20, "odd": 40})
    X_more, _ = sampler.fit_resample(np.vstack([X, X[:1]]), np.append(y, "single"))
    assert len(np.unique(X_more, axis=0)) == len(X_more) - 1
    with pytest.raises(ValueError, match=r"class 'single', of n_samples = 1"):
        sampler.set_params(sampling_strategy="auto").fit_resample(np.vstack([X, X[:1]]), np.append(y, "single"))


def test_frames_come_back_as_frames_and_rows_in_their_dtype():
    X, y = table()
    sampler = GenerativeOverSampler(random_state=0)
    expected, labels = sampler.fit_resample(X, y)
    frame, series = sampler.fit_resample(pd.DataFrame(X, columns=list("abc")), pd.Series(y, name="kind"))
    assert (list(frame.columns), series.name) == (list("abc"), "kind")
    np.testing.assert_array_equal(frame.to_numpy(), expected)
    np.testing.assert_array_equal(series.to_numpy(), labels)
    other = sampler.fit_resample(pl.DataFrame(X, schema=list("abc")), y)[0]
    assert isinstance(other, pl.DataFrame)
    np.testing.assert_array_equal(other.to_numpy(), expected)
    assert sampler.fit_resample(X.astype(np.float32), y)[0].dtype == np.float32


def test_imbalanced_learns_pipeline_resamples_training_rows_only():
    X, y = table()
    seen = []

    class Listener(LogisticRegression):
        def fit(self, X, y):
            seen.append(len(X))
            return super().fit(X, y)

        def predict(self, X):
            seen.append(len(X))
            return super().predict(X)

    pipeline = make_resampling_pipeline(GenerativeOverSampler(random_state=0), Listener())
    frame = pd.DataFrame(X, columns=list("abc"))
    assert pipeline.fit(frame, y).score(frame, y) > 0.9
    assert seen == [3 * COUNTS["common"], len(X)]


def test_the_density_is_searched_within_imbalanced_learns_pipeline():
    X, y = table()
    sampler = GenerativeOverSampler(GaussianMixture(1, random_state=0), random_state=0)
    pipeline = make_resampling_pipeline(sampler, LogisticRegression())
    name = "generativeoversampler__estimator__n_components"
    search = GridSearchCV(pipeline, {name: [1, 2]}, cv=2, scoring="balanced_accuracy").fit(X, y)
    assert search.best_score_ > 0.9


@pytest.mark.parametrize("frames", [pd, pl])
def test_classes_come_back_as_they_were_given(frames):
    X, y = np.random.RandomState(0).standard_normal((30, 2)), np.repeat(["common", "rare"], [20, 10])
    table = frames.DataFrame({"kind": y})
    for given in (table, table["kind"]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a table of one column stands for the column
            found = GenerativeOverSampler(random_state=0).fit_resample(X, given)[1]
        assert type(found) is type(given)
        assert np.ravel(found).tolist() == ["common"] * 20 + ["rare"] * 20
