"""What the tests of scikit-learn's own checks share."""

from unittest import SkipTest

import pytest

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
FOR_ALL = ("check_dataframe_column_names_consistency", "check_param_validation")
"""Those of them that are for estimators without transform, too."""
WARNINGS = (
    # scikit-learn feeds rows outside [0, 1], fractions, constant columns and five epochs of training.
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:Values of X (outside|that are no whole numbers):UserWarning",
    "ignore:Constant column:UserWarning",
    # Some checks fit a data frame and transform an array, or the other way round.
    "ignore:X (has|does not have valid) feature names:UserWarning",
)
"""Filters of warnings that checks provoke."""


def unyielded(configurations):
    """Names of configurations and of the unyielded checks that are for them."""
    return [
        (name, check)
        for name, estimator in configurations.items()
        for check in UNYIELDED
        if hasattr(estimator, "transform") or check in FOR_ALL
    ]


def run(check, *arguments):
    """Run a check; a skip is a failure."""
    try:
        check(*arguments)
    except SkipTest as skip:
        pytest.fail(f"skipped: {skip}")


def assert_no_excuses(estimator):
    """No tag keeps checks from being run."""
    tags = estimator.__sklearn_tags__()
    assert not tags.non_deterministic
    assert not tags.no_validation
    assert not getattr(tags, "_skip_test", False)
