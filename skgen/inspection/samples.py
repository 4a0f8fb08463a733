"""Display of rows that a model draws."""

import numpy as np

from skgen._spec import check_count
from skgen.estimators._density_adapter import draw
from skgen.inspection import _base, _images

N_IMAGES, N_POINTS = 60, 500
"""Draws that are shown by default, as images and as points."""


class SamplesDisplay:
    """Draws of a model, as a sheet of images or as points in the plane of two columns, beside rows if given.

    Parameters
    ----------
    samples : array-like of shape (n_samples, n_features)
        What to show. NaN, where a pixel is not known, shows the background.
    X : array-like of shape (n_rows, n_features), default=None
        Rows to compare with, above the draws where they are images, behind them where they are points.
    image_shape : tuple of int, default=None
        (height, width), or (channels, height, width), of a row that is an image; None shows points.
    columns : tuple of int, default=(0, 1)
        The two columns that points show.
    feature_names : list of str, default=None
        Names of the columns.

    Attributes
    ----------
    image_ : matplotlib AxesImage
        The sheet, where rows are images.
    points_, row_points_ : matplotlib PathCollection
        Draws and rows (None without X), where they are points.
    ax_, figure_ : matplotlib Axes and Figure
        Where they were drawn.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skgen import GaussianMixture
    >>> from skgen.inspection import SamplesDisplay
    >>> X = load_iris().data
    >>> mixture = GaussianMixture(3, random_state=0).fit(X)
    >>> SamplesDisplay.from_estimator(mixture, X, columns=(2, 3), random_state=0).samples.shape
    (150, 4)
    """

    def __init__(self, samples, X=None, *, image_shape=None, columns=(0, 1), feature_names=None):
        self.samples = _base.checked_rows(samples, "samples", missing=True)
        self.X = None if X is None else _base.checked_rows(X, missing=True)
        if X is not None and self.X.shape[1] != self.samples.shape[1]:
            raise ValueError(
                f"X must have the {self.samples.shape[1]} columns of the samples, got {self.X.shape[1]} columns."
            )
        self.image_shape = image_shape
        self.columns = columns
        self.feature_names = feature_names

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X=None,
        *,
        n_samples=None,
        image_shape=None,
        columns=(0, 1),
        random_state=None,
        n_columns=None,
        ax=None,
        **kwargs,
    ):
        """Draw rows from a fitted estimator, and show them.

        Parameters
        ----------
        estimator : object
            Fitted, with a way to draw rows.
        X : array-like of shape (n_rows, n_features), default=None
            Rows to compare with.
        n_samples : int, default=None
            Number of draws; None is 60 images, or as many points as X has rows (500 without X).
        image_shape, columns
            As in the class.
        random_state : int, RandomState instance or None, default=None
            Source of the draws; None uses the estimator's own.
        n_columns : int, default=None
            As in :meth:`plot`.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            Passed to ``ax.imshow`` or ``ax.scatter``.

        Returns
        -------
        display : SamplesDisplay
            Drawn.
        """
        if n_samples is None:
            n_samples = N_IMAGES if image_shape is not None else N_POINTS if X is None else len(X)
        check_count(n_samples, "n_samples")
        samples = draw(estimator, n_samples, random_state)
        names = _base.names_of(estimator, samples.shape[1])
        display = cls(samples, X, image_shape=image_shape, columns=columns, feature_names=names)
        return display.plot(ax, n_columns=n_columns, **kwargs)

    def plot(self, ax=None, *, n_columns=None, **kwargs):
        """Show the draws.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        n_columns : int, default=None
            Images side by side; None makes a sheet that is somewhat wider than high.
        **kwargs : dict
            Passed to ``ax.imshow`` (``vmin`` and ``vmax`` are in the units of pixels) or ``ax.scatter``.

        Returns
        -------
        display : SamplesDisplay
            Itself.
        """
        if self.image_shape is None:
            return self._plot_points(ax, kwargs)
        return self._plot_images(ax, n_columns, kwargs)

    def _plot_images(self, ax, n_columns, options):
        samples = _images.as_images(self.samples, self.image_shape)
        n_columns = _images.side_by_side(len(samples), n_columns)
        blocks = [samples] if self.X is None else [_images.as_images(self.X, self.image_shape), samples]
        options = (_images.grey(np.concatenate(blocks)) if samples.ndim == 3 else {}) | options
        ax = _base.on_axes(self, ax, _images.sheet_size(sum(map(len, blocks)), n_columns))
        sheets = [_images.sheet(block, n_columns) for block in blocks]
        if self.X is None:
            self.image_ = _images.draw_sheet(ax, *sheets, **options)
        else:
            self.image_ = _images.draw_blocks(ax, sheets, ["rows", "draws"], **options)
        return self

    def _plot_points(self, ax, options):
        columns = _base.checked_columns(self.columns, self.samples.shape[1])
        ax = _base.on_axes(self, ax, (5.5, 4.5))
        options = {"s": 12, "linewidths": 0, "alpha": 0.7} | options
        self.row_points_ = None
        if self.X is not None:
            behind = options | {"color": "0.6"}
            self.row_points_ = ax.scatter(*self.X[:, columns].T, **{"label": "rows"} | behind)
        self.points_ = ax.scatter(*self.samples[:, columns].T, **{"label": "draws"} | options)
        names = self.feature_names or _base.names_of(None, self.samples.shape[1])
        ax.set(xlabel=names[columns[0]], ylabel=names[columns[1]])
        if self.X is not None:
            ax.legend()
        return self
