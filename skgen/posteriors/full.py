"""Normal posterior with correlated components."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from skgen.distributions.normal import LOG_2PI
from skgen.distributions.normal_mixture import correlated_log_probs
from skgen.posteriors.base import SMALLEST_VARIANCE, Draw, Posterior, PosteriorSpec
from skgen.posteriors.diagonal import LARGEST_LOG_VARIANCE, cut_off

LARGEST_COEFFICIENT = 1e6


class FullPosterior(Posterior):
    r"""Normal distribution with any covariance, :math:`q(z \mid x) = N(z; m(x), L(x) L(x)^\top)`.

    .. math:: L = \mathrm{diag}(s)\,(I + R)

    The network gives m, :math:`\log s^2`, and the entries of R below the diagonal, which start at zero, so that
    components are independent at first. All are cut off, R at +-1e6, so that rows far from all others overflow nothing;
    derivatives pass the cut.
    """

    normal_margins = True
    coefficient: Tensor

    def __init__(self, n_components: int) -> None:
        n_coefficients = n_components * (n_components - 1) // 2
        super().__init__(n_components, 2 * n_components + n_coefficients)
        index = torch.full((n_components, n_components), n_coefficients)
        index[tuple(torch.tril_indices(n_components, n_components, -1))] = torch.arange(n_coefficients)
        # Number of the coefficient at each place of R; that after the last one is zero.
        self.register_buffer("coefficient", index, persistent=False)

    @property
    def width(self) -> int:
        return 2 * self.n_components**2

    @property
    def density_width(self) -> int:
        return 4 * self.n_components

    def initialize(self, weight: Tensor, bias: Tensor) -> None:
        weight[:, 2 * self.n_components :] = 0
        bias[2 * self.n_components :] = 0

    def _split(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and log s, (..., n_components), and R, (..., n_components, n_components)."""
        d = self.n_components
        mean, log_variance, coefficients = parameters.split([d, d, self.n_parameters - 2 * d], -1)
        coefficients = cut_off(coefficients, LARGEST_COEFFICIENT)
        padded = torch.cat([coefficients, torch.zeros_like(mean[..., :1])], -1)
        return mean, 0.5 * cut_off(log_variance, LARGEST_LOG_VARIANCE), padded[..., self.coefficient]

    @staticmethod
    def from_root(mean: Tensor, root: Tensor) -> Tensor:
        r"""Parameters (batch, n_parameters) of :math:`N(m, A A^\top)`.

        mean (batch, n_components), root A (batch, n_components, columns) of full rank. Its QR decomposition makes it
        triangular: the covariance, in which digits would be lost, is never formed.
        """
        # Components of unlike sizes keep their digits when all have the same one.
        size = torch.linalg.vector_norm(root, dim=-1)
        upper = torch.linalg.qr((root / size.unsqueeze(-1)).mT, mode="r").R
        diagonal = upper.diagonal(dim1=-2, dim2=-1)
        # A sign belongs to a row of the triangle, which is a column of L; then rows of L are divided by its diagonal.
        factor = (upper * torch.ones_like(diagonal).copysign(diagonal).unsqueeze(-1)).mT / diagonal.abs().unsqueeze(-1)
        d = mean.shape[-1]
        i, j = torch.tril_indices(d, d, -1, device=mean.device)
        return torch.cat([mean, 2 * (size * diagonal.abs()).log(), factor[..., i, j]], -1)

    def draw(self, parameters: Tensor, noise: Tensor) -> Draw:
        mean, log_diagonal, rest = self._split(parameters)
        z = mean + torch.exp(log_diagonal) * (noise + torch.einsum("bij,...bj->...bi", rest, noise))
        log_prob = -0.5 * (noise.square().sum(-1) + self.n_components * LOG_2PI) - log_diagonal.sum(-1)
        dependence = 0.5 * torch.log1p(rest.square().sum(-1))
        log_scale = log_diagonal + dependence
        return Draw(z, log_prob, mean, log_scale, torch.exp(log_scale), dependence)

    def mean_and_scale(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_diagonal, rest = self._split(parameters)
        return mean, torch.exp(log_diagonal) * torch.sqrt(1 + rest.square().sum(-1))

    def noise(self, z: Tensor, parameters: Tensor) -> Tensor:
        mean, log_diagonal, rest = self._split(parameters)
        deviation = ((z - mean) * torch.exp(-log_diagonal)).unsqueeze(-1)
        # The diagonal is taken to be of ones, whatever it is.
        noise: Tensor = torch.linalg.solve_triangular(rest, deviation, upper=False, unitriangular=True)
        return noise.squeeze(-1)

    def matched(self, z: Tensor) -> Tensor:
        """As documented by the base class; each component has at least some variance of its own, 1e-10 or more.

        The covariance of as many draws as components, or of fewer, is singular, and so is that of draws in which one
        component repeats the others but for rounding. No coefficient becomes so large that it is cut off.
        """
        mean = z.mean(0)
        most = math.exp(0.5 * LARGEST_LOG_VARIANCE)  # of far rows more may be a rounding, whose square overflows
        deviation = (z - mean).clamp(-most, most).permute(1, 2, 0) / len(z) ** 0.5
        own = torch.linalg.vector_norm(deviation, dim=-1).div(LARGEST_COEFFICIENT).clamp_min(SMALLEST_VARIANCE**0.5)
        return self.from_root(mean, torch.cat([deviation, torch.diag_embed(own)], -1))

    def log_probs(self, z: Tensor, parameters: Tensor) -> Tensor:
        return correlated_log_probs(z, *self._split(parameters))


@dataclass
class Full(PosteriorSpec):
    """Normal posterior with correlated components.

    The network gives n_components * (n_components - 1) / 2 numbers more than for independent ones.
    """

    def build(self, n_components: int) -> FullPosterior:
        """Return the module."""
        return FullPosterior(n_components)
