"""What meta-estimators for rows with classes or numbers beside them share."""

import numpy as np
from sklearn.utils.validation import validate_data

from skgen.meta._inner import allows_nan, fitted_clone


def checked(meta, X, y, estimator, *, reset, **checks):
    """Rows and what stands beside them, checked as far as the estimator inside would."""
    finite = "allow-nan" if allows_nan(estimator) else True
    checks |= {"dtype": [np.float64, np.float32], "ensure_all_finite": finite}
    return validate_data(meta, X, y, reset=reset, **checks)


def fitted_class(estimator, X, sample_weight, name):
    """A clone, fitted to the rows of a class; errors tell its name."""
    try:
        return fitted_clone(estimator, X, None, sample_weight)
    except ValueError as error:
        raise ValueError(
            f"The density of class {np.asarray(name).item()!r}, of n_samples = {len(X)}: {error}"
        ) from error
