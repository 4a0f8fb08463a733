"""Priors that are fitted to the aggregated posterior, once the networks are trained."""

import torch

from skgen.distributions.normal import standard_normal
from skgen.estimators._arrays import as_array
from skgen.estimators._prior_start import MOST_ROWS, PriorStart
from skgen.training.batches import Batches
from skgen.training.flat import FlatParameters
from skgen.training.loop import annealed_epochs
from skgen.training.optimizers import SOLVERS
from skgen.training.steps import GradientStep

STEPS_PER_EPOCH = 10
"""Steps that fit a prior by gradients, for each epoch that the networks may have."""
LEARNING_RATE, BATCH_SIZE = 3e-3, 256
"""Of these steps: the rate at their start, from where it falls along a cosine, and draws in each."""
MOST_POSTERIORS = 100_000
"""Distinct rows whose posteriors are drawn from at most."""
FEWEST_DRAWS = 4096
"""Draws that a prior starts from, if rows are fewer than they."""


class AggregatedPosterior(PriorStart):
    """As :class:`PriorStart`, with draws of q(z | x) in place of posterior means."""

    def _encoded(self):
        parameters, weight = self.posteriors(MOST_ROWS)
        n_draws = max(1, FEWEST_DRAWS // len(parameters))
        shape = (n_draws, len(parameters), self.model.posterior.n_noise)
        noise = standard_normal(torch.empty(shape, dtype=torch.float64), torch.Generator().manual_seed(self.seed))
        z = self.model.posterior.draw(parameters, noise.to(parameters)).z.flatten(0, 1).double().cpu()
        # Draws have the spread of the posteriors already.
        return z, torch.zeros_like(z[0]), (weight.double().cpu() / n_draws).repeat(n_draws)


class _MeanLogPrior:
    """Minus the mean of log p(z) over draws of posteriors with some parameters, and its gradient by the prior."""

    def __init__(self, prior, posterior):
        self.trace, self.posterior = prior.tracer(), posterior

    def __call__(self, batch, generator):
        n_rows = len(batch.x)
        n_draws = -(-BATCH_SIZE // n_rows)
        shape = (n_draws, n_rows, self.posterior.n_noise)
        z = self.posterior.draw(batch.x, standard_normal(batch.x.new_empty(shape), generator)).z
        value, pullback = self.trace(z)
        share = torch.ones_like(value) if batch.weight is None else batch.weight.expand_as(value)
        share = share / value.numel()
        pullback(-share)
        mean = (share * value).sum()
        return lambda: {"log_prior": mean}, lambda: -mean


def fit_prior(prior, model, batches, *, seed, n_epochs):
    """Fit a prior by maximum likelihood to the aggregated posterior of a model whose networks stay as they are.

    It starts from draws, which is all for a mixture: EM has fitted it to them. Any other then takes
    ``STEPS_PER_EPOCH * n_epochs`` steps of Adam, each on fresh draws.
    """
    rows, device = AggregatedPosterior(model, batches, seed, prior), model.scale.device
    with torch.no_grad():
        prior.reset(torch.Generator().manual_seed(seed))
        prior.start(rows)
        if prior.starts_from_rows:
            prior.started.fill_(True)
        if prior.start_is_fit:
            return
        parameters, weight = rows.posteriors(MOST_POSTERIORS)
    data = Batches(
        parameters,
        weight.to(parameters) / weight.mean(),
        batch_size=BATCH_SIZE,
        device=device,
        dtype=parameters.dtype,
        prepare=None,
        augment=None,
    )
    step = GradientStep(_MeanLogPrior(prior, model.posterior), SOLVERS["adam"](FlatParameters(prior)), LEARNING_RATE)
    last = -(-STEPS_PER_EPOCH * n_epochs // data.n_batches)
    order, generator = torch.Generator().manual_seed(seed), torch.Generator(device).manual_seed(seed)
    for _ in annealed_epochs(step, data, last, order=order, generator=generator):
        pass


def prior_weights(prior):
    """Parameters and buffers of a prior, as the model that it is part of names them."""
    return {f"prior.{name}": as_array(value) for name, value in prior.state_dict().items()}
