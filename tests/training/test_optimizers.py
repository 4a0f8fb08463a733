from itertools import pairwise

import pytest
import torch
from torch import nn

from skgen.training import optimizers
from skgen.training.flat import FlatParameters, FlatVector
from skgen.training.optimizers import FLUSH_BELOW, FLUSH_EVERY, SOLVERS, FirstOrder
from tests.oracles import process_state
from tests.parts import normal

FIRST_ORDER = [name for name, solver in SOLVERS.items() if issubclass(solver, FirstOrder)]
LEARNING_RATE = 0.03
N_STEPS = 30
TORCH = {
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {"weight_decay": 0.0}),
    "sgd": (torch.optim.SGD, {"momentum": 0.9}),
}

every_solver = pytest.mark.parametrize("solver", SOLVERS)
every_line_search = pytest.mark.parametrize("solver", [name for name in SOLVERS if name not in FIRST_ORDER])
every_first_order = pytest.mark.parametrize("solver", FIRST_ORDER)


class Problem(nn.Module):
    """A smooth convex function of a matrix and a vector."""

    def __init__(self, dtype=torch.float64):
        super().__init__()
        source = torch.Generator().manual_seed(0)
        self.matrix = nn.Parameter(normal(3, 4, generator=source, dtype=dtype))
        self.vector = nn.Parameter(normal(4, generator=source, dtype=dtype))
        root = normal(16, 16, generator=source, dtype=dtype)
        self.curvature = root @ root.T / 16 + torch.eye(16, dtype=dtype)
        self.target = normal(16, generator=source, dtype=dtype)

    def forward(self):
        away = torch.cat([self.matrix.flatten(), self.vector]) - self.target
        return 0.5 * away @ self.curvature @ away

    def optimum(self):
        return self.target[:12].view(3, 4), self.target[12:]


class Run:
    """A problem with an optimiser of its flat parameters."""

    def __init__(self, solver, dtype=torch.float64, **options):
        self.problem = Problem(dtype)
        self.flat = FlatParameters(self.problem)
        self.optimizer = SOLVERS[solver](self.flat, **options)

    def gradient(self):
        with torch.enable_grad():
            loss = self.problem()
            gradients = torch.autograd.grad(loss, list(self.problem.parameters()))
        for parameter, gradient in zip(self.problem.parameters(), gradients, strict=True):
            parameter.grad.copy_(gradient)
        return loss.detach()

    def steps(self, n_steps, learning_rate=LEARNING_RATE):
        with torch.no_grad():
            for _ in range(n_steps):
                self.optimizer.step(self.gradient, learning_rate)
        return self


@pytest.mark.parametrize("solver", ["adam", "adamw"])
def test_pieces_are_updated_as_the_whole(solver, monkeypatch):
    whole = Run(solver, weight_decay=0.1).steps(N_STEPS)
    monkeypatch.setattr(optimizers, "PIECES", {"cpu": 32})
    monkeypatch.setattr(optimizers, "SMALLEST_PIECE", 1)
    run = Run(solver, weight_decay=0.1)
    assert len(run.optimizer.pieces[0]) > 1
    assert torch.equal(run.steps(N_STEPS).flat.value, whole.flat.value)


@pytest.mark.parametrize("solver", FIRST_ORDER)
def test_a_learning_rate_may_be_a_tensor(solver):
    number, tensor = (Run(solver, weight_decay=0.1).steps(N_STEPS, rate) for rate in (2**-5, torch.tensor(2**-5)))
    torch.testing.assert_close(tensor.flat.value, number.flat.value, rtol=1e-12, atol=1e-12)


@every_first_order
def test_a_learning_rate_of_zero_changes_nothing(solver):
    run = Run(solver, weight_decay=0.1)
    before = run.flat.value.clone()
    run.steps(3, learning_rate=0.0)
    assert torch.equal(run.flat.value, before)


@every_first_order
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("max_grad_norm", [None, 0.5])
def test_the_trajectory_is_torch_s_with_decay_on_matrices_alone(solver, weight_decay, max_grad_norm):
    optimizer, options = TORCH[solver]
    run = Run(solver, weight_decay=weight_decay, max_grad_norm=max_grad_norm)
    problem = Problem()
    groups = [
        {"params": [problem.matrix], "weight_decay": weight_decay},
        {"params": [problem.vector], "weight_decay": 0.0},
    ]
    reference = optimizer(groups, lr=LEARNING_RATE, **options)
    for _ in range(N_STEPS):
        run.steps(1)
        reference.zero_grad()
        problem().backward()
        if max_grad_norm is not None:
            # torch divides by the norm plus 1e-6, which is far from rounding; the definition is used here.
            norm = torch.cat([p.grad.flatten() for p in problem.parameters()]).norm()
            for parameter in problem.parameters():
                parameter.grad.mul_(min(1.0, max_grad_norm / norm))
        reference.step()
    for ours, theirs in zip(run.problem.parameters(), problem.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_the_learning_rate_may_change_between_steps():
    run, problem = Run("adam"), Problem()
    reference = torch.optim.Adam(problem.parameters(), lr=1.0)
    for rate in (0.1, 0.01, 0.05):
        run.steps(1, rate)
        reference.param_groups[0]["lr"] = rate
        reference.zero_grad()
        problem().backward()
        reference.step()
    for ours, theirs in zip(run.problem.parameters(), problem.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_momentum_is_an_option():
    run, plain = Run("sgd", momentum=0.0), Run("sgd", momentum=0.9)
    run.gradient()
    gradient = run.flat.gradient.clone()
    start = run.flat.value.clone()
    torch.testing.assert_close(run.steps(1).flat.value, start - LEARNING_RATE * gradient)
    assert not torch.equal(run.steps(1).flat.value, plain.steps(2).flat.value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_descent_with_momentum_is_torch_s(dtype, momentum, weight_decay):
    run, problem = Run("sgd", dtype, momentum=momentum, weight_decay=weight_decay), Problem(dtype)
    groups = [{"params": [problem.matrix], "weight_decay": weight_decay}, {"params": [problem.vector]}]
    reference = torch.optim.SGD(groups, lr=LEARNING_RATE, momentum=momentum)
    for _ in range(N_STEPS):
        run.steps(1)
        reference.zero_grad()
        problem().backward()
        reference.step()
    # Each step rounds a few times, and the iteration contracts what earlier ones have rounded.
    bound = 10 * N_STEPS * torch.finfo(dtype).eps
    for ours, theirs in zip(run.problem.parameters(), problem.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=bound, atol=bound)


def test_descent_leaves_the_gradient_as_the_loss_gave_it():
    run = Run("sgd", weight_decay=0.1).steps(3)
    before = run.flat.value.clone()
    run.gradient()
    expected = run.flat.gradient.clone()
    with torch.no_grad():
        run.optimizer.step(run.gradient, LEARNING_RATE)
    assert not torch.equal(run.flat.value, before)
    assert torch.equal(run.flat.gradient, expected)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_descent_of_a_plain_vector_has_no_decay(momentum, generator):
    flat = FlatVector(normal(5, generator=generator))
    start, gradient = flat.value.clone(), normal(5, generator=generator)
    optimizer = SOLVERS["sgd"](flat, weight_decay=0.1, momentum=momentum)
    for _ in range(2):
        optimizer.step(lambda: flat.gradient.copy_(gradient), LEARNING_RATE)
    torch.testing.assert_close(flat.value, start - LEARNING_RATE * (2 + momentum) * gradient)


@every_line_search
def test_a_line_search_reaches_the_optimum_of_a_quadratic(solver):
    run = Run(solver).steps(40)
    for parameter, optimum in zip(run.problem.parameters(), run.problem.optimum(), strict=True):
        torch.testing.assert_close(parameter.detach(), optimum, rtol=0, atol=1e-7)


@every_line_search
def test_a_line_search_never_raises_the_loss(solver):
    run = Run(solver)
    losses = [float(run.steps(1).gradient()) for _ in range(15)]
    assert all(b <= a * (1 + 1e-12) for a, b in pairwise(losses))


@every_line_search
def test_a_line_search_reaches_the_optimum_of_the_decayed_loss(solver):
    run = Run(solver, weight_decay=0.5).steps(40)
    penalty = torch.diag(torch.cat([torch.full((12,), 0.5), torch.zeros(4)]).double())
    problem = run.problem
    optimum = torch.linalg.solve(problem.curvature + penalty, problem.curvature @ problem.target)
    torch.testing.assert_close(problem.matrix.detach().flatten(), optimum[:12], rtol=0, atol=1e-7)
    torch.testing.assert_close(problem.vector.detach(), optimum[12:], rtol=0, atol=1e-7)


@every_solver
@pytest.mark.parametrize("first", [0, 1, 2, 5, 25])
def test_a_run_continues_from_its_state_bit_for_bit(solver, first):
    whole = Run(solver, weight_decay=0.01).steps(first)
    state = {name: value.clone() for name, value in whole.optimizer.state().items()}
    value = whole.flat.value.clone()
    continued = Run(solver, weight_decay=0.01)
    continued.flat.value.copy_(value)
    continued.optimizer.load(state)
    whole.steps(6)
    continued.steps(6)
    assert torch.equal(continued.flat.value, whole.flat.value)


@every_solver
def test_a_state_is_tensors_and_does_not_change_when_loaded(solver):
    run = Run(solver).steps(5)
    state = run.optimizer.state()
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    kept = {name: value.clone() for name, value in state.items()}
    other = Run(solver)
    other.optimizer.load(kept)
    copies = {name: value.clone() for name, value in kept.items()}
    other.steps(3)
    for name, value in copies.items():
        assert torch.equal(kept[name], value)


def subnormal(values):
    tiny = torch.finfo(values.dtype).tiny
    return ((values != 0) & (values.abs() < tiny)).any()


@every_first_order
@pytest.mark.parametrize("start", [1.0, 1.1 * FLUSH_BELOW])
def test_moments_of_dead_inputs_are_flushed_before_they_are_subnormal(solver, start):
    run = Run(solver, dtype=torch.float32)
    for moment in run.optimizer.moments:
        moment.fill_(start)
    with torch.no_grad():
        for _ in range(12 * FLUSH_EVERY):
            run.optimizer.step(lambda: run.flat.gradient.zero_(), LEARNING_RATE)
            assert not any(subnormal(moment) for moment in run.optimizer.moments)
    # Long enough for the fastest to have been set to zero.
    assert not run.optimizer.moments[0].any()


@every_first_order
def test_a_flush_changes_an_update_by_less_than_float32_resolves(solver):
    def update(moments, n_steps):
        run = Run(solver)
        for moment, value in zip(run.optimizer.moments, moments, strict=True):
            moment.fill_(value)
        run.optimizer.count.fill_(FLUSH_EVERY - 1)
        run.optimizer.n_steps = n_steps
        before = run.flat.value.clone()
        with torch.no_grad():
            for _ in range(2):
                run.optimizer.step(lambda: run.flat.gradient.zero_(), LEARNING_RATE)
        assert (n_steps == FLUSH_EVERY - 1) == (not run.optimizer.moments[-1].any())
        return run.flat.value - before

    # By the Cauchy-Schwarz inequality Adam's first moment is below 8 times the root of its second.
    largest = 0.99 * FLUSH_BELOW
    moments = [8 * largest**0.5, largest] if SOLVERS[solver].n_moments == 2 else [largest]
    change = (update(moments, FLUSH_EVERY - 1) - update(moments, 0)).abs().max()
    # The update is at most 8 root / eps, and the root, corrected by 1 / 0.3, is that small a part of eps.
    root, eps = FLUSH_BELOW**0.5, 1e-8
    bound = LEARNING_RATE * (8 * root / eps) * (root / 0.3 / eps)
    assert change <= bound < 1e-5 * torch.finfo(torch.float32).eps * LEARNING_RATE


@every_solver
def test_global_state_is_untouched(solver):
    before = process_state()
    Run(solver).steps(3)
    assert process_state() == before
