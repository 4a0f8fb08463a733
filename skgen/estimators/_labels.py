"""Labels of rows: which there are, which rows have none, and their numbers."""

import numpy as np
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

UNKNOWN = -1
"""Number that stands for the class of a row without a label."""


def labelled_mask(y, unlabelled):
    """Mask of the rows that have a label, by what the user has passed: as an array, -1 beside strings is one."""
    labels = np.asarray(y, dtype=object).reshape(-1).tolist()
    if unlabelled is None:
        return np.ones(len(labels), dtype=bool)
    labelled = np.array([label != unlabelled for label in labels], dtype=bool)
    if labelled.all() and isinstance(unlabelled, str) != isinstance(labels[0], str):
        raise ValueError(
            f"unlabelled={unlabelled!r} is of type {type(unlabelled).__name__}, and no label in y is; "
            f"the first is {labels[0]!r}. Pass it as y holds it."
        )
    return labelled


def check_same_classes(classes, before):
    """Refuse to go on with other classes than a fitted model's."""
    if not np.array_equal(classes, before):
        raise ValueError(
            f"A fitted model cannot be continued with other classes: y has {classes}, before there were "
            f"{before}. Call fit with warm_start=False to start afresh."
        )


def checked_labels(y, name, n_rows):
    """Labels as an array with one entry per row."""
    labels = column_or_1d(y, warn=True)
    assert_all_finite(labels, input_name=name)
    if len(labels) != n_rows:
        raise ValueError(f"{name} must have one label for each of {n_rows} rows, got {len(labels)}.")
    return labels


def classes_of(y, known):
    """The classes among labels, sorted; ``known`` marks the rows that have one."""
    kinds = sorted({type(label).__name__ for label in y[known]}) if y.dtype == object else []
    if len(kinds) > 1 and "str" in kinds:
        raise TypeError(f"y has labels of types {', '.join(kinds)}, which have no order: pass labels of one type.")
    check_classification_targets(y[known])
    return np.unique(y[known])


def numbers_of(y, classes, name, known=None):
    """Number of each label's class, ``UNKNOWN`` where a mask says that there is none; a ValueError names strangers."""
    known = np.ones(len(y), dtype=bool) if known is None else known
    codes = np.full(len(y), UNKNOWN)
    places = {label: code for code, label in enumerate(classes.tolist())}
    found, inverse = np.unique(y[known], return_inverse=True)
    strange = [label for label in found.tolist() if label not in places]
    if strange:
        raise ValueError(
            f"{name} has label(s) {', '.join(map(repr, strange[:10]))} that the model does not know: its classes are "
            f"{classes.tolist()}. Name all classes in the first call of partial_fit, or fit to rows of each."
        )
    codes[known] = np.array([places[label] for label in found.tolist()], dtype=int)[inverse.reshape(-1)]
    return codes


def refuse_labels(y):
    """Refuse labels for a model without classes."""
    if y is not None:
        raise ValueError("y is given, but the model has no classes: fit it to rows and labels, conditional=True.")
