"""Log-likelihoods of latent-variable models to publish: independent draws, and errors beside the values."""

from typing import NamedTuple

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skgen._spec import check_choice, check_count
from skgen.distributions.generalized_pareto import pareto_shape
from skgen.distributions.streams import Streams, row_keys
from skgen.estimators._arrays import seed_from, tiles
from skgen.estimators._warnings import warn_user
from skgen.models.annealing import annealed_log_weights, tuned_angles
from skgen.samplers.annealed import estimate, reverse_estimate, standard_error, temperatures

DEFAULT_DRAWS = {"importance": 5000, "ais": 16}
"""Draws, or chains, of each method."""
LARGEST_SHAPE = 0.7
"""Pareto-k beyond which importance weights tell neither the mean nor its error (Vehtari et al. 2024)."""
EVEN = 0.9
"""Effective sample size, as a share of the draws, above which weights are so even that their tail does not count."""


class LikelihoodGap(NamedTuple):
    """Two estimates of the mean log-likelihood of rows drawn from the model, in nats per row.

    Attributes
    ----------
    lower, upper : float
        Means of the forward and of the reverse estimates, below and above the truth in expectation.
    gap : float
        Their difference: in expectation at least the error of either.
    std : float
        Standard error of the gap, from the spread over the rows.
    """

    lower: float
    upper: float
    gap: float
    std: float


class Estimates(NamedTuple):
    """Log-likelihoods (batch,) in the model's units, with standard errors, effective sample sizes and Pareto-k."""

    value: torch.Tensor
    std: torch.Tensor
    ess: torch.Tensor
    shape: torch.Tensor


def _summary(log_weight, shape=None):
    """Estimates from log-weights (draws, batch)."""
    found, size = estimate(log_weight), estimate(log_weight).effective_sample_size
    shape = torch.full_like(size, torch.nan) if shape is None else shape
    return Estimates(found.value, standard_error(size, len(log_weight)), size, shape)


class LikelihoodEstimates:
    """Mixin of the estimators whose model gives importance weights of noise: ``log_likelihood`` and its gap."""

    def log_likelihood(
        self,
        X,
        y=None,
        *,
        method="importance",
        n_draws=None,
        n_temperatures=100,
        random_state=None,
        return_std=False,
        return_ess=False,
    ):
        """Log-likelihood of each row by independent draws, with a standard error and an effective sample size.

        The draws of a row depend on its values and on ``random_state`` alone: in whatever parts and order rows are
        given, and however they are tiled, a row has the same value up to rounding. Equal rows have equal draws.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,), or a label for all rows, default=None
            Classes, where the model has some: the value is then log p(x | y); without them log p(x).
        method : {"importance", "ais"}, default="importance"
            Importance sampling with draws of q(z | x), or annealed importance sampling (Neal 2001), whose chains go
            from q(z | x) to the posterior by Hamiltonian Monte Carlo. The second is for few rows and for posteriors
            that q misses.
        n_draws : int, default=None
            Draws, or chains, per row. None stands for 5000 draws or 16 chains.
        n_temperatures : int, default=100
            Laws on the way of a chain; each costs five gradients of the decoder.
        random_state : int, RandomState instance or None, default=None
            Source of the draws; None uses the estimator's own.
        return_std : bool, default=False
            Whether to return standard errors too.
        return_ess : bool, default=False
            Whether to return effective sample sizes too.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)
            Nats per row; its expectation is a lower bound on log p(x).
        std : ndarray of shape (n_samples,)
            Standard errors from the spread of the weights (delta method), with ``return_std=True``.
        ess : ndarray of shape (n_samples,)
            Effective sample sizes, between 1 and ``n_draws``, with ``return_ess=True``.

        Warns
        -----
        UserWarning
            Where the tail of a row's importance weights is so heavy (Pareto-k above 0.7, Vehtari et al. 2024) that
            neither value nor error can be trusted; nearly equal weights are not counted. At least 25 draws tell.
        """
        X = self._check_input(X)
        check_choice(method, tuple(DEFAULT_DRAWS), "method")
        n_draws = DEFAULT_DRAWS[method] if n_draws is None else n_draws
        check_count(n_draws, "n_draws")
        check_count(n_temperatures, "n_temperatures", least=2)
        if return_std and n_draws < 2:
            raise ValueError(f"return_std=True needs n_draws >= 2, got n_draws={n_draws}.")
        seed = self._seed(random_state)
        if method == "importance":
            value, std, ess, shape = self._importance(X, y, n_draws, seed)
            _warn_of_tails(heavy_tails(shape, ess, n_draws), shape)
        else:
            value, std, ess = self._annealed(X, y, n_draws, temperatures(n_temperatures), seed)
        found = (value, *([std] if return_std else []), *([ess] if return_ess else []))
        return found if len(found) > 1 else value

    def _seed(self, random_state):
        """A seed from a random state; None stands for the estimator's own."""
        return seed_from(check_random_state(self.random_state if random_state is None else random_state))

    def _importance(self, X, y, n_draws, seed):
        """Values, standard errors, effective sample sizes and Pareto-k of rows."""

        def estimates(model, x, condition):
            parameters, streams = self._posterior_parameters(model, x, condition), Streams(row_keys(x, seed))
            n_noise, parts = model.posterior.n_noise, []
            for part in tiles(n_draws, len(x) * model.width, x.itemsize):
                noise = streams.normal_draws(part.stop - part.start, n_noise, x)
                parts.append(model.terms_given(parameters, x, noise, condition).log_weight.double())
            log_weight = torch.cat(parts)
            found = _summary(log_weight, pareto_shape(log_weight))
            return found._replace(value=found.value + model.log_jacobian_of(x))

        # Besides a tile of draws, all log-weights of a row are held, and what is made of them.
        width = self._module(X.dtype).width
        found = self._map_given(X, y, estimates, max(1, n_draws // 64, 12 * n_draws // width))
        return [column.astype(X.dtype) for column in found]

    def _annealed(self, X, y, n_chains, betas, seed):
        """Values, standard errors and effective sample sizes of rows."""
        wide = self._module(np.float64)

        def estimates(model, x, condition):
            annealing = _Annealing(self, wide, x, seed, n_chains, betas, condition)
            found = _summary(annealing.forward())
            return [found.value + wide.log_jacobian_of(x), *found[1:3]]

        return [column.astype(X.dtype) for column in self._map_given(X, y, estimates, _Annealing.n_at_once(n_chains))]

    def log_likelihood_gap(self, n_samples=100, *, n_draws=16, n_temperatures=100, random_state=None):
        """How far annealed importance sampling is from the log-likelihood, on rows drawn from the model.

        A row that is drawn comes with an exact draw of its posterior, from where chains run back: their estimate is an
        upper bound in expectation, as that of ``log_likelihood(X, method="ais")`` is a lower one (bidirectional
        Monte Carlo; Grosse, Ghahramani and Adams 2015, https://arxiv.org/abs/1511.02543).

        Parameters
        ----------
        n_samples : int, default=100
            Rows to draw.
        n_draws, n_temperatures : int, default=16 and 100
            As in :meth:`log_likelihood`.
        random_state : int, RandomState instance or None, default=None
            Source of the rows and of the chains; None uses the estimator's own.

        Returns
        -------
        gap : LikelihoodGap
            ``lower``, ``upper``, ``gap`` and ``std``, in nats per row.
        """
        check_is_fitted(self)
        for name, value, least in (("n_samples", n_samples, 2), ("n_draws", n_draws, 1)):
            check_count(value, name, least=least)
        check_count(n_temperatures, "n_temperatures", least=2)
        betas, seed = temperatures(n_temperatures), self._seed(random_state)
        model = self._module(np.float64)
        generator = torch.Generator(model.scale.device).manual_seed(seed)
        bounds = []
        for tile in tiles(n_samples, _Annealing.n_at_once(n_draws) * model.width):
            with torch.no_grad():
                z = model.prior.sample(tile.stop - tile.start, generator=generator, like=model.scale)
                x = model.draw_rows(z, generator)
                annealing = _Annealing(self, model, x, seed, n_draws, betas)
                low, high = estimate(annealing.forward()), reverse_estimate(annealing.backward(z))
            bounds.append(torch.stack([low.value, high.value]) + model.log_jacobian)
        low, high = torch.cat(bounds, 1).cpu()
        gap = high - low
        std = gap.std() / len(gap) ** 0.5
        return LikelihoodGap(*(float(value) for value in (low.mean(), high.mean(), gap.mean(), std)))


class _Annealing:
    """Annealed chains of some standardised rows (batch, features), in tiles of chains."""

    def __init__(self, estimator, model, x, seed, n_chains, betas, condition=None):
        if not model.posterior.has_path:
            raise ValueError(
                "Annealed importance sampling moves along gradients, which latent variables that are categories do not "
                "have: use log_likelihood(method='importance'), or another prior."
            )
        # Gradients go through what inference does not let them.
        with torch.inference_mode(False), torch.no_grad():
            self.x = x.clone().to(model.scale.device).double()
            self.condition = None if condition is None else condition.clone().to(self.x)
            self.parameters = estimator._posterior_parameters(model, self.x, self.condition)
            self.model, self.n_chains, self.betas = model, n_chains, betas
            streams = Streams(row_keys(self.x, seed)).branches(range(3))
            tuning, self.forth, self.back = (Streams(keys) for keys in streams.keys)
            self.angles = tuned_angles(self._log_weight, tuning, model.posterior.n_noise)

    @staticmethod
    def n_at_once(n_chains):
        """Multiple of the model's width that is held per row: gradients keep several arrays of each size."""
        return 4 * min(n_chains, 64)

    def _log_weight(self, noise):
        return self.model.terms_given(self.parameters, self.x, noise, self.condition).log_weight

    def forward(self):
        """Log-weights of chains from q(z | x), (chains, batch)."""
        return self._log_weights(self.betas, self.forth, None)

    def backward(self, z):
        """Log-weights of chains from exact posterior draws z (batch, components) back to q(z | x)."""
        with torch.inference_mode(False), torch.no_grad():
            start = self.model.posterior.noise(z, self.parameters)
        return self._log_weights(self.betas[::-1], self.back, start)

    def _log_weights(self, betas, streams, start):
        n_noise, parts = self.model.posterior.n_noise, []
        with torch.inference_mode(False), torch.no_grad():
            for part in tiles(self.n_chains, 4 * len(self.x) * self.model.width):
                chains = streams.branches(range(part.start, part.stop))
                parts.append(annealed_log_weights(self._log_weight, self.angles, betas, chains, n_noise, start))
        return torch.cat(parts)


def heavy_tails(shape, ess, n_draws):
    """Mask of the rows whose importance weights have a tail that is too heavy, and that counts."""
    return (shape > LARGEST_SHAPE) & (ess < EVEN * n_draws)


def _warn_of_tails(heavy, shape):
    if heavy.any():
        warn_user(
            f"{heavy.sum()} of {len(shape)} rows have importance weights with Pareto-k above {LARGEST_SHAPE} (largest "
            f"{shape[heavy].max():.2f}): draws miss part of their posterior, and neither values nor standard "
            "errors can be trusted there. Use method='ais', more draws, or a more flexible posterior."
        )
