"""Display of what is left of rows after they have passed through a model's latent variables."""

import numpy as np

from skgen._spec import check_count
from skgen.estimators._reconstruction import reconstructed
from skgen.inspection import _base, _images


class ReconstructionDisplay:
    """Rows and what a model rebuilds them to, as images; or the error of each column, where rows are a table.

    The error of a column is its mean squared error over the rows, as a share of its variance over them: 0 is a column
    rebuilt exactly, and 1 is what its mean alone reaches.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Rows. NaN, where a pixel is not known, shows the background.
    rebuilt : array-like of shape (n_samples, n_features)
        What they were rebuilt to.
    image_shape : tuple of int, default=None
        (height, width), or (channels, height, width), of a row that is an image; None shows errors of columns.
    feature_names : list of str, default=None
        Names of the columns.

    Attributes
    ----------
    errors : ndarray of shape (n_features,)
        Mean squared errors as shares of the variances; NaN for a column that does not vary.
    image_ : matplotlib AxesImage
        The sheet, where rows are images.
    bars_ : matplotlib BarContainer
        The errors, where rows are a table; none where a column does not vary.
    ax_, figure_ : matplotlib Axes and Figure
        Where they were drawn.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skgen import ProbabilisticPCA
    >>> from skgen.inspection import ReconstructionDisplay
    >>> X = load_iris().data
    >>> display = ReconstructionDisplay.from_estimator(ProbabilisticPCA(2).fit(X), X)
    >>> bool((display.errors < 0.2).all())
    True
    """

    def __init__(self, X, rebuilt, *, image_shape=None, feature_names=None):
        self.X = _base.checked_rows(X, missing=True)
        self.rebuilt = _base.checked_rows(rebuilt, "rebuilt", missing=True)
        if self.X.shape != self.rebuilt.shape:
            raise ValueError(f"X and rebuilt must have one shape, got {self.X.shape} and {self.rebuilt.shape}.")
        self.image_shape = image_shape
        self.feature_names = feature_names

    @classmethod
    def from_estimator(cls, estimator, X, *, image_shape=None, n_images=10, ax=None, **kwargs):
        """Rebuild rows, ``inverse_transform(transform(X))``, and show them or their errors.

        Parameters
        ----------
        estimator : object
            Fitted, with ``transform`` and ``inverse_transform``.
        X : array-like of shape (n_samples, n_features)
            Rows, as a rule held out.
        image_shape
            As in the class.
        n_images : int, default=10
            As in :meth:`plot`.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            Passed to ``ax.imshow`` or ``ax.barh``.

        Returns
        -------
        display : ReconstructionDisplay
            Drawn.
        """
        rebuilt = reconstructed(estimator, X)
        names = _base.names_of(estimator, np.shape(X)[1])
        return cls(X, rebuilt, image_shape=image_shape, feature_names=names).plot(ax, n_images=n_images, **kwargs)

    @property
    def errors(self):
        """Mean squared error of each column as a share of its variance."""
        variance = np.nanvar(self.X.astype(np.float64), axis=0)
        error = np.nanmean(np.square(self.rebuilt - self.X, dtype=np.float64), axis=0)
        return np.divide(error, variance, out=np.full_like(variance, np.nan), where=variance > 0)

    def plot(self, ax=None, *, n_images=10, **kwargs):
        """Show the first rows and what they were rebuilt to, or the errors of the columns.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        n_images : int, default=10
            Number of rows that are shown as images.
        **kwargs : dict
            Passed to ``ax.imshow`` (``vmin`` and ``vmax`` are in the units of pixels) or ``ax.barh``.

        Returns
        -------
        display : ReconstructionDisplay
            Itself.
        """
        if self.image_shape is None:
            return self._plot_errors(ax, kwargs)
        check_count(n_images, "n_images")
        pairs = np.concatenate([self.X[:n_images], self.rebuilt[:n_images]])
        images = _images.as_images(pairs, self.image_shape)
        n_columns = len(images) // 2
        ax = _base.on_axes(self, ax, _images.sheet_size(len(images), n_columns))
        options = (_images.grey(images) if images.ndim == 3 else {}) | kwargs
        self.image_ = _images.draw_sheet(ax, _images.sheet(images, n_columns), **options)
        _images.label_lines(ax, ["rows", "rebuilt"], images.shape[1])
        return self

    def _plot_errors(self, ax, options):
        errors = self.errors
        n = len(errors)
        names = self.feature_names or _base.names_of(None, n)
        ax = _base.on_axes(self, ax, (6, min(10, 1.2 + 0.25 * n)))
        self.bars_ = ax.barh(range(n), errors, **options)
        ax.axvline(1, color="0.5", linestyle="--", linewidth=1)
        if n <= _images.MOST_NAMES:
            ax.set_yticks(range(n), names)
        else:
            ax.set(ylabel="column")
        ax.invert_yaxis()
        ax.set(xlabel="squared error / variance")
        return self
