"""skgen.io._state and skgen.io._loaded: every estimator as a description and arrays, and back."""

import json

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skgen import VariationalAutoencoder
from skgen.io import ModelFileError
from skgen.io._loaded import checked
from skgen.io._state import classes, described, restored
from skgen.meta import (
    DensitySelector,
    GenerativeClassifier,
    GenerativeImputer,
    GenerativeOutlierDetector,
    GenerativeOverSampler,
    GenerativeRegressor,
)
from skgen.priors import Mixture
from tests.estimators.configurations import CLASSIFIERS, CONFIGURATIONS, ESTIMATORS, PAIRED, rows

X, Y = rows(), np.arange(40) % 2
META = {
    estimator.__class__.__name__: estimator
    for estimator in (
        DensitySelector(),
        GenerativeClassifier(),
        GenerativeImputer(),
        GenerativeOutlierDetector(),
        GenerativeOverSampler(),
        GenerativeRegressor(),
        make_pipeline(StandardScaler(), VariationalAutoencoder(hidden_layer_sizes=(4,), max_iter=2, random_state=0)),
    )
}
ALL = CONFIGURATIONS | CLASSIFIERS | PAIRED | META


def same(one, other):
    """Whether two values are equal, to the last bit and type."""
    if isinstance(one, np.ndarray):
        nan = one.dtype.kind == "f"
        return one.dtype == other.dtype and one.shape == other.shape and np.array_equal(one, other, equal_nan=nan)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    if hasattr(one, "get_params"):
        states = [e.__getstate__() if hasattr(e, "fit") else {} for e in (one, other)]
        return type(one) is type(other) and same(one.get_params(False), other.get_params(False)) and same(*states)
    return type(one) is type(other) and (one == other or one != one)


def through(model):
    """An estimator made of what JSON and arrays keep of another."""
    description, arrays = described(model)
    return checked(restored(json.loads(json.dumps(description, allow_nan=False)), arrays), 2**20)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ALL)
def test_an_estimator_comes_back_as_it_was(name):
    fitted = clone(ALL[name]).fit(X, Y)
    again = through(fitted)
    assert same(fitted, again)
    for method in ("transform", "score_samples", "predict"):
        if hasattr(fitted, method):
            np.testing.assert_array_equal(getattr(again, method)(X), getattr(fitted, method)(X))


def test_every_public_estimator_may_be_in_a_file():
    known = classes().values()
    assert all(estimator in known for estimator in ESTIMATORS)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "value",
    [
        np.float64("nan"),
        -np.inf,
        np.float32(0.1),
        np.array(["a", "é"], dtype=object),
        np.array([["x"], ["yz"]]),
        np.array([None, "a", 1.5], dtype=object),
        np.zeros((0, 3), dtype=np.float32),
        np.array(True),
        np.arange(3, dtype=">i4"),
        {"a": (1, [2.5, None]), 3: slice(0, None, 2)},
        Mixture(3),
        "\ud800",
    ],
    ids=repr,
)
def test_a_fitted_attribute_keeps_its_type_and_value(value):
    model = VariationalAutoencoder(hidden_layer_sizes=(2,), max_iter=5, kl_warmup=0, random_state=0).fit(X)
    model.extra_ = value
    found = through(model).extra_
    assert same(value.astype(value.dtype.newbyteorder("<")) if isinstance(value, np.ndarray) else value, found)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_random_state_goes_on_where_it_was():
    model = VariationalAutoencoder(hidden_layer_sizes=(2,), max_iter=5, random_state=np.random.RandomState(3)).fit(X)
    again = through(model)
    np.testing.assert_array_equal(again.random_state.rand(4), model.random_state.rand(4))


def test_code_of_the_users_is_refused_by_the_name_of_its_parameter():
    pipeline = make_pipeline(FunctionTransformer(np.log), VariationalAutoencoder(max_iter=1))
    with pytest.raises(TypeError, match=r"Pipeline\.steps\[0\]\[1\] is FunctionTransformer.*without code"):
        described(pipeline)


def broken(change):
    """The description of a fitted estimator after a change, and its arrays."""
    model = clone(CONFIGURATIONS["vae-clusters"]).fit(X)
    description, arrays = described(model)
    change(description["model"], arrays)
    return description, arrays


def set_in(part, name, value):
    return lambda node, arrays: node[part].__setitem__(name, value)


HOSTILE = {
    "a class of the system": lambda node, arrays: node.update(object="os.system"),
    "a class that is not public": lambda node, arrays: node.update(
        object="skgen.estimators.vae.VariationalAutoencoder"
    ),
    "a parameter that there is not": set_in("parameters", "evil", 1),
    "a parameter of another type": set_in("parameters", "n_components", "many"),
    "more components than weights": set_in("parameters", "n_components", 2.5),
    "an attribute in place of a method": set_in("state", "fit", 1),
    "an attribute in place of a private method": set_in("state", "_module", 1),
    "a name of the language": set_in("state", "__class__", 1),
    "a name that is none": set_in("state", "a b_", 1),
    "an array that is not there": set_in("state", "extra_", {"array": 10**6}),
    "an array that is taken already": set_in("state", "extra_", {"array": 0}),
    "an entry of another kind": set_in("state", "extra_", {"pickle": "gASV"}),
    "an entry with more than it may have": set_in("state", "extra_", {"float": "inf", "more": 1}),
    "an empty entry": set_in("state", "extra_", {}),
    "a number in words": set_in("state", "extra_", {"float": "1e3"}),
    "a shape that does not fit": set_in("state", "extra_", {"text": ["a"], "shape": [10**9, 10**9]}),
    "an array left over": lambda node, arrays: arrays.append(np.zeros(3)),
    "a million columns": set_in("state", "n_features_in_", 10**6),
    "a billion latent variables": lambda node, arrays: node["state"]["_architecture"]["dict"].__setitem__(
        0, ["n_components", 10**9]
    ),
    "a prior of a billion components": set_in(
        "state", "prior_", {"object": "skgen.priors.Mixture", "parameters": {"n_components": 10**9}}
    ),
    "a prior of other components": set_in(
        "state", "prior_", {"object": "skgen.priors.Mixture", "parameters": {"n_components": 4}}
    ),
    "weights of another shape": lambda node, arrays: arrays.__setitem__(
        slice(None), [a[:1] if a.ndim == 2 else a for a in arrays]
    ),
    "no weights": lambda node, arrays: node["state"].update(weights_={"dict": []}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_no_estimator_could_have_written_is_refused(name):
    description, arrays = broken(HOSTILE[name])
    with pytest.raises((ModelFileError, ValueError, TypeError, KeyError, IndexError)):
        checked(restored(description, arrays), 2**14)


def test_other_weights_are_refused_before_a_module_is_built(monkeypatch):
    description, arrays = broken(HOSTILE["a prior of other components"])
    model = restored(description, arrays)
    monkeypatch.setattr(type(model), "_module", lambda self, dtype: pytest.fail("built"))
    with pytest.raises(ModelFileError, match="are not those of its parameters"):
        checked(model, 2**14)
