import pytest
import torch
from torch import nn

from skgen.training.batches import Batch
from skgen.training.flat import FlatParameters
from skgen.training.optimizers import SOLVERS
from skgen.training.steps import GradientStep

BATCH = Batch(torch.tensor([[1.0], [3.0]], dtype=torch.float64), None)


class Loss:
    """Mean of (x - c)^2 / 2, counting its evaluations and those of its terms."""

    def __init__(self):
        module = nn.Module()
        module.centre = nn.Parameter(torch.zeros(1, dtype=torch.float64))
        self.flat = FlatParameters(module)
        self.centre = module.centre
        self.n_calls = self.n_terms = 0

    def __call__(self, batch, generator):
        self.n_calls += 1
        away = batch.x - self.centre.detach()
        self.centre.grad.add_(-away.mean())

        def terms():
            self.n_terms += 1
            return {"squares": away.square().mean()}

        return terms, lambda: 0.5 * away.square().mean()


def run(solver, n_steps, *, report=True):
    loss = Loss()
    step = GradientStep(loss, SOLVERS[solver](loss.flat), learning_rate=0.1)
    with torch.no_grad():
        records = [step(BATCH, torch.Generator(), report=report) for _ in range(n_steps)]
    return loss, records


def test_the_gradient_is_cleared_before_each_step():
    loss, _ = run("sgd", 1)
    torch.testing.assert_close(loss.centre.detach(), torch.tensor([0.2], dtype=torch.float64))
    torch.testing.assert_close(run("sgd", 2)[0].centre.grad, torch.tensor([-1.8], dtype=torch.float64))


@pytest.mark.parametrize("solver", SOLVERS)
def test_terms_are_those_before_the_update_and_computed_once(solver):
    loss, records = run(solver, 1)
    assert float(records[0]["squares"]) == pytest.approx(5.0)
    assert loss.n_terms == 1


@pytest.mark.parametrize("solver", SOLVERS)
def test_terms_are_not_computed_unless_asked_for(solver):
    loss, records = run(solver, 2, report=False)
    assert records == [{}, {}]
    assert loss.n_terms == 0


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_lowers_the_loss(solver):
    _, records = run(solver, 5)
    losses = [float(record["squares"]) for record in records]
    assert losses == sorted(losses, reverse=True)
