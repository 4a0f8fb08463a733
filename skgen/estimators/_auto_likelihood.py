"""Likelihoods that the columns of a table ask for."""

import numpy as np

from skgen.estimators._tables import NUMERIC
from skgen.likelihoods import LIKELIHOODS, Columns

FAMILIES = ("categorical", "bernoulli", "poisson", "negative_binomial", "gaussian")
LEAST_VALUES = 3
"""Distinct values below which a column is not taken for counts."""
MOST_DISPERSED = 2.0
"""Ratio of variance and mean above which counts are more than Poisson."""
GLANCE = 1000
"""Rows that tell most columns of fractions."""


def chosen_likelihood(auto, table):
    """A likelihood for each column of a table by the rules of :class:`~skgen.likelihoods.Auto`."""
    families = [_family(auto, table, i) for i in range(len(table.columns))]
    parts = [(name, [i for i, family in enumerate(families) if family == name]) for name in FAMILIES]
    return Columns([(name, LIKELIHOODS[name](), columns) for name, columns in parts if columns])


def _family(auto, table, i):
    kind = table.columns[i].kind
    if kind not in NUMERIC or kind == "boolean":
        return "categorical"
    values = table.values(i).astype(np.float64)
    values = values[np.isfinite(values)]  # infinite ones are refused later
    if not _are_whole(values[:GLANCE]) or not _are_whole(values):
        return "gaussian"
    known = np.unique(values)
    if known.tolist() == [0, 1]:
        return "bernoulli"
    mean, variance = values.mean(), values.var()
    if not LEAST_VALUES <= len(known) <= auto.max_count_values or known[0] > 0 or variance < mean:
        return "gaussian"
    return "negative_binomial" if variance > MOST_DISPERSED * mean else "poisson"


def _are_whole(values):
    return len(values) > 0 and values.min() >= 0 and bool((values == np.rint(values)).all())
