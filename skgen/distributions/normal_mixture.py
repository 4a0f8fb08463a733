"""Mixtures of normal distributions whose components have diagonal covariance, at many points at once."""

import torch
from torch import Tensor

from skgen._trace import Pullback, Tracer
from skgen.distributions.normal import LOG_2PI


def wide(z: Tensor) -> Tensor:
    """In float64 where the device has it: expanded squares cancel."""
    return z if z.device.type == "mps" else z.double()


def component_log_probs(z: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    r"""Log-density of every point under every normal with independent components.

    .. math:: \log N(z; m_k, s_k^2) = -\tfrac12 \sum_i ((z_i - m_{ki}) / s_{ki})^2 + 2 \log s_{ki} + \log 2\pi

    As two matrix products about the mean of the means, so that nothing of size (..., K, features) is held.

    Parameters
    ----------
    z : Tensor of shape (..., features)
    mean, log_scale : Tensor of shape (K, features)

    Returns
    -------
    Tensor of shape (..., K)
        In float64, where the device has it.
    """
    z, mean, log_scale = wide(z), wide(mean), wide(log_scale)
    center = mean.detach().mean(0)
    z, mean = z - center, mean - center
    precision = torch.exp(-2 * log_scale)
    square = z.square() @ precision.T - 2 * z @ (mean * precision).T + (mean.square() * precision).sum(-1)
    return -0.5 * (square + 2 * log_scale.sum(-1) + z.shape[-1] * LOG_2PI)


def correlated_log_probs(z: Tensor, mean: Tensor, log_diagonal: Tensor, rest: Tensor) -> Tensor:
    r"""Log-density of every point under every normal with covariance L L', :math:`L = \mathrm{diag}(s)(I + R)`.

    .. math:: \log N(z; m_k, L_k L_k^\top) = -\tfrac12 |(I + R_k)^{-1} ((z - m_k) / s_k)|^2 - \sum_i \log s_{ki}
        - \tfrac{d}{2} \log 2\pi

    Parameters
    ----------
    z : Tensor of shape (..., features)
    mean, log_diagonal : Tensor of shape (K, features)
        m and log s.
    rest : Tensor of shape (K, features, features)
        R, with zeros on and above the diagonal.

    Returns
    -------
    Tensor of shape (..., K)
        In float64, where the device has it.
    """
    z, mean, log_diagonal, rest = wide(z), wide(mean), wide(log_diagonal), wide(rest)
    # The diagonal is taken to be of ones, whatever it is.
    inverse = torch.linalg.solve_triangular(
        rest, torch.diag_embed(torch.exp(-log_diagonal)), upper=False, unitriangular=True
    )
    center = mean.detach().mean(0)
    points = torch.einsum("...j,kij->...ki", z - center, inverse)
    noise = points - torch.einsum("kij,kj->ki", inverse, mean - center)
    return -0.5 * (noise.square().sum(-1) + z.shape[-1] * LOG_2PI) - log_diagonal.sum(-1)


def mixture_log_prob(z: Tensor, logits: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    r"""Log-density of a mixture, :math:`\log \sum_k w_k N(z; m_k, s_k^2)` with :math:`w = \mathrm{softmax}(l)`.

    Shapes: z (..., features), logits (K,), mean and log_scale (K, features) to (...), in the dtype of z.
    """
    joint = torch.log_softmax(wide(logits), -1) + component_log_probs(z, mean, log_scale)
    return torch.logsumexp(joint, -1).to(z.dtype)


def mixture_tracer(logits: Tensor, mean: Tensor, log_scale: Tensor) -> Tracer:
    """``trace(z)`` returns :func:`mixture_log_prob` and ``pullback(cotangent)``.

    The cotangent is a number or has the shape of the value; the pullback returns the gradients of z, logits, mean and
    log_scale, in matrix products of the responsibilities.
    """
    logits, mean, log_scale = wide(logits), wide(mean), wide(log_scale)
    log_weights, center = torch.log_softmax(logits, -1), mean.mean(0)
    precision, offset = torch.exp(-2 * log_scale), mean - center

    def trace(z: Tensor) -> tuple[Tensor, Pullback]:
        joint = log_weights + component_log_probs(z, mean, log_scale)
        value = torch.logsumexp(joint, -1)

        def pullback(cotangent: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            points = (wide(z) - center).flatten(0, -2)
            shares = torch.exp(joint - value.unsqueeze(-1)) * (
                cotangent.unsqueeze(-1) if cotangent.dim() else cotangent
            )
            shares = shares.flatten(0, -2)
            mass = shares.sum(0).unsqueeze(-1)
            first, second = shares.T @ points, shares.T @ points.square()
            to_z = shares @ (offset * precision) - points * (shares @ precision)
            to_mean = precision * (first - mass * offset)
            to_log_scale = precision * (second - 2 * offset * first + mass * offset.square()) - mass
            to_logits = mass.squeeze(-1) - torch.exp(log_weights) * mass.sum()
            return to_z.view_as(z).to(z.dtype), to_logits, to_mean, to_log_scale

        return value.to(z.dtype), pullback

    return trace


def weighted_moments(points: Tensor, weight: Tensor) -> dict[str, Tensor]:
    """Sums of weights, of weighted points and of their squares, by component: what a fit of normals needs.

    Shapes: points (n, features), weight (n, K); "weight" (K,), "first" and "second" (K, features), in float64 where the
    device has it.
    """
    points, weight = wide(points), wide(weight)
    return {"weight": weight.sum(0), "first": weight.T @ points, "second": weight.T @ points.square()}


def moments_of(weight: Tensor, mean: Tensor, variance: Tensor) -> dict[str, Tensor]:
    """What :func:`weighted_moments` gives of points of which these are the weights (K,), means and variances."""
    weight, mean, variance = wide(weight), wide(mean), wide(variance)
    share = weight.unsqueeze(-1)
    return {"weight": weight, "first": share * mean, "second": share * (variance + mean.square())}


def m_step(
    statistics: dict[str, Tensor], log_weights: Tensor, mean: Tensor, variance: Tensor, *, floor: float
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Parameters that maximise the expected complete log-density with no variance below a floor.

    .. math:: w_k = \frac{n_k}{\sum_j n_j}, \quad m_k = \frac{f_k}{n_k}, \quad
        v_{ki} = \max\left(v_{\min}, \frac{s_{ki}}{n_k} - m_{ki}^2\right)

    for sums n, f and s of :func:`weighted_moments` with responsibilities for weights (Dempster, Laird and Rubin 1977).
    Components that nothing belongs to keep their mean and variance, and a weight too small to be felt.

    Parameters
    ----------
    statistics : dict of Tensor
        Of :func:`weighted_moments`, at the present parameters.
    log_weights : Tensor of shape (K,)
        Logarithms of the present weights.
    mean, variance : Tensor of shape (K, features)
        Present means and variances.
    floor : float
        Smallest variance.

    Returns
    -------
    log_weights, mean, variance : Tensor
        In the dtype of the statistics, and finite.
    """
    count, first, second = statistics["weight"], statistics["first"], statistics["second"]
    tiny = torch.finfo(count.dtype).tiny
    used, some = (count >= tiny).unsqueeze(-1), count.sum() >= tiny
    divisor = count.clamp_min(tiny).unsqueeze(-1)
    found = first / divisor
    spread = (second / divisor - found.square()).clamp_min(floor)
    shares = (count / count.sum().clamp_min(tiny)).clamp_min(tiny)
    return (
        torch.where(some, shares.log(), log_weights.to(count)),
        torch.where(used, found, mean.to(count)),
        torch.where(used, spread, variance.to(count)),
    )
