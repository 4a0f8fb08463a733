"""The one training loop."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Generator

from skgen.training.batches import Batches
from skgen.training.schedules import LEARNING_RATE_SCHEDULES
from skgen.training.steps import GradientStep, Scalars

REPORTS_PER_EPOCH = 10
REMEDY = "Lower learning_rate, set max_grad_norm, or check X for extreme values."


def epochs(
    step: Callable[..., Scalars],
    batches: Batches,
    *,
    first: int,
    last: int,
    order: Generator,
    generator: Generator,
    before: Callable[[int], None] = lambda epoch: None,
) -> Iterator[dict[str, float]]:
    """Run epochs ``first`` to ``last`` (exclusive) and yield one dict of mean terms after each.

    Means are over at least 10 evenly spaced batches of the epoch (all of them where there are fewer), weighted by
    rows. ``before`` is called with the epoch's number before it starts. Raises FloatingPointError naming epoch and
    term when a mean is not finite.
    """
    for epoch in range(first, last):
        before(epoch)
        with torch.no_grad():
            record = _run_epoch(step, batches, order, generator)
        yield _finite(record, epoch)


def annealed_epochs(
    step: GradientStep, batches: Batches, n_epochs: int, *, order: Generator, generator: Generator
) -> Iterator[dict[str, float]]:
    """As :func:`epochs`, from the first on, with a step size that falls along a cosine from that of the step."""
    first_rate = step.learning_rate

    def before(epoch: int) -> None:
        step.learning_rate = first_rate * LEARNING_RATE_SCHEDULES["cosine"](epoch / n_epochs)

    return epochs(step, batches, first=0, last=n_epochs, order=order, generator=generator, before=before)


def report_stride(n_batches: int) -> int:
    """Number of batches from one that is reported to the next."""
    return max(1, n_batches // REPORTS_PER_EPOCH)


def _run_epoch(
    step: Callable[..., Scalars], batches: Batches, order: Generator, generator: Generator
) -> dict[str, float]:
    stride = report_stride(batches.n_batches)
    sums: Scalars = {}
    n_rows = 0
    for i, batch in enumerate(batches.epoch(order, generator)):
        report = i % stride == 0
        terms = step(batch, generator, report=report)
        if report:
            size = batch.x.shape[0]
            n_rows += size
            for name, value in terms.items():
                sums.setdefault(name, torch.zeros_like(value)).add_(value, alpha=size)
    return {name: float(total) / n_rows for name, total in sums.items()}


def _finite(record: dict[str, float], epoch: int) -> dict[str, float]:
    bad = [name for name, value in record.items() if not math.isfinite(value)]
    if bad:
        raise diverged(epoch, ", ".join(bad))
    return record


def diverged(epoch: int, what: str, *, unit: str = "epoch", remedy: str = REMEDY) -> FloatingPointError:
    """The error of an epoch, or of another unit of training, after which a quantity is not finite."""
    return FloatingPointError(f"Training diverged in {unit} {epoch + 1}: {what} is not finite. {remedy}")
