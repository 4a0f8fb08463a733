"""scikit-learn's own checks over every public estimator, with no expected failure and no skip."""

from unittest import SkipTest

import pytest
from sklearn.base import clone
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from tests.estimators.configurations import CLASSIFIERS, CONFIGURATIONS, ESTIMATORS

# scikit-learn feeds rows outside [0, 1], constant columns and five epochs of training.
pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:Values of X outside:UserWarning",
    "ignore:Constant column:UserWarning",
    # Some checks fit a data frame and transform an array, or the other way round.
    "ignore:X (has|does not have valid) feature names:UserWarning",
)

# Those that exist and that nobody yields; check_inplace_ensure_writeable is for a `copy` parameter, which no
# estimator here has.
UNYIELDED = [
    "check_dataframe_column_names_consistency",
    "check_get_feature_names_out_error",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_param_validation",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
]


EVERY = CONFIGURATIONS | CLASSIFIERS
CASES = [
    (name, check)
    for name, estimator in EVERY.items()
    for check in UNYIELDED
    if hasattr(estimator, "transform")
    or check in ("check_dataframe_column_names_consistency", "check_param_validation")
]


def run(check, *arguments):
    """Run a check; a skip is a failure."""
    try:
        check(*arguments)
    except SkipTest as skip:
        pytest.fail(f"skipped: {skip}")


def test_every_public_estimator_has_configurations():
    assert {type(estimator) for estimator in EVERY.values()} == set(ESTIMATORS)


@parametrize_with_checks(list(EVERY.values()))
def test_scikit_learn(estimator, check):
    run(check, estimator)


@pytest.mark.parametrize(("configuration", "check"), CASES)
def test_scikit_learn_unyielded(configuration, check):
    estimator = clone(EVERY[configuration])
    run(getattr(estimator_checks, check), type(estimator).__name__, estimator)


@pytest.mark.parametrize("configuration", EVERY)
def test_no_tag_excuses_anything(configuration):
    tags = EVERY[configuration].__sklearn_tags__()
    assert not tags.non_deterministic
    assert not tags.no_validation
    assert not getattr(tags, "_skip_test", False)


def test_a_skip_counts_as_a_failure():
    def skipped(estimator):
        raise SkipTest("no reason")

    with pytest.raises(pytest.fail.Exception, match="no reason"):
        run(skipped, None)
