"""Learning with an implicit posterior: the losses of model and adversary, and the steps in which they take turns."""

import math

import torch

from skgen._trace import autograd_trace
from skgen.distributions.normal import standard_normal
from skgen.estimators._loss import TermsLoss
from skgen.estimators._training import gradient_step
from skgen.estimators._variational_em import drawn_seed
from skgen.objectives.density_ratio import classification_losses
from skgen.training.steps import Alternate, Repeated

N_JUDGED = 4
"""Draws of each row that the adversary learns from in a step."""


class ContrastLoss(TermsLoss):
    """The loss of the model, which takes the adversary as it is, and that of the adversary.

    Attributes
    ----------
    model : AdversarialBayesModel
        In training.
    starts_at : float
        Epoch from which on posteriors have shapes of their own, and an adversary.
    """

    monitor = "bound"
    model = None
    starts_at = 0.0

    def begin(self, epoch):
        super().begin(epoch)
        self.model.bends = epoch >= self.starts_at

    def settled(self, epoch):
        return super().settled(epoch) and epoch >= self.starts_at

    def see(self, batch, generator):
        """Take a batch, whose rows are encoded once for all steps of the adversary."""
        self.model.redraw_contrast(torch.Generator().manual_seed(drawn_seed(generator)))
        self.seen = []
        for part in batch.x.split(self.tile):
            outputs = self.model.code(part)
            self.seen.append((outputs, self.model.contrast_parameters(outputs)))

    def adversary(self, batch, generator):
        """Add the gradient of the adversary at fresh draws of the batch that was seen."""
        n_rows, values, first = len(batch.x), [], 0
        for outputs, parameters in self.seen:
            rows = slice(first, first + len(outputs))
            first = rows.stop
            weight = None if batch.weight is None else batch.weight[rows]
            values.append(self._judge(outputs, parameters, weight, n_rows, generator))
        value = sum(values)
        return lambda: {"adversary": value}, lambda: value

    def _judge(self, outputs, parameters, weight, n_rows, generator):
        """Add the gradient of some of the ``n_rows`` rows; the sum of their losses over the number of rows."""
        model, noise = self.model, self.judged_noise(len(outputs), generator)
        _, drawn, _ = model.relative(outputs, noise, parameters)
        normal = standard_normal(noise[..., : drawn.shape[-1]], generator).expand_as(drawn)
        scores, pullback = self.judge(model.judged(outputs, torch.cat([drawn, normal])))
        share = scores.new_full((len(outputs),), 1.0) if weight is None else weight
        share = (share / (len(drawn) * n_rows)).expand(drawn.shape[:2])
        (losses,), pull_losses = autograd_trace(lambda leaf: classification_losses(*leaf.squeeze(-1).chunk(2)), scores)
        pullback(*pull_losses(share))
        return (losses * share).sum()


class SeeingStep(Repeated):
    """Steps of the adversary on each batch, with a learning rate of its own that falls with that of the model.

    Parameters
    ----------
    step : GradientStep
        Of the adversary, with the learning rate that the model begins with.
    n_times : int
        Steps on each batch.
    loss : ContrastLoss
        Which is to see a batch first.
    rate : float
        The learning rate that the adversary begins with.
    """

    def __init__(self, step, n_times, loss, rate):
        self.loss, self.rate = loss, rate
        self.first = self.current = step.learning_rate
        super().__init__(step, n_times)

    @property
    def learning_rate(self):
        return self.current

    @learning_rate.setter
    def learning_rate(self, value):
        self.current = value
        # Beside a model that stands still there is nothing to fall with.
        self.step.learning_rate = self.rate * (value / self.first if self.first else 1.0)

    def __call__(self, batch, generator, *, report=True):
        if not self.loss.model.bends:  # q is r: the best adversary can only guess, and loses log 2
            return {"adversary": batch.x.new_tensor(math.log(2))}
        self.loss.see(batch, generator)
        return super().__call__(batch, generator, report=report)


def turns(model, parameters, loss, settings, *, n_adversary_steps, adversary_rate):
    """The step of an adversary and a model."""
    adversary = gradient_step(loss.adversary, parameters.part(model.adversary), settings)
    parts = model.encoder, model.sampler, model.decoder, model.likelihood, model.prior
    return Alternate(
        ("adversary", SeeingStep(adversary, n_adversary_steps, loss, adversary_rate)),
        ("model", gradient_step(loss, parameters.part(*parts), settings)),
    )
