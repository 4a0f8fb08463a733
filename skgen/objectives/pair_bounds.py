"""Bounds on mutual information of pairs: what a critic learns by in a batch, and their value on held-out pairs.

Every x of a batch is paired with every z. To add a bound, write its class and name it in ``PAIR_BOUNDS``.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from skgen.objectives.mutual_information import (
    donsker_varadhan,
    infonce,
    jensen_shannon,
    mine,
    moving_log_average,
    nwj,
    smile,
)

AVERAGING_RATE = 0.01
"""Share of a batch in the moving average of a denominator, that of Belghazi et al. (2018)."""
NORMAL_QUANTILE = 1.959964
"""Of the standard normal distribution at 0.975: an interval of 95 per cent."""


class PairScores(NamedTuple):
    """Scores of pairs (K,), of parts that were drawn apart (K, K), and the weights of either; None: equal ones."""

    joint: Tensor
    product: Tensor
    weight: Tensor | None
    product_weight: Tensor | None


class PairSums(NamedTuple):
    """What bounds need of the scores T of all pairs of n rows with weights w; each is (n,).

    ``joint`` are the scores of pairs, ``rows`` log sum_{j != i} w_j exp T(x_i, z_j), and ``columns``
    log sum_{j != i} w_j exp T(x_j, z_i). ``own`` are the scores of pairs once more, where parts count as drawn apart
    though they are of one row, as repetitions of a row do; else None.
    """

    joint: Tensor
    rows: Tensor
    columns: Tensor
    weight: Tensor
    own: Tensor | None = None

    def _apart(self, sums: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithms of sums over parts that count as drawn apart, and of their weights."""
        if self.own is None:
            return sums, (self.weight.sum() - self.weight).log()
        return torch.logaddexp(sums, self.own + self.weight.log()), self.weight.sum().log()

    @property
    def log_mean(self) -> Tensor:
        """Logarithm of the mean of exp T over parts drawn apart."""
        sums, weights = self._apart(self.rows)
        log_weight = self.weight.log()
        return torch.logsumexp(sums + log_weight, 0) - torch.logsumexp(weights + log_weight, 0)

    @property
    def log_shares(self) -> Tensor:
        """Logarithm, for each row, of the mean of exp T over its x with parts drawn apart plus that over its z."""
        of_x, of_z = (sums - weights for sums, weights in map(self._apart, (self.rows, self.columns)))
        return torch.logaddexp(of_x, of_z)

    @property
    def evenness(self) -> float:
        """Share of rows that the mean of exp T rests on, in (0, 1]: 1 where each has the same part in it."""
        log_weight, log_shares = self.weight.log(), self.log_shares
        first, second = (torch.logsumexp(log_weight + power * log_shares, 0) for power in (1, 2))
        return float(torch.exp(2 * first - second) / self.weight.sum())

    @property
    def log_count(self) -> float:
        """Logarithm of the number of pairs that weights amount to: the entropy of their shares."""
        return float(torch.special.entr(self.weight / self.weight.sum()).sum())


def pair_sums(
    joint: Tensor,
    scores: Callable[[slice], Tensor],
    parts: Iterable[slice],
    weight: Tensor,
    own: Tensor | None = None,
) -> PairSums:
    """Sums over all pairs of n rows, of which ``joint`` are the scores of pairs that were drawn together.

    ``scores(part)`` gives those of some x with every z, (part, n), which are overwritten; for ``own`` see the class.
    """
    log_weight = weight.log()
    columns, rows = torch.full_like(weight, -math.inf), torch.empty_like(weight)
    for part in parts:
        some = scores(part)
        some.diagonal(part.start).fill_(-math.inf)
        rows[part] = torch.logsumexp(some + log_weight.to(some), 1).to(weight)
        columns = torch.logaddexp(columns, torch.logsumexp(some + log_weight[part, None].to(some), 0).to(weight))
    return PairSums(joint.to(weight), rows, columns, weight, None if own is None else own.to(weight))


def pair_weights(weight: Tensor | None, n_rows: int, like: Tensor, *, own: bool) -> Tensor | None:
    """Weights (n, n) of pairs of parts that were drawn apart; ``own`` counts the pairs of a row with itself too."""
    weights = None if weight is None else weight.unsqueeze(-1) * weight
    if own:
        return weights
    others = 1 - torch.eye(n_rows, dtype=like.dtype, device=like.device)
    return others if weights is None else weights * others


class PairBound(ABC):
    """A bound on mutual information, or an estimate of it, from the scores of pairs; values in nats."""

    kind = "bound"
    """What values are: "bound" from below, in expectation and at best the truth, or "estimate"."""

    def train(
        self, scores: Tensor, weight: Tensor | None, log_average: Tensor, *, whole: bool
    ) -> tuple[Tensor, Tensor]:
        """Value on a batch, and a function whose gradient the critic is to follow.

        Shapes: scores (K, K) of every x with every z, weight (K,) or None. ``log_average`` is changed in place. Of a
        ``whole`` sample each x is paired with its own z too, so that the weight of a row means its repetition.
        """
        whole = whole or len(scores) < 2  # a single row has no other
        product_weight = pair_weights(weight, len(scores), scores, own=whole)
        return self._train(PairScores(scores.diagonal(), scores, weight, product_weight), log_average, whole=whole)

    @abstractmethod
    def _train(self, pairs: PairScores, log_average: Tensor, *, whole: bool) -> tuple[Tensor, Tensor]:
        """The same from scores and weights."""

    def squash(self, scores: Tensor) -> Tensor:
        """Scores of parts that were drawn apart as the value takes them."""
        return scores

    @abstractmethod
    def value(self, sums: PairSums) -> Tensor:
        """Value on the pairs of a sample."""

    @abstractmethod
    def influence(self, sums: PairSums) -> Tensor:
        """Change of the value with the weight of each row, per unit and up to a constant, (n,)."""

    def cap(self, sums: PairSums) -> float:
        """Largest value that the pairs can give, whatever the critic."""
        return math.inf if sums.own is None else sums.log_count

    def reach(self, sums: PairSums) -> float:
        """Value above which one cannot be told from a larger or a smaller one."""
        return sums.log_count

    def evenness(self, sums: PairSums) -> float:
        """Share of rows that the value's denominators rest on."""
        return sums.evenness

    def interval(self, sums: PairSums) -> tuple[float, float]:
        """Interval of 95 per cent for the value that infinitely many pairs would have, by the delta method.

        It is the whole line where the pairs give no finite error.
        """
        influence, total = self.influence(sums), sums.weight.sum()
        deviation = sums.weight * (influence - (sums.weight @ influence) / total)
        value, error = float(self.value(sums)), float(torch.linalg.vector_norm(deviation) / total)
        if not math.isfinite(error):
            return -math.inf, math.inf
        return value - NORMAL_QUANTILE * error, value + NORMAL_QUANTILE * error


def _mean_joint(sums: PairSums) -> Tensor:
    return (sums.weight @ sums.joint) / sums.weight.sum()


class DonskerVaradhan(PairBound):
    """The bound of :func:`donsker_varadhan`; in batches its gradient has MINE's moving average for a denominator."""

    def _train(self, pairs: PairScores, log_average: Tensor, *, whole: bool) -> tuple[Tensor, Tensor]:
        value = donsker_varadhan(*pairs)
        if whole:
            return value, value
        joint, product, weight, product_weight = pairs
        log_average.copy_(moving_log_average(log_average, product, AVERAGING_RATE, product_weight))
        return value, mine(joint, product, log_average, weight, product_weight)

    def value(self, sums: PairSums) -> Tensor:
        return _mean_joint(sums) - sums.log_mean

    def influence(self, sums: PairSums) -> Tensor:
        return sums.joint - torch.exp(sums.log_shares - sums.log_mean)


class NWJ(PairBound):
    """The bound of :func:`nwj`."""

    def _train(self, pairs: PairScores, log_average: Tensor, *, whole: bool) -> tuple[Tensor, Tensor]:
        value = nwj(*pairs)
        return value, value

    def value(self, sums: PairSums) -> Tensor:
        return _mean_joint(sums) - torch.exp(sums.log_mean - 1)

    def influence(self, sums: PairSums) -> Tensor:
        return sums.joint - torch.exp(sums.log_shares - 1)


class Smile(DonskerVaradhan):
    """The estimate of :func:`smile` from a critic that learns by :func:`jensen_shannon`, as its authors propose."""

    kind = "estimate"

    def __init__(self, clip: float) -> None:
        self.clip = clip

    def _train(self, pairs: PairScores, log_average: Tensor, *, whole: bool) -> tuple[Tensor, Tensor]:
        value = smile(pairs.joint, pairs.product, self.clip, pairs.weight, pairs.product_weight)
        return value, jensen_shannon(*pairs)

    def squash(self, scores: Tensor) -> Tensor:
        return scores.clamp(-self.clip, self.clip)

    def cap(self, sums: PairSums) -> float:
        return math.inf  # scores of pairs are not clipped

    def reach(self, sums: PairSums) -> float:
        return min(sums.log_count, self.clip)


class InfoNCE(PairBound):
    """The mean of :func:`infonce` over both directions: the z of each x among all z, and the x of each z."""

    def _train(self, pairs: PairScores, log_average: Tensor, *, whole: bool) -> tuple[Tensor, Tensor]:
        value = 0.5 * (infonce(pairs.product, pairs.weight) + infonce(pairs.product.T, pairs.weight))
        return value, value

    def _of_rows(self, sums: PairSums) -> Tensor:
        own = sums.joint + sums.weight.log()
        both = torch.logaddexp(sums.rows, own) + torch.logaddexp(sums.columns, own)
        return sums.joint - 0.5 * both + sums.weight.sum().log()

    def value(self, sums: PairSums) -> Tensor:
        return (sums.weight @ self._of_rows(sums)) / sums.weight.sum()

    def influence(self, sums: PairSums) -> Tensor:
        # As an alternative to others' partners a row has about the same probability as any other.
        return self._of_rows(sums)

    def cap(self, sums: PairSums) -> float:
        return sums.log_count

    def evenness(self, sums: PairSums) -> float:
        return 1.0  # each row has a denominator of its own


PAIR_BOUNDS: dict[str, Callable[[float], PairBound]] = {
    "donsker-varadhan": lambda clip: DonskerVaradhan(),
    "nwj": lambda clip: NWJ(),
    "infonce": lambda clip: InfoNCE(),
    "smile": Smile,
}
"""Bounds by name, given the clip of those that have one."""
