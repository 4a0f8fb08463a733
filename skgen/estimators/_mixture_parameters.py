"""A mixture's parameters as users write and read them, and as its model has them."""

import numpy as np
import torch
from sklearn.mixture import GaussianMixture
from sklearn.utils import check_array

from skgen.distributions.covariance import COVARIANCES


def shown(covariance, array):
    """Covariances (groups, ...) in the shape that users read."""
    array = array[..., 0] if covariance.pooled else array
    return array[0] if covariance.tied else array


def checked(value, name, shape):
    """A parameter as a float64 array, after its shape and its values have been looked at."""
    wrong = f"The parameter {name!r} should have the shape {shape} and finite values, got"
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{wrong} {value!r}.") from error
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"{wrong} {array.shape}.")
    return array


def log_weights(value, name, k):
    """Logarithms of weights as a tensor, after these have been looked at; a weight of 0 gets the smallest number."""
    array = checked(value, name, (k,))
    if not (array.min() >= 0 and np.isclose(array.sum(), 1)):
        raise ValueError(f"The parameter {name!r} should hold shares that add up to 1, got {value!r}.")
    return torch.tensor(array).clamp_min(np.finfo(np.float64).tiny).log()


def in_groups(covariance, array, d, name):
    """Covariances, or precisions, as users write them, as a tensor (groups, ...); positive definite or an error."""
    tensor = torch.tensor(array)
    tensor = tensor.unsqueeze(0) if covariance.tied else tensor
    if covariance.pooled:
        tensor = tensor.unsqueeze(-1).expand(-1, d)
    matrices = covariance.matrices(tensor)
    symmetric = torch.allclose(matrices, matrices.mT)
    if not symmetric or bool((torch.linalg.cholesky_ex(matrices).info != 0).any()):
        raise ValueError(f"The parameter {name!r} should be symmetric and positive definite.")
    return tensor


def start(estimator, model):
    """The parameters to start from that an estimator was given, as the model has them."""
    k, d, structure = estimator.n_components, model.n_features, model.covariance
    given = {}
    if estimator.weights_init is not None:
        given["log_weights"] = log_weights(estimator.weights_init, "weights_init", k)
    if estimator.means_init is not None:
        given["means"] = torch.tensor(checked(estimator.means_init, "means_init", (k, d)) - estimator.center_)
    if estimator.precisions_init is not None:
        precisions = checked(estimator.precisions_init, "precisions_init", structure.shape(k, d))
        given["covariances"] = structure.precision(in_groups(structure, precisions, d, "precisions_init"))[0]
    return given


def to_sklearn(fitted, structure, parameters):
    """scikit-learn's mixture with the parameters of a fitted one."""
    kind = fitted._covariance_type
    expressed = kind if kind in ("full", "diag", "spherical") else "tied" if structure.tied else "full"
    covariance, covariances = COVARIANCES[expressed], parameters["covariances"]
    covariances = covariances if expressed == kind else structure.matrices(covariances)
    mixture = GaussianMixture(len(fitted.weights_), covariance_type=expressed, reg_covar=fitted.reg_covar)
    mixture.weights_, mixture.means_ = fitted.weights_ / fitted.weights_.sum(), fitted.means_
    forms = {
        "covariances_": covariances,
        "precisions_": covariance.precision(covariances)[0],
        "precisions_cholesky_": covariance.whitening(covariances),
    }
    for name, value in forms.items():
        setattr(mixture, name, shown(covariance, value.numpy()).astype(fitted.means_.dtype))
    for name in ("converged_", "n_iter_", "lower_bound_", "lower_bounds_", "n_features_in_", "feature_names_in_"):
        if hasattr(fitted, name):
            setattr(mixture, name, getattr(fitted, name))
    return mixture


def responsibilities(X, n_components):
    """Responsibilities as an array, after their number has been looked at."""
    X = check_array(X, dtype=[np.float64, np.float32])
    if X.shape[1] != n_components:
        raise ValueError(f"X has {X.shape[1]} columns, but the mixture has n_components_ = {n_components}.")
    return X
