"""Networks of units: from the parameters of an estimator to encoders and decoders."""

from skgen.estimators._inference import INFERENCES
from skgen.estimators._params import layer_sizes
from skgen.models import LatentVariableModel
from skgen.networks import (
    MLP,
    ConstantNetwork,
    ConvDecoder,
    UnitConvDecoder,
    UnitConvEncoder,
    UnitDecoder,
    UnitEncoder,
)
from skgen.posteriors import POSTERIORS

ENCODERS = {"mlp": (32,), "conv": (4, 8)}
"""Names of encoders -> hidden layer sizes, or channels, of a unit where None are given."""
DECODERS = {
    ("additive", False): UnitDecoder,
    ("additive", True): UnitConvDecoder,
    ("mlp", False): MLP,
    ("conv", True): ConvDecoder,
}
"""Names of decoders, and whether they convolve -> networks."""


def convolves(decoder, image_shape):
    """Whether a decoder is convolutional: an additive one is of the kind of the encoder."""
    return image_shape is not None and decoder != "mlp"


class UnitNetworks:
    """Mixin of the estimators whose model is made of units."""

    def _network_sizes(self):
        hidden, decoder = self.hidden_layer_sizes, self.decoder_hidden_layer_sizes
        sizes = layer_sizes(ENCODERS[self.encoder] if hidden is None else hidden, "hidden_layer_sizes")
        # The layers of a decoder of all units are as wide as those of the units together.
        factor = 1 if self.decoder == "additive" else self.n_units
        shape = self._image_shape() if "conv" in (self.encoder, self.decoder) else None
        kinds = self.encoder, "conv" if convolves(self.decoder, shape) else "mlp"
        mirrored = tuple(factor * size for size in (sizes if kinds[0] == kinds[1] else ENCODERS[kinds[1]])[::-1])
        kind = INFERENCES[self.inference]
        return {
            "network": "units",
            "n_units": int(self.n_units),
            "unit_size": int(self.unit_size),
            "n_components": int(self.n_units) * int(self.unit_size),
            "encoder": self.encoder if kind.encodes else "none",
            "decoder": self.decoder,
            "family": kind.family,
            "image_shape": shape,
            "encoder_sizes": sizes,
            "decoder_sizes": mirrored if decoder is None else layer_sizes(decoder, "decoder_hidden_layer_sizes"),
            "activation": self.activation,
        }

    def _build_model(self, n_features):
        a = self._architecture
        prior = self.prior_.build(a["n_components"])
        posterior = prior.adapted(POSTERIORS[a["family"]]().build(a["n_components"]))
        likelihood = self.likelihood_.build(n_features)
        encoder = self._encoder(likelihood.n_inputs + self._missing * n_features, posterior)
        decoder = self._decoder(prior.n_latent, likelihood.n_outputs)
        return LatentVariableModel(encoder, decoder, prior, posterior, likelihood, missing=self._missing)

    def _encoder(self, n_inputs, posterior):
        a, n_parameters = self._architecture, posterior.n_parameters
        if a["encoder"] == "none":
            return ConstantNetwork(n_inputs, n_parameters)
        n_blocks = 2 if n_parameters == 2 * a["n_components"] else 1
        size = n_parameters // (n_blocks * a["n_units"])
        kind, shape = (UnitConvEncoder, (a["image_shape"],)) if a["encoder"] == "conv" else (UnitEncoder, ())
        return kind(n_inputs, a["n_units"], a["encoder_sizes"], size, *shape, a["activation"], n_blocks=n_blocks)

    def _decoder(self, n_latent, n_outputs):
        a = self._architecture
        units = (a["n_units"],) if a["decoder"] == "additive" else ()
        image = convolves(a["decoder"], a["image_shape"])
        shape = (a["image_shape"],) if image else ()
        return DECODERS[a["decoder"], image](n_latent, *units, a["decoder_sizes"], n_outputs, *shape, a["activation"])
