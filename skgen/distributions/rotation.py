"""Orthogonal rotations of loadings towards simple structure."""

import torch
from torch import Tensor

ROTATIONS = {"varimax": 1.0, "quartimax": 0.0}
"""Weight gamma of the squared column means in the criterion."""
N_ROUNDS = 1000
SMALLEST_TURN = 1e-13


def simple_rotation(loadings: Tensor, criterion: str) -> Tensor:
    r"""The rotation R (factors, factors) for which loadings times R have the largest orthomax criterion.

    .. math:: \sum_k \Bigl[\sum_j w_{jk}^4 - \tfrac{\gamma}{d} \bigl(\sum_j w_{jk}^2\bigr)^2\Bigr]

    with gamma = 1, varimax (Kaiser 1958, https://doi.org/10.1007/BF02289233), or 0, quartimax (Neuhaus and Wrigley
    1954). Each round takes the rotation nearest to the criterion's gradient at the last. The columns of the rotated
    loadings are in descending order of their sums of squares, and the largest entry of each is positive.
    """
    gamma = ROTATIONS[criterion]
    rotation = torch.eye(loadings.shape[1]).to(loadings)
    for _ in range(N_ROUNDS):
        turned = loadings @ rotation
        squares = turned.square()
        left, _, right = torch.linalg.svd(loadings.T @ (turned * (squares - gamma * squares.mean(0))))
        last, rotation = rotation, left @ right
        # The criterion is flat at its maximum, so it would end the rounds half of the digits too soon.
        if float((rotation - last).abs().max()) < SMALLEST_TURN:
            break
    turned = loadings @ rotation
    order = torch.argsort(turned.square().sum(0), descending=True, stable=True)
    return (rotation * signs(turned))[:, order]


def principal_rotation(loadings: Tensor) -> Tensor:
    """The rotation that makes columns of loadings orthogonal, in descending order, their largest entries positive."""
    rotation: Tensor = torch.linalg.svd(loadings, full_matrices=False).Vh.T
    return rotation * signs(loadings @ rotation)


def signs(loadings: Tensor) -> Tensor:
    """1 or -1 for each column of loadings (features, factors): the sign of its entry of largest size, (factors,)."""
    largest = loadings.gather(0, loadings.abs().argmax(0, keepdim=True)).squeeze(0)
    return 1.0 - 2.0 * (largest < 0).to(loadings)
