"""Covariances of a mixture's components: their structure, second-order features and parameters.

The log-density of a normal distribution is linear in ``(1, x, phi(x))``, where ``phi(x)`` holds the products of x that
the covariance's structure needs. So all components of a tile take two matrix products, and the expected ``phi(x)`` are
the sufficient statistics. Covariances and scatters have a packed form in the order of ``phi``.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.linalg import LinAlgError as LinAlgError  # type: ignore[attr-defined]  # torch does not list it

from skgen.distributions.missing import Completion, complete_dense, complete_diagonal

WIDE = 8000
"""Number of second-order features, those of 126 columns, from which on their memory costs more than they save."""
TILE_FEATURES = 2**20
"""Numbers of second-order features in a tile, so that they stay in a processor's cache."""

FEW = 64
"""Number of rows, such as means, up to which the number of calls is what features cost."""


class Layout(NamedTuple):
    """Where the entries of a full covariance are in its packed form, and the other way round."""

    first: Tensor
    second: Tensor
    place: Tensor
    times: Tensor


@cache
def _layout(n_features: int, device: torch.device) -> Layout:
    entry = torch.arange(n_features * (n_features + 1) // 2, device=device)
    first = entry % n_features
    second = (first + entry // n_features) % n_features
    place = torch.empty(n_features, n_features, dtype=torch.long, device=device)
    place[first, second] = entry
    place[second, first] = entry
    return Layout(first, second, place.flatten(), 2.0 - (first == second).double())


@dataclass(frozen=True)
class Covariance(ABC):
    """A structure of covariances: ``groups`` of them, one for each component or, if tied, one that all share."""

    tied: bool = False
    pooled = False
    """Whether all features have the same variance, of which one is shown."""

    @abstractmethod
    def shape_of_one(self, n_features: int) -> tuple[int, ...]:
        """Shape in which users read and write one covariance."""

    @abstractmethod
    def n_packed(self, n_features: int) -> int:
        """Length of ``phi(x)``."""

    @abstractmethod
    def n_parameters(self, n_features: int) -> int:
        """Number of free parameters of one covariance."""

    @abstractmethod
    def phi(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """Second-order features of rows, (rows, features) to (n_packed, rows), in the memory of ``out`` if given."""

    @abstractmethod
    def pack(self, covariance: Tensor) -> Tensor:
        """Packed form of covariances (..., n_packed), in which they add to ``phi``."""

    @abstractmethod
    def unpack(self, packed: Tensor, n_features: int) -> Tensor:
        """The covariances of packed scatters per row; a pooled variance is their mean."""

    @abstractmethod
    def coefficients(self, precision: Tensor) -> Tensor:
        """The q for which ``q . phi(x) = x' precision x``, (groups, n_packed)."""

    @abstractmethod
    def precision(self, covariance: Tensor) -> tuple[Tensor, Tensor]:
        """Precisions in the form of the covariances, and the covariances' log-determinants (groups,).

        Raises torch.linalg.LinAlgError where one is not positive definite.
        """

    @abstractmethod
    def whitening(self, covariance: Tensor) -> Tensor:
        """Upper triangular factors U of the precisions U U', or the roots of precisions that are variances."""

    @abstractmethod
    def times(self, matrix: Tensor, x: Tensor) -> Tensor:
        """Each group's matrix times a vector, (groups, ...) and (K, features) to (K, features)."""

    @abstractmethod
    def root(self, covariance: Tensor) -> Tensor:
        """Cholesky factors of the covariances, or standard deviations."""

    @abstractmethod
    def squared_distance(self, x: Tensor, mean: Tensor, root: Tensor) -> Tensor:
        """Squared Mahalanobis distances (rows,) to one mean by one root, exact far from the origin too."""

    @abstractmethod
    def regularized(self, covariance: Tensor, amount: float) -> Tensor:
        """The covariances with ``amount`` added to their diagonals."""

    @abstractmethod
    def unconstrain(self, covariance: Tensor) -> Tensor:
        """Real numbers without constraints that stand for the covariances, (groups, n_parameters)."""

    @abstractmethod
    def constrain(self, numbers: Tensor, n_features: int) -> Tensor:
        """The inverse of :meth:`unconstrain`."""

    @abstractmethod
    def scaled(self, covariance: Tensor, noise: Tensor, index: Tensor | None = None) -> Tensor:
        """Standard normal noise (rows, features) given one covariance, or one for each row; they may be singular.

        With an ``index`` (rows,) there are some covariances, and it says which of them each row has.
        """

    @abstractmethod
    def matrices(self, covariance: Tensor) -> Tensor:
        """The covariances as matrices, (groups, features, features)."""

    @abstractmethod
    def variances(self, covariance: Tensor) -> Tensor:
        """Variances of the features, (groups, features)."""

    @abstractmethod
    def from_matrices(self, matrices: Tensor) -> Tensor:
        """The covariances of this structure nearest to some matrices, in Kullback's measure."""

    @abstractmethod
    def complete(self, x: Tensor, means: Tensor, covariance: Tensor, patterns: Tensor, index: Tensor) -> Completion:
        """Densities of incomplete rows and moments of their missing entries; see :mod:`skgen.distributions.missing`."""

    @abstractmethod
    def prior_count(self, degrees_of_freedom: float, n_features: int, n_components: int) -> float:
        """Half of it times minus the log-determinant is what conjugate priors of means and covariances add.

        The densities are inverse Wishart, inverse chi-squared per feature, or inverse chi-squared for a pooled variance
        (Fraley and Raftery 2007, https://doi.org/10.1007/s00357-007-0004-5), and normal for each mean.
        """

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        """Shape in which users read and write the covariances of a mixture."""
        one = self.shape_of_one(n_features)
        return one if self.tied else (n_components, *one)

    def n_groups(self, n_components: int) -> int:
        """Number of covariances in a mixture."""
        return 1 if self.tied else n_components

    def grouped(self, each: Tensor) -> Tensor:
        """What each component adds (K, ...) by covariance (groups, ...)."""
        return each.sum(0, keepdim=True) if self.tied else each

    def scatter(self, x: Tensor, share: Tensor) -> Tensor:
        """Sum of a share of each row (rows,) times its second-order features, (n_packed,)."""
        return self.phi(x) @ share

    def is_wide(self, n_features: int) -> bool:
        """Whether there are so many features of second order that products component by component are faster."""
        return not self.tied and self.n_packed(n_features) > WIDE

    def tile_rows(self, n_features: int) -> int:
        """Rows whose features stay in a processor's cache."""
        width = n_features if self.is_wide(n_features) else self.n_packed(n_features)
        return int(2 ** min(13, max(8, round(math.log2(TILE_FEATURES / width)))))


class Full(Covariance):
    """Any positive definite matrix, (groups, features, features).

    ``phi`` goes along the wrapped diagonals, x_i x_(i + s mod d) for shifts s up to d / 2: every unordered pair once,
    and all shifts in one multiplication.
    """

    def shape_of_one(self, n_features: int) -> tuple[int, ...]:
        return (n_features, n_features)

    def n_packed(self, n_features: int) -> int:
        return n_features * (n_features + 1) // 2

    def n_parameters(self, n_features: int) -> int:
        return n_features * (n_features + 1) // 2

    def phi(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        rows, d = x.shape
        if out is None and rows <= FEW:
            layout = _layout(d, x.device)
            return x.T.index_select(0, layout.first) * x.T.index_select(0, layout.second)
        n_shifts, half = (d + 1) // 2, d // 2
        wrapped = torch.cat([x.T, x.T[:half]])
        shifted = wrapped.as_strided((n_shifts, d, rows), (rows, rows, 1))
        if out is None:
            opposite = wrapped[:half] * wrapped[half : 2 * half]
            return torch.cat([(shifted * wrapped[:d]).flatten(0, 1), opposite if d % 2 == 0 else opposite[:0]])
        torch.mul(shifted, wrapped[:d], out=out[: n_shifts * d].view(n_shifts, d, rows))
        if d % 2 == 0:
            torch.mul(wrapped[:half], wrapped[half:d], out=out[n_shifts * d :])
        return out

    def scatter(self, x: Tensor, share: Tensor) -> Tensor:
        # Twice the multiplications, and a fifth of the time: no features are written to memory.
        return self.pack((share.unsqueeze(1) * x).mT @ x)

    def pack(self, covariance: Tensor) -> Tensor:
        layout = _layout(covariance.shape[-1], covariance.device)
        return covariance[..., layout.first, layout.second]

    def unpack(self, packed: Tensor, n_features: int) -> Tensor:
        place = _layout(n_features, packed.device).place
        return packed.index_select(1, place).view(len(packed), n_features, n_features)

    def coefficients(self, precision: Tensor) -> Tensor:
        return self.pack(precision) * _layout(precision.shape[-1], precision.device).times

    def precision(self, covariance: Tensor) -> tuple[Tensor, Tensor]:
        factor = torch.linalg.cholesky(covariance)
        log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return torch.cholesky_inverse(factor), log_det

    def whitening(self, covariance: Tensor) -> Tensor:
        factor = torch.linalg.cholesky(covariance)
        identity = torch.eye(covariance.shape[-1]).to(factor).expand_as(factor)
        inverse: Tensor = torch.linalg.solve_triangular(factor, identity, upper=False)
        return inverse.mT

    def times(self, matrix: Tensor, x: Tensor) -> Tensor:
        if len(matrix) < len(x):
            return x @ matrix[0].mT
        # A third of the calls that broadcasting takes.
        return torch.bmm(matrix, x.unsqueeze(-1)).squeeze(-1)

    def root(self, covariance: Tensor) -> Tensor:
        factor: Tensor = torch.linalg.cholesky(covariance)
        return factor

    def squared_distance(self, x: Tensor, mean: Tensor, root: Tensor) -> Tensor:
        whitened: Tensor = torch.linalg.solve_triangular(root, (x - mean).T, upper=False)
        return whitened.square().sum(0)

    def regularized(self, covariance: Tensor, amount: float) -> Tensor:
        return covariance + amount * torch.eye(covariance.shape[-1]).to(covariance)

    def unconstrain(self, covariance: Tensor) -> Tensor:
        factor = torch.linalg.cholesky(covariance)
        i, j = torch.tril_indices(factor.shape[-1], factor.shape[-1], offset=-1, device=factor.device)
        return torch.cat([factor.diagonal(dim1=-2, dim2=-1).log(), factor[:, i, j]], dim=1)

    def constrain(self, numbers: Tensor, n_features: int) -> Tensor:
        i, j = torch.tril_indices(n_features, n_features, offset=-1, device=numbers.device)
        group = torch.arange(len(numbers), device=numbers.device).unsqueeze(1)
        factor = torch.diag_embed(numbers[:, :n_features].exp())
        factor = factor.index_put((group, i, j), numbers[:, n_features:])
        return factor @ factor.mT

    def scaled(self, covariance: Tensor, noise: Tensor, index: Tensor | None = None) -> Tensor:
        values, vectors = torch.linalg.eigh(covariance)
        root = vectors * values.clamp_min(0).sqrt().unsqueeze(-2)
        root = root if index is None else root[index]
        scaled: Tensor = noise @ root.mT if root.dim() == 2 else (root @ noise.unsqueeze(-1)).squeeze(-1)
        return scaled

    def matrices(self, covariance: Tensor) -> Tensor:
        return covariance

    def variances(self, covariance: Tensor) -> Tensor:
        return covariance.diagonal(dim1=-2, dim2=-1)

    def from_matrices(self, matrices: Tensor) -> Tensor:
        return matrices

    def complete(self, x: Tensor, means: Tensor, covariance: Tensor, patterns: Tensor, index: Tensor) -> Completion:
        return complete_dense(x, means, covariance, patterns, index)

    def prior_count(self, degrees_of_freedom: float, n_features: int, n_components: int) -> float:
        return degrees_of_freedom + n_features + 1 + (n_components if self.tied else 1)


@dataclass(frozen=True)
class Diagonal(Covariance):
    """Independent features, (groups, features): with a variance each or, if pooled, with one for all of them."""

    pooled: bool = False

    def shape_of_one(self, n_features: int) -> tuple[int, ...]:
        return () if self.pooled else (n_features,)

    def n_packed(self, n_features: int) -> int:
        return n_features

    def n_parameters(self, n_features: int) -> int:
        return 1 if self.pooled else n_features

    def phi(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        # Stored by rows, as x is: the matrix products that follow take either order.
        return x.square().T if out is None else torch.mul(x, x, out=out.view(x.shape)).T

    def pack(self, covariance: Tensor) -> Tensor:
        return covariance

    def unpack(self, packed: Tensor, n_features: int) -> Tensor:
        return packed.mean(1, keepdim=True).expand_as(packed) if self.pooled else packed

    def coefficients(self, precision: Tensor) -> Tensor:
        return precision

    def precision(self, covariance: Tensor) -> tuple[Tensor, Tensor]:
        if not bool((covariance > 0).all()):
            raise LinAlgError("a variance is not positive")
        return covariance.reciprocal(), covariance.log().sum(-1)

    def whitening(self, covariance: Tensor) -> Tensor:
        return covariance.rsqrt()

    def times(self, matrix: Tensor, x: Tensor) -> Tensor:
        return matrix * x

    def root(self, covariance: Tensor) -> Tensor:
        return covariance.sqrt()

    def squared_distance(self, x: Tensor, mean: Tensor, root: Tensor) -> Tensor:
        return ((x - mean) / root).square().sum(1)

    def regularized(self, covariance: Tensor, amount: float) -> Tensor:
        return covariance + amount

    def unconstrain(self, covariance: Tensor) -> Tensor:
        return (covariance[:, :1] if self.pooled else covariance).log()

    def constrain(self, numbers: Tensor, n_features: int) -> Tensor:
        return numbers.exp().expand(-1, n_features)

    def scaled(self, covariance: Tensor, noise: Tensor, index: Tensor | None = None) -> Tensor:
        return (covariance if index is None else covariance[index]).sqrt() * noise

    def matrices(self, covariance: Tensor) -> Tensor:
        return torch.diag_embed(covariance)

    def variances(self, covariance: Tensor) -> Tensor:
        return covariance

    def from_matrices(self, matrices: Tensor) -> Tensor:
        return self.unpack(matrices.diagonal(dim1=-2, dim2=-1), matrices.shape[-1])

    def complete(self, x: Tensor, means: Tensor, covariance: Tensor, patterns: Tensor, index: Tensor) -> Completion:
        return complete_diagonal(x, means, covariance, patterns, index)

    def prior_count(self, degrees_of_freedom: float, n_features: int, n_components: int) -> float:
        n_means = n_components if self.tied else 1
        return (degrees_of_freedom + 2) / (n_features if self.pooled else 1) + n_means


COVARIANCES: dict[str, Covariance] = {
    "full": Full(),
    "tied": Full(tied=True),
    "diag": Diagonal(),
    "spherical": Diagonal(pooled=True),
    "tied_diag": Diagonal(tied=True),
    "tied_spherical": Diagonal(tied=True, pooled=True),
}
