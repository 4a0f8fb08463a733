"""Boltzmann machines of real units: the normal law of linear ones, and weights that leave a density its integral."""

import torch
from torch import Tensor

from skgen.models.energy import BoltzmannMachine
from skgen.units import GaussianUnits


def is_linear(machine: BoltzmannMachine) -> bool:
    """Whether all units are linear, so that the law is a normal one and everything has a closed form."""
    return isinstance(machine.visible, GaussianUnits) and isinstance(machine.hidden, GaussianUnits)


def linear_log_partition(machine: BoltzmannMachine) -> Tensor:
    r"""log Z of a machine of linear units, shape (), with :math:`K = I - W W^T` and :math:`c = b + W (a / s)`.

    .. math:: \log Z = \tfrac12 (c \cdot K^{-1} c - \log |K|)
    """
    weight = machine.weight * machine.inverse_temperature
    field = machine.hidden_bias + weight @ machine.features(machine.visible_bias)
    factor = torch.linalg.cholesky(torch.eye(len(weight)).to(weight) - weight @ weight.t())
    half = torch.linalg.solve_triangular(factor, field.unsqueeze(1), upper=False)
    value: Tensor = 0.5 * half.square().sum() - torch.log(torch.diagonal(factor)).sum()
    return value


def linear_root(machine: BoltzmannMachine) -> tuple[Tensor, Tensor]:
    r"""Mean of the visible units of a machine of linear units, and a matrix R whose :math:`R^T R` is their covariance.

    Shapes (n_visible,) and (n_visible, n_visible). The covariance is :math:`S (I - W^T W)^{-1} S`, S = diag(s).
    """
    assert machine.log_scale is not None
    weight = machine.weight * machine.inverse_temperature
    singular, right = torch.linalg.svd(weight, full_matrices=False)[1:]
    bias = machine.features(machine.visible_bias) + machine.hidden_bias @ weight
    mean = bias + (right @ bias * (1 / (1 - singular**2) - 1)) @ right
    root = (right.t() * (1 / torch.sqrt(1 - singular**2) - 1)) @ right
    root.diagonal().add_(1)
    scale = torch.exp(machine.log_scale)
    return mean * scale, root * scale


def clip_singular_values(matrix: Tensor, largest: float) -> None:
    """Lower the singular values of a matrix to a largest one, in place."""
    tall = len(matrix) > matrix.shape[1]
    gram = (matrix.t() @ matrix if tall else matrix @ matrix.t()).double()
    squares, vectors = torch.linalg.eigh(gram)
    # Vectors of values that are small enough have coefficient 0.
    excess = (1 - largest / squares.clamp_min(largest**2).sqrt()).to(matrix)
    vectors = vectors.to(matrix)
    if tall:
        matrix.sub_((matrix @ vectors * excess) @ vectors.t())
    else:
        matrix.sub_((vectors * excess) @ (vectors.t() @ matrix))
