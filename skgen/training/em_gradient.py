"""Maximum likelihood by gradients of the marginal likelihood, in place of expectation maximisation."""

import math

import torch
from torch import Tensor

from skgen._exact_model import ExactModel, Parameters
from skgen._rows import Rows
from skgen.distributions.covariance import LinAlgError
from skgen.training.expectation import Repair, Solver
from skgen.training.flat import FlatVector
from skgen.training.optimizers import SOLVERS


class GradientEM(Solver):
    """Ascent of the log-likelihood on the unconstrained parameters, differentiated through the marginal densities.

    One step is one of the optimiser, and visits the rows once for each evaluation: the line searches need one to three
    of them as a rule, and never lower the bound. Outside of the parameters' domain the bound counts as minus infinity.

    There is no M-step, and so nothing that ``repair`` is called after.

    Parameters
    ----------
    model, rows, parameters, generator, repair
        See :class:`~skgen.training.expectation.Solver`.
    method : str, default="lbfgs"
        A name in :data:`skgen.training.optimizers.SOLVERS`.
    learning_rate : float, default=0.01
        For the methods without a line search.
    """

    def __init__(
        self,
        model: ExactModel,
        rows: Rows,
        parameters: Parameters,
        *,
        generator: torch.Generator,
        repair: Repair | None = None,
        method: str = "lbfgs",
        learning_rate: float = 0.01,
    ) -> None:
        super().__init__(model, rows, parameters, generator=generator, repair=repair)
        self.learning_rate = learning_rate
        self.flat = FlatVector(model.unconstrain(self.parameters).clone())
        self.optimizer = SOLVERS[method](self.flat)
        self.monotone = self.optimizer.line_search
        self.known: tuple[Tensor, float, Tensor] | None = None

    def _step(self) -> float:
        start = -self._evaluated()[0]
        self._finite(start)
        with torch.no_grad():
            self.optimizer.step(self._gradient, self.learning_rate)
            updated = self.model.refreshed(self.model.constrain(self.flat.value.clone()))
        if any(bool(value.isnan().any()) for value in updated.values()):
            raise self._diverged("a parameter")
        self.parameters = updated
        return start

    def _gradient(self) -> Tensor:
        loss, gradient = self._evaluated()
        self.flat.gradient.copy_(gradient)
        return gradient.new_tensor(loss)

    def _evaluated(self) -> tuple[float, Tensor]:
        """The loss at the vector and its gradient; the best ones are kept, since the next step begins there."""
        vector = self.flat.value
        if self.known is not None and torch.equal(self.known[0], vector):
            return self.known[1:]
        try:
            value, gradient = self.expectation.backward(vector)
        except LinAlgError:
            value = math.nan
        if not (math.isfinite(value) and bool(gradient.isfinite().all())):
            return math.inf, torch.zeros_like(vector)
        if self.known is None or -value < self.known[1]:
            self.known = vector.clone(), -value, -gradient
        return -value, -gradient

    def _restart(self) -> None:
        """Nothing: no M-step is ever repaired."""

    def _state(self) -> dict[str, Tensor]:
        optimizer = {f"optimizer.{name}": value for name, value in self.optimizer.state().items()}
        return {name: value.clone() for name, value in optimizer.items()} | {"vector": self.flat.value.clone()}

    def _load(self, state: dict[str, Tensor]) -> None:
        self.known = None
        self.flat.value.copy_(state.pop("vector"))
        self.optimizer.load({name.removeprefix("optimizer."): value for name, value in state.items()})
