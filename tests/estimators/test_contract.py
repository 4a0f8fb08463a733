"""The contract of doc/developer/principles.rst that scikit-learn does not check, over every configuration."""

import ast
import inspect
import io
import json
import pickle
import random
import textwrap
import warnings

import joblib
import numpy as np
import pytest
import skops.io
import torch
from sklearn.base import clone
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import skgen
from tests.estimators.configurations import (
    ADVERSARIAL,
    CHOOSING,
    CLOSED_FORM,
    CONFIGURATIONS,
    ESTIMATORS,
    EXACT,
    ROUNDED,
    configured,
    rows,
)
from tests.oracles import process_state

pytestmark = [pytest.mark.filterwarnings(each) for each in ("ignore::sklearn.exceptions.ConvergenceWarning", ROUNDED)]

every = pytest.mark.parametrize("name", CONFIGURATIONS)

# Adding up a row in another order, some layers deep.
ROUNDING = 1e-9


@pytest.fixture(scope="module")
def fitted():
    """Fitted estimators by configuration, to be read only."""
    kept = {}

    def fit(name):
        if name not in kept:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                kept[name] = configured(name).fit(rows())
        return kept[name]

    return fit


def drawn(estimator, *arguments, **named):
    """Rows that an estimator draws; mixtures give their labels too."""
    found = estimator.sample(*arguments, **named)
    return found[0] if isinstance(found, tuple) else found


def state(estimator):
    """The fitted state, arrays by name."""
    return estimator.parameters_ if hasattr(estimator, "parameters_") else estimator.weights_


def answers(estimator, X):
    """What an estimator says about rows."""
    found = {"transform": estimator.transform(X), "score": np.array(estimator.score(X))}
    if hasattr(estimator, "score_samples"):
        found["score_samples"] = estimator.score_samples(X)
    found["inverse_transform"] = estimator.inverse_transform(found["transform"])
    for method in ("encode", "elbo", "log_likelihood", "sample", "impute"):
        if method == "sample" and hasattr(estimator, method):
            found[method] = drawn(estimator, 3, random_state=1)
        elif method == "impute" and hasattr(estimator, method):
            found[method] = estimator.impute(np.where(X > 0.5, X, np.nan), method="sample", random_state=1)
        elif method == "log_likelihood" and hasattr(estimator, method):
            found[method] = estimator.log_likelihood(X, n_draws=8, random_state=1)
        elif method == "elbo" and hasattr(estimator, method):
            found |= estimator.elbo(X)
    return found


@pytest.fixture(scope="module")
def told(fitted):
    """What fitted estimators said, by configuration."""
    kept = {}

    def tell(name):
        if name not in kept:
            kept[name] = answers(fitted(name), rows())
        return kept[name]

    return tell


def assert_same(one, other):
    assert one.keys() == other.keys()
    for key, value in one.items():
        np.testing.assert_array_equal(value, other[key], err_msg=key)


@every
def test_fit_leaves_parameters_alone(name):
    estimator = configured(name)
    before = (
        repr(estimator.get_params()),
        {key: id(value) for key, value in estimator.get_params(deep=False).items()},
    )
    estimator.fit(rows())
    after = (
        repr(estimator.get_params()),
        {key: id(value) for key, value in estimator.get_params(deep=False).items()},
    )
    assert before == after
    assert repr(clone(estimator).get_params()) == before[0]


@every
def test_refit_equals_a_fresh_fit(name, fitted, told):
    estimator = configured(name, warm_start=False).fit(rows(25, 3, seed=7)).fit(rows())
    assert_same(answers(estimator, rows()), told(name))
    assert vars(estimator).keys() == vars(fitted(name)).keys() - {"training_state_"}
    assert estimator.history_ == fitted(name).history_


@every
def test_same_seed_same_result_whatever_else_draws(name, told):
    before = process_state()
    torch.rand(3)
    np.random.rand(3)  # noqa: NPY002 the global state is the point
    random.random()
    assert process_state() != before
    assert_same(answers(configured(name).fit(rows()), rows()), told(name))


@every
def test_the_process_is_left_as_it_was(name):
    before = process_state()
    estimator = configured(name).fit(rows())
    answers(estimator, rows())
    estimator.partial_fit(rows(3))
    assert process_state() == before


@every
def test_the_default_dtype_of_torch_changes_nothing(name, told):
    expected = told(name)
    torch.set_default_dtype(torch.float64)
    try:
        assert_same(answers(configured(name).fit(rows()), rows()), expected)
    finally:
        torch.set_default_dtype(torch.float32)


def through_joblib(estimator):
    file = io.BytesIO()
    joblib.dump(estimator, file)
    file.seek(0)
    return joblib.load(file)


def through_skops(estimator):
    data = skops.io.dumps(estimator)
    untrusted = skops.io.get_untrusted_types(data=data)
    assert all(kind.startswith("skgen.") for kind in untrusted), untrusted
    return skops.io.loads(data, trusted=untrusted)


@pytest.mark.parametrize(
    "copy", [lambda estimator: pickle.loads(pickle.dumps(estimator)), through_joblib, through_skops]
)
@every
def test_a_stored_estimator_answers_bit_for_bit_alike(name, copy, fitted, told):
    # Asked first: what an estimator keeps in order to answer is no part of what is stored.
    before = told(name)
    assert_same(answers(copy(fitted(name)), rows()), before)


@every
def test_fitted_state_is_plain(name, fitted):
    estimator = fitted(name)
    for key, value in state(estimator).items():
        assert isinstance(value, np.ndarray), key
        assert value.flags.c_contiguous, key
    for key, values in estimator.history_.items():
        assert len(values) == estimator.n_iter_, key
        assert {type(value) for value in values} == {float}, key
    json.dumps(estimator.history_)
    assert type(estimator.n_iter_) is int
    assert type(estimator.best_iter_) is int
    assert type(estimator.converged_) is bool
    assert b"torch" not in pickle.dumps(estimator)


@every
def test_a_stored_estimator_holds_no_rows(name):
    sizes = {"n_components": 2} if name in CHOOSING else {}
    few, many = (len(pickle.dumps(configured(name, max_iter=1, **sizes).fit(rows(n)))) for n in (50, 1000))
    assert many - few < 100


@every
def test_answers_come_in_the_dtype_of_the_rows(name, fitted):
    for dtype in (np.float32, np.float64):
        X = rows(dtype=dtype)
        for estimator in (fitted(name), configured(name).fit(X)):
            Z = estimator.transform(X)
            assert Z.dtype == dtype
            if hasattr(estimator, "score_samples"):
                assert estimator.score_samples(X).dtype == dtype
            assert estimator.inverse_transform(Z).dtype == dtype
        if hasattr(estimator, "sample"):
            assert drawn(estimator, 2).dtype == dtype


@pytest.mark.parametrize(
    ("name", "method"),
    [(n, m) for n, each in CONFIGURATIONS.items() for m in ("transform", "score_samples") if hasattr(each, m)],
)
def test_a_row_is_answered_alike_in_any_company(name, method, fitted, monkeypatch):
    X = rows(37, seed=3)
    answer = getattr(fitted(name), method)
    together = answer(X)
    order = np.random.default_rng(0).permutation(len(X))
    alone = np.concatenate([answer(X[i : i + 1]) for i in range(0, len(X), 4)])
    np.testing.assert_allclose(alone, together[::4], rtol=ROUNDING, atol=ROUNDING)
    np.testing.assert_allclose(answer(X[order]), together[order], rtol=ROUNDING, atol=ROUNDING)
    np.testing.assert_allclose(answer(np.repeat(X, 3, axis=0))[::3], together, rtol=ROUNDING, atol=ROUNDING)
    monkeypatch.setattr("skgen.estimators._arrays.TILE_BYTES", 2**14)
    np.testing.assert_allclose(answer(X), together, rtol=ROUNDING, atol=ROUNDING)


@every
def test_one_row_is_enough_for_all_but_a_split_and_a_mixture(name):
    X = rows(1)
    estimator = configured(name).partial_fit(X)
    assert estimator.transform(X).shape == (1, len(estimator.get_feature_names_out()))
    if hasattr(estimator, "score_samples"):
        assert np.isfinite(estimator.score_samples(X)).all()
    assert np.isfinite(estimator.partial_fit(X).score(X))
    # A generator that has too few rows to validate on does without.
    if "mixture" in name or (getattr(estimator, "early_stopping", False) and name not in ADVERSARIAL):
        with pytest.raises(ValueError, match="n_samples = 1"):
            configured(name).fit(X)
    else:
        assert np.isfinite(configured(name).fit(X).score(X))


@pytest.mark.parametrize("name", [name for name in CONFIGURATIONS if name not in CLOSED_FORM])
def test_interrupted_fit_leaves_a_usable_model(name):
    class Interrupt:
        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context, **hooks):
            pass

        def on_fit_task_end(self, estimator, context, **hooks):
            if context.task_name in ("epoch", "iteration") and context.task_id == 2:
                raise KeyboardInterrupt

    estimator = configured(name, max_iter=50, **{"tol": 0.0} if name in EXACT else {}).set_callbacks(Interrupt())
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        estimator.fit(rows())
    assert isinstance(estimator, CallbackSupportMixin)
    assert estimator.n_iter_ == 3
    assert np.isfinite(estimator.score(rows()))
    pickle.loads(pickle.dumps(estimator.set_callbacks())).transform(rows())


@every
def test_frozen_estimators_feed_others(name, fitted):
    pipeline = make_pipeline(FrozenEstimator(fitted(name)), LogisticRegression())
    before = fitted(name).transform(rows())
    assert pipeline.fit(rows(), rows()[:, 0] > 0.5).predict(rows()).shape == (40,)
    np.testing.assert_array_equal(fitted(name).transform(rows()), before)


@every
def test_html_representation(name, fitted):
    for estimator in (CONFIGURATIONS[name], fitted(name)):
        assert type(estimator).__name__ in estimator._repr_html_()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_parameter_is_read(estimator):
    reads = set()
    for base in estimator.__mro__:
        if not base.__module__.startswith("skgen."):
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.getmodule(base))))
        reads |= {
            node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
        }
    # What is read from the estimator where it is given as the settings of a run, or as the stack of a stage.
    from skgen.estimators import _stack_stages, _training

    for module, owner in ((_training, "settings"), (_stack_stages, "stack")):
        reads |= {
            node.attr
            for node in ast.walk(ast.parse(inspect.getsource(module)))
            if isinstance(node, ast.Attribute) and getattr(node.value, "attr", getattr(node.value, "id", "")) == owner
        }
    if estimator is skgen.RBMStack:
        reads |= set(inspect.signature(skgen.RBM).parameters)  # handed to its machines by name
    assert set(inspect.signature(estimator).parameters) <= reads


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_parameters_are_documented_in_the_order_of_the_signature(estimator):
    section = inspect.getdoc(estimator).split("Parameters\n----------\n")[1].split("\nAttributes\n")[0]
    entries = [line.split(" : ")[0] for line in section.splitlines() if " : " in line and not line.startswith(" ")]
    documented = [name.strip() for entry in entries for name in entry.split(",")]
    assert documented == list(inspect.signature(estimator).parameters)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_documented_attributes_exist_after_fit(estimator):
    section = inspect.getdoc(estimator).split("Attributes\n----------\n")[1].split("\nSee Also\n")[0]
    entries = [line.split(" : ")[0] for line in section.splitlines() if " : " in line and not line.startswith(" ")]
    names = [name.strip() for entry in entries for name in entry.split(",")]
    import pandas as pd

    frame = pd.DataFrame(rows(), columns=list("abcde"))
    small = {"hidden_layer_sizes": (4,), "max_iter": 2, "stack": skgen.RBMStack((4,), max_iter=2)}
    y = np.arange(len(frame)) % 2
    model = estimator(**{k: v for k, v in small.items() if k in inspect.signature(estimator).parameters}).fit(frame, y)
    assert [name for name in names if not hasattr(model, name)] == []
