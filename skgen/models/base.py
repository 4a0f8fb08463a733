"""What models made of an encoder, a decoder and a likelihood share."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from skgen._trace import Tracer
from skgen.likelihoods.base import Head, Likelihood, Standardization
from skgen.networks.base import Network


class NetworkModel(nn.Module, ABC):
    """Encoder, decoder and likelihood on standardised rows, with the standardisation as buffers.

    Rows named ``x`` are standardised, rows named ``rows`` are in the user's units. Implement ``tracer``.
    """

    shift: Tensor
    scale: Tensor
    input_scale: Tensor
    input_ratio: Tensor

    def __init__(self, encoder: Network, decoder: Network, likelihood: Likelihood) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = likelihood
        for name in ("shift", "scale", "input_scale", "input_ratio"):
            self.register_buffer(name, torch.ones(likelihood.n_features))

    @abstractmethod
    def tracer(self, *, low_precision: bool = False) -> Tracer:
        """``trace(x, noise, generator)`` returns the terms and ``pullback(Cotangents)``, which adds to ``.grad``.

        Noise is what the model draws with, None if it draws nothing; the generator draws dropout masks. Cotangents of a
        single draw come without the axis of draws. ``low_precision`` allows bfloat16 products in the networks.
        """

    def _encoder_tracer(self, low_precision: bool) -> Tracer:
        """The encoder's trace, with :meth:`encode` as its value."""
        encode = self.encoder.tracer(input_gradient=False, low_precision=low_precision)
        ratio, inputs = self.input_ratio, self.likelihood.inputs
        if bool((ratio == 1).all()):
            return lambda x, generator: encode(inputs(x), generator)
        return lambda x, generator: encode(inputs(x * ratio), generator)

    def inputs(self, x: Tensor) -> Tensor:
        """What the encoder sees of standardised rows, (..., features) to (..., n_inputs)."""
        return self.likelihood.inputs(x * self.input_ratio)

    def encode(self, x: Tensor) -> Tensor:
        """The encoder's outputs for standardised rows, (batch, n_outputs)."""
        outputs: Tensor = self.encoder(self.inputs(x))
        return outputs

    @property
    def width(self) -> int:
        """Most numbers held per row and draw at once, for sizing tiles."""
        return max(self.encoder.width, self.decoder.width) + 4 * self.likelihood.n_outputs

    @property
    def standardization(self) -> Standardization:
        """The standardisation in force."""
        return Standardization(self.shift, self.scale, self.input_scale)

    def _set_standardization(self, new: Standardization) -> None:
        self.shift.copy_(new.shift)
        self.scale.copy_(new.scale)
        self.input_scale.copy_(new.input_scale)
        self.input_ratio.copy_(new.scale / new.input_scale)

    def initialize(self, mean: Tensor, scale: Tensor) -> None:
        """Set standardisation and starting values from each column's mean and standard deviation."""
        self._set_standardization(self.likelihood.standardize(mean, scale))
        self.likelihood.initialize(Head(*self.decoder.head), mean, scale)

    def restandardize(self, mean: Tensor, scale: Tensor, revived: Tensor) -> None:
        """Move to a new standardisation; first and last layers change so that the function in user units does not.

        ``revived`` marks the columns that had been constant until now.
        """
        old = Standardization(*(part.clone() for part in self.standardization))
        new = self.likelihood.standardize(mean, scale)
        change = new.input_scale / old.input_scale, (new.shift - old.shift) / old.input_scale
        self.encoder.absorb_input(*(self.likelihood.per_input(part) for part in change))
        self.likelihood.compensate(Head(*self.decoder.head), old, new, revived)
        self._set_standardization(new)

    def standardize(self, rows: Tensor) -> Tensor:
        """Rows in the user's units to standardised rows."""
        return (rows - self.shift) / self.scale

    def unstandardize(self, x: Tensor) -> Tensor:
        """Standardised rows to the user's units."""
        return x * self.scale + self.shift

    @property
    def log_jacobian(self) -> Tensor:
        """Log-determinant of the standardisation, to add to standardised log-densities."""
        return -torch.log(self.scale).sum()

    def decode(self, z: Tensor) -> Tensor:
        """E[x | z] in the user's units; (..., components) to (..., features)."""
        return self.unstandardize(self.likelihood.mean(self.decoder(z)))
