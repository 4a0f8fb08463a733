"""Display of rows in the latent space of a model."""

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from skgen._spec import check_count
from skgen.estimators._density_adapter import unwrapped
from skgen.inspection import _base
from skgen.inspection._normal import as_normal_mixture, ellipses, projected


class LatentSpaceDisplay:
    """Posterior means of rows in the plane of two latent variables, with ellipses of what is uncertain.

    Grey ellipses are one standard deviation of the posterior of some rows, where the estimator knows it. Coloured ones
    are one and two standard deviations of the components of a mixture.

    Parameters
    ----------
    embedding : array-like of shape (n_samples, 2)
        Where rows are.
    y : array-like of shape (n_samples,), default=None
        Labels or quantities, for the colours.
    posterior_means : ndarray of shape (n_ellipses, 2), default=None
        Where there are ellipses.
    posterior_covariances : ndarray of shape (n_ellipses, 2, 2), default=None
        Their covariances.
    mixture : object, default=None
        Fitted mixture of normal distributions in the plane.
    labels : ndarray of shape (n_samples,), default=None
        Component that each row is coloured by where there is no y.
    names : tuple of str, default=("z0", "z1")
        Names of the two latent variables.
    y_name : str, default=None
        Name of what y is.
    same_units : bool, default=True
        Whether a length means the same in both directions.

    Attributes
    ----------
    points_ : matplotlib PathCollection
        The rows.
    posteriors_ : matplotlib LineCollection or None
        Ellipses of posteriors.
    components_ : list of matplotlib LineCollection or None
        Ellipses of components, at one and at two standard deviations.
    ax_, figure_ : matplotlib Axes and Figure
        Where they were drawn.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skgen import ProbabilisticPCA
    >>> from skgen.inspection import LatentSpaceDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> display = LatentSpaceDisplay.from_estimator(ProbabilisticPCA(2).fit(X), X, y, n_ellipses=20)
    >>> display.posterior_covariances.shape
    (20, 2, 2)
    """

    def __init__(
        self,
        embedding,
        y=None,
        *,
        posterior_means=None,
        posterior_covariances=None,
        mixture=None,
        labels=None,
        names=("z0", "z1"),
        y_name=None,
        same_units=True,
    ):
        self.embedding = _base.checked_rows(embedding, "embedding")
        self.y = _base.checked_labels(y, len(self.embedding))
        self.posterior_means = posterior_means
        self.posterior_covariances = posterior_covariances
        self.mixture = mixture
        self.labels = labels
        self.names = names
        self.y_name = y_name
        self.same_units = same_units

    @classmethod
    def from_estimator(
        cls, estimator, X, y=None, *, components=(0, 1), n_ellipses=50, mixture=None, y_name=None, ax=None, **kwargs
    ):
        """Show rows in the latent space of a fitted estimator.

        Parameters
        ----------
        estimator : object
            Fitted. Of a transformer, rows are where ``transform`` has them. A mixture of normal distributions, whose
            latent variable is a label, has them in its own columns, with ellipses of its components; as the last step
            of a pipeline, in those that the steps before give it.
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,), default=None
            Labels or quantities, for the colours. Without it rows have the colour of their most probable component
            where there is a mixture.
        components : tuple of int, default=(0, 1)
            The two latent variables to show.
        n_ellipses : int, default=50
            Rows, evenly spaced in X, whose posterior gets an ellipse, where ``encode(X, return_std=True)`` or
            ``posterior(X)`` gives one; 0 for none.
        mixture : object, default=None
            Mixture of normal distributions fitted on what ``transform`` gives, to show on top.
        y_name : str, default=None
            What the bar of colours is called.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            Passed to ``ax.scatter``.

        Returns
        -------
        display : LatentSpaceDisplay
            Drawn.
        """
        check_is_fitted(estimator)
        check_count(n_ellipses, "n_ellipses", least=0)
        encoder, mixture = _parts(estimator, mixture)
        given = X if encoder is None else _base.method_of(encoder, "transform", "LatentSpaceDisplay")(X)
        Z = _base.checked_rows(given, "X" if encoder is None else "what transform gives")
        if Z.shape[1] < 2:
            raise ValueError(f"LatentSpaceDisplay needs two latent variables, got {Z.shape[1]}.")
        columns = _base.checked_columns(components, Z.shape[1], "components")
        means, covariances = _posteriors(encoder, X, n_ellipses, columns)
        labels = None
        if mixture is not None:
            labels = mixture.predict(given)
            mixture = projected(as_normal_mixture(mixture), np.eye(Z.shape[1])[columns])
        names = [f"z{column}" for column in columns]
        if encoder is None:
            names = np.array(_base.names_of(estimator, Z.shape[1]))[columns].tolist()
        display = cls(
            Z[:, columns],
            y,
            posterior_means=means,
            posterior_covariances=covariances,
            mixture=mixture,
            labels=labels,
            names=names,
            y_name=y_name,
            same_units=encoder is not None,
        )
        return display.plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Show the rows and the ellipses.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            Passed to ``ax.scatter``.

        Returns
        -------
        display : LatentSpaceDisplay
            Itself.
        """
        ax = _base.on_axes(self, ax, (6.5, 5.5))
        self.posteriors_ = self.components_ = None
        mixture = None if self.mixture is None else as_normal_mixture(self.mixture)
        if self.y is None and self.labels is not None:
            kwargs = {"c": _base.colours(mixture.n_components_)[self.labels]} | kwargs
        self.points_ = _base.scatter_labels(ax, self.embedding, self.y, self.y_name, **kwargs)
        if self.posterior_means is not None:
            outlines = ellipses(self.posterior_means, self.posterior_covariances)
            self.posteriors_ = _base.draw_outlines(ax, outlines, colors="0.35", linewidths=0.6)
        if mixture is not None:
            colours = "0.1" if self.y is not None else 0.7 * _base.colours(mixture.n_components_)
            self.components_ = _base.draw_components(ax, mixture, colours)
        ax.autoscale_view()
        ax.set(xlabel=self.names[0], ylabel=self.names[1])
        if self.same_units:
            ax.set_aspect("equal", adjustable="datalim")
        return self


def _parts(estimator, mixture):
    """What encodes rows, or None, and the mixture in its latent space, or None."""
    fitted = unwrapped(estimator)
    if isinstance(fitted, Pipeline) and _is_mixture(fitted.steps[-1][1]):
        return (fitted[:-1] if len(fitted.steps) > 1 else None), unwrapped(fitted.steps[-1][1])
    if _is_mixture(fitted):
        return None, fitted
    return fitted, mixture


def _is_mixture(estimator):
    """Whether rows are in the space of a mixture's components already."""
    estimator = unwrapped(estimator)
    return all(hasattr(estimator, name) for name in ("weights_", "means_", "predict"))


def _posteriors(encoder, X, n_ellipses, columns):
    """Means (n, 2) and covariances (n, 2, 2) of the posterior of some rows, or None twice where they are not known."""
    while isinstance(encoder, Pipeline):
        X, encoder = encoder[:-1].transform(X) if len(encoder) > 1 else X, unwrapped(encoder.steps[-1][1])
    if n_ellipses == 0 or not (hasattr(encoder, "encode") or hasattr(encoder, "posterior")):
        return None, None
    n_rows = len(X)
    index = np.unique(np.linspace(0, n_rows - 1, min(n_ellipses, n_rows)).round().astype(int))
    some = _safe_indexing(X, index)
    if hasattr(encoder, "encode"):
        mean, std = encoder.encode(some, return_std=True)
        covariance = np.square(std)[:, None, :] * np.eye(std.shape[1])
    else:
        mean, covariance = encoder.posterior(some)
    covariance = np.broadcast_to(covariance, (len(mean), *covariance.shape[-2:]))
    return mean[:, columns], covariance[:, columns][:, :, columns]
