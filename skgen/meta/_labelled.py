"""What meta-estimators for rows with classes or numbers beside them share."""

import numpy as np

from skgen.meta._inner import fitted_clone


def fitted_class(estimator, X, sample_weight, name):
    """A clone, fitted to the rows of a class; errors tell its name."""
    try:
        return fitted_clone(estimator, X, None, sample_weight)
    except ValueError as error:
        raise ValueError(
            f"The density of class {np.asarray(name).item()!r}, of n_samples = {len(X)}: {error}"
        ) from error
