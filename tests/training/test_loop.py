import math
from itertools import pairwise

import pytest
import torch

from skgen.training.batches import Batches
from skgen.training.loop import REPORTS_PER_EPOCH, annealed_epochs, epochs


def batches(n_rows, batch_size):
    return Batches(
        torch.arange(n_rows, dtype=torch.float64)[:, None],
        None,
        batch_size=batch_size,
        device=torch.device("cpu"),
        dtype=torch.float64,
        prepare=None,
        augment=lambda x, generator: x,
    )


def run(step, data, first=0, last=1, **options):
    source = torch.Generator().manual_seed(0)
    return list(epochs(step, data, first=first, last=last, order=source, generator=source, **options))


def mean_step(batch, generator, *, report):
    return {"mean": batch.x.mean()} if report else {}


@pytest.mark.parametrize(("n_rows", "batch_size"), [(10, 10), (23, 5), (REPORTS_PER_EPOCH * 3, 3)])
def test_with_few_batches_a_record_is_the_mean_over_all_rows(n_rows, batch_size):
    (record,) = run(mean_step, batches(n_rows, batch_size))
    assert record["mean"] == pytest.approx((n_rows - 1) / 2, rel=1e-12)
    assert type(record["mean"]) is float


def test_with_many_batches_a_record_is_the_row_weighted_mean_of_evenly_spaced_ones():
    seen = []

    def step(batch, generator, *, report):
        seen.append((report, batch.x.clone()))
        return mean_step(batch, generator, report=report)

    (record,) = run(step, batches(1003, 2))
    reported = [x for report, x in seen if report]
    places = [i for i, (report, _) in enumerate(seen) if report]
    assert len(seen) == 502
    assert len(reported) >= REPORTS_PER_EPOCH
    assert len({b - a for a, b in pairwise(places)}) == 1
    assert record["mean"] == pytest.approx(float(torch.cat(reported).mean()), rel=1e-12)


def test_epochs_are_numbered_announced_and_run_without_autograd():
    announced, modes = [], []

    def step(batch, generator, *, report):
        modes.append(torch.is_grad_enabled())
        return mean_step(batch, generator, report=report)

    records = run(step, batches(4, 4), first=3, last=6, before=announced.append)
    assert announced == [3, 4, 5]
    assert len(records) == 3
    assert not any(modes)
    assert torch.is_grad_enabled()
    assert run(step, batches(4, 4), first=3, last=3) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_divergence_names_epoch_and_term(value):
    def step(batch, generator, *, report):
        return {"fine": torch.tensor(1.0), "kl": torch.tensor(value)}

    with pytest.raises(FloatingPointError, match=r"diverged in epoch 5: kl is not finite\. Lower learning_rate"):
        run(step, batches(4, 2), first=4, last=6)


def test_a_step_size_falls_along_a_cosine_from_that_of_the_step():
    class Noting:
        def __init__(self):
            self.learning_rate, self.seen = 0.3, []

        def __call__(self, batch, generator, *, report):
            self.seen.append(self.learning_rate)
            return mean_step(batch, generator, report=report)

    source, step = torch.Generator().manual_seed(0), Noting()
    assert len(list(annealed_epochs(step, batches(6, 3), 4, order=source, generator=source))) == 4
    rates = [0.15 * (1 + math.cos(math.pi * epoch / 4)) for epoch in range(4)]
    assert step.seen == pytest.approx([rate for rate in rates for _ in range(2)], rel=1e-12)
