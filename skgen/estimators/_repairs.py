"""What happens to components of a mixture that are left without rows, or with a singular covariance."""

import json

import numpy as np
import torch

from skgen.training.distinct_rows import DistinctRows

SMALLEST_SHARE = 1e-10
"""Share of the rows below which a component is degenerate."""
MOST_RESTARTS = 10
"""How often a component may be put elsewhere before it is left out."""


class Repairs:
    """Replaces degenerate components after M-steps.

    A component is degenerate where its share of the rows vanishes, or its covariance is singular.

    Parameters
    ----------
    model : RepairableMixture
    rows : Rows
    on_degenerate : {"reinit", "prune", "raise"}
        What is done.
    """

    def __init__(self, model, rows, on_degenerate):
        self.model, self.rows, self.on_degenerate = model, rows, on_degenerate
        self.events, self.n_calls = [], 0
        self.n_restarts = np.zeros(model.n_components, dtype=int)
        self.pruned = np.zeros(model.n_components, dtype=bool)

    def state(self):
        """Arrays that a later call continues from."""
        events = np.frombuffer(json.dumps(self.events).encode(), dtype=np.uint8)
        n_calls = np.array(self.n_calls)
        return {
            "events": events,
            "n_calls": n_calls,
            "n_restarts": self.n_restarts.copy(),
            "pruned": self.pruned.copy(),
        }

    def load(self, state):
        """Continue from :meth:`state`."""
        self.events, self.n_calls = json.loads(bytes(state["events"])), int(state["n_calls"])
        self.n_restarts, self.pruned = state["n_restarts"].copy(), state["pruned"].copy()

    def __call__(self, parameters, statistics):
        self.n_calls += 1
        share = statistics["weight"] / statistics["weight"].sum()
        marks = ((share < SMALLEST_SHARE) | self.model.degenerate(parameters)).cpu().numpy()
        new = marks & ~self.pruned
        if not new.any():
            return self.model.without(parameters, self._on_device(self.pruned)) if self.pruned.any() else None
        self._decide(new, share)
        return self._replaced(parameters, new)

    def _on_device(self, array):
        return torch.from_numpy(array).to(self.rows.x.device)

    def _decide(self, new, share):
        for k in np.flatnonzero(new):
            if self.on_degenerate == "raise" or (self.pruned | new).all():
                raise ValueError(
                    f"Component {k} is degenerate after iteration {self.n_calls}: its share of the rows is "
                    f"{float(share[k]):.3g}. Lower n_components, raise reg_covar, set a prior, or set "
                    "on_degenerate='reinit' or 'prune'."
                )
            again = self.on_degenerate == "reinit" and self.n_restarts[k] < MOST_RESTARTS
            self.n_restarts[k] += again
            self.pruned[k] = not again
            action = "reinit" if again else "prune"
            self.events.append({"iteration": self.n_calls, "component": int(k), "action": action})

    def _replaced(self, parameters, new):
        """Components put at the rows that are explained worst, and those given up with no weight."""
        again = new & ~self.pruned
        sound = self.model.without(parameters, self._on_device(new | self.pruned))
        if again.any():
            places = self._worst(sound, int(again.sum()))
            sound = self.model.placed(sound, self._on_device(np.flatnonzero(again)), places)
        return sound

    def _worst(self, parameters, n):
        """Different rows of lowest likelihood, their missing entries at the center; again where there are fewer."""
        posterior = self.model.bind(self.model.refreshed(parameters))
        lowest, rows = [], []
        for tile in DistinctRows(self.rows).take(slice(None)):
            value, index = torch.topk(posterior.log_prob(tile), min(n, len(tile.x)), largest=False)
            lowest.append(value)
            rows.append(tile.x[index])
        order = torch.argsort(torch.cat(lowest))
        return torch.cat(rows)[order[torch.arange(n) % len(order)]]
