"""What models made of an encoder, a decoder and a likelihood share."""

from abc import ABC, abstractmethod

import torch
from torch import Generator, Tensor, nn

from skgen._trace import Tracer
from skgen.likelihoods.base import Head, Likelihood, Standardization
from skgen.likelihoods.observed import log_prob_of_any, observed_tracer
from skgen.models.resemblance import Resemblance
from skgen.networks.base import Network


def joined(z: Tensor, condition: Tensor | None) -> Tensor:
    """Latent variables (..., batch, components) with the condition of each row (batch, conditions), if there is one."""
    return z if condition is None else torch.cat([z, condition.expand(*z.shape[:-1], -1)], -1)


class NetworkModel(nn.Module, ABC):
    """Encoder, decoder and likelihood on standardised rows, with the standardisation as buffers.

    Rows named ``x`` are standardised, rows named ``rows`` are in the user's units. Implement ``tracer``.

    Entries of rows that are NaN are missing. Any model takes such rows: it leaves the entries out of the likelihood
    and shows the encoder a number in their place. One that is to learn from them is built with ``missing=True``; its
    encoder has one more input for each column, 1 where the entry is there, behind the likelihood's ``n_inputs``.
    """

    shift: Tensor
    scale: Tensor
    input_scale: Tensor
    input_ratio: Tensor
    fill: Tensor
    resemblance: Resemblance | None = None
    """What a model in training maximises in the place of log p(x | z): no density, so that a fitted model has none."""

    def __init__(self, encoder: Network, decoder: Network, likelihood: Likelihood, *, missing: bool = False) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = likelihood
        self.missing = missing
        for name in ("shift", "scale", "input_scale", "input_ratio"):
            self.register_buffer(name, torch.ones(likelihood.n_features))
        self.register_buffer("fill", torch.zeros(likelihood.n_inputs))

    @abstractmethod
    def tracer(self, *, low_precision: bool = False) -> Tracer:
        """``trace(x, noise, generator)`` returns the terms and ``pullback(Cotangents)``, which adds to ``.grad``.

        Noise is what the model draws with, None if it draws nothing; the generator draws dropout masks. Cotangents of a
        single draw come without the axis of draws. ``low_precision`` allows bfloat16 products in the networks.
        """

    def _encoder_tracer(self, low_precision: bool) -> Tracer:
        """The encoder's trace, with :meth:`encode` as its value."""
        encode = self.encoder.tracer(input_gradient=False, low_precision=low_precision)
        if self.missing:
            return lambda x, generator: encode(self.inputs(x), generator)
        ratio, inputs = self.input_ratio, self.likelihood.inputs
        if bool((ratio == 1).all()):
            return lambda x, generator: encode(inputs(x), generator)
        return lambda x, generator: encode(inputs(x * ratio), generator)

    def _likelihood_tracer(self) -> Tracer:
        """The likelihood's trace; of a model that learns from missing entries, that of the observed ones."""
        if self.resemblance is not None:
            return self.resemblance.tracer()
        return observed_tracer(self.likelihood) if self.missing else self.likelihood.tracer()

    def inputs(self, x: Tensor) -> Tensor:
        """What the encoder sees of standardised rows, (..., features) to (..., n_inputs)."""
        inputs = self.likelihood.inputs(x * self.input_ratio)
        inputs = torch.where(inputs.isnan(), self.fill, inputs)
        return torch.cat([inputs, (~x.isnan()).to(inputs.dtype)], -1) if self.missing else inputs

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

    def reset(self, generator: Generator) -> None:
        """Draw initial parameters from the generator."""
        self.encoder.reset(generator)
        self.decoder.reset(generator)

    def initialize(self, mean: Tensor, scale: Tensor) -> None:
        """Set standardisation and starting values from each column's mean and standard deviation."""
        self._set_standardization(self.likelihood.standardize(mean, scale))
        self.fill.copy_(self._mean_inputs(mean))
        self.likelihood.initialize(Head(*self.decoder.head), mean, scale)

    def initialize_shares(self, mean: Tensor) -> None:
        """Set starting values that need the mean of each of the likelihood's inputs over the rows, (n_inputs,)."""
        self.likelihood.initialize_shares(Head(*self.decoder.head), mean)

    def restandardize(self, mean: Tensor, scale: Tensor, revived: Tensor) -> None:
        """Move to a new standardisation; first and last layers change so that the function in user units does not.

        ``revived`` marks the columns that had been constant until now.
        """
        old = Standardization(*(part.clone() for part in self.standardization))
        new = self.likelihood.standardize(mean, scale)
        change = new.input_scale / old.input_scale, (new.shift - old.shift) / old.input_scale
        ratio, offset = (self.likelihood.per_input(part) for part in change)
        self._absorb_input(ratio, offset)
        self.likelihood.compensate(Head(*self.decoder.head), old, new, revived)
        self._set_standardization(new)
        if not self.missing:
            self.fill.copy_(self._mean_inputs(mean))

    def _absorb_input(self, ratio: Tensor, offset: Tensor) -> None:
        """Change the encoder so that it gives at its inputs what it gave at ``inputs * ratio + offset``."""
        # What stands for a missing entry moves with the others, so that the encoder goes on seeing what it has learnt.
        self.fill.sub_(offset).div_(ratio)
        if self.missing:
            mask = ratio.new_ones(self.likelihood.n_features)
            ratio, offset = torch.cat([ratio, mask]), torch.cat([offset, torch.zeros_like(mask)])
        self.encoder.absorb_input(ratio, offset)

    def _mean_inputs(self, mean: Tensor) -> Tensor:
        """Column means as the encoder would see them."""
        return self.likelihood.per_input((mean - self.shift) / self.input_scale)

    def standardize(self, rows: Tensor) -> Tensor:
        """Rows in the user's units to standardised rows."""
        return (rows - self.shift) / self.scale

    def unstandardize(self, x: Tensor) -> Tensor:
        """Standardised rows to the user's units."""
        return x * self.scale + self.shift

    @property
    def log_jacobian(self) -> Tensor:
        """Log-determinant of the standardisation, to add to standardised log-densities of complete rows."""
        return -torch.log(self.scale).sum()

    def log_jacobian_of(self, x: Tensor) -> Tensor:
        """The same for each of some rows, over its observed entries: (batch,), or one number where all are complete."""
        missing = x.isnan()
        if not bool(missing.any()):
            return self.log_jacobian
        return torch.log(self.scale).expand_as(x).masked_fill(missing, 0).sum(-1).neg()

    def log_prob_given(self, outputs: Tensor, x: Tensor) -> Tensor:
        """Log-density of the observed entries of standardised rows given the decoder's outputs, (...).

        Of a model that is trained on a resemblance, that.
        """
        if self.resemblance is not None:
            return self.resemblance(outputs, x)
        return log_prob_of_any(self.likelihood, outputs, x)

    def augment(self, x: Tensor, *, generator: Generator, shared: bool = False) -> Tensor:
        """The rows to train on in this epoch, see :meth:`Likelihood.augment`; what is missing stays so."""
        drawn = self.likelihood.augment(x, generator=generator, shared=shared)
        return torch.where(x.isnan(), x, drawn) if self.missing and drawn is not x else drawn

    def decode(self, z: Tensor) -> Tensor:
        """E[x | z] in the user's units; (..., components) to (..., features)."""
        return self.unstandardize(self.likelihood.mean(self.decoder(z)))
