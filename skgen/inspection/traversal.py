"""Display of what the latent variables of a model do to a row."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skgen._spec import check_count, check_number
from skgen.inspection import _base, _images

MOST_LINES = 10
"""Latent variables that are traversed by default."""


class LatentTraversalDisplay:
    """Rows decoded along lines through the latent space: one latent variable moves, the others stay.

    Images are shown along each line. Of a table the change of each column is shown, from the beginning of a line to its
    end, in standard deviations of the column.

    Parameters
    ----------
    decoded : ndarray of shape (n_lines, n_steps, n_features)
        Rows along each line.
    latent : ndarray of shape (n_lines, n_steps, n_components)
        Latent variables along each line.
    names : list of str
        Names of the latent variables that move: of one for each line, or of the two of a plane.
    scale : ndarray of shape (n_features,), default=None
        Standard deviations of the columns; None stands for 1.
    image_shape : tuple of int, default=None
        (height, width), or (channels, height, width), of a row that is an image; None shows changes of columns.
    feature_names : list of str, default=None
        Names of the columns.
    plane : bool, default=False
        Whether the lines are parallel, so that they show a plane of the latent space.

    Attributes
    ----------
    changes : ndarray of shape (n_lines, n_features)
        From the first step of each line to the last, in standard deviations.
    image_ : matplotlib AxesImage
        The sheet of images, or the table of changes.
    colorbar_ : matplotlib Colorbar or None
        Scale of the changes.
    ax_, figure_ : matplotlib Axes and Figure
        Where they were drawn.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skgen import ProbabilisticPCA
    >>> from skgen.inspection import LatentTraversalDisplay
    >>> X = load_iris().data
    >>> display = LatentTraversalDisplay.from_estimator(ProbabilisticPCA(2).fit(X), X, n_steps=7)
    >>> display.decoded.shape
    (2, 7, 4)
    """

    def __init__(self, decoded, latent, names, *, scale=None, image_shape=None, feature_names=None, plane=False):
        self.decoded = decoded
        self.latent = latent
        self.names = names
        self.scale = scale
        self.image_shape = image_shape
        self.feature_names = feature_names
        self.plane = plane

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        start=None,
        components=None,
        plane=False,
        n_steps=9,
        coverage=0.95,
        image_shape=None,
        ax=None,
        **kwargs,
    ):
        """Decode along lines through the latent space of a fitted estimator.

        Parameters
        ----------
        estimator : object
            Fitted, with ``transform`` and ``inverse_transform``.
        X : array-like of shape (n_samples, n_features)
            Rows, whose latent variables say how far to go.
        start : array-like of shape (n_features,), default=None
            Row from whose latent variables the lines start; None takes the median of each over X.
        components : list of int, default=None
            Latent variables to move; None takes those that vary most over X in what they decode to, at most 10.
        plane : bool, default=False
            Show the plane of two latent variables rather than a line for each: the first changes to the right, the
            second upwards.
        n_steps : int, default=9
            Rows along a line, at least 2.
        coverage : float, default=0.95
            Share of the rows of X between the ends of a line, in the latent variable that moves.
        image_shape
            As in the class.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            Passed to ``ax.imshow``.

        Returns
        -------
        display : LatentTraversalDisplay
            Drawn.
        """
        check_count(n_steps, "n_steps", least=2)
        check_number(coverage, "coverage", above=0, below=1)
        check_is_fitted(estimator)
        transform = _base.method_of(estimator, "transform", "LatentTraversalDisplay")
        decode = _base.method_of(estimator, "inverse_transform", "LatentTraversalDisplay")
        Z = np.asarray(transform(X))
        center = np.median(Z, axis=0) if start is None else np.asarray(transform(np.atleast_2d(start)))[0]
        ends = np.quantile(Z, [(1 - coverage) / 2, (1 + coverage) / 2], axis=0).astype(Z.dtype)
        if components is None:
            components = [0, 1] if plane else _strongest(decode, center, ends)
        components = _base.checked_columns(components, Z.shape[1], "components", number=2 if plane else None)
        steps = np.linspace(*ends, n_steps).astype(Z.dtype)
        paths = (_plane if plane else _lines)(center, steps, components)
        decoded = np.asarray(decode(paths.reshape(-1, Z.shape[1]))).reshape(*paths.shape[:2], -1)
        rows = _base.checked_rows(X, missing=True)
        display = cls(
            decoded,
            paths,
            [f"z{component}" for component in components],
            scale=np.nanstd(rows.astype(np.float64), axis=0),
            image_shape=image_shape,
            feature_names=_base.names_of(estimator, rows.shape[1]),
            plane=plane,
        )
        return display.plot(ax, **kwargs)

    @property
    def changes(self):
        """Change of each column from the first step of each line to the last, in standard deviations."""
        scale = np.ones(self.decoded.shape[2]) if self.scale is None else self.scale
        return (self.decoded[:, -1] - self.decoded[:, 0]) / np.where(scale > 0, scale, 1)

    def plot(self, ax=None, **kwargs):
        """Show the images of each line, or the changes of columns.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            Passed to ``ax.imshow``.

        Returns
        -------
        display : LatentTraversalDisplay
            Itself.
        """
        n_lines, n_steps, n_features = self.decoded.shape
        if self.image_shape is None:
            if self.plane:
                raise ValueError("plane=True needs image_shape: give it, or show lines.")
            feature_names = self.feature_names or _base.names_of(None, n_features)
            ax = _base.on_axes(self, ax, _images.table_size(n_lines, feature_names))
            self.image_ = _images.draw_table(ax, self.changes, self.names, feature_names, **kwargs)
            self.colorbar_ = _base.draw_bar(ax, self.image_, "change (std)")
            return self
        images = _images.as_images(self.decoded, self.image_shape)
        ax = _base.on_axes(self, ax, _images.sheet_size(len(images), n_steps))
        options = (_images.grey(images) if images.ndim == 3 else {}) | kwargs
        self.image_, self.colorbar_ = _images.draw_sheet(ax, _images.sheet(images, n_steps), **options), None
        if self.plane:
            ax.set(xlabel=f"{self.names[0]} \N{RIGHTWARDS ARROW}", ylabel=f"{self.names[1]} \N{RIGHTWARDS ARROW}")
        else:
            _images.label_lines(ax, self.names, images.shape[1])
        return self


def _lines(center, steps, components):
    """Latent variables (n_lines, n_steps, n_components) along a line through ``center`` for each of some."""
    paths = np.tile(center, (len(components), len(steps), 1))
    for line, component in enumerate(components):
        paths[line, :, component] = steps[:, component]
    return paths


def _plane(center, steps, components):
    """Latent variables (n_steps, n_steps, n_components) over a plane, from top to bottom and from left to right."""
    across, upwards = components
    paths = np.tile(center, (len(steps), len(steps), 1))
    paths[:, :, across] = steps[:, across]
    paths[:, :, upwards] = steps[::-1, upwards, None]
    return paths


def _strongest(decode, center, ends):
    """The latent variables that change most what is decoded, when each goes from end to end; strongest first."""
    paths = _lines(center, ends, range(len(center))).reshape(-1, len(center))
    low, high = np.asarray(decode(paths), dtype=np.float64).reshape(len(center), 2, -1).swapaxes(0, 1)
    strength = np.square(high - low).sum(axis=1)
    return np.argsort(-strength, kind="stable")[:MOST_LINES].tolist()
