"""scikit-learn's own checks over every meta-estimator, with no expected failure and no skip."""

import inspect

import pytest
from sklearn.base import clone
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from tests.contracts.checks import WARNINGS, assert_no_excuses, run, unyielded
from tests.meta.configurations import CONFIGURATIONS, META

pytestmark = [pytest.mark.filterwarnings(each) for each in WARNINGS]


def test_every_meta_estimator_has_configurations_with_its_default_and_with_those_of_scikit_learn():
    assert {type(estimator) for estimator in CONFIGURATIONS.values()} == set(META)
    foreign = {type(estimator) for name, estimator in CONFIGURATIONS.items() if "sklearn" in name}
    assert foreign == set(META)


@parametrize_with_checks(list(CONFIGURATIONS.values()))
def test_scikit_learn(estimator, check):
    run(check, estimator)


@pytest.mark.parametrize(("configuration", "check"), unyielded(CONFIGURATIONS))
def test_scikit_learn_unyielded(configuration, check):
    estimator = clone(CONFIGURATIONS[configuration])
    run(getattr(estimator_checks, check), type(estimator).__name__, estimator)


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_no_tag_excuses_anything(configuration):
    assert_no_excuses(CONFIGURATIONS[configuration])


@pytest.mark.parametrize("estimator", META)
def test_parameters_are_documented_in_the_order_of_the_signature(estimator):
    section = inspect.getdoc(estimator).split("Parameters\n----------\n")[1].split("\nAttributes\n")[0]
    entries = [line.split(" : ")[0] for line in section.splitlines() if " : " in line and not line.startswith(" ")]
    documented = [name.strip() for entry in entries for name in entry.split(",")]
    assert documented == list(inspect.signature(estimator).parameters)
