"""What Displays share: axes, colours, and checks of what a picture is made from."""

import warnings
from contextlib import contextmanager

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.multiclass import type_of_target

from skgen.inspection._normal import dense_covariances, ellipses

MOST_CLASSES = 20
"""Numbers up to which each gets a colour of its own; names get one in any case."""


def pyplot(display):
    """The module matplotlib.pyplot, on behalf of a Display; ImportError without it."""
    try:
        import matplotlib.pyplot
    except ImportError as error:
        name = type(display).__name__
        raise ImportError(f"{name}.plot needs matplotlib: pip install 'skgen[plot]'.") from error
    return matplotlib.pyplot


def on_axes(display, ax, figsize=None):
    """Axes to draw on, those given or those of a new figure; the Display remembers both."""
    plt = pyplot(display)
    if ax is None:
        _, ax = plt.subplots(figsize=figsize, layout="constrained")
    display.ax_, display.figure_ = ax, ax.figure
    return ax


# -- colours --------------------------------------------------------------------------------------------------------


def colours(n):
    """Colours (n, 3) that can be told apart."""
    import matplotlib

    if n <= MOST_CLASSES:
        palette = "Dark2" if n <= 8 else "tab10" if n <= 10 else "tab20"
        return np.array(matplotlib.colormaps[palette].colors[:n])
    return matplotlib.colormaps["turbo"](np.linspace(0, 1, n))[:, :3]


def classes_of(y):
    """Distinct labels and each row's number among them; None where labels are quantities."""
    if type_of_target(y) not in ("binary", "multiclass"):
        return None
    classes, index = np.unique(y, return_inverse=True)
    # Many numbers are shown as quantities are; names can only be told apart.
    named = y.dtype.kind not in "biuf"
    return (classes, index) if named or len(classes) <= MOST_CLASSES else None


def draw_bar(ax, drawn, label, **options):
    """Draw a bar of colours beside axes, as high as they are, and return it."""
    return ax.figure.colorbar(drawn, cax=ax.inset_axes((1.03, 0, 0.035, 1)), label=label, **options)


def scatter_labels(ax, points, y, name, **kwargs):
    """Scatter points (n, 2), coloured by labels if there are any, with a bar that tells them; return the points."""
    options = {"s": 12, "linewidths": 0} | kwargs
    if y is None:
        return ax.scatter(*points.T, **options)
    found = classes_of(y)
    if found is None:
        drawn = ax.scatter(*points.T, c=y, **options)
        draw_bar(ax, drawn, name)
        return drawn
    from matplotlib.colors import ListedColormap

    classes, index = found
    n = len(classes)
    drawn = ax.scatter(*points.T, c=index, cmap=ListedColormap(colours(n)), vmin=-0.5, vmax=n - 0.5, **options)
    bar = draw_bar(ax, drawn, name, ticks=range(n))
    bar.ax.set_yticklabels([str(each) for each in classes])
    return drawn


# -- outlines -------------------------------------------------------------------------------------------------------


def draw_outlines(ax, outlines, **options):
    """Draw closed lines (n, points, 2), and return their collection."""
    from matplotlib.collections import LineCollection

    return ax.add_collection(LineCollection(outlines, **options))


def draw_components(ax, mixture, colours):
    """Draw ellipses of a mixture in the plane, at one standard deviation (thick) and at two; return both."""
    means, covariances = mixture.means_, dense_covariances(mixture)
    return [
        draw_outlines(ax, ellipses(means, covariances, n), colors=colours, linewidths=width)
        for n, width in ((1, 1.8), (2, 1.0))
    ]


# -- checks -----------------------------------------------------------------------------------------------------------


def checked_rows(X, name="X", *, missing=False):
    """Rows as an array of floats, with NaN allowed where entries may be missing."""
    finite = "allow-nan" if missing else True
    return check_array(X, dtype=[np.float64, np.float32], input_name=name, ensure_all_finite=finite)


def method_of(estimator, name, purpose):
    """A method of an estimator that a Display cannot do without; TypeError where it is missing."""
    method = getattr(estimator, name, None)
    if method is None:
        raise TypeError(
            f"{type(estimator).__name__} has no {name}, which {purpose} needs: pass an estimator that has it."
        )
    return method


def checked_columns(columns, n_columns, name="columns", *, number=2):
    """Numbers of columns, all different; ``number`` of them, or any number if it is None."""
    found = np.asarray(columns).tolist() if np.ndim(columns) == 1 else []
    known = all(type(each) is int and 0 <= each < n_columns for each in found)
    if not (found and known and len(set(found)) == len(found) and number in (None, len(found))):
        many = "" if number is None else f"{number} "
        raise ValueError(f"{name} must be {many}different numbers from 0 to {n_columns - 1}, got {columns!r}.")
    return found


def checked_labels(y, n_rows):
    """One label for each row, or None."""
    if y is None:
        return None
    y = np.asarray(y)
    if y.shape != (n_rows,):
        raise ValueError(f"y must have one label for each of the {n_rows} rows, got an array of shape {y.shape}.")
    if any(label is None or label != label for label in y.tolist()):
        raise ValueError("y must have a label for each row, but some are missing. Leave those rows out.")
    return y


@contextmanager
def unnamed():
    """Let estimators take rows that a Display made up, whose columns have no names, without a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X does not have valid feature names")
        yield


def names_of(estimator, n_columns):
    """Names of the columns that an estimator was fitted on, or their numbers."""
    names = getattr(estimator, "feature_names_in_", None)
    return [f"column {i}" for i in range(n_columns)] if names is None else [str(name) for name in names]
