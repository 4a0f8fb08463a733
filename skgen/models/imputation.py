"""Missing entries given the observed ones of their row under a latent-variable model, by importance weights.

Given z, entries do not depend on each other. So what a row misses follows p(x | z), averaged over z given what it has:
over draws of q(z | x) that weigh p(x observed | z) p(z) / q(z | x) (Mattei and Frellsen 2019,
https://arxiv.org/abs/1812.02633).
"""

from collections.abc import Iterable

import torch
from torch import Generator, Tensor

from skgen._terms import evaluate
from skgen.distributions.normal import standard_normal
from skgen.models.latent_variable import LatentVariableModel


def _weighted(
    model: LatentVariableModel, parameters: Tensor, x: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-weights (draws, batch) of draws, the draws (draws, batch, components), and the decoder's outputs."""
    draw = model.posterior.draw(parameters, noise)
    outputs = model.outputs(draw.z)
    log_weight = model.log_prob_given(outputs, x) + model.prior.log_prob(draw.z) - evaluate(draw.log_prob)
    return log_weight, draw.z, outputs


def conditional_mean(model: LatentVariableModel, parameters: Tensor, x: Tensor, noise: Iterable[Tensor]) -> Tensor:
    r"""E[x | observed entries], standardised; of categories the most probable one.

    .. math:: \sum_k \tilde w_k E[x \mid z_k], \quad
       \tilde w_k \propto \frac{p(x_{\text{observed}} \mid z_k)\, p(z_k)}{q(z_k \mid x)}

    Weights are normalised by their sum. Posterior parameters (batch, n_parameters), x (batch, features), blocks of
    noise (draws, batch or 1, n_noise); gives (batch, features).
    """
    total, mean = x.new_full((len(x),), -torch.inf), torch.zeros((), dtype=x.dtype, device=x.device)
    for block in noise:
        log_weight, _, outputs = _weighted(model, parameters, x, block)
        new = torch.logaddexp(total, torch.logsumexp(log_weight, 0))
        share = torch.exp(log_weight - new).unsqueeze(-1)
        mean = mean * torch.exp(total - new).unsqueeze(-1) + (share * model.likelihood.expectations(outputs)).sum(0)
        total = new
    return model.likelihood.from_expectations(mean)


def conditional_draws(
    model: LatentVariableModel,
    parameters: Tensor,
    x: Tensor,
    *,
    n_imputations: int,
    n_draws: int,
    generator: Generator,
    block: int,
) -> Tensor:
    """Draws of x given its observed entries, standardised, (n_imputations, batch, features).

    Each takes one of ``n_draws`` draws of z, by their weights, and draws x given it (sampling-importance-resampling,
    Rubin 1987). Draws are made, and compared with the one chosen so far, ``block`` at a time.
    """
    total = x.new_full((len(x),), -torch.inf)
    chosen: Tensor | None = None
    for start in range(0, n_draws, block):
        n = min(block, n_draws - start)
        noise = standard_normal(x.new_empty(n, len(x), model.posterior.n_noise), generator)
        log_weight, z, _ = _weighted(model, parameters, x, noise)
        part = torch.logsumexp(log_weight, 0)
        total = torch.logaddexp(total, part)
        index = torch.multinomial(torch.exp(log_weight - part).T, n_imputations, replacement=True, generator=generator)
        found = z.gather(0, index.T.unsqueeze(-1).expand(-1, -1, z.shape[-1]))
        taken = torch.empty_like(found[..., :1]).uniform_(generator=generator) < torch.exp(part - total).unsqueeze(-1)
        chosen = found if chosen is None else torch.where(taken, found, chosen)
    assert chosen is not None
    return model.likelihood.sample(model.outputs(chosen), generator=generator)
