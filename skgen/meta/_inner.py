"""What meta-estimators do with the estimator inside."""

import numpy as np
from sklearn import config_context
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter, validate_data

from skgen.estimators._density_adapter import unwrapped
from skgen.estimators._sklearn import _check_sample_weight


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


def checked_rows(meta, X, inside, *, reset, **checks):
    """Rows, and ``y`` beside them where given, checked as far as all estimators inside would."""
    finite = "allow-nan" if all(allows_nan(each) for each in inside) else True
    checks |= {"dtype": [np.float64, np.float32], "ensure_all_finite": finite}
    return validate_data(meta, X, reset=reset, **checks)


def fitted_clone(estimator, X, y=None, sample_weight=None):
    """A clone, fitted to the rows whose weight is not 0; a frozen estimator stays as it is."""
    if sample_weight is None:
        return clone(estimator).fit(X, y)
    present = sample_weight > 0
    given = weight_parameters(estimator, sample_weight[present])
    # Weights go to whatever takes them; no step of a pipeline inside has to ask for them.
    with config_context(enable_metadata_routing=False):
        return clone(estimator).fit(X[present], None if y is None else y[present], **given)


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
