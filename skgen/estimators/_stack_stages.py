"""What a stack of Boltzmann machines learns one after the other: its layers, and then all of them together."""

from copy import copy

import numpy as np
import torch

from skgen.estimators._arrays import as_array, resolve_device, seed_from
from skgen.estimators._data import standardizer, training_batches, weighted_rows
from skgen.estimators._iterative import Runtime
from skgen.estimators._sparse import as_rows
from skgen.estimators._stack_up_down import UpDownLoss
from skgen.estimators._training import TrainingRun, training_dtype
from skgen.models.deep_belief import DeepBeliefNetwork
from skgen.training.flat import FlatParameters


class Layer:
    """A Boltzmann machine that learns from what the layers below make of the rows.

    Parameters
    ----------
    machine : RBM
    source : callable
        Gives rows and their weights, None for equal ones.
    number : int
        From 1, the lowest.
    fresh, partial : bool
        Whether it learns from nothing, and whether the rows are a chunk.
    """

    task_name = "layer"

    def __init__(self, machine, source, *, number, fresh, partial):
        self.machine, self.source, self.number = machine, source, number
        self.fresh, self.partial = fresh, partial
        self.rows = self.data = None

    @property
    def n_epochs(self):
        """Largest number of epochs."""
        return 1 if self.partial else self.machine.max_iter

    def start(self):
        """The run of the machine."""
        self.rows = X, weight = self.source()
        _, _, self.data = self.machine._prepare(X, {"sample_weight": weight, "X_val": None}, fresh=self.fresh)
        run = self.machine._start(self.data, fresh=self.fresh, partial=self.partial)
        self.machine._runtime = Runtime(run)
        return run

    def finish(self, run):
        """Make the machine a fitted estimator."""
        if self.partial:
            self.machine._store(run)
            self.machine._describe_data(self.data)
        else:
            self.machine._conclude(run, self.data)
        self.data = None

    def learnt(self, run):
        """The machine as if training had ended now."""
        if self.data is None:
            return self.machine
        machine = copy(self.machine)
        for name, value in machine._snapshot(run).items():
            setattr(machine, name, value)
        return machine

    def features(self):
        """Means of the hidden units of a fitted machine, and the weights; the rows are then let go."""
        (X, weight), self.rows = self.rows, None
        features = self.machine.transform(X)
        if self.machine.precision != "float64" and len(features) > self.machine.batch_size:
            features = features.astype(np.float32, copy=False)
        return features, weight


class FineTuning:
    """The wake-sleep learning of all layers.

    Parameters
    ----------
    stack : RBMStack
        Read for its parameters.
    network : callable
        Gives the DeepBeliefNetwork to start from, in float64.
    rows : tuple
        Rows and their weights, None for equal ones.
    number : int
        From 1, after all layers.
    before : dict of str to ndarray
        Training state of the fine-tuning that this one continues; empty for none.
    partial : bool
        Whether the rows are a chunk, over which one pass goes.
    """

    task_name = "fine-tuning"

    def __init__(self, stack, network, rows, *, number, before, partial, random_state):
        self.stack, self.network, self.rows = stack, network, rows
        self.number, self.before, self.partial = number, before, partial
        self.random_state = random_state

    @property
    def n_epochs(self):
        """Largest number of epochs."""
        return 1 if self.partial else self.stack.fine_tuning_max_iter

    def start(self):
        """The run of the whole network."""
        stack, device = self.stack, resolve_device(self.stack.device)
        X, weight = weighted_rows(as_rows(self.rows[0]), self.rows[1])
        shared = len(X) <= stack.batch_size
        solvers = {"solver": stack.solver}
        network = self.network().to(device, training_dtype(stack.precision, solvers, X, device, one_batch=shared))
        parameters = FlatParameters(network)
        order = torch.Generator().manual_seed(seed_from(self.random_state))
        generator = torch.Generator(device).manual_seed(seed_from(self.random_state))
        standardization = {name: as_array(getattr(network, name)) for name in ("shift", "scale")}
        batches = training_batches(
            X, weight, stack.batch_size, network, lambda rows: standardizer(standardization, rows), None
        )
        loss = UpDownLoss(network, n_gibbs=stack.n_gibbs, n_chains=stack.n_chains, shared=shared)
        loss.start_chains(generator)
        run = TrainingRun(
            network,
            parameters,
            loss,
            batches,
            order=order,
            generator=generator,
            measures=None,
            validated=False,
            settings=Settings(stack, self.partial),
            n_epochs=self.n_epochs,
        )
        run.load_training_state(self.before)
        return run

    def finish(self, run):
        """Nothing: what was learnt is in the run."""

    def learnt(self, run):
        """Weights by name, the chains of the top, and what a later fine-tuning continues from."""
        return {
            "weights": {name: as_array(value) for name, value in run.model.state_dict().items()},
            "chains": as_array(run.loss.phase.hidden_states()),
            "training_state": run.training_state(),
        }


class Settings:
    """What a run of fine-tuning reads of the parameters of a stack."""

    tol, n_iter_no_change, early_stopping = 0.0, np.inf, False

    def __init__(self, stack, partial):
        self.solver, self.momentum, self.weight_decay = stack.solver, stack.momentum, stack.weight_decay
        self.learning_rate = stack.fine_tuning_learning_rate
        self.learning_rate_schedule = "constant" if partial else stack.learning_rate_schedule
        self.max_grad_norm = stack._largest_gradient()
        self.max_iter = 1 if partial else stack.fine_tuning_max_iter

    def _largest_gradient(self):
        return self.max_grad_norm


def network_of(machines, weights=None):
    """The network of fitted machines in float64, with other weights where they are given."""
    network = DeepBeliefNetwork.stacked([machine._fitted_model() for machine in machines])
    if weights is not None:
        network.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    return network
