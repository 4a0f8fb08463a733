"""A fit in progress: its epochs, history, early stopping and state."""

import json
import math

import numpy as np
import torch

from skgen.estimators._arrays import as_array
from skgen.training.loop import epochs
from skgen.training.optimizers import SOLVERS
from skgen.training.schedules import LEARNING_RATE_SCHEDULES, warm_up
from skgen.training.steps import GradientStep
from skgen.training.stopping import Plateau


class TrainingRun:
    """Runs epochs and keeps what a continued run needs.

    Parameters
    ----------
    parameters : FlatParameters
    loss : TermsLoss
    batches : Batches
    order, generator : torch.Generator
        For permutations (CPU) and for everything else (the device).
    validate : callable or None
        Computes the monitored value on the validation rows with the parameters in force.
    settings : estimator
        Read for its optimisation and stopping parameters, and beta where it has one.
    n_epochs : int
        Largest number of epochs of this run.
    warm_up_epochs : float
        Epochs over which the weight of the KL rises to beta.
    """

    def __init__(
        self, parameters, loss, batches, *, order, generator, validate, settings, n_epochs, warm_up_epochs
    ):
        self.parameters, self.loss, self.batches = parameters, loss, batches
        self.order, self.generator = order, generator
        self.validate = validate
        self.settings = settings
        self.beta, self.warm_up_epochs = getattr(settings, "beta", 1.0), warm_up_epochs
        self.optimizer = SOLVERS[settings.solver](
            parameters,
            weight_decay=settings.weight_decay,
            max_grad_norm=settings.max_grad_norm,
            momentum=settings.momentum,
        )
        self.step = GradientStep(loss, self.optimizer, settings.learning_rate)
        self.plateau = Plateau(settings.tol, settings.n_iter_no_change)
        self.history = {}
        self.epoch, self.start, self.last = 0, 0, n_epochs
        self.best = None
        self.watches, self.kept = {}, {}
        self.interrupted = False

    def follow(self, estimator):
        """Carry on after the fit before: its history, and its optimiser where the solver is the same."""
        self.history = {name: list(values) for name, values in estimator.history_.items()}
        self.start = self.epoch = estimator.n_iter_
        self.last += self.start
        state = getattr(estimator, "training_state_", {})
        if any(name.startswith(f"{self.settings.solver}.") for name in state):
            self.load_optimizer_state(state)

    @property
    def monitored(self):
        """Name of the history entry that progress is measured by."""
        name = self.loss.objective.monitor
        return f"validation_{name}" if self.validate and self.settings.early_stopping else name

    @property
    def converged(self):
        """Whether the monitored value, or one that a callback watches, has ceased to rise."""
        return self.plateau.reached or any(plateau.reached for plateau in self.watches.values())

    @property
    def finished(self):
        """Whether there is no epoch left to run."""
        return self.epoch >= self.last or self.converged

    @property
    def warming_up(self):
        """Whether the KL weight has yet to reach its final value."""
        return self.epoch < self.warm_up_epochs

    def _before(self, epoch):
        progress = min(1.0, (epoch - self.start) / self.settings.max_iter)
        self.step.learning_rate = (
            self.settings.learning_rate * LEARNING_RATE_SCHEDULES[self.settings.learning_rate_schedule](progress)
        )
        self.loss.kl_weight = self.beta * warm_up(epoch, self.warm_up_epochs)

    def records(self):
        """Yield the record of each epoch until the last or the plateau; state is consistent at each yield."""
        if self.finished:
            return
        loop = epochs(
            self.step,
            self.batches,
            first=self.epoch,
            last=self.last,
            order=self.order,
            generator=self.generator,
            before=self._before,
        )
        for record in loop:
            record = self.loss.in_user_units(record)
            record |= {"kl_weight": self.loss.kl_weight, "learning_rate": float(self.step.learning_rate)}
            if self.validate is not None:
                record[f"validation_{self.loss.objective.monitor}"] = self.validate()
            self._take(record)
            yield record
            if self.finished:
                return

    def _take(self, record):
        for name, value in record.items():
            self.history.setdefault(name, []).append(value)
        improved = self.plateau.update(record[self.monitored], self.epoch, counting=not self.warming_up)
        self.epoch += 1
        if improved and self.settings.early_stopping:
            self.best = self.parameters.value.clone()

    def watch(self, name, value, *, tol, patience, keep):
        """Take a callback's value of the epoch just done, higher is better; True once it has ceased to rise.

        With ``keep`` the run ends with the weights of the value's best epoch. The state of the run includes watches,
        so a continued run stops where the first would have.
        """
        plateau = self.watches.setdefault(name, Plateau(tol, patience))
        epoch = self.epoch - 1
        if plateau.update(value, epoch, counting=epoch >= self.warm_up_epochs) and keep:
            self.kept[name] = self.parameters.value.clone()
        return plateau.reached

    def keep_best(self):
        """Go back to the weights of the best epoch: the last watch's that keeps them, else early stopping's."""
        best = next(reversed(self.kept.values()), self.best)
        if best is not None:
            self.parameters.value.copy_(best)

    def optimizer_state(self):
        """Arrays that a later call continues from: optimiser moments and generator states."""
        solver = self.settings.solver
        state = {f"{solver}.{name}": as_array(value) for name, value in self.optimizer.state().items()}
        return state | {
            "order": as_array(self.order.get_state()),
            "generator": as_array(self.generator.get_state()),
        }

    def load_optimizer_state(self, state):
        """Continue from :meth:`optimizer_state`."""
        prefix = f"{self.settings.solver}."
        tensors = {
            name.removeprefix(prefix): torch.tensor(value) for name, value in state.items() if name.startswith(prefix)
        }
        self.optimizer.load(tensors)
        self.order.set_state(torch.tensor(state["order"]))
        self.generator.set_state(torch.tensor(state["generator"]))

    def state(self):
        """The whole state after an epoch, as arrays by name."""
        plateau = {name: value for name, value in vars(self.plateau).items() if name not in ("tol", "patience")}
        watches = {name: vars(watch) for name, watch in self.watches.items()}
        progress = {"history": self.history, "epoch": self.epoch, "plateau": plateau, "watches": watches}
        described = json.dumps(progress | {"kept": list(self.kept)})
        state = self.optimizer_state() | {
            "parameters": as_array(self.parameters.value),
            "described": np.frombuffer(described.encode(), dtype=np.uint8),
        }
        state |= {f"kept.{i}": as_array(weights) for i, weights in enumerate(self.kept.values())}
        return state if self.best is None else state | {"best": as_array(self.best)}

    def load(self, state):
        """Continue from :meth:`state`."""
        described = json.loads(bytes(state["described"]).decode())
        self.history, self.epoch = described["history"], described["epoch"]
        for name, value in described["plateau"].items():
            setattr(self.plateau, name, value)
        self.parameters.value.copy_(torch.tensor(state["parameters"]))
        self.best = torch.tensor(state["best"]).to(self.parameters.value) if "best" in state else None
        self.watches = {name: Plateau(**values) for name, values in described["watches"].items()}
        self.kept = {
            name: torch.tensor(state[f"kept.{i}"]).to(self.parameters.value) for i, name in enumerate(described["kept"])
        }
        self.load_optimizer_state(state)

    @property
    def best_epoch(self):
        """Number of the best epoch, from 1: of the value whose best weights the run ends with."""
        plateau = self.watches[next(reversed(self.kept))] if self.kept else self.plateau
        return plateau.best_epoch + 1 if math.isfinite(plateau.best) else self.epoch
