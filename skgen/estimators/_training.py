"""A fit by gradients in progress: steps by epochs, measures after each, and what a later call continues from."""

import math

import numpy as np
import torch

from skgen.estimators._arrays import DTYPES, as_array
from skgen.estimators._run import Run
from skgen.training.graphs import GraphedStep
from skgen.training.loop import diverged, epochs
from skgen.training.optimizers import SOLVERS
from skgen.training.schedules import LEARNING_RATE_SCHEDULES
from skgen.training.steps import GradientStep
from skgen.training.stopping import Plateau

SMOOTHED = 10
"""Epochs whose mean measures progress where the reported values are a sample."""


class TrainingRun(Run):
    """Trains a module epoch by epoch.

    Parameters
    ----------
    model : nn.Module
        What is trained.
    parameters : FlatParameters
        Its parameters.
    loss : Loss
    batches : Batches
    order, generator : torch.Generator
        For permutations (CPU) and for everything else (the device).
    measures : callable or None
        Computes what is recorded after each epoch besides the loss's terms, with the parameters in force.
    validated : bool
        Whether there are validation rows; the entry of one that is monitored is called ``validation_<monitor>``.
    settings : estimator
        Read for its optimisation and stopping parameters.
    n_epochs : int
        Largest number of epochs of this run.
    step : Step or None
        What each batch is for; None is an update by the solver that the settings name.
    solver : str or None
        Name by which the step's state is kept: another solver does not continue from it. None is that of the settings.

    Attributes
    ----------
    span : tuple of int
        First epoch and length of the learning rate's schedule.
    """

    def __init__(
        self,
        model,
        parameters,
        loss,
        batches,
        *,
        order,
        generator,
        measures,
        validated,
        settings,
        n_epochs,
        step=None,
        solver=None,
    ):
        super().__init__(
            Plateau(settings.tol, settings.n_iter_no_change), n_epochs, keep=settings.early_stopping and validated
        )
        self.model, self.parameters, self.loss, self.batches = model, parameters, loss, batches
        self.order, self.generator = order, generator
        self.measures, self.validated = measures, validated
        self.measured = set()
        self.span = 0, settings.max_iter
        self.settings = settings
        self.solver = settings.solver if solver is None else solver
        self.step = step = gradient_step(loss, parameters, settings) if step is None else step
        waits = loss.waits or any(getattr(part, "waits", False) for part in model.modules())
        if batches.device.type == "cuda" and isinstance(step, GradientStep) and not (step.line_search or waits):
            # Nothing here asks the run, which would hold itself and a device's memory beyond its end.
            self.step = GraphedStep(
                step,
                lambda: tuple(loss.scheduled.values()),
                n_rows=min(batches.batch_size, batches.n_rows),
                buffers=lambda: loss.buffers().values(),
            )

    @property
    def monitored(self):
        """Name of the history entry that progress is measured by."""
        name = self.loss.monitor
        return f"validation_{name}" if self.validated and self.settings.early_stopping else name

    @property
    def device(self):
        """The device that the model is on."""
        return self.parameters.value.device

    def _values(self):
        return self.parameters.value.clone()

    def _restore(self, values):
        self.parameters.value.copy_(values)

    def _counts(self):
        return self.loss.settled(self.epoch)

    def _before(self, epoch):
        first, length = self.span
        progress = min(1.0, (epoch - first) / length)
        self.step.learning_rate = self.settings.learning_rate * LEARNING_RATE_SCHEDULES[
            self.settings.learning_rate_schedule
        ](progress)
        self.loss.begin(epoch)

    def _records(self):
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
            record |= self.loss.scheduled | {"learning_rate": float(self.step.learning_rate)}
            if self.measures is not None:
                record |= self._measure()
            yield record

    def _measure(self):
        found = self.measures()
        bad = [name for name, value in found.items() if not math.isfinite(value)]
        if bad:
            raise diverged(self.epoch, ", ".join(bad))
        self.measured.update(found)
        return found

    def _progress(self):
        """The monitored value: of this epoch where it is the same rows and noise every time, else a recent mean.

        Reported batches are a sample, and the highest of many noisy values would end training too soon.
        """
        values = self.history[self.monitored]
        exact = self.monitored in self.measured or self.step.line_search
        recent = values[-1:] if exact else values[self.start :][-SMOOTHED:]
        return sum(recent) / len(recent)

    def training_state(self):
        """Optimiser moments, what the loss hands from step to step, and generator states."""
        state = {f"{self.solver}.{name}": as_array(value) for name, value in self.step.state().items()}
        state |= {f"loss.{name}": as_array(value) for name, value in self.loss.buffers().items()}
        return state | {
            "order": as_array(self.order.get_state()),
            "generator": as_array(self.generator.get_state()),
        }

    def load_training_state(self, state):
        """Continue from :meth:`training_state`; optimiser and generators only where the solver is the same."""
        self.loss.load(_tensors(state, "loss."))
        tensors = _tensors(state, f"{self.solver}.")
        if not tensors:
            return
        self.step.load(tensors)
        self.order.set_state(torch.tensor(state["order"]))
        generator = torch.tensor(state["generator"])
        if len(generator) == len(self.generator.get_state()):  # another kind of device has other generators
            self.generator.set_state(generator)


def gradient_step(loss, parameters, settings, solver=None):
    """The update by a solver, by default the one that the settings name, with their options."""
    optimizer = SOLVERS[solver or settings.solver](
        parameters,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings._largest_gradient(),
        momentum=settings.momentum,
    )
    return GradientStep(loss, optimizer, settings.learning_rate)


def training_dtype(precision, solvers, rows, device, *, one_batch, wide=False):
    """The dtype of the parameters of a run; a ValueError where it must be float64 and the device has none.

    A single batch is trained in the dtype of its rows. ``wide`` asks for float64 where the device has it. ``solvers``
    are the parameters that name solvers, and their values.
    """
    required = precision == "float64" or any(SOLVERS[solver].line_search for solver in solvers.values())
    if required and device.type == "mps":
        named = " and ".join(f"{name}={value!r}" for name, value in solvers.items())
        raise ValueError(
            f"device='mps' has no float64, which precision={precision!r} with {named} needs: choose another device."
        )
    wide |= one_batch and rows.dtype == np.float64
    return torch.float64 if required or (wide and device.type != "mps") else DTYPES[precision]


def _tensors(state, prefix):
    """Tensors of the entries with a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): torch.tensor(value) for name, value in state.items() if name.startswith(prefix)}
