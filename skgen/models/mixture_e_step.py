"""The E-step of a mixture on complete rows by matrix products, in a processor's cache."""

import torch
from torch import Tensor

from skgen._exact_model import Statistics
from skgen.distributions.covariance import Covariance
from skgen.networks.products import add_product, product, shifted_product

SMALLEST_LOG = {torch.float64: -300.0, torch.float32: -80.0}
"""Log-responsibilities are cut here: smaller ones change nothing, and subnormal numbers are slow to multiply."""

SMALL, PARTS = 4096, 4
"""Size of a product below which it is summed over so many parts of the rows."""


def normalized(joint: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Responsibilities times weights from log p(x, component) (K, rows), and the sum of weight times log p(x).

    The responsibilities take the memory of the joint.
    """
    peak = joint.amax(0)
    r = joint.sub_(peak).clamp_(min=SMALLEST_LOG[joint.dtype]).exp_()
    total = r.sum(0)
    log_prob = total.log().add_(peak).double()
    if weight is None:
        return r.div_(total), log_prob.sum()
    return r.mul_(weight.to(r) / total), torch.dot(log_prob, weight)


def summed(r: Tensor, x: Tensor) -> Tensor:
    """The product of (K, rows) with (rows, width), by parts where the result is too small to share out over threads."""
    rows = len(x)
    if len(r) * x.shape[1] > SMALL or rows % PARTS:
        return product(r, x)
    parts = x.unflatten(0, (PARTS, rows // PARTS))
    return torch.bmm(r.unflatten(1, (PARTS, rows // PARTS)).transpose(0, 1), parts).sum(0)


class Products:
    """Statistics about the center of tiles of complete rows.

    All log-densities of a tile are one matrix product with its features, and all statistics are another; rows in
    float32 are multiplied in float32, and summed over tiles in float64. Where the components share their covariance,
    x' P x is left out.

    Parameters
    ----------
    covariance : Covariance
        Structure.
    offset : Tensor of shape (K,)
    linear : Tensor of shape (K, features)
    quadratic : Tensor of shape (K or 1, n_packed)
        What 1, x and ``phi(x)`` are multiplied with to give log p(x, component).
    """

    def __init__(self, covariance: Covariance, offset: Tensor, linear: Tensor, quadratic: Tensor) -> None:
        self.covariance = covariance
        self.factors = {offset.dtype: (offset.unsqueeze(1), linear, quadratic)}
        self.buffers: dict[str, Tensor] = {}

    def __call__(self, x: Tensor, weight: Tensor | None) -> tuple[Statistics, Tensor]:
        """Statistics of rows (rows, features) and the sum of weight times log p(x)."""
        offset, linear, quadratic = self._factors(x.dtype)
        joint = shifted_product(offset, linear, x.T, out=self._buffer("joint", len(linear), x))
        if not self.covariance.tied:
            phi = self.covariance.phi(x, self._buffer("phi", quadratic.shape[1], x))
            add_product(joint, quadratic, phi)
        r, value = normalized(joint, weight)
        statistics = {"weight": r.sum(1), "first": summed(r, x)}
        if not self.covariance.tied:
            statistics["second"] = summed(r, phi.T)
        return {name: each.double() for name, each in statistics.items()}, value

    def _factors(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        if dtype not in self.factors:
            offset, linear, quadratic = next(iter(self.factors.values()))
            self.factors[dtype] = offset.to(dtype), linear.to(dtype), quadratic.to(dtype)
        return self.factors[dtype]

    def _buffer(self, name: str, size: int, x: Tensor) -> Tensor:
        """Memory for (size, rows) that tiles share: fresh memory costs as much as filling it."""
        buffer = self.buffers.get(name)
        if buffer is None or buffer.numel() < size * len(x) or buffer.dtype != x.dtype:
            buffer = self.buffers[name] = x.new_empty(size * len(x))
        return buffer[: size * len(x)].view(size, len(x))
