"""How much drawn rows resemble real ones, and whether they cover them."""

import numpy as np
import torch
from sklearn.utils import Bunch

from skgen._spec import check_count
from skgen.distributions.mean_discrepancy import cubic_kernel, mean_discrepancy
from skgen.estimators._arrays import as_tensor
from skgen.metrics._samples import check_samples, distance_blocks, feature_blocks, features_of


def precision_recall_density_coverage(X_real, X_generated, *, n_neighbors=5, feature_map=None):
    """Compare the supports of real and of drawn rows by balls around them.

    The ball of a row reaches to the k-th nearest other row of its own sample. Precision is the share of drawn rows in
    the ball of some real row, recall that of real rows in the ball of some drawn row. Density is the number of
    real balls that a drawn row lies in, divided by k, in the mean, and coverage the share of real rows with a drawn
    row in their ball. The last two are less at the mercy of outliers, whose balls are large.

    Parameters
    ----------
    X_real, X_generated : array-like of shape (n_samples, n_features) and (m_samples, n_features)
        Rows, more than ``n_neighbors`` each. Distances are Euclidean: scale columns of different units first.
    n_neighbors : int, default=5
        k.
    feature_map : callable, default=None
        Function of rows (n, n_features) that gives (n, n_outputs), such as the features of a network. Distances are
        taken between its outputs. It is called on blocks of rows.

    Returns
    -------
    result : Bunch
        ``precision``, ``recall`` and ``coverage`` from 0 to 1, and ``density``, near 1 for equal distributions and
        above where drawn rows crowd together.

    Notes
    -----
    Balls include their surface, so that in discrete data, where distances are tied, copies count as inside. All
    distances are computed, and none is kept: memory grows with the number of rows.

    References
    ----------
    Kynkaanniemi, Karras, Laine, Lehtinen and Aila (2019), "Improved precision and recall metric for assessing
    generative models", https://arxiv.org/abs/1904.06991

    Naeem, Oh, Uh, Choi and Yoo (2020), "Reliable fidelity and diversity metrics for generative models",
    https://arxiv.org/abs/2002.09797

    Examples
    --------
    >>> import numpy as np
    >>> from skgen.metrics import precision_recall_density_coverage
    >>> source = np.random.RandomState(0)
    >>> X = source.standard_normal((200, 2))
    >>> narrow = 0.1 * source.standard_normal((200, 2))
    >>> result = precision_recall_density_coverage(X, narrow)
    >>> float(result.precision), bool(result.recall < 0.2), bool(result.coverage < 0.2)
    (1.0, True, True)
    """
    check_count(n_neighbors, "n_neighbors")
    real, generated = check_samples(least=n_neighbors + 1, X_real=X_real, X_generated=X_generated)
    real, generated = features_of(real, feature_map, "X_real"), features_of(generated, feature_map, "X_generated")
    _check_as_wide(real, generated)
    radius, reach = _radii(real, n_neighbors), _radii(generated, n_neighbors)
    n_balls = np.zeros(len(generated))
    recalled, covered = np.zeros(len(real), dtype=bool), np.zeros(len(real), dtype=bool)
    for part, distance in distance_blocks(real, generated):
        inside = distance <= radius[part, None]
        n_balls += inside.sum(axis=0)
        covered[part] = inside.any(axis=1)
        recalled[part] = (distance <= reach).any(axis=1)
    return Bunch(
        precision=float((n_balls > 0).mean()),
        recall=float(recalled.mean()),
        density=float(n_balls.mean() / n_neighbors),
        coverage=float(covered.mean()),
    )


def _check_as_wide(real, generated):
    """ValueError where a feature map gives the two samples different numbers of features."""
    if real.shape[1] != generated.shape[1]:
        raise ValueError(
            f"feature_map gives {real.shape[1]} features of X_real, but {generated.shape[1]} of X_generated: it must "
            "give as many of both."
        )


def _radii(X, n_neighbors):
    """Squared distances of rows to their k-th nearest other row; the row itself is the first, at 0."""
    radii = [np.partition(distance, n_neighbors, axis=1)[:, n_neighbors] for _, distance in distance_blocks(X, X)]
    return np.concatenate(radii)


def frechet_distance(X_real, X_generated, *, feature_map=None):
    r"""Squared Frechet distance of the normal distributions that have the moments of two samples.

    .. math:: |m_1 - m_2|^2 + \mathrm{tr}(S_1 + S_2 - 2 (S_1^{1/2} S_2 S_1^{1/2})^{1/2})

    With features of the Inception network it is the FID. It sees means and covariances and nothing else.

    Parameters
    ----------
    X_real, X_generated : array-like of shape (n_samples, n_features) and (m_samples, n_features)
        Rows, at least 2 each.
    feature_map : callable, default=None
        Function of rows (n, n_features) that gives (n, n_outputs), such as the features of a network, whose moments
        are then compared. It is called on blocks of rows.

    Returns
    -------
    distance : float
        In squared units of the columns. Covariances are those of the samples, divided by n - 1.

    See Also
    --------
    kernel_distance : The same purpose without bias in small samples.

    Notes
    -----
    Finite samples of one distribution have a positive distance, of the order of n_features / n_samples: compare at
    equal numbers of rows, with the distance between two real samples beside it. Fewer rows than features are
    possible, since no matrix root is taken: the trace is a sum of singular values of triangular factors.

    References
    ----------
    Dowson and Landau (1982), "The Frechet distance between multivariate normal distributions",
    https://doi.org/10.1016/0047-259X(82)90077-X

    Heusel, Ramsauer, Unterthiner, Nessler and Hochreiter (2017), "GANs trained by a two time-scale update rule
    converge to a local Nash equilibrium", https://arxiv.org/abs/1706.08500

    Examples
    --------
    >>> import numpy as np
    >>> from skgen.metrics import frechet_distance
    >>> X = np.random.RandomState(0).standard_normal((100, 3))
    >>> round(frechet_distance(X, X + [0, 3, 4]), 6)  # moved by 5
    25.0
    """
    real, generated = check_samples(X_real=X_real, X_generated=X_generated)
    mean, factor = _moments(feature_blocks(real, feature_map, "X_real"))
    other_mean, other_factor = _moments(feature_blocks(generated, feature_map, "X_generated"))
    _check_as_wide(factor, other_factor)
    # With S = F'F the root in the formula has the singular values of F1 F2' as eigenvalues.
    overlap = np.linalg.svd(factor @ other_factor.T, compute_uv=False).sum()
    traces = (factor**2).sum() + (other_factor**2).sum()
    return float(((mean - other_mean) ** 2).sum() + max(0.0, traces - 2 * overlap))


def _moments(blocks):
    """Mean, and a factor F with F'F the covariance, of rows in blocks.

    A column of ones puts the mean in the first row of the triangle of a QR decomposition, and the scatter about it
    in the others; triangles of blocks are decomposed again.
    """
    triangle, shift, n_rows = None, None, 0
    for rows in blocks:
        n_rows += len(rows)
        shift = rows.mean(axis=0) if shift is None else shift
        table = np.column_stack([np.ones(len(rows)), rows - shift])
        triangle = np.linalg.qr(table if triangle is None else np.vstack([triangle, table]), mode="r")
    return shift + triangle[0, 1:] / triangle[0, 0], triangle[1:, 1:] / np.sqrt(n_rows - 1)


def kernel_distance(X_real, X_generated, *, feature_map=None):
    r"""Squared maximum mean discrepancy of two samples with the cubic kernel :math:`(x \cdot y / d + 1)^3`.

    With features of the Inception network it is the KID, here of all pairs of rows and not of random subsets, which
    has less variance.

    Parameters
    ----------
    X_real, X_generated : array-like of shape (n_samples, n_features) and (m_samples, n_features)
        Rows, at least 2 each.
    feature_map : callable, default=None
        Function of rows (n, n_features) that gives (n, n_outputs), such as the features of a network, which are then
        compared; d is the number of its outputs. It is called on blocks of rows.

    Returns
    -------
    distance : float
        Unbiased: 0 in the mean where the distributions are equal, so that it can be negative.

    See Also
    --------
    mmd_test : A kernel that sees all differences, and a p-value.

    Notes
    -----
    Time grows with the square of the number of rows, memory with the number of rows.

    References
    ----------
    Binkowski, Sutherland, Arbel and Gretton (2018), "Demystifying MMD GANs", https://arxiv.org/abs/1801.01401

    Examples
    --------
    >>> import numpy as np
    >>> from skgen.metrics import kernel_distance
    >>> source = np.random.RandomState(0)
    >>> X, Y, Z = source.standard_normal((3, 500, 4))
    >>> bool(kernel_distance(X, 2 * Z) > 10 * abs(kernel_distance(X, Y)))
    True
    """
    real, generated = check_samples(X_real=X_real, X_generated=X_generated)
    x, y = (as_tensor(features_of(X, feature_map, name)) for X, name in ((real, "X_real"), (generated, "X_generated")))
    _check_as_wide(x, y)
    with torch.no_grad():
        return float(mean_discrepancy(x, y, cubic_kernel))
