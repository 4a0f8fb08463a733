"""Networks: deterministic maps of tensors with parameters. The table names what the user may ask for."""

from skgen.networks.activations import ACTIVATIONS
from skgen.networks.base import Network
from skgen.networks.constant import ConstantNetwork
from skgen.networks.conv import ConvDecoder, ConvEncoder
from skgen.networks.mlp import MLP
from skgen.networks.module import ModuleNetwork
from skgen.networks.random_features import RandomFeatureMLP
from skgen.networks.unit_conv import UnitConvDecoder, UnitConvEncoder
from skgen.networks.units import UnitDecoder, UnitEncoder

__all__ = [
    "ACTIVATIONS",
    "MLP",
    "ConstantNetwork",
    "ConvDecoder",
    "ConvEncoder",
    "ModuleNetwork",
    "Network",
    "RandomFeatureMLP",
    "UnitConvDecoder",
    "UnitConvEncoder",
    "UnitDecoder",
    "UnitEncoder",
]
