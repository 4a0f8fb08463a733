"""Critics of pairs in training and on held-out pairs: what learns, and what is measured."""

import math
from typing import NamedTuple

import numpy as np
import torch

from skgen._trace import autograd_trace
from skgen.estimators._arrays import as_tensor, tiles
from skgen.estimators._loss import Loss
from skgen.models.critic import ConcatCritic, SeparableCritic
from skgen.objectives.pair_bounds import pair_sums

CRITICS = {
    "separable": lambda n_x, n_z, sizes, n_components, activation: SeparableCritic(
        n_x, n_z, sizes, n_components, activation, offsets=True
    ),
    "concatenated": lambda n_x, n_z, sizes, n_components, activation: ConcatCritic(n_x, n_z, sizes, activation),
}
"""Critics by name."""
INFORMATION = "mutual_information"
"""Name of the bound in a record."""
FEWEST_PAIRS = 2
CAP_MARGIN = 2.0
"""Nats below the largest value that so many pairs can give within which a value is cut off by it, by a tenth or more
for correlated normals and the best critic."""
EVEN = 0.5
"""Share of rows that denominators rest on, below which a mean is that of few and its interval too narrow."""


class Estimate(NamedTuple):
    """A value in nats, its interval, and what to warn of about them."""

    value: float
    interval: tuple[float, float]
    doubts: list[str]


NO_ESTIMATE = Estimate(math.nan, (math.nan, math.nan), [])


class PairLoss(Loss):
    """Minus a bound on the mutual information of the pairs of a batch, with its gradient.

    Parameters
    ----------
    model : StandardizedCritic
    bound : PairBound
    whole : bool
        Whether the batch is all there is.
    low_precision : bool
        Whether products of matrices may be taken in bfloat16.
    """

    monitor = INFORMATION

    def __init__(self, model, bound, *, whole, low_precision):
        self.model, self.bound, self.whole, self.low_precision = model, bound, whole, low_precision
        self.log_average = model.scale.new_tensor(-math.inf)

    def __call__(self, batch, generator):
        (value, surrogate), pullback = autograd_trace(lambda: self._values(batch))
        pullback(None, -torch.ones_like(surrogate))
        return lambda: {self.monitor: value}, lambda: -surrogate

    def _values(self, batch):
        with torch.autocast(batch.x.device.type, torch.bfloat16, self.low_precision, cache_enabled=False):
            scores = self.model.critic.crossed(*self.model.codes(batch.x))
        return self.bound.train(scores.to(batch.x), batch.weight, self.log_average, whole=self.whole)

    def buffers(self):
        return {"log_average": self.log_average}

    def load(self, buffers):
        if "log_average" in buffers:
            self.log_average.copy_(buffers["log_average"])


class HeldOut:
    """Pairs that a critic does not learn from, each x with each z; called, it measures the bound on them.

    Parameters
    ----------
    model : StandardizedCritic
    bound : PairBound
    pairs : Tensor of shape (n, n_x + n_z)
        Standardised.
    weight : ndarray of shape (n,) or None
    whole : bool
        Whether both parts of a pair count as drawn apart too, so that a weight means repetition.
    """

    def __init__(self, model, bound, pairs, weight, *, whole=False):
        self.model, self.bound, self.pairs = model, bound, pairs
        self.whole = whole or len(pairs) < FEWEST_PAIRS
        weight = np.ones(len(pairs)) if weight is None else weight / weight.mean()
        wide = torch.float32 if pairs.device.type == "mps" else torch.float64
        self.weight = as_tensor(weight).to(pairs.device, wide)

    def sums(self):
        """What the bound needs of all pairs, in one pass."""
        critic, n = self.model.critic, len(self.pairs)
        per_pair = critic.width if isinstance(critic, ConcatCritic) else 3
        with torch.no_grad():
            of_x, of_z = self.model.codes(self.pairs)
            joint = critic.paired(of_x, of_z)
            return pair_sums(
                joint,
                lambda part: self.bound.squash(critic.crossed(of_x[part], of_z)),
                tiles(n, n * per_pair, self.pairs.itemsize),
                self.weight,
                self.bound.squash(joint) if self.whole else None,
            )

    def __call__(self):
        return {f"validation_{INFORMATION}": float(self.bound.value(self.sums()))}

    def estimate(self):
        """The estimate; NaN of a single pair, whose parts are apart from nothing."""
        if len(self.pairs) < FEWEST_PAIRS:
            doubt = "The estimate is NaN: a single pair was held out, and parts of it are apart from no others. "
            remedy = "Pass more rows, a larger validation_fraction, or X_val and y_val."
            return NO_ESTIMATE._replace(doubts=[doubt + remedy])
        sums = self.sums()
        value = float(self.bound.value(sums))
        return Estimate(value, self.bound.interval(sums), list(self._doubts(value, sums)))

    def _doubts(self, value, sums):
        bound, cap, reach = self.bound, self.bound.cap(sums), self.bound.reach(sums)
        counted = f"the logarithm of the number of its pairs, {math.exp(sums.log_count):.4g}"
        if value > cap - CAP_MARGIN:
            yield (
                f"The estimate of {value:.3g} nats is near {cap:.3g}, {counted}, above which it never is: there may "
                "be more information. Evaluate more pairs."
            )
        elif value > reach:
            counts = reach == sums.log_count
            limit, remedy = (counted, "Evaluate more pairs") if counts else ("clip", "Raise clip")
            yield (
                f"The estimate of {value:.3g} nats is above {reach:.3g}, {limit}: it may be far from the truth, "
                f"and above it. {remedy}, or choose bound='infonce'."
            )
        if not bound.evenness(sums) >= EVEN:
            yield (
                f"The denominator of the estimate of {value:.3g} nats is due to few rows: its interval is too narrow. "
                "Train on more pairs, or choose bound='infonce'."
            )
