"""What meta-estimators do with the estimator inside."""

import numpy as np
from sklearn import config_context
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils import check_X_y, get_tags
from sklearn.utils.validation import has_fit_parameter, validate_data

from skgen.estimators._columns import ColumnsEstimator
from skgen.estimators._density_adapter import unwrapped
from skgen.estimators._sklearn import _check_sample_weight, _safe_indexing
from skgen.estimators._tables import NUMERIC, table_of


class WeightedFit:
    """Mixin of meta-estimators whose ``fit`` takes the weights of rows where the estimator inside does.

    They are no parameter in the signature, since it depends on the estimator inside whether there is one.
    """

    __metadata_request__fit = {"sample_weight": None}

    def _fit_weight(self, X, fit_params):
        """Weights of rows from the keywords of ``fit``; None where there are none."""
        unknown = sorted(set(fit_params) - {"sample_weight"})
        if unknown:
            raise TypeError(f"{type(self).__name__}.fit takes the keyword 'sample_weight' only, got {unknown}.")
        weight = fit_params.get("sample_weight")
        return None if weight is None else _check_sample_weight(weight, X, dtype=np.float64, ensure_non_negative=True)


def allows_nan(estimator):
    """Whether an estimator takes rows with missing entries."""
    estimator = unwrapped(estimator)
    if isinstance(estimator, Pipeline):
        return all(step in (None, "passthrough") or allows_nan(step) for _, step in estimator.steps)
    return get_tags(estimator).input_tags.allow_nan


def takes_strings(estimator):
    """Whether an estimator takes columns of text."""
    return get_tags(unwrapped(estimator)).input_tags.string


def takes_tables(estimator):
    """Whether an estimator takes rows as a table, whose columns have names and may be of text or categories."""
    return isinstance(unwrapped(estimator), ColumnsEstimator) or takes_strings(estimator)


def checked_rows(meta, X, inside, *, reset, tables=False, **checks):
    """Rows, and ``y`` beside them where given, checked as far as all estimators inside would.

    They are an array of numbers, or, with ``tables``, the table that was given, where all estimators inside take one.
    """
    table = table_of(X)
    if table is not None and tables and all(takes_tables(each) for each in inside):
        validate_data(meta, X, reset=reset, skip_check_array=True)
        if "y" not in checks:
            return table.X
        stand_in = np.zeros((len(table.X), 1))
        return table.X, check_X_y(stand_in, estimator=meta, **checks)[1]
    finite = "allow-nan" if all(allows_nan(each) for each in inside) else True
    checks = {"dtype": [np.float64, np.float32], "ensure_all_finite": finite} | checks
    try:
        return validate_data(meta, X, reset=reset, **checks)
    except ValueError as error:
        if "could not convert" not in str(error) or table is None:
            raise
        raise _no_numbers(meta, table, inside) from error


def _no_numbers(meta, table, inside):
    named = [column.name for column in table.columns if column.kind not in NUMERIC]
    return ValueError(
        f"Columns {named} of X are not of numbers, which {type(meta).__name__} with "
        f"{', '.join(sorted({type(unwrapped(each)).__name__ for each in inside}))} needs. Encode them. "
        "GenerativeClassifier, DensitySelector and GenerativeOutlierDetector take text and categories as they are, if "
        "all models in them do, as VariationalAutoencoder(likelihood='auto'), and nothing is reconstructed."
    )


def some_rows(X, index):
    """Rows of an array or a table by numbers or a mask."""
    return _safe_indexing(X, index)


def fitted_clone(estimator, X, y=None, sample_weight=None):
    """A clone, fitted to the rows whose weight is not 0; a frozen estimator stays as it is."""
    if sample_weight is None:
        return clone(estimator).fit(X, y)
    present = sample_weight > 0
    given = weight_parameters(estimator, sample_weight[present])
    # Weights go to whatever takes them; no step of a pipeline inside has to ask for them.
    with config_context(enable_metadata_routing=False):
        return clone(estimator).fit(some_rows(X, present), None if y is None else y[present], **given)


def weight_parameters(estimator, sample_weight):
    """Keywords of ``fit`` that hand weights of rows to an estimator; ValueError where it takes none."""
    if isinstance(estimator, FrozenEstimator):
        return {}
    if isinstance(estimator, (GridSearchCV, RandomizedSearchCV)):
        return weight_parameters(estimator.estimator, sample_weight)
    if isinstance(estimator, Pipeline):
        return {
            f"{name}__{key}": value
            for place, (name, step) in enumerate(estimator.steps)
            if place == len(estimator.steps) - 1 or has_fit_parameter(step, "sample_weight")
            for key, value in weight_parameters(step, sample_weight).items()
        }
    if not has_fit_parameter(estimator, "sample_weight") and not isinstance(estimator, WeightedFit):
        raise ValueError(
            f"sample_weight was given, but the fit of {type(estimator).__name__} takes no weights. Leave them out, or "
            "use an estimator that takes them, as those of skgen do."
        )
    return {"sample_weight": sample_weight}
