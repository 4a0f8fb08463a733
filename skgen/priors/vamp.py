"""Mixture of the posteriors at learnt rows as a prior."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from skgen._spec import check_count
from skgen.priors.base import AmortizedModel, Prior, PriorSpec, TrainingRows


class VampPrior(Prior):
    r"""Variational mixture of posteriors (Tomczak and Welling 2018, https://arxiv.org/abs/1705.07120).

    .. math:: p(z) = \frac1K \sum_k q(z \mid u_k)

    The pseudo-inputs :math:`u_k` are standardised rows that are learnt, with no bounds on them. They are encoded
    without dropout.
    """

    starts_from_rows = True

    def __init__(self, n_components: int, n_pseudo_inputs: int) -> None:
        super().__init__(n_components)
        self.n_pseudo_inputs = n_pseudo_inputs

    def connect(self, model: AmortizedModel) -> None:
        self.pseudo_inputs = nn.Parameter(torch.zeros(self.n_pseudo_inputs, model.n_features))
        # Methods, not the model: a module that holds what it is part of has no end.
        self._log_probs, self._draw = model.posterior_log_probs, model.draw_posteriors
        self._density_width = model.density_width

    @property
    def width(self) -> int:
        return self._density_width * self.n_pseudo_inputs + 4 * self.n_components

    def start(self, rows: TrainingRows) -> None:
        self.pseudo_inputs.data.copy_(rows.rows(self.n_pseudo_inputs))

    def map_rows(self, change: Callable[[Tensor], Tensor]) -> None:
        self.pseudo_inputs.data.copy_(change(self.pseudo_inputs.detach()))

    def log_prob(self, z: Tensor) -> Tensor:
        log_probs = self._log_probs(z, self.pseudo_inputs)
        return (torch.logsumexp(log_probs, -1) - math.log(self.n_pseudo_inputs)).to(z.dtype)

    def sample(self, n_draws: int, *, generator: Generator, like: Tensor) -> Tensor:
        chosen = torch.randint(self.n_pseudo_inputs, (n_draws,), generator=generator, device=like.device)
        return self._draw(self.pseudo_inputs[chosen], generator).to(like)


@dataclass
class Vamp(PriorSpec):
    """Mixture of the posteriors at pseudo-inputs, rows that are learnt (Tomczak and Welling 2018).

    They start as rows of the training data, drawn by weight, in its own scale.

    Parameters
    ----------
    n_pseudo_inputs : int, default=500
        Number of pseudo-inputs; each step encodes them all. More than there are rows repeat some.
    """

    fits_draws = True
    n_pseudo_inputs: int = 500

    def build(self, n_components: int) -> VampPrior:
        """Return the module."""
        check_count(self.n_pseudo_inputs, "prior__n_pseudo_inputs")
        return VampPrior(n_components, self.n_pseudo_inputs)
