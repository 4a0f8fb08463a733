"""Columns of any kind under any likelihood: rows as a model takes them, and its rows as the user's."""

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from skgen._spec import resolve
from skgen.estimators._auto_likelihood import chosen_likelihood
from skgen.estimators._categories import check_few, check_known, codes_of, distinct
from skgen.estimators._data import in_support
from skgen.estimators._tables import NUMERIC, Table, array_table, table_of
from skgen.likelihoods import LIKELIHOODS, Auto, Categorical, Columns, LikelihoodSpec

DECLARE = "name all categories by likelihoods.Categorical(categories=...)"
PLAIN = {"boolean": [False, True]}
"""Categories of columns of a kind that has always the same."""


def likelihood_spec(likelihood):
    """The spec that a parameter ``likelihood`` stands for, as the user has given it."""
    if isinstance(likelihood, list | tuple):
        return Columns(list(likelihood))
    if isinstance(likelihood, str) and likelihood == "auto":
        return Auto()
    return resolve(likelihood, LIKELIHOODS, LikelihoodSpec, "likelihood")


# -- training rows decide ---------------------------------------------------------------------------------------------


def decided(spec, table, names, fitted=None):
    """The spec with what rows decide filled in: columns by name, and the categories of each.

    Parameters
    ----------
    spec : LikelihoodSpec
        As the user has given it.
    table : Table
        Training rows.
    names : sequence of str
        Names of all columns, where they have names.
    fitted : LikelihoodSpec or None
        That of the model that goes on learning, whose choices and categories stay.
    """
    n_features = len(table.columns)
    known = {} if fitted is None else known_categories(fitted, n_features)
    if isinstance(spec, Auto):
        spec = fitted if isinstance(fitted, Columns) else chosen_likelihood(spec, table)
    if isinstance(spec, Categorical):
        return _with_categories(spec, table, range(n_features), known)
    if not isinstance(spec, Columns):
        return spec
    chosen = [(name, part, _asked(columns, table)) for name, part, columns in spec.specs()]
    places = Columns(chosen, names).positions(n_features)
    parts = []
    for (name, part, _), index in zip(chosen, places, strict=True):
        if index:
            part = _with_categories(part, table, index, known) if isinstance(part, Categorical) else part
            parts.append((name, part, [names[i] if len(names) else i for i in index]))
    return Columns(parts, names)


def _asked(columns, table):
    """Columns that a user names, or a function of the rows."""
    return columns(table.X) if callable(columns) else columns


def known_categories(spec, n_features):
    """Categories by the number of the column."""
    parts = [(part, index) for part, index in spec.by_column(n_features) if isinstance(part, Categorical)]
    return {i: known for part, index in parts for i, known in zip(index, part.listed(len(index)), strict=True)}


def _with_categories(spec, table, index, known):
    """A categorical spec with the categories of its columns: the user's, those known before, or those of rows."""
    if isinstance(spec.categories, str) and spec.categories != "auto":
        raise ValueError(f"categories must be 'auto', a number or a list for each column, got {spec.categories!r}.")
    if not isinstance(spec.categories, str):
        listed = spec.listed(len(index))
        return Categorical([each.tolist() if isinstance(each, np.ndarray) else list(each) for each in listed])
    return Categorical([list(known[i]) if i in known else _found(table, i) for i in index])


def _check_kind(column):
    if column.kind in ("mixed", "other"):
        raise ValueError(
            f"Column {column.name} of X holds {_described(column)}: a column is of numbers, text, categories or "
            "booleans. Convert it to one of these."
        )


def _found(table, i):
    column = table.columns[i]
    _check_kind(column)
    found = column.categories if column.kind == "category" else PLAIN.get(column.kind)
    if found is None:
        values = distinct(table.values(i))
        found = (values.astype(np.int64) if column.kind == "integer" else values).tolist()
    if not found:
        raise ValueError(f"Column {column.name} of X has no categories: all of its values are missing.")
    check_few(len(found), column.name, "Leave it out, or put its values into groups.")
    return list(found)


# -- there and back ---------------------------------------------------------------------------------------------------


def encoded(table, spec):
    """Rows as an array of numbers, with codes of categories; missing values are NaN."""
    n_features = len(table.columns)
    known = known_categories(spec, n_features)
    columns = [_codes(table, i, known[i]) if i in known else _numbers(table, i, spec) for i in range(n_features)]
    wide = any(c.dtype != np.float32 for i, c in enumerate(columns) if table.columns[i].kind in NUMERIC)
    narrow = not wide and any(column.kind in NUMERIC for column in table.columns)
    return np.stack(columns, axis=1).astype(np.float32 if narrow else np.float64)


def _codes(table, i, known):
    values = table.values(i)
    codes = codes_of(values, known)
    check_known(values, codes, known, table.columns[i].name, DECLARE)
    return codes.astype(np.float32 if values.dtype == np.float32 else np.float64)


def _numbers(table, i, spec):
    column = table.columns[i]
    if column.kind in NUMERIC:
        return table.values(i)
    try:
        if table.library != "numpy":
            raise ValueError
        return table.values(i).astype(np.float64)  # numbers written as text
    except ValueError:
        _check_kind(column)
        part = next(part for part, index in spec.by_column(len(table.columns)) if i in index)
        raise ValueError(
            f"Column {column.name} of X holds {_described(column)}, but {part} is for numbers. Choose "
            "likelihood='auto', or a list of likelihoods with 'categorical' for such columns."
        ) from None


def _described(column):
    kinds = {"text": "text", "category": "categories", "mixed": "text and numbers"}
    return kinds.get(column.kind, f"values of the dtype {column.dtype}")


def decoded(table, spec, rows):
    """A table like that of the training rows, of rows as :func:`encoded` gives them."""
    columns = list(rows.T)
    for i, known in known_categories(spec, len(columns)).items():
        columns[i] = _values(known, columns[i], numbers=table.columns[i].kind in NUMERIC)
    return table.filled(columns)


def _values(known, codes, *, numbers):
    """Categories of codes; None where there is no code."""
    missing = np.isnan(codes)
    place = np.clip(np.rint(np.where(missing, 0, codes)), 0, len(known) - 1).astype(np.intp)
    if numbers:
        return np.where(missing, np.nan, np.asarray(known, dtype=np.float64)[place]).astype(codes.dtype)
    values = np.array([*known, None], dtype=object)
    return values[np.where(missing, len(known), place)]


class ColumnsEstimator:
    """Mixin of the estimators with the parameter ``likelihood``, whose columns may be of any kind.

    ``fit`` reads training rows: ``_read_likelihood``, which becomes ``likelihood_``, names the columns of each
    likelihood and all categories, and ``_table`` says what the columns are. It is None where rows are numbers, all of
    one likelihood of numbers: then they are left to scikit-learn's checks alone, and rows given back are an array.
    """

    def _likelihood_spec(self):
        return likelihood_spec(self.likelihood)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        try:
            spec = self._likelihood_spec()
            parts = [part for _, part, _ in spec.specs()] if isinstance(spec, Columns) else [spec]
        except (TypeError, ValueError):
            return tags  # fit will refuse the parameter
        takes_categories = any(isinstance(part, Auto | Categorical) for part in parts)
        tags.input_tags.categorical = tags.input_tags.string = takes_categories
        return tags

    def _encode_rows(self, X, *, training=False, reset=False, input_name="X"):
        spec = self._likelihood_spec() if training else self._read_likelihood
        table = self._table_of(X, input_name, by_column=isinstance(spec, Auto | Categorical | Columns))
        if training:
            self._read_likelihood = spec
            self._table = None if reset else self._table
        if table is None:
            return X
        validate_data(self, X, reset=reset, skip_check_array=True)
        if training:
            fitted = None if reset else self.likelihood_
            self._read_likelihood = decided(spec, table, tuple(getattr(self, "feature_names_in_", ())), fitted)
            self._table = table.described() if reset else self._table
        return encoded(table, self._read_likelihood)

    def _table_of(self, X, input_name, *, by_column):
        """The table that rows are, or None where they are all numbers and the likelihood knows no columns."""
        table = table_of(X)
        if table is not None and 0 in np.shape(X):
            return None  # refused for its shape
        if table is None and by_column:
            checks = {
                "dtype": [np.float64, np.float32],
                "input_name": input_name,
                "estimator": self,
                **self._row_checks,
            }
            return array_table(check_array(X, **checks))
        if by_column or table is None:
            return table
        return None if all(column.kind in NUMERIC for column in table.columns) else table

    def _decode_rows(self, rows):
        return rows if self._table is None else decoded(Table.like(self._table), self.likelihood_, rows)

    def _in_support(self, X, *, training):
        return in_support(self, X, self._read_likelihood if training else self.likelihood_)
