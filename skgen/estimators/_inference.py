"""How posteriors of rows are found: by an encoder, by a search for each row, by its mode, or by chains."""

from abc import ABC, abstractmethod
from functools import partial
from typing import ClassVar, NamedTuple

import torch

from skgen._trace import differentiated
from skgen.distributions.normal import antithetic_normal
from skgen.distributions.streams import Streams, row_keys
from skgen.estimators._refinement import refined, tiled
from skgen.models.chains import posterior_draws
from skgen.models.laplace import laplace, log_joint
from skgen.posteriors.base import Draw
from skgen.training.row_search import refine

N_GUESSES = 16
"""Draws of the prior, besides its centre, among which a search without an encoder begins."""
GUESSED_SHARE = 0.1
"""Variance of a guessed posterior, as a share of that of the guesses."""
FEWEST_DRAWS = 32
"""In a block of noise that stays as it is: what is raised at fewer draws may fall at others."""
N_CHAINS, N_KEPT = 8, 8
"""Chains of each row in the use of a model, and the last states of each that count."""


class Search(NamedTuple):
    """How the posterior of a row is found: a method, its steps and the step size of some; or the kernel of chains."""

    solver: str
    n_steps: int
    learning_rate: float
    kernel: str = "hmc"

    @property
    def thorough(self):
        """Of rows to which no later step returns: without a line search a few steps lead nowhere."""
        return self._replace(solver="lbfgs") if self.solver in ("adam", "sgd") else self

    @property
    def options(self):
        """Those of :func:`~skgen.training.row_search.refine`."""
        return {"n_steps": self.n_steps, "solver": self.solver, "learning_rate": self.learning_rate}


class Completed(NamedTuple):
    """Latent variables of some rows: posteriors and the noise that they are drawn with, or the draws themselves."""

    parameters: torch.Tensor
    """Of q(z | x), (batch, n_parameters)."""
    noise: torch.Tensor
    """(draws, batch or 1, n_noise)"""
    draws: torch.Tensor | None = None
    """(draws, batch, n_latent), in the place of draws of q(z | x)."""

    def part(self, rows):
        """The same of some of the rows."""
        noise = self.noise if self.noise.shape[1] == 1 else self.noise[:, rows]
        return Completed(self.parameters[rows], noise, None if self.draws is None else self.draws[:, rows])

    def draw(self, posterior):
        """Draws, and what is known of the distribution that they are of."""
        if self.draws is None:
            return posterior.draw(self.parameters, self.noise)
        return Draw(self.draws, torch.zeros_like(self.draws[..., 0]), None, None, None)


def search_noise(model, seed):
    """Noise that rows share in a search, (draws, 1, n_noise): antithetic, with mean 0 and covariance I."""
    n_noise = model.posterior.n_noise
    block = antithetic_normal(max(FEWEST_DRAWS, 2 * n_noise), n_noise, torch.Generator().manual_seed(seed))
    return block.to(model.scale).unsqueeze(1)


class Inference(ABC):
    """A way from rows to posteriors, for rows in training and for those of a fitted model.

    Parameters
    ----------
    search : Search
    """

    encodes: ClassVar[bool] = True
    """Whether there is an encoder to train."""
    by_row: ClassVar[bool] = True
    """Whether the posterior of each row is searched for, in float64."""
    keeps: ClassVar[bool] = False
    """Whether training goes on from the posterior that a row had before."""
    family: ClassVar[str] = "diagonal"
    """Name of the posterior's family."""

    def __init__(self, search):
        self.search = search

    def parameters(self, model, x, seed):
        """Parameters of q(z | x) of standardised rows, of which none depends on another; ``seed`` is for all draws."""
        return self._found(self.search.thorough, model, x, search_noise(model, seed), None, seed)

    def completed(self, model, x, noise, kept, seed):
        """Latent variables of a batch in training; ``kept`` are parameters from before, NaN where there are none."""
        return Completed(self._found(self.search, model, x, noise, kept, seed), noise)

    @abstractmethod
    def _found(self, search, model, x, noise, kept, seed):
        """Parameters of q(z | x) of rows, at noise that they share in a search."""


class Amortized(Inference):
    """The encoder's posteriors."""

    by_row = False

    def parameters(self, model, x, seed):
        return model.encode(x)

    def _found(self, search, model, x, noise, kept, seed):
        return model.encode(x)


class SemiAmortized(Inference):
    """The encoder's posteriors, each raised by a search (Kim et al. 2018, https://arxiv.org/abs/1802.02550)."""

    keeps = True

    def _found(self, search, model, x, noise, kept, seed):
        return refined(model, x, self._starts(model, x, kept, seed), noise, **search.options)

    def _starts(self, model, x, kept, seed):
        """Parameters, (n_starts, batch, n_parameters), of which each row begins at its best."""
        start = self._start(model, x, seed)
        return torch.stack([start] if kept is None else [start, torch.where(kept.isnan(), start, kept)])

    def _start(self, model, x, seed):
        return model.encode(x)


class Local(SemiAmortized):
    """A posterior for each row, that nothing else knows of."""

    encodes = False

    def _start(self, model, x, seed):
        return tiled(lambda part: guessed(model, part, seed), model, N_GUESSES + 1, x)


class Laplace(Local):
    """A normal distribution about the mode of p(z | x), with the inverse curvature there for its covariance."""

    family = "full"

    def _found(self, search, model, x, noise, kept, seed):
        def found(x, *starts):
            function = log_joint(model, x)
            starts = torch.stack(starts)[..., : model.posterior.n_components]
            return laplace(function, refine(partial(differentiated, function), starts, **search.options))

        return tiled(found, model, model.posterior.n_components, x, *self._starts(model, x, kept, seed))


class Chains(Inference):
    """Draws of p(z | x) itself, by Markov chains that begin at draws of the encoder's posterior."""

    def _found(self, search, model, x, noise, kept, seed):
        def found(x, parameters):
            noise = self._draws(model, x, parameters, seed, N_CHAINS, N_KEPT)
            return model.posterior.matched(model.posterior.draw(parameters, noise).z)

        return tiled(found, model, N_CHAINS, x, model.encode(x))

    def completed(self, model, x, noise, kept, seed):
        def drawn(x, parameters):
            found = self._draws(model, x, parameters, seed, len(noise), 1)
            return model.posterior.draw(parameters, found).z.transpose(0, 1)

        parameters = model.encode(x)
        return Completed(parameters, noise, tiled(drawn, model, len(noise), x, parameters).transpose(0, 1))

    def _draws(self, model, x, parameters, seed, n_chains, n_kept):
        """Noise of draws of p(z | x), (n_chains * n_kept, batch, n_noise)."""

        def log_weight(noise):
            return model.terms_given(parameters, x, noise).log_weight

        return posterior_draws(
            log_weight,
            # Standardised rows are the same to the last digit only by the same standardisation.
            Streams(row_keys(x.float(), seed)),
            model.posterior.n_noise,
            n_steps=self.search.n_steps,
            n_chains=n_chains,
            n_kept=min(n_kept, self.search.n_steps - self.search.n_steps // 2),
            kernel=self.search.kernel,
            dtype=x.dtype,
        )


INFERENCES = {
    "amortized": Amortized,
    "semi_amortized": SemiAmortized,
    "local": Local,
    "laplace": Laplace,
    "mcmc": Chains,
}


def guessed(model, x, seed):
    """Parameters from which each row's search begins: at the likeliest of some points that rows share."""
    prior, posterior = model.prior, model.posterior
    generator = torch.Generator(x.device).manual_seed(seed)
    z = prior.sample(N_GUESSES, generator=generator, like=model.scale)
    at_zero = posterior.draw(x.new_zeros(1, posterior.n_parameters), x.new_zeros(1, 1, posterior.n_noise)).z[0]
    z = torch.cat([at_zero, z])
    mean = posterior.noise(z, x.new_zeros(len(z), posterior.n_parameters))
    variance = GUESSED_SHARE * mean.var(0, keepdim=True).clamp_min(torch.finfo(x.dtype).eps).expand_as(mean)
    rest = mean.new_zeros(len(mean), posterior.n_parameters - 2 * mean.shape[1])
    parameters = torch.cat([mean, variance.log(), rest], -1)
    value = model.log_likelihood(z.unsqueeze(1), x) + prior.log_prob(z).unsqueeze(-1)
    return parameters[torch.nan_to_num(value, nan=-torch.inf).argmax(0)]
