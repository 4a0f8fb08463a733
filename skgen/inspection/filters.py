"""Display of what the hidden units or components of a model look for."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skgen._spec import check_count
from skgen.estimators._density_adapter import last_step
from skgen.inspection import _base, _images


class FilterDisplay:
    """Weights of hidden units, or loadings of components, as images or as a table of colours.

    Red raises a unit where a pixel is high, blue lowers it, and white is 0.

    Parameters
    ----------
    filters : array-like of shape (n_filters, n_features)
        Weights, one filter per row.
    image_shape : tuple of int, default=None
        (height, width) of a row that is an image; None shows a table.
    feature_names : list of str, default=None
        Names of the columns.

    Attributes
    ----------
    image_ : matplotlib AxesImage
        The sheet or the table.
    colorbar_ : matplotlib Colorbar or None
        Its scale.
    ax_, figure_ : matplotlib Axes and Figure
        Where they were drawn.

    References
    ----------
    Lee, Grosse, Ranganath and Ng (2009), Convolutional deep belief networks,
    https://doi.org/10.1145/1553374.1553453, for what is shown of layers above the first.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skgen import RBM
    >>> from skgen.inspection import FilterDisplay
    >>> rbm = RBM(n_components=12, max_iter=2, random_state=0).fit(load_digits().data > 8)
    >>> FilterDisplay.from_estimator(rbm, image_shape=(8, 8)).filters.shape
    (12, 64)
    """

    def __init__(self, filters, *, image_shape=None, feature_names=None):
        self.filters = _base.checked_rows(filters, "filters")
        self.image_shape = image_shape
        self.feature_names = feature_names

    @classmethod
    def from_estimator(
        cls, estimator, *, layer=1, n_filters=None, image_shape=None, n_columns=None, colorbar=True, ax=None, **kwargs
    ):
        """Show the filters of a fitted estimator.

        Parameters
        ----------
        estimator : object
            Fitted, with ``components_`` as RBM, ProbabilisticPCA, FactorAnalysis, MixtureOfFactorAnalyzers and many
            of scikit-learn's have; or a stack of machines with ``rbms_``; or a Pipeline that ends with one, whose
            filters are of the columns that the last step sees.
        layer : int, default=1
            Of a stack, the layer of hidden units. Above the first layer a filter is the product of the weights below,
            that of a linear network.
        n_filters : int, default=None
            How many to show, those of largest norm; None shows all in their own order.
        image_shape
            As in the class.
        n_columns, colorbar
            As in :meth:`plot`.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            Passed to ``ax.imshow``.

        Returns
        -------
        display : FilterDisplay
            Drawn.
        """
        check_is_fitted(estimator)
        fitted = last_step(estimator)
        filters = _filters(fitted, layer)
        if n_filters is not None:
            check_count(n_filters, "n_filters")
            largest = np.argsort(-np.square(filters).sum(axis=1), kind="stable")
            filters = filters[largest[:n_filters]]
        names = _base.names_of(fitted, filters.shape[1])
        display = cls(filters, image_shape=image_shape, feature_names=names)
        return display.plot(ax, n_columns=n_columns, colorbar=colorbar, **kwargs)

    def plot(self, ax=None, *, n_columns=None, colorbar=True, **kwargs):
        """Show the filters.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        n_columns : int, default=None
            Images side by side; None makes a sheet that is somewhat wider than high.
        colorbar : bool, default=True
            Whether to draw the scale.
        **kwargs : dict
            Passed to ``ax.imshow``.

        Returns
        -------
        display : FilterDisplay
            Itself.
        """
        n = len(self.filters)
        if self.image_shape is None:
            names = self.feature_names or _base.names_of(None, self.filters.shape[1])
            ax = _base.on_axes(self, ax, _images.table_size(n, names))
            self.image_ = _images.draw_table(ax, self.filters, [str(i) for i in range(n)], names, **kwargs)
        else:
            images = _images.as_images(self.filters, self.image_shape)
            if images.ndim == 4:
                raise ValueError(f"image_shape must have one channel, as weights have signs, got {self.image_shape}.")
            n_columns = _images.side_by_side(n, n_columns)
            ax = _base.on_axes(self, ax, _images.sheet_size(n, n_columns))
            self.image_ = _images.draw_sheet(ax, _images.sheet(images, n_columns), **_images.diverging(images) | kwargs)
            ax.set(facecolor="0.8")
        self.colorbar_ = _base.draw_bar(ax, self.image_, "weight") if colorbar else None
        return self


def _filters(estimator, layer):
    """Filters (n, n_features) of an estimator or of a layer of a stack."""
    machines = getattr(estimator, "rbms_", None)
    if machines is None:
        components = getattr(estimator, "components_", None)
        if components is None:
            raise TypeError(
                f"{type(estimator).__name__} has neither components_ nor rbms_, which FilterDisplay needs. Estimators "
                "that have them: RBM, RBMStack, ProbabilisticPCA, FactorAnalysis, sklearn's BernoulliRBM, PCA, NMF, ..."
            )
        check_count(layer, "layer")
        if layer > 1:
            raise ValueError(f"layer={layer} names none of the layers of {type(estimator).__name__}, which has one.")
        return np.reshape(components, (-1, np.shape(components)[-1]))
    check_count(layer, "layer")
    if layer > len(machines):
        raise ValueError(f"layer={layer} names none of the {len(machines)} fitted layers.")
    filters = machines[0].components_
    for machine in machines[1:layer]:
        filters = machine.components_ @ filters
    return filters
