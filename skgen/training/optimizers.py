"""Optimisers of a flat parameter vector, with their state as named tensors."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from skgen.training.flat import FlatParameters

Gradient = Callable[[], Tensor]
"""Fills the flat gradient of the loss and returns the loss, a scalar."""

FLUSH_EVERY = 100
FLUSH_BELOW = 1e-30
LINE_SEARCH_EVALUATIONS = 26


class Optimizer(ABC):
    """Minimises a loss by changing a flat vector in place."""

    line_search = False
    """Whether the loss must be a deterministic function evaluated over all rows in float64."""

    def __init__(
        self,
        parameters: FlatParameters,
        *,
        weight_decay: float = 0.0,
        max_grad_norm: float | None = None,
        momentum: float = 0.9,
    ) -> None:
        self.parameters = parameters
        self.max_grad_norm = max_grad_norm
        self.momentum = momentum
        self.decay = parameters.matrix_mask().mul_(weight_decay) if weight_decay else None

    @abstractmethod
    def step(self, gradient: Gradient, learning_rate: float) -> None:
        """One update; ``gradient`` may be called more than once by a line search."""

    @abstractmethod
    def advance(self) -> None:
        """Take note of a step whose kernels ran."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Everything but the parameters that the next step depends on."""

    @abstractmethod
    def load(self, state: dict[str, Tensor]) -> None:
        """Continue from a state."""


class FirstOrder(Optimizer, ABC):
    """Shared part of the gradient methods: clipping, weight decay of matrices, and moments.

    Moments of inputs that are always zero decay into subnormal numbers, on which processors are an order of magnitude
    slower, so they are set to zero below 1e-30 every hundred steps: an update changes by less than float32 resolves.
    """

    n_moments = 2

    def __init__(self, parameters: FlatParameters, **options: Any) -> None:
        super().__init__(parameters, **options)
        self.count = torch.zeros((), dtype=torch.float32, device=parameters.value.device)
        self.n_steps = 0
        self.moments = [torch.zeros_like(parameters.value) for _ in range(self.n_moments)]

    @abstractmethod
    def _update(self, learning_rate: float) -> None:
        """Update the values from gradient and moments, weight decay included."""

    def _add_decay(self) -> None:
        if self.decay is not None:
            self.parameters.gradient.addcmul_(self.parameters.value, self.decay)

    def step(self, gradient: Gradient, learning_rate: float) -> None:
        gradient()
        if self.max_grad_norm is not None:
            norm = torch.linalg.vector_norm(self.parameters.gradient)
            self.parameters.gradient.mul_((self.max_grad_norm / (norm + 1e-12)).clamp_max(1.0))
        self._update(learning_rate)
        self.advance()
        if self.n_steps % FLUSH_EVERY == 0 and self.parameters.value.device.type == "cpu":
            for moment in self.moments:
                moment.copy_(F.hardshrink(moment, FLUSH_BELOW))

    def advance(self) -> None:
        self.n_steps += 1

    def state(self) -> dict[str, Tensor]:
        return {"count": self.count, "n_steps": torch.tensor(self.n_steps)} | {
            f"moment_{i}": moment for i, moment in enumerate(self.moments)
        }

    def load(self, state: dict[str, Tensor]) -> None:
        self.count.copy_(state["count"])
        self.n_steps = int(state["n_steps"])
        for i, moment in enumerate(self.moments):
            moment.copy_(state[f"moment_{i}"])


class Adam(FirstOrder):
    """Adam (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980); weight decay is added to the gradient.

    One call of the kernel behind ``torch.optim.Adam(fused=True)``, whose own bookkeeping costs more than the update of
    a small model.
    """

    def _update(self, learning_rate: float) -> None:
        self._add_decay()
        self.count.add_(1)
        torch._fused_adam_(
            [self.parameters.value],
            [self.parameters.gradient],
            self.moments[:1],
            self.moments[1:],
            [],
            [self.count],
            lr=learning_rate,
            beta1=0.9,
            beta2=0.999,
            weight_decay=0.0,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101)."""

    def _add_decay(self) -> None:
        """Nothing is added to the gradient."""

    def _update(self, learning_rate: float) -> None:
        if self.decay is not None:
            self.parameters.value.addcmul_(self.parameters.value, self.decay, value=-learning_rate)
        super()._update(learning_rate)


class SGD(FirstOrder):
    """Stochastic gradient descent with momentum (heavy ball)."""

    n_moments = 1

    def _update(self, learning_rate: float) -> None:
        self._add_decay()
        self.moments[0].mul_(self.momentum).add_(self.parameters.gradient)
        self.parameters.value.add_(self.moments[0], alpha=-learning_rate)


class LBFGS(Optimizer):
    """Limited-memory BFGS with a strong-Wolfe line search (Liu and Nocedal 1989); one iteration per step."""

    line_search = True

    def __init__(self, parameters: FlatParameters, **options: Any) -> None:
        super().__init__(parameters, **options)
        self.vector = torch.nn.Parameter(parameters.value)
        self.vector.grad = parameters.gradient
        # torch gives the line search what max_eval leaves; by default, for one iteration, that is nothing.
        self.solver = torch.optim.LBFGS(
            [self.vector],
            max_iter=1,
            max_eval=LINE_SEARCH_EVALUATIONS,
            history_size=20,
            tolerance_grad=0,
            tolerance_change=0,
            line_search_fn="strong_wolfe",
        )

    def step(self, gradient: Gradient, learning_rate: float) -> None:
        def closure() -> Tensor:
            with torch.no_grad():
                loss = gradient()
                if self.decay is not None:
                    decayed = self.decay * self.parameters.value
                    self.parameters.gradient.add_(decayed)
                    loss = loss + 0.5 * torch.dot(decayed, self.parameters.value)
            return loss

        self.solver.step(closure)

    def advance(self) -> None:
        """Nothing: the line search decides on the host, so its kernels run only by ``step``."""

    def state(self) -> dict[str, Tensor]:
        named: dict[str, Tensor] = {}
        for key, value in self.solver.state[self.vector].items():
            if key == "al":
                continue
            items = enumerate(value) if isinstance(value, list) else [(None, value)]
            for i, item in items:
                if item is not None:
                    named[key if i is None else f"{key}.{i}"] = torch.as_tensor(item, dtype=torch.float64)
        return named

    def load(self, state: dict[str, Tensor]) -> None:
        # After the first step there are no curvature pairs yet: their lists are empty, but there.
        restored: dict[str, Any] = {name: {} for name in ("old_dirs", "old_stps", "ro")}
        for key, value in state.items():
            name, _, index = key.partition(".")
            item = value.clone() if value.dim() else value.item()
            if name in ("func_evals", "n_iter"):
                item = int(item)
            if index:
                restored.setdefault(name, {})[int(index)] = item
            else:
                restored[name] = item
        for name, value in restored.items():
            if isinstance(value, dict):
                restored[name] = [value[i] for i in sorted(value)]
        self.solver.state[self.vector].update(restored)


SOLVERS: dict[str, type[Optimizer]] = {"adam": Adam, "adamw": AdamW, "sgd": SGD, "lbfgs": LBFGS}
