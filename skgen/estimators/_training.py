"""A fit in progress: its epochs, history, early stopping and state."""

import json
import math
from dataclasses import dataclass

import numpy as np
import torch

from skgen.estimators._arrays import as_array
from skgen.training.graphs import GraphedStep
from skgen.training.loop import diverged, epochs
from skgen.training.optimizers import SOLVERS
from skgen.training.schedules import LEARNING_RATE_SCHEDULES, warm_up
from skgen.training.steps import GradientStep
from skgen.training.stopping import Plateau

SMOOTHED = 10
"""Epochs whose mean measures progress where the reported values are a sample."""


@dataclass
class Watch:
    """A history entry that a callback follows, and the weights of its best epoch where they are kept."""

    plateau: Plateau
    monitor: str | None
    sign: int
    keep: bool
    weights: torch.Tensor | None = None

    @property
    def settings(self):
        """What a continued run needs besides the weights, as plain values."""
        return {name: value for name, value in vars(self).items() if name not in ("plateau", "weights")}


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

    def __init__(self, parameters, loss, batches, *, order, generator, validate, settings, n_epochs, warm_up_epochs):
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
        if batches.device.type == "cuda" and not self.optimizer.line_search:
            n_rows = min(batches.batch_size, batches.n_rows)
            self.step = GraphedStep(self.step, lambda: (loss.kl_weight, self.step.learning_rate), n_rows=n_rows)
        self.plateau = Plateau(settings.tol, settings.n_iter_no_change)
        self.history = {}
        self.epoch, self.start, self.last = 0, 0, n_epochs
        self.best = None
        self.watches = {}
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
        return self.plateau.reached or any(watch.plateau.reached for watch in self.watches.values())

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
        self.step.learning_rate = self.settings.learning_rate * LEARNING_RATE_SCHEDULES[
            self.settings.learning_rate_schedule
        ](progress)
        self.loss.kl_weight = float(self.beta * warm_up(epoch, self.warm_up_epochs))

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
            if not bool(torch.isfinite(self.parameters.value).all()):
                raise diverged(self.epoch, "a weight")
            record = self.loss.in_user_units(record)
            record |= {"kl_weight": self.loss.kl_weight, "learning_rate": float(self.step.learning_rate)}
            if self.validate is not None:
                record[name := f"validation_{self.loss.objective.monitor}"] = self.validate()
                if not math.isfinite(record[name]):
                    raise diverged(self.epoch, name)
            self._take(record)
            yield record
            if self.finished:
                return

    def _take(self, record):
        for name, value in record.items():
            self.history.setdefault(name, []).append(value)
        improved = self.plateau.update(self._progress(), self.epoch, counting=not self.warming_up)
        for watch in self.watches.values():
            self._follow_watch(watch)
        self.epoch += 1
        if improved and self.settings.early_stopping:
            self.best = self.parameters.value.clone()

    def _progress(self):
        """The monitored value: of this epoch where it is the same rows and noise every time, else a recent mean.

        Reported batches are a sample, and the highest of many noisy values would end training too soon.
        """
        values = self.history[self.monitored]
        exact = self.monitored.startswith("validation_") or self.optimizer.line_search
        recent = values[-1:] if exact else values[self.start :][-SMOOTHED:]
        return sum(recent) / len(recent)

    def _follow_watch(self, watch):
        monitor = watch.monitor
        if monitor is None:
            monitor = next((name for name in self.history if name.startswith("validation_")), self.monitored)
        if monitor not in self.history:
            raise ValueError(f"monitor must be one of {sorted(self.history)}, got {monitor!r}.")
        value = watch.sign * self.history[monitor][-1]
        if watch.plateau.update(value, self.epoch, counting=not self.warming_up) and watch.keep:
            watch.weights = self.parameters.value.clone()

    def watch(self, name, *, monitor, sign, tol, patience, keep):
        """Stop when an entry of the history times ``sign`` has ceased to rise; the last watch to keep weights wins.

        The state of the run includes its watches, so a continued run stops where the first would have.
        """
        self.watches.setdefault(name, Watch(Plateau(tol, patience), monitor, sign, keep))

    @property
    def _kept(self):
        """The watch whose weights the run ends with, or None."""
        return next((watch for watch in reversed(self.watches.values()) if watch.weights is not None), None)

    def keep_best(self):
        """Go back to the weights of the best epoch, where a watch or else early stopping kept them."""
        best = self.best if self._kept is None else self._kept.weights
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
        generator = torch.tensor(state["generator"])
        if len(generator) == len(self.generator.get_state()):  # another kind of device has other generators
            self.generator.set_state(generator)

    def state(self):
        """The whole state after an epoch, as arrays by name."""
        plateau = {name: value for name, value in vars(self.plateau).items() if name not in ("tol", "patience")}
        # Before the first epoch nothing depends on watches, nor on the order in which callbacks begin.
        begun = self.watches if self.epoch > self.start else {}
        watches = {name: [vars(watch.plateau), watch.settings] for name, watch in begun.items()}
        progress = {"history": self.history, "epoch": self.epoch, "plateau": plateau, "watches": watches}
        described = json.dumps(progress)
        state = self.optimizer_state() | {
            "parameters": as_array(self.parameters.value),
            "described": np.frombuffer(described.encode(), dtype=np.uint8),
        }
        state |= {f"kept.{name}": as_array(w.weights) for name, w in begun.items() if w.weights is not None}
        return state if self.best is None else state | {"best": as_array(self.best)}

    def load(self, state):
        """Continue from :meth:`state`."""
        described = json.loads(bytes(state["described"]).decode())
        self.history, self.epoch = described["history"], described["epoch"]
        for name, value in described["plateau"].items():
            setattr(self.plateau, name, value)
        self.parameters.value.copy_(torch.tensor(state["parameters"]))
        self.best = torch.tensor(state["best"]).to(self.parameters.value) if "best" in state else None
        for name, (plateau, settings) in described["watches"].items():
            weights = state.get(f"kept.{name}")
            weights = None if weights is None else torch.tensor(weights).to(self.parameters.value)
            self.watches[name] = Watch(Plateau(**plateau), **settings, weights=weights)
        self.load_optimizer_state(state)

    @property
    def best_epoch(self):
        """Number of the best epoch, from 1: of the value whose best weights the run ends with."""
        plateau = self.plateau if self._kept is None else self._kept.plateau
        return plateau.best_epoch + 1 if math.isfinite(plateau.best) else self.epoch
