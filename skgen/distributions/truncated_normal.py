r"""Normal distributions of variance 1 on the positive half-line, :math:`p(x) \propto e^{\theta x - x^2 / 2}, x \ge 0`.

The functions are accurate for fields theta of any size: in the tail, where nearly all of N(theta, 1) lies below 0, they
use the scaled complementary error function :math:`e^{t^2} \mathrm{erfc}(t)`, so that nothing underflows or cancels.
"""

import math

import torch
from torch import Generator, Tensor

TAIL = -4.0
"""Field below which means and draws are computed as those of a tail, relative to 0 and not to the field."""
N_FRACTIONS = 30
"""Terms of the mean's continued fraction, which leave the rounding errors of float64 for fields below TAIL."""
N_NEWTON = 3
"""Newton steps of a draw in the tail. They start 1 / theta^2 too high and converge quadratically."""
ROOT_HALF = math.sqrt(0.5)


def truncated_normal_log_mass(field: Tensor) -> Tensor:
    r"""Logarithm of :math:`(2 \pi)^{-1/2} \int_0^\infty e^{\theta x - x^2 / 2} dx`, element by element.

    It is :math:`\theta^2 / 2 + \log \Phi(\theta)`.
    """
    upper = field.clamp_min(0.0)
    lower = torch.log(0.5 * torch.special.erfcx(-ROOT_HALF * field.clamp_max(0.0)))
    return torch.where(field > 0, 0.5 * upper.square() + torch.special.log_ndtr(upper), lower)


def truncated_normal_mean(field: Tensor) -> Tensor:
    r"""E[x] = :math:`\theta + \varphi(\theta) / \Phi(\theta)`, element by element.

    In the tail it is the continued fraction 1 / (t + 2 / (t + 3 / (t + ...))) with t = -theta.
    """
    t = -field.clamp_max(TAIL)
    fraction = t
    for k in range(N_FRACTIONS, 1, -1):
        fraction = t + k / fraction
    return torch.where(field < TAIL, 1 / fraction, field + _hazard(-field))


def truncated_normal_draw(field: Tensor, generator: Generator) -> Tensor:
    """One draw for each element of the field, by inversion of the distribution function."""
    uniform = 1 - torch.empty_like(field).uniform_(generator=generator)
    body: Tensor = field - torch.special.ndtri(uniform * torch.special.ndtr(field.clamp_min(TAIL)))
    tail = field < TAIL
    # Few fields are that low. To ask an accelerator would be to wait for it, and end a captured graph.
    if field.device.type == "cpu" and not tail.any():
        return body.clamp_min_(0.0)
    return torch.where(tail, _tail_draw(-field.clamp_max(TAIL), uniform), body).clamp_min_(0.0)


def _hazard(t: Tensor) -> Tensor:
    """Density over upper tail of the standard normal distribution at t; rounds to 0 where it is below e^(-t^2 / 2)."""
    scaled: Tensor = torch.special.erfcx(ROOT_HALF * t)
    return math.sqrt(2 / math.pi) / scaled


def _tail_draw(t: Tensor, uniform: Tensor) -> Tensor:
    """The x at which the chance to exceed t + x, given that t is exceeded, equals a uniform number in (0, 1]."""
    goal, start = -torch.log(uniform), torch.special.erfcx(ROOT_HALF * t)
    # The chance is at most exp(-t x - x^2 / 2), which equals the uniform here; the logarithm is concave, so Newton's
    # steps go down to the root without passing it.
    x = 2 * goal / (t + torch.sqrt(t.square() + 2 * goal))
    for _ in range(N_NEWTON):
        there = torch.special.erfcx(ROOT_HALF * (t + x))
        excess = t * x + 0.5 * x.square() - torch.log(there / start) - goal
        x = x - excess * there * math.sqrt(math.pi / 2)
    return x
