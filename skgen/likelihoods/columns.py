"""A likelihood for each column."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, Self

import torch
from torch import Generator, Tensor, nn

from skgen._spec import resolve
from skgen._terms import Part, evaluate
from skgen._trace import Pullback, Tracer
from skgen.likelihoods.base import Domain, Head, Likelihood, LikelihoodSpec, Standardization

RESERVED = ("parts", "feature_names")


class ColumnsLikelihood(Likelihood):
    """Independent groups of columns, each with its own likelihood.

    Outputs, and inputs of an encoder, lie side by side in the order of the parts.

    Parameters
    ----------
    parts : sequence of (Likelihood, list of int)
        Modules with the numbers of their columns; each column is in one part.
    """

    def __init__(self, parts: Sequence[tuple[Likelihood, Sequence[int]]]) -> None:
        super().__init__(sum(len(columns) for _, columns in parts), sum(part.n_outputs for part, _ in parts))
        self.parts = nn.ModuleList(part for part, _ in parts)
        measures = {part.measure for part, _ in parts}
        self.measure = measures.pop() if len(measures) == 1 else "mixed"
        self.redraws = any(part.redraws for part, _ in parts)
        self.nominal = any(part.nominal for part, _ in parts)
        self.starts_from_shares = any(part.starts_from_shares for part, _ in parts)
        self._outputs = _side_by_side([part.n_outputs for part, _ in parts])
        self._inputs = _side_by_side([part.n_inputs for part, _ in parts])
        numbers = [column for _, columns in parts for column in columns]
        order = torch.tensor(numbers)
        self._in_order = numbers == list(range(self.n_features))
        # Parts of neighbours are slices, which are views where an index copies.
        self._slices = _side_by_side([len(columns) for _, columns in parts])
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("place", torch.argsort(order), persistent=False)

    order: Tensor
    place: Tensor

    def _likelihoods(self) -> list[Likelihood]:
        return [part for part in self.parts if isinstance(part, Likelihood)]

    def _split(self, values: Tensor) -> list[Tensor]:
        """Columns of each part, from an array with a trailing axis of features."""
        sorted_by_part = values if self._in_order else values[..., self.order]
        return [sorted_by_part[..., columns] for columns in self._slices]

    def _joined(self, values: list[Tensor]) -> Tensor:
        """Columns of all parts in the order of the rows."""
        joined = torch.cat(values, -1)
        return joined if self._in_order else joined[..., self.place]

    def _heads(self, head: Head) -> list[Head]:
        return [Head(head.weight[:, outputs], head.bias[outputs]) for outputs in self._outputs]

    def _of_outputs(self, function: Callable[..., Tensor], outputs: Tensor, *rows: Tensor) -> list[Tensor]:
        """A function of each part, its outputs and its columns of rows."""
        columns = [self._split(each) for each in rows]
        return [
            function(part, outputs[..., place], *(each[i] for each in columns))
            for i, (part, place) in enumerate(zip(self._likelihoods(), self._outputs, strict=True))
        ]

    @property
    def n_inputs(self) -> int:
        return sum(part.n_inputs for part in self._likelihoods())

    def inputs(self, x: Tensor) -> Tensor:
        pairs = zip(self._likelihoods(), self._split(x), strict=True)
        return torch.cat([part.inputs(columns) for part, columns in pairs], -1)

    def per_input(self, values: Tensor) -> Tensor:
        pairs = zip(self._likelihoods(), self._split(values), strict=True)
        return torch.cat([part.per_input(columns) for part, columns in pairs])

    def standardize(self, mean: Tensor, scale: Tensor) -> Standardization:
        triples = zip(self._likelihoods(), self._split(mean), self._split(scale), strict=True)
        found = [part.standardize(*moments) for part, *moments in triples]
        return Standardization(*(self._joined(list(each)) for each in zip(*found, strict=True)))

    def initialize(self, head: Head, mean: Tensor, scale: Tensor) -> None:
        parts = zip(self._likelihoods(), self._heads(head), self._split(mean), self._split(scale), strict=True)
        for part, part_head, part_mean, part_scale in parts:
            part.initialize(part_head, part_mean, part_scale)

    def initialize_shares(self, head: Head, mean: Tensor) -> None:
        for part, part_head, inputs in zip(self._likelihoods(), self._heads(head), self._inputs, strict=True):
            part.initialize_shares(part_head, mean[inputs])

    def compensate(self, head: Head, old: Standardization, new: Standardization, revived: Tensor) -> None:
        before, after = (zip(*map(self._split, each), strict=True) for each in (old, new))
        parts = zip(self._likelihoods(), self._heads(head), before, after, self._split(revived), strict=True)
        for part, part_head, part_old, part_new, part_revived in parts:
            part.compensate(part_head, Standardization(*part_old), Standardization(*part_new), part_revived)

    def log_probs(self, outputs: Tensor, x: Tensor) -> Tensor:
        return self._joined(self._of_outputs(lambda part, *given: part.log_probs(*given), outputs, x))

    def log_prob(self, outputs: Tensor, x: Tensor) -> Tensor:
        return _sum(self._of_outputs(lambda part, *given: part.log_prob(*given), outputs, x))

    def mean(self, outputs: Tensor) -> Tensor:
        return self._joined(self._of_outputs(lambda part, own: part.mean(own), outputs))

    def expectations(self, outputs: Tensor) -> Tensor:
        return torch.cat(self._of_outputs(lambda part, own: part.expectations(own), outputs), -1)

    def from_expectations(self, values: Tensor) -> Tensor:
        pairs = zip(self._likelihoods(), self._inputs, strict=True)
        return self._joined([part.from_expectations(values[..., inputs]) for part, inputs in pairs])

    def sample(self, outputs: Tensor, *, generator: Generator) -> Tensor:
        return self._joined(self._of_outputs(lambda part, own: part.sample(own, generator=generator), outputs))

    def augment(self, x: Tensor, *, generator: Generator, shared: bool = False) -> Tensor:
        if not self.redraws:
            return x
        pairs = zip(self._likelihoods(), self._split(x), strict=True)
        return self._joined([part.augment(own, generator=generator, shared=shared) for part, own in pairs])

    def noise_variance(self) -> Tensor | None:
        """NaN for columns without one."""
        found = [part.noise_variance() for part in self.parts if isinstance(part, Likelihood)]
        if all(variance is None for variance in found):
            return None
        like = next(variance for variance in found if variance is not None)
        filled = [
            like.new_full((columns.stop - columns.start,), torch.nan) if variance is None else variance
            for variance, columns in zip(found, self._slices, strict=True)
        ]
        return self._joined(filled)

    def tracer(self) -> Tracer:
        tracers = [part.tracer() for part in self._likelihoods()]

        def trace(outputs: Tensor, x: Tensor) -> tuple[Part, Pullback]:
            triples = zip(tracers, self._outputs, self._split(x), strict=True)
            values, pullbacks = zip(*(trace(outputs[..., place], own) for trace, place, own in triples), strict=True)

            def pullback(cotangent: Tensor) -> Tensor:
                return torch.cat([pull(cotangent) for pull in pullbacks], -1)

            return lambda: _sum([evaluate(value) for value in values]), pullback

        return trace


def _side_by_side(sizes: Sequence[int]) -> list[slice]:
    slices, start = [], 0
    for size in sizes:
        slices.append(slice(start, start + size))
        start += size
    return slices


def _sum(values: list[Tensor]) -> Tensor:
    total, *others = values
    for value in others:
        total = total + value
    return total


@dataclass
class Columns(LikelihoodSpec):
    """A likelihood for each column; ``likelihood=[...]`` stands for ``likelihood=Columns([...])``.

    Nested parameters have the names of the parts: ``likelihood__numeric``, ``likelihood__numeric__variance``.

    Parameters
    ----------
    parts : list of (name, likelihood, columns)
        Likelihoods by name or as specs, and the columns of each as in ColumnTransformer: a name, a number, a slice, a
        list of names or numbers, a mask, or a function of X that returns one of these. Every column is in one part.
    feature_names : sequence of str, default=()
        Names of all columns; an estimator sets them.
    """

    parts: list[tuple[str, str | LikelihoodSpec, Any]]
    feature_names: Sequence[str] = field(default=(), repr=False)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the fields by name; with ``deep``, also the parts and their fields."""
        params: dict[str, Any] = {"parts": self.parts, "feature_names": self.feature_names}
        for name, spec, _ in self._checked() if deep else ():
            params[name] = spec
            if isinstance(spec, LikelihoodSpec):
                params |= {f"{name}__{key}": value for key, value in spec.get_params().items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set fields and parts by name, and fields of parts as ``name__field``; return the spec."""
        own = {key: value for key, value in params.items() if key in RESERVED}
        super().set_params(**own)
        for key, value in params.items():
            if key not in own:
                self._set_part(*key.split("__", 1), value=value)
        return self

    def _set_part(self, name: str, nested: str = "", *, value: Any) -> None:
        names = [part[0] for part in self._checked()]
        if name not in names:
            raise ValueError(f"Invalid parameter {name!r} for Columns. Valid parameters are: {[*RESERVED, *names]!r}.")
        index = names.index(name)
        _, spec, columns = self.parts[index]
        value = _spec(spec, name).set_params(**{nested: value}) if nested else value
        self.parts = [*self.parts[:index], (name, value, columns), *self.parts[index + 1 :]]

    def _checked(self) -> list[tuple[str, str | LikelihoodSpec, Any]]:
        """The parts; ValueError where they are no list of named parts."""
        if not isinstance(self.parts, list | tuple) or not all(
            isinstance(part, list | tuple) and len(part) == 3 and isinstance(part[0], str) for part in self.parts
        ):
            raise ValueError(f"A likelihood per column is a list of (name, likelihood, columns), got {self.parts!r}.")
        names = [part[0] for part in self.parts]
        bad = [n for n in names if names.count(n) > 1 or not n or "__" in n or n in RESERVED]
        if bad:
            raise ValueError(
                f"Names of the parts of a likelihood must be distinct, without '__' and none of {list(RESERVED)}, got "
                f"{names!r}."
            )
        return [(name, spec, columns) for name, spec, columns in self.parts]

    def specs(self) -> list[tuple[str, LikelihoodSpec, Any]]:
        """The parts with specs in the place of names."""
        return [(name, _spec(spec, name), columns) for name, spec, columns in self._checked()]

    def positions(self, n_features: int) -> list[list[int]]:
        """Numbers of the columns of each part; ValueError where a column is in no part, or in more than one."""
        found = [self._position(name, columns, n_features) for name, _, columns in self._checked()]
        taken = [column for part in found for column in part]
        missing = [column for column in range(n_features) if column not in taken]
        doubled = sorted({column for column in taken if taken.count(column) > 1})
        for columns, trouble in ((missing, "in no part"), (doubled, "in more than one part")):
            if columns:
                named = ", ".join(str(self._name(column)) for column in columns[:10])
                more = f" and {len(columns) - 10} more" if len(columns) > 10 else ""
                raise ValueError(
                    f"Column(s) {named}{more} of X are {trouble} of the likelihood, whose parts are "
                    f"{[part[0] for part in self.parts]!r}. Name every column once."
                )
        return found

    def _name(self, column: int) -> str | int:
        return self.feature_names[column] if len(self.feature_names) else column

    def _position(self, name: str, columns: Any, n_features: int) -> list[int]:
        columns = columns.tolist() if hasattr(columns, "tolist") else columns
        if callable(columns):
            raise ValueError(f"Columns of the part {name!r} are a function of X, which is known in fit only.")
        if isinstance(columns, slice):
            return list(range(n_features))[slice(*self._bounds(name, columns, n_features))]
        columns = [columns] if isinstance(columns, str | Integral) else columns
        if not isinstance(columns, Iterable):
            raise ValueError(
                f"Columns of the part {name!r} of the likelihood must be a name, a number, a slice, a list of these, a "
                f"mask, or a function of X that returns one of them, got {columns!r}."
            )
        columns = list(columns)
        if columns and all(isinstance(column, bool) for column in columns):
            if len(columns) != n_features:
                raise ValueError(
                    f"The mask of the part {name!r} must have an entry for each of {n_features} columns, got "
                    f"{len(columns)}."
                )
            return [i for i, chosen in enumerate(columns) if chosen]
        return [self._number(name, column, n_features) for column in columns]

    def _bounds(self, name: str, columns: slice, n_features: int) -> tuple[Any, Any, Any]:
        """Bounds of a slice; of names the last is in it, as in ColumnTransformer."""
        start, stop = columns.start, columns.stop
        start = self._number(name, start, n_features) if isinstance(start, str) else start
        stop = self._number(name, stop, n_features) + 1 if isinstance(stop, str) else stop
        return start, stop, columns.step

    def _number(self, name: str, column: Any, n_features: int) -> int:
        if isinstance(column, str) and column in self.feature_names:
            return list(self.feature_names).index(column)
        if isinstance(column, Integral) and -n_features <= int(column) < n_features:
            return int(column) % n_features
        known = list(self.feature_names) if len(self.feature_names) else f"the numbers 0 to {n_features - 1}"
        raise ValueError(f"The part {name!r} of the likelihood names the column {column!r}, but X has {known}.")

    def by_column(self, n_features: int) -> list[tuple[LikelihoodSpec, list[int]]]:
        positions = self.positions(n_features)
        return [(spec, chosen) for (_, spec, _), chosen in zip(self.specs(), positions, strict=True) if chosen]

    def build(self, n_features: int) -> ColumnsLikelihood:
        """Return the module; parts without columns are left out."""
        return ColumnsLikelihood([(spec.build(len(own)), own) for spec, own in self.by_column(n_features)])

    def domain(self) -> Domain:
        """What all parts have in common; parts without columns count too."""
        domains = [spec.domain() for _, spec, _ in self.specs()]
        measures, supports = ({getattr(each, name) for each in domains} for name in ("measure", "support"))
        return Domain(
            measures.pop() if len(measures) == 1 else "mixed",
            supports.pop() if len(supports) == 1 else None,
            all(each.whole for each in domains),
        )


def _spec(value: str | LikelihoodSpec, name: str) -> LikelihoodSpec:
    """The spec of a part."""
    from skgen.likelihoods import LIKELIHOODS

    parameter = f"the likelihood of the part {name!r}"
    spec = resolve(value, LIKELIHOODS, LikelihoodSpec, parameter)  # type: ignore[type-abstract]  # none is made of it
    if isinstance(spec, Columns | Auto):
        raise ValueError(f"The part {name!r} of a likelihood must have a single likelihood, got {value!r}.")
    return spec


@dataclass
class Auto(LikelihoodSpec):
    """Likelihoods that training rows ask for; ``likelihood="auto"``. The fitted ``likelihood_`` names them.

    * Text, categories and booleans: "categorical".
    * Numbers 0 and 1: "bernoulli".
    * Counts: "poisson", or "negative_binomial" where the variance is more than twice the mean. Counts are whole
      numbers from 0 up, with three or more but few distinct values and a variance of at least the mean, which every
      latent-variable model of Poisson columns has. Ratings from 1 to 5, ages, years and postcodes are none.
    * Other numbers: "gaussian".

    Parameters
    ----------
    max_count_values : int, default=50
        Most distinct values of a column of counts.
    """

    max_count_values: int = 50

    def build(self, n_features: int) -> Likelihood:
        """Raise a ValueError: rows decide."""
        raise ValueError("likelihood='auto' is decided by the rows that are fitted.")

    def domain(self) -> Domain:
        """Nothing is known before ``fit``."""
        return Domain("mixed", None, False)
