"""scikit-learn's own checks over every public estimator, with no expected failure and no skip."""

from unittest import SkipTest

import pytest
from sklearn.base import clone
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from tests.contracts.checks import WARNINGS, assert_no_excuses, run, unyielded
from tests.estimators.configurations import CLASSIFIERS, CONFIGURATIONS, ESTIMATORS, LABELLED

pytestmark = [pytest.mark.filterwarnings(each) for each in WARNINGS]

EVERY = CONFIGURATIONS | CLASSIFIERS | LABELLED


def test_every_public_estimator_has_configurations():
    assert {type(estimator) for estimator in EVERY.values()} == set(ESTIMATORS)


@parametrize_with_checks(list(EVERY.values()))
def test_scikit_learn(estimator, check):
    run(check, estimator)


@pytest.mark.parametrize(("configuration", "check"), unyielded(EVERY))
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
