"""States that stand for a Boltzmann machine's law in a gradient: where they come from, by method."""

from abc import ABC, abstractmethod

import torch

from skgen.models.energy import Phase
from skgen.models.partition import TemperedPath
from skgen.samplers import gibbs, tempering
from skgen.training.representatives import read_off, representatives

FIRST_LADDER = 10
"""Temperatures before any exchange has been seen."""
LONGEST_LADDER = 30
FEWEST_OFFERS = 20
"""Exchanges offered to each pair of neighbours before their temperatures are changed."""


class NegativePhase(ABC):
    """States that stand for the machine's law in a gradient.

    Parameters
    ----------
    model : RestrictedBoltzmannMachine
    n_gibbs : int
        Gibbs steps of each chain before a gradient.
    n_chains : int
    base_bias : Tensor of shape (n_visible,)
        Visible biases of units alone that have the means of the rows.
    full : bool
        Whether all rows are one batch, of which the states may depend on the weighted distribution only.

    Attributes
    ----------
    scheduled : dict of str to float
        What changes from epoch to epoch, by its name in a record.
    """

    def __init__(self, model, *, n_gibbs, n_chains, base_bias, full):
        self.model = model
        self.n_gibbs, self.n_chains, self.full = n_gibbs, n_chains, full
        self.base_bias = base_bias
        self.scheduled = {}

    def follows(self, batch):
        """Whether the states start at hidden units drawn given each row of the batch."""
        return False

    @abstractmethod
    def __call__(self, batch, h, generator):
        """The states, as a Phase, for the gradient on a batch; ``h`` are drawn given its rows, or None."""

    def begin(self, generator):
        """Start what does not start from rows."""
        return

    def adapt(self):
        """Change between epochs what learning from the last one suggests."""
        return

    def hidden_states(self):
        """Hidden states of chains at the machine's law, (n_chains, n_hidden); None where chains are not kept."""
        return

    def buffers(self):
        """What one step hands to the next, by name: tensors that are changed in place."""
        return {}

    def load(self, buffers):
        """Continue from buffers of an earlier run, which may have had another method or number of chains."""
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
        v = gibbs.walk(self.model, h, self.n_gibbs, generator)
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

    def hidden_states(self):
        return self.chains

    def buffers(self):
        return {"chains": self.chains}


class Tempered(NegativePhase):
    """Persistent chains with replicas at higher temperatures, which exchange their states (Desjardins et al. 2010).

    The ladder of temperatures is changed between epochs, so that neighbours accept some 40 % of the exchanges.
    """

    state = None

    def begin(self, generator):
        betas = torch.linspace(0, 1, FIRST_LADDER, dtype=torch.float64)
        h = self.model.weight.new_zeros(self.n_chains * len(betas), len(self.model.weight))
        with torch.no_grad():
            self._own(tempering.init(self.model.draw_visible(h, generator), betas.to(h.device)))

    def __call__(self, batch, h, generator):
        # Weights have changed since the last step, and so have products of states with them.
        path = TemperedPath(self.model, self.base_bias)
        state = self.state._replace(x=path.state(self.state.x))
        for _ in range(self.n_gibbs):
            state = tempering.step(path, state, generator)
        self._own(state._replace(x=state.x.v))
        v = tempering.coldest(state).v
        return Phase(v, self.model.hidden_mean(v))

    def adapt(self):
        if bool((self.state.offered < FEWEST_OFFERS).any()):
            return
        acceptance = tempering.acceptance(self.state)
        betas = tempering.ladder(self.state.betas, acceptance)
        if len(betas) > LONGEST_LADDER:
            betas = tempering.ladder(self.state.betas, acceptance, LONGEST_LADDER)
        self._own(tempering.moved(self.state, betas))

    def _own(self, state):
        """Copy a state to memory of its own, which stays where it is for as long as the ladder has its length.

        A step that is recorded on a GPU goes on with that memory, and a ladder of another length is recorded anew.
        """
        if self.state is None or len(self.state.betas) != len(state.betas):
            self.state = tempering.State(*map(torch.empty_like, state))
        for own, new in zip(self.state, state, strict=True):
            own.copy_(new)
        self.scheduled = {"n_temperatures": float(len(state.betas))}

    def hidden_states(self):
        # A generator of its own: looking at a run must not change its course.
        generator = torch.Generator(self.state.x.device).manual_seed(0)
        with torch.no_grad():
            return self.model.draw_hidden(tempering.coldest(self.state), generator)

    def buffers(self):
        return self.state._asdict()

    def load(self, buffers):
        if buffers.keys() >= self.state._asdict().keys():
            state = tempering.State(*(buffers[name].to(part) for name, part in self.state._asdict().items()))
            x = state.x.unflatten(0, (len(state.betas), -1))
            x = x[:, torch.arange(self.n_chains) % x.shape[1]]
            self._own(state._replace(x=x.flatten(0, 1)))


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


NEGATIVE_PHASES = {"cd": FromRows, "pcd": Persistent, "tempering": Tempered, "exact": ClosedForm}
"""Methods by name."""
