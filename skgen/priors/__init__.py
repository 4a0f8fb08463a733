"""Priors p(z): the spec a user writes, and the module that is built from it when sizes are known.

To add one, write a file with both and name the spec in ``PRIORS``; the contract tests run over the table.
Priors on parameters are specs only, in ``PRIORS_ON_PARAMETERS``: the models that take one build what they need of it.
"""

from skgen.priors.base import AmortizedModel, Prior, PriorSpec, TrainingRows
from skgen.priors.categorical import Categorical, CategoricalPrior
from skgen.priors.conjugate import Conjugate
from skgen.priors.flow import Flow, FlowPrior
from skgen.priors.learned_normal import LearnedNormalPrior
from skgen.priors.mixture import Mixture, MixturePrior
from skgen.priors.normal import Normal, NormalPrior
from skgen.priors.uniform import Uniform, UniformPrior
from skgen.priors.vamp import Vamp, VampPrior

PRIORS: dict[str, type[PriorSpec]] = {
    "normal": Normal,
    "mixture": Mixture,
    "vamp": Vamp,
    "flow": Flow,
    "uniform": Uniform,
    "categorical": Categorical,
}
PRIORS_ON_PARAMETERS: dict[str, type[Conjugate]] = {"conjugate": Conjugate}

__all__ = [
    "PRIORS",
    "PRIORS_ON_PARAMETERS",
    "AmortizedModel",
    "Categorical",
    "CategoricalPrior",
    "Conjugate",
    "Flow",
    "FlowPrior",
    "LearnedNormalPrior",
    "Mixture",
    "MixturePrior",
    "Normal",
    "NormalPrior",
    "Prior",
    "PriorSpec",
    "TrainingRows",
    "Uniform",
    "UniformPrior",
    "Vamp",
    "VampPrior",
]
