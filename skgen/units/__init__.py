"""Layers of units of a Boltzmann machine: exponential families in a field.

To add one, write a file and name the class in a table; the contract tests run over both.
"""

from skgen.units.base import Units
from skgen.units.bernoulli import BernoulliUnits
from skgen.units.gaussian import GaussianUnits

VISIBLE_UNITS: dict[str, type[Units]] = {"bernoulli": BernoulliUnits, "gaussian": GaussianUnits}
HIDDEN_UNITS: dict[str, type[Units]] = {"bernoulli": BernoulliUnits, "gaussian": GaussianUnits}

__all__ = ["HIDDEN_UNITS", "VISIBLE_UNITS", "BernoulliUnits", "GaussianUnits", "Units"]
