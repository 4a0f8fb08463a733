"""What latent variables and clusters have to do with known factors of the data."""

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import mutual_info_score
from sklearn.metrics.cluster import contingency_matrix
from sklearn.utils import check_array, column_or_1d

from skgen._spec import check_count


def cluster_accuracy(y_true, y_pred):
    """Share of rows in the cluster of their class, with clusters and classes matched one to one as well as possible.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Classes.
    y_pred : array-like of shape (n_samples,)
        Clusters, with labels of any kind.

    Returns
    -------
    accuracy : float
        From 0 to 1. Of more clusters than classes those without a partner count as wrong, and likewise classes.

    See Also
    --------
    sklearn.metrics.adjusted_rand_score : 0 in the mean for clusters drawn at random.

    References
    ----------
    Xie, Girshick and Farhadi (2016), "Unsupervised deep embedding for clustering analysis",
    https://arxiv.org/abs/1511.06335

    Examples
    --------
    >>> from skgen.metrics import cluster_accuracy
    >>> cluster_accuracy(["a", "a", "b", "b"], [1, 1, 0, 1])
    0.75
    """
    y_true, y_pred = column_or_1d(y_true), column_or_1d(y_pred)
    if len(y_true) != len(y_pred) or not len(y_true):
        raise ValueError(
            f"y_true and y_pred must have the same number of labels, at least 1, got {len(y_true)} and {len(y_pred)}."
        )
    for labels, name in ((y_true, "y_true"), (y_pred, "y_pred")):
        _check_present(labels, name)
        if labels.dtype.kind == "f" and (labels % 1 != 0).any():
            raise ValueError(f"{name} must have labels, got numbers that are not whole. Cut them into bins beforehand.")
    table = contingency_matrix(y_true, y_pred)
    return float(table[linear_sum_assignment(-table)].sum() / len(y_true))


def _check_present(labels, name):
    """ValueError where labels are missing."""
    if any(label is None or label != label for label in labels.ravel().tolist()):
        raise ValueError(f"{name} must have a label for each row, but some are missing. Leave those rows out.")


def mutual_information_gap(Z, factors, *, n_bins=20):
    r"""How much more the best latent variable tells about a known factor than the second best does.

    .. math:: \frac1K \sum_k \frac{I(z_{(1)}; v_k) - I(z_{(2)}; v_k)}{H(v_k)}

    Parameters
    ----------
    Z : array-like of shape (n_samples, n_components)
        Latent variables, at least 2, such as ``transform`` gives. Each is cut into bins of equally many rows.
    factors : array-like of shape (n_samples,) or (n_samples, n_factors)
        Known factors of the rows, discrete: equal values are one value.
    n_bins : int, default=20
        Bins of a latent variable.

    Returns
    -------
    gap : float
        From 0, where two variables tell the same, to 1, where one variable determines each factor and no other tells
        of it. Informations are those of the counts, which are too high by about
        (n_bins - 1) (n_values - 1) / 2 n_samples nats each, so that their difference is off by less.

    References
    ----------
    Chen, Li, Grosse and Duvenaud (2018), "Isolating sources of disentanglement in variational autoencoders",
    https://arxiv.org/abs/1802.04942

    Examples
    --------
    >>> import numpy as np
    >>> from skgen.metrics import mutual_information_gap
    >>> source = np.random.RandomState(0)
    >>> factor = source.randint(4, size=5000)
    >>> Z = np.column_stack([factor + 0.1 * source.standard_normal(5000), source.standard_normal(5000)])
    >>> bool(mutual_information_gap(Z, factor) > 0.95)
    True
    """
    check_count(n_bins, "n_bins", least=2)
    Z = check_array(Z, dtype=np.float64, input_name="Z", ensure_min_samples=2, ensure_min_features=2)
    factors = np.asarray(factors)
    factors = factors[:, None] if factors.ndim == 1 else factors
    if factors.ndim != 2 or len(factors) != len(Z) or not factors.shape[1]:
        raise ValueError(
            f"factors must have one row for each of the {len(Z)} rows of Z, got the shape {factors.shape}."
        )
    _check_present(factors, "factors")
    binned = np.column_stack([_bins(column, n_bins) for column in Z.T])
    return float(np.mean([_gap(binned, factor, k) for k, factor in enumerate(factors.T)]))


def _bins(values, n_bins):
    """Numbers of bins of about equally many rows; equal values share a bin."""
    edges = np.quantile(values, np.arange(1, n_bins) / n_bins)
    return np.searchsorted(edges, values, side="right")


def _gap(binned, factor, k):
    values, labels = np.unique(factor, return_inverse=True)
    if len(values) == 1:
        raise ValueError(
            f"Column {k} of factors has a single value, {values[0]}, of which nothing can tell. Leave it out."
        )
    if len(values) > len(factor) / 2:
        raise ValueError(
            f"Column {k} of factors has {len(values)} values in {len(factor)} rows, too many to count how often they "
            "come together with others. Cut it into bins."
        )
    second, first = np.sort([mutual_info_score(labels, column) for column in binned.T])[-2:]
    return (first - second) / mutual_info_score(labels, labels)  # the entropy
