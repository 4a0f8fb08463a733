"""Generative latent-variable models as scikit-learn estimators.

Names are loaded on first use, so that ``import skgen`` costs nothing and imports no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from skgen._version import __version__

if TYPE_CHECKING:
    from skgen.estimators.adversarial_bayes import AdversarialVariationalBayes
    from skgen.estimators.amortized_model import AmortizedLatentModel
    from skgen.estimators.autoencoder import Autoencoder
    from skgen.estimators.bayesian_mixture import BayesianGaussianMixture
    from skgen.estimators.factor_analysis import FactorAnalysis
    from skgen.estimators.factor_mixture import MixtureOfFactorAnalyzers
    from skgen.estimators.gan import GenerativeAdversarialNetwork
    from skgen.estimators.gaussian_mixture import GaussianMixture
    from skgen.estimators.mutual_information import MutualInformation
    from skgen.estimators.probabilistic_pca import ProbabilisticPCA
    from skgen.estimators.rbm import RBM
    from skgen.estimators.rbm_stack import RBMStack
    from skgen.estimators.rbm_stack_classifier import RBMStackClassifier
    from skgen.estimators.vae import VariationalAutoencoder
    from skgen.estimators.variational_classifier import VariationalClassifier

_ESTIMATORS = {
    "AdversarialVariationalBayes": "skgen.estimators.adversarial_bayes",
    "AmortizedLatentModel": "skgen.estimators.amortized_model",
    "Autoencoder": "skgen.estimators.autoencoder",
    "BayesianGaussianMixture": "skgen.estimators.bayesian_mixture",
    "FactorAnalysis": "skgen.estimators.factor_analysis",
    "GaussianMixture": "skgen.estimators.gaussian_mixture",
    "GenerativeAdversarialNetwork": "skgen.estimators.gan",
    "MixtureOfFactorAnalyzers": "skgen.estimators.factor_mixture",
    "MutualInformation": "skgen.estimators.mutual_information",
    "ProbabilisticPCA": "skgen.estimators.probabilistic_pca",
    "RBM": "skgen.estimators.rbm",
    "RBMStack": "skgen.estimators.rbm_stack",
    "RBMStackClassifier": "skgen.estimators.rbm_stack_classifier",
    "VariationalAutoencoder": "skgen.estimators.vae",
    "VariationalClassifier": "skgen.estimators.variational_classifier",
}
_MODULES = ("callbacks", "inspection", "io", "likelihoods", "meta", "metrics", "objectives", "posteriors", "priors")

__all__ = [
    "RBM",
    "AdversarialVariationalBayes",
    "AmortizedLatentModel",
    "Autoencoder",
    "BayesianGaussianMixture",
    "FactorAnalysis",
    "GaussianMixture",
    "GenerativeAdversarialNetwork",
    "MixtureOfFactorAnalyzers",
    "MutualInformation",
    "ProbabilisticPCA",
    "RBMStack",
    "RBMStackClassifier",
    "VariationalAutoencoder",
    "VariationalClassifier",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name in _ESTIMATORS:
        value = getattr(import_module(_ESTIMATORS[name]), name)
    elif name in _MODULES:
        value = import_module(f"skgen.{name}")
    else:
        raise AttributeError(f"module 'skgen' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])
