"""EM over all rows, and the table of all solvers of an :class:`~skgen._exact_model.ExactModel`."""

from skgen.training.accelerated import AcceleratedEM
from skgen.training.em_gradient import GradientEM
from skgen.training.expectation import Solver
from skgen.training.incremental import IncrementalEM
from skgen.training.monte_carlo import MonteCarloEM
from skgen.training.online import OnlineEM


class BatchEM(Solver):
    """Expectation maximisation over all rows (Dempster, Laird and Rubin 1977): the bound never falls."""

    def _step(self) -> float:
        statistics, value = self.expectation(self.parameters)
        self._finite(value)
        self._maximise(statistics)
        return value

    def _restart(self) -> None:
        """Nothing is remembered from one iteration to the next."""


EM_SOLVERS: dict[str, type[Solver]] = {
    "em": BatchEM,
    "em-accelerated": AcceleratedEM,
    "incremental": IncrementalEM,
    "online": OnlineEM,
    "gradient": GradientEM,
    "mcem": MonteCarloEM,
}
