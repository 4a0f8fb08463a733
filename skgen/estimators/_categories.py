"""Values of categorical columns and their codes 0, 1, and so on."""

from numbers import Real

import numpy as np

from skgen.estimators._tables import is_missing

MOST_CATEGORIES = 1000
"""Distinct values of a column above which it is taken for categories by mistake."""


def distinct(values):
    """Sorted distinct values of a column, of numbers or of Python objects, without missing ones."""
    if values.dtype != object:
        found = np.unique(values.astype(np.float64))
        return found[~np.isnan(found)]
    return np.array([*sorted({value for value in values if not is_missing(value)}), None], dtype=object)[:-1]


def codes_of(values, known):
    """Places of values among the known ones as floats: -1 of unknown ones, NaN of missing ones."""
    if values.dtype != object and all(isinstance(each, Real) for each in known):
        return _codes_of_numbers(values, np.asarray(known, dtype=np.float64))
    places = {value: i for i, value in enumerate(known)}
    codes = [np.nan if is_missing(value) else _place(places, value) for value in values.tolist()]
    return np.array(codes, dtype=np.float64)


def _place(places, value):
    """The place of a value, -1 of one that has none, as what cannot be hashed."""
    try:
        return places.get(value, -1)
    except TypeError:
        return -1


def _codes_of_numbers(values, known):
    missing = np.isnan(values)
    values, known = _comparable(values, known)
    order = np.argsort(known)
    place = order[np.minimum(np.searchsorted(known[order], values), len(known) - 1)]
    return np.where(missing, np.nan, np.where(known[place] == values, place, -1.0))


def one_hot(values, known):
    """Which of the known categories numbers are, (len(values), len(known)); faster than their codes."""
    values, known = _comparable(values, known)
    return values[:, None] == known


def lost_in_float32(known):
    """Whether categories are not themselves in float32, at the precision they are compared at."""
    return bool((_rounded(known) != _rounded(known.astype(np.float32))).any())


def _comparable(values, known):
    """Numbers and categories as they are compared: rounded, where categories differ by more than that."""
    rounded = _rounded(known)
    if len(np.unique(rounded)) < len(known):
        return values, known
    return _rounded(values), rounded


def _rounded(numbers):
    """Numbers in float64, of which fractions have the digits of float32: they are then equal in both."""
    numbers = numbers.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.where(numbers == np.rint(numbers), numbers, numbers.astype(np.float32))


def check_known(values, codes, known, name, remedy):
    """ValueError that names a column, its first value without a code and a remedy, where there is one."""
    unknown = np.flatnonzero(codes == -1)
    if len(unknown):
        shown = ", ".join(_shown(each) for each in known[:10]) + (", ..." if len(known) > 10 else "")
        raise ValueError(
            f"Column {name} of X holds the category {_shown(values[unknown[0]])}, which fit has not seen; known are "
            f"{shown}. Leave such rows out, or {remedy}."
        )


def check_few(n_categories, name, remedy):
    """ValueError where a column has too many categories to be categorical."""
    if n_categories > MOST_CATEGORIES:
        raise ValueError(
            f"Column {name} of X has {n_categories} distinct values, more than the {MOST_CATEGORIES} that a "
            f"categorical column takes. {remedy}"
        )


def _shown(value):
    return f"{value:g}" if isinstance(value, Real) and not isinstance(value, bool | np.bool_) else repr(value)
