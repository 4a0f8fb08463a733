"""Categorical likelihood for columns of codes without order."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch
from torch import Generator, Tensor

from skgen._spec import check_count
from skgen._terms import Part
from skgen._trace import Pullback, Tracer, per_feature
from skgen.distributions.categorical import Blocks
from skgen.likelihoods.base import Domain, Head, Likelihood, LikelihoodSpec, Standardization

SMALLEST_SHARE = 1e-3
"""Least share of rows that a category is started with."""


class CategoricalLikelihood(Likelihood):
    r"""Independent codes 0 to K - 1, :math:`p(x_i = k) \propto e^{l_{ik}}` with logits l from the decoder.

    An encoder sees a column as the one-hot columns of its categories.
    """

    measure = "mass"
    whole = True
    nominal = True
    starts_from_shares = True

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__(len(sizes), sum(sizes))
        self.support = (0.0, max(sizes) - 1.0)
        self.blocks = Blocks(sizes)

    @property
    def n_inputs(self) -> int:
        return self.blocks.n_columns

    def inputs(self, x: Tensor) -> Tensor:
        return self.blocks.one_hot(x)

    def per_input(self, values: Tensor) -> Tensor:
        return values[self.blocks.block]

    def standardize(self, mean: Tensor, scale: Tensor) -> Standardization:
        one = torch.ones_like(mean)
        return Standardization(torch.zeros_like(mean), one, one)

    def initialize(self, head: Head, mean: Tensor, scale: Tensor) -> None:
        """Categories are alike until their frequencies are known; a constant column has its code."""
        constant = self.per_input(scale == 0)
        head.weight.masked_fill_(constant, 0)
        start = torch.log(self.blocks.one_hot(mean).clamp_min(SMALLEST_SHARE))
        head.bias.copy_(torch.where(constant, start, 0))

    def initialize_shares(self, head: Head, mean: Tensor) -> None:
        head.bias.copy_(torch.log(mean.clamp_min(SMALLEST_SHARE)))

    def compensate(self, head: Head, old: Standardization, new: Standardization, revived: Tensor) -> None:
        """Nothing: codes are never rescaled."""

    def log_probs(self, outputs: Tensor, x: Tensor) -> Tensor:
        return self.blocks.log_probs(x, outputs)

    def mean(self, outputs: Tensor) -> Tensor:
        """The most probable code: codes have no mean."""
        return self.blocks.mode(outputs).to(outputs.dtype)

    def expectations(self, outputs: Tensor) -> Tensor:
        return self.blocks.probabilities(outputs)

    def from_expectations(self, values: Tensor) -> Tensor:
        return self.blocks.mode(values).to(values.dtype)

    def sample(self, outputs: Tensor, *, generator: Generator) -> Tensor:
        return self.blocks.draw(self.blocks.probabilities(outputs), generator).to(outputs.dtype)

    def tracer(self) -> Tracer:
        def trace(outputs: Tensor, x: Tensor) -> tuple[Part, Pullback]:
            def pullback(cotangent: Tensor) -> Tensor:
                return (self.blocks.one_hot(x) - self.blocks.probabilities(outputs)).mul_(per_feature(cotangent))

            return lambda: self.log_prob(outputs, x), pullback

        return trace


@dataclass
class Categorical(LikelihoodSpec):
    """Categorical likelihood for columns of categories: text, codes, or any values without order.

    Scores are log-probabilities. Reconstructions are the most probable categories.

    Parameters
    ----------
    categories : "auto", int or list of array-like, default="auto"
        The categories of each column, in order; "auto" takes those of the training rows, those of a pandas or polars
        column of categories in its own order, and others sorted. A number n stands for the codes 0 to n - 1 in every
        column. Values that are not among them are refused.
    """

    categories: Any = "auto"

    def build(self, n_features: int) -> CategoricalLikelihood:
        """Return the module."""
        return CategoricalLikelihood([len(known) for known in self.listed(n_features)])

    def domain(self) -> Domain:
        """Codes are made by the package, and need no check."""
        return Domain("mass", None, False)

    def listed(self, n_features: int) -> list[Sequence[Any]]:
        """The categories of each column; ValueError where they have not been taken from rows yet."""
        known = self.categories
        if isinstance(known, str):
            raise ValueError(f"categories must be a number or one list for each column to build on, got {known!r}.")
        if isinstance(known, Integral):
            check_count(known, "categories")
            return [range(int(known))] * n_features
        if len(known) != n_features:
            raise ValueError(
                f"categories must have one list for each column, got {len(known)} for {n_features} columns."
            )
        for values in known:
            if len(values) == 0 or len(set(values)) < len(values):
                raise ValueError(f"categories of a column must be at least one, and distinct, got {list(values)!r}.")
        return [*known]
