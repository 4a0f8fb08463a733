"""Sums of columns and of their products over rows."""

import torch
from torch import Tensor


def gram(x: Tensor, weight: Tensor | None = None) -> Tensor:
    r"""The sums :math:`\sum_n w_n x_n x_n'` of rows (rows, features), (features, features), exactly symmetric.

    On a CPU NumPy multiplies a matrix with its own transpose by a symmetric update, with half the operations of the
    product that torch takes; so no gradient goes through.
    """
    if weight is not None:
        x = x * torch.sqrt(weight)[:, None]
    if x.device.type == "cpu":
        array = x.detach().numpy()
        return torch.from_numpy(array.T @ array)
    product = x.mT @ x
    return 0.5 * (product + product.mT)


def column_sums(x: Tensor, weight: Tensor | None = None) -> Tensor:
    r"""The sums :math:`\sum_n w_n x_n` of rows (rows, features), (features,); NaN where an entry is.

    On a CPU NumPy adds rows to rows, which is as fast as they are read; no gradient goes through.
    """
    if weight is not None:
        return weight @ x
    if x.device.type == "cpu":
        return torch.from_numpy(x.detach().numpy().sum(0))
    return x.sum(0)
