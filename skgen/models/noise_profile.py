r"""Factor analysis by the profile likelihood of its noise variances.

Given the noise Psi, the best loadings come from the eigenvalues theta and eigenvectors omega of
:math:`S^* = \Psi^{-1/2} S \Psi^{-1/2}`, with S the covariance of the rows: those of the q largest eigenvalues, where
they are above 1. What remains is a function of d numbers, which a few Newton steps minimise (Lawley and Maxwell 1971,
Factor analysis as a statistical method; Joreskog 1967, https://doi.org/10.1007/BF02289658). A step costs one
decomposition of a matrix of features x features, or of rows x rows where these are fewer.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from skgen._exact_model import Parameters
from skgen.distributions.gram import gram
from skgen.distributions.rotation import signs
from skgen.models.principal_components import Eigen

SUFFICIENT_SHARE = 1e-4
"""Share of the decrease promised by the gradient that a step has to reach."""
LARGEST_STEP = 3.0
"""Largest change of a logarithm of a noise variance in one step; each is cut by itself."""
N_HALVINGS = 30
LOSS_ROUNDING = 4
"""Rounding errors, in units of what the loss is summed from, by which losses may differ and count as equal."""
RISE = 0.1
"""Share of its variance to which the noise of a feature may rise in one step, from wherever it is."""
RELEASE = 0.03
"""Size of a slope at the floor, as a share of the floor over the variance, below which it is rounding."""
FALL = 0.8
"""Decrease of a logarithm of a noise variance that may be one of many on the way to the floor."""
RIDGE = 1e-8
"""Share of the diagonal added to a curvature that is not positive definite."""
NARROW = 128
"""Features up to which Newton's equations are factorised; beyond, they are solved by conjugate gradients. Up to as many
features, or rows, decompositions keep more digits where one eigenvalue dominates."""
N_PRODUCTS = 100
"""Largest number of products with the curvature in one solution."""
FLATTEST = 1e-8
"""Curvature along a direction, as a share of its bound, below which there is none to speak of."""
HEYWOOD_SHARE = 0.01
"""Share of a feature's variance that is noise below which other optima are looked for."""
N_RIVALS, N_RACED, N_FOLLOWED = 16, 2, 50
"""Number of other starts, of steps from each, and of steps from the best of them at most."""
FOLLOWED = 1e-8
"""Decrease of the loss in a step below which the best of other starts is at its end."""
DOMINANT = 1e4
"""Variance of a feature over its noise from which on decompositions have to keep more digits."""
RESOLVED = 1e-14
"""Eigenvalues below this share of the largest are taken for 0 where directions are divided by them."""


class Scatter(NamedTuple):
    """The covariance of rows: itself, or rows of which it is the sum of products.

    Attributes
    ----------
    variance : Tensor of shape (features,)
        Its diagonal.
    root : Tensor of shape (features, features) or (rows, features)
        The covariance, or centred rows times the square roots of their shares of the weight.
    of_rows : bool
        Whether ``root`` are rows.
    eigh : callable
        What decomposes symmetric matrices.
    """

    variance: Tensor
    root: Tensor
    of_rows: bool = False
    eigh: Eigen = torch.linalg.eigh

    def spectrum(self, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Eigenvalues, descending, and eigenvectors of the covariance of features times ``scale``.

        Eigenvalues that are left out are 0. Shapes (directions,) and (features, directions).
        """
        rows = self._precise_rows(scale)
        if rows is not None:
            _, roots, directions = torch.linalg.svd(rows * scale, full_matrices=False)
            there = roots.square() > RESOLVED * roots[:1].square()
            return roots[there].square(), directions[there].mT
        if not self.of_rows:
            values, vectors = self.eigh(self.root * scale * scale[:, None])
            return values.clamp_min(0).flip(0), vectors.flip(1)
        x = self.root * scale
        values, vectors = self.eigh(gram(x.T))
        values, vectors = values.flip(0), vectors.flip(1)
        there = values > RESOLVED * values[:1]
        values, vectors = values[there], vectors[:, there]
        return values, (x.T @ vectors) / torch.sqrt(values)

    def _precise_rows(self, scale: Tensor) -> Tensor | None:
        """Rows whose singular values are to be taken, or None where the eigenvalues of their products will do.

        A feature with next to no noise has an eigenvalue beside which the products lose the digits of all others;
        singular values lose half as many.
        """
        few = min(self.root.shape) <= NARROW
        if not few or float((self.variance * scale.square()).max()) < DOMINANT:
            return None
        if self.of_rows:
            return self.root
        factor, failed = torch.linalg.cholesky_ex(self.root)
        return None if failed else factor.mT


class Profile(NamedTuple):
    """The decomposition at some noise variances.

    Attributes
    ----------
    log_noise : Tensor of shape (features,)
    loss : Tensor of shape ()
        Twice the negative profile log-likelihood per row in nats, less d log(2 pi).
    values : Tensor of shape (kept,)
        Eigenvalues of S* that factors explain, in descending order.
    vectors : Tensor of shape (features, kept)
        Their eigenvectors.
    rest_values, rest_vectors : Tensors of shape (discarded,) and (features, discarded)
        What the noise explains; directions that are left out have the eigenvalue 0.
    """

    log_noise: Tensor
    loss: Tensor
    values: Tensor
    vectors: Tensor
    rest_values: Tensor
    rest_vectors: Tensor


def profiled(scatter: Scatter, log_noise: Tensor, n_factors: int) -> Profile:
    r"""The profile at some noise variances.

    .. math:: \sum_j \log\psi_j + \sum_{k \le q} (1 + \log\theta_k) + \sum_{k > q} \theta_k
    """
    values, vectors = scatter.spectrum(torch.exp(-0.5 * log_noise))
    n_kept = min(n_factors, int((values > 1).sum()))
    kept, rest = values[:n_kept], values[n_kept:]
    loss = log_noise.sum() + torch.log(kept).sum() + n_kept + rest.sum()
    return Profile(log_noise, loss, kept, vectors[:, :n_kept], rest, vectors[:, n_kept:])


def _loss_rounding(profile: Profile) -> Tensor:
    """Difference of losses that rounding explains: of noise, and of eigenvalues, as large as that of the largest."""
    size = profile.log_noise.abs().sum() + profile.values.clamp_max(DOMINANT).sum() + profile.rest_values.sum()
    return LOSS_ROUNDING * torch.finfo(size.dtype).eps * size


def gradient(profile: Profile) -> Tensor:
    r"""Derivatives of the loss in log noise, :math:`\sum_{k>q} (1 - \theta_k) \omega_{jk}^2`, (features,)."""
    n_features, rest = len(profile.log_noise), profile.rest_vectors.square()
    if rest.shape[1] + profile.vectors.shape[1] == n_features:
        return rest @ (1 - profile.rest_values)
    return 1 - profile.vectors.square().sum(1) - rest @ profile.rest_values


def _weights(profile: Profile) -> Tensor:
    r"""What each discarded direction adds to the curvature beside a factor's, (discarded, kept).

    .. math:: \frac{2 \theta_m (1 - \theta_m)}{\theta_k - \theta_m} - 2 \theta_m
    """
    rest, kept = profile.rest_values[:, None], profile.values
    gap = torch.maximum(kept - rest, RIDGE * kept)
    return 2 * rest * ((1 - rest) / gap - 1)


def _rest_diagonal(profile: Profile) -> Tensor:
    return profile.rest_vectors.square() @ profile.rest_values


def curvature(profile: Profile, *, definite: bool = False) -> Tensor:
    r"""Second derivatives of the loss in log noise, (features, features).

    .. math:: A_{ij} B_{ij} + \sum_{k \le q} \sum_{m > q}
        \frac{(1 - \theta_m)(\theta_k + \theta_m)}{\theta_k - \theta_m} \omega_{ik} \omega_{im} \omega_{jk} \omega_{jm}

    with the sums over discarded directions A of :math:`\theta \omega\omega'` and B of :math:`\omega\omega'` (Clarke
    1970, A rapidly convergent method for maximum-likelihood factor analysis). The first term alone is never negative.
    """
    kept, rest = profile.vectors, profile.rest_vectors
    explained = kept @ kept.T
    first = (rest * profile.rest_values) @ rest.T
    if definite:
        return torch.diag(torch.diagonal(first)) - first * explained
    columns = kept.T[:, :, None] * rest
    mixed = torch.einsum("kim,mk,kjm->ij", columns, _weights(profile), columns)
    diagonal = torch.diagonal(first) + torch.diagonal(explained)
    return torch.diag(diagonal) - explained.square() + mixed


def curvature_product(profile: Profile, direction: Tensor) -> Tensor:
    """The curvature times a direction (features,), without the matrix."""
    kept, rest = profile.vectors, profile.rest_vectors
    spread = kept * direction[:, None]
    mixed = spread - kept @ (kept.T @ spread) + rest @ (_weights(profile) * (rest.T @ spread))
    return _rest_diagonal(profile) * direction + (kept * mixed).sum(1)


def improved(scatter: Scatter, profile: Profile, n_factors: int, floor: Tensor) -> Profile:
    """The profile after one Newton step, which never raises the loss by more than rounding errors.

    Noise variances stay above their floor; those at the floor that would fall further are held there, and the step is
    one in the others.
    """
    slope, lowest = gradient(profile), torch.log(floor)
    variance = torch.maximum(scatter.variance, floor)
    # A slope at the floor is in proportion to it; less than a few hundredths of that are rounding.
    rounding = RELEASE * floor / variance
    free = (profile.log_noise > lowest) | (slope < -rounding)
    # Where a factor explains a feature entirely, slope and curvature are rounding, and their ratio any number: it must
    # not shorten the step of the other features. The way up from the floor is one step.
    highest = (torch.log(RISE * variance) - profile.log_noise).clamp_min(LARGEST_STEP)
    direction = torch.minimum(_newton_direction(profile, slope, free), highest).clamp_min(-LARGEST_STEP)
    if torch.dot(slope, direction) >= 0:
        direction = -(slope * free).clamp(-LARGEST_STEP, LARGEST_STEP)
    length, unresolved = 1.0, _loss_rounding(profile)
    for _ in range(N_HALVINGS if direction.any() else 0):
        log_noise = torch.maximum(profile.log_noise + length * direction, lowest)
        candidate = profiled(scatter, log_noise, n_factors)
        promised = torch.dot(slope, log_noise - profile.log_noise).clamp_max(0)
        # Where losses cannot tell, the last steps are trusted: halved ones would end elsewhere for every rounding.
        if candidate.loss <= profile.loss + SUFFICIENT_SHARE * promised + unresolved:
            falling = (direction <= -FALL) & (log_noise > lowest)
            return _fallen(scatter, candidate, falling, lowest, n_factors, rounding)
        length /= 2
    return profile


def _fallen(
    scatter: Scatter, profile: Profile, falling: Tensor, lowest: Tensor, n_factors: int, rounding: Tensor
) -> Profile:
    """The profile with some noise variances at their floor, where that has less loss and they would stay there.

    Where the loss is linear in a noise variance, as it is near a Heywood case, Newton's step in the logarithm is -1, so
    that the way to the floor would take many.
    """
    if not falling.any():
        return profile
    candidate = profiled(scatter, torch.where(falling, lowest, profile.log_noise), n_factors)
    stays = bool((gradient(candidate) > rounding)[falling].all())
    return candidate if stays and candidate.loss < profile.loss else profile


def _newton_direction(profile: Profile, slope: Tensor, free: Tensor) -> Tensor:
    """Where the curvature sends the free variables, always downhill; 0 for the others."""
    if len(slope) > NARROW:
        return _conjugate_direction(profile, slope * free, free)
    direction = torch.zeros_like(slope)
    factor, failed = torch.linalg.cholesky_ex(curvature(profile)[free][:, free])
    if failed:
        matrix = curvature(profile, definite=True)[free][:, free]
        ridge = RIDGE * torch.diagonal(matrix) + torch.finfo(matrix.dtype).tiny
        factor, failed = torch.linalg.cholesky_ex(matrix + torch.diag(ridge))
    if failed:
        return -slope * free
    direction[free] = -torch.cholesky_solve(slope[free][:, None], factor).squeeze(1)
    return direction


def _conjugate_direction(profile: Profile, slope: Tensor, free: Tensor) -> Tensor:
    """Newton's direction by conjugate gradients, as far as curvature is positive (Steihaug 1983)."""
    bound = _rest_diagonal(profile).clamp_min(RIDGE)
    direction, residual = torch.zeros_like(slope), -slope
    conjugate = residual / bound
    square = torch.dot(residual, conjugate)
    # Newton's method converges at least linearly at this rate, and quadratically near the minimum.
    limit = square * torch.clamp(square, 1e-16, 1e-2)
    for i in range(N_PRODUCTS):
        curved = curvature_product(profile, conjugate) * free
        bend = torch.dot(conjugate, curved)
        if not bend > FLATTEST * torch.dot(conjugate, bound * conjugate):
            return direction if i else conjugate
        length = square / bend
        direction = direction + length * conjugate
        residual = residual - length * curved
        previous, square = square, torch.dot(residual, residual / bound)
        if square <= limit:
            break
        conjugate = residual / bound + (square / previous) * conjugate
    return direction


def starting_noise(scatter: Scatter, n_factors: int, floor: Tensor) -> Tensor:
    """Noise variances to start from, (features,).

    Shares of what no other feature explains (Joreskog 1967), or half of the variances where the covariance is
    singular, as it is for fewer rows than features.
    """
    variance = scatter.variance
    unexplained = 0.5 * variance
    if not scatter.of_rows:
        scale = torch.sqrt(torch.maximum(variance, floor))
        factor, failed = torch.linalg.cholesky_ex(scatter.root / scale / scale[:, None])
        if not failed:
            inverse = torch.diagonal(torch.cholesky_inverse(factor))
            unexplained = (1 - 0.5 * n_factors / len(variance)) / inverse * scale.square()
    return torch.maximum(unexplained, floor)


def raced(scatter: Scatter, profile: Profile, n_factors: int, floor: Tensor) -> Profile:
    """The profile, or one of another optimum with less loss.

    Where a factor explains a feature nearly by itself there are others as a rule, in which it explains another feature
    (Heywood cases). Starts with the noise of one feature at its floor lead to them; after a few steps the best of them
    is followed to its end.
    """
    share = torch.exp(profile.log_noise) / torch.maximum(scatter.variance, floor)
    proper = bool((share[scatter.variance > floor] > HEYWOOD_SHARE).all())
    if n_factors == 0 or proper or len(floor) > NARROW:
        return profile
    noise = starting_noise(scatter, n_factors, floor)
    rivals = []
    for feature in torch.argsort(noise / torch.maximum(scatter.variance, floor), stable=True)[:N_RIVALS]:
        start = noise.clone()
        start[feature] = floor[feature]
        rival = profiled(scatter, torch.log(start), n_factors)
        for _ in range(N_RACED):
            rival = improved(scatter, rival, n_factors, floor)
        rivals.append(rival)
    best = min(rivals, key=lambda rival: float(rival.loss))
    for _ in range(N_FOLLOWED):
        before, best = best, improved(scatter, best, n_factors, floor)
        if float(before.loss - best.loss) < FOLLOWED:
            break
    return best if best.loss < profile.loss else profile


def profile_parameters(profile: Profile, mean: Tensor, n_factors: int) -> Parameters:
    """The parameters of a profile: noise, and the best loadings given it, in descending order of explained rows."""
    loadings = profile.vectors * torch.sqrt(profile.values - 1)
    loadings = torch.exp(0.5 * profile.log_noise)[:, None] * loadings
    padding = loadings.new_zeros(len(mean), n_factors - loadings.shape[1])
    loadings = torch.cat([loadings * signs(loadings), padding], 1)
    return {"mean": mean, "loadings": loadings, "noise": torch.exp(profile.log_noise)}
