"""Objectives: functions of a model's terms that give one value per example, to be maximised.

To add one, write a file with the class and name it in ``OBJECTIVES``; the contract tests run over the table.
"""

from skgen.objectives.base import Objective
from skgen.objectives.custom import Custom
from skgen.objectives.importance import ELBO, IWAE, DReG
from skgen.objectives.reconstruction import Reconstruction
from skgen.objectives.target import TargetELBO

OBJECTIVES: dict[str, type[Objective]] = {"elbo": ELBO, "iwae": IWAE, "dreg": DReG}

__all__ = ["ELBO", "IWAE", "OBJECTIVES", "Custom", "DReG", "Objective", "Reconstruction", "TargetELBO"]
