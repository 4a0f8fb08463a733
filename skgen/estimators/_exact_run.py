"""A fit by EM in progress."""

import math

import torch

from skgen.estimators._arrays import as_array
from skgen.estimators._run import Run
from skgen.training.stopping import Plateau

NOISY_PATIENCE = 10
"""Iterations without progress after which a solver whose bound may fall has converged."""
REPAIR = "repair."
"""What the names of the state of what replaces degenerate components begin with."""


class ExactRun(Run):
    """A fit by one of the EM solvers.

    Parameters
    ----------
    name : str
        Name of the solver.
    solver : Solver
    tol : float
        Rise of the bound, in nats per row, below which the solver has converged; 0 runs to the last iteration.
    n_iterations : int
        Largest number of iterations.
    """

    monitored = "lower_bound"

    def __init__(self, name, solver, tol, n_iterations):
        patience = (1 if solver.monotone else NOISY_PATIENCE) if tol > 0 else math.inf
        super().__init__(Plateau(tol, patience), n_iterations)
        self.name, self.solver, self.visited = name, solver, solver.parameters

    def _records(self):
        while True:
            self.visited = self.solver.parameters
            yield {"lower_bound": self.solver.step()}

    @property
    def device(self):
        return self.solver.rows.x.device

    def _counts(self):
        # The noise of draws that are not averaged yet is no sign of convergence.
        return self.epoch - self.start >= self.solver.averaging_from

    def _values(self):
        # The bound of an iteration is that of the parameters it started from.
        return torch.cat([value.flatten() for value in self.solver.model.free(self.visited).values()])

    def _restore(self, values):
        old = self.solver.model.free(self.solver.parameters)
        parts = values.to(self.device).split([value.numel() for value in old.values()])
        self.solver.parameters = self.solver.model.refreshed(
            {name: part.view(value.shape).clone() for (name, value), part in zip(old.items(), parts, strict=True)}
        )

    def training_state(self):
        state = {f"{self.name}.{name}": as_array(value) for name, value in self.solver.state().items()}
        if self.solver.repair is not None:
            state |= {REPAIR + name: value for name, value in self.solver.repair.state().items()}
        return state | {"generator": as_array(self.solver.generator.get_state())}

    def load_training_state(self, state):
        prefix = f"{self.name}."
        named = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        # Fewer components than the run had are left where some were given up: it goes on from what was kept.
        sizes = {name: value.shape for name, value in self.solver.parameters.items()}
        if not named or any(named[name].shape != size for name, size in sizes.items() if name in named):
            return
        self.solver.load({name: torch.tensor(value) for name, value in named.items()})
        self.solver.generator.set_state(torch.tensor(state["generator"]))
        if self.solver.repair is not None:
            found = {name.removeprefix(REPAIR): v for name, v in state.items() if name.startswith(REPAIR)}
            self.solver.repair.load(found)
