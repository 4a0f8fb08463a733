"""Tables of users, with columns of numbers, text, categories and booleans, and tables like them."""

import sys
from dataclasses import asdict, dataclass, field
from importlib import import_module
from numbers import Integral, Real

import numpy as np

NUMERIC = ("number", "integer", "boolean")
"""Kinds of columns that are numbers to any likelihood."""


@dataclass
class Column:
    """What a column of a table is made of.

    Parameters
    ----------
    name : object
        Its label; the number of the column where there are no labels.
    kind : str
        "number", "integer", "boolean", "text", "category", "mixed" or "other".
    dtype : str
        Name of its dtype in the library of the table.
    categories : list or None
        All that a column of categories may hold, in its order.
    ordered : bool
        Whether categories have an order.
    labels : str or None
        Name of the dtype of the categories.
    """

    name: object
    kind: str
    dtype: str
    categories: list | None = None
    ordered: bool = False
    labels: str | None = None


@dataclass
class Table:
    """What a table is: enough to make one like it.

    Parameters
    ----------
    library : {"numpy", "pandas", "polars"}
        Whose table it is.
    columns : list of Column
    dtype : str
        Of an array.
    X : object
        The rows; None where there are none.
    """

    library: str
    columns: list
    dtype: str = "object"
    X: object = field(default=None, repr=False)

    def described(self):
        """What is kept after a fit, as plain values."""
        columns = [asdict(column) for column in self.columns]
        return {"library": self.library, "columns": columns, "dtype": self.dtype}

    @classmethod
    def like(cls, described):
        """A table without rows, from :meth:`described`."""
        columns = [Column(**column) for column in described["columns"]]
        return cls(described["library"], columns, described["dtype"])

    # -- reading ------------------------------------------------------------------------------------------------------

    def _series(self, i):
        if self.library == "pandas":
            return self.X.iloc[:, i]
        return self.X.to_series(i) if self.library == "polars" else self.X[:, i]

    def values(self, i):
        """A column as an array of numbers or of Python objects, in which None and NaN are missing."""
        column = self._series(i)
        if self.columns[i].kind in NUMERIC:
            return _numbers(column, self.library)
        if self.library == "polars":
            return np.array([*column.to_list(), None], dtype=object)[:-1]
        return np.asarray(column, dtype=object)

    # -- writing ------------------------------------------------------------------------------------------------------

    def filled(self, values):
        """A table like this of columns of values, an array of numbers or of Python objects for each."""
        columns = list(zip(self.columns, values, strict=True))
        if self.library == "pandas":
            return _pandas_frame(columns)
        if self.library == "polars":
            return _polars_frame(columns)
        if self.dtype != "object" and all(v.dtype != object for v in values):
            return np.stack(values, axis=1)
        rows = np.empty((len(values[0]), len(values)), dtype=object)
        for i, (column, v) in enumerate(columns):
            rows[:, i] = _cast(column, v).tolist()
        return rows if self.dtype == "object" else rows.astype(np.str_)


def table_of(X):
    """The table that rows are, or None where they are an array of numbers, or nothing that has columns."""
    pandas, polars = sys.modules.get("pandas"), sys.modules.get("polars")
    if pandas is not None and isinstance(X, pandas.DataFrame):
        return Table("pandas", [_pandas_column(X, i) for i in range(X.shape[1])], X=X)
    if polars is not None and isinstance(X, polars.DataFrame):
        return Table("polars", [_polars_column(series) for series in X], X=X)
    X = _array(X)
    if X is None or X.dtype.kind not in "OUS" or X.ndim != 2:
        return None
    dtype = "object" if X.dtype.kind == "O" else "text"
    X = X.astype(np.str_).astype(object) if X.dtype.kind in "US" else X
    return Table("numpy", [Column(i, *_kind_of(X[:, i])) for i in range(X.shape[1])], dtype, X)


def array_table(X):
    """The table that an array of numbers is."""
    return Table("numpy", [Column(i, "number", X.dtype.name) for i in range(X.shape[1])], X.dtype.name, X)


def is_missing(value):
    """Whether a value of a column stands for none: None, NaN, and pandas' own."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float | np.floating) and bool(value != value)


def _array(X):
    """An array, or lists as one of Python objects if there is text among them; None where there is no such array."""
    if isinstance(X, np.ndarray):
        return X
    if not isinstance(X, list | tuple):
        return None
    try:
        found = np.asarray(X)
        return np.array(X, dtype=object) if found.dtype.kind in "US" else found
    except ValueError:
        return None


def _kind_of(values):
    """Kind and dtype of Python objects."""
    kinds = {type(value) for value in values if not is_missing(value)}

    def are(*types):
        return all(issubclass(kind, types) for kind in kinds)

    if not kinds:
        return "number", "object"
    if are(bool, np.bool_):
        return "boolean", "object"
    if are(Integral):
        return "integer", "object"
    if are(Real):
        return "number", "object"
    if are(str):
        return "text", "object"
    return "mixed" if are(str, Real, np.bool_) else "other", "object"


def _numbers(column, library):
    """A column as an array of numbers, missing ones NaN; float32 stays what it is."""
    if library == "numpy" and column.dtype != object:
        return column
    if library == "pandas":
        wanted = np.float32 if str(column.dtype).lower().startswith("float32") else np.float64
        if str(column.dtype) != "object":
            return column.to_numpy(dtype=wanted, na_value=np.nan)
    if library == "polars":
        # A column of objects has no cast.
        if str(column.dtype) != "Object":
            polars = sys.modules["polars"]
            return column.cast(polars.Float32 if str(column.dtype) == "Float32" else polars.Float64).to_numpy()
        column = column.to_list()
    values = np.asarray(column, dtype=object)
    return np.array([np.nan if is_missing(value) else value for value in values], dtype=np.float64)


# -- pandas -----------------------------------------------------------------------------------------------------------


def _pandas_column(X, i):
    pd = import_module("pandas")
    types = pd.api.types
    series, name = X.iloc[:, i], X.columns[i]
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        labels = dtype.categories
        return Column(name, "category", "category", labels.tolist(), bool(dtype.ordered), str(labels.dtype))
    if str(dtype) == "object":
        return Column(name, *_kind_of(series.to_numpy()))
    kinds = {
        "boolean": types.is_bool_dtype,
        "integer": types.is_integer_dtype,
        "number": types.is_float_dtype,
        "text": types.is_string_dtype,
    }
    kind = next((kind for kind, holds in kinds.items() if holds(dtype)), "other")
    return Column(name, kind, str(dtype))


def _pandas_frame(columns):
    pd = import_module("pandas")
    made = [_pandas_series(pd, column, values) for column, values in columns]
    frame = pd.concat(made, axis=1) if made else pd.DataFrame()
    frame.columns = [column.name for column, _ in columns]
    return frame


def _pandas_series(pd, column, values):
    if column.kind == "category":
        labels = pd.Index(column.categories, dtype=column.labels)
        return pd.Series(pd.Categorical(_objects(values), categories=labels, ordered=column.ordered))
    values = _cast(column, values)
    try:
        return pd.Series(values).astype(column.dtype)
    except (TypeError, ValueError):
        return pd.Series(values)  # missing values in a dtype that has none


# -- polars -----------------------------------------------------------------------------------------------------------


def _polars_column(series):
    dtype = series.dtype
    name = str(dtype.base_type())
    if name in ("Categorical", "Enum"):
        known = dtype.categories.to_list() if name == "Enum" else sorted(series.drop_nulls().unique().to_list())
        return Column(series.name, "category", name, known, name == "Enum")
    if name == "Object":
        kind, _ = _kind_of(series.to_list())
        return Column(series.name, kind, name)
    kinds = {"Boolean": "boolean", "String": "text", "Null": "number", "Decimal": "number"}
    kind = "integer" if dtype.is_integer() else "number" if dtype.is_float() else kinds.get(name, "other")
    return Column(series.name, kind, "Float64" if name in ("Null", "Decimal") else name)


def _polars_frame(columns):
    pl = import_module("polars")
    made = []
    for column, values in columns:
        dtype = pl.Enum(column.categories) if column.dtype == "Enum" else getattr(pl, column.dtype)
        values = _cast(column, values)
        entries = [None if is_missing(value) else value for value in values.tolist()]
        made.append(pl.Series(column.name, entries, dtype=dtype))
    return pl.DataFrame(made)


# -- values -----------------------------------------------------------------------------------------------------------


def _objects(values):
    return np.array([*values, None], dtype=object)[:-1]


def _cast(column, values):
    """Numbers as those of a column: whole ones rounded and within the range of the dtype, booleans by a half."""
    if values.dtype == object or column.kind not in ("integer", "boolean"):
        return values
    missing = np.isnan(values)
    if column.kind == "boolean":
        whole = values >= 0.5
    else:
        low, high = _range(column.dtype)
        whole = np.clip(np.rint(values), low, high)
        whole = np.where(missing, 0, whole).astype(np.uint64 if low == 0 else np.int64)
    if not missing.any():
        return whole
    whole = whole.astype(object)
    whole[missing] = None
    return whole


def _range(dtype):
    """Least and largest number of a dtype of integers, as floats that are within it."""
    name = dtype.lower().partition("[")[0]
    name = name if name.startswith(("int", "uint")) and name[-1].isdigit() else "int64"
    info = np.iinfo(name)
    high = float(info.max)
    return float(info.min), high if int(high) <= info.max else np.nextafter(high, 0)
