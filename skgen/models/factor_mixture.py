"""Mixtures of factor analysers: normal components whose covariances are of low rank plus diagonal."""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from skgen._exact_model import Parameters, Statistics
from skgen.distributions.normal import standard_normal
from skgen.models.components import RepairableMixture, draw_sorted_labels
from skgen.models.factor_posterior import FactorMixturePosterior, pooled

NOISES: dict[str, tuple[int, ...]] = {"diagonal": (), "isotropic": (1,), "shared": (0,)}
"""For each kind of noise, the axes of a (components, features) array along which its variances are equal."""
SMALLEST_NOISE = 1e-12
"""Smallest noise variance as a share of the second moment of its column: what float64 tells from 0."""
ALIVE = 1e-100
"""Share of the weight below which a component has no rows."""
RIDGE = 1e-12
"""Added to the second moments of factors, relative to these or to the prior's: it keeps them invertible, no more."""
RARE = 1e-8
"""Share of a component's rows below which it learns nothing of a feature that is seen in so few."""
TILE_NUMBERS = 6 * 2**20
"""Numbers in the arrays of a tile of incomplete rows."""
FAINT = 0.01
"""Least variance, relative to the noise, that a factor starts with; at 0 it would stay there."""


class FactorMixture(RepairableMixture):
    r"""A mixture of factor analysers, learnt and evaluated without a matrix of features x features.

    .. math:: p(x) = \sum_k \pi_k N(x; \mu_k, W_k W_k' + \Psi_k), \qquad x = \mu_k + W_k z + \epsilon

    Parameters are ``log_weights`` (K,), ``means`` (K, d), ``loadings`` W (K, d, q) and ``noise``, the diagonal of
    :math:`\Psi_k`: (K, d), (K, 1) if isotropic, (1, d) if shared. The M-step is exact in loadings, means and noise
    together (Ghahramani and Hinton 1997, https://mlg.eng.cam.ac.uk/zoubin/papers/tr-96-1.pdf). It also fits mean and
    covariance of the factors, which are then moved into means and loadings (parameter expansion, Liu, Rubin and Wu
    1998, https://doi.org/10.1093/biomet/85.4.755): same fixed points and rising likelihood, far fewer iterations.

    Parameters
    ----------
    n_features, n_components, n_factors : int
        Sizes d, K and q.
    noise : {"diagonal", "isotropic", "shared"}, default="diagonal"
        Whether noise variances differ from column to column in each component, between components only, or between
        columns only.
    reg_covar : float, default=0.0
        Smallest noise variance. The M-step finds the maximum under this bound, so the likelihood still never falls.
    min_noise : float, default=1e-12
        Smallest noise variance where ``reg_covar`` is smaller; a component all of whose variances fall to it is
        degenerate.
    """

    def __init__(
        self,
        n_features: int,
        n_components: int,
        n_factors: int,
        noise: str = "diagonal",
        *,
        reg_covar: float = 0.0,
        min_noise: float = 1e-12,
    ) -> None:
        self.n_features, self.n_components, self.n_factors = n_features, n_components, n_factors
        self.pooled, self.reg_covar = NOISES[noise], reg_covar
        self.min_noise = max(reg_covar, min_noise)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters."""
        k, d, q = self.n_components, self.n_features, self.n_factors
        noise = tuple(1 if axis in self.pooled else size for axis, size in enumerate((k, d)))
        return {"log_weights": (k,), "means": (k, d), "loadings": (k, d, q), "noise": noise}

    def n_parameters(self) -> int:
        """Free parameters; factors may be rotated at will, so rotations count for nothing."""
        numbers = sum(math.prod(shape) for shape in self.shapes().values())
        return numbers - 1 - self.n_components * (self.n_factors * (self.n_factors - 1) // 2)

    def pool(self, values: Tensor) -> Tensor:
        """Sums of (components, features) over the entries that share a noise variance."""
        return pooled(values, self.pooled)

    def _floor(self, second: Tensor, least: float | None = None) -> Tensor:
        """Smallest noise variances of columns with some second moments; at least ``least``, or ``min_noise``."""
        return (SMALLEST_NOISE * second).clamp(min=self.min_noise if least is None else least)

    def bind(self, parameters: Parameters) -> FactorMixturePosterior:
        return FactorMixturePosterior(parameters)

    # -- learning -------------------------------------------------------------------------------------------------

    def m_step(self, statistics: Statistics, parameters: Parameters) -> Parameters:
        """The exact M-step of the model with factors of any mean and covariance, brought back to standard factors.

        Each feature is regressed on (1, z) of the rows in which it is observed.
        """
        weight = statistics["weight"]
        alive = weight > ALIVE * weight.sum()
        share = torch.where(alive, weight, 1.0).reshape(-1, 1, 1)
        cross, products = statistics["cross"] / share, statistics["products"] / share
        products = torch.where(alive.reshape(-1, 1, 1), products, torch.eye(products.shape[-1]).to(products))
        unseen = statistics["unseen"] / share.unsqueeze(3) if "unseen" in statistics else None
        count, explained, means, loadings = self._regression(cross, products, unseen)
        total = self.pool(weight.unsqueeze(1) * count)
        residual = (statistics["square"] - self.pool(weight.unsqueeze(1) * explained)) / total
        noise = torch.maximum(residual, self._floor(statistics["square"] / total))
        new = {"means": means, "loadings": loadings, "noise": noise}
        log_weights = torch.log(torch.where(alive, weight, ALIVE * weight.sum()) / weight.sum())
        return {"log_weights": log_weights} | self._where_told(new, parameters, alive.unsqueeze(1) & (count > RARE))

    def _regression(
        self, cross: Tensor, products: Tensor, unseen: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Shares of the rows in which features are seen, explained squares, means and loadings for standard factors.

        With R R' the products of (1, z), z has the mean and the Cholesky factor of the covariance that stand in R, and
        coefficients c on (1, z) are R'c on (1, standard factors).
        """
        ridge = RIDGE * products.diagonal(dim1=-2, dim2=-1).clamp(min=1)
        ridge[:, 0] = 0
        root = torch.linalg.cholesky(products + torch.diag_embed(ridge))
        if unseen is None:
            half = torch.linalg.solve_triangular(root, cross.mT, upper=False).mT
            count, coefficients = torch.ones_like(cross[..., 0]), half
        else:
            seen = products.unsqueeze(1) - unseen
            count = seen[..., 0, 0].clone()
            seen += torch.diag_embed(count.clamp(min=0.01).unsqueeze(2) * ridge.unsqueeze(1))
            seen[count <= RARE] = torch.eye(seen.shape[-1]).to(seen)
            factor = torch.linalg.cholesky(seen)
            half = torch.linalg.solve_triangular(factor, cross.unsqueeze(3), upper=False)
            coefficients = torch.linalg.solve_triangular(factor.mT, half, upper=True).squeeze(3) @ root
            half = half.squeeze(3)
        return count, half.square().sum(2), coefficients[..., 0], coefficients[..., 1:]

    def _where_told(self, new: Parameters, old: Parameters, told: Tensor) -> Parameters:
        """New values where rows tell them, (K, features); elsewhere the old ones."""
        if bool(told.all()):
            return new
        marks = {"means": told, "loadings": told.unsqueeze(2), "noise": self.pool(told.double()) > 0}
        return {name: torch.where(marks[name], value, old[name]) for name, value in new.items()}

    def unconstrain(self, parameters: Parameters) -> Tensor:
        log_weights, noise = parameters["log_weights"], parameters["noise"]
        free = torch.log((noise - self.min_noise).clamp(min=1e-3 * self.min_noise))
        parts = [log_weights[:-1] - log_weights[-1], parameters["means"], parameters["loadings"], free]
        return torch.cat([part.flatten() for part in parts])

    def constrain(self, vector: Tensor) -> Parameters:
        shapes = self.shapes() | {"log_weights": (self.n_components - 1,)}
        parts = vector.split([math.prod(shape) for shape in shapes.values()])
        named = {name: part.view(shapes[name]) for name, part in zip(shapes, parts, strict=True)}
        ratios = torch.cat([named["log_weights"], vector.new_zeros(1)])
        return named | {
            "log_weights": torch.log_softmax(ratios, 0),
            "noise": self.min_noise + torch.exp(named["noise"]),
        }

    def tile_rows(self) -> int:
        """Rows of a tile whose products stay in a processor's cache."""
        return 1024

    def incomplete_tile_rows(self) -> int:
        """Rows of a tile of incomplete rows, each of which has its own moments of factors."""
        numbers = self.n_components * (3 * (self.n_factors + 1) ** 2 + 4 * self.n_features)
        return min(256, max(16, TILE_NUMBERS // numbers))

    def sample(self, parameters: Parameters, n_rows: int, generator: Generator) -> tuple[Tensor, Tensor]:
        label = draw_sorted_labels(parameters["log_weights"], n_rows, generator)
        z = standard_normal(parameters["means"].new_empty(n_rows, self.n_factors), generator)
        return self.bind(parameters).rows_from(label, z, generator), label

    # -- degenerate components ------------------------------------------------------------------------------------

    def degenerate(self, parameters: Parameters) -> Tensor:
        """True for components without any noise that float64 tells from 0, (K,)."""
        second = parameters["means"].square() + parameters["loadings"].square().sum(2)
        # Noise at a bound that was asked for is no sign of collapse.
        smallest = self._floor(2 * second, 0.0 if self.reg_covar else self.min_noise)
        return (parameters["noise"] <= smallest).all(1)

    def of_components(self) -> set[str]:
        return {"log_weights", "means", "loadings"} | (set() if 0 in self.pooled else {"noise"})

    def borrowed(self, parameters: Parameters, marks: Tensor) -> Parameters:
        """The factors and the noise of the heaviest of the others."""
        heaviest = parameters["log_weights"].masked_fill(marks, -math.inf).argmax()
        source = torch.where(marks, heaviest, torch.arange(self.n_components, device=marks.device))
        return {name: parameters[name][source] for name in self.of_components() - {"log_weights", "means"}}

    # -- starting -------------------------------------------------------------------------------------------------

    def from_responsibilities(self, r: Tensor, x: Tensor) -> Parameters:
        """Probabilistic PCA of each cluster in closed form, with the noise variances that it leaves.

        Parameters
        ----------
        r : Tensor of shape (K, rows)
            Shares of the clusters in each row, times its weight.
        x : Tensor of shape (rows, features)
            Complete rows.
        """
        # Rows may have any unit of weight.
        r = r / r.sum()
        total = r.sum(1).clamp(min=ALIVE)
        means = r @ x / total.unsqueeze(1)
        rows = [
            torch.sqrt(share[share > 0] / size).unsqueeze(1) * (x[share > 0] - mean)
            for share, size, mean in zip(r, total, means, strict=True)
        ]
        loadings, noise = (torch.stack(parts) for parts in zip(*map(self._principal, rows), strict=True))
        count = self.pool(total.unsqueeze(1).expand_as(means))
        return {
            "log_weights": torch.log(total / total.sum()),
            "means": means,
            "loadings": loadings,
            "noise": (self.pool(total.unsqueeze(1) * noise) / count).clamp(min=self.min_noise),
        }

    def _principal(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Loadings (features, factors) of PPCA on rows with covariance y'y, and the variances that they leave."""
        n_rows, d = y.shape
        q = self.n_factors
        lacking = (0, max(0, q - n_rows))
        values, vectors = torch.linalg.eigh(y.T @ y if n_rows >= d else y @ y.T)
        top = vectors[:, -q:].flip(1)
        if n_rows < d:  # QR makes up for the directions that few rows do not have
            top = F.pad(y.T @ top, lacking)
            top = torch.linalg.qr(top / torch.linalg.vector_norm(top, dim=0).clamp(min=ALIVE))[0]
        leading = F.pad(values[-q:].flip(0), lacking).clamp(min=0)
        variance = y.square().sum(0)
        rest = ((variance.sum() - leading.sum()) / max(1, d - q)).clamp(min=self.min_noise)
        loadings = top * torch.sqrt(torch.maximum(leading - rest, FAINT * rest))
        return loadings, (variance - loadings.square().sum(1)).clamp(min=FAINT * variance)
