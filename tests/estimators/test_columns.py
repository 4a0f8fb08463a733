"""Columns of text, categories, booleans and numbers under likelihoods of their own."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from pandas.testing import assert_frame_equal
from sklearn.base import clone
from sklearn.compose import make_column_selector
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skgen.callbacks import Checkpoint
from skgen.estimators._density_adapter import draw, log_density, measure
from skgen.likelihoods import Auto, Categorical, Columns, Gaussian
from tests.estimators.configurations import rows as numbers
from tests.estimators.configurations import vae

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

KINDS = ["blue", "green", "red"]
SIZES = ["S", "M", "L", "XL"]
CHOSEN = {
    "categorical": ["kind", "member", "size"],
    "bernoulli": ["flag"],
    "poisson": ["visits"],
    "negative_binomial": ["clicks"],
    "gaussian": ["age", "income"],
}


def frame(n_rows=60, *, seed=0):
    """Columns of every kind; the last size has no rows."""
    random = np.random.default_rng(seed)
    kind = random.choice(KINDS, n_rows, p=[0.2, 0.3, 0.5])
    return pd.DataFrame(
        {
            "kind": kind,
            "age": random.integers(18, 80, n_rows),
            "member": random.random(n_rows) < 0.3,
            "visits": random.poisson(np.where(kind == "red", 2.0, 3.0)),
            "clicks": random.poisson(random.gamma(0.5, 6.0, n_rows)),
            "flag": random.integers(0, 2, n_rows),
            "income": np.exp(random.normal(size=n_rows)),
            "size": pd.Categorical(random.choice(SIZES[:3], n_rows), categories=SIZES, ordered=True),
        }
    )


def polars_frame(X):
    size = pl.Series("size", X["size"].astype(str).to_list(), dtype=pl.Enum(SIZES))
    return pl.from_pandas(X.drop(columns="size")).with_columns(size)


@pytest.fixture(scope="module")
def fitted():
    return vae(likelihood="auto").fit(frame())


def chosen(estimator):
    return {name: columns for name, _, columns in estimator.likelihood_.parts}


# -- what is chosen ---------------------------------------------------------------------------------------------------


def test_each_column_gets_the_likelihood_that_its_values_ask_for(fitted):
    assert chosen(fitted) == CHOSEN
    assert fitted.likelihood_.parts[0][1].categories == [KINDS, [False, True], SIZES]
    assert fitted.score_measure == "mixed"
    assert chosen(vae(likelihood="auto").fit(polars_frame(frame()))) == CHOSEN


@pytest.mark.filterwarnings("ignore:Constant column")
@pytest.mark.parametrize(
    ("values", "family"),
    [
        ([0.0, 1.0], "bernoulli"),
        ([0.0, 2.0], "gaussian"),
        ([0, 1, 1, 2, 5], "poisson"),
        ([1, 2, 3, 4, 5], "gaussian"),  # ratings: they vary less than their mean
        ([0, 1, 2, 3, 4], "poisson"),
        ([0, 0, 0, 1, 9], "negative_binomial"),
        ([1990, 2000, 2010], "gaussian"),
        ([-1, 0, 5], "gaussian"),
        ([0.5, 0, 5], "gaussian"),
        (list(range(51)), "gaussian"),  # too many
        ([3, 3, 3], "gaussian"),
        ([True, False], "categorical"),
    ],
    ids=str,
)
def test_counts_vary_at_least_as_much_as_their_mean_from_zero_up(values, family):
    X = pd.DataFrame({"a": values * 10, "b": np.linspace(0.1, 1, 10 * len(values))})
    found = chosen(vae(likelihood="auto", max_iter=1).fit(X))
    assert found[family] == (["a", "b"] if family == "gaussian" else ["a"])


def test_counts_may_have_more_values_if_the_user_says_so():
    X = pd.DataFrame({"a": np.arange(60)})
    assert chosen(vae(likelihood=Auto(max_count_values=60), max_iter=1).fit(X)) == {"negative_binomial": ["a"]}


# -- scores -----------------------------------------------------------------------------------------------------------


def test_the_score_of_a_mixed_row_is_that_of_its_parts_by_hand():
    X = frame()[["income", "kind", "visits"]]
    parts = [("n", Gaussian("shared"), "income"), ("k", "categorical", ["kind"]), ("v", "poisson", [2])]
    estimator = vae(likelihood=parts, n_score_draws=16).fit(X)
    model = estimator._module(np.dtype(np.float64))
    codes = np.searchsorted(KINDS, X["kind"].to_numpy(dtype=str))
    rows = torch.tensor(np.stack([X["income"], codes, X["visits"]], 1))
    with torch.no_grad():
        noise = estimator._score_noise(np.dtype(np.float64))
        z = model.posterior.draw(model.encode(model.standardize(rows)), noise)
        mean, *logits, log_rate = model.decoder(z.z).unbind(-1)
        spread = model.likelihood.parts[0].noise_variance().sqrt() * model.scale[0]
        log_likelihood = (
            torch.distributions.Normal(mean * model.scale[0] + model.shift[0], spread).log_prob(rows[:, 0])
            + torch.distributions.Categorical(logits=torch.stack(logits, -1)).log_prob(rows[:, 1])
            + torch.distributions.Poisson(log_rate.exp()).log_prob(rows[:, 2])
        )
        by_hand = torch.logsumexp(log_likelihood + model.prior.log_prob(z.z) - z.log_prob, 0) - np.log(16)
    np.testing.assert_allclose(estimator.score_samples(X), by_hand.numpy(), rtol=1e-10)


@pytest.mark.parametrize("likelihood", ["gaussian", "student_t", "bernoulli", Gaussian("network")], ids=str)
def test_one_part_of_all_columns_is_that_likelihood_bit_for_bit(likelihood):
    X = numbers()
    alone = vae(likelihood=likelihood).fit(X)
    whole = vae(likelihood=[("all", likelihood, slice(None))]).fit(X)
    np.testing.assert_array_equal(whole.score_samples(X), alone.score_samples(X))
    np.testing.assert_array_equal(whole.sample(5, random_state=1), alone.sample(5, random_state=1))


def test_frames_arrays_and_codes_of_the_same_rows_have_the_same_scores(fitted):
    X = frame()
    scores = fitted.score_samples(X)
    np.testing.assert_array_equal(vae(likelihood="auto").fit(polars_frame(X)).score_samples(polars_frame(X)), scores)
    objects = X.to_numpy(dtype=object)
    declared = [(name, name, [X.columns.get_loc(column) for column in CHOSEN[name]]) for name in CHOSEN]
    declared[0] = ("categorical", Categorical([KINDS, [False, True], SIZES]), declared[0][2])
    np.testing.assert_array_equal(vae(likelihood=declared).fit(objects).score_samples(objects), scores)


def test_a_model_starts_at_the_frequencies_of_categories():
    X = pd.DataFrame({"kind": np.repeat(KINDS, [10, 30, 60])})
    drawn = vae(likelihood="categorical", max_iter=1, learning_rate=0.0).fit(X).sample(4000, random_state=0)
    shares = drawn["kind"].value_counts(normalize=True)[KINDS].to_numpy()
    # Random weights of the decoder blur what its bias says; 0.05 is six standard errors of a share.
    np.testing.assert_allclose(shares, [0.1, 0.3, 0.6], atol=0.05 + 0.1)


def test_a_model_learns_how_columns_of_different_kinds_depend_on_each_other():
    random = np.random.default_rng(0)
    kind = random.choice(KINDS, 1500)
    X = pd.DataFrame({"kind": kind, "x": np.where(kind == "red", 3.0, 0.0) + random.normal(size=1500)})
    estimator = vae(likelihood="auto", max_iter=60, learning_rate=0.01, hidden_layer_sizes=(32,)).fit(X)
    drawn = estimator.sample(4000, random_state=0)
    means = drawn.groupby("kind")["x"].mean()
    assert means["red"] - means["blue"] > 2
    assert abs(drawn["kind"].value_counts(normalize=True)["red"] - 1 / 3) < 0.06


# -- the same columns back --------------------------------------------------------------------------------------------


def test_pandas_frames_come_back_with_their_columns_and_dtypes(fitted):
    X = frame()
    for given in (fitted.sample(7, random_state=0), fitted.inverse_transform(fitted.transform(X))):
        assert_frame_equal(given.iloc[:0], X.iloc[:0])
        assert given["size"].cat.ordered
    assert fitted.transform(X).shape == (60, 2)


def test_polars_frames_come_back_with_their_columns_and_dtypes():
    X = polars_frame(frame()).with_columns(pl.col("visits").cast(pl.UInt8), pl.col("income").cast(pl.Float32))
    estimator = vae(likelihood="auto").fit(X)
    for given in (estimator.sample(7), estimator.inverse_transform(estimator.transform(X))):
        assert given.schema == X.schema


@pytest.mark.parametrize("dtype", ["Int64", "int8", "uint16", "Float32", "boolean", "string", "category"])
def test_extension_dtypes_of_pandas_come_back(dtype):
    values = frame()["kind" if dtype in ("string", "category") else "flag"]
    X = pd.DataFrame({"a": values.astype(dtype), "b": frame()["income"]})
    estimator = vae(likelihood="auto", max_iter=1).fit(X)
    assert_frame_equal(estimator.sample(3).iloc[:0], X.iloc[:0])


def test_arrays_come_back_as_what_they_were():
    X = frame()[["kind", "age", "income"]].to_numpy(dtype=object)
    drawn = vae(likelihood="auto").fit(X).sample(3)
    assert drawn.dtype == object
    assert [type(value) for value in drawn[0]] == [str, int, float]
    text = vae(likelihood="categorical").fit(X[:, :1].astype(str)).sample(3)
    assert text.dtype.kind == "U"
    codes = np.random.default_rng(0).choice([2.0, 5.0, 7.0], (40, 3)).astype(np.float32)
    drawn = vae(likelihood="categorical").fit(codes).sample(30)
    assert drawn.dtype == np.float32
    assert np.isin(drawn, [2, 5, 7]).all()


def test_whole_numbers_stay_within_their_dtype():
    X = pd.DataFrame({"a": np.array([0, 0, 0, 255] * 20, dtype=np.uint8), "b": ["x", "y"] * 40})
    drawn = vae(likelihood=[("a", "gaussian", "a"), ("b", "categorical", "b")]).fit(X).sample(500)
    assert drawn["a"].dtype == np.uint8
    assert drawn["a"].isin([0, 255]).mean() < 1


def test_frames_of_numbers_under_one_likelihood_of_numbers_give_arrays_as_ever():
    X = frame()[["age", "income"]]
    assert isinstance(vae().fit(X).sample(2), np.ndarray)


def test_missing_values_are_filled_in_by_values_of_their_columns():
    X = frame()
    X.loc[3, ["kind", "size"]] = None
    X["visits"] = X["visits"].astype("Int64")
    X.loc[4, "visits"] = pd.NA
    estimator = vae(likelihood="auto").fit(X)
    assert estimator.likelihood_.parts[0][1].categories[0] == KINDS
    for filled in (estimator.impute(X), *estimator.impute(X, n_imputations=2, random_state=0)):
        assert not filled.isna().any().any()
        assert_frame_equal(filled.drop(index=[3, 4]), X.drop(index=[3, 4]))
        assert filled["visits"].dtype == "Int64"


# -- columns by any name ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "columns",
    [make_column_selector(dtype_include=np.number), ["a", "c"], [0, 2], np.array([True, False, True])],
    ids=["callable", "names", "numbers", "mask"],
)
def test_columns_are_named_as_in_a_column_transformer(columns):
    X = pd.DataFrame({"a": [1.0, 2.0] * 20, "b": ["x", "y"] * 20, "c": [0.5, 1.0] * 20})
    estimator = vae(likelihood=[("n", "gaussian", columns), ("k", "categorical", "b")], max_iter=1).fit(X)
    assert chosen(estimator) == {"n": ["a", "c"], "k": ["b"]}
    assert chosen(clone(estimator).fit(X)) == chosen(estimator)


def test_a_grid_reaches_into_parts():
    X = frame()[["income", "kind"]]
    spec = Columns([("n", "gaussian", "income"), ("k", "categorical", "kind")])
    grid = {"likelihood": ["auto", spec], "n_components": [1]}
    search = GridSearchCV(vae(max_iter=2), grid, cv=2).fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    grid = {"likelihood__n": ["gaussian", "student_t"], "likelihood__k__categories": ["auto", [KINDS]]}
    search = GridSearchCV(vae(likelihood=spec.set_params(k=Categorical()), max_iter=2), grid, cv=2).fit(X)
    assert len(search.cv_results_["params"]) == 4


# -- learning on, storing, composing ----------------------------------------------------------------------------------


def test_chunks_after_the_first_are_coded_alike():
    X = frame(90)
    estimator = vae(likelihood="auto").partial_fit(X[:50])
    before = chosen(estimator)
    estimator.partial_fit(X[50:].assign(age=0, visits=0, clicks=1))
    assert chosen(estimator) == before == CHOSEN
    assert_frame_equal(estimator.sample(2).iloc[:0], X.iloc[:0])


def test_a_warm_start_goes_on_with_the_same_columns():
    estimator = vae(likelihood="auto", warm_start=True).fit(frame())
    assert estimator.fit(frame(seed=1)).n_iter_ == 10
    with pytest.raises(ValueError, match="cannot be continued with another architecture: likelihood"):
        estimator.set_params(likelihood=[("all", "categorical", slice(None))]).fit(frame(seed=1))


def test_a_stored_estimator_gives_the_same_frames(fitted):
    assert_frame_equal(pickle.loads(pickle.dumps(fitted)).sample(5, random_state=0), fitted.sample(5, random_state=0))
    assert b"DataFrame" not in pickle.dumps(fitted)


def test_a_checkpointed_fit_goes_on_where_it_was(tmp_path):
    parts = [("n", "gaussian", slice("age", "age")), ("k", "categorical", "kind")]
    X, plain = frame()[["kind", "age"]], vae(likelihood=parts)
    expected = plain.fit(X).score_samples(X)
    for _ in range(2):
        saved = clone(plain).set_callbacks(Checkpoint(tmp_path)).fit(X)
        np.testing.assert_array_equal(saved.score_samples(X), expected)


def test_validation_rows_are_coded_too():
    estimator = vae(likelihood="auto").fit(frame(), X_val=frame(seed=1))
    assert np.isfinite(estimator.history_["validation_elbo"]).all()
    with pytest.raises(ValueError, match="Column kind of X holds the category 'pink'"):
        vae(likelihood="auto").fit(frame(), X_val=frame().assign(kind="pink"))


def test_transformed_frames_have_names(fitted):
    pipeline = make_pipeline(vae(likelihood="auto")).set_output(transform="pandas").fit(frame())
    assert list(pipeline.transform(frame()).columns) == ["variationalautoencoder0", "variationalautoencoder1"]
    assert pipeline[0].sample(1).shape == (1, 8)


def test_the_density_adapter_takes_them(fitted):
    assert measure(fitted) == "mixed"
    np.testing.assert_array_equal(log_density(fitted, frame()), fitted.score_samples(frame()))
    assert draw(fitted, 3, 0).shape == (3, 8)


def test_reports_and_scores_take_frames(fitted):
    report = fitted.report(frame())
    np.testing.assert_allclose(report["elbo"], fitted.elbo(frame())["elbo"].mean())
    assert fitted.log_likelihood(frame()[:3], n_draws=8, random_state=0).shape == (3,)


# -- what is refused --------------------------------------------------------------------------------------------------


def test_an_unknown_category_is_refused_by_its_column(fitted):
    X = frame().astype({"size": str})
    for method in (fitted.transform, fitted.score_samples, fitted.partial_fit):
        with pytest.raises(
            ValueError, match=r"Column kind of X holds the category 'pink', .* known are 'blue', 'green'"
        ):
            method(frame().assign(kind="pink"))
        with pytest.raises(ValueError, match="Column size of X holds the category 'XXL'"):
            method(X.replace({"size": {"S": "XXL"}}))


@pytest.mark.parametrize("column", ["kind", "size"])
def test_columns_of_no_numbers_need_a_likelihood_for_them(column):
    for X in (frame(), polars_frame(frame())):
        with pytest.raises(ValueError, match=f"Column {column} of X holds .*, but Gaussian.* Choose likelihood='auto'"):
            vae().fit(X[["income", column]])
        with pytest.raises(ValueError, match=f"Column {column} of X holds"):
            vae(likelihood=[("all", "poisson", slice(None))]).fit(X[["age", column]])
    with pytest.raises(ValueError, match="Column 0 of X holds text, but Gaussian"):
        vae().fit([["a", 1.0], ["b", 2.0]])


def bad_columns():
    yield "mixed", ["a", 1] * 20, "holds text and numbers"
    yield "date", pd.date_range("2020-01-01", periods=40), "holds values of the dtype datetime64"
    yield "object", [(1,), (2,)] * 20, "holds values of the dtype object"
    yield "many", [f"name{i}" for i in range(40)] * 30, "has 1200 distinct values"
    yield "none", [None] * 40, "has no categories"


@pytest.mark.parametrize(("name", "values", "message"), list(bad_columns()), ids=lambda value: value if str else None)
def test_columns_that_hold_something_else_are_refused(name, values, message):
    if name == "many":
        values = [f"name{i}" for i in range(1200)]
    X = pd.DataFrame({name: values, "x": np.arange(len(values)) / 7})
    likelihood = [("k", "categorical", name), ("x", "gaussian", "x")]
    with pytest.raises(ValueError, match=f"Column {name} of X {message}"):
        vae(likelihood=likelihood).fit(X)


def test_dates_are_refused_before_another_likelihood_is_advised(fitted):
    dates = pd.date_range("2020-01-01", periods=40)
    for X in (pd.DataFrame({"when": dates, "x": 1.0}), pl.DataFrame({"when": dates.to_pydatetime(), "x": 1.0})):
        for likelihood in ("gaussian", "auto"):
            with pytest.raises(ValueError, match=r"Column when of X holds values of the dtype .*Convert it"):
                vae(likelihood=likelihood).fit(X)
    with pytest.raises(ValueError, match=r"Column income of X holds values of the dtype .*Convert it"):
        fitted.transform(frame().assign(income=pd.Timestamp("2020-01-01")))


def test_values_that_cannot_be_hashed_are_no_known_category(fitted):
    with pytest.raises(ValueError, match=r"Column kind of X holds the category \[1\], which fit has not seen"):
        fitted.transform(frame().assign(kind=[[1]] * 60))


def test_columns_in_another_order_are_refused(fitted):
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.transform(frame()[frame().columns[::-1]])
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.transform(frame().drop(columns="age"))


@pytest.mark.parametrize(
    ("likelihood", "message"),
    [
        ([("n", "gaussian", ["income"])], r"Column\(s\) kind of X are in no part of the likelihood"),
        ([("n", "gaussian", 0), ("k", "categorical", [0, 1])], r"Column\(s\) income of X are in more than one part"),
        ([("n", "gaussian", "salary"), ("k", "categorical", 1)], "names the column 'salary', but X has"),
        ([("n", "gauss", 0), ("k", "categorical", 1)], "the likelihood of the part 'n' must be one of"),
        ([], "are in no part"),
        ([("n", "gaussian", None), ("k", "categorical", 1)], r"Columns of the part 'n' .* must be a name.*got None"),
        ([("n", "gaussian", lambda X: 1.5), ("k", "categorical", 1)], r"part 'n' .* must be a name.*got 1\.5"),
        (Categorical("all"), "categories must be 'auto'"),
        (Categorical([["red"], ["x"]]), "Column income of X holds the category"),
    ],
)
def test_likelihoods_that_do_not_fit_the_columns_are_refused(likelihood, message):
    with pytest.raises(ValueError, match=message):
        vae(likelihood=likelihood).fit(frame()[["income", "kind"]])


def test_declared_categories_may_come_in_later_chunks():
    spec = Columns([("k", Categorical([[*KINDS, "pink"]]), "kind"), ("x", "gaussian", "income")])
    X = frame()[["kind", "income"]]
    estimator = vae(likelihood=spec).partial_fit(X).partial_fit(X.assign(kind="pink"))
    assert np.isfinite(estimator.score(X.assign(kind="pink")))
