"""Mixtures of normal distributions with any structure of covariances."""

import torch
from torch import Tensor

from skgen._exact import ExactModel, Parameters, Posterior, Statistics
from skgen._tiles import Tile
from skgen.distributions.covariance import Covariance
from skgen.distributions.missing import Completion
from skgen.distributions.normal import LOG_2PI
from skgen.models.conjugate import ConjugateTerms, mode_of_weights

SMALLEST_LOG = -300.0
"""Log-responsibilities are cut here: smaller ones change nothing, and subnormal numbers are slow to multiply."""
RESOLVED = 1e-9
"""Largest rounding error, in nats, of log-densities that are computed from features about the center."""
EPSILON = torch.finfo(torch.float64).eps


class MixturePosterior(Posterior):
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
    """

    def __init__(
        self, covariance: Covariance, log_weights: Tensor, means: Tensor, covariances: Tensor, reference: Tensor | None
    ) -> None:
        self.covariance, self.log_weights, self.means, self.covariances = covariance, log_weights, means, covariances
        self.reference = reference
        precision, log_det = covariance.precision(covariances)
        self.constant = log_weights - 0.5 * (log_det + LOG_2PI * means.shape[1])
        self.linear = covariance.times(precision, means)
        self.quadratic = -0.5 * covariance.coefficients(precision)
        self.offset = self.constant - 0.5 * (self.linear * means).sum(1)
        self._features: Tensor | None = None

    # -- densities ------------------------------------------------------------------------------------------------

    def joint(self, tile: Tile) -> Tensor:
        """log p(x, component) for every component and row, (K, rows), in nats; differentiable."""
        if tile.observed is not None:
            return self.log_weights.unsqueeze(1) + self.completion(tile).log_prob
        if self.reference is None:
            quadratic = self.quadratic @ self.covariance.phi(tile.x)
            return self.linear @ tile.x.T + quadratic + self.offset.unsqueeze(1)
        covariances = self.covariances.expand(len(self.means), *self.covariances.shape[1:])
        parts = zip(self.means, covariances.split(1), strict=True)
        distance = [self.covariance.squared_distance(tile.x, mean, each[0]) for mean, each in parts]
        return self.constant.unsqueeze(1) - 0.5 * torch.stack(distance)

    def completion(self, tile: Tile) -> Completion:
        """What each component says of the missing entries of a tile's rows."""
        assert tile.observed is not None
        return self.covariance.complete(tile.x, self.means, self.covariances, *tile.observed)

    def log_prob(self, tile: Tile) -> Tensor:
        return torch.logsumexp(self.joint(tile), 0)

    def responsibilities(self, tile: Tile) -> Tensor:
        """p(component | x), (rows, K)."""
        return torch.softmax(self.joint(tile), 0).T

    # -- statistics -----------------------------------------------------------------------------------------------

    def expect(self, tile: Tile) -> tuple[Statistics, Tensor]:
        if tile.observed is not None:
            completion = self.completion(tile)
            r, value = self._posterior(self.log_weights.unsqueeze(1) + completion.log_prob, tile.weight)
            return self._completed(r, completion, tile.observed.index), value
        if self.reference is not None:
            r, value = self._posterior(self.joint(tile), tile.weight)
            return self._about_reference(r, tile.x), value
        return self._expect_complete(tile)

    def _expect_complete(self, tile: Tile) -> tuple[Statistics, Tensor]:
        """Two matrix products each way, about the center; x' P x is left out where all components share it."""
        joint = torch.addmm(self.offset.unsqueeze(1), self.linear, tile.x.T)
        if self.covariance.tied:
            r, value = self._posterior(joint, tile.weight)
            return {"weight": r.sum(1), "first": r @ tile.x}, value
        shape = (self.quadratic.shape[1], len(tile.x))
        if self._features is None or self._features.shape != shape:
            self._features = tile.x.new_empty(shape)
        phi = self.covariance.phi(tile.x, self._features)
        r, value = self._posterior(joint.addmm_(self.quadratic, phi), tile.weight)
        return {"weight": r.sum(1), "first": r @ tile.x, "second": r @ phi.T}, value

    @staticmethod
    def _posterior(joint: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        """Responsibilities times weights, in the memory of the joint, and the sum of weight times log p(x)."""
        peak = joint.amax(0)
        r = joint.sub_(peak).clamp_(min=SMALLEST_LOG).exp_()
        total = r.sum(0)
        log_prob = total.log().add_(peak)
        if weight is None:
            return r.div_(total), log_prob.sum()
        return r.mul_(weight / total), torch.dot(log_prob, weight)

    def _about_reference(self, r: Tensor, x: Tensor) -> Statistics:
        """Statistics of rows (rows, features), or of rows completed by each component (K, rows, features)."""
        origin = torch.zeros_like(self.means) if self.reference is None else self.reference
        each = x.expand(len(self.means), *x.shape) if x.dim() == 2 else x
        deviations = [rows - point for rows, point in zip(each, origin, strict=True)]
        first = torch.stack([share @ deviation for share, deviation in zip(r, deviations, strict=True)])
        second = torch.stack([self.covariance.phi(d) @ share for share, d in zip(r, deviations, strict=True)])
        return {"weight": r.sum(1), "first": first, "second": self._grouped(second)}

    def _completed(self, r: Tensor, completion: Completion, index: Tensor) -> Statistics:
        """Statistics of incomplete rows: of their completions, and the spread of what is missing."""
        statistics = self._about_reference(r, completion.mean)
        share = r.new_zeros(len(r), completion.covariance.shape[1]).index_add_(1, index, r)
        packed = self.covariance.pack(completion.covariance).expand(len(r), -1, -1)
        statistics["second"] += self._grouped((share.unsqueeze(1) @ packed).squeeze(1))
        return statistics

    def _grouped(self, second: Tensor) -> Tensor:
        return second.sum(0, keepdim=True) if self.covariance.tied else second

    def expect_moments(self, moments: Statistics) -> tuple[Statistics, Tensor | float]:
        if not self.covariance.tied or self.reference is not None:
            return {}, 0.0
        return moments, (self.quadratic * moments["second"]).sum()

    def draw(self, tile: Tile, generator: torch.Generator) -> Statistics:
        joint = self.joint(tile)
        cumulative = torch.softmax(joint, 0).cumsum(0)
        uniform = torch.rand(len(tile.x), dtype=joint.dtype, device=joint.device, generator=generator)
        label = (cumulative < uniform * cumulative[-1]).sum(0).clamp_max(len(joint) - 1)
        r = torch.zeros_like(joint).scatter_(
            0, label.unsqueeze(0), 1.0 if tile.weight is None else tile.weight.unsqueeze(0)
        )
        if tile.observed is not None:
            return self._completed(r, self.completion(tile), tile.observed.index)
        return self._about_reference(r, tile.x)


class GaussianMixtureModel(ExactModel):
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

    def bind(self, parameters: Parameters) -> MixturePosterior:
        return MixturePosterior(
            self.covariance,
            parameters["log_weights"],
            parameters["means"],
            parameters["covariances"],
            parameters.get("reference"),
        )

    def moments(self, tile: Tile) -> Statistics:
        if not self.covariance.tied:
            return {}
        phi = self.covariance.phi(tile.x)
        return {"second": (phi.sum(1) if tile.weight is None else phi @ tile.weight).unsqueeze(0)}

    def m_step(self, statistics: Statistics, parameters: Parameters) -> Parameters:
        count, first, second = statistics["weight"] + 10 * EPSILON, statistics["first"], statistics["second"]
        shift = first / count.unsqueeze(1)
        reference = parameters.get("reference")
        means = shift if reference is None else reference + shift
        scatter = second - self._grouped(count.unsqueeze(1) * self.covariance.phi(shift).T)
        total, concentration = self._grouped(count.unsqueeze(1)), 1.0
        if self.prior is not None:
            means, pull = self.prior.means(means, count)
            scatter = scatter + self.prior.scatter + self._grouped(self.covariance.phi(pull).T)
            total, concentration = total + self.prior.count, self.prior.concentration
        covariances = self.covariance.unpack(scatter / total, self.n_features)
        result = {
            "log_weights": mode_of_weights(count, concentration),
            "means": means,
            "covariances": self.covariance.regularized(covariances, self.reg_covar),
        }
        return result if reference is None else result | {"reference": reference}

    def _grouped(self, each: Tensor) -> Tensor:
        return each.sum(0, keepdim=True) if self.covariance.tied else each

    def log_prior(self, parameters: Parameters) -> Tensor | float:
        if self.prior is None:
            return 0.0
        precision, log_det = self.covariance.precision(parameters["covariances"])
        return self.prior.log_density(
            self.covariance, parameters["log_weights"], parameters["means"], precision, log_det
        )

    def refreshed(self, parameters: Parameters) -> Parameters:
        """Statistics about the means where log-densities from features about the center would lose digits."""
        parameters = {name: value for name, value in parameters.items() if name != "reference"}
        if self.rounding(parameters) > RESOLVED:
            parameters["reference"] = parameters["means"]
        return parameters

    def rounding(self, parameters: Parameters) -> float:
        """A bound on the rounding error, in nats, of a typical row's log-density from features about the center."""
        precision, _ = self.covariance.precision(parameters["covariances"])
        second = self.covariance.phi(parameters["means"]).T + self.covariance.pack(parameters["covariances"])
        typical = parameters["log_weights"].exp() @ second
        return EPSILON * float((self.covariance.coefficients(precision) @ typical).max())

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
