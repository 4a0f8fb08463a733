"""Normal distributions about the modes of p(z | x): Laplace's approximation."""

from collections.abc import Callable

import torch
from torch import Tensor

from skgen.distributions.normal import standard_normal_log_prob
from skgen.models.latent_variable import LatentVariableModel
from skgen.posteriors.full import FullPosterior

LogJoint = Callable[[Tensor], Tensor]
"""log p(x, y) at a point of each row up to a constant of the row, (batch, n_components) to (batch,)."""

SMALLEST_PRECISION = 1e-4
"""Of a direction: standard deviations are 100 at most, where a prior has one of about 1."""


def log_joint(model: LatentVariableModel, x: Tensor) -> LogJoint:
    r"""Log-density of standardised rows and of what normal posteriors are normal in.

    .. math:: \log p(x, z(y)) + \log |\det z'(y)|

    y is z itself unless the prior has brought the posterior into a box, where z(y) is the logistic map: parameters of a
    normal distribution of y are the posterior's own. The posterior is a diagonal or a full one, boxed or not.
    """
    # At parameters of 0 the posterior of y is standard normal, and noise is y.
    parameters = x.new_zeros(len(x), model.posterior.n_parameters)

    def value(y: Tensor) -> Tensor:
        log_weight = model.terms_given(parameters, x, y.unsqueeze(0)).log_weight[0]
        return log_weight + standard_normal_log_prob(y)

    return value


def curvature(function: LogJoint, point: Tensor) -> Tensor:
    """Minus the Hessian of a function of each row at its point, (batch, n_components, n_components).

    Rows do not depend on each other, so that a column of all Hessians is the gradient of a sum over the rows.
    """
    with torch.enable_grad():
        leaf = point.detach().requires_grad_()
        # A square times 0: functions that are linear in a component have a second derivative by it too.
        value = function(leaf).sum() + 0.0 * leaf.square().sum()
        (gradient,) = torch.autograd.grad(value, leaf, create_graph=True)
        columns = [torch.autograd.grad(column.sum(), leaf, retain_graph=True)[0] for column in gradient.unbind(-1)]
    matrix = -torch.stack(columns, -1)
    return 0.5 * (matrix + matrix.mT)


def laplace(function: LogJoint, mode: Tensor) -> Tensor:
    r"""Parameters of :class:`FullPosterior` of the normal distribution at the mode of each row.

    .. math:: q(y \mid x) = N(y; \hat y, P^{-1}), \quad P = -\nabla^2 \log p(x, y) \text{ at } \hat y

    (Tierney and Kadane 1986, https://doi.org/10.1080/01621459.1986.10478240). It is the posterior of a linear Gaussian
    model. Where a search has ended beside the mode P may have negative eigenvalues: their size tells over what distance
    the density changes, and takes their place. None is taken to be below 1e-4. P of a row where the density is not
    finite is the identity. A density with kinks, as spline flows and rectifiers make them, often has its mode in one: P
    is then that of one side, and the distribution a poor approximation.

    Parameters
    ----------
    function : callable
        The log-density, twice differentiable by autograd, of which no row depends on another; see :func:`log_joint`.
    mode : Tensor of shape (batch, n_components)
        Its modes.

    Returns
    -------
    Tensor of shape (batch, n_parameters)
        Of normal distributions of y. Every row has those that it has alone, up to rounding.
    """
    precision = curvature(function, mode)
    finite = precision.isfinite().flatten(1).all(1).view(-1, 1, 1)
    precision = torch.where(finite, precision, torch.eye(mode.shape[-1]).to(precision))
    values, vectors = torch.linalg.eigh(precision)
    return FullPosterior.from_root(mode, vectors * values.abs().clamp_min(SMALLEST_PRECISION).rsqrt().unsqueeze(-2))
