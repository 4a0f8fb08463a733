import pytest
import torch
from torch import nn

from skgen.training.batches import Batch
from skgen.training.flat import FlatParameters
from skgen.training.optimizers import SOLVERS
from skgen.training.steps import Alternate, Call, GradientStep, Together

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


def alternate(first, second):
    """Two losses of one batch that are learnt in turn."""
    losses = [Loss(), Loss()]
    steps = [
        GradientStep(loss, SOLVERS[solver](loss.flat), learning_rate=0.0)
        for loss, solver in zip(losses, (first, second), strict=True)
    ]
    return Alternate(("first", steps[0]), ("second", steps[1])), losses


def test_parts_of_a_step_are_taken_in_turn_at_its_learning_rate():
    step, losses = alternate("sgd", "adam")
    step.learning_rate = 0.1
    assert step.learning_rate == 0.1
    with torch.no_grad():
        record = step(BATCH, torch.Generator())
    assert set(record) == {"squares"}
    for loss, solver in zip(losses, ("sgd", "adam"), strict=True):
        assert torch.equal(loss.centre.detach(), run(solver, 1)[0].centre.detach())


@pytest.mark.parametrize("solvers", [("sgd", "adam"), ("lbfgs", "cg")], ids=str)
def test_a_step_of_parts_continues_from_its_state(solvers):
    whole, losses = alternate(*solvers)
    again, others = alternate(*solvers)
    for step in (whole, again):
        step.learning_rate = 0.1
    assert whole.line_search == (solvers == ("lbfgs", "cg"))
    with torch.no_grad():
        whole(BATCH, torch.Generator())
        again.load({name: value.clone() for name, value in whole.state().items()})
        for loss, other in zip(losses, others, strict=True):
            other.centre.copy_(loss.centre)
        for step in (whole, again):
            step(BATCH, torch.Generator())
    for loss, other in zip(losses, others, strict=True):
        assert torch.equal(loss.centre, other.centre)


def test_a_call_reports_what_its_function_finds_or_does_nothing_but_report():
    seen = []

    def function(batch, generator):
        seen.append(batch)
        return {"rows": torch.tensor(2.0)} if len(seen) > 2 else None

    for report in (True, False):
        assert Call(function)(BATCH, torch.Generator(), report=report) == {}
    reporting = Call(function, reports=True)
    assert reporting(BATCH, torch.Generator(), report=False) == {}
    assert reporting(BATCH, torch.Generator()) == {"rows": 2.0}
    assert seen == [BATCH] * 3


class Both:
    """The sum of the losses of two centres, with the gradients of both from one pass."""

    def __init__(self):
        module = nn.Module()
        module.first, module.second = (nn.ParameterList([torch.zeros(1, dtype=torch.float64)]) for _ in range(2))
        self.flat, self.n_calls = FlatParameters(module), 0
        self.parts = [self.flat.part(module.first), self.flat.part(module.second)]
        self.centres = [module.first[0], module.second[0]]

    def __call__(self, batch, generator):
        self.n_calls += 1
        for centre in self.centres:
            centre.grad.add_(-(batch.x - centre.detach()).mean())
        return lambda: {"calls": torch.tensor(self.n_calls)}, None


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_parts_that_learn_together_do_what_each_does_alone_from_one_pass(solver):
    loss = Both()
    solvers = "sgd", solver
    steps = [GradientStep(None, SOLVERS[name](part), 0.1) for part, name in zip(loss.parts, solvers, strict=True)]
    step = Together(loss, loss.flat, *zip(("first", "second"), steps, strict=True))
    step.learning_rate = 0.1
    with torch.no_grad():
        records = [step(BATCH, torch.Generator(), report=report) for report in (True, False, True)]
    assert records == [{"calls": 1}, {}, {"calls": 3}]
    for centre, name in zip(loss.centres, solvers, strict=True):
        assert torch.equal(centre.detach(), run(name, 3)[0].centre.detach())
    assert all(torch.equal(value, step.state()[f"second.{name}"]) for name, value in steps[1].state().items())
