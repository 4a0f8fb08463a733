"""Exact sums over the states of a latent space that has few, in place of draws."""

from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from skgen._terms import Cotangents, Terms, evaluate
from skgen._trace import Pullback, Tracer, autograd_trace
from skgen.models.base import joined

if TYPE_CHECKING:
    from skgen.models.latent_variable import LatentVariableModel


def expectations(log_likelihood: Tensor, log_q: Tensor, log_p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""Sums over states s of log p(x | s), log p(s) and log p(s | x), weighed by q(s | x).

    The third belongs to the exact posterior, so that the first two minus it are :math:`\log p(x)`, whatever q is. But
    its derivative by q is that of :math:`E_q \log q`: so q goes on following the evidence lower bound where the others
    follow the likelihood, which leaves it free (as in reweighted wake-sleep, Bornschein and Bengio 2015,
    https://arxiv.org/abs/1406.2751).

    Shapes: log_likelihood and log_q (states, batch), log_p (states,); gives (batch,) each.
    """
    q, log_p = torch.exp(log_q), log_p.unsqueeze(-1)
    log_exact = torch.log_softmax(log_likelihood + log_p, 0)
    negative_entropy = (q * log_q).sum(0)
    log_posterior = (q.detach() * log_exact).sum(0) + (negative_entropy - negative_entropy.detach())
    return (q * log_likelihood).sum(0), (q * log_p).sum(0), log_posterior


def _states_for(model: "LatentVariableModel", x: Tensor, condition: Tensor | None) -> Tensor:
    """All states (states, 1, n_latent); with a condition repeated for each row, since the decoder sees both."""
    states = model.prior.states()
    assert states is not None
    states = states.unsqueeze(1)
    return states if condition is None else states.expand(-1, len(x), -1)


def summed_terms(
    model: "LatentVariableModel", parameters: Tensor, x: Tensor, n_draws: int, condition: Tensor | None
) -> Terms:
    """Terms of which each draw is the exact expectation, and each log-weight log p(x); differentiable by autograd."""
    states = _states_for(model, x, condition)
    log_likelihood = model.log_likelihood(states, x, condition)
    states = states[:, 0]
    found = expectations(log_likelihood, model.posterior.log_probs(states, parameters), model.prior.log_prob(states))
    log_likelihood, log_prior, log_posterior = (part.expand(n_draws, -1) for part in found)
    return Terms(log_likelihood, log_prior, log_posterior, model.kl_given(parameters), n_draws=n_draws)


def summed_tracer(
    model: "LatentVariableModel", *, low_precision: bool, closed_kl: bool, encoder_only: bool = False
) -> Tracer:
    """The tracer of such a model, whose terms are those of one draw; it takes no noise.

    ``kl`` is there in any case. The decoder is evaluated once at each state, whatever the number of rows. Nothing of
    the encoder comes before the decoder, which is not pulled back through where ``encoder_only``.
    """
    encode = model._posterior_tracer(low_precision)
    decode = model.decoder.tracer(low_precision=low_precision)
    likelihood = model._likelihood_tracer()

    def parts(log_likelihood: Tensor, parameters: Tensor) -> tuple[Tensor, ...]:
        states, kl = model.prior.states(), model.kl_given(parameters)
        assert states is not None
        assert kl is not None
        log_q, log_p = model.posterior.log_probs(states, parameters), model.prior.log_prob(states)
        return *expectations(log_likelihood, log_q, log_p), kl

    def trace(
        x: Tensor, noise: Tensor | None, generator: Generator | None, condition: Tensor | None = None
    ) -> tuple[Terms, Pullback]:
        parameters, pull_encoder = encode(x, generator, condition)
        states = _states_for(model, x, condition)
        outputs, pull_decoder = decode(joined(states, condition), generator)
        each, pull_likelihood = likelihood(outputs.expand(-1, len(x), -1), x)
        (log_likelihood, log_prior, log_posterior, kl), pull_parts = autograd_trace(parts, evaluate(each), parameters)

        def pullback(cotangents: Cotangents) -> None:
            to_each, to_parameters = pull_parts(*cotangents[:4])
            if not encoder_only:
                to_outputs = pull_likelihood(to_each)
                pull_decoder(to_outputs if condition is not None else to_outputs.sum(1, keepdim=True))
            pull_encoder(to_parameters)

        if closed_kl:
            return Terms(log_likelihood, kl=kl), pullback
        return Terms(log_likelihood, log_prior, log_posterior, kl), pullback

    return trace
