"""The linear Gaussian model: probabilistic PCA and factor analysis.

z ~ N(0, I) and x | z ~ N(W z + mean, Psi), with Psi = sigma^2 I (Tipping and Bishop 1999,
https://doi.org/10.1111/1467-9868.00196) or any diagonal matrix (Rubin and Thayer 1982,
https://doi.org/10.1007/BF02293851). Everything that complete rows say is in their count, sum and sums of products, so
that an iteration costs 2 features^2 * factors operations, whatever the number of rows. Of incomplete rows only the
factors are latent: a feature is regressed on the factors of the rows in which it is observed.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from skgen._exact_model import ExactModel, Parameters, Posterior, Statistics
from skgen._rows import Tile
from skgen.distributions.gram import column_sums, gram
from skgen.distributions.low_rank import (
    Partial,
    capacity,
    low_rank_log_prob,
    low_rank_partial,
    posterior_covariance,
    posterior_draw,
    posterior_mean,
    projected,
)
from skgen.distributions.normal import LOG_2PI, standard_normal, standard_normal_log_prob

SMALLEST_EXCESS = 1e-6
"""Noise variances above their floor by less than this share of it are that much above it as free parameters."""


def _outer(one: Tensor, other: Tensor) -> Tensor:
    return one[..., :, None] * other[..., None, :]


def _homogeneous(z: Tensor) -> Tensor:
    """(z, 1), on which features are regressed with an intercept."""
    return F.pad(z, (0, 1), value=1.0)


def _solved(products: Tensor, cross: Tensor) -> Tensor:
    """Coefficients of least squares; the shortest where draws of fewer rows than factors leave a choice."""
    factor, failed = torch.linalg.cholesky_ex(products)
    if not failed.any():
        return torch.cholesky_solve(cross, factor)
    inverse: Tensor = torch.linalg.pinv(products, hermitian=True)
    return inverse @ cross


class LinearGaussianPosterior(Posterior):
    """Factors given rows, and the density of rows.

    Parameters
    ----------
    mean : Tensor of shape (features,)
    loadings : Tensor of shape (features, factors)
    noise : Tensor of shape () or (features,)
        Noise variances.
    summarized : bool
        Whether complete rows are left to :meth:`expect_moments`.
    """

    def __init__(self, mean: Tensor, loadings: Tensor, noise: Tensor, *, summarized: bool) -> None:
        self.mean, self.loadings = mean, loadings
        self.noise = noise if noise.dim() else noise[None]
        self.summarized = summarized
        self.shared = capacity(loadings, self.noise)

    # -- densities and factors ------------------------------------------------------------------------------------

    def log_prob(self, tile: Tile) -> Tensor:
        if tile.observed is None:
            return low_rank_log_prob(tile.x, self.mean, self.loadings, self.noise, self.shared)
        return self.partial(tile).log_prob

    def partial(self, tile: Tile) -> Partial:
        """What the observed entries of incomplete rows say."""
        assert tile.observed is not None
        return low_rank_partial(tile.x, *tile.observed, self.mean, self.loadings, self.noise)

    def factors(self, tile: Tile) -> tuple[Tensor, Tensor]:
        """E[z | x], (rows, factors), and the Cholesky factors of the inverse of Cov[z | x].

        Complete rows share one, (factors, factors); incomplete ones have theirs, (rows, factors, factors).
        """
        if tile.observed is None:
            factor = self.shared.factor
            return posterior_mean(projected(tile.x, self.mean, self.shared), factor), factor
        partial = self.partial(tile)
        return partial.mean, partial.factor

    def drawn_factors(self, tile: Tile, generator: torch.Generator) -> Tensor:
        """One draw from p(z | x) for each row, (rows, factors)."""
        mean, factor = self.factors(tile)
        return posterior_draw(mean, factor, generator)

    def impute(self, tile: Tile, generator: torch.Generator | None = None) -> Tensor:
        if tile.observed is None:
            return tile.x
        z = self.factors(tile)[0] if generator is None else self.drawn_factors(tile, generator)
        filled = self.mean + z @ self.loadings.T
        if generator is not None:
            filled += torch.sqrt(self.noise) * standard_normal(filled, generator)
        return torch.where(tile.observed.mask, tile.x, filled)

    def latent(self, tile: Tile) -> Tensor:
        return self.factors(tile)[0]

    def log_joint(self, tile: Tile, z: Tensor) -> Tensor:
        square = (tile.x - self.mean - z @ self.loadings.T).square() / self.noise
        terms = -0.5 * (square + torch.log(self.noise) + LOG_2PI)
        if tile.observed is not None:
            terms = terms * tile.observed.mask
        return terms.sum(-1) + standard_normal_log_prob(z)

    def completed_moments(self, tile: Tile) -> Statistics:
        """Moments of a tile, expected over its missing entries: "weight", "first" and "second"."""
        filled = self.impute(tile)
        weight = torch.ones_like(filled[:, 0]) if tile.weight is None else tile.weight
        second = gram(filled, weight)
        if tile.observed is not None:
            missing = (~tile.observed.mask).to(filled)
            factor = self.partial(tile).factor
            spread = torch.linalg.solve_triangular(factor, self.loadings.T.expand(len(filled), -1, -1), upper=False)
            spread = spread * missing[:, None]
            second += gram(spread.flatten(0, 1), weight.repeat_interleave(spread.shape[1]))
            second += torch.diag((weight @ missing) * self.noise)
        return {"weight": tile.total, "first": weight @ filled, "second": second}

    # -- statistics -----------------------------------------------------------------------------------------------

    def complete(self, tile: Tile, z: Tensor, covariance: Tensor | None = None) -> Statistics:
        """Statistics of rows with factors z (rows, factors) and, where these are means, their covariance.

        Each is a sum over rows, with t = (z, 1): "cross" of t x_j and "square" of x_j^2 over the rows in which j is
        observed, (features, factors + 1) and (features,); "complete" of t t' over complete rows; "incomplete" over the
        others, (factors + 1, factors + 1), and "each" over those of them in which j is observed, for every j.
        """
        t = _homogeneous(z)
        weighted = t if tile.weight is None else t * tile.weight[:, None]
        x = tile.x
        square = x.square().sum(0) if tile.weight is None else tile.weight @ x.square()
        statistics = {"cross": x.T @ weighted, "square": square}
        spread = None if covariance is None else F.pad(covariance, (0, 1, 0, 1))
        if tile.observed is None:
            products = t.T @ weighted
            return statistics | {"complete": products if spread is None else products + tile.total * spread}
        each = _outer(t, weighted)
        if spread is not None:
            each = each + (spread if tile.weight is None else spread * tile.weight[:, None, None])
        of_features = (tile.observed.mask.to(x).T @ each.flatten(1)).unflatten(1, each.shape[1:])
        return statistics | {"incomplete": each.sum(0), "each": of_features}

    def expect(self, tile: Tile) -> tuple[Statistics, Tensor]:
        if tile.observed is None and self.summarized:
            return {}, tile.x.new_zeros(())
        if tile.observed is None:
            (mean, factor), log_prob = self.factors(tile), self.log_prob(tile)
        else:
            log_prob, mean, factor = self.partial(tile)
        value = log_prob.sum() if tile.weight is None else torch.dot(log_prob, tile.weight)
        return self.complete(tile, mean, posterior_covariance(factor)), value

    def expect_moments(self, moments: Statistics) -> tuple[Statistics, Tensor]:
        if not moments:
            return {}, self.mean.new_zeros(())
        weight, first, second = moments["weight"], moments["first"], moments["second"]
        projection, factor = self.shared.projection, self.shared.factor
        gain = torch.linalg.solve_triangular(factor.mT, projection, upper=True)
        slope, intercept = F.pad(gain, (0, 0, 0, 1)), _homogeneous(-(gain @ self.mean))
        slope_second, slope_first = slope @ second, slope @ first
        mixed = _outer(slope_first, intercept)
        products = slope_second @ slope.T + mixed + mixed.T + weight * _outer(intercept, intercept)
        statistics = {
            "cross": (slope_second + _outer(intercept, first)).T,
            "square": torch.diagonal(second),
            "complete": products + weight * F.pad(posterior_covariance(factor), (0, 1, 0, 1)),
        }
        deviation = torch.diagonal(second) - self.mean * (2 * first - weight * self.mean)
        # u = L' E[z | x], so the sum of ||u||^2 is the trace of M times the sum of E[z | x] E[z | x]'.
        explained = ((factor @ factor.T) * products[:-1, :-1]).sum()
        constant = self.shared.log_determinant + len(first) * LOG_2PI
        return statistics, -0.5 * (weight * constant + (deviation / self.noise).sum() - explained)

    def draw(self, tile: Tile, generator: torch.Generator) -> Statistics:
        return self.complete(tile, self.drawn_factors(tile, generator))


@dataclass
class LinearGaussian(ExactModel):
    """x = W z + mean + noise, with normal factors z and normal noise.

    Parameters are "mean" (features,), "loadings" (features, factors), and "noise", variances of shape () or
    (features,). An expanded M-step also fits the factors' mean and covariance, which it then moves into mean and
    loadings (Liu, Rubin and Wu 1998, https://doi.org/10.1093/biomet/85.4.755): the fixed points and the rising
    likelihood are those of plain EM, at a fraction of its iterations.

    Parameters
    ----------
    n_features, n_factors : int
    noise : {"isotropic", "diagonal"}
        Whether features share one noise variance.
    floor : float or Tensor of shape (features,)
        Smallest noise variances.
    summarized : bool
        Whether complete rows are learnt from by their sums of products, features^2 numbers; otherwise they are visited
        at every iteration, which is cheaper where there are fewer rows than features.
    expanded : bool
        Whether the M-step is expanded; not for statistics that mix those of several parameters, since it changes the
        factors that they are about.
    unit : float or Tensor of shape (features,)
        Standard deviations of the features. As free parameters, mean and loadings are multiples of them, so that steps
        of a gradient do not depend on what the features are measured in.
    """

    remedy = "Lower n_components or learning_rate, or check X for extreme values."

    n_features: int
    n_factors: int
    noise: str = "isotropic"
    floor: float | Tensor = 1e-12
    summarized: bool = True
    expanded: bool = False
    unit: float | Tensor = 1.0

    def bind(self, parameters: Parameters) -> LinearGaussianPosterior:
        return LinearGaussianPosterior(**parameters, summarized=self.summarized)

    def tile_rows(self) -> int:
        # Half a million entries stay in a processor's cache.
        return int(2 ** min(13, max(8, 19 - round(math.log2(self.n_features)))))

    def moments(self, tile: Tile) -> Statistics:
        if not self.summarized:
            return {}
        return {"weight": tile.total, "first": column_sums(tile.x, tile.weight), "second": gram(tile.x, tile.weight)}

    def sample(self, parameters: Parameters, n_rows: int, generator: torch.Generator) -> Tensor:
        """Independent draws, (n_rows, features)."""
        mean, loadings = parameters["mean"], parameters["loadings"]
        z = standard_normal(mean.new_empty(n_rows, loadings.shape[1]), generator)
        noise = standard_normal(mean.new_empty(n_rows, len(mean)), generator)
        return mean + z @ loadings.T + torch.sqrt(parameters["noise"]) * noise

    # -- M-step ---------------------------------------------------------------------------------------------------

    def m_step(self, statistics: Statistics, parameters: Parameters) -> Parameters:
        cross, square = statistics["cross"], statistics["square"]
        count, coefficients = self._regression(statistics, parameters)
        residual = (square - (coefficients * cross).sum(1)).clamp_min(0)
        if self.noise == "isotropic":
            noise = residual.sum() / count.expand_as(residual).sum()
        else:
            noise = torch.where(count > 0, residual / count, parameters["noise"])
        noise = torch.maximum(noise, self._lowest(noise))
        loadings, mean = coefficients[:, :-1], coefficients[:, -1]
        if self.expanded:
            loadings, mean = self._reduced(statistics, loadings, mean)
        return {"mean": mean, "loadings": loadings, "noise": noise}

    def _regression(self, statistics: Statistics, parameters: Parameters) -> tuple[Tensor, Tensor]:
        """Weight of the rows in which each feature is observed, and its coefficients on the factors and 1.

        Shapes (1,) or (features,), and (features, factors + 1). A feature that is observed nowhere keeps its own.
        """
        complete, cross = statistics.get("complete"), statistics["cross"]
        if "each" not in statistics:
            assert complete is not None
            return complete[-1:, -1], _solved(complete, cross.T).T
        products = statistics["each"] if complete is None else statistics["each"] + complete
        count = products[:, -1, -1]
        unseen = count <= 0
        products = products + unseen[:, None, None] * torch.eye(products.shape[1]).to(products)
        coefficients = _solved(products, cross[..., None]).squeeze(-1)
        old = torch.cat([parameters["loadings"], parameters["mean"][:, None]], 1)
        return count, torch.where(unseen[:, None], old, coefficients)

    @staticmethod
    def _reduced(statistics: Statistics, loadings: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
        """Loadings and mean for standard normal factors, where those of the statistics have other moments."""
        parts = [statistics[name] for name in ("complete", "incomplete") if name in statistics]
        products = torch.stack(parts).sum(0)
        products = products / products[-1, -1]
        shift = products[:-1, -1]
        factor, failed = torch.linalg.cholesky_ex(products[:-1, :-1] - _outer(shift, shift))
        return (loadings, mean) if failed else (loadings @ factor, mean + loadings @ shift)

    def turned(self, values: dict[str, Tensor], rotation: Tensor) -> dict[str, Tensor]:
        """Parameters, or statistics taken at them, for other axes of the factors: z in place of rotation @ z.

        With a rotation (factors, factors) the model of the rows stays the same.
        """
        turn = F.pad(rotation, (0, 1, 0, 1))
        turn[-1, -1] = 1
        changed = dict(values)
        for name in {"complete", "incomplete", "each"} & values.keys():
            changed[name] = turn.T @ values[name] @ turn
        for name, matrix in (("cross", turn), ("loadings", rotation)):
            if name in values:
                changed[name] = values[name] @ matrix
        return changed

    # -- parameters -----------------------------------------------------------------------------------------------

    def _lowest(self, like: Tensor) -> Tensor:
        """The floor, in a dtype that holds it: the default one of a number may not."""
        return torch.as_tensor(self.floor, dtype=like.dtype, device=like.device)

    def _units(self, like: Tensor) -> Tensor:
        """Standard deviations of features, (features,)."""
        return torch.as_tensor(self.unit, dtype=like.dtype, device=like.device).expand(self.n_features)

    def unconstrain(self, parameters: Parameters) -> Tensor:
        noise = parameters["noise"]
        floor = self._lowest(noise)
        excess = torch.maximum(noise - floor, SMALLEST_EXCESS * floor)
        unit = self._units(noise)
        mean, loadings = parameters["mean"] / unit, parameters["loadings"] / unit[:, None]
        return torch.cat([mean, loadings.flatten(), torch.log(excess).reshape(-1)])

    def constrain(self, vector: Tensor) -> Parameters:
        d, q = self.n_features, self.n_factors
        mean, loadings, excess = vector.split([d, d * q, 1 if self.noise == "isotropic" else d])
        noise, unit = torch.exp(excess) + self._lowest(vector), self._units(vector)
        return {
            "mean": mean * unit,
            "loadings": loadings.view(d, q) * unit[:, None],
            "noise": noise.squeeze(0) if self.noise == "isotropic" else noise,
        }
