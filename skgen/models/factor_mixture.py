"""Mixtures of factor analysers: normal components whose covariances are of low rank plus diagonal."""

import math

import torch
from torch import Generator, Tensor

from skgen._exact import ExactModel, Parameters, Posterior, Statistics
from skgen._tiles import Tile
from skgen.distributions.low_rank import capacity, low_rank_partial, posterior_covariance, posterior_mean
from skgen.distributions.normal import LOG_2PI

NOISES: dict[str, tuple[int, ...]] = {"diagonal": (), "isotropic": (1,), "shared": (0,)}
"""For each kind of noise, the axes of a (components, features) array along which its variances are equal."""
SMALLEST_LOG = -300.0
"""Log-responsibilities are cut here: smaller ones change nothing, and subnormal numbers are slow to multiply."""
ALIVE = 1e-100
"""Share of the weight below which a component has no rows."""
RIDGE = 1e-12
"""Added to the second moments of factors, whose prior variance is 1: it keeps them invertible, no more."""
FAINT = 0.01
"""Least variance, relative to the noise, that a factor starts with; at 0 it would stay there."""


class FactorMixturePosterior(Posterior):
    """Which component a row is from, and the factors behind it, at some parameters.

    Parameters
    ----------
    model : FactorMixture
    parameters : dict of str to Tensor
    """

    def __init__(self, model: "FactorMixture", parameters: Parameters) -> None:
        self.model = model
        self.log_weights, self.means = parameters["log_weights"], parameters["means"]
        self.loadings, self.noise = parameters["loadings"], parameters["noise"]
        self.shared = capacity(self.loadings, self.noise)
        self.precision = 1 / self.noise
        linear = self.means * self.precision
        self.map = torch.cat([self.shared.projection.flatten(0, 1), linear])
        self.offset = (self.shared.projection @ self.means.unsqueeze(2)).flatten()
        constant = self.shared.log_determinant + (linear * self.means).sum(1) + LOG_2PI * model.n_features
        self.constant = self.log_weights - 0.5 * constant

    @property
    def gain(self) -> Tensor:
        """What takes a row's deviation from a mean to E[z | x, component], (K, factors, features)."""
        gain: Tensor = torch.linalg.solve_triangular(self.shared.factor.mT, self.shared.projection, upper=True)
        return gain

    # -- densities ------------------------------------------------------------------------------------------------

    def _complete(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log p(x, component) of complete rows, (K, rows), and coordinates of the factors, (rows, K, factors).

        Coordinates u are whitened: z given x and the component is N(L^-T u, L^-T L^-1).
        """
        product = x @ self.map.T
        split = self.offset.numel()
        u = (product[:, :split] - self.offset).view(len(x), *self.loadings.shape[::2])
        quadratic = self.precision @ self.model.squares(x).T
        joint = self.constant.unsqueeze(1) + product[:, split:].T + 0.5 * (u.square().sum(2).T - quadratic)
        return joint, u

    def _incomplete(self, tile: Tile) -> tuple[Tensor, Tensor, Tensor]:
        """log p(observed, component), (K, rows), E[z | observed] and Cholesky factors of its inverse covariance."""
        assert tile.observed is not None
        log_prob, z, factor = low_rank_partial(tile.x, *tile.observed, self.means, self.loadings, self.noise)
        return self.log_weights.unsqueeze(1) + log_prob, z, factor

    def joint(self, tile: Tile) -> Tensor:
        """log p(x, component) for every component and row, (K, rows), in nats; differentiable."""
        return self._complete(tile.x)[0] if tile.observed is None else self._incomplete(tile)[0]

    def log_prob(self, tile: Tile) -> Tensor:
        return torch.logsumexp(self.joint(tile), 0)

    def factors(self, tile: Tile) -> tuple[Tensor, Tensor]:
        """p(component | x), (K, rows), and E[z | x, component], (K, rows, factors)."""
        if tile.observed is None:
            joint, u = self._complete(tile.x)
            z = posterior_mean(u.movedim(1, 0), self.shared.factor)
        else:
            joint, z, _ = self._incomplete(tile)
        return torch.softmax(joint, 0), z

    def completed(self, tile: Tile, generator: Generator | None = None) -> Tensor:
        """Rows with missing entries at their conditional means, or drawn given the observed ones, (rows, features)."""
        if tile.observed is None:
            return tile.x
        joint, z, factor = self._incomplete(tile)
        r = torch.softmax(joint, 0)
        if generator is None:
            values = torch.einsum("kn,knd->nd", r, self.means.unsqueeze(1) + z @ self.loadings.mT)
        else:
            k, rows = drawn(r, generator), torch.arange(len(tile.x), device=r.device)
            z = z[k, rows] + _spread(_normal(z[k, rows], generator), factor[k, rows])
            values = self.generated(k, z, generator)
        return torch.where(tile.observed.mask, tile.x, values)

    def generated(self, labels: Tensor, z: Tensor, generator: Generator) -> Tensor:
        """Rows drawn from p(x | z, component), (rows, features)."""
        noise = self.noise.expand_as(self.means).sqrt()[labels]
        x = (self.loadings[labels] @ z.unsqueeze(2)).squeeze(2) + self.means[labels]
        return x + noise * _normal(x, generator)

    def sample(self, n_rows: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Rows drawn from the mixture, (rows, features), and the components that they are from."""
        labels = drawn(self.log_weights.exp().unsqueeze(1).expand(-1, n_rows), generator)
        z = _normal(self.means.new_empty(n_rows, self.loadings.shape[2]), generator)
        return self.generated(labels, z, generator), labels

    # -- statistics -----------------------------------------------------------------------------------------------

    def expect(self, tile: Tile) -> tuple[Statistics, Tensor]:
        if tile.observed is None:
            joint, u = self._complete(tile.x)
            r, value = shares(joint, tile.weight)
            return self._sums(tile.x, r, u, expected=True), value
        joint, z, factor = self._incomplete(tile)
        r, value = shares(joint, tile.weight)
        return self._completed_sums(tile, r, z, posterior_covariance(factor)), value

    def draw(self, tile: Tile, generator: Generator) -> Statistics:
        if tile.observed is None:
            joint, u = self._complete(tile.x)
            r = self._one_drawn(joint, tile.weight, generator)
            return self._sums(tile.x, r, u.add_(_normal(u, generator)), expected=False)
        joint, z, factor = self._incomplete(tile)
        r = self._one_drawn(joint, tile.weight, generator)
        return self._completed_sums(tile, r, z + _spread(_normal(z, generator), factor), None)

    @staticmethod
    def _one_drawn(joint: Tensor, weight: Tensor | None, generator: Generator) -> Tensor:
        """Weights of rows at one component drawn for each, 0 elsewhere, (K, rows)."""
        labels = drawn(torch.softmax(joint, 0), generator)
        one = torch.zeros_like(joint).scatter_(0, labels.unsqueeze(0), 1.0)
        return one if weight is None else one * weight

    def _sums(self, x: Tensor, r: Tensor, u: Tensor, *, expected: bool) -> Statistics:
        """Statistics of complete rows; of coordinates u as they are, or with their unit covariance added."""
        weight, factor = r.sum(1), self.shared.factor
        weighted = u * r.T.unsqueeze(2)
        cross = (x.T @ weighted.flatten(1)).view(-1, *u.shape[1:]).movedim(1, 0)
        second = weighted.permute(1, 2, 0) @ u.movedim(1, 0)
        if expected:
            second = second + torch.diag_embed(weight.unsqueeze(1).expand(-1, u.shape[2]))
        return {
            "weight": weight,
            "first": r @ x,
            "square": (r.sum(0, keepdim=True) if 0 in self.model.pooled else r) @ self.model.squares(x),
            "cross": posterior_mean(cross, factor),
            "latent": posterior_mean(weighted.sum(0).unsqueeze(1), factor).squeeze(1),
            "latent_second": posterior_mean(posterior_mean(second, factor).mT, factor),
        }

    def _completed_sums(self, tile: Tile, r: Tensor, z: Tensor, covariance: Tensor | None) -> Statistics:
        """Statistics of incomplete rows: a missing entry is w'z + mean, plus noise, given the factors."""
        assert tile.observed is not None
        extended = torch.cat([z, torch.ones_like(z[..., :1])], -1)
        moments = extended.unsqueeze(3) * extended.unsqueeze(2)
        if covariance is not None:
            moments[..., :-1, :-1] += covariance
        moments *= r[..., None, None]
        missing = (~tile.observed.mask).to(z)
        unseen = (missing.T @ moments.flatten(2)).unflatten(2, moments.shape[2:])
        regression = torch.cat([self.loadings, self.means.unsqueeze(2)], 2)
        filled = (unseen @ regression.unsqueeze(3)).squeeze(3)
        seen = tile.x.T @ (extended * r.unsqueeze(2))
        square = r @ tile.x.square() + (filled * regression).sum(2) + self.noise * unseen[..., -1, -1]
        total = moments.sum(1)
        return {
            "weight": total[:, -1, -1],
            "first": (seen + filled)[..., -1],
            "square": self.model.pool(square),
            "cross": (seen + filled)[..., :-1],
            "latent": total[:, :-1, -1],
            "latent_second": total[:, :-1, :-1],
        }


class FactorMixture(ExactModel):
    r"""A mixture of factor analysers, learnt and evaluated without a matrix of features x features.

    .. math:: p(x) = \sum_k \pi_k N(x; \mu_k, W_k W_k' + \Psi_k), \qquad x = \mu_k + W_k z + \epsilon

    Parameters are ``log_weights`` (K,), ``means`` (K, d), ``loadings`` W (K, d, q) and ``noise``, the diagonal of
    :math:`\Psi_k`: (K, d), (K, 1) if isotropic, (1, d) if shared. The M-step is exact in loadings, means and noise
    together (Ghahramani and Hinton 1997, https://mlg.eng.cam.ac.uk/zoubin/papers/tr-96-1.pdf).

    Parameters
    ----------
    n_features, n_components, n_factors : int
        Sizes d, K and q.
    noise : {"diagonal", "isotropic", "shared"}, default="diagonal"
        Whether noise variances differ from column to column in each component, between components only, or between
        columns only.
    reg_covar : float, default=0.0
        Variance added to every column in the covariance that a component is fitted to, and the smallest noise
        variance. With enough factors this is what a full covariance with ``reg_covar`` added is.
    min_noise : float, default=1e-12
        Smallest noise variance where ``reg_covar`` is smaller.
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
        return values.sum(self.pooled, keepdim=True) if self.pooled else values

    def squares(self, x: Tensor) -> Tensor:
        """Squares of rows (rows, features), or their sums (rows, 1) where these are all that matters."""
        return x.square().sum(1, keepdim=True) if 1 in self.pooled else x.square()

    def bind(self, parameters: Parameters) -> FactorMixturePosterior:
        return FactorMixturePosterior(self, parameters)

    # -- learning -------------------------------------------------------------------------------------------------

    def m_step(self, statistics: Statistics, parameters: Parameters) -> Parameters:
        """The exact M-step of the model with factors of any mean and covariance, brought back to standard factors.

        The detour (Liu, Rubin and Wu 1998) raises the likelihood no less, costs nothing, and is far faster where the
        noise is small.
        """
        weight = statistics["weight"]
        alive = weight > ALIVE * weight.sum()
        share = torch.where(alive, weight, 1.0)
        means, latent = (statistics[name] / share[:, None] for name in ("first", "latent"))
        cross, second = (statistics[name] / share[:, None, None] for name in ("cross", "latent_second"))
        if self.reg_covar:
            gain = self.bind(parameters).gain
            cross, second = cross + self.reg_covar * gain.mT, second + self.reg_covar * (gain @ gain.mT)
        second = second - latent.unsqueeze(2) * latent.unsqueeze(1)
        second.diagonal(dim1=1, dim2=2).add_(RIDGE)
        factor, cross = torch.linalg.cholesky(second), cross - means.unsqueeze(2) * latent.unsqueeze(1)
        loadings = torch.linalg.solve_triangular(factor.mT, cross, upper=True, left=False)
        explained = weight.unsqueeze(1) * (loadings.square().sum(2) + means.square() - self.reg_covar)
        count = self.pool(weight.unsqueeze(1).expand_as(means))
        noise = ((statistics["square"] - self.pool(explained)) / count).clamp(min=self.min_noise)
        new = {"means": means, "loadings": loadings, "noise": noise}
        if not alive.all():
            new = {name: self._kept(name, value, parameters[name], alive) for name, value in new.items()}
        return {"log_weights": torch.log(torch.where(alive, weight, ALIVE * weight.sum()) / weight.sum()), **new}

    def _kept(self, name: str, new: Tensor, old: Tensor, alive: Tensor) -> Tensor:
        """New values for the components that have rows; the others keep what they have."""
        if name == "noise" and 0 in self.pooled:
            return new
        return torch.where(alive.reshape(-1, *[1] * (new.dim() - 1)), new, old)

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

    # -- starting -------------------------------------------------------------------------------------------------

    def initial(self, x: Tensor, weight: Tensor, responsibilities: Tensor) -> Parameters:
        """Parameters from a clustering: probabilistic PCA of each cluster, in closed form.

        Parameters
        ----------
        x : Tensor of shape (rows, features)
            Centred rows, NaN where missing, which counts as the cluster's mean.
        weight : Tensor of shape (rows,)
            Weights.
        responsibilities : Tensor of shape (rows, K)
            Shares of the clusters in each row.
        """
        r = (responsibilities * weight.unsqueeze(1)).T
        total = r.sum(1).clamp(min=ALIVE)
        there = ~torch.isnan(x)
        filled = torch.where(there, x, 0.0)
        counts = r @ there.to(x)
        means = (r @ filled) / counts.clamp(min=ALIVE)
        loadings, noise = [], []
        for share, mean, size in zip(r, means, total, strict=True):
            kept = share > 0
            scale = torch.sqrt(share[kept] / size).unsqueeze(1)
            found, residual = self._principal(torch.where(there[kept], filled[kept] - mean, 0.0) * scale)
            loadings.append(found)
            noise.append(residual)
        variances = self.pool(total.unsqueeze(1) * torch.stack(noise)) / self.pool(total.unsqueeze(1).expand_as(means))
        return {
            "log_weights": torch.log(total / total.sum()),
            "means": means,
            "loadings": torch.stack(loadings),
            "noise": variances.clamp(min=self.min_noise),
        }

    def _principal(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Loadings (features, factors) of PPCA on rows y with covariance y'y + reg_covar, and variances left over."""
        rows, d = y.shape
        q = self.n_factors
        values, vectors = torch.linalg.eigh(y.T @ y if rows >= d else y @ y.T)
        top = vectors[:, -q:].flip(1)
        if rows < d:
            top = torch.nn.functional.pad(y.T @ top, (0, max(0, q - rows)))
            top = torch.linalg.qr(top / torch.linalg.vector_norm(top, dim=0).clamp(min=ALIVE))[0]
        leading = torch.nn.functional.pad(values[-q:].flip(0), (0, max(0, q - rows))).clamp(min=0) + self.reg_covar
        variance = y.square().sum(0) + self.reg_covar
        rest = ((variance.sum() - leading.sum()) / max(1, d - q)).clamp(min=self.min_noise)
        loadings = top * torch.sqrt(torch.maximum(leading - rest, FAINT * rest))
        return loadings, (variance - loadings.square().sum(1)).clamp(min=FAINT * variance)


def shares(joint: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Responsibilities times weights, in the memory of log p(x, component), and the sum of weight times log p(x)."""
    peak = joint.amax(0)
    r = joint.sub_(peak).clamp_(min=SMALLEST_LOG).exp_()
    total = r.sum(0)
    log_prob = total.log().add_(peak)
    if weight is None:
        return r.div_(total), log_prob.sum()
    return r.mul_(weight / total), torch.dot(log_prob, weight)


def drawn(probabilities: Tensor, generator: Generator) -> Tensor:
    """Labels drawn from the columns of probabilities (K, rows), (rows,)."""
    return torch.multinomial(probabilities.T, 1, generator=generator).squeeze(1)


def _normal(like: Tensor, generator: Generator) -> Tensor:
    """Standard normal numbers in the shape of a tensor."""
    return torch.empty_like(like).normal_(generator=generator)


def _spread(noise: Tensor, factor: Tensor) -> Tensor:
    """Noise (..., q) times L^-T, whose covariance is that of the factors given a row."""
    spread: Tensor = torch.linalg.solve_triangular(factor.mT, noise.unsqueeze(-1), upper=True).squeeze(-1)
    return spread
