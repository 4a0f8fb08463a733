"""Variational EM: what its steps are made of, and what they hand to each other."""

import math

import torch

from skgen._terms import evaluate
from skgen.estimators._loss import TermsLoss
from skgen.models.information import information
from skgen.training.steps import Repeated, Step

SQUARED_ERROR, STD, FELL = "elbo_squared_error", "elbo_std", "elbo_fell"
"""Names of entries in a record: squared standard error of the bound, its root, and whether the bound fell by more."""
E_STEPS = "n_e_steps"
"""Name of the number of updates of the encoder, where it is not fixed."""
ROUNDING = 1e-9
"""Relative fall of the bound that rounding may explain."""
MOST_BLOCKS = 30
"""Blocks of updates that an E-step takes at most while the mutual information rises."""
LEAST_RISE = 1e-2
"""Nats of mutual information that count as a rise."""
INFORMED_ROWS = 256
"""Rows of a batch that it is measured on."""


def _squared_error_of_mean(values):
    """Of independent values (n,)."""
    return values.var(correction=0) / max(1, len(values) - 1)


def drawn_seed(generator):
    """A seed for what has a generator of its own, on the CPU."""
    return int(torch.randint(2**62, (), generator=generator, device=generator.device))


class VariationalLoss(TermsLoss):
    """The loss of the E-step, with what E-step, M-step and the step of the latent generator share.

    Attributes
    ----------
    inference : Inference
        Finds posteriors.
    kept : Tensor of shape (n_rows, n_parameters) or None
        Posteriors of all rows from their last visit, NaN before the first.
    completed : Completed or None
        Latent variables of the batch in progress.
    starts_at : int
        Epoch before which ``prior_start`` is called.
    n_rows : int
        Number of rows that the latent generator stands for: those of earlier chunks are among them.
    closed : bool
        Whether the latent generator is learnt from statistics of draws instead of by gradients.
    collects : bool
        Whether the statistics of the latent generator are those of the draws of the E-step.
    frozen, shares, whole : bool
        Whether all noise stays as it is for the whole fit, whether rows share it, and whether a batch has all rows.
    """

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.model = self.inference = self.kept = self.completed = None
        self.source, self.noise, self.block, self.statistics = self.noise, self._block, None, {}
        self.starts_at, self.n_rows, self.n_reports = 0, 0, 1
        self.frozen = self.shares = self.whole = self.closed = self.collects = False
        self.before = None

    def begin(self, epoch):
        if self.prior_start is not None and epoch >= self.starts_at:
            self.prior_start(self.completed if self.frozen else None)

    def in_user_units(self, record):
        counts = {name: record.pop(name) for name in (E_STEPS,) if name in record}
        error = math.sqrt(record.pop(SQUARED_ERROR) / self.n_reports)
        record = super().in_user_units(record)
        bound, fell = record["elbo"], 0.0
        if self.before is not None:
            fall, least = self.before[0] - bound, math.hypot(self.before[1], error)
            fell = float(fall > max(least, ROUNDING * abs(bound)))
        self.before = bound, error
        return record | {STD: error, FELL: fell} | counts

    # -- the state of a run -------------------------------------------------------------------------------------------

    def buffers(self):
        kept = {} if self.kept is None else {"kept": self.kept}
        last = {} if self.before is None else {"before": torch.tensor(self.before, dtype=torch.float64)}
        return super().buffers() | kept | last

    def load(self, buffers):
        super().load(buffers)
        if "before" in buffers:
            self.before = tuple(buffers["before"].tolist())
        if self.kept is not None and "kept" in buffers and buffers["kept"].shape == self.kept.shape:
            self.kept.copy_(buffers["kept"])

    # -- the parts of an iteration ------------------------------------------------------------------------------------

    def draw_noise(self, batch, generator):
        """Draw the noise of an iteration, which all its steps share."""
        self.block, self.statistics = self.source(len(batch.x), generator), {}

    def _block(self, n_rows, generator):
        return self.source(n_rows, generator) if self.block is None else self.block

    def _part(self, batch, noise, n_rows, generator):
        found = super()._part(batch, noise, n_rows, generator)
        if self.collects:
            self.collect(found[0].draw, batch.weight)
        return found

    def collect(self, draw, weight):
        """Add the statistics of some draws (draws, batch, n_latent), or of one without the first axis."""
        draw = draw._replace(z=draw.z.unsqueeze(0)) if draw.z.dim() == 2 else draw
        for name, value in self.model.prior.statistics(draw, weight).items():
            self.statistics[name] = self.statistics[name] + value if name in self.statistics else value

    def infer(self, batch, generator):
        """Find the latent variables of a batch, which the M-step takes as they are."""
        noise, seed = self.noise(len(batch.x), generator), self.seed(generator)
        kept = None if self.kept is None else self.kept[batch.target]
        self.completed = self.inference.completed(self.model, batch.x, noise, kept, seed)
        if self.kept is not None:
            self.kept[batch.target] = self.completed.parameters

    def seed(self, generator):
        """A seed for what has a generator of its own."""
        return 0 if self.frozen else drawn_seed(generator)

    def tiles(self, n_rows):
        """Parts of the rows of a batch."""
        return [slice(start, start + self.tile) for start in range(0, n_rows, self.tile)]

    def bound(self, batch):
        """Means of the terms of the bound at the latent variables of the batch, and its squared standard error."""
        parts = []
        for tile in self.tiles(len(batch.x)):
            part = self.completed.part(tile)
            terms = self.model.terms_given(part.parameters, batch.x[tile], part.noise)
            parts.append((terms, None if batch.weight is None else batch.weight[tile], len(batch.x)))
        return self._report(parts)

    def _report(self, parts):
        return super()._report(parts) | {SQUARED_ERROR: self._squared_error(parts)}

    def _squared_error(self, parts):
        """Of the mean of the bound: from the rows where a batch has but some, and from draws that rows share."""
        error = self.model.scale.new_zeros(())
        if self.frozen:
            return error
        found = []
        for terms, weight, _ in parts:
            values = terms.log_likelihood + (0 if terms.has_kl else terms.log_prior - terms.log_posterior)
            found.append(values if weight is None else values * weight)
        values = torch.cat(found, 1)
        if not self.whole:
            error = error + _squared_error_of_mean(values.mean(0))
        if self.shares and len(values) > 1:  # draws come in pairs, halves of which are the negatives of the others
            error = error + _squared_error_of_mean(values.mean(1).unflatten(0, (2, -1)).mean(0))
        return error

    def mutual_information(self, batch, noise):
        """Nats that latent variables tell of some rows of a batch, at some noise."""
        x = batch.x[:INFORMED_ROWS]
        share = x.new_full((len(x),), 1 / len(x)) if batch.weight is None else batch.weight[: len(x)]
        parameters = self.model.encode(x)
        found = information(self.model.posterior, self.model.prior, parameters, noise[:, : len(x)], share / share.sum())
        return float(found.mutual_information)


class CompleteLoss:
    """The loss of the M-step: minus the weighted mean of log p(x, z), with its gradient by the model's parameters.

    ``learns_prior`` adds log p(z), where the latent generator learns by gradients; ``valued`` says that its value is
    asked for.
    """

    def __init__(self, shared, *, learns_prior, valued, low_precision):
        model = shared.model
        self.shared, self.valued = shared, valued
        self.decode = model.decoder.tracer(input_gradient=False, low_precision=low_precision)
        self.likelihood = model._likelihood_tracer()
        self.prior = model.prior.tracer() if learns_prior else None

    def __call__(self, batch, generator):
        value = batch.x.new_zeros(())
        for tile in self.shared.tiles(len(batch.x)):
            value = value + self._part(batch, tile, generator)
        return dict, lambda: value

    def _part(self, batch, tile, generator):
        z = self.shared.completed.part(tile).draw(self.shared.model.posterior).z
        n_draws, x = len(z), batch.x[tile]
        share = x.new_tensor(-1.0 / (n_draws * len(batch.x)))
        if batch.weight is not None:
            share = share * batch.weight[tile]
        z = z[0] if n_draws == 1 else z
        outputs, pull_decoder = self.decode(z, generator)
        found, pull_likelihood = self.likelihood(outputs, x)
        parts = [found]
        # Cotangents have the shape of values.
        share = share.expand(z.shape[:-1])
        pull_decoder(pull_likelihood(share))
        if self.prior is not None:
            found, pull_prior = self.prior(z)
            pull_prior(share)
            parts.append(found)
        return sum((evaluate(part) * share).sum() for part in parts) if self.valued else 0.0


# -- steps ------------------------------------------------------------------------------------------------------------


class ExpectationStep(Repeated):
    """Updates of the encoder; with ``aggressive`` for as long as the mutual information rises (He et al. 2019).

    https://arxiv.org/abs/1901.05534.
    """

    def __init__(self, step, n_times, shared, *, aggressive):
        super().__init__(step, n_times)
        self.shared, self.aggressive = shared, aggressive

    def __call__(self, batch, generator, *, report=True):
        if not self.aggressive:
            super().__call__(batch, generator, report=False)
            return {}
        noise = self.shared.noise(len(batch.x), generator)
        noise = noise[:1].expand(-1, len(batch.x), -1)
        n_blocks, best, value = 0, -math.inf, self.shared.mutual_information(batch, noise)
        while n_blocks < MOST_BLOCKS and value > best + LEAST_RISE:
            best = value
            super().__call__(batch, generator, report=False)
            n_blocks, value = n_blocks + 1, self.shared.mutual_information(batch, noise)
        return {E_STEPS: batch.x.new_tensor(float(n_blocks * self.n_times))} if report else {}


class NoiseStep(Step):
    """Draws the noise of the iteration."""

    learning_rate = 0.0

    def __init__(self, shared):
        self.shared = shared

    def __call__(self, batch, generator, *, report=True):
        self.shared.draw_noise(batch, generator)
        return {}


class JointStep(NoiseStep):
    """An update of the encoder and one of the decoder, whose gradients come from the same pass.

    Parameters
    ----------
    shared : VariationalLoss
        With a trace of all parameters.
    parameters : FlatParameters
    e_step, m_step : Optimizer
        Of encoder, and of decoder, likelihood and what the latent generator has to learn by gradients.
    """

    def __init__(self, shared, parameters, e_step, m_step):
        super().__init__(shared)
        self.parameters, self.optimizers = parameters, {"e": e_step, "m": m_step}

    def __call__(self, batch, generator, *, report=True):
        self.parameters.gradient.zero_()
        terms, _ = self.shared(batch, generator)
        found = terms() if report else {}
        for optimizer in self.optimizers.values():
            optimizer.step(lambda: self.parameters.gradient, self.learning_rate)
        return found

    def state(self):
        return {
            f"{name}.{key}": value
            for name, optimizer in self.optimizers.items()
            for key, value in optimizer.state().items()
        }

    def load(self, state):
        for name, optimizer in self.optimizers.items():
            optimizer.load({key: state[f"{name}.{key}"] for key in optimizer.state()})


class InferenceStep(NoiseStep):
    """Finds the latent variables of the batch."""

    def __call__(self, batch, generator, *, report=True):
        self.shared.infer(batch, generator)
        return {}


class GeneratorStep(NoiseStep):
    """Makes the latent generator what is likeliest for the latent variables of all rows as last seen.

    Batches are parts of all rows, those of earlier chunks included. The generator itself tells what was seen before,
    which fades as new rows come.
    """

    def __call__(self, batch, generator, *, report=True):
        prior = self.shared.model.prior
        if not prior.starts_from_rows or bool(prior.started):
            rate = min(1.0, len(batch.x) / self.shared.n_rows)
            found, present = self._statistics(batch), prior.expected_statistics()
            prior.maximise(
                {
                    name: rate / len(batch.x) * value + ((1 - rate) * present[name] if rate < 1 else 0)
                    for name, value in found.items()
                }
            )
        return {}

    def _statistics(self, batch):
        shared = self.shared
        if not shared.collects:
            for tile in shared.tiles(len(batch.x)):
                weight = None if batch.weight is None else batch.weight[tile]
                shared.collect(shared.completed.part(tile).draw(shared.model.posterior), weight)
        return shared.statistics


class ReportStep(NoiseStep):
    """Reports the bound after an iteration."""

    def __call__(self, batch, generator, *, report=True):
        return self.shared.bound(batch) if report else {}
