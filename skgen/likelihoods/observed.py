"""Densities of what is observed of a row: entries that are missing, NaN, are left out.

Features are independent given the decoder's outputs, so the density of some of them is the product of theirs. Where
entries are missing at random (Rubin 1976, https://doi.org/10.1093/biomet/63.3.581) it is all that a likelihood needs.
"""

from torch import Tensor

from skgen._trace import Pullback, Tracer, autograd_trace
from skgen.likelihoods.base import Likelihood


def observed_log_prob(likelihood: Likelihood, outputs: Tensor, x: Tensor, missing: Tensor) -> Tensor:
    r"""Log-density of the observed entries of standardised rows, :math:`\sum_{i \text{ observed}} \log p(x_i)`.

    Shapes: outputs (..., n_outputs), x and ``missing``, True where an entry is, (..., n_features); gives (...).
    """
    # Zero is a value that every likelihood takes, so that no derivative is NaN where nothing depends on it.
    return likelihood.log_probs(outputs, x.masked_fill(missing, 0)).masked_fill(missing, 0).sum(-1)


def log_prob_of_any(likelihood: Likelihood, outputs: Tensor, x: Tensor) -> Tensor:
    """Log-density of standardised rows, of which some may have missing entries; complete ones take the faster way."""
    missing = x.isnan()
    if not bool(missing.any()):
        return likelihood.log_prob(outputs, x)
    return observed_log_prob(likelihood, outputs, x, missing)


def observed_tracer(likelihood: Likelihood) -> Tracer:
    """The likelihood's tracer for rows with missing entries; see :meth:`Likelihood.tracer`."""

    def trace(outputs: Tensor, x: Tensor) -> tuple[Tensor, Pullback]:
        missing = x.isnan()
        (value,), pullback = autograd_trace(lambda leaf: observed_log_prob(likelihood, leaf, x, missing), outputs)
        return value, lambda cotangent: pullback(cotangent)[0]

    return trace
