"""Schedules: pure functions of how far training is."""

import math
from collections.abc import Callable

N_CYCLES = 4
HOTTEST = 10.0
"""Weight, in its final one, that annealing begins at."""


def warm_up(epoch: float, length: float) -> float:
    """Weight that rises linearly to 1 over ``length`` epochs; epoch 0 has 1 / length, or 1 for a length below 1."""
    return min(1.0, (epoch + 1) / length) if length > 0 else 1.0


def cyclical_warm_up(epoch: int, length: float) -> float:
    """Weight that rises linearly to 1 and falls back, 4 times over ``length`` epochs, and is 1 from then on.

    Each rise takes half a cycle, and the weight is 1 for the other half: the schedule of Fu et al. (2019,
    https://arxiv.org/abs/1903.10145).
    """
    cycle = length / N_CYCLES
    return warm_up(epoch % cycle, cycle / 2) if epoch < length else 1.0


def annealed(epoch: int, length: float) -> float:
    """Weight that falls geometrically from 10 to 1 over ``length`` epochs.

    Of a KL it makes posteriors wide at first, which divide into modes while the likelihood gains weight: deterministic
    annealing (Rose 1998, https://doi.org/10.1109/5.726788).
    """
    return float(HOTTEST ** max(0.0, 1 - epoch / length)) if length > 0 else 1.0


def warm_up_epochs(length: float | int, max_iter: int) -> float:
    """Epochs of a warm-up given as a number of epochs (int) or as a fraction of ``max_iter`` (float)."""
    return float(length) if isinstance(length, int) else length * max_iter


KL_SCHEDULES: dict[str, Callable[[int, float], float]] = {
    "linear": warm_up,
    "cyclical": cyclical_warm_up,
    "annealed": annealed,
    "constant": lambda epoch, length: 1.0,
}
"""Share of the KL's final weight as a function of the epoch and the length of the schedule in epochs."""


def _constant(progress: float) -> float:
    return 1.0


def _linear(progress: float) -> float:
    return 1.0 - progress


def _cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))


LEARNING_RATE_SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": _constant,
    "linear": _linear,
    "cosine": _cosine,
}
"""Factor of the learning rate as a function of the share of epochs done."""
