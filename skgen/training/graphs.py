"""Steps recorded once and replayed: on a GPU a small step is bound by launching kernels, not by running them."""

import warnings
from collections.abc import Callable, Hashable, Iterable
from functools import cache

import torch
from torch import Generator, Tensor

from skgen.training.batches import Batch
from skgen.training.steps import GradientStep, Scalars, Wrapped

Capture = Callable[[Callable[[], Scalars], Generator], tuple[Callable[[], None], Scalars]]
"""Records a function's kernels without running them: a function that replays them, and the recorded results."""

WARM_UPS = 3


def cuda_capture(function: Callable[[], Scalars], generator: Generator) -> tuple[Callable[[], None], Scalars]:
    """Record into a CUDA graph whose random numbers go on with the generator's from replay to replay."""
    device = generator.device
    with torch.cuda.device(device):  # kernels on any other would run at once instead of being recorded
        try:
            graph, terms = _recorded(function, generator)
        except RuntimeError:
            # In some versions of torch a recording that fails leaves its generators, torch's global one among them,
            # unable to draw until a recording of theirs ends well.
            _recorded(lambda: {"nothing": torch.zeros(1, device=device)}, generator)
            raise
    return graph.replay, terms


def _recorded(function: Callable[[], Scalars], generator: Generator) -> tuple[torch.cuda.CUDAGraph, Scalars]:
    """The graph of a function's kernels, and its results."""
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(generator)
    stream = _recording_stream(generator.device)
    # A recording that fails leaves its stream in force, which the outer context puts right. What other threads ask of
    # the device meanwhile is theirs.
    with (
        torch.cuda.stream(torch.cuda.current_stream()),
        torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"),
    ):
        terms = function()
    return graph, terms


@cache
def _recording_stream(device: torch.device) -> torch.cuda.Stream:
    """One stream per device, since cuBLAS keeps a workspace of megabytes for every stream that it has seen."""
    return torch.cuda.Stream(device)


class GraphedStep(Wrapped):
    """A gradient step on batches of one shape, recorded at first use and replayed afterwards.

    Numbers that the host decides (weight of the KL) are part of a recording: ``key`` names them, and a new key makes a
    new recording. The learning rate is a tensor that a recording reads. A batch of another shape, such as the last of
    an epoch, runs unrecorded. Recording changes nothing: parameters, optimiser, generator and the loss's ``buffers`` go
    back to where they were. If the device refuses to record, a warning says so and every step runs unrecorded.
    """

    def __init__(
        self,
        step: GradientStep,
        key: Callable[[], Hashable],
        *,
        n_rows: int,
        buffers: Callable[[], Iterable[Tensor]] = tuple,
        capture: Capture = cuda_capture,
    ) -> None:
        super().__init__(step)
        self.key = key
        self.n_rows = n_rows
        self.buffers = buffers
        self.capture = capture
        self.recorded_key: Hashable = None
        self.recordings: dict[bool, tuple[Callable[[], None], Scalars]] = {}
        self.static: Batch | None = None
        self.rate = torch.zeros((), dtype=torch.float32, device=step.optimizer.parameters.value.device)
        self.rate_in_force = 0.0
        self.refused = False

    def __call__(self, batch: Batch, generator: Generator, *, report: bool = True) -> Scalars:
        """Update once, as the step does."""
        if self.refused or batch.x.shape[0] != self.n_rows:
            return self.step(batch, generator, report=report)
        if self.static is None:
            self.static = batch.mapped(torch.clone)
        for static, part in zip(self.static, batch, strict=True):
            if static is not None and part is not None:
                static.copy_(part)
        if self.rate_in_force != self.step.learning_rate:
            self.rate.fill_(self.step.learning_rate)
            self.rate_in_force = self.step.learning_rate
        if self.recorded_key != (key := self.key()):
            self.recordings.clear()
            self.recorded_key = key
        if report not in self.recordings and not self._record(report, generator):
            return self.step(batch, generator, report=report)
        replay, terms = self.recordings[report]
        replay()
        self.step.optimizer.advance()
        return terms

    def _record(self, report: bool, generator: Generator) -> bool:
        optimizer, static = self.step.optimizer, self.static
        assert static is not None
        value = optimizer.parameters.value
        state = {name: tensor.clone() for name, tensor in optimizer.state().items()}
        values, random = value.clone(), generator.get_state()
        kept = [(buffer, buffer.clone()) for buffer in self.buffers()]

        def restore() -> None:
            value.copy_(values)
            optimizer.load(state)
            generator.set_state(random)
            for buffer, before in kept:
                buffer.copy_(before)

        def run() -> Scalars:
            return self.step(static, generator, report=report, learning_rate=self.rate)

        try:
            for _ in range(WARM_UPS):
                run()
            restore()
            self.recordings[report] = self.capture(run, generator)
        except RuntimeError as error:
            self.refused = True
            reason = error.__context__ or error  # the end of a recording that failed raises an error of its own
            warnings.warn(
                f"The device could not record a training step ({reason}); steps run one kernel at a time, slower.",
                RuntimeWarning,
                stacklevel=2,
            )
        restore()
        return not self.refused
