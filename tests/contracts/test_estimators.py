"""scikit-learn's own checks over every public estimator, with no expected failure and no skip."""

from unittest import SkipTest

import pytest
from sklearn.base import clone
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from tests.contracts.checks import WARNINGS, assert_no_excuses, run, unyielded
from tests.estimators.configurations import (
    ADVERSARIAL_LABELLED,
    CLASSIFIERS,
    CONFIGURATIONS,
    ESTIMATORS,
    LABELLED,
    PAIRED,
)

pytestmark = [pytest.mark.filterwarnings(each) for each in WARNINGS]

EVERY = CONFIGURATIONS | CLASSIFIERS | LABELLED | PAIRED | ADVERSARIAL_LABELLED
ALIKE = {
    "vae-fixed": "vae-shared",
    "vae-network": "vae",
    "vae-float64": "vae",
    "vae-free-bits": "vae",
    "vae-target": "vae",
    "vae-information": "vae",
    "vae-student": "vae",
    "vae-gated-dropout": "vae",
    "vae-sgd": "vae",
    "vae-dreg": "vae-iwae",
    "vae-aggregate": "vae-clusters",
    "vae-discrete-drawn": "vae-discrete",
    "adversarial-bayes-bernoulli": "adversarial-bayes",
    "autoencoder-poisson": "autoencoder",
    "mixture-tied": "mixture-full",
    "mixture-spherical": "mixture-diag",
    "mixture-tied_spherical": "mixture-tied_diag",
    "mixture-adam": "mixture-gradient",
    "mixture-prior": "mixture-warm",
    "bayesian-mixture-tied": "bayesian-mixture-full",
    "bayesian-mixture-diag": "bayesian-mixture-spherical",
    "bayesian-mixture-tied_diag": "bayesian-mixture-gradient",
    "factor-mixture-diagonal": "factor-mixture",
    "factor-mixture-shared": "factor-mixture-isotropic",
    "pca-two": "pca",
    "pca-mle": "pca-share",
    "factor-analysis-two": "factor-analysis",
    "factor-analysis-quartimax": "factor-analysis-varimax",
    "rbm-gaussian-cd": "rbm-gaussian",
    "rbm-linear-hidden": "rbm-gaussian-linear",
    "rbm-gaussian-relu": "rbm-gaussian-linear",
    "stack-one": "stack",
    "amortized-clusters": "amortized",
    "amortized-semi": "amortized-local",
    "classifier-random": "classifier",
    "classifier-gaussian": "classifier-lbfgs",
    "labelled-iwae": "labelled",
    "amortized-lines": "amortized-local",
    "amortized-laplace": "amortized-local",
    "amortized-aggressive": "amortized",
    "amortized-stopping": "vae-early-stopping",
    "gan-hinge": "gan",
    "gan-wasserstein": "gan",
    "gan-least-squares": "gan",
    "gan-conditional-wasserstein": "gan-conditional",
}
"""Configurations that differ from another one in a number or a formula, and not in what they do with arrays.

scikit-learn's checks, which are about arrays, run on the other one only; the package's own contract holds for all.
"""
CHECKED = {name: estimator for name, estimator in EVERY.items() if name not in ALIKE}


def test_every_public_estimator_has_configurations():
    assert {type(estimator) for estimator in EVERY.values()} == set(ESTIMATORS)


@parametrize_with_checks(list(CHECKED.values()))
def test_scikit_learn(estimator, check):
    run(check, estimator)


@pytest.mark.parametrize(("configuration", "check"), unyielded(CHECKED))
def test_scikit_learn_unyielded(configuration, check):
    estimator = clone(EVERY[configuration])
    run(getattr(estimator_checks, check), type(estimator).__name__, estimator)


@pytest.mark.parametrize("configuration", EVERY)
def test_no_tag_excuses_anything(configuration):
    assert_no_excuses(EVERY[configuration])


def test_a_skip_counts_as_a_failure():
    def skipped(estimator):
        raise SkipTest("no reason")

    with pytest.raises(pytest.fail.Exception, match="no reason"):
        run(skipped, None)
