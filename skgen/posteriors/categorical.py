"""Independent categorical variables as a posterior, drawn hard or relaxed."""

import torch
from torch import Tensor
from torch.nn import functional as F

from skgen.distributions.gumbel import gumbel_from_normal
from skgen.posteriors.base import Draw, Posterior


class CategoricalPosterior(Posterior):
    r"""Independent categorical variables, :math:`q(z \mid x) = \prod_i \mathrm{Cat}(z_i; \mathrm{softmax}(l_i(x)))`.

    The network gives the logits; z is made of one-hot blocks, and a mean of probabilities. With Gumbel noise g,
    ``draw`` takes the largest entry of :math:`l + g`, which is a draw of q; ``relaxed`` takes
    :math:`\mathrm{softmax}((l + g) / \tau)`, which has a gradient and tends to that draw as the temperature
    :math:`\tau` falls (Jang et al. 2017, https://arxiv.org/abs/1611.01144; Maddison et al. 2017,
    https://arxiv.org/abs/1611.00712). The log-probability, linear in z, is continued to relaxed draws as it stands.

    Attributes
    ----------
    temperature : Tensor of shape ()
        In force; training changes it in place.
    """

    has_path = False
    temperature: Tensor

    def __init__(self, n_components: int, n_categories: int) -> None:
        super().__init__(n_components, n_components * n_categories, n_components * n_categories)
        self.n_categories = n_categories
        self.register_buffer("temperature", torch.ones(()), persistent=False)

    @property
    def width(self) -> int:
        return 4 * self.n_parameters

    def _blocks(self, values: Tensor) -> Tensor:
        return values.reshape(*values.shape[:-1], self.n_components, self.n_categories)

    def _normalized(self, parameters: Tensor) -> Tensor:
        """Log-probabilities (batch, n_components, n_categories)."""
        return torch.log_softmax(self._blocks(parameters), -1)

    @staticmethod
    def _draw(z: Tensor, log_probs: Tensor) -> Draw:
        return Draw(z.flatten(-2), (z * log_probs).sum((-2, -1)), torch.exp(log_probs).flatten(-2), None, None)

    def draw(self, parameters: Tensor, noise: Tensor) -> Draw:
        log_probs = self._normalized(parameters)
        codes = (log_probs + gumbel_from_normal(self._blocks(noise))).argmax(-1)
        return self._draw(F.one_hot(codes, self.n_categories).to(log_probs.dtype), log_probs)

    def relaxed(self, parameters: Tensor, noise: Tensor) -> Draw:
        log_probs = self._normalized(parameters)
        heights = (log_probs + gumbel_from_normal(self._blocks(noise))) / self.temperature
        return self._draw(torch.softmax(heights, -1), log_probs)

    def mean_and_scale(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        log_probs = self._normalized(parameters).flatten(-2)
        mean = torch.exp(log_probs)
        return mean, torch.sqrt(-mean * torch.expm1(log_probs))

    def log_probs(self, z: Tensor, parameters: Tensor) -> Tensor:
        return z @ self._normalized(parameters).flatten(-2).T
