"""Models: modules that know probability and nothing of training or scikit-learn."""

from skgen.models.autoencoder import AutoencoderModel
from skgen.models.base import NetworkModel
from skgen.models.latent_variable import LatentVariableModel

__all__ = ["AutoencoderModel", "LatentVariableModel", "NetworkModel"]
