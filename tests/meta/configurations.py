"""Every meta-estimator, around the package's estimators and around scikit-learn's; a fit takes a moment."""

from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.decomposition import FactorAnalysis as SklearnFactorAnalysis
from sklearn.mixture import GaussianMixture as SklearnMixture
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skgen.meta
from skgen import Autoencoder, GaussianMixture, ProbabilisticPCA, VariationalAutoencoder
from skgen.meta import (
    DensitySelector,
    GenerativeClassifier,
    GenerativeImputer,
    GenerativeOutlierDetector,
    GenerativeOverSampler,
    GenerativeRegressor,
)

NETWORK = {"hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0}


def mixture(n_components=2, **parameters):
    return GaussianMixture(n_components, **{"max_iter": 5, "reg_covar": 1e-4, "random_state": 0} | parameters)


def foreign_mixture():
    # Other starts are not for array API dispatch, which a check switches on.
    return SklearnMixture(init_params="random_from_data", random_state=0)


def detector(estimator=None, **parameters):
    return GenerativeOutlierDetector(estimator, **{"random_state": 0, "cv": 2} | parameters)


def selector(*candidates, **parameters):
    return DensitySelector(list(candidates) or None, **{"random_state": 0, "cv": 2} | parameters)


CONFIGURATIONS = {
    "outlier": detector(),
    "outlier-typicality": detector(ProbabilisticPCA(1, random_state=0), score_method="typicality"),
    "outlier-reconstruction": detector(Autoencoder(1, **NETWORK), score_method="reconstruction"),
    "outlier-selector": detector(selector(mixture(1), mixture(2)), contamination=0.1),
    "outlier-sklearn-kernels": detector(make_pipeline(StandardScaler(), KernelDensity())),
    "outlier-sklearn-pca": detector(PCA(1), score_method="reconstruction", contamination=0.2),
    "selector": selector(),
    "selector-named": selector(("vae", VariationalAutoencoder(1, **NETWORK)), ("mixture", mixture())),
    "selector-sklearn-bic": selector(mixture(1), foreign_mixture(), criterion="bic"),
    "selector-sklearn": selector(
        PCA(1),
        SklearnFactorAnalysis(1, svd_method="lapack"),
        KernelDensity(),
        make_pipeline(StandardScaler(), foreign_mixture()),
    ),
    "imputer": GenerativeImputer(random_state=0),
    "imputer-draws": GenerativeImputer(sample_posterior=True, add_indicator=True, random_state=0),
    "imputer-factors": GenerativeImputer(ProbabilisticPCA(1, random_state=0), keep_empty_features=True),
    # None of scikit-learn's densities takes missing entries; its searches do where what they vary does.
    "imputer-sklearn-search": GenerativeImputer(GridSearchCV(mixture(), {"n_components": [1, 2]}, cv=2)),
    "sampler": GenerativeOverSampler(random_state=0),
    "sampler-sklearn-kernels": GenerativeOverSampler(KernelDensity(), random_state=0),
    "classifier": GenerativeClassifier(),
    "classifier-mixtures": GenerativeClassifier(mixture(1)),
    "classifier-sklearn-kernels": GenerativeClassifier(KernelDensity()),
    "classifier-sklearn-scaled": GenerativeClassifier(make_pipeline(StandardScaler(), PCA(1))),
    "regressor": GenerativeRegressor(),
    "regressor-factors": GenerativeRegressor(ProbabilisticPCA(random_state=0)),
    "regressor-sklearn": GenerativeRegressor(foreign_mixture()),
}
"""Configurations by name; those around scikit-learn's estimators have its name in theirs."""

META = [
    value
    for value in (getattr(skgen.meta, name) for name in skgen.meta.__all__)
    if isinstance(value, type) and issubclass(value, BaseEstimator)
]
