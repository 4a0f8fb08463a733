"""The gradient that Boltzmann machines learn by: rows against states of the machine."""

import math

import torch

from skgen.estimators._loss import Loss
from skgen.models.contrast import Centers, Contrast
from skgen.models.real_machine import clip_singular_values
from skgen.networks.products import add_product

CENTER_RATE = 0.01
"""Share of a batch in the moving mean of hidden units."""
SCALE_STEP = 0.1
"""Learning rate of a visible layer's log-scales as a share of that of the weights."""
SCALE_BOUNDS = (0.03, 3.0)
"""Bounds of standard deviations of real visible units, in those of the columns."""
LARGEST_NORM = 0.999
"""Largest singular value of the weights where they must stay below 1: a variance 500 times that of the noise."""


class ContrastiveLoss(Loss):
    """Minus the mean log-likelihood of a Boltzmann machine: its gradient from the two phases.

    Parameters
    ----------
    model : RestrictedBoltzmannMachine
    phase : NegativePhase
    visible_center : Tensor of shape (n_visible,) or None
        Mean of the features of all rows, about which the gradient is centred; None for the plain gradient.
    sparsity_target, sparsity_cost : float or None, float
        Wanted mean of the hidden units, and the weight of the Kullback-Leibler divergence from it to that of a batch.

    Attributes
    ----------
    hidden_center : Tensor of shape (n_hidden,)
        Moving mean of the hidden units over the data.
    """

    monitor = "pseudo_log_likelihood"

    def __init__(self, model, phase, *, visible_center, sparsity_target=None, sparsity_cost=0.0):
        self.model, self.phase, self.contrast = model, phase, Contrast()
        self.visible_center = visible_center
        self.sparsity_target, self.sparsity_cost = sparsity_target, sparsity_cost
        with torch.no_grad():
            self.hidden_center = model.hidden_mean(self._typical_row().unsqueeze(0)).squeeze(0).clone()
        self.learns_scale = isinstance(model.log_scale, torch.nn.Parameter)
        self.bounded = self.waits = model.visible.scaled and model.hidden.unbounded

    @property
    def scheduled(self):
        return self.phase.scheduled

    def begin(self, epoch):
        self.phase.adapt()

    def __call__(self, batch, generator):
        self.project()
        model = self.model
        positive, negative = self.phase.phases(batch, generator)
        centers = self._centers(positive.hidden_mean, batch.weight)
        self.contrast(model, positive, negative, batch.weight, centers)
        if self.sparsity_target is not None:
            self._add_sparsity(positive, batch.weight)
        if self.learns_scale:
            model.log_scale.grad.mul_(SCALE_STEP)
        return lambda: self._report(batch, positive, negative), lambda: self._gap(batch, negative)

    def _typical_row(self):
        """The mean row, where the moving mean of the hidden units starts."""
        if self.visible_center is None or self.model.visible.scaled:
            return torch.zeros_like(self.model.visible_bias)
        return self.visible_center

    def project(self):
        """Bring the parameters back to where the density is normalisable and no variance collapses."""
        model = self.model
        if self.learns_scale:
            model.log_scale.data.clamp_(*map(math.log, SCALE_BOUNDS))
        if self.bounded and torch.linalg.vector_norm(model.weight) > LARGEST_NORM:
            clip_singular_values(model.weight.data, LARGEST_NORM)

    def _centers(self, hidden_mean, weight):
        if self.visible_center is None:
            return None
        self.hidden_center.lerp_(_mean(hidden_mean, weight), CENTER_RATE)
        return Centers(self.visible_center, self.hidden_center)

    def _add_sparsity(self, positive, weight):
        """Gradient of the divergence of Bernoulli means from their target, for biases and weights."""
        model, target, h = self.model, self.sparsity_target, positive.hidden_mean
        mean = _mean(h, weight).clamp_(1e-6, 1 - 1e-6)
        slope = self.sparsity_cost * ((1 - target) / (1 - mean) - target / mean) / len(h)
        to_field = h * (1 - h) * slope
        if weight is not None:
            to_field *= weight.unsqueeze(1) / weight.mean()
        model.hidden_bias.grad.add_(to_field.sum(0))
        add_product(model.weight.grad, to_field.t(), model.features(positive.v))

    def _report(self, batch, positive, negative):
        error = (self.model.visible_mean(positive.hidden_mean) - batch.x).mul_(self.model.scale).square().sum(-1)
        return {"reconstruction_error": _mean(error, batch.weight), "energy_gap": self._gap(batch, negative)}

    def _gap(self, batch, negative):
        """Mean free energy of the rows minus that of the machine's states."""
        return _mean(self.model.free_energy(batch.x), batch.weight) - self.model.free_energy(negative.v).mean()

    # -- state ------------------------------------------------------------------------------------------------------

    def buffers(self):
        return {"hidden_center": self.hidden_center} | self.phase.buffers()

    def load(self, buffers):
        if "hidden_center" in buffers:
            self.hidden_center.copy_(buffers["hidden_center"])
        self.phase.load(buffers)


def _mean(values, weight):
    return values.mean(0) if weight is None else weight @ values / weight.sum()
