"""Deterministic autoencoder."""

from torch import Generator, Tensor

from skgen._terms import Cotangents, Terms
from skgen._trace import Pullback, Tracer
from skgen.models.base import NetworkModel


class AutoencoderModel(NetworkModel):
    """Rows encoded to a point z and decoded again; its only term is log p(x | z(x)), shape (1, batch)."""

    def terms(self, x: Tensor) -> Terms:
        """The reconstruction term, differentiable by autograd."""
        return Terms(self.log_prob_given(self.decoder(self.encode(x)), x))

    def tracer(self, *, low_precision: bool = False) -> Tracer:
        encode = self._encoder_tracer(low_precision)
        decode = self.decoder.tracer(low_precision=low_precision)
        likelihood = self._likelihood_tracer()

        def trace(x: Tensor, noise: None, generator: Generator | None) -> tuple[Terms, Pullback]:
            z, pull_encoder = encode(x, generator)
            outputs, pull_decoder = decode(z, generator)
            log_likelihood, pull_likelihood = likelihood(outputs, x)

            def pullback(cotangents: Cotangents) -> None:
                pull_encoder(pull_decoder(pull_likelihood(cotangents.log_likelihood)))

            return Terms(log_likelihood), pullback

        return trace
