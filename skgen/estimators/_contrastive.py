"""Learning of Boltzmann machines: data against the machine's own states, which come from chains of Gibbs steps."""

from abc import ABC, abstractmethod

import torch

from skgen.models.energy import Centers, Phase
from skgen.training.representatives import read_off, representatives

CENTER_RATE = 0.01
"""Share of a batch in the moving mean of hidden units."""
SCALE_STEP = 0.1
"""Learning rate of a visible layer's log-scales as a share of that of the weights."""
SCALE_BOUNDS = (0.03, 3.0)
"""Bounds of standard deviations of real visible units, in those of the columns."""
LARGEST_NORM = 0.999
"""Largest singular value of the weights where they must stay below 1: a variance 500 times that of the noise."""


class NegativePhase(ABC):
    """States that stand for the machine's law in a gradient.

    Parameters
    ----------
    model : RestrictedBoltzmannMachine
    n_gibbs : int
        Gibbs steps of each chain before a gradient.
    n_chains : int
    full : bool
        Whether all rows are one batch, of which the states may depend on the weighted distribution only.
    """

    def __init__(self, model, *, n_gibbs, n_chains, full):
        self.model = model
        self.n_gibbs, self.n_chains, self.full = n_gibbs, n_chains, full

    def follows(self, batch):
        """Whether the states start at hidden units drawn given each row of the batch."""
        return False

    @abstractmethod
    def __call__(self, batch, h, generator):
        """The states, as a Phase, for the gradient on a batch; ``h`` are drawn given its rows, or None."""

    def begin(self, generator):
        """Start what does not start from rows."""
        return

    def buffers(self):
        """What one step hands to the next, by name: tensors that are changed in place."""
        return {}

    def load(self, buffers):
        """Continue from buffers of an earlier run, which may have had another number of chains."""
        for name, buffer in self.buffers().items():
            if name in buffers:
                old = buffers[name]
                buffer.copy_(old[torch.arange(len(buffer)) % len(old)])

    def _walk(self, h, generator):
        """Gibbs steps from hidden states: the last visible states as a Phase, and hidden states drawn from them."""
        for _ in range(self.n_gibbs):
            v = self.model.draw_visible(h, generator)
            mean, h = self.model.hidden_mean_and_draw(v, generator)
        return Phase(v, mean), h


class FromRows(NegativePhase):
    """Contrastive divergence: short chains that start at the rows of the batch (Hinton 2002)."""

    distinct = cumulative = None

    def follows(self, batch):
        return not self.full and batch.weight is None

    def __call__(self, batch, h, generator):
        if h is None:
            h = self.model.draw_hidden(self._starts(batch, generator), generator)
        for _ in range(self.n_gibbs - 1):
            h = self.model.draw_hidden(self.model.draw_visible(h, generator), generator)
        v = self.model.draw_visible(h, generator)
        return Phase(v, self.model.hidden_mean(v))

    def _starts(self, batch, generator):
        """Rows drawn systematically by their weights; of a single batch in an order that rows define themselves.

        Weights of a single batch then mean repetitions.
        """
        if self.full and self.distinct is None:
            order = torch.Generator().manual_seed(generator.initial_seed())
            rows, weight = representatives(batch.x, batch.weight, len(batch.x), generator=order)
            self.distinct, self.cumulative = rows.to(batch.x), torch.cumsum(weight, 0)
        rows, cumulative = self.distinct, self.cumulative
        if not self.full:
            rows, cumulative = batch.x, torch.cumsum(batch.weight.double(), 0)
        n = self.n_chains if self.full else len(batch.x)
        shift = torch.rand(1, dtype=cumulative.dtype, device=cumulative.device, generator=generator)
        heights = (torch.arange(n, device=cumulative.device) + shift) * (cumulative[-1] / n)
        return rows[read_off(cumulative, heights)]


class Persistent(NegativePhase):
    """Persistent contrastive divergence: chains that go on from step to step (Tieleman 2008)."""

    chains = None

    def begin(self, generator):
        model = self.model
        h = model.weight.new_zeros(self.n_chains, len(model.weight))
        with torch.no_grad():
            self.chains = model.draw_hidden(model.draw_visible(h, generator), generator)

    def __call__(self, batch, h, generator):
        phase, h = self._walk(self.chains, generator)
        self.chains.copy_(h)
        return phase

    def buffers(self):
        return {"chains": self.chains}


class ClosedForm(NegativePhase):
    """States with exactly the moments of a machine whose units are all linear: no chains, no noise."""

    def __call__(self, batch, h, generator):
        mean, root = linear_root(self.model)
        root *= len(root) ** 0.5
        v = torch.cat([mean + root, mean - root])
        return Phase(v, self.model.hidden_mean(v))


def linear_root(model):
    """Mean of the visible units of a machine of linear units, and a matrix R whose R^T R is their covariance."""
    singular, right = torch.linalg.svd(model.weight, full_matrices=False)[1:]
    bias = model.features(model.visible_bias) + model.hidden_bias @ model.weight
    mean = bias + (right @ bias * (1 / (1 - singular**2) - 1)) @ right
    root = (right.T * (1 / torch.sqrt(1 - singular**2) - 1)) @ right
    root.diagonal().add_(1)
    scale = torch.exp(model.log_scale)
    return mean * scale, root * scale


NEGATIVE_PHASES = {"cd": FromRows, "pcd": Persistent, "exact": ClosedForm}
"""Methods by name."""


class ContrastiveLoss:
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
    scheduled: dict = {}

    def __init__(self, model, phase, *, visible_center, sparsity_target=None, sparsity_cost=0.0):
        self.model, self.phase = model, phase
        self.visible_center = visible_center
        self.sparsity_target, self.sparsity_cost = sparsity_target, sparsity_cost
        with torch.no_grad():
            self.hidden_center = model.hidden_mean(self._typical_row().unsqueeze(0)).squeeze(0).clone()
        self.learns_scale = isinstance(model.log_scale, torch.nn.Parameter)
        self.bounded = model.visible.scaled and model.hidden.unbounded

    def begin(self, epoch):
        """Nothing changes from epoch to epoch."""

    def settled(self, epoch):
        """Whether the loss of an epoch is the final one."""
        return True

    def in_user_units(self, record):
        """A record of means as it is."""
        return record

    def __call__(self, batch, generator):
        """Add the gradient; return functions for the reported means and for the loss."""
        self.project()
        model = self.model
        if self.phase.follows(batch):
            hidden_mean, h = model.hidden_mean_and_draw(batch.x, generator)
        else:
            hidden_mean, h = model.hidden_mean(batch.x), None
        negative = self.phase(batch, h, generator)
        positive = Phase(batch.x, hidden_mean)
        model.contrast(positive, negative, batch.weight, self._centers(hidden_mean, batch.weight))
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
            model.log_scale.data.clamp_(*torch.tensor(SCALE_BOUNDS).log().tolist())
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
        model.weight.grad.addmm_(to_field.t(), model.features(positive.v))

    def _report(self, batch, positive, negative):
        error = (self.model.visible_mean(positive.hidden_mean) - batch.x).mul_(self.model.scale).square().sum(-1)
        return {"reconstruction_error": _mean(error, batch.weight), "energy_gap": self._gap(batch, negative)}

    def _gap(self, batch, negative):
        """Mean free energy of the rows minus that of the machine's states."""
        return _mean(self.model.free_energy(batch.x), batch.weight) - self.model.free_energy(negative.v).mean()

    # -- state ------------------------------------------------------------------------------------------------------

    def buffers(self):
        """What one step hands to the next, by name."""
        return {"hidden_center": self.hidden_center} | self.phase.buffers()

    def load(self, buffers):
        """Continue from the buffers of an earlier run."""
        if "hidden_center" in buffers:
            self.hidden_center.copy_(buffers["hidden_center"])
        self.phase.load(buffers)


def _mean(values, weight):
    return values.mean(0) if weight is None else weight @ values / weight.sum()


def clip_singular_values(matrix, largest):
    """Lower the singular values of a matrix to a largest one, in place."""
    tall = len(matrix) > matrix.shape[1]
    gram = (matrix.t() @ matrix if tall else matrix @ matrix.t()).double()
    squares, vectors = torch.linalg.eigh(gram)
    # Vectors of values that are small enough have coefficient 0.
    excess = (1 - largest / squares.clamp_min(largest**2).sqrt()).to(matrix)
    vectors = vectors.to(matrix)
    if tall:
        matrix.sub_((matrix @ vectors * excess) @ vectors.t())
    else:
        matrix.sub_((vectors * excess) @ (vectors.t() @ matrix))
