"""Up-down learning of a whole stack: the wake-sleep algorithm with a Boltzmann machine on top."""

import math

import torch

from skgen.estimators._contrastive import SCALE_BOUNDS, SCALE_STEP
from skgen.estimators._loss import Loss
from skgen.estimators._negative_phases import Persistent
from skgen.models.contrast import Contrast, Phase

BURN_IN = 100
"""Gibbs steps of the chains of the top before the first gradient."""


class UpDownLoss(Loss):
    """The two phases of a deep belief network's learning (Hinton, Osindero and Teh 2006).

    Awake, units are drawn upwards from rows, and the downward weights learn to give them back; the top learns from
    what reaches it, against persistent chains. Asleep, units are drawn downwards from these chains, and the upward
    weights learn to find them.

    Parameters
    ----------
    network : DeepBeliefNetwork
    n_gibbs, n_chains : int
        Of the top.
    shared : bool
        Whether rows share their draws, so that a row's weight means its repetition.
    """

    monitor = "wake"

    def __init__(self, network, *, n_gibbs, n_chains, shared):
        self.network, self.shared, self.contrast = network, shared, Contrast()
        base_bias = network.top.visible_bias.detach()
        self.phase = Persistent(network.top, n_gibbs=n_gibbs, n_chains=n_chains, base_bias=base_bias, full=shared)
        self.scales = [each.log_scale for each in network.generation if isinstance(each.log_scale, torch.nn.Parameter)]

    def start_chains(self, generator):
        """Run the chains of the top from scratch."""
        self.phase.begin(generator)
        with torch.no_grad():
            for _ in range(BURN_IN):
                self.phase.draw(generator)

    def in_user_units(self, record):
        return record | {"wake": record["wake"] + float(self.network.log_jacobian)}

    def __call__(self, batch, generator):
        network, top = self.network, self.network.top
        for log_scale in self.scales:
            log_scale.data.clamp_(*map(math.log, SCALE_BOUNDS))
        awake = network.wake(batch.x, generator, batch.weight, shared=self.shared)
        negative = self.phase.draw(generator)
        self.contrast(top, Phase(awake[-1], top.hidden_mean(awake[-1])), negative, batch.weight)
        asleep = network.sleep(negative.v, generator)
        for log_scale in self.scales:
            log_scale.grad.mul_(SCALE_STEP)
        return lambda: self._report(awake, asleep, batch.weight), lambda: -self._wake(awake, batch.weight)

    def _report(self, awake, asleep, weight):
        return {"wake": self._wake(awake, weight), "sleep": self.network.recognition_log_prob(asleep).mean()}

    def _wake(self, awake, weight):
        values = self.network.generation_log_prob(awake)
        return values.mean() if weight is None else weight @ values / weight.sum()

    def buffers(self):
        return self.phase.buffers()

    def load(self, buffers):
        self.phase.load(buffers)
