"""Rows that pass through the latent variables of any estimator which gives them back."""

import numpy as np

from skgen.estimators._scalers import unwrapped


def check_reconstructs(estimator):
    """TypeError where an estimator, fitted or not, has no way to and from its latent variables."""
    estimator = unwrapped(estimator)
    for method in ("transform", "inverse_transform"):
        if not hasattr(estimator, method):
            raise TypeError(
                f"{type(estimator).__name__} has no {method}. Estimators that reconstruct rows: those of skgen with "
                "inverse_transform, scikit-learn's decompositions that have one, such as PCA, and pipelines of these."
            )


def reconstructed(estimator, X):
    """Rows after ``transform`` and ``inverse_transform`` of a fitted estimator, an array of their shape."""
    check_reconstructs(estimator)
    estimator = unwrapped(estimator)
    rebuilt = np.asarray(estimator.inverse_transform(estimator.transform(X)))
    if rebuilt.shape != np.shape(X):
        raise ValueError(
            f"{type(estimator).__name__}.inverse_transform gives an array of shape {rebuilt.shape} for rows of shape "
            f"{np.shape(X)}: it must give them back in their own columns."
        )
    return rebuilt
