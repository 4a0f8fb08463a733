"""Bounds whose densities are known by a classifier of draws, and what the classifier minimises."""

from torch import Tensor

from skgen._terms import Terms
from skgen.objectives.adversarial import NonSaturating
from skgen.objectives.importance import ELBO, elbo_parts


class PseudoELBO(ELBO):
    """The evidence lower bound with an estimate in the place of log q(z | x), in history as ``pseudo``.

    Where the estimate is too low, as that of a classifier is that has not learnt all of the difference, the value is
    too high, and may be above log p(x).
    """

    monitor = "pseudo"
    unitless = frozenset({"kl", "adversary"})

    def report(self, terms: Terms) -> dict[str, Tensor]:
        """The value at weight 1, and its two terms, of which the KL is an estimate too."""
        parts = elbo_parts(terms)
        return {"pseudo": parts.pop("elbo")} | parts


def classification_losses(of_q: Tensor, of_r: Tensor) -> Tensor:
    r"""What a classifier loses on a draw of q and one of r by its scores T, which have the shape of the result.

    .. math:: \tfrac12 \log(1 + e^{-T(z_q)}) + \tfrac12 \log(1 + e^{T(z_r)})

    The best classifier is :math:`T = \log q - \log r`, with the mean :math:`\log 2 - JS(q, r)` (Goodfellow et al.
    2014, https://arxiv.org/abs/1406.2661).
    """
    game = NonSaturating()
    return 0.5 * (game.real(of_q) + game.drawn(of_r))
