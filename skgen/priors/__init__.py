"""Priors p(z): the spec a user writes, and the module that is built from it when sizes are known.

To add one, write a file with both and name the spec in ``PRIORS``; the contract tests run over the table.
"""

from skgen.priors.base import Prior, PriorSpec
from skgen.priors.normal import Normal, NormalPrior

PRIORS: dict[str, type[PriorSpec]] = {"normal": Normal}

__all__ = ["PRIORS", "Normal", "NormalPrior", "Prior", "PriorSpec"]
