"""Independent categorical variables as a prior: a discrete latent space."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from skgen._spec import check_count, check_epochs, check_number
from skgen._trace import Pullback, Tracer, autograd_trace
from skgen.posteriors.base import Draw, Posterior
from skgen.posteriors.categorical import CategoricalPosterior
from skgen.priors.base import Prior, PriorSpec


class CategoricalPrior(Prior):
    r"""Independent categorical variables, :math:`p(z) = \prod_i w_{i, z_i}`, :math:`w_i = \mathrm{softmax}(l_i)`.

    z is made of one-hot blocks, one for each variable. With ``few``, models sum over its states,
    ``n_categories ** n_components``.
    """

    def __init__(self, n_components: int, n_categories: int, *, few: bool) -> None:
        super().__init__(n_components, n_components * n_categories)
        self.n_categories = n_categories
        # Clusters have numbers where one variable says it all.
        self.n_clusters = n_categories if n_components == 1 else 0
        self.logits = nn.Parameter(torch.zeros(n_components, n_categories))
        self.register_buffer("_states", self._all_states() if few else None, persistent=False)

    def _all_states(self) -> Tensor:
        codes = torch.cartesian_prod(*[torch.arange(self.n_categories)] * self.n_components)
        return self._one_hot(codes.reshape(-1, self.n_components)).to(self.logits.dtype)

    def _one_hot(self, codes: Tensor) -> Tensor:
        return F.one_hot(codes, self.n_categories).flatten(-2)

    def adapted(self, posterior: Posterior) -> CategoricalPosterior:
        return CategoricalPosterior(self.n_components, self.n_categories)

    def states(self) -> Tensor | None:
        found = self._states
        assert found is None or isinstance(found, Tensor)
        return found

    def _log_weights(self) -> Tensor:
        return torch.log_softmax(self.logits, -1)

    def log_prob(self, z: Tensor) -> Tensor:
        return torch.mv(z.reshape(-1, self.n_latent), self._log_weights().flatten()).reshape(z.shape[:-1])

    def draw_labels(self, n_draws: int, *, generator: Generator) -> Tensor:
        """Codes of the variables by their weights, (n_draws, n_components); (n_draws,) of a single variable."""
        weights = torch.softmax(self.logits, -1)
        codes = torch.multinomial(weights, n_draws, replacement=True, generator=generator).T
        return codes.squeeze(-1) if self.n_components == 1 else codes

    def sample_given(self, labels: Tensor, *, generator: Generator) -> Tensor:
        """The states with some codes, as :meth:`draw_labels` gives them; (n_draws, n_latent)."""
        return self._one_hot(labels.reshape(-1, self.n_components)).to(self.logits.dtype)

    def sample(self, n_draws: int, *, generator: Generator, like: Tensor) -> Tensor:
        return self.sample_given(self.draw_labels(n_draws, generator=generator), generator=generator).to(like)

    def _kl(self, probabilities: Tensor) -> Tensor:
        shares = probabilities.reshape(*probabilities.shape[:-1], self.n_components, self.n_categories)
        # Where a probability underflows so does its term, but not the logarithm.
        log_shares = torch.log(shares.clamp_min(torch.finfo(shares.dtype).tiny))
        return (shares * (log_shares - self._log_weights())).sum(-1)

    def closed_kl(self, draw: Draw) -> Tensor | None:
        return None if draw.mean is None else self._kl(draw.mean)

    def kl_tracer(self) -> Tracer:
        def trace(draw: Draw) -> tuple[Tensor, Pullback]:
            assert draw.mean is not None
            (value,), backward = autograd_trace(self._kl, draw.mean)
            return value, lambda cotangent: (backward(cotangent)[0], None)

        return trace


@dataclass
class Categorical(PriorSpec):
    """Independent categorical variables with learnt weights, ``n_components`` of them.

    Expectations over few states are summed exactly; over more, training takes relaxed draws (Jang et al. 2017).

    Parameters
    ----------
    n_categories : int, default=10
        Number of categories of each variable.
    max_states : int, default=64
        Largest number of states, ``n_categories ** n_components``, that are summed over.
    temperature, final_temperature : float, default=1.0 and 0.5
        Temperature of relaxed draws at the start of training, and later.
    annealing : float or int, default=0.5
        Epochs over which the temperature falls, geometrically: a share of ``max_iter`` (float) or a number (int).
    """

    has_components: ClassVar[bool] = True
    has_categories: ClassVar[bool] = True
    n_categories: int = 10
    max_states: int = 64
    temperature: float = 1.0
    final_temperature: float = 0.5
    annealing: float | int = 0.5

    def n_latent(self, n_components: int) -> int:
        return n_components * self.n_categories

    def has_exact_sums(self, n_components: int) -> bool:
        check_count(self.n_categories, "prior__n_categories", least=2)
        check_count(self.max_states, "prior__max_states")
        # As Python's own integers, which do not overflow.
        return bool(int(self.n_categories) ** int(n_components) <= self.max_states)

    @property
    def temperatures(self) -> tuple[float, float, float | int]:
        return self.temperature, self.final_temperature, self.annealing

    def build(self, n_components: int) -> CategoricalPrior:
        """Return the module."""
        few = self.has_exact_sums(n_components)
        check_number(self.final_temperature, "prior__final_temperature", above=0)
        check_number(self.temperature, "prior__temperature", least=float(self.final_temperature), below=math.inf)
        check_epochs(self.annealing, "prior__annealing")
        return CategoricalPrior(n_components, self.n_categories, few=few)
