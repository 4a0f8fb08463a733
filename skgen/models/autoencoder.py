"""Deterministic autoencoder."""

from torch import Generator, Tensor

from skgen._terms import Cotangents, Terms
from skgen._trace import Pullback, Tracer
from skgen.models.base import NetworkModel


class AutoencoderModel(NetworkModel):
    """Rows encoded to a point z and decoded again; its only term is log p(x | z(x)), shape (1, batch)."""

    def encode(self, x: Tensor) -> Tensor:
        """The code of standardised rows, (batch, components)."""
        code: Tensor = self.encoder(x * self.input_ratio)
        return code

    def terms(self, x: Tensor) -> Terms:
        """The reconstruction term, differentiable by autograd."""
        return Terms(self.likelihood.log_prob(self.decoder(self.encode(x)), x).unsqueeze(0))

    def tracer(self, *, low_precision: bool = False) -> Tracer:
        """``trace(x, noise, generator)`` returns the terms and ``pullback(Cotangents)``, which adds to ``.grad``."""
        encode = self.encoder.tracer(input_gradient=False, low_precision=low_precision)
        decode = self.decoder.tracer(low_precision=low_precision)
        likelihood = self.likelihood.tracer()
        ratio = self.input_ratio

        def trace(x: Tensor, noise: Tensor, generator: Generator | None) -> tuple[Terms, Pullback]:
            z, pull_encoder = encode(x * ratio, generator)
            outputs, pull_decoder = decode(z, generator)
            log_likelihood, pull_likelihood = likelihood(outputs, x)

            def pullback(cotangents: Cotangents) -> None:
                pull_encoder(pull_decoder(pull_likelihood(cotangents.log_likelihood)))

            return Terms(log_likelihood), pullback

        return trace
