"""Layers of units of a Boltzmann machine: exponential families in a field.

To add one, write a file and name the class in a table; the contract tests run over both. A class is made from a number
of columns; that of categorical units, from the number of categories of each block.
"""

from collections.abc import Callable

from skgen.units.base import Units
from skgen.units.bernoulli import BernoulliUnits
from skgen.units.categorical import CategoricalUnits
from skgen.units.gaussian import GaussianUnits
from skgen.units.relu import ReluUnits

VISIBLE_UNITS: dict[str, Callable[..., Units]] = {
    "bernoulli": BernoulliUnits,
    "gaussian": GaussianUnits,
    "categorical": CategoricalUnits,
}
HIDDEN_UNITS: dict[str, type[Units]] = {
    "bernoulli": BernoulliUnits,
    "gaussian": GaussianUnits,
    "relu": ReluUnits,
}

__all__ = [
    "HIDDEN_UNITS",
    "VISIBLE_UNITS",
    "BernoulliUnits",
    "CategoricalUnits",
    "GaussianUnits",
    "ReluUnits",
    "Units",
]
