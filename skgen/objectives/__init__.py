"""Objectives: functions of a model's terms that give one value per example, to be maximised.

To add one, write a file with the class and name it in ``OBJECTIVES``; the contract tests run over the table.
"""

from skgen.objectives.base import Objective
from skgen.objectives.importance import ELBO, IWAE, DReG
from skgen.objectives.reconstruction import Reconstruction

OBJECTIVES: dict[str, type[Objective]] = {"elbo": ELBO, "iwae": IWAE, "dreg": DReG}

__all__ = ["ELBO", "IWAE", "OBJECTIVES", "DReG", "Objective", "Reconstruction"]
