"""Gaussian likelihood with a fixed or learnt variance."""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from skgen._spec import check_choice, check_number
from skgen._terms import Part
from skgen._trace import Pullback, Tracer, per_feature
from skgen.distributions.normal import LOG_2PI, positive_scale, standard_normal
from skgen.likelihoods.base import Head, Likelihood, LikelihoodSpec, Standardization

VARIANCES = ("fixed", "shared", "feature", "network")
DEFAULT_VARIANCE = 0.1
"""Starting noise variance as a share of the columns' variance: small enough that the latent space is worth using."""
LARGEST_LOG_VARIANCE = 20.0
"""Cap of r for the variance of a network, which an outlying row sends beyond float32 in the first epochs. A training
row is at most sqrt(n_samples) standard deviations from the mean, so e^20 column variances are never needed."""
LARGEST_VARIANCE = math.exp(LARGEST_LOG_VARIANCE)


class GaussianLikelihood(Likelihood):
    r"""Independent normal columns, :math:`p(x_i) = N(x_i; m_i, v_i)` with :math:`v = \text{floor} + e^{r}`.

    ``r`` is a constant, one parameter, one per column, or a second half of the decoder's outputs.
    """

    def __init__(self, n_features: int, variance: str, noise_variance: float | None, min_variance: float) -> None:
        super().__init__(n_features, n_features * (2 if variance == "network" else 1))
        self.variance = variance
        self.start = noise_variance
        self.floor = 0.0 if variance == "fixed" else min_variance
        self._common = variance in ("fixed", "shared")
        start = torch.zeros(n_features if variance == "feature" else 1)
        if variance in ("shared", "feature"):
            self.log_variance = nn.Parameter(start)
        else:
            self.register_buffer("log_variance", start)

    def standardize(self, mean: Tensor, scale: Tensor) -> Standardization:
        by_column = positive_scale(scale)
        common = positive_scale(scale.square().mean().sqrt()).expand_as(by_column).clone()
        return Standardization(mean, common if self._common else by_column, by_column)

    @property
    def _n_variances(self) -> int:
        return len(self.log_variance)

    @property
    def _least(self) -> float:
        """A value of exp(r) that adds next to nothing to the floor."""
        return 1e-3 * self.floor if self.floor > 0 else 1e-30

    def _starting_raw(self, scale: Tensor) -> Tensor:
        unit = scale.square()
        share = torch.full_like(unit, DEFAULT_VARIANCE) if self.start is None else self.start / unit
        return torch.log((share - self.floor).clamp_min(self._least))

    def initialize(self, head: Head, mean: Tensor, scale: Tensor) -> None:
        """Noise starts small; a constant column gets a mean without weights and a variance at the floor."""
        n, constant = self.n_features, scale == 0
        raw = self._starting_raw(self.standardize(mean, scale).scale)
        if not self._common:
            raw = torch.where(constant, math.log(self._least), raw)
        head.weight[:, :n].masked_fill_(constant, 0)
        head.bias[:n].masked_fill_(constant, 0)
        if self.variance == "network":
            head.weight[:, n:].masked_fill_(constant, 0)
            head.bias[n:] = raw
        else:
            self.log_variance.data.copy_(raw[: self._n_variances])

    def compensate(self, head: Head, old: Standardization, new: Standardization, revived: Tensor) -> None:
        n, ratio = self.n_features, old.scale / new.scale
        head.weight[:, :n] *= ratio
        head.bias[:n] = (head.bias[:n] * old.scale + old.shift - new.shift) / new.scale
        head.bias[:n][revived] = 0
        if self.variance == "network":
            head.bias[n:] = torch.where(revived, self._starting_raw(new.scale), head.bias[n:] + 2 * torch.log(ratio))
            return
        moved = (torch.exp(self.log_variance.detach()) + self.floor) * ratio.square()[: self._n_variances] - self.floor
        moved = torch.log(moved.clamp_min(self._least))
        if self.variance == "feature":
            moved = torch.where(revived, self._starting_raw(new.scale), moved)
        self.log_variance.data.copy_(moved)

    def _moments(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        if self.variance == "network":
            mean, raw = outputs.split(self.n_features, -1)
            return mean, torch.exp(raw.clamp(max=LARGEST_LOG_VARIANCE)) + self.floor
        return outputs, torch.exp(self.log_variance) + self.floor

    def log_probs(self, outputs: Tensor, x: Tensor) -> Tensor:
        mean, variance = self._moments(outputs)
        return -0.5 * ((x - mean).square() / variance + torch.log(variance) + LOG_2PI)

    def log_prob(self, outputs: Tensor, x: Tensor) -> Tensor:
        """The sum, without the normaliser of each entry."""
        mean, variance = self._moments(outputs)
        log_normalizer = (torch.log(variance) + LOG_2PI).expand(*variance.shape[:-1], self.n_features)
        return -0.5 * (((x - mean).square() / variance).sum(-1) + log_normalizer.sum(-1))

    def mean(self, outputs: Tensor) -> Tensor:
        return outputs[..., : self.n_features]

    def sample(self, outputs: Tensor, *, generator: Generator) -> Tensor:
        mean, variance = self._moments(outputs)
        return mean + torch.sqrt(variance) * standard_normal(mean, generator)

    def noise_variance(self) -> Tensor | None:
        if self.variance == "network":
            return None
        return (torch.exp(self.log_variance) + self.floor).detach().expand(self.n_features)

    def tracer(self) -> Tracer:
        if self.variance == "network":
            return self._network_tracer()
        raw, floor = self.log_variance.detach(), self.log_variance.new_tensor(self.floor)
        raw_gradient, n_features = self.log_variance.grad, self.n_features
        n_repeats = n_features // self._n_variances
        half = self.log_variance.new_tensor(0.5)

        def trace(outputs: Tensor, x: Tensor) -> tuple[Part, Pullback]:
            exponential = torch.exp(raw)
            variance = exponential + floor
            residual = x - outputs

            def pullback(cotangent: Tensor) -> Tensor:
                weighted = residual * (per_feature(cotangent) / variance)
                if raw_gradient is not None:
                    squares = residual * weighted
                    squares = (squares if squares.dim() == 2 else squares.reshape(-1, n_features)).sum(0)
                    rows = (
                        cotangent.expand(residual.shape[:-1]).sum()
                        if cotangent.dim()
                        else (cotangent * (residual.numel() // n_features))
                    )
                    if n_repeats > 1:
                        squares, rows = squares.sum(0, keepdim=True), rows * n_repeats
                    raw_gradient.addcmul_(squares - rows, (exponential / variance).mul_(half))
                return weighted

            def value() -> Tensor:
                normalizer = (torch.log(variance) + LOG_2PI).sum() * n_repeats
                return -0.5 * ((residual.square() / variance).sum(-1) + normalizer)

            return value, pullback

        return trace

    def _network_tracer(self) -> Tracer:
        floor = self.log_variance.new_tensor(self.floor)
        one, half = self.log_variance.new_tensor(1.0), self.log_variance.new_tensor(0.5)

        def trace(outputs: Tensor, x: Tensor) -> tuple[Part, Pullback]:
            mean, raw = outputs.chunk(2, -1)
            # A capped variance keeps its gradient, which is negative, so that training comes back below the cap.
            exponential = torch.exp(raw).clamp_(max=LARGEST_VARIANCE)
            variance = exponential + floor
            residual = x - mean
            scaled = residual / variance

            def pullback(cotangent: Tensor) -> Tensor:
                to_raw = (residual * scaled).sub_(one).mul_(exponential / variance).mul_(half)
                return torch.cat([scaled, to_raw], -1).mul_(per_feature(cotangent))

            def value() -> Tensor:
                return -0.5 * ((residual * scaled).sum(-1) + (torch.log(variance) + LOG_2PI).sum(-1))

            return value, pullback

        return trace


@dataclass
class Gaussian(LikelihoodSpec):
    """Gaussian likelihood in the user's units.

    Parameters
    ----------
    variance : {"fixed", "shared", "feature", "network"}, default="feature"
        Noise variance: a constant, one learnt number, one per column, or an output of the decoder. The first two
        divide X by one common scale, so that columns keep their relative sizes; the others scale each column.
    noise_variance : float, default=None
        The constant of "fixed" and the start of the others, in squared units of X; None is a tenth of the columns'
        (mean) variance.
    min_variance : float, default=1e-4
        Floor of a learnt variance, as a share of the (mean) column variance. A floor keeps constant or
        repeated values from an unbounded density.
    """

    variance: str = "feature"
    noise_variance: float | None = None
    min_variance: float = 1e-4

    def build(self, n_features: int) -> GaussianLikelihood:
        """Return the module."""
        check_choice(self.variance, VARIANCES, "variance")
        if self.noise_variance is not None:
            check_number(self.noise_variance, "noise_variance", above=0, below=math.inf)
        check_number(self.min_variance, "min_variance", above=0, below=math.inf)
        return GaussianLikelihood(n_features, self.variance, self.noise_variance, float(self.min_variance))
