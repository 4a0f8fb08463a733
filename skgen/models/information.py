"""What latent variables tell of rows, and how far they are from the prior, taken over all rows together."""

from typing import NamedTuple

import torch
from torch import Tensor

from skgen._terms import evaluate
from skgen.posteriors.base import Posterior
from skgen.priors.base import Prior


class Information(NamedTuple):
    """Parts of the mean KL of the posteriors from the prior, which is their sum.

    Attributes
    ----------
    mutual_information : Tensor of shape ()
        Nats that z tells of which row it was drawn for.
    aggregated_kl : Tensor of shape ()
        KL from the aggregated posterior to the prior, nats.
    """

    mutual_information: Tensor
    aggregated_kl: Tensor


def information(
    posterior: Posterior, prior: Prior, parameters: Tensor, noise: Tensor, weight: Tensor, tile: int = 256
) -> Information:
    r"""Both parts by draws of the posteriors (Hoffman and Johnson 2016, ELBO surgery).

    .. math:: \bar q(z) = \sum_j w_j q(z \mid x_j), \quad
        \sum_i w_i KL(q(z \mid x_i) \| p) = \underbrace{\sum_i w_i E_{q(z \mid x_i)} \log
        \tfrac{q(z \mid x_i)}{\bar q(z)}}_{I_q(x; z)} + KL(\bar q \| p)

    The aggregated posterior is that of these rows, so that the mutual information is at most the entropy of w, log n
    for equal weights, and says nothing about more nats than that.

    Parameters
    ----------
    posterior, prior : Posterior and Prior
        The first knows densities at any point; otherwise NotImplementedError is raised.
    parameters : Tensor of shape (n, n_parameters)
    noise : Tensor of shape (draws, n, n_noise)
    weight : Tensor of shape (n,)
        Weights of the rows, of sum 1.
    tile : int
        Points whose densities under all posteriors are held at once.
    """
    draw = posterior.draw(parameters, noise)
    own, log_prior = evaluate(draw.log_prob).double(), prior.log_prob(draw.z).double()
    log_weight = torch.log(weight.double())
    parts = [
        torch.logsumexp(posterior.log_probs(points, parameters).double() + log_weight, -1)
        for points in draw.z.flatten(0, 1).split(tile)
    ]
    mixture = torch.cat(parts).view(own.shape)
    # Each row is part of the mixture, which rounding must not undo.
    mixture = torch.maximum(mixture, own + log_weight)
    return Information(*((term.mean(0) * weight).sum() for term in (own - mixture, mixture - log_prior)))
