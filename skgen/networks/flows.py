"""Layers of normalising flows, which zuko has."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor, nn

from skgen.networks.base import draw_uniform

SMALLEST_SLOPE = 1e-2
"""Of a spline. Its inverse divides by a root that float32 holds only where the spline is not much flatter."""
SPLINE_BOUND = 5.0
"""Splines are the identity beyond this number on both sides of 0."""


class FlowLayers(nn.ModuleList):
    r"""Triangular maps :math:`u_i = T(y_i; y_{<i}, c)` one after the other, each with features in another order.

    T is increasing in its first argument: affine (Papamakarios et al. 2017, https://arxiv.org/abs/1705.07057) or a
    rational-quadratic spline (Durkan et al. 2019, https://arxiv.org/abs/1906.04032). :meth:`reset` makes the whole the
    identity, whatever the context c.

    Parameters
    ----------
    n_features, n_context : int
        Sizes of y and c; 0 for no context.
    n_layers : int
        Number of maps.
    hidden_layer_sizes : sequence of int
        Of the network of each map.
    n_bins : int or None
        Pieces of a spline; None for affine maps.
    n_blocks : int or None
        Features depend on those of earlier blocks only, of which there are so many: 2 makes a map a coupling, whose
        inverse costs twice as much as the map. None makes each feature a block, of which the inverse takes one after
        the other.
    """

    def __init__(
        self,
        n_features: int,
        n_context: int,
        *,
        n_layers: int,
        hidden_layer_sizes: Sequence[int],
        n_bins: int | None = None,
        n_blocks: int | None = None,
    ) -> None:
        zuko = imported_zuko()
        options: dict[str, Any] = {"hidden_features": tuple(hidden_layer_sizes), "activation": nn.SiLU}
        if n_bins is not None:
            spline = zuko.transforms.MonotonicRQSTransform
            options |= {"univariate": partial(spline, bound=SPLINE_BOUND, slope=SMALLEST_SLOPE)}
            options |= {"shapes": ((n_bins,), (n_bins,), (n_bins - 1,))}
        layer = zuko.flows.autoregressive.MaskedAutoregressiveTransform
        device = torch.get_default_device()
        # Modules are born with numbers from the global random state, which is left as it was. Their masks are found by
        # values, which the device "meta" does not have.
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            super().__init__(
                layer(n_features, n_context, passes=n_blocks, order=order, **options).to(device)
                for order in orders(n_features, n_layers)
            )
        self.n_outputs = 2 if n_bins is None else 3 * n_bins - 1
        self.width = 2 * max(hidden_layer_sizes, default=0) + 4 * n_features * self.n_outputs

    def reset(self, generator: Generator) -> None:
        """Draw the networks from the generator and make the maps the identity, in place."""
        for layer in self:
            affine = [list(module.parameters()) for module in layer.modules() if not list(module.children())]
            affine = [parameters for parameters in affine if parameters]
            for parameters in affine:
                draw_uniform(parameters, parameters[0].shape[-1] ** -0.5, generator)
            # A layer without a network, that of a single feature without context, is its parameters.
            for parameter in affine[-1]:
                parameter.data.zero_()

    def mapped(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Where points go, and the log-determinant of the map's derivative.

        y (..., n_features) and context (..., n_context), with the same leading axes, to (..., n_features) and (...).
        """
        return _composed(y, (layer(context) for layer in self))

    def unmapped(self, u: Tensor, context: Tensor | None = None) -> Tensor:
        """Where points come from, of the shape of u."""
        for layer in reversed(self):
            u = layer(context).inv(u)
        return u


def imported_zuko() -> Any:
    """The package zuko; an ImportError that says how to install it."""
    try:
        import zuko
    except ImportError as error:
        raise ImportError('Normalising flows need zuko: pip install "skgen[flows]".') from error
    return zuko


def orders(n_features: int, n_layers: int) -> list[Tensor]:
    """Positions of the features in each layer: forwards and backwards, every other pair with even ones before odd."""
    forwards = torch.arange(n_features)
    interleaved = torch.argsort(torch.cat([forwards[::2], forwards[1::2]]))
    pairs = [order for first in (forwards, interleaved) for order in (first, n_features - 1 - first)]
    return [pairs[i % 4] for i in range(n_layers)]


def _composed(y: Tensor, maps: Iterable[Any]) -> tuple[Tensor, Tensor]:
    total = torch.zeros_like(y[..., 0])
    for each in maps:
        y, log_slope = each.call_and_ladj(y)
        total = total + log_slope
    return y, total
