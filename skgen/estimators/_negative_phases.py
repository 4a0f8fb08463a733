"""States that stand for a Boltzmann machine's law in a gradient: where they come from, by method."""

from abc import ABC, abstractmethod

import torch

from skgen.models.contrast import Phase
from skgen.models.partition import TemperedPath
from skgen.models.real_machine import linear_root
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

    @abstractmethod
    def phases(self, batch, generator):
        """The rows of a batch as a Phase, and the states of the machine to set against them as another."""

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

    def _phase(self, v):
        return Phase(v, self.model.hidden_mean(v))


class FromRows(NegativePhase):
    """Contrastive divergence: short chains that start at the rows of the batch (Hinton 2002)."""

    distinct = cumulative = None

    def phases(self, batch, generator):
        if self.full or batch.weight is not None:
            positive = self._phase(batch.x)
            h = self.model.draw_hidden(self._starts(batch, generator), generator)
        else:
            mean, h = self.model.hidden_mean_and_draw(batch.x, generator)
            positive = Phase(batch.x, mean)
        return positive, self._phase(gibbs.walk(self.model, h, self.n_gibbs, generator))

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


class FreePhase(NegativePhase):
    """States that do not depend on the rows of the batch."""

    def phases(self, batch, generator):
        return self._phase(batch.x), self.draw(generator)

    @abstractmethod
    def draw(self, generator):
        """States of the machine for one gradient, as a Phase."""


class Persistent(FreePhase):
    """Persistent contrastive divergence: chains that go on from step to step (Tieleman 2008)."""

    chains = None

    def begin(self, generator):
        model = self.model
        with torch.no_grad():
            self.chains = model.draw_hidden(model.draw_visible_alone(self.n_chains, generator), generator)

    def draw(self, generator):
        v = gibbs.walk(self.model, self.chains, self.n_gibbs, generator)
        mean, h = self.model.hidden_mean_and_draw(v, generator)
        self.chains.copy_(h)
        return Phase(v, mean)

    def hidden_states(self):
        return self.chains

    def buffers(self):
        return {"chains": self.chains}


class Tempered(FreePhase):
    """Persistent chains with replicas at higher temperatures, which exchange their states (Desjardins et al. 2010).

    The ladder of temperatures is changed between epochs, so that neighbours accept some 40 % of the exchanges.
    """

    state = None

    def begin(self, generator):
        betas = torch.linspace(0, 1, FIRST_LADDER, dtype=torch.float64)
        with torch.no_grad():
            v = self.model.draw_visible_alone(self.n_chains * len(betas), generator)
            self._own(tempering.init(v, betas.to(v.device)))

    def draw(self, generator):
        # Weights have changed since the last step, and so have products of states with them.
        path = TemperedPath(self.model, self.base_bias)
        state = self.state._replace(x=path.state(self.state.x))
        for _ in range(self.n_gibbs):
            state = tempering.step(path, state, generator)
        self._own(state._replace(x=state.x.v))
        return self._phase(tempering.coldest(state).v)

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


class ClosedForm(FreePhase):
    """States with exactly the moments of a machine whose units are all linear: no chains, no noise."""

    def draw(self, generator):
        mean, root = linear_root(self.model)
        root *= len(root) ** 0.5
        return self._phase(torch.cat([mean + root, mean - root]))


NEGATIVE_PHASES = {"cd": FromRows, "pcd": Persistent, "tempering": Tempered, "exact": ClosedForm}
"""Methods by name."""
