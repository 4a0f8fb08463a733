r"""Mixtures of normal distributions with a posterior over their parameters, by variational Bayes.

.. math::
    \Lambda_k \sim W(W_0, \nu_0), \quad \mu_k | \Lambda_k \sim N(m_0, (\beta_0 \Lambda_k)^{-1}), \quad
    x | k \sim N(\mu_k, \Lambda_k^{-1})

Weights have a Dirichlet prior or are those of a Dirichlet process (Attias 2000; Bishop 2006, section 10.2; Blei and
Jordan 2006, https://doi.org/10.1214/06-BA104). The posterior is approximated by

.. math:: q = q(\pi) \prod_k N(\mu_k; m_k, (\beta_k \Lambda_k)^{-1}) \, W(\Lambda_k; (\nu_k C_k)^{-1}, \nu_k)

The model is the same whatever the structure of the covariances: it is a structure of :math:`C_k`. Where that is
diagonal or pooled, q is the best one with such scale matrices; where it is tied, the components have precisions of
their own whose posteriors are equal. So the bound is one on the evidence of one model, and richer structures raise it.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from skgen._exact_model import Parameters, Posterior, Statistics
from skgen._rows import Tile
from skgen.distributions.covariance import Covariance
from skgen.distributions.normal import standard_normal
from skgen.models.components import MixtureModel, draw_labels
from skgen.models.conjugate import ConjugateTerms
from skgen.models.mixture import GaussianMixtureModel, MixturePosterior, positive, statistics_about
from skgen.models.weight_priors import WeightPrior

STIRLING = 1e4
"""Argument from which on the gamma function is Stirling's series to float64's precision."""


@dataclass
class NormalWishart:
    """Prior on the mean and the precision of each component.

    Attributes
    ----------
    mean_precision : float
        Number of rows that it counts for in a mean, above 0.
    mean : Tensor of shape (features,)
        Expected mean, centred as the rows are.
    degrees_of_freedom : float
        Above features - 1.
    covariance : Tensor
        Inverse of the Wishart's scale matrix, in the form of one covariance.
    """

    mean_precision: float
    mean: Tensor
    degrees_of_freedom: float
    covariance: Tensor


def multivariate_digamma(half: Tensor, n_features: int) -> Tensor:
    """Derivative of the logarithm of the multivariate gamma function, at half the degrees of freedom."""
    steps = 0.5 * torch.arange(n_features, dtype=half.dtype, device=half.device)
    return torch.digamma(half.unsqueeze(-1) - steps).sum(-1)


def log_gamma_rise(start: Tensor, rise: Tensor | float) -> Tensor:
    """log Gamma(start + rise) - log Gamma(start), by Stirling's series where the difference would lose digits."""
    rise = torch.as_tensor(rise, dtype=start.dtype, device=start.device)
    large = start.clamp_min(STIRLING)
    remainder = (1 / (large + rise) - 1 / large) / 12
    series = (large + rise - 0.5) * torch.log1p(rise / large) + rise * large.log() - rise + remainder
    small = start.clamp_max(STIRLING)
    return torch.where(start > STIRLING, series, torch.lgamma(small + rise) - torch.lgamma(small))


class BayesianMixturePosterior(Posterior):
    """Which component a row is from, at some q(parameters), and the distribution of rows to come.

    What multiplies a component's normal density is exp(E[log weight] + E[log density]) over that density at m_k and
    C_k. Missing entries are latent variables as the labels are, independent of the parameters under q. A row without
    any observed entry says nothing, and is left out.

    Parameters
    ----------
    model : BayesianMixture
    parameters : dict of str to Tensor
    """

    def __init__(self, model: "BayesianMixture", parameters: Parameters) -> None:
        self.model, self.means, self.covariances = model, parameters["means"], parameters["covariances"]
        self.n_features = self.means.shape[1]
        beta = parameters["mean_precision"]
        nu = parameters["degrees_of_freedom"]
        log_det = multivariate_digamma(0.5 * nu, self.n_features) - self.n_features * torch.log(0.5 * nu)
        shift = 0.5 * (log_det - self.n_features / beta)
        log_weights = model.weights.expected_log(parameters["weight_concentration"]) + shift
        reference = parameters.get("reference")
        self.mixture = MixturePosterior(model.covariance, log_weights, self.means, self.covariances, reference)
        self.weights = model.expected_weights(parameters)
        self.tails = (nu + 1 - self.n_features).expand_as(beta)
        self.spread = nu * (1 + 1 / beta)

    # -- the bound ------------------------------------------------------------------------------------------------

    def log_prob(self, tile: Tile) -> Tensor:
        """What each row adds to the bound, in nats."""
        value = self.mixture.log_prob(tile)
        return value if tile.observed is None else value * tile.observed.patterns.any(1)[tile.observed.index]

    def responsibilities(self, tile: Tile) -> Tensor:
        """q(component) of each row, (rows, K)."""
        return self.mixture.responsibilities(tile)

    def expect(self, tile: Tile) -> tuple[Statistics, Tensor]:
        if tile.observed is not None and not bool(tile.observed.patterns.any(1).all()):
            told = tile.observed.patterns.any(1)[tile.observed.index].to(tile.x)
            tile = tile._replace(weight=told if tile.weight is None else told * tile.weight)
        return self.mixture.expect(tile)

    def expect_moments(self, moments: Statistics) -> tuple[Statistics, Tensor | float]:
        return self.mixture.expect_moments(moments)

    # -- rows to come ---------------------------------------------------------------------------------------------

    def predictive_joint(self, tile: Tile) -> Tensor:
        """log p(observed entries, component) given the training rows, (K, rows): a mixture of Student's t."""
        tails, spread = self.tails.unsqueeze(1), self.spread.unsqueeze(1)
        square, constant, n_observed = self._distances(tile)
        log_gamma = log_gamma_rise(0.5 * tails, 0.5 * n_observed)
        log_scale = 0.5 * n_observed * torch.log(0.5 * spread)
        tail = 0.5 * (tails + n_observed) * torch.log1p(square / spread)
        return self.weights.log().unsqueeze(1) + constant + log_gamma - log_scale - tail

    def predictive_log_prob(self, tile: Tile) -> Tensor:
        """log p(observed entries of a row) given the training rows, with q for the posterior, (rows,), in nats."""
        return torch.logsumexp(self.predictive_joint(tile), 0)

    def _distances(self, tile: Tile) -> tuple[Tensor, Tensor, Tensor | int]:
        """Squared distances, log-densities at the means, both (K, rows), and numbers of observed entries."""
        log_weights = self.mixture.log_weights.unsqueeze(1)
        log_density = self.mixture.joint(tile) - log_weights
        if tile.observed is None:
            constant, n_observed = self.mixture.constant.unsqueeze(1) - log_weights, self.n_features
            return (2 * (constant - log_density)).clamp_min(0), constant, n_observed
        patterns, index = tile.observed
        origin, each = torch.zeros_like(tile.x[: len(patterns)]), torch.arange(len(patterns), device=index.device)
        at_means = self.model.covariance.complete(
            origin, torch.zeros_like(self.means), self.covariances, patterns, each
        )
        constant = at_means.log_prob[:, index]
        return (2 * (constant - log_density)).clamp_min(0), constant, patterns.sum(1).to(tile.x)[index]

    def impute(self, tile: Tile, generator: torch.Generator | None = None) -> Tensor:
        """Rows filled in given their observed entries and the training rows: by means, or by draws.

        Given the component, missing entries have Student's t distribution again (Ding 2016,
        https://arxiv.org/abs/1604.00561). Where it has no mean, its center stands for it.
        """
        assert tile.observed is not None
        completion, index = self.mixture.completion(tile), tile.observed.index
        posterior = torch.softmax(self.predictive_joint(tile), 0)
        if generator is None:
            return torch.einsum("kn,knd->nd", posterior, completion.mean)
        label, rows = draw_labels(posterior, generator), torch.arange(len(tile.x), device=index.device)
        square, _, n_observed = self._distances(tile)
        scale = (self.spread[label] + square[label, rows]) / _chi_square(self.tails[label] + n_observed, generator)
        spread, which = completion.spread(label, index)
        noise = self.model.covariance.scaled(spread, standard_normal(tile.x, generator), which)
        return completion.mean[label, rows] + scale.sqrt().unsqueeze(1) * noise


def _chi_square(degrees_of_freedom: Tensor, generator: torch.Generator) -> Tensor:
    """Draws from chi-squared distributions, in the shape of their degrees of freedom."""
    draws: Tensor = 2 * torch._standard_gamma(0.5 * degrees_of_freedom, generator=generator)
    return draws


class BayesianMixture(MixtureModel):
    """Variational posterior of a mixture of normal distributions: EM on q in place of the parameters.

    The parameters that EM learns are those of q: ``weight_concentration`` (K,), or (2, K) for a Dirichlet process,
    ``mean_precision`` beta (K,), ``means`` m (K, features), ``degrees_of_freedom`` nu (groups,) and ``covariances`` C
    (groups, ...), the inverse of E[precision]; where rounding would be felt, ``reference`` too, as in
    :class:`~skgen.models.mixture.GaussianMixtureModel`.

    The rows' log-probabilities and :meth:`log_prior`, which is minus KL(q || prior), add up to the evidence lower bound
    with all constants. Without ``reg_covar`` no M-step lowers it. It is the evidence itself for one component of full
    covariance and Dirichlet weights where nothing is missing.

    Parameters
    ----------
    covariance : Covariance
        Structure of the covariances C.
    n_components, n_features : int
        Sizes.
    weights : WeightPrior
        Prior on the weights.
    prior : NormalWishart
        Prior on means and precisions.
    reg_covar : float, default=0.0
        Added to the diagonal of the rows' covariance in each component.
    """

    def __init__(
        self,
        covariance: Covariance,
        n_components: int,
        n_features: int,
        weights: WeightPrior,
        prior: NormalWishart,
        *,
        reg_covar: float = 0.0,
    ) -> None:
        self.covariance, self.n_components, self.n_features = covariance, n_components, n_features
        self.weights, self.prior, self.reg_covar = weights, prior, reg_covar
        self.scale = covariance.pack(prior.covariance)
        self.scale_log_det = covariance.precision(prior.covariance.unsqueeze(0))[1]
        # Means and covariances of q are those at the mode under a conjugate prior with these counts. Where the scale
        # is tied, it stands for K Wisharts.
        share = n_components if covariance.tied else 1
        count, scatter = share * prior.degrees_of_freedom, share * self.scale
        terms = ConjugateTerms(1.0, prior.mean_precision, prior.mean, count, scatter)
        self.plain = GaussianMixtureModel(covariance, n_components, n_features, prior=terms)

    def bind(self, parameters: Parameters) -> BayesianMixturePosterior:
        return BayesianMixturePosterior(self, parameters)

    def moments(self, tile: Tile) -> Statistics:
        return self.plain.moments(tile)

    def tile_rows(self) -> int:
        return self.plain.tile_rows()

    def m_step(self, statistics: Statistics, parameters: Parameters) -> Parameters:
        """The q that maximises the bound at given responsibilities."""
        count = positive(statistics["weight"])
        share = count.mean(0, keepdim=True) if self.covariance.tied else count
        total = count.sum(0, keepdim=True) if self.covariance.tied else count
        ridge = self.covariance.pack(self.covariance.regularized(torch.zeros_like(self.prior.covariance), 1.0))
        second = statistics["second"] + self.reg_covar * total.unsqueeze(1) * ridge
        found = self.plain.m_step(statistics | {"second": second}, parameters)
        del found["log_weights"]
        return found | {
            "weight_concentration": self.weights.posterior(count),
            "mean_precision": self.prior.mean_precision + count,
            "degrees_of_freedom": self.prior.degrees_of_freedom + share,
        }

    def from_responsibilities(self, r: Tensor, x: Tensor) -> Parameters:
        """Parameters of an M-step on complete rows (rows, features), from responsibilities times weights (K, rows)."""
        means = r @ x / positive(r.sum(1, keepdim=True))
        parameters = self.m_step(statistics_about(self.covariance, r, x, means), {"reference": means})
        return self.free(parameters)

    def log_prior(self, parameters: Parameters) -> Tensor:
        """Minus KL(q || prior) of weights, means and precisions, in nats."""
        nu, nu_0, d = parameters["degrees_of_freedom"], self.prior.degrees_of_freedom, self.n_features
        precision, log_det = self.covariance.precision(parameters["covariances"])
        coefficients = self.covariance.coefficients(precision)
        ratio = self.prior.mean_precision / parameters["mean_precision"]
        deviation = self.covariance.phi(parameters["means"] - self.prior.mean).T
        pull = self.prior.mean_precision * (coefficients * deviation).sum(1)
        means = 0.5 * (d * (ratio - 1 - ratio.log()) + pull)
        determinants = log_det + d * nu.log() - self.scale_log_det
        half, half_0 = 0.5 * nu, torch.full_like(nu, 0.5 * nu_0)
        norm = torch.mvlgamma(half_0, d) - torch.mvlgamma(half, d)
        shape = 0.5 * (nu_0 * determinants + coefficients @ self.scale - nu * d)
        wishart = shape + norm + (half - half_0) * multivariate_digamma(half, d)
        weights = self.weights.divergence(parameters["weight_concentration"])
        return -(weights + means.sum() + wishart.expand(self.n_components).sum())

    def free(self, parameters: Parameters) -> Parameters:
        return self.plain.free(parameters)

    def refreshed(self, parameters: Parameters) -> Parameters:
        """As for :class:`~skgen.models.mixture.GaussianMixtureModel`."""
        return parameters | self.plain.refreshed(self.plug_in(parameters))

    def expected_weights(self, parameters: Parameters) -> Tensor:
        """Expected weights (K,) of the components, given that a row is from one of them."""
        weights = self.weights.expected(parameters["weight_concentration"])
        return weights / weights.sum()

    def plug_in(self, parameters: Parameters) -> Parameters:
        """Parameters of a :class:`~skgen.models.mixture.GaussianMixtureModel` at the center of q."""
        kept = {name: parameters[name] for name in ("means", "covariances")}
        return kept | {"log_weights": self.expected_weights(parameters).log()}

    def sample(self, parameters: Parameters, n_rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draws (n_rows, features) from the predictive distribution and their components, in their order.

        Each row is drawn with parameters of its own.
        """
        posterior, means = self.bind(parameters), parameters["means"]
        noise, label = self.plain.sample(self.plug_in(parameters), n_rows, generator)
        scale = posterior.spread[label] / _chi_square(posterior.tails[label], generator)
        return means[label] + scale.sqrt().unsqueeze(1) * (noise - means[label]), label

    # -- as a vector --------------------------------------------------------------------------------------------------

    def unconstrain(self, parameters: Parameters) -> Tensor:
        """Logarithms of the counts, means, and log-Cholesky factors or log-variances."""
        nu = parameters["degrees_of_freedom"] - (self.n_features - 1)
        parts = [
            parameters["weight_concentration"].log(),
            parameters["mean_precision"].log(),
            nu.log(),
            parameters["means"],
            self.covariance.unconstrain(parameters["covariances"]),
        ]
        return torch.cat([part.flatten() for part in parts])

    def constrain(self, vector: Tensor) -> Parameters:
        d = self.n_features
        concentration, beta, nu, means, numbers = vector.split(self._sizes())
        return {
            "weight_concentration": concentration.exp().view(self.weights.shape(self.n_components)),
            "mean_precision": beta.exp(),
            "means": means.view(-1, d),
            "degrees_of_freedom": d - 1 + nu.exp(),
            "covariances": self.covariance.constrain(numbers.view(len(nu), -1), d),
        }

    def _sizes(self) -> list[int]:
        """How many numbers stand for each of the parameters."""
        k, d, groups = self.n_components, self.n_features, self.covariance.n_groups(self.n_components)
        return [math.prod(self.weights.shape(k)), k, groups, k * d, groups * self.covariance.n_parameters(d)]

    def n_parameters(self) -> int:
        return sum(self._sizes())
