"""skgen.meta._inner: what meta-estimators do with the estimator inside."""

import numpy as np
import pandas
import polars
import pytest
from sklearn import config_context
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from skgen import GaussianMixture, ProbabilisticPCA, VariationalAutoencoder
from skgen.estimators._sklearn import _safe_indexing
from skgen.meta import (
    DensitySelector,
    GenerativeClassifier,
    GenerativeImputer,
    GenerativeOutlierDetector,
    GenerativeOverSampler,
    GenerativeRegressor,
)
from skgen.meta._folds import folds
from skgen.meta._inner import allows_nan, checked_rows, fitted_clone, weight_parameters

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = np.random.default_rng(0).normal(size=(30, 2))


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (ProbabilisticPCA(), True),
        (PCA(), False),
        (make_pipeline(StandardScaler(), "passthrough", ProbabilisticPCA()), True),
        (make_pipeline(StandardScaler(), PCA()), False),
        (FrozenEstimator(ProbabilisticPCA().fit(X)), True),
    ],
)
def test_missing_entries_are_taken_where_all_steps_take_them(estimator, expected):
    assert allows_nan(estimator) is expected


def test_weights_go_to_all_steps_that_take_them():
    pipeline = make_pipeline(StandardScaler(), MaxAbsScaler(), KernelDensity())
    assert set(weight_parameters(pipeline, 1)) == {"standardscaler__sample_weight", "kerneldensity__sample_weight"}
    with pytest.raises(ValueError, match="the fit of PCA takes no weights"):
        weight_parameters(make_pipeline(StandardScaler(), PCA()), 1)


def test_rows_of_weight_zero_are_not_there():
    weight = (np.arange(30) < 20).astype(float)
    fitted = fitted_clone(KernelDensity(), X, None, weight)
    np.testing.assert_array_equal(np.asarray(fitted.tree_.data), X[:20])


def test_the_estimator_that_was_given_is_not_fitted():
    given = GaussianMixture()
    assert fitted_clone(given, X) is not given
    assert not hasattr(given, "parameters_")


def test_weights_reach_a_pipeline_whether_metadata_is_routed_or_not():
    weight = np.arange(30) % 3
    pipeline = make_pipeline(StandardScaler(), GaussianMixture(1))
    expected = fitted_clone(pipeline, X, None, weight)
    with config_context(enable_metadata_routing=True):
        routed = fitted_clone(pipeline, X, None, weight)
    np.testing.assert_array_equal(routed[-1].means_, expected[-1].means_)
    np.testing.assert_array_equal(routed[0].mean_, expected[0].mean_)


def test_rows_may_have_missing_entries_where_the_estimators_inside_take_them():
    X, y = np.array([[0.0, np.nan], [1.0, 2.0]]), np.array([0, 1])
    rows, _ = checked_rows(GenerativeClassifier(), X, [GaussianMixture()], y=y, reset=True)
    np.testing.assert_array_equal(rows, X)
    with pytest.raises(ValueError, match="contains NaN"):
        checked_rows(GenerativeClassifier(), X, [GaussianMixture(), KernelDensity()], reset=True)


# -- tables -----------------------------------------------------------------------------------------------------------

CLASSES = np.arange(40) % 2
WEIGHTS = np.r_[np.zeros(5), np.ones(35)]


def mixed(library):
    """Rows with a column of numbers, one of text and one of categories, of which some occur in one class only."""
    random = np.random.default_rng(0)
    kind = np.where(CLASSES, random.choice(["b", "c"], 40), random.choice(["a", "b"], 40))
    frame = pandas.DataFrame(
        {
            "size": random.normal(size=40) + CLASSES,
            "name": random.choice(["left", "right"], 40),
            "kind": pandas.Categorical(kind, categories=["a", "b", "c", "none"]),
        }
    )
    if library == "array":
        return frame[["size", "name"]].to_numpy(dtype=object)
    if library == "pandas":
        return frame
    return polars.from_pandas(frame).with_columns(
        kind=polars.Series(frame["kind"]).cast(polars.Enum(["a", "b", "c", "none"]))
    )


def table_model(**parameters):
    options = {"hidden_layer_sizes": (4,), "max_iter": 2, "n_score_draws": 4, "random_state": 0}
    return VariationalAutoencoder(2, **{"likelihood": "auto"} | options | parameters)


BY_NAME = [("numbers", "gaussian", ["size"]), ("others", "categorical", ["name", "kind"])]


@pytest.mark.parametrize("library", ["pandas", "polars", "array"])
@pytest.mark.parametrize("weight", [None, WEIGHTS])
def test_tables_reach_models_that_take_them(library, weight):
    table, model = mixed(library), table_model()
    given = {} if weight is None else {"sample_weight": weight}
    expected = model.fit(table, **given).score_samples(table)
    detector = GenerativeOutlierDetector(model, cv=2, random_state=0).fit(table, **given)
    np.testing.assert_array_equal(detector.score_samples(table), expected)
    selector = DensitySelector([model, model], cv=2, random_state=0).fit(table, **given)
    np.testing.assert_array_equal(selector.score_samples(table), expected)
    assert type(selector.sample(2)) is type(table)
    nested = GenerativeOutlierDetector(selector, cv=2, random_state=0).fit(table, **given)
    np.testing.assert_array_equal(nested.score_samples(table), expected)


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("likelihood", ["auto", BY_NAME], ids=["auto", "by name"])
def test_classes_of_tables_keep_the_categories_of_their_columns(library, likelihood):
    table = mixed(library)
    classifier = GenerativeClassifier(table_model(likelihood=likelihood)).fit(table, CLASSES)
    of_first = table_model(likelihood=likelihood).fit(_safe_indexing(table, np.flatnonzero(CLASSES == 0)))
    expected = of_first.score_samples(table) + np.log(0.5)
    np.testing.assert_array_equal(classifier.predict_joint_log_proba(table)[:, 0], expected)
    some = GenerativeClassifier(table_model(likelihood=likelihood)).fit(table, CLASSES, sample_weight=WEIGHTS)
    assert some.predict(table).shape == (40,)
    with pytest.raises(ValueError, match="requires y"):
        classifier.fit(table, None)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        classifier.fit(table, CLASSES[1:])


@pytest.mark.parametrize(
    "meta",
    [
        GenerativeClassifier(GaussianMixture()),
        DensitySelector([table_model(), GaussianMixture()]),
        GenerativeOutlierDetector(table_model(), score_method="reconstruction"),
        GenerativeOverSampler(table_model()),
        GenerativeRegressor(),
        GenerativeImputer(table_model()),
    ],
    ids=lambda meta: type(meta).__name__,
)
def test_columns_that_are_not_of_numbers_are_named_where_numbers_are_needed(meta):
    with pytest.raises(ValueError, match=r"Columns \['name', 'kind'\] of X are not of numbers.*Encode them"):
        meta.fit(mixed("pandas"), CLASSES)


def test_columns_of_a_table_are_compared_by_name_and_order():
    table = mixed("pandas")
    detector = GenerativeOutlierDetector(table_model(), cv=2, random_state=0).fit(table)
    with pytest.raises(ValueError, match="same order"):
        detector.predict(table[table.columns[::-1]])
    with pytest.raises(ValueError, match="missing"):
        detector.predict(table[["size", "name"]])


@pytest.mark.parametrize("library", ["pandas", "polars", "array"])
def test_equal_rows_of_a_table_share_a_fold_in_any_order(library):
    table = mixed(library)
    order = np.random.default_rng(1).permutation(40)
    both = _safe_indexing(table, np.concatenate([np.arange(40), order]))
    fold = folds(both, 5, np.random.RandomState(0))
    np.testing.assert_array_equal(fold[40:], fold[order])
    np.testing.assert_array_equal(fold[:40], folds(table, 5, np.random.RandomState(0)))
    assert len(np.unique(fold)) == 5
