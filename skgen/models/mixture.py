"""Mixtures of normal distributions with any structure of covariances."""

from functools import cached_property

import torch
from torch import Tensor

from skgen._exact_model import Parameters, Statistics
from skgen._rows import Tile
from skgen.distributions.covariance import Covariance
from skgen.distributions.missing import Completion
from skgen.distributions.normal import LOG_2PI, standard_normal
from skgen.models.components import (
    ComponentPosterior,
    RepairableMixture,
    draw_labels,
    draw_responsibilities,
    draw_sorted_labels,
)
from skgen.models.conjugate import ConjugateTerms, mode_of_weights
from skgen.models.mixture_e_step import Products, normalized

RESOLVED_SINGLE, SURVIVED_SINGLE = 1e-4, 1e-2
"""The same for rows in float32: before a pass over them, and for the parameters that come of it."""
RESOLVED = 1e-8
"""Largest bound on rounding errors, in nats, of log-densities that are computed from features about the center."""
FLAT = 1e-13
"""Share of all rows' covariance at which that of a component is a rounding error."""
EPSILON, SINGLE_EPSILON = torch.finfo(torch.float64).eps, torch.finfo(torch.float32).eps


def positive(count: Tensor) -> Tensor:
    """Expected numbers of rows to divide by; rows may have any unit of weight, so no larger number is added."""
    return count.clamp_min(torch.finfo(count.dtype).tiny)


def statistics_about(covariance: Covariance, r: Tensor, x: Tensor, origin: Tensor) -> Statistics:
    """Statistics about an origin for each component (K, features).

    Rows are (rows, features), or (K, rows, features) where each component completes them in its own way.
    """
    each = x.expand(len(origin), *x.shape) if x.dim() == 2 else x
    deviations = [rows - point for rows, point in zip(each, origin, strict=True)]
    first = torch.stack([share @ deviation for share, deviation in zip(r, deviations, strict=True)])
    second = torch.stack([covariance.scatter(d, share) for share, d in zip(r, deviations, strict=True)])
    return {"weight": r.sum(1), "first": first, "second": covariance.grouped(second)}


def magnitude(
    covariance: Covariance, log_weights: Tensor, means: Tensor, covariances: Tensor, precision: Tensor
) -> float:
    """The size of what a typical row's log-density is added up from, if taken from features about the center."""
    variances = covariance.variances(covariances)
    typical = (torch.softmax(log_weights, 0) @ (means.square() + variances)).sqrt()
    # Terms of either sign cancel where features are correlated, and their errors do not.
    return float((covariance.times(precision.abs(), typical.expand_as(means)) @ typical).detach().max())


class MixturePosterior(ComponentPosterior):
    """Which component a row is from, at some parameters.

    Parameters
    ----------
    covariance : Covariance
        Structure of the covariances.
    log_weights : Tensor of shape (K,)
        Logarithms of the weights, or of anything else that multiplies the components' densities.
    means : Tensor of shape (K, features)
        Means.
    covariances : Tensor of shape (groups, ...)
        Covariances, in the form of their structure.
    reference : Tensor of shape (K, features) or None
        Where statistics are taken about; None takes them about the center, which is fast.
    precision : tuple of Tensor, default=None
        What ``covariance.precision`` says of the covariances, where it is known.
    """

    def __init__(
        self,
        covariance: Covariance,
        log_weights: Tensor,
        means: Tensor,
        covariances: Tensor,
        reference: Tensor | None,
        precision: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        self.covariance, self.log_weights, self.means, self.covariances = covariance, log_weights, means, covariances
        self.reference = reference
        self.precision, log_det = covariance.precision(covariances) if precision is None else precision
        self.constant = log_weights - 0.5 * (log_det + LOG_2PI * means.shape[1])
        self.linear = covariance.times(self.precision, means)
        self.quadratic = -0.5 * covariance.coefficients(self.precision)
        self.offset = self.constant - 0.5 * (self.linear * means).sum(1)
        self.products = Products(covariance, self.offset, self.linear, self.quadratic)

    # -- densities ------------------------------------------------------------------------------------------------

    def joint(self, tile: Tile) -> Tensor:
        if tile.observed is not None:
            return self.log_weights.unsqueeze(1) + self.completion(tile).log_prob
        x = tile.x.double()
        if self.reference is None:
            return self.linear @ x.T + self.quadratic @ self.covariance.phi(x) + self.offset.unsqueeze(1)
        roots = self.roots.expand(len(self.means), *self.roots.shape[1:])
        distance = [self.covariance.squared_distance(x, mean, r) for mean, r in zip(self.means, roots, strict=True)]
        return self.constant.unsqueeze(1) - 0.5 * torch.stack(distance)

    @cached_property
    def roots(self) -> Tensor:
        """Roots of the covariances, (groups, ...)."""
        return self.covariance.root(self.covariances)

    def completion(self, tile: Tile) -> Completion:
        """What each component says of the missing entries of a tile's rows."""
        assert tile.observed is not None
        return self.covariance.complete(tile.x, self.means, self.covariances, *tile.observed)

    # -- statistics -----------------------------------------------------------------------------------------------

    def expect(self, tile: Tile) -> tuple[Statistics, Tensor]:
        if tile.observed is not None:
            completion = self.completion(tile)
            r, value = normalized(self.log_weights.unsqueeze(1) + completion.log_prob, tile.weight)
            return self._completed(r, completion, tile.observed.index), value
        if self.reference is not None:
            r, value = normalized(self.joint(tile), tile.weight)
            return self._about_reference(r, tile.x.double()), value
        single = tile.x.dtype == torch.float32 and self.fits_single
        return self.products(tile.x if single else tile.x.double(), tile.weight)

    @cached_property
    def fits_single(self) -> bool:
        """Whether float32 resolves the log-densities of rows in float32."""
        size = magnitude(self.covariance, self.log_weights, self.means, self.covariances, self.precision)
        return SINGLE_EPSILON * size < RESOLVED_SINGLE

    def _about_reference(self, r: Tensor, x: Tensor) -> Statistics:
        origin = torch.zeros_like(self.means) if self.reference is None else self.reference
        return statistics_about(self.covariance, r, x, origin)

    def _completed(self, r: Tensor, completion: Completion, index: Tensor) -> Statistics:
        """Statistics of incomplete rows: of their completions, and the spread of what is missing."""
        statistics = self._about_reference(r, completion.mean)
        share = r.new_zeros(len(r), completion.covariance.shape[1]).index_add_(1, index, r)
        spread = (share.unsqueeze(1) @ completion.covariance.flatten(2)).squeeze(1)
        packed = self.covariance.pack(spread.unflatten(1, completion.covariance.shape[2:]))
        statistics["second"] += self.covariance.grouped(packed)
        return statistics

    def expect_moments(self, moments: Statistics) -> tuple[Statistics, Tensor | float]:
        if not self.covariance.tied or self.reference is not None:
            return {}, 0.0
        return moments, (self.quadratic * moments["second"]).sum()

    def impute(self, tile: Tile, generator: torch.Generator | None = None) -> Tensor:
        completion, observed = self.completion(tile), tile.observed
        assert observed is not None
        posterior = torch.softmax(self.log_weights.unsqueeze(1) + completion.log_prob, 0)
        if generator is None:
            return torch.einsum("kn,knd->nd", posterior, completion.mean)
        label = draw_labels(posterior, generator)
        rows = torch.arange(len(tile.x), device=label.device)
        spread, which = completion.spread(label, observed.index)
        noise = standard_normal(tile.x, generator)
        return completion.mean[label, rows] + self.covariance.scaled(spread, noise, which)

    def draw(self, tile: Tile, generator: torch.Generator) -> Statistics:
        return self.given(draw_responsibilities(self.joint(tile), tile.weight, generator), tile)

    def given(self, r: Tensor, tile: Tile) -> Statistics:
        """Statistics of a tile with responsibilities times weights (K, rows) from elsewhere, moments included."""
        if tile.observed is not None:
            return self._completed(r, self.completion(tile), tile.observed.index)
        return self._about_reference(r, tile.x.double())


class GaussianMixtureModel(RepairableMixture):
    """Mixture of normal distributions.

    Parameters are ``log_weights`` (K,), ``means`` (K, features) and ``covariances`` (groups, ...); where rounding would
    be felt, ``reference`` (K, features) too, which statistics are then taken about.

    Parameters
    ----------
    covariance : Covariance
        Structure of the covariances.
    n_components, n_features : int
        Sizes.
    reg_covar : float, default=0.0
        Added to the diagonals of the covariances after each M-step.
    prior : ConjugateTerms, default=None
        Prior on the parameters, for estimates at the mode of the posterior.
    """

    takes_single = True

    def __init__(
        self,
        covariance: Covariance,
        n_components: int,
        n_features: int,
        *,
        reg_covar: float = 0.0,
        prior: ConjugateTerms | None = None,
    ) -> None:
        self.covariance, self.n_components, self.n_features = covariance, n_components, n_features
        self.reg_covar, self.prior = reg_covar, prior
        self.last: tuple[Tensor, tuple[Tensor, Tensor]] | None = None

    def bind(self, parameters: Parameters) -> MixturePosterior:
        return MixturePosterior(
            self.covariance,
            parameters["log_weights"],
            parameters["means"],
            parameters["covariances"],
            parameters.get("reference"),
            self.precision(parameters["covariances"]),
        )

    def precision(self, covariances: Tensor) -> tuple[Tensor, Tensor]:
        """Precisions and log-determinants of covariances; those of the same tensor as before are remembered."""
        if covariances.requires_grad:
            return self.covariance.precision(covariances)
        if self.last is None or self.last[0] is not covariances:
            self.last = covariances, self.covariance.precision(covariances)
        return self.last[1]

    def moments(self, tile: Tile) -> Statistics:
        if not self.covariance.tied:
            return {}
        phi = self.covariance.phi(tile.x.double())
        return {"second": (phi.sum(1) if tile.weight is None else phi @ tile.weight).unsqueeze(0)}

    def m_step(self, statistics: Statistics, parameters: Parameters) -> Parameters:
        count, first, second = positive(statistics["weight"]), statistics["first"], statistics["second"]
        shift = first / count.unsqueeze(1)
        reference = parameters.get("reference")
        means = shift if reference is None else reference + shift
        scatter = second - self.covariance.grouped(count.unsqueeze(1) * self.covariance.phi(shift).T)
        total, concentration = self.covariance.grouped(count.unsqueeze(1)), 1.0
        if self.prior is not None:
            means, pull = self.prior.means(means, count)
            scatter = scatter + self.prior.scatter + self.covariance.grouped(self.covariance.phi(pull).T)
            total, concentration = total + self.prior.count, self.prior.concentration
        covariances = self.covariance.unpack(scatter / total, self.n_features)
        result = {
            "log_weights": mode_of_weights(count, concentration),
            "means": means,
            "covariances": self.covariance.regularized(covariances, self.reg_covar),
        }
        return result if reference is None else result | {"reference": reference}

    def from_responsibilities(self, r: Tensor, x: Tensor) -> Parameters:
        """Parameters of an M-step on complete rows (rows, features), from responsibilities times weights (K, rows).

        Where rows are too few for a covariance of their own, it is that of all rows.
        """
        means = r @ x / positive(r.sum(1, keepdim=True))
        parameters = self.m_step(statistics_about(self.covariance, r, x, means), {"reference": means})
        total = r.sum(0, keepdim=True)
        whole = statistics_about(self.covariance, total, x, total @ x / total.sum())
        common = self.covariance.unpack(whole["second"] / total.sum(), self.n_features)
        common = self.covariance.regularized(common, self.reg_covar)
        covariances = parameters["covariances"]
        singular = self.degenerate({"covariances": covariances - FLAT * common})[: len(covariances)]
        shape = (-1,) + (1,) * (covariances.dim() - 1)
        parameters["covariances"] = torch.where(singular.view(shape), common, covariances)
        return self.free(parameters)

    def tile_rows(self) -> int:
        return 8192 if self.covariance.tied else self.covariance.tile_rows(self.n_features)

    def sample(self, parameters: Parameters, n_rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        means = parameters["means"]
        label = draw_sorted_labels(parameters["log_weights"], n_rows, generator)
        noise = standard_normal(means.new_empty(n_rows, self.n_features), generator)
        counts = torch.bincount(label, minlength=self.n_components).tolist()
        covariances = parameters["covariances"].expand(self.n_components, *parameters["covariances"].shape[1:])
        parts = [
            self.covariance.scaled(each, part) for each, part in zip(covariances, noise.split(counts), strict=True)
        ]
        return means[label] + torch.cat(parts), label

    # -- degenerate components --------------------------------------------------------------------------------------

    def degenerate(self, parameters: Parameters) -> Tensor:
        """True for components whose covariance is singular in float64, (K,)."""
        matrices = self.covariance.matrices(parameters["covariances"])
        info: Tensor = torch.linalg.cholesky_ex(matrices).info
        return (info != 0).expand(self.n_components)

    def of_components(self) -> set[str]:
        return {"log_weights", "means", "reference"} | (set() if self.covariance.tied else {"covariances"})

    def borrowed(self, parameters: Parameters, marks: Tensor) -> Parameters:
        """The others' mean covariance."""
        if self.covariance.tied:
            return {}
        covariances = parameters["covariances"].clone()
        covariances[marks] = covariances[~marks].mean(0)
        return {"covariances": covariances}

    def log_prior(self, parameters: Parameters) -> Tensor | float:
        if self.prior is None:
            return 0.0
        precision, log_det = self.precision(parameters["covariances"])
        return self.prior.log_density(
            self.covariance, parameters["log_weights"], parameters["means"], precision, log_det
        )

    def refreshed(self, parameters: Parameters) -> Parameters:
        """Statistics about the means where log-densities from features about the center would lose digits."""
        parameters = self.free(parameters)
        if self.covariance.is_wide(self.n_features) or self.rounding(parameters) > RESOLVED:
            parameters["reference"] = parameters["means"]
        return parameters

    def free(self, parameters: Parameters) -> Parameters:
        return {name: value for name, value in parameters.items() if name != "reference"}

    def survives_single(self, parameters: Parameters) -> bool:
        if bool(self.degenerate(parameters).any()):
            return False
        return self.rounding(parameters) / EPSILON * SINGLE_EPSILON < SURVIVED_SINGLE

    def rounding(self, parameters: Parameters) -> float:
        """A bound on the rounding error, in nats, of a typical row's log-density from features about the center."""
        log_weights, means, covariances = (parameters[name] for name in ("log_weights", "means", "covariances"))
        return EPSILON * magnitude(self.covariance, log_weights, means, covariances, self.precision(covariances)[0])

    def unconstrain(self, parameters: Parameters) -> Tensor:
        """Log-weights relative to the last, means, and log-Cholesky factors or log-variances."""
        log_weights = parameters["log_weights"]
        covariances = self.covariance.unconstrain(parameters["covariances"])
        return torch.cat([log_weights[:-1] - log_weights[-1], parameters["means"].flatten(), covariances.flatten()])

    def constrain(self, vector: Tensor) -> Parameters:
        k, d = self.n_components, self.n_features
        log_weights, means, covariances = vector.split([k - 1, k * d, len(vector) - (k - 1) - k * d])
        numbers = covariances.view(self.covariance.n_groups(k), -1)
        return {
            "log_weights": torch.log_softmax(torch.cat([log_weights, log_weights.new_zeros(1)]), 0),
            "means": means.view(k, d),
            "covariances": self.covariance.constrain(numbers, d),
        }

    def n_parameters(self) -> int:
        """Number of free parameters."""
        k, d = self.n_components, self.n_features
        return k - 1 + k * d + self.covariance.n_groups(k) * self.covariance.n_parameters(d)
