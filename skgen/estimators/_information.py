"""A bound on the information between rows and latent variables that training adds to its objective."""

import math

import torch

from skgen._trace import autograd_trace
from skgen.distributions.normal import standard_normal
from skgen.models.critic import ConcatCritic
from skgen.objectives.mutual_information import donsker_varadhan, mine, moving_log_average
from skgen.training.flat import FlatParameters
from skgen.training.optimizers import SOLVERS

HIDDEN_SIZES = (128, 128)
LEARNING_RATE = 1e-3
MOST_PAIRED = 256
"""Rows of a single batch up to which all pairs are scored."""
AVERAGING_RATE = 0.01
"""Share of a batch in the moving average of the critic's denominator, that of Belghazi et al. (2018)."""


class CriticTraining:
    """A critic of pairs (x, z), trained with the model that it is given, and its part of each step.

    Parameters
    ----------
    model : LatentVariableModel
        In training, on its device.
    weight : float
        Of the bound, in the objective of the model.
    seed : int
        Of the critic's initial weights.
    batches : Batches
        Of one batch of few rows each row is paired with each, and all share their noise, so that a row's weight means
        its repetition. Otherwise each is paired with another one at random.
    """

    def __init__(self, model, weight, seed, batches):
        self.model, self.weight = model, weight
        self.full = batches.full and batches.n_rows <= MOST_PAIRED
        self.critic = ConcatCritic(model.encoder.n_inputs, model.prior.n_latent, HIDDEN_SIZES).double()
        self.critic.reset(torch.Generator().manual_seed(seed))
        self.parameters = FlatParameters(self.critic.to(model.scale))
        self.optimizer = SOLVERS["adam"](self.parameters)
        self.log_average = model.scale.new_tensor(-math.inf)

    def __call__(self, batch, generator):
        """Add the gradient of minus the weighted bound to the model's, move the critic up; the bound before it."""
        (z,), pull_encoder = autograd_trace(lambda: self._draws(batch.x, generator))
        (bound, surrogate), pull_critic = autograd_trace(lambda leaf: self._bound(batch, leaf, generator), z)
        self.parameters.gradient.zero_()
        (to_z,) = pull_critic(None, -torch.ones_like(surrogate))
        pull_encoder(self.weight * to_z)
        self.optimizer.step(lambda: self.parameters.gradient, LEARNING_RATE)
        return bound

    def _draws(self, x, generator):
        """A draw of the posterior of each row, through which the encoder is differentiated."""
        noise = standard_normal(x.new_empty(1, 1 if self.full else len(x), self.model.posterior.n_noise), generator)
        return self.model.posterior.draw(self.model.encode(x), noise).z[0]

    def _bound(self, batch, z, generator):
        """The bound of a batch, and the surrogate that has its corrected gradient."""
        inputs, weight = self.model.inputs(batch.x), batch.weight
        joint = self.critic(inputs, z)
        if self.full:
            product = self.critic.matrix(inputs, z)
            product_weight = None if weight is None else weight.unsqueeze(-1) * weight
        else:
            other = z.new_empty(len(z)).uniform_(generator=generator).argsort()
            product = self.critic(inputs, z[other])
            product_weight = None if weight is None else weight * weight[other]
        self.log_average.copy_(moving_log_average(self.log_average, product, AVERAGING_RATE, product_weight))
        bound = donsker_varadhan(joint, product, weight, product_weight)
        return bound, mine(joint, product, self.log_average, weight, product_weight)

    def buffers(self):
        """What one step hands to the next, by name."""
        state = {f"critic_{name}": value for name, value in self.optimizer.state().items()}
        return state | {"critic": self.parameters.value, "critic_log_average": self.log_average}

    def load(self, buffers):
        """Continue from the buffers of an earlier run."""
        if "critic" in buffers:
            self.parameters.value.copy_(buffers["critic"])
            self.log_average.copy_(buffers["critic_log_average"])
            self.optimizer.load({name: buffers[f"critic_{name}"] for name in self.optimizer.state()})
