"""Annealed importance sampling: the ratio of two normalising constants from a path of laws between them."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

X = TypeVar("X")

N_ERRORS = 3.0
"""Half the width of an interval in standard errors."""


class Path(ABC, Generic[X]):
    """Laws indexed by an inverse temperature, each known up to its normalising constant.

    States x are a tensor with one row per chain, or a named tuple of such tensors: besides its position, a state may
    hold what :meth:`log_density` and :meth:`step` would otherwise compute twice. Implement both. Temperatures are
    numbers, and where the chains of :mod:`skgen.samplers.tempering` use a path also tensors (rows,), one for each row.
    """

    @abstractmethod
    def log_density(self, beta: float | Tensor, x: X) -> Tensor:
        """Log of the density of a law, without its normalising constant, (rows,)."""

    @abstractmethod
    def step(self, beta: float | Tensor, x: X, generator: Any) -> X:
        """The chains' next states: a Markov step that leaves the law invariant.

        What it draws from is its own choice: a ``torch.Generator``, or :class:`~skgen.distributions.streams.Streams`.
        """

    def change(self, old: float | Tensor, new: float | Tensor, x: X) -> Tensor:
        """The log-density at one temperature minus that at another, (rows,).

        Neighbours differ by little. A path overrides this where it can tell the difference to more digits, or faster.
        """
        return self.log_density(new, x) - self.log_density(old, x)


class Annealed(NamedTuple, Generic[X]):
    """Chains at the end of a path.

    Attributes
    ----------
    x : X
        Their states.
    log_weight : Tensor of shape (rows,)
        Log importance weights, float64.
    """

    x: X
    log_weight: Tensor


class Estimate(NamedTuple):
    r"""Log of a ratio of normalising constants.

    Weights of shape (chains, ...) give entries of shape (...).

    Attributes
    ----------
    value, lower, upper : Tensor
        The estimate, and an interval of three standard errors on either side.
    effective_sample_size : Tensor
        :math:`(\sum w)^2 / \sum w^2`, at most the number of chains. Where it is small, a few chains carry the
        estimate, and the interval cannot be trusted: it knows of those weights only that were met.
    """

    value: Tensor
    lower: Tensor
    upper: Tensor
    effective_sample_size: Tensor


def temperatures(n_temperatures: int) -> list[float]:
    """Inverse temperatures in equal steps from 0 to 1, at least two."""
    if n_temperatures < 2:
        raise ValueError(f"annealing needs at least two temperatures, got {n_temperatures}.")
    return [k / (n_temperatures - 1) for k in range(n_temperatures)]


def anneal(path: Path[X], x: X, betas: Sequence[float], generator: Any) -> Annealed[X]:
    r"""Take chains through a sequence of laws and weigh them (Neal 2001, https://arxiv.org/abs/physics/9803008).

    With unnormalised densities f_k at the inverse temperatures :math:`\beta_k`, states :math:`x_1` from the first law,
    and :math:`x_{k+1}` a Markov step from :math:`x_k` that leaves law k + 1 invariant, weights are

    .. math:: \log w = \sum_{k=1}^{K-1} \log f_{k+1}(x_k) - \log f_k(x_k), \quad E[w] = Z_K / Z_1

    for any number of temperatures and any steps. The betas may rise or fall: chains that start from the law at 1 and
    go to 0 are reverse annealed importance sampling. An annealing may be cut anywhere: with the last beta of one part
    as the first of the next, log-weights add up.

    Parameters
    ----------
    path : Path
    x : X
        States drawn from the law at ``betas[0]``.
    betas : sequence of float
        At least two.
    generator : torch.Generator or other source
        Handed on to the steps.
    """
    if len(betas) < 2:
        raise ValueError(f"annealing needs at least two temperatures, got {len(betas)}.")
    log_weight: Tensor | float = 0.0
    for old, new in pairwise(betas):
        log_weight = path.change(old, new, x).double() + log_weight
        x = path.step(new, x, generator)
    assert isinstance(log_weight, Tensor)
    return Annealed(x, log_weight)


def standard_error(effective_sample_size: Tensor, n: int) -> Tensor:
    """Standard error of the log of a mean of n weights, by the delta method; infinite for a single one."""
    if n == 1:
        return torch.full_like(effective_sample_size, math.inf)
    # The squares of weights relative to their mean sum to n^2 / effective_sample_size.
    return torch.sqrt((n / effective_sample_size - 1).clamp_min(0) / (n - 1))


def estimate(log_weight: Tensor) -> Estimate:
    r""":math:`\log Z_K / Z_1` of independent chains, the log of the weights' mean.

    The mean of w is unbiased, so its log errs to the low side: :math:`E \log \bar w \le \log E w`. The standard error
    of the log is that of the mean relative to the mean (delta method). Weights (chains, ...) give estimates (...).
    """
    log_weight = log_weight.double()
    n = len(log_weight)
    total = torch.logsumexp(log_weight, 0)
    value = total - math.log(n)
    size = torch.exp(2 * total - torch.logsumexp(2 * log_weight, 0))
    error = standard_error(size, n)
    return Estimate(value, value - N_ERRORS * error, value + N_ERRORS * error, size)


def reverse_estimate(log_weight: Tensor) -> Estimate:
    r""":math:`\log Z_1 / Z_K` of independent chains that went from law 1 to law K: :math:`-\log \bar w`.

    It errs to the high side, so that in the mean it bounds log Z of the law it started from where :func:`estimate`
    bounds it from below. That holds if the chains started from exactly that law. Chains that started elsewhere, such as
    at data, give no bound, and err to either side (Burda, Grosse and Salakhutdinov 2015,
    https://arxiv.org/abs/1412.8566).
    """
    value, lower, upper, size = estimate(log_weight)
    return Estimate(-value, -upper, -lower, size)
