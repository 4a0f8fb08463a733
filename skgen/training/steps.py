"""Steps: callables that consume a batch, change parameters and report named scalars."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Generator, Tensor

from skgen.training.base import Optimizer, Rate
from skgen.training.batches import Batch
from skgen.training.flat import Flat

Scalars = dict[str, Tensor]
Loss = Callable[[Batch, Generator], tuple[Callable[[], Scalars], Callable[[], Tensor]]]
"""Adds the loss's gradient to the parameters' ``.grad``; returns functions that compute named terms and the loss."""


class Step(ABC):
    """What a loop runs on each batch, whatever learns.

    Attributes
    ----------
    learning_rate : float
        Set by the owner of the schedule.
    line_search : bool
        Whether the reported terms are those of a deterministic function of all rows.
    """

    learning_rate: float
    line_search = False

    @abstractmethod
    def __call__(self, batch: Batch, generator: Generator, *, report: bool = True) -> Scalars:
        """Learn from a batch; with ``report`` return named terms, else an empty dict."""

    def state(self) -> dict[str, Tensor]:
        """Everything but the parameters that the next step depends on."""
        return {}

    def load(self, state: dict[str, Tensor]) -> None:
        """Continue from a state."""
        return


class GradientStep(Step):
    """One optimiser update from the gradient of a loss, run without recording for autograd.

    The reported terms are those before the update, and computed only when asked for: the gradient does not need them.
    """

    def __init__(self, loss: Loss, optimizer: Optimizer, learning_rate: float) -> None:
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.line_search = optimizer.line_search

    def __call__(
        self,
        batch: Batch,
        generator: Generator,
        *,
        report: bool = True,
        again: bool = False,
        learning_rate: Rate | None = None,
    ) -> Scalars:
        """As documented by the base class; ``again``: on the batch of the last call, with nothing changed since.

        A learning rate that is given takes the place of the step's.
        """
        gradient = self.optimizer.parameters.gradient
        terms: Scalars = {}

        def evaluate() -> Tensor:
            gradient.zero_()
            compute_terms, compute_loss = self.loss(batch, generator)
            if report and not terms:
                terms.update(compute_terms())
            return compute_loss() if self.optimizer.line_search else gradient

        self.optimizer.step(evaluate, self.learning_rate if learning_rate is None else learning_rate, again=again)
        return terms

    def state(self) -> dict[str, Tensor]:
        return self.optimizer.state()

    def load(self, state: dict[str, Tensor]) -> None:
        self.optimizer.load(state)


class Call(Step):
    """A function of batch and generator where others learn, such as one that finds what these learn from.

    What it returns is reported. One that ``reports`` does nothing else, and is called only where terms are asked for.
    """

    learning_rate = 0.0

    def __init__(self, function: Callable[[Batch, Generator], Scalars | None], *, reports: bool = False) -> None:
        self.function, self.reports = function, reports

    def __call__(self, batch: Batch, generator: Generator, *, report: bool = True) -> Scalars:
        terms = self.function(batch, generator) if report or not self.reports else None
        return terms or {}


class Wrapped(Step, ABC):
    """A way to take a gradient step, whose learning rate and state it has."""

    def __init__(self, step: GradientStep) -> None:
        self.step = step
        self.line_search = step.line_search

    @property
    def learning_rate(self) -> float:
        return self.step.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self.step.learning_rate = value

    def state(self) -> dict[str, Tensor]:
        return self.step.state()

    def load(self, state: dict[str, Tensor]) -> None:
        self.step.load(state)


class Repeated(Wrapped):
    """A gradient step taken several times on each batch, of a loss that is another one from batch to batch.

    The reported terms are those before the first update.
    """

    def __init__(self, step: GradientStep, n_times: int) -> None:
        super().__init__(step)
        self.n_times = n_times

    def __call__(self, batch: Batch, generator: Generator, *, report: bool = True) -> Scalars:
        self.step.optimizer.renew()
        terms = self.step(batch, generator, report=report)
        for _ in range(self.n_times - 1):
            self.step(batch, generator, report=False, again=True)
        return terms


class Alternate(Step):
    """Steps taken in turn on each batch, such as those of expectation and maximisation, or of a critic and a generator.

    Parameters
    ----------
    parts : pairs of str and Step
        Steps by name, in their order. All have one learning rate; their terms are reported together.
    """

    def __init__(self, *parts: tuple[str, Step]) -> None:
        self.parts = dict(parts)
        self.line_search = any(part.line_search for part in self.parts.values())

    @property
    def learning_rate(self) -> float:
        return next(iter(self.parts.values())).learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        for part in self.parts.values():
            part.learning_rate = value

    def __call__(self, batch: Batch, generator: Generator, *, report: bool = True) -> Scalars:
        terms: Scalars = {}
        for part in self.parts.values():
            terms |= part(batch, generator, report=report)
        return terms

    def state(self) -> dict[str, Tensor]:
        return {f"{name}.{key}": value for name, part in self.parts.items() for key, value in part.state().items()}

    def load(self, state: dict[str, Tensor]) -> None:
        for name, part in self.parts.items():
            prefix = f"{name}."
            part.load({key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)})


class Together(Alternate):
    """Gradient steps on parts of the parameters, whose gradients come from one pass of one loss.

    Parameters
    ----------
    loss : callable
        Of all parameters.
    parameters : Flat
        They, with their gradient.
    *parts : pairs of str and GradientStep
        By name, with optimizers without line search of parts of them. The steps' own losses are not asked.
    """

    def __init__(self, loss: Loss, parameters: Flat, *parts: tuple[str, GradientStep]) -> None:
        super().__init__(*parts)
        self.loss, self.parameters = loss, parameters
        self.optimizers = [part.optimizer for _, part in parts]

    def __call__(self, batch: Batch, generator: Generator, *, report: bool = True) -> Scalars:
        gradient = self.parameters.gradient
        gradient.zero_()
        compute_terms, _ = self.loss(batch, generator)
        terms = compute_terms() if report else {}
        for optimizer in self.optimizers:
            optimizer.step(lambda: gradient, self.learning_rate)
        return terms
