"""Estimators as descriptions, made of what JSON has, and arrays; and back."""

import importlib
import inspect
import math
import re
from functools import cache
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator

from skgen._spec import Spec
from skgen.io._errors import ModelFileError

SOURCES = ("skgen", "skgen.meta", "skgen.priors", "skgen.likelihoods", "skgen.posteriors")
"""Modules whose public classes files may name."""
PEERS = {
    "sklearn.decomposition": ("PCA", "FactorAnalysis"),
    "sklearn.frozen": ("FrozenEstimator",),
    "sklearn.mixture": ("GaussianMixture", "BayesianGaussianMixture"),
    "sklearn.pipeline": ("Pipeline",),
    "sklearn.preprocessing": ("MaxAbsScaler", "MinMaxScaler", "RobustScaler", "StandardScaler"),
}
"""Classes of scikit-learn that they may name too: what estimators of the package are wrapped in, or wrap."""
NUMERIC = "biuf"
"""Kinds of dtypes of arrays that are stored as they are."""
FITTED = re.compile(r"[A-Za-z]\w*_|_[A-Za-z]\w*", re.ASCII)
"""Names of fitted attributes."""


@cache
def classes():
    """The classes that files may name, by their public names."""
    found = {}
    for source in SOURCES:
        module = importlib.import_module(source)
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) and issubclass(value, (BaseEstimator, Spec)) and not inspect.isabstract(value):
                found[f"{source}.{name}"] = value
    for source, names in PEERS.items():
        found |= {f"{source}.{name}": getattr(importlib.import_module(source), name) for name in names}
    return found


def described(model):
    """A description of an estimator, and the arrays that it refers to by their places in a list."""
    writer = _Writer()
    return {"model": writer.node(model, type(model).__name__)}, writer.arrays


def restored(description, arrays):
    """The estimator of :func:`described`; whatever is wrong raises an error."""
    reader = _Reader(arrays)
    model = reader.value(description["model"])
    if not isinstance(model, BaseEstimator):
        raise ModelFileError("it does not hold an estimator")
    if reader.unused:
        raise ModelFileError(f"{len(reader.unused)} of its arrays belong to nothing")
    return model


def split_state(model):
    """Constructor parameters and fitted attributes of an estimator."""
    parameters = model.get_params(deep=False)
    return parameters, {name: value for name, value in model.__getstate__().items() if name not in parameters}


class _Writer:
    def __init__(self):
        self.arrays = []

    def node(self, value, path):
        """A value as JSON has it; ``path`` says in errors where it is from."""
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, np.ndarray):
            return self._array(value, path)
        if isinstance(value, np.generic):
            return {"scalar": self._array(np.asarray(value), path)}
        if isinstance(value, Integral):
            return int(value)
        if isinstance(value, Real):
            return float(value) if math.isfinite(value) else {"float": str(float(value))}
        return self._compound(value, path)

    def _compound(self, value, path):
        if isinstance(value, dict):
            items = value.items()
            return {"dict": [[self.node(k, path), self.node(v, f"{path}[{k!r}]")] for k, v in items]}
        if isinstance(value, (list, tuple)):
            items = [self.node(item, f"{path}[{i}]") for i, item in enumerate(value)]
            return items if isinstance(value, list) else {"tuple": items}
        if isinstance(value, slice):
            return {"slice": [self.node(v, path) for v in (value.start, value.stop, value.step)]}
        if isinstance(value, np.random.RandomState):
            return {"random_state": self.node(value.get_state(legacy=False), path)}
        return self._object(value, path)

    def _object(self, value, path):
        name = next((name for name, known in classes().items() if type(value) is known), None)
        if name is None:
            raise TypeError(
                f"{path} is {value!r}, of type {type(value).__name__}, which a file without code cannot hold. Files "
                "hold estimators and parts of skgen, scikit-learn's pipelines and scalers, arrays, numbers, text, and "
                "containers of these."
            )
        if isinstance(value, Spec):
            parts = {"parameters": value.get_params(deep=False)}
        else:
            parts = dict(zip(("parameters", "state"), split_state(value), strict=True))
        nodes = {
            part: {key: self.node(item, f"{path}.{key}") for key, item in values.items()}
            for part, values in parts.items()
        }
        return {"object": name} | nodes

    def _array(self, array, path):
        if array.dtype.kind in NUMERIC and array.dtype.itemsize <= 8:
            self.arrays.append(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(array.shape))
            return {"array": len(self.arrays) - 1}
        if array.dtype.kind not in "UO":
            raise TypeError(f"{path} is an array of dtype {array.dtype}, which a file without code cannot hold.")
        kind = "text" if array.dtype.kind == "U" else "objects"
        return {kind: [self.node(item, path) for item in array.ravel().tolist()], "shape": list(array.shape)}


class _Reader:
    def __init__(self, arrays):
        self.arrays = arrays
        self.unused = set(range(len(arrays)))

    def value(self, node):
        """The value of a node."""
        if node is None or isinstance(node, (bool, str, int, float)):
            return node
        if isinstance(node, list):
            return [self.value(item) for item in node]
        kind = next(iter(node), None)
        if kind not in self.KINDS or node.keys() - self.KINDS[kind][1]:
            raise ModelFileError(f"it has an entry with the keys {sorted(node)}")
        return self.KINDS[kind][0](self, node)

    def _array(self, node):
        index = node["array"]
        if type(index) is not int or index not in self.unused:
            raise ModelFileError(f"it refers to an array {index!r} that is not there, or twice")
        self.unused.remove(index)
        return self.arrays[index]

    def _scalar(self, node):
        array = self.value(node["scalar"])
        return array.reshape(())[()] if isinstance(array, np.ndarray) else _refuse("a scalar that is none")

    def _float(self, node):
        return float(node["float"]) if node["float"] in ("inf", "-inf", "nan") else _refuse("a number that is none")

    def _dict(self, node):
        return {self.value(key): self.value(item) for key, item in node["dict"]}

    def _strings(self, node):
        kind = next(iter(node))
        items = [self.value(item) for item in node[kind]]
        if kind == "text":
            return np.array(items, dtype=np.str_).reshape(node["shape"])
        filled = np.empty(len(items), dtype=object)
        filled[:] = items
        return filled.reshape(node["shape"])

    def _random_state(self, node):
        random_state = np.random.RandomState()
        random_state.set_state(self.value(node["random_state"]))
        return random_state

    def _object(self, node):
        known = classes().get(node["object"])
        if known is None:
            raise ModelFileError(f"it names the class {node['object']!r}, which files cannot hold")
        parameters = {name: self.value(item) for name, item in node["parameters"].items()}
        value = known(**parameters)
        if isinstance(value, Spec):
            return value
        state = {name: self.value(item) for name, item in node["state"].items()}
        wrong = [name for name in state if not FITTED.fullmatch(name) or callable(getattr(known, name, None))]
        if wrong:
            raise ModelFileError(f"it sets {wrong}, which are no fitted attributes of {known.__name__}")
        if state:
            value.__setstate__(vars(value) | state)
        return value

    KINDS = {
        "array": (_array, {"array"}),
        "scalar": (_scalar, {"scalar"}),
        "float": (_float, {"float"}),
        "dict": (_dict, {"dict"}),
        "tuple": (lambda self, node: tuple(self.value(node["tuple"])), {"tuple"}),
        "slice": (lambda self, node: slice(*self.value(node["slice"])), {"slice"}),
        "text": (_strings, {"text", "shape"}),
        "objects": (_strings, {"objects", "shape"}),
        "random_state": (_random_state, {"random_state"}),
        "object": (_object, {"object", "parameters", "state"}),
    }
    """What an entry is by its first key: how it is read, and the keys that it may have."""


def _refuse(what):
    raise ModelFileError(f"it holds {what}")
