"""What a row says of its component and of the factors behind it, in a mixture of factor analysers."""

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from skgen._exact_model import Parameters, Statistics
from skgen._rows import Tile
from skgen.distributions.low_rank import (
    Capacity,
    capacity,
    low_rank_log_prob,
    low_rank_partial,
    posterior_covariance,
    posterior_draw,
    posterior_mean,
    projected,
)
from skgen.distributions.normal import LOG_2PI, standard_normal
from skgen.models.components import ComponentPosterior, draw_labels, draw_responsibilities
from skgen.models.mixture import EPSILON, RESOLVED
from skgen.models.mixture_e_step import normalized


def pooled(values: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Sums over some axes, which are kept; over none if there are none."""
    return values.sum(axes, keepdim=True) if axes else values


class FactorMixturePosterior(ComponentPosterior):
    """Which component a row is from, and the factors behind it, at some parameters.

    Parameters
    ----------
    parameters : dict of str to Tensor
        Those of a :class:`~skgen.models.factor_mixture.FactorMixture`.
    """

    def __init__(self, parameters: Parameters) -> None:
        self.log_weights, self.means = parameters["log_weights"], parameters["means"]
        self.loadings, self.noise = parameters["loadings"], parameters["noise"]
        self.pooled = tuple(axis for axis, size in enumerate(self.noise.shape) if size < self.means.shape[axis])
        self.shared = capacity(self.loadings, self.noise)
        self.precision = 1 / self.noise
        linear, projection = self.means * self.precision, self.shared.projection
        self.map = torch.cat([linear.unsqueeze(1), projection], 1).flatten(0, 1)
        self.offset = F.pad(-(projection @ self.means.unsqueeze(2)).squeeze(2), (1, 0)).flatten()
        constant = self.shared.log_determinant + (linear * self.means).sum(1) + LOG_2PI * self.means.shape[1]
        self.constant = self.log_weights - 0.5 * constant
        self.expanded = self.resolved

    def _squares(self, x: Tensor) -> Tensor:
        """Squares of rows (rows, features), or their sums (rows, 1) where noise variances are equal."""
        return x.square().sum(1, keepdim=True) if 1 in self.pooled else x.square()

    # -- densities ------------------------------------------------------------------------------------------------

    @property
    def resolved(self) -> bool:
        """Whether squares may be expanded about the center: whether no typical row feels the rounding."""
        loadings, means, weights = self.loadings.detach(), self.means.detach(), self.log_weights.detach().exp()
        second = weights @ (loadings.square().sum(2) + means.square() + self.noise.detach())
        return EPSILON * float((second * self.precision.detach()).sum(1).max()) < RESOLVED

    def _complete(self, x: Tensor, squares: Tensor) -> tuple[Tensor, Tensor]:
        """log p(x, component) of complete rows, (K, rows), and (any, u), (rows, K, 1 + factors).

        Coordinates u are whitened: z given x and the component is N(L^-T u, L^-T L^-1).
        """
        if not self.expanded:
            return self._complete_one_by_one(x)
        product = torch.addmm(self.offset, x, self.map.T).view(len(x), len(self.means), -1)
        linear, u = product[..., 0], product[..., 1:]
        quadratic = self.precision @ squares.T
        return self.constant.unsqueeze(1) + (linear + 0.5 * u.square().sum(2)).T - 0.5 * quadratic, product

    def _complete_one_by_one(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The same where noise is so small that only residuals from each component's own factors tell it."""
        joint, u = [], []
        noise = self.noise.expand_as(self.means)
        for mean, loadings, variance, *shared in zip(self.means, self.loadings, noise, *self.shared, strict=True):
            joint.append(low_rank_log_prob(x, mean, loadings, variance, Capacity(*shared)))
            u.append(projected(x, mean, Capacity(*shared)))
        return self.log_weights.unsqueeze(1) + torch.stack(joint), F.pad(torch.stack(u, 1), (1, 0))

    def _incomplete(self, tile: Tile) -> tuple[Tensor, Tensor, Tensor]:
        """log p(observed, component), (K, rows), E[z | observed] and Cholesky factors of its inverse covariance."""
        assert tile.observed is not None
        log_prob, z, factor = low_rank_partial(tile.x, *tile.observed, self.means, self.loadings, self.noise)
        return self.log_weights.unsqueeze(1) + log_prob, z, factor

    def joint(self, tile: Tile) -> Tensor:
        if tile.observed is None:
            return self._complete(tile.x, self._squares(tile.x))[0]
        return self._incomplete(tile)[0]

    def factors(self, tile: Tile) -> tuple[Tensor, Tensor]:
        """p(component | x), (rows, K), and E[z | x, component], (rows, K, factors)."""
        if tile.observed is None:
            joint, product = self._complete(tile.x, self._squares(tile.x))
            z = posterior_mean(product[..., 1:].movedim(1, 0), self.shared.factor)
        else:
            joint, z, _ = self._incomplete(tile)
        return torch.softmax(joint, 0).T, z.movedim(0, 1)

    def impute(self, tile: Tile, generator: Generator | None = None) -> Tensor:
        """Every entry given the observed ones of its row: its mean, or a draw, (rows, features)."""
        joint, z, factor = self._incomplete(tile)
        probability = torch.softmax(joint, 0)
        if generator is None:
            return torch.einsum("kn,knd->nd", probability, self.means.unsqueeze(1) + z @ self.loadings.mT)
        label, rows = draw_labels(probability, generator), torch.arange(len(tile.x), device=z.device)
        drawn = posterior_draw(z[label, rows], factor[label, rows], generator)
        return self.rows_from(label, drawn, generator)

    def rows_from(self, label: Tensor, z: Tensor, generator: Generator) -> Tensor:
        """Rows (rows, features) drawn from p(x | z, component)."""
        x = (self.loadings[label] @ z.unsqueeze(2)).squeeze(2) + self.means[label]
        return x + self.noise.expand_as(self.means).sqrt()[label] * standard_normal(x, generator)

    # -- statistics -----------------------------------------------------------------------------------------------

    def expect(self, tile: Tile) -> tuple[Statistics, Tensor]:
        if tile.observed is None:
            squares = self._squares(tile.x)
            joint, product = self._complete(tile.x, squares)
            r, value = normalized(joint, tile.weight)
            statistics = self._sums(tile.x, squares, r, product)
            # E[u u' | x] is the identity more than E[u | x] E[u | x]'.
            spread = statistics["weight"].unsqueeze(1).expand(-1, self.loadings.shape[2])
            statistics["products"][:, 1:, 1:] += torch.diag_embed(spread)
            return self._standard(statistics), value
        joint, z, factor = self._incomplete(tile)
        r, value = normalized(joint, tile.weight)
        return self._incomplete_sums(tile, r, z, posterior_covariance(factor)), value

    def draw(self, tile: Tile, generator: Generator) -> Statistics:
        if tile.observed is None:
            squares = self._squares(tile.x)
            joint, product = self._complete(tile.x, squares)
            r = draw_responsibilities(joint, tile.weight, generator)
            return self._standard(self._sums(tile.x, squares, r, product + standard_normal(product, generator)))
        joint, z, factor = self._incomplete(tile)
        r = draw_responsibilities(joint, tile.weight, generator)
        return self._incomplete_sums(tile, r, posterior_draw(z, factor, generator), None)

    def _sums(self, x: Tensor, squares: Tensor, r: Tensor, product: Tensor) -> Statistics:
        """Sums over complete rows of products of rows and of (1, u), which takes the memory of the product."""
        product[..., 0] = 1
        weighted = product * r.T.unsqueeze(2)
        return {
            "weight": r.sum(1),
            "square": (r.sum(0, keepdim=True) if 0 in self.pooled else r) @ squares,
            "cross": (x.T @ weighted.flatten(1)).view(-1, *product.shape[1:]).movedim(1, 0),
            "products": weighted.permute(1, 2, 0) @ product.movedim(1, 0),
        }

    def _standard(self, statistics: Statistics) -> Statistics:
        """Statistics of (1, z) from those of (1, u)."""
        factor = F.pad(self.shared.factor, (1, 0, 1, 0))
        factor[:, 0, 0] = 1
        cross, products = (posterior_mean(statistics[name], factor) for name in ("cross", "products"))
        return statistics | {"cross": cross, "products": posterior_mean(products.mT, factor)}

    def _incomplete_sums(self, tile: Tile, r: Tensor, z: Tensor, covariance: Tensor | None) -> Statistics:
        """Sums over incomplete rows, and those of the products of (1, z) over rows in which a feature is missing."""
        assert tile.observed is not None
        extended = F.pad(z, (1, 0), value=1.0)
        moments = extended.unsqueeze(3) * extended.unsqueeze(2)
        if covariance is not None:
            moments[..., 1:, 1:] += covariance
        moments *= r[..., None, None]
        missing = (~tile.observed.mask).to(z)
        return {
            "weight": r.sum(1),
            "square": pooled(r @ tile.x.square(), self.pooled),
            "cross": tile.x.T @ (extended * r.unsqueeze(2)),
            "products": moments.sum(1),
            "unseen": (missing.T @ moments.flatten(2)).unflatten(2, moments.shape[2:]),
        }
