"""Tracing: the value of a function together with its pullback, by hand or by autograd.

Every differentiable part of the package offers ``tracer()``, which binds its parameters once and returns
``trace(*inputs) -> (outputs, pullback)``. ``pullback(*cotangents)`` returns the gradients of the inputs and **adds**
those of the parameters to their ``.grad``. :func:`autograd_trace` is the default; a part with closed-form derivatives
overrides it, and a contract test compares the two. A hand-written pullback costs a few kernel calls where the autograd
engine costs its own bookkeeping, which dominates for small tables.
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Pullback = Callable[..., Any]
Tracer = Callable[..., tuple[Any, Pullback]]


def autograd_trace(
    function: Callable[..., Any], *inputs: Tensor, parameter_gradient: bool = True
) -> tuple[tuple[Tensor, ...], Pullback]:
    """Value of ``function(*inputs)`` as a tuple, and its pullback by reverse-mode differentiation.

    The pullback takes one cotangent per output (None: zero) and returns one gradient per input. It leaves parameters
    alone without ``parameter_gradient``.
    """
    with torch.enable_grad():
        leaves = [x.detach().requires_grad_() for x in inputs]
        outputs = function(*leaves)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    sought = None if parameter_gradient else leaves

    def pullback(*cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        pairs = [
            (y, g.expand_as(y)) for y, g in zip(outputs, cotangents, strict=True) if g is not None and y.requires_grad
        ]
        if pairs:
            with warnings.catch_warnings():
                # Rows in flat buffers are padded; torch says once that it would rather have none of that.
                warnings.filterwarnings("ignore", "grad and param do not obey", UserWarning)
                torch.autograd.backward([y for y, _ in pairs], [g for _, g in pairs], inputs=sought)
        return tuple(leaf.grad for leaf in leaves)

    return tuple(y.detach() for y in outputs), pullback


def differentiated(function: Callable[[Tensor], Tensor], point: Tensor) -> tuple[Tensor, Tensor]:
    """Values (...) of a function of points (..., features) that do not depend on each other, and its gradient there."""
    with torch.enable_grad():
        point = point.detach().requires_grad_()
        value = function(point)
        gradient = torch.autograd.grad(value.sum(), point)[0]
    return value.detach(), gradient


def per_feature(cotangent: Tensor) -> Tensor:
    """A cotangent per row, or one for all rows, ready to multiply an array with a trailing feature axis."""
    return cotangent.unsqueeze(-1) if cotangent.dim() else cotangent
