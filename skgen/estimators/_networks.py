"""What every estimator made of an encoder, a decoder and a likelihood shares."""

import functools
from abc import abstractmethod

import numpy as np
import torch

from skgen.estimators._arrays import tile_size
from skgen.estimators._base import GradientEstimator
from skgen.estimators._data import in_support, validator
from skgen.estimators._loss import TermsLoss
from skgen.estimators._params import layer_sizes
from skgen.networks import MLP
from skgen.training.optimizers import SOLVERS


class NetworkEstimator(GradientEstimator):
    """Base of the estimators whose model is a :class:`~skgen.models.base.NetworkModel`."""

    _standardization_names = ("shift", "scale", "input_scale", "input_ratio")
    _continued = {
        "n_components": "n_components",
        "encoder_sizes": "hidden_layer_sizes",
        "decoder_sizes": "decoder_hidden_layer_sizes",
        "activation": "activation",
        "prior_": "prior",
        "likelihood_": "likelihood",
        "posterior_": "posterior",
    }

    @abstractmethod
    def _likelihood_spec(self):
        """The likelihood that the parameters name."""

    @abstractmethod
    def _validation_values(self, model, x, generator, *, shared=False):
        """The monitored value of standardised rows, in the user's units; ``shared``: with noise that rows share."""

    @property
    def score_measure(self):
        """What scores are relative to: "density", "mass" or "mixed"; nats compare only within one."""
        return self._likelihood_spec().domain().measure

    def _in_support(self, X, *, training):
        spec = self._likelihood_spec() if training else self.likelihood_
        return in_support(self, X, spec)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        try:
            support = self._likelihood_spec().domain().support
        except (TypeError, ValueError):
            return tags  # fit will refuse the parameter
        tags.input_tags.positive_only = support is not None and support[0] == 0 and support[1] == np.inf
        return tags

    def _units(self, model):
        """Factor and offset that turn a standardised log-density l into the reported ``factor * (l + offset)``."""
        return 1.0, float(model.log_jacobian)

    def _terms_loss(self, model, batches, objective, noise, n_draws=1, **options):
        """The loss of an objective; ``options`` are those of the model's tracer."""
        low_precision = self.precision == "bfloat16" and not batches.full
        factor, offset = self._units(model)
        return TermsLoss(
            model.tracer(low_precision=low_precision, **options),
            objective,
            noise,
            offset=offset,
            factor=factor,
            tile=tile_size(n_draws * model.width, model.scale.itemsize),
        )

    def _n_validation_draws(self):
        """Draws per row in ``_validation_values``, for sizing tiles."""
        return 1

    # -- training -------------------------------------------------------------------------------------------------

    def _share(self, model):
        model.encoder.shared_masks = model.decoder.shared_masks = True

    def _augment(self, model, *, shared):
        return functools.partial(model.likelihood.augment, shared=shared)

    def _measures(self, loss, data, validation, model, *, shared, seed):
        if validation is None:
            return None
        values = functools.partial(self._validation_values, shared=shared)
        n_draws = self._n_validation_draws()
        mean = validator(*validation, model, self._standardization, values, n_draws=n_draws, seed=seed, shared=shared)
        name = f"validation_{loss.monitor}"
        return lambda: {name: mean()}

    def _start_model(self, model, moments, generator, *, partial):
        model.reset(generator)
        model.initialize(torch.from_numpy(moments.mean), torch.from_numpy(moments.scale))

    def _move_model(self, model, moments, old):
        revived = torch.from_numpy(old.constant & ~moments.constant)
        model.restandardize(torch.from_numpy(moments.mean), torch.from_numpy(moments.scale), revived)

    # -- networks -------------------------------------------------------------------------------------------------

    def _network_sizes(self):
        """What the networks are built from, as plain values."""
        sizes = layer_sizes(self.hidden_layer_sizes, "hidden_layer_sizes")
        decoder = self.decoder_hidden_layer_sizes
        return {
            "n_components": int(self.n_components),
            "encoder_sizes": sizes,
            "decoder_sizes": sizes[::-1] if decoder is None else layer_sizes(decoder, "decoder_hidden_layer_sizes"),
            "activation": self.activation,
            "dropout": float(self.dropout),
        }

    def _networks(self, n_inputs, n_code, n_latent, n_outputs):
        """Encoder to ``n_code`` outputs and decoder from ``n_latent`` inputs."""
        a = self._architecture
        encoder = MLP(n_inputs, a["encoder_sizes"], n_code, a["activation"], a["dropout"])
        return encoder, MLP(n_latent, a["decoder_sizes"], n_outputs, a["activation"], a["dropout"])
