"""Skeleton of an exact model: copy to ``skgen/models/<name>.py`` and rename.

It works as it stands, with every solver:
``EM_SOLVERS["em"](PoissonMixture(n_components, n_features), Rows(x), start, generator=generator)``.
"""

import torch
from torch import Tensor

from skgen._exact_model import ExactModel, Parameters, Posterior, Statistics
from skgen._rows import Tile
from skgen.models.components import draw_labels


class PoissonMixturePosterior(Posterior):
    """Which component a row of counts is from; all that rows share is computed here, once for each iteration."""

    def __init__(self, log_weights: Tensor, rates: Tensor) -> None:
        self.log_weights, self.rates, self.log_rates = log_weights, rates, rates.log()

    def joint(self, tile: Tile) -> Tensor:
        """log p(observed entries, component), (rows, K). Missing entries of x are 0, and only their rates differ."""
        mask = torch.ones_like(tile.x) if tile.observed is None else tile.observed.mask.to(tile.x)
        constant = torch.lgamma(tile.x + 1).sum(1, keepdim=True)
        return self.log_weights + tile.x @ self.log_rates.T - mask @ self.rates.T - constant

    def log_prob(self, tile: Tile) -> Tensor:
        return torch.logsumexp(self.joint(tile), 1)

    def expect(self, tile: Tile) -> tuple[Statistics, Tensor]:
        joint = self.joint(tile)
        value = torch.logsumexp(joint, 1)
        return self._sums(torch.softmax(joint, 1), tile), value.sum() if tile.weight is None else value @ tile.weight

    def _sums(self, r: Tensor, tile: Tile) -> Statistics:
        """Sums over rows with responsibilities (rows, K): nothing with an axis of rows leaves the posterior."""
        r = r if tile.weight is None else r * tile.weight.unsqueeze(1)
        mask = torch.ones_like(tile.x) if tile.observed is None else tile.observed.mask.to(tile.x)
        return {"weight": r.sum(0), "seen": r.T @ mask, "first": r.T @ tile.x}

    def draw(self, tile: Tile, generator: torch.Generator) -> Statistics:
        """For ``solver="mcem"``; leave it out and that solver refuses the model."""
        label = draw_labels(torch.softmax(self.joint(tile), 1).T, generator)
        return self._sums(torch.nn.functional.one_hot(label, len(self.rates)).to(tile.x), tile)

    def impute(self, tile: Tile, generator: torch.Generator | None = None) -> Tensor:
        """For ``impute``; leave it out and the method refuses."""
        assert tile.observed is not None
        r = torch.softmax(self.joint(tile), 1)
        if generator is None:
            filled = r @ self.rates
        else:
            filled = torch.poisson(self.rates[draw_labels(r.T, generator)], generator=generator)
        return torch.where(tile.observed.mask, tile.x, filled)


class PoissonMixture(ExactModel):
    r"""Mixture of independent Poisson counts, with a gamma prior on the rates.

    .. math:: p(x \mid k) = \prod_j \lambda_{kj}^{x_j} e^{-\lambda_{kj}} / x_j!, \qquad
        \log p(\lambda) = \sum_{kj} (a \log \lambda_{kj} - b \lambda_{kj}) + \text{const}

    Parameters are "log_weights" (K,) and "rates" (K, features).
    """

    def __init__(self, n_components: int, n_features: int, *, a: float = 0.01, b: float = 0.01) -> None:
        self.n_components, self.n_features, self.a, self.b = n_components, n_features, a, b

    def bind(self, parameters: Parameters) -> PoissonMixturePosterior:
        return PoissonMixturePosterior(parameters["log_weights"], parameters["rates"])

    def m_step(self, statistics: Statistics, parameters: Parameters) -> Parameters:
        weight = statistics["weight"].clamp_min(torch.finfo(torch.float64).tiny)
        rates = (statistics["first"] + self.a) / (statistics["seen"] + self.b)
        return {"log_weights": weight.log() - weight.sum().log(), "rates": rates}

    def log_prior(self, parameters: Parameters) -> Tensor:
        rates = parameters["rates"]
        return (self.a * rates.log() - self.b * rates).sum()

    def unconstrain(self, parameters: Parameters) -> Tensor:
        log_weights = parameters["log_weights"]
        return torch.cat([log_weights[:-1] - log_weights[-1], parameters["rates"].log().flatten()])

    def constrain(self, vector: Tensor) -> Parameters:
        k = self.n_components
        log_weights = torch.log_softmax(torch.cat([vector[: k - 1], vector.new_zeros(1)]), 0)
        return {"log_weights": log_weights, "rates": vector[k - 1 :].exp().view(k, self.n_features)}
