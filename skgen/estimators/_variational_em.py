"""The losses of variational EM, and what its steps hand to each other."""

import math

import torch

from skgen._terms import evaluate
from skgen.estimators._loss import TermsLoss
from skgen.models.information import information
from skgen.training.loop import report_stride

STD, FELL = "elbo_std", "elbo_fell"
"""Names of entries in a record: the standard error of the bound, of batches its square; whether it fell by more."""
E_STEPS = "n_e_steps"
"""Name of the number of updates of the encoder, where it is not fixed."""
ROUNDING = 1e-9
"""Relative fall of the bound that rounding may explain."""
INFORMED_ROWS = 256
"""Rows of a batch that mutual information is measured on."""
PASSES = 6
"""Tiles of learning for one of inference, on a processor: what stays in its caches is learnt from twice as fast."""


def _squared_error_of_mean(values):
    """Of independent values (n,)."""
    return values.var(correction=0) / max(1, len(values) - 1)


def drawn_seed(generator):
    """A seed for what has a generator of its own, on the CPU."""
    return int(torch.randint(2**62, (), generator=generator, device=generator.device))


class VariationalLoss(TermsLoss):
    """The loss of the E-step, with what E-step, M-step and the step of the latent generator share.

    Parameters
    ----------
    trace, objective, noise, **options
        Those of :class:`TermsLoss`.
    model : LatentVariableModel
    batches : Batches
    inference : Inference
        Finds posteriors.
    frozen_noise : bool
        Whether all noise stays as it is for the whole fit.
    joint : bool
        Whether E-step and M-step learn from one pass, whose draws the latent generator then learns from too.
    prior_start : GeneratorStart or None

    Attributes
    ----------
    starts_at : int
        Epoch before which ``prior_start`` is not called.
    n_rows : int
        Number of rows that the latent generator stands for: those of earlier chunks are among them.
    closed : bool
        Whether the latent generator is learnt from statistics of draws instead of by gradients.
    kept : Tensor of shape (n_rows, n_parameters) or None
        Posteriors of all rows from their last visit, NaN before the first.
    completed : Completed or None
        Latent variables of the batch in progress.
    before : pair of float or None
        The last bound and its standard error.
    """

    def __init__(
        self,
        trace,
        objective,
        noise,
        *,
        tile,
        model,
        batches,
        inference,
        frozen_noise,
        joint,
        prior_start,
        **options,
    ):
        tile = max(1, tile // PASSES) if model.scale.device.type == "cpu" else tile
        super().__init__(trace, objective, self._block, tile=tile, **options)
        self.source, self.model, self.inference, self.prior_start = noise, model, inference, prior_start
        self.frozen_noise, self.shares, self.whole = frozen_noise, batches.full or inference.keeps, batches.full
        self.closed, self.collects = model.prior.closed_m_step, model.prior.closed_m_step and joint
        self.starts_at, self.n_rows = 0, batches.n_rows
        self.n_reports = len(range(0, batches.n_batches, report_stride(batches.n_batches)))
        self.kept = self.completed = self.before = self.block = None
        self.statistics = {}
        if inference.keeps:
            self.kept = model.scale.new_full((batches.n_rows, model.posterior.n_parameters), torch.nan)

    def begin(self, epoch):
        if self.prior_start is not None and epoch >= self.starts_at:
            self.prior_start(self.completed if self.frozen_noise else None)

    def in_user_units(self, record):
        counts = {name: record.pop(name) for name in (E_STEPS,) if name in record}
        error = math.sqrt(record.pop(STD) / self.n_reports)
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
        return 0 if self.frozen_noise else drawn_seed(generator)

    def tiles(self, batch):
        """The batch tile by tile, with the latent variables of the rows."""
        return ((some, self.completed.part(tile)) for tile, some in batch.tiles(self.tile))

    def learn_generator(self, batch, generator):
        """Make the latent generator what is likeliest for the latent variables of all rows as last seen.

        Batches are parts of all rows, those of earlier chunks included. The generator itself tells what was seen
        before, which fades as new rows come.
        """
        prior = self.model.prior
        if prior.starts_from_rows and not bool(prior.started):
            return
        if not self.collects:
            for some, latent in self.tiles(batch):
                self.collect(latent.draw(self.model.posterior), some.weight)
        rate, present = min(1.0, len(batch.x) / self.n_rows), prior.expected_statistics()
        prior.maximise(
            {
                name: rate / len(batch.x) * value + ((1 - rate) * present[name] if rate < 1 else 0)
                for name, value in self.statistics.items()
            }
        )

    def bound(self, batch, generator):
        """Means of the terms of the bound at the latent variables of the batch, and its squared standard error."""
        parts = [
            (self.model.terms_given(latent.parameters, some.x, latent.noise), some.weight, len(batch.x))
            for some, latent in self.tiles(batch)
        ]
        return self._report(parts)

    def _report(self, parts):
        return super()._report(parts) | {STD: self._squared_error(parts)}

    def _squared_error(self, parts):
        """Of the mean of the bound: from the rows where a batch has but some, and from draws that rows share."""
        error = self.model.scale.new_zeros(())
        if self.frozen_noise:
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
        for some, latent in self.shared.tiles(batch):
            value = value + self._part(some, latent.draw(self.shared.model.posterior).z, len(batch.x), generator)
        return dict, lambda: value

    def _part(self, batch, z, n_rows, generator):
        n_draws = len(z)
        share = batch.x.new_tensor(-1.0 / (n_draws * n_rows))
        if batch.weight is not None:
            share = share * batch.weight
        z = z[0] if n_draws == 1 else z
        outputs, pull_decoder = self.decode(z, generator)
        found, pull_likelihood = self.likelihood(outputs, batch.x)
        parts = [found]
        # Cotangents have the shape of values.
        share = share.expand(z.shape[:-1])
        pull_decoder(pull_likelihood(share))
        if self.prior is not None:
            found, pull_prior = self.prior(z)
            pull_prior(share)
            parts.append(found)
        return sum((evaluate(part) * share).sum() for part in parts) if self.valued else 0.0
