"""Recorded steps: replaying gives what running gives, and recording leaves no trace."""

from contextlib import contextmanager, nullcontext

import pytest
import torch
from torch import nn

from skgen.training import graphs as module
from skgen.training.batches import Batch
from skgen.training.flat import FlatParameters
from skgen.training.graphs import GraphedStep, cuda_capture
from skgen.training.optimizers import SOLVERS
from skgen.training.steps import GradientStep


def gpu(test):
    """Mark a test of the real recorder."""
    skip = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    return pytest.mark.gpu(skip(test))


RATES = (2**-7, 2**-6)
"""Exact in float32, the dtype of a recording's learning rate."""


def build(solver="adam", device="cpu", dtype=torch.float64):
    """A noisy regression of one layer: parameters and step."""
    layer = nn.Linear(3, 2).to(device, dtype)
    with torch.no_grad():
        layer.weight.copy_(torch.arange(6.0).view(2, 3) / 10)
        layer.bias.zero_()
    parameters = FlatParameters(layer)

    def loss(batch, generator):
        noise = torch.empty_like(batch.x).normal_(generator=generator)
        residual = (batch.x + noise) @ layer.weight.detach().t() + layer.bias.detach() - 1
        layer.weight.grad.addmm_(residual.t(), batch.x + noise)
        layer.bias.grad.add_(residual.sum(0))
        return lambda: {"loss": residual.square().sum()}, lambda: residual.square().sum()

    return parameters, GradientStep(loss, SOLVERS[solver](parameters, weight_decay=0.01), RATES[0])


def fake_capture(function, generator):
    """Record as a GPU does: the function does not run; each replay runs it and fills the recorded results."""
    terms = {}

    def replay():
        terms.update(function())

    return replay, terms


class Recorder:
    """A recorder that counts recordings."""

    def __init__(self):
        self.n_recordings = 0

    def __call__(self, function, generator):
        self.n_recordings += 1
        return fake_capture(function, generator)


def batches(n, device="cpu", dtype=torch.float64):
    """Five full batches and a shorter one."""
    rows = torch.linspace(-1, 1, 3 * n * 5 + 9, dtype=dtype, device=device).view(-1, 3)
    return [Batch(part, None) for part in rows.split(n)]


def train(step, parameters, device="cpu", dtype=torch.float64):
    """Values after two passes at two learning rates, and the reported terms."""
    generator = torch.Generator(device).manual_seed(0)
    reported = []
    with torch.no_grad():
        for rate in RATES:
            step.learning_rate = rate
            for i, batch in enumerate(batches(4, device, dtype)):
                terms = step(batch, generator, report=i % 2 == 0)
                reported += [float(value) for value in terms.values()]
    return parameters.value.clone(), reported


def test_a_new_key_makes_a_new_recording_and_a_new_learning_rate_none():
    parameters, step = build()
    recorder, weight = Recorder(), [1.0]
    graphed = GraphedStep(step, lambda: tuple(weight), n_rows=4, capture=recorder)
    train(graphed, parameters)
    assert recorder.n_recordings == 2  # with terms and without
    weight[0] = 0.5
    train(graphed, parameters)
    assert recorder.n_recordings == 4


def test_the_warning_tells_what_went_wrong_in_the_recording_and_not_at_its_end():
    def refuse(function, generator):
        try:
            raise RuntimeError("a value was waited for")
        finally:
            raise RuntimeError("previous error")

    parameters, step = build()
    with pytest.warns(RuntimeWarning, match="a value was waited for"):
        train(GraphedStep(step, tuple, n_rows=4, capture=refuse), parameters)


@pytest.mark.parametrize("solver", ["adam", "adamw", "sgd"])
def test_replayed_equals_run(solver):
    parameters, step = build(solver)
    expected, reported = train(step, parameters)
    parameters, step = build(solver)
    step.optimizer.advance = lambda: None
    graphed = GraphedStep(step, tuple, n_rows=4, capture=fake_capture)
    value, replayed = train(graphed, parameters)
    assert torch.equal(value, expected)
    assert replayed == reported


def test_refusal_warns_once_and_trains_on():
    def refuse(function, generator):
        raise RuntimeError("no graphs here")

    parameters, step = build()
    expected, _ = train(step, parameters)
    parameters, step = build()
    graphed = GraphedStep(step, tuple, n_rows=4, capture=refuse)
    with pytest.warns(RuntimeWarning, match="no graphs here") as caught:
        value, _ = train(graphed, parameters)
    assert len(caught) == 1
    assert torch.equal(value, expected)


def test_a_failed_recording_leaves_no_generator_in_the_state_of_one(monkeypatch):
    recording = []

    class Graph:
        """Holds its generators while it is recorded, beyond the end where that fails, as some versions of torch do."""

        def register_generator_state(self, generator):
            self.generator = generator

        def replay(self):
            pass

    @contextmanager
    def graph(graph, **options):
        recording.append(graph.generator)
        try:
            yield
        except RuntimeError:
            raise RuntimeError("previous error") from None
        recording.clear()

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    for name in ("device", "stream"):
        monkeypatch.setattr(torch.cuda, name, lambda place: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: None)
    monkeypatch.setattr(module, "_recording_stream", lambda device: None)

    def waits():
        raise RuntimeError("a value was waited for")

    generator = torch.Generator()
    with pytest.raises(RuntimeError, match="previous error"):
        cuda_capture(waits, generator)
    assert recording == []
    assert cuda_capture(dict, generator)[1] == {}


@gpu
def test_cuda_graph_equals_run():
    parameters, step = build(device="cuda", dtype=torch.float32)
    expected, _ = train(step, parameters, "cuda", torch.float32)
    parameters, step = build(device="cuda", dtype=torch.float32)
    graphed = GraphedStep(step, tuple, n_rows=4, capture=cuda_capture)
    value, _ = train(graphed, parameters, "cuda", torch.float32)
    assert not graphed.refused
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)


@gpu
def test_cuda_refuses_a_step_that_waits_for_a_value_and_keeps_the_stream():
    parameters, step = build(device="cuda", dtype=torch.float32)
    expected, _ = train(step, parameters, "cuda", torch.float32)
    parameters, step = build(device="cuda", dtype=torch.float32)
    loss = step.loss

    def waits(batch, generator):
        assert float(batch.x.sum()) < float("inf")
        return loss(batch, generator)

    step.loss = waits
    graphed = GraphedStep(step, tuple, n_rows=4, capture=cuda_capture)
    stream = torch.cuda.current_stream()
    with pytest.warns(RuntimeWarning, match="could not record"):
        value, _ = train(graphed, parameters, "cuda", torch.float32)
    assert torch.cuda.current_stream() == stream
    assert torch.rand(1, device="cuda").isfinite()  # the global generator draws on too
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)
