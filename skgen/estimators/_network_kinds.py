"""What ``network`` stands for: an encoder and a decoder."""

from torch.nn import Module

from skgen.estimators._images import checked_shape, likely_shape
from skgen.estimators._params import NETWORKS, layer_sizes
from skgen.estimators._sklearn import StrOptions
from skgen.networks import MLP, ConvDecoder, ConvEncoder, ModuleNetwork
from skgen.training.optimizers import SOLVERS

NETWORK_KINDS = {"mlp": (256, 256), "conv": (32, 64)}
"""Names of networks -> hidden layer sizes where None are given."""
CHOSEN_NETWORKS = NETWORKS | {
    "network": [StrOptions(set(NETWORK_KINDS)), callable, tuple, list],
    "image_shape": ["array-like", None],
    "hidden_layer_sizes": [*NETWORKS["hidden_layer_sizes"], None],
}
"""Constraints on the parameters of estimators whose networks can be chosen."""


def kind_or_factories(network):
    """A name, or the factories of encoder and decoder."""
    if isinstance(network, str):
        return network
    pair = (network, network) if callable(network) else tuple(network)
    if len(pair) != 2 or not all(callable(factory) and not isinstance(factory, Module) for factory in pair):
        raise ValueError(
            f"network must be one of {sorted(NETWORK_KINDS)}, a function of (n_inputs, n_outputs) that returns a "
            f"torch.nn.Module, or a pair of such functions for encoder and decoder, got {network!r}."
        )
    return pair


def networks(architecture, encoder_widths, decoder_widths):
    """Encoder and decoder for pairs of numbers of inputs and of outputs."""
    a = architecture
    if isinstance(a["network"], tuple):
        return [
            ModuleNetwork(factory, *widths)
            for factory, widths in zip(a["network"], (encoder_widths, decoder_widths), strict=True)
        ]
    kinds, shape = (MLP, MLP), ()
    if a["network"] == "conv":
        kinds, shape = (ConvEncoder, ConvDecoder), (a["image_shape"],)
    parts = zip(kinds, (encoder_widths, decoder_widths), (a["encoder_sizes"], a["decoder_sizes"]), strict=True)
    return [
        kind(n_inputs, sizes, n_outputs, *shape, a["activation"], a["dropout"])
        for kind, (n_inputs, n_outputs), sizes in parts
    ]


def check_draws(model, solvers):
    """Refuse modules that draw in training where a solver compares losses; ``solvers`` by their parameters."""
    draws = any(getattr(network, "draws", False) for network in (model.encoder, model.decoder))
    for parameter, solver in solvers.items():
        if draws and SOLVERS[solver].line_search:
            raise ValueError(
                f"{parameter}={solver!r} needs the same loss at every evaluation, but a module of network= draws "
                f"random numbers in training. Leave out its dropout, or choose {parameter}='adam'."
            )


class ChosenNetworks:
    """Mixin of estimators whose parameters name an encoder and a decoder, or what takes their places."""

    _usual_sizes = NETWORK_KINDS
    """Hidden layer sizes of each kind of network where None are given."""

    def _network_sizes(self):
        """What the networks are built from: plain values, and factories where they are given."""
        kind = kind_or_factories(self.network)
        hidden, (decoder, name) = self.hidden_layer_sizes, self._decoder_sizes()
        sizes = layer_sizes(self._usual_sizes.get(kind, ()) if hidden is None else hidden, "hidden_layer_sizes")
        return {
            "network": kind,
            "image_shape": self._image_shape() if kind == "conv" else None,
            "n_components": int(self.n_components),
            "encoder_sizes": sizes,
            "decoder_sizes": sizes[::-1] if decoder is None else layer_sizes(decoder, name),
            "activation": self.activation,
            "dropout": float(self.dropout),
        }

    def _decoder_sizes(self):
        """The parameter with the hidden layers of the decoder, None where it mirrors the encoder, and its name."""
        return self.decoder_hidden_layer_sizes, "decoder_hidden_layer_sizes"

    def _image_shape(self):
        """(channels, height, width) of a row, from the parameter or else from the number of columns."""
        n_features, given = self.n_features_in_, self.image_shape
        return likely_shape(n_features) if given is None else checked_shape(given, n_features)

    def _networks(self, n_inputs, n_code, n_latent, n_outputs):
        """Encoder to ``n_code`` outputs and decoder from ``n_latent`` inputs."""
        return networks(self._architecture, (n_inputs, n_code), (n_latent, n_outputs))
