"""Orthogonal rotations of loadings towards simple structure."""

import torch
from torch import Tensor

ROTATIONS = {"varimax": 1.0, "quartimax": 0.0}
"""Weight gamma of the squared column means in the criterion."""
N_ROUNDS = 1000
SMALLEST_RISE = 1e-13


def rotated(loadings: Tensor, rotation: str) -> Tensor:
    r"""Loadings times the rotation that maximises the orthomax criterion, (features, factors).

    .. math:: \sum_k \Bigl[\sum_j w_{jk}^4 - \tfrac{\gamma}{d} \bigl(\sum_j w_{jk}^2\bigr)^2\Bigr]

    with gamma = 1, varimax (Kaiser 1958, https://doi.org/10.1007/BF02289233), or 0, quartimax (Neuhaus and Wrigley
    1954). Each round takes the rotation nearest to the criterion's gradient, which the criterion's convexity between
    rounds makes no worse.
    """
    gamma = ROTATIONS[rotation]
    turned, last = loadings, float("-inf")
    for _ in range(N_ROUNDS):
        squares = turned.square()
        gradient = loadings.T @ (turned * (squares - gamma * squares.mean(0)))
        left, size, right = torch.linalg.svd(gradient)
        turned = loadings @ (left @ right)
        value = float(size.sum())
        if value <= last * (1 + SMALLEST_RISE):
            break
        last = value
    return turned


def signed(loadings: Tensor) -> Tensor:
    """Loadings (features, factors) with each column's sign such that its entry of largest size is positive."""
    largest = loadings.gather(0, loadings.abs().argmax(0, keepdim=True))
    return loadings * torch.where(largest < 0, -1.0, 1.0)
