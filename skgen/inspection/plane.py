"""Display of a mixture's posterior over a plane."""

import numpy as np
from scipy.special import entr
from sklearn.utils.validation import check_is_fitted

from skgen._spec import check_choice, check_count
from skgen.estimators._density_adapter import log_density
from skgen.inspection import _base
from skgen.inspection._normal import as_normal_mixture, discriminant_plane, projected

MARGIN = 0.08
"""Share of the rows' range that is shown beyond them."""
INK = 0.6
"""Strength of the colour of a point whose component is certain."""
N_LEVELS = 12
"""Nats below the highest density that levels of the density go down to."""
MARKERS = "o^sDvPX*"
"""Markers of labels; where there are more labels, they are written out."""


class PosteriorPlaneDisplay:
    r"""Which component a row would come from, and how dense rows are, at every point of a plane.

    A point has the mean of the components' colours, weighted by their probabilities there. The exponential of the
    entropy of these tells among how many components the point is undecided; it is painted that much fainter.

    A mixture of normal distributions in many columns has an exact answer in a plane, that of the rows' projection
    :math:`A x`: it is the mixture with means :math:`A \mu_k` and covariances :math:`A \Sigma_k A^\top`. The alternative
    is a slice: what the mixture says about the rows of the plane through a point.

    Parameters
    ----------
    across, upwards : ndarray of shape (n_points,)
        Coordinates of the points.
    responsibilities : ndarray of shape (n_points, n_points, n_components)
        Probabilities of the components; the first axis goes upwards.
    log_density : ndarray of shape (n_points, n_points), default=None
        Of a row's two coordinates in the plane, in nats; of a slice, of the row in all of its columns.
    rows : ndarray of shape (n_samples, 2), default=None
        Where rows are.
    labels : ndarray of shape (n_samples,), default=None
        Component of each row, by all of its columns.
    y : array-like of shape (n_samples,), default=None
        Labels of rows, for the markers.
    mixture : object, default=None
        Mixture of normal distributions in the plane, for ellipses.
    names : tuple of str, default=("x0", "x1")
        Names of the directions.

    Attributes
    ----------
    image_ : matplotlib AxesImage or QuadContourSet
        The posterior or the density.
    components_ : list of matplotlib LineCollection or None
        Ellipses of components, at one and at two standard deviations: they hold 39 and 86 per cent of its rows.
    colorbar_ : matplotlib Colorbar or None
        Scale of the density.
    ax_, figure_ : matplotlib Axes and Figure
        Where they were drawn.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skgen import GaussianMixture
    >>> from skgen.inspection import PosteriorPlaneDisplay
    >>> X = load_iris().data
    >>> mixture = GaussianMixture(3, random_state=0).fit(X)
    >>> display = PosteriorPlaneDisplay.from_estimator(mixture, X, plane="discriminant", n_points=50)
    >>> display.responsibilities.shape
    (50, 50, 3)
    """

    def __init__(
        self,
        across,
        upwards,
        responsibilities,
        *,
        log_density=None,
        rows=None,
        labels=None,
        y=None,
        mixture=None,
        names=("x0", "x1"),
    ):
        self.across = across
        self.upwards = upwards
        self.responsibilities = responsibilities
        self.log_density = log_density
        self.rows = rows
        self.labels = labels
        self.y = _base.checked_labels(y, 0 if rows is None else len(rows))
        self.mixture = mixture
        self.names = names

    @classmethod
    def from_estimator(
        cls, estimator, X, y=None, *, plane=(0, 1), at=None, n_points=300, kind="posterior", ax=None, **kwargs
    ):
        """Show the posterior or the density of a fitted mixture.

        Parameters
        ----------
        estimator : object
            Fitted mixture, with ``predict_proba``: of ours or of scikit-learn's, or a Pipeline that ends with one.
        X : array-like of shape (n_samples, n_features)
            Rows, which say what part of the plane is shown.
        y : array-like of shape (n_samples,), default=None
            Labels of rows, for the markers.
        plane : tuple of int, "discriminant" or array-like of shape (2, n_features), default=(0, 1)
            Two columns; the plane in which the means of the components lie apart most, in units of the mean covariance
            of the components; or any two directions, by which a row has the coordinates ``plane @ row``.
        at : array-like of shape (n_features,), default=None
            A point: the plane through it is shown, all else as it is there. With None the rows are projected to the
            plane, which needs normal components where X has more than two columns.
        n_points : int, default=300
            Points in each direction.
        kind : {"posterior", "density"}, default="posterior"
            As in :meth:`plot`.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            As in :meth:`plot`.

        Returns
        -------
        display : PosteriorPlaneDisplay
            Drawn.
        """
        check_is_fitted(estimator)
        check_count(n_points, "n_points", least=2)
        predict_proba = _base.method_of(estimator, "predict_proba", "PosteriorPlaneDisplay")
        rows = _base.checked_rows(X)
        if rows.shape[1] != getattr(estimator, "n_features_in_", rows.shape[1]):
            raise ValueError(
                f"X has {rows.shape[1]} features, but {type(estimator).__name__} is expecting "
                f"{estimator.n_features_in_} features as input."
            )
        A, names = _directions(estimator, plane, rows.shape[1])
        points = rows @ A.T
        across, upwards = _range(points, n_points).T
        grid = np.stack(np.meshgrid(across, upwards), axis=-1).reshape(-1, 2)
        own = at is not None or (rows.shape[1] == 2 and not isinstance(plane, str))
        flat = _normal_plane(estimator, A, needed=not own) if at is None else None
        if own:
            shares, density = _in_own_plane(estimator, predict_proba, rows.dtype, A, at, grid)
        else:
            shares, density = flat.predict_proba(grid), flat.score_samples(grid)
        shape = n_points, n_points
        display = cls(
            across,
            upwards,
            shares.reshape(*shape, -1),
            log_density=None if density is None else density.reshape(shape),
            rows=points,
            labels=predict_proba(X).argmax(axis=1),
            y=y,
            mixture=flat,
            names=names,
        )
        return display.plot(ax, kind=kind, **kwargs)

    @property
    def colours(self):
        """Colours of the points, (n_points, n_points, 3)."""
        responsibilities = self.responsibilities.astype(np.float64)
        blended = responsibilities @ _base.colours(responsibilities.shape[-1])
        n_candidates = np.exp(entr(responsibilities).sum(axis=-1, keepdims=True))
        return (1 - INK / n_candidates**1.5 * (1 - blended)).clip(0, 1)

    def plot(self, ax=None, *, kind="posterior", show_rows=True, ellipses=True, **kwargs):
        """Paint the plane.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        kind : {"posterior", "density"}, default="posterior"
            Whether to show components or the density.
        show_rows : bool, default=True
            Whether to show rows, in the colours of their components; their markers are their labels, with a legend, or
            where there are many labels these are written out.
        ellipses : bool, default=True
            Whether to show ellipses of the components, where these are normal.
        **kwargs : dict
            Passed to ``ax.imshow`` or ``ax.contourf``.

        Returns
        -------
        display : PosteriorPlaneDisplay
            Itself.
        """
        check_choice(kind, ("posterior", "density"), "kind")
        if kind == "density" and self.log_density is None:
            raise ValueError(
                "kind='density' needs an estimator with scores in nats, in the columns of X: choose kind='posterior'."
            )
        ax = _base.on_axes(self, ax, (6.5, 5.5))
        self.components_ = self.colorbar_ = None
        palette = _base.colours(self.responsibilities.shape[-1])
        if kind == "posterior":
            extent = self.across[0], self.across[-1], self.upwards[0], self.upwards[-1]
            self.image_ = ax.imshow(self.colours, **{"origin": "lower", "extent": extent, "aspect": "auto"} | kwargs)
        else:
            self._paint_density(ax, kwargs)
        if ellipses and self.mixture is not None:
            self.components_ = _base.draw_components(ax, self.mixture, 0.75 * palette)
        if show_rows and self.rows is not None:
            self._draw_rows(ax, palette)
        ax.set(xlabel=self.names[0], ylabel=self.names[1])
        ax.set(xlim=(self.across[0], self.across[-1]), ylim=(self.upwards[0], self.upwards[-1]))
        return self

    def _paint_density(self, ax, options):
        top = np.ceil(self.log_density.max())
        levels = np.arange(top - N_LEVELS, top + 1)
        # The darkest grey is left to the rows and ellipses on top.
        defaults = {"levels": levels, "cmap": "Greys", "extend": "min", "vmin": levels[0], "vmax": top + N_LEVELS / 2}
        self.image_ = ax.contourf(self.across, self.upwards, self.log_density, **defaults | options)
        self.colorbar_ = _base.draw_bar(ax, self.image_, "log-density in nats")

    def _draw_rows(self, ax, palette):
        own = palette[self.labels]
        classes = [None] if self.y is None else np.unique(self.y)
        if len(classes) > len(MARKERS):
            for (x, y), text, colour in zip(self.rows, self.y, own, strict=True):
                style = {"size": 8, "weight": "bold", "ha": "center", "va": "center", "clip_on": True}
                ax.text(x, y, str(text), color=0.65 * colour, **style)
            return
        for each, marker in zip(classes, MARKERS, strict=False):
            chosen = np.ones(len(self.rows), dtype=bool) if each is None else self.y == each
            style = {"marker": marker, "s": 22, "edgecolor": "black", "linewidth": 0.5}
            ax.scatter(*self.rows[chosen].T, c=own[chosen], **style)
            if each is not None:
                ax.plot([], [], marker, color="none", markeredgecolor="black", label=str(each))
        if self.y is not None:
            ax.legend()


def _directions(estimator, plane, n_features):
    """Directions (2, n_features) of a plane, and their names."""
    if isinstance(plane, str):
        check_choice(plane, ("discriminant",), "plane")
        if n_features < 2:
            raise ValueError("plane='discriminant' needs at least 2 columns, got 1.")
        return discriminant_plane(as_normal_mixture(estimator)), ("first direction", "second direction")
    if np.ndim(plane) == 1:
        columns = _base.checked_columns(plane, n_features, "plane")
        names = _base.names_of(estimator, n_features)
        return np.eye(n_features)[columns], [names[column] for column in columns]
    A = _base.checked_rows(plane, "plane").astype(np.float64)
    if A.shape != (2, n_features) or np.linalg.matrix_rank(A) < 2:
        raise ValueError(f"plane must be two independent directions of {n_features} numbers, got an array {A.shape}.")
    return A, ("first direction", "second direction")


def _normal_plane(estimator, A, *, needed):
    """The mixture of the rows' projection; None where components are not normal and that is not ``needed``."""
    try:
        return projected(as_normal_mixture(estimator), A)
    except TypeError as error:
        if not needed:
            return None
        raise TypeError(f"{error} For others, show a slice: at=X.mean(axis=0).") from error


def _in_own_plane(estimator, predict_proba, dtype, A, at, grid):
    """Posterior and log-density, None without one, at coordinates in a plane through ``at`` or, None, of all space."""
    origin = np.zeros(A.shape[1]) if at is None else _checked_point(at, A.shape[1])
    grid = (origin + (grid - A @ origin) @ np.linalg.pinv(A).T).astype(dtype)
    with _base.unnamed():
        shares, density = predict_proba(grid), _density_of(estimator, grid)
    if at is None and density is not None:
        # Densities are those of the coordinates in the plane.
        density = density - np.linalg.slogdet(A)[1]
    return shares, density


def _checked_point(at, n_features):
    point = np.asarray(at, dtype=np.float64)
    if point.shape != (n_features,) or not np.isfinite(point).all():
        raise ValueError(f"at must be {n_features} finite numbers, one for each column, got an array {point.shape}.")
    return point


def _density_of(estimator, rows):
    """Log-densities, or None of an estimator whose scores are none in the columns of the rows."""
    try:
        return log_density(estimator, rows)
    except TypeError:
        return None


def _range(points, n_points):
    """Coordinates (n_points, 2) from below the least to beyond the largest."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin = MARGIN * np.where(high > low, high - low, 1.0)
    return np.linspace(low - margin, high + margin, n_points)
