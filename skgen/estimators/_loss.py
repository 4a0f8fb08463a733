"""What a run asks of a loss, and that of network models: where terms meet an objective and the weights of rows."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch

from skgen._terms import Cotangents
from skgen.distributions.normal import antithetic_normal, standard_normal
from skgen.training.schedules import KL_SCHEDULES

SHARED_PAIRS = 4
"""Antithetic pairs in the noise block that a single batch's rows share under the ELBO."""

INFORMATION = "mutual_information_bound"
"""Name of the bound on the information between rows and latent variables in a record."""


@dataclass(frozen=True)
class KLSchedule:
    """The weight of the KL: 0 for ``delay`` epochs, from where it comes to ``beta`` over ``length`` epochs.

    ``shape`` names the way there, an entry of ``KL_SCHEDULES``.
    """

    beta: float = 1.0
    length: float = 0.0
    delay: int = 0
    shape: str = "linear"

    def weight(self, epoch):
        """Weight in an epoch."""
        share = KL_SCHEDULES[self.shape](epoch - self.delay, self.length) if epoch >= self.delay else 0.0
        return float(self.beta * share)

    def settled(self, epoch):
        """Whether the weight of an epoch is the final one."""
        return epoch >= self.delay + self.length


class Loss(ABC):
    """What a run of epochs asks of a loss; a subclass overrides what changes from epoch to epoch or step to step."""

    monitor: str
    """Name of the reported mean that progress is measured by; higher is better."""
    scheduled: dict = {}
    """What changes from epoch to epoch, by its name in a record."""
    waits = False
    """Whether a step waits for values of its own, so that a GPU cannot record it."""

    @abstractmethod
    def __call__(self, batch, generator):
        """Add the gradient; return functions for the reported means and for the loss."""

    def begin(self, epoch):
        """Set what changes from epoch to epoch."""
        return

    def settled(self, epoch):
        """Whether the loss of an epoch is the final one."""
        return True

    def in_user_units(self, record):
        """A record of means in the user's units."""
        return record

    def buffers(self):
        """What one step hands to the next, by name: tensors that are changed in place."""
        return {}

    def load(self, buffers):
        """Continue from the buffers of an earlier run."""
        return


class TermsLoss(Loss):
    """Minus the weighted mean of an objective over a batch, with its gradient.

    Parameters
    ----------
    trace : callable
        A model's tracer.
    objective : Objective
    noise : callable
        Number of rows and generator to noise (draws, rows or 1, components).
    factor, offset : float
        A reported term in the user's units is ``factor * (term + offset)``; the KL is what it is.
    tile : int
        Rows per pass; gradients add over passes.

    Attributes
    ----------
    kl_schedule : KLSchedule
        Weight of the KL in each epoch; 1 unless an estimator sets another.
    kl_weight : float
        Weight of the KL in force.
    prior_start : PriorStart or None
        Starts the prior from rows when the KL begins to count.
    annealing : TemperatureSchedule or None
        Sets the temperature of relaxed draws in each epoch.
    information : CriticTraining or None
        Adds the gradient of a bound on the information between rows and latent variables, and gives its value.
    condition : callable or None
        From a batch's targets to the conditions that the trace takes; None where there are none.
    """

    def __init__(self, trace, objective, noise, *, offset, tile, factor=1.0):
        self.trace = trace
        self.objective = objective
        self.noise = noise
        self.offset, self.factor = offset, factor
        self.tile = tile
        self.kl_schedule = KLSchedule()
        self.kl_weight = 1.0
        self.prior_start = None
        self.annealing = None
        self.information = None
        self.condition = None
        self._constants = {}

    @property
    def monitor(self):
        return self.objective.monitor

    def begin(self, epoch):
        self.kl_weight = self.kl_schedule.weight(epoch)
        if self.prior_start is not None and epoch >= self.kl_schedule.delay:
            self.prior_start()
        if self.annealing is not None:
            self.annealing.begin(epoch)

    def settled(self, epoch):
        return self.kl_schedule.settled(epoch) and (self.annealing is None or self.annealing.settled(epoch))

    @property
    def scheduled(self):
        scheduled = self.objective.scheduled(self.kl_weight)
        return scheduled if self.annealing is None else scheduled | self.annealing.scheduled

    def buffers(self):
        started = {} if self.prior_start is None else {"prior_started": self.prior_start.prior.started}
        return started if self.information is None else started | self.information.buffers()

    def load(self, buffers):
        if self.prior_start is not None and "prior_started" in buffers:
            self.prior_start.prior.started.copy_(buffers["prior_started"])
        if self.information is not None:
            self.information.load(buffers)

    def __call__(self, batch, generator):
        n_rows = batch.x.shape[0]
        noise = self.noise(n_rows, generator)
        if n_rows <= self.tile:
            parts = [self._part(batch, noise, n_rows, generator)]
        else:
            parts = []
            for tile, some in batch.tiles(self.tile):
                tile_noise = noise if noise is None or noise.shape[1] == 1 else noise[:, tile]
                parts.append(self._part(some, tile_noise, n_rows, generator))
                # The next tile overwrites the networks' outputs.
                parts[-1][0].compute()
        found = {} if self.information is None else {INFORMATION: self.information(batch, generator)}
        return lambda: self._report(parts) | found, lambda: self._loss(parts)

    def _part(self, batch, noise, n_rows, generator):
        """Add the gradient of some of the ``n_rows`` rows of a batch; their terms and weights, and ``n_rows``."""
        condition = () if self.condition is None else (self.condition(batch.target),)
        terms, pullback = self.trace(batch.x, noise, generator, *condition)
        cotangents = self.objective.cotangents(terms, self.kl_weight)
        pullback(self._averaged(cotangents, batch.weight, n_rows, terms.n_draws, batch.x))
        return terms, batch.weight, n_rows

    def _averaged(self, cotangents, weight, n_rows, n_draws, like):
        """Cotangents of minus the weighted mean over rows, as tensors; of a single draw without its axis."""
        factor = -1.0 / n_rows if weight is None else weight * (-1.0 / n_rows)
        averaged = []
        for name, cotangent in zip(Cotangents._fields, cotangents, strict=True):
            if name == "kl" and weight is not None:
                factor = factor.unsqueeze(-1)
            # A path's factor multiplies cotangents that are averaged themselves.
            part = cotangent if cotangent is None or name == "path" else cotangent * factor
            if isinstance(part, float):
                part = self._constant(part, like)
            elif part is not None and name != "kl" and n_draws == 1 and part.dim() == 2:
                part = part.squeeze(0)
            averaged.append(part)
        return Cotangents(*averaged)

    def _constant(self, value, like):
        """A number as a tensor, made once: making one costs as much as the kernels that use it."""
        if value not in self._constants:
            self._constants[value] = like.new_tensor(value)
        return self._constants[value]

    @staticmethod
    def _mean(values, weight, n_rows):
        return (values if weight is None else values * weight).sum().div_(n_rows)

    def _report(self, parts):
        means = {}
        for terms, weight, n_rows in parts:
            for name, values in self.objective.report(terms).items():
                mean = self._mean(values, weight, n_rows)
                means[name] = means[name] + mean if name in means else mean
        return means

    def in_user_units(self, record):
        return {
            name: value
            if name in self.objective.unitless or name == INFORMATION
            else self.factor * (value + self.offset)
            for name, value in record.items()
        }

    def _loss(self, parts):
        return -sum(self._mean(self.objective(t, self.kl_weight), weight, n) for t, weight, n in parts)


def no_noise(n_rows, generator):
    """The noise of a model that draws nothing."""
    return


def training_noise(n_draws, n_components, like, generator, *, line_search, shared, any_draws):
    """The noise of a run, a function of the number of rows and a generator, and its number of draws.

    A line search needs one antithetic block, frozen for the whole fit, with mean exactly 0 and covariance exactly I.
    A single batch shares fresh noise between its rows, so that its loss is a sum over rows of one function and a row's
    weight means its repetition. Otherwise every row has its own. ``any_draws`` says that the objective's
    expectation does not depend on the number of draws, which may then be raised.
    """
    if line_search:
        needed = 2 * n_components
        if not any_draws and (n_draws < needed or n_draws % 2):
            raise ValueError(f"A line search on this objective needs an even n_draws >= {needed}, got {n_draws}.")
        n_draws = max(n_draws + n_draws % 2, needed)
        block = antithetic_normal(n_draws, n_components, torch.Generator().manual_seed(generator.initial_seed()))
        block = block.to(like).unsqueeze(1)
        return lambda n_rows, generator: block, n_draws

    def normal(*shape, generator):
        return standard_normal(like.new_empty((*shape, n_components)), generator)

    if not shared:
        return lambda n_rows, generator: normal(n_draws, n_rows, generator=generator), n_draws
    if not any_draws:
        return lambda n_rows, generator: normal(n_draws, 1, generator=generator), n_draws
    n_pairs = max(SHARED_PAIRS, -(-n_draws // 2))

    def antithetic(n_rows, generator):
        half = normal(n_pairs, 1, generator=generator)
        return torch.cat([half, -half])

    return antithetic, 2 * n_pairs
