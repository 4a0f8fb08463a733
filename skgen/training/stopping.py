"""When to stop, and which weights to keep."""

import math
from dataclasses import dataclass


@dataclass
class Plateau:
    """Counts epochs in which a value, higher is better, has not risen by more than ``tol`` over the best so far."""

    tol: float
    patience: float
    best: float = -math.inf
    best_epoch: int = -1
    reference: float = -math.inf
    n_without: int = 0

    def update(self, value: float, epoch: int, *, counting: bool = True) -> bool:
        """Take the value of an epoch; True when it is the best so far. Epochs that do not count add no patience."""
        if value > self.reference + self.tol:
            self.reference = value
            self.n_without = 0
        else:
            self.n_without = self.n_without + 1 if counting else 0
        improved = value > self.best
        if improved:
            self.best, self.best_epoch = value, epoch
        return improved

    @property
    def reached(self) -> bool:
        """Whether patience has run out."""
        return self.n_without >= self.patience
