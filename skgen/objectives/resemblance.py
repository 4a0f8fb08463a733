"""Objective with a resemblance of images in the place of the likelihood."""

from collections.abc import Callable

from torch import Tensor

from skgen._terms import Terms
from skgen.objectives.importance import ELBO

Reader = Callable[[Tensor], Tensor]


class ResemblanceObjective(ELBO):
    r"""Resemblance less the KL: the form of the ELBO, but a loss, and no bound on log p(x).

    Parameters
    ----------
    name : str
        The entry of the report that measures the resemblance.
    read : callable
        The term in the place of log p(x | z), (batch,), to that entry.
    free_bits, n_components : float, int
        As for the ELBO.
    """

    monitor = "objective"

    def __init__(self, name: str, read: Reader, free_bits: float = 0.0, n_components: int = 1) -> None:
        super().__init__(free_bits, n_components)
        self.name, self.read = name, read
        self.unitless = frozenset({"objective", "kl", name})

    def report(self, terms: Terms) -> dict[str, Tensor]:
        """The objective at weight 1 without free bits, the resemblance in its own units, and the KL."""
        value, kl = terms.mean_log_likelihood(), terms.kl_per_row()
        return {"objective": value - kl, self.name: self.read(value), "kl": kl}
