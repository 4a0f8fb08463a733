"""Specs: small parameter objects that the user writes and ``fit`` turns into modules."""

import math
import operator
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any, Self, TypeVar


@dataclass
class Spec:
    """Base of all specs: a dataclass with scikit-learn's parameter protocol.

    ``clone``, ``repr`` and nested names such as ``prior__scale`` work because the fields of the
    dataclass are its parameters. A spec holds no tensors and is never fitted.
    """

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the fields by name; with ``deep``, also those of nested specs."""
        params: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        if deep:
            for name, value in list(params.items()):
                if isinstance(value, Spec):
                    params |= {f"{name}__{key}": item for key, item in value.get_params().items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set fields by name, nested ones as ``name__field``, and return the spec."""
        known = self.get_params(deep=False)
        for key, value in params.items():
            name, _, nested = key.partition("__")
            if name not in known:
                raise ValueError(
                    f"Invalid parameter {name!r} for {type(self).__name__}. Valid parameters are: {sorted(known)!r}."
                )
            if nested:
                getattr(self, name).set_params(**{nested: value})
            else:
                setattr(self, name, value)
        return self


S = TypeVar("S", bound=Spec)


def resolve(value: str | S, table: Mapping[str, type[S]], base: type[S], parameter: str) -> S:
    """Return the spec that ``value`` stands for: a name of ``table`` with its defaults, or a copy of a spec.

    Raises ValueError for an unknown name and TypeError for another type, naming the parameter.
    """
    if isinstance(value, str):
        if value not in table:
            raise ValueError(f"{parameter} must be one of {sorted(table)} or a {base.__name__} object, got {value!r}.")
        return table[value]()
    if isinstance(value, base):
        return deepcopy(value)
    raise TypeError(f"{parameter} must be one of {sorted(table)} or a {base.__name__} object, got {value!r}.")


def check_choice(value: object, allowed: Mapping[str, Any] | tuple[str, ...], parameter: str) -> None:
    """Raise a ValueError that names the parameter unless ``value`` is one of the allowed strings."""
    if value not in allowed:
        raise ValueError(f"{parameter} must be one of {sorted(allowed)}, got {value!r}.")


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def check_count(value: Any, parameter: str, *, least: int = 1) -> None:
    """Raise a ValueError that names the parameter unless ``value`` is an integer of at least so many."""
    if not _is_count(value, least):
        raise ValueError(f"{parameter} must be an integer of at least {least}, got {value!r}.")


def check_counts(value: Any, parameter: str) -> tuple[int, ...]:
    """An integer, or a sequence of some, as a tuple; a ValueError that names the parameter unless all are positive."""
    counts = (value,) if isinstance(value, Integral) else value
    if not isinstance(counts, Sequence) or not all(_is_count(each, 1) for each in counts):
        raise ValueError(f"{parameter} must be a positive integer or a sequence of them, got {value!r}.")
    return tuple(int(each) for each in counts)


def check_number(
    value: Any, parameter: str, *, above: float | None = None, least: float | None = None, below: float | None = None
) -> None:
    """Raise a ValueError that names the parameter unless ``value`` is a number within the bounds."""
    limits = {">": (above, operator.gt), ">=": (least, operator.ge), "<": (below, operator.lt)}
    bounds = {sign: (limit, holds) for sign, (limit, holds) in limits.items() if limit is not None}
    numeric = isinstance(value, Real) and not isinstance(value, bool)
    if not numeric or not all(holds(value, limit) for limit, holds in bounds.values()):
        allowed = " and ".join(f"{sign} {limit}" for sign, (limit, _) in bounds.items())
        raise ValueError(f"{parameter} must be a number {allowed}, got {value!r}.")


def check_flag(value: Any, parameter: str) -> None:
    """Raise a ValueError that names the parameter unless ``value`` is or equals True or False."""
    if value not in (True, False):
        raise ValueError(f"{parameter} must be True or False, got {value!r}.")


def check_epochs(value: Any, parameter: str) -> None:
    """Raise a ValueError that names the parameter unless ``value`` is a number of epochs or a share of them."""
    most = math.inf if isinstance(value, Integral) else 1
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= float(value) <= most:
        raise ValueError(f"{parameter} must be an integer of at least 0 or a float between 0 and 1, got {value!r}.")
