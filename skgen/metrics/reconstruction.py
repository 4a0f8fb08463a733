"""How well rows and images survive being coded and decoded."""

import numpy as np
import torch
from sklearn.utils import check_array
from torch import nn

from skgen._spec import check_number
from skgen.distributions import similarity
from skgen.estimators._arrays import as_tensor, tiles
from skgen.estimators._images import channels_first
from skgen.estimators._reconstruction import check_reconstructs, reconstructed
from skgen.metrics._samples import check_finite, check_samples, check_squares

RANGE_ROUNDING = 1e-6
"""Share by which pixels may exceed their range, as those in single precision do."""


def mean_squared_reconstruction(estimator, X, y=None):
    """Mean squared error of rows after ``transform`` and ``inverse_transform``.

    Parameters
    ----------
    estimator : object
        Fitted, with both methods: those of skgen with ``inverse_transform``, scikit-learn's PCA, pipelines of them.
    X : array-like of shape (n_samples, n_features)
        Rows.
    y : Ignored
        Present so that the function has the signature of a scorer; less is better.

    Returns
    -------
    error : float
        In squared units of the columns, averaged over rows and columns.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.decomposition import PCA
    >>> from skgen.metrics import mean_squared_reconstruction
    >>> X = np.random.RandomState(0).standard_normal((50, 3))
    >>> pca = PCA(2).fit(X)
    >>> error = mean_squared_reconstruction(pca, X)
    >>> bool(np.isclose(3 * error, pca.noise_variance_ * 49 / 50))  # what the third direction explains
    True
    """
    check_reconstructs(estimator)
    rows = check_array(X, dtype=np.float64, input_name="X")
    error = float(np.mean((reconstructed(estimator, X) - rows) ** 2))
    return check_finite(error, "The mean squared error", "Look at what inverse_transform gives, or scale X.")


def structural_similarity(X, Y, *, image_shape, data_range, sigma=1.5):
    r"""Mean structural similarity of two lists of images, which compares local means, variances and covariances.

    .. math:: \frac{(2 \mu_x \mu_y + c_1) (2 \sigma_{xy} + c_2)}
        {(\mu_x^2 + \mu_y^2 + c_1) (\sigma_x^2 + \sigma_y^2 + c_2)},\quad c_1 = (0.01 R)^2, c_2 = (0.03 R)^2

    in a window around each pixel, averaged over the pixels whose window lies in the image, channels and images.

    Parameters
    ----------
    X, Y : array-like of shape (n_samples, n_features)
        Images, one per row; row i of X is compared with row i of Y.
    image_shape : tuple of int
        ``(height, width)`` or ``(channels, height, width)``, in the order of the columns.
    data_range : float
        R, the largest value that a pixel can have less the smallest, such as 1.0 or 255.
    sigma : float or None, default=1.5
        Standard deviation of the Gaussian window in pixels; the window ends at 3.5 of them, so that 1.5 needs
        11 x 11 pixels. None stands for windows of 7 x 7 equal weights with unbiased variances.

    Returns
    -------
    similarity : float
        1 where all images are equal, and at least -1.

    Notes
    -----
    ``skgen.distributions.similarity.structural_similarity`` is the same function of tensors, one value per image,
    with gradients. scikit-image's function gives the same numbers, with ``gaussian_weights=True, sigma=sigma,
    use_sample_covariance=False``, or with its defaults for ``sigma=None``.

    References
    ----------
    Wang, Bovik, Sheikh and Simoncelli (2004), "Image quality assessment: from error visibility to structural
    similarity", https://doi.org/10.1109/TIP.2003.819861

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from skgen.metrics import structural_similarity
    >>> X = load_digits().data
    >>> pca = PCA(20).fit(X)
    >>> blurred = pca.inverse_transform(pca.transform(X))
    >>> round(structural_similarity(X, blurred, image_shape=(8, 8), data_range=16, sigma=0.8), 2)
    0.95
    """
    check_number(data_range, "data_range", above=0, below=np.inf)
    if sigma is not None:
        check_number(sigma, "sigma, if not None,", above=0, below=np.inf)
    X, Y = _check_pairs(X, Y)
    _check_range(X, Y, data_range)
    x, y = (as_tensor(channels_first(rows, image_shape)) for rows in (X, Y))
    size = similarity.window_size(sigma)
    if min(x.shape[2:]) < size:
        raise ValueError(
            f"sigma={sigma!r} needs images of at least {size} x {size} pixels, got image_shape={image_shape!r}. Choose "
            "a smaller sigma."
        )
    total = 0.0
    for part in tiles(len(x), 20 * x[0].numel()):  # five images for each pair, filtered, and what is made of them
        with torch.no_grad():
            values = similarity.structural_similarity(x[part], y[part], data_range=float(data_range), sigma=sigma)
        total += float(values.mean(1).sum())
    return total / len(x)


def perceptual_distance(X, Y, *, network, image_shape=None):
    """Mean distance of two lists of images, or rows, in the features of a network.

    Feature vectors are scaled to length 1 at each place; their squared distances are averaged over places and summed
    over layers.

    Parameters
    ----------
    X, Y : array-like of shape (n_samples, n_features)
        Images, one per row; row i of X is compared with row i of Y.
    network : callable
        Your own function of a tensor that gives a tensor (n, n_channels, ...), or a list of them, one for each layer.
        A module is called in evaluation mode, in the dtype and on the device of its parameters.
    image_shape : tuple of int, default=None
        ``(height, width)`` or ``(channels, height, width)``, in the order of the columns; the network is then given
        images (n, channels, height, width). None gives it rows (n, n_features).

    Returns
    -------
    distance : float
        0 for equal features, at most 4 per layer.

    Notes
    -----
    No network comes with the package. ``skgen.distributions.similarity.feature_distance`` is the same function of
    features, one value per row, with gradients.

    References
    ----------
    Zhang, Isola, Efros, Shechtman and Wang (2018), "The unreasonable effectiveness of deep features as a perceptual
    metric", https://arxiv.org/abs/1801.03924

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from skgen.metrics import perceptual_distance
    >>> edges = torch.nn.Conv2d(1, 2, 2, bias=False).eval()
    >>> with torch.no_grad():
    ...     filters = torch.tensor([[[[1.0, -1], [1, -1]]], [[[1, 1], [-1, -1]]]])
    ...     _ = edges.weight.copy_(filters)
    >>> X = np.random.RandomState(0).uniform(size=(10, 64))
    >>> near = perceptual_distance(X, X + 3, network=edges, image_shape=(8, 8))  # brighter, with the same edges
    >>> far = perceptual_distance(X, X[::-1], network=edges, image_shape=(8, 8))
    >>> bool(near < 1e-6 < 0.1 < far)
    True
    """
    if getattr(network, "training", False):
        raise ValueError("network is in training mode, where it draws noise or learns. Call network.eval() first.")
    X, Y = _check_pairs(X, Y)
    if image_shape is not None:
        X, Y = channels_first(X, image_shape), channels_first(Y, image_shape)
    parameter = next(network.parameters(), None) if isinstance(network, nn.Module) else None
    total = 0.0
    for part in tiles(len(X), 100 * X[0].size):  # features take more memory than images
        tensors = (as_tensor(rows[part]) for rows in (X, Y))
        with torch.no_grad():
            features = [similarity.layers_of(network, x if parameter is None else x.to(parameter)) for x in tensors]
            total += float(similarity.feature_distance(*features).sum())
    return check_finite(total / len(X), "The distance", "Look at what network gives for X and Y.")


def _check_pairs(X, Y):
    """Rows of both, as many of one as of the other."""
    X, Y = check_samples(least=1, X=X, Y=Y)
    if len(X) != len(Y):
        raise ValueError(
            f"X and Y must have the same number of rows, which are compared in pairs, got {len(X)}, {len(Y)}."
        )
    return X, Y


def _check_range(X, Y, data_range):
    """ValueError where both lists of images have a wider range than pixels can have, or squares are beyond float64."""
    for values, name in ((np.array([data_range]), "data_range"), (X, "X"), (Y, "Y")):
        check_squares(values, name)
    spread = min(np.ptp(X), np.ptp(Y))
    if spread > data_range * (1 + RANGE_ROUNDING):
        raise ValueError(
            f"data_range={data_range!r} is less than the range of the numbers in X and in Y, {spread:.6g}: pass that "
            "of the pixels, such as 255."
        )
