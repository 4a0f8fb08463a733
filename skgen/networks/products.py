"""Products of matrices, each by the fastest routine at hand.

torch multiplies float32 matrices by MKL, which keeps AVX-512 for processors of its own maker. On others oneDNN, also
part of torch, is about twice as fast once its call of some 10 microseconds has paid. Which of them takes a product
depends on its shape and on the processor only, so that results repeat bit by bit.
"""

import math
import platform
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

LEAST_MULTIPLICATIONS = 2**22
"""From so many on a product goes to oneDNN, where that is the faster."""
BLOCK = 16


def _maker() -> str:
    """Who made the processor, as it says itself; empty where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith("vendor_id")), "")


def _has_faster_routine() -> bool:
    """Whether MKL leaves AVX-512 unused and oneDNN can be called."""
    return (
        torch.backends.cpu.get_cpu_capability().startswith("AVX512")
        and torch.backends.mkl.is_available()
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and "AuthenticAMD" in _maker()
    )


_least: float = LEAST_MULTIPLICATIONS if _has_faster_routine() else math.inf


def n_rows_of_large(b: Tensor) -> float:
    """From how many rows on a product with b (k, m) is more than ``torch.mm``; infinite where none is."""
    return _least / b.numel() if b.numel() else math.inf


def product(a: Tensor, b: Tensor, *, low_precision: bool = False, out: Tensor | None = None) -> Tensor:
    """``a @ b`` of a (..., n, k) and b (..., k, m); with a gradient, unless it is written to ``out``, (..., n, m).

    With ``low_precision`` in bfloat16, returned in the dtype of the arguments.
    """
    if low_precision:
        value = (a.bfloat16() @ b.bfloat16()).to(a.dtype)
        return value if out is None else out.copy_(value)
    if _is_large(a, b):
        tracked = torch.is_grad_enabled() and (a.requires_grad or b.requires_grad)
        value = (_LargeProduct.apply if tracked else _large)(a.flatten(0, -2), b)
        return value.view(*a.shape[:-1], -1) if out is None else out.copy_(value)
    return torch.matmul(a, b, out=out)


def add_product(total: Tensor, a: Tensor, b: Tensor, *, low_precision: bool = False, alpha: float = 1.0) -> Tensor:
    """Add ``alpha * a @ b`` of a (n, k) and b (k, m) to ``total``, (n, m), and return it; without a gradient."""
    if low_precision or _is_large(a, b):
        return total.add_(product(a, b, low_precision=low_precision), alpha=alpha)
    return total.addmm_(a, b, alpha=alpha)


def shifted_product(
    offset: Tensor,
    a: Tensor,
    b: Tensor,
    *,
    low_precision: bool = False,
    alpha: float = 1.0,
    out: Tensor | None = None,
) -> Tensor:
    """``offset + alpha * a @ b`` of an offset (m,) or (n, 1), a (n, k) and b (k, m).

    With a gradient, unless it is written to ``out``, (n, m).
    """
    if low_precision or _is_large(a, b):
        value = product(a, b, low_precision=low_precision)
        tracked = torch.is_grad_enabled() and (value.requires_grad or offset.requires_grad)
        return torch.add(offset, value, alpha=alpha, out=out if tracked or out is not None else value)
    return torch.addmm(offset, a, b, alpha=alpha, out=out)


def _is_large(a: Tensor, b: Tensor) -> bool:
    """Whether the product is one for oneDNN."""
    return (
        a.numel() * b.shape[-1] >= _least
        and a.dtype == b.dtype == torch.float32
        and a.device.type == b.device.type == "cpu"
        and b.dim() == 2
        and not torch.is_autocast_enabled("cpu")
    )


def _large(a: Tensor, b: Tensor) -> Tensor:
    """The product by oneDNN of a, rows with or without gaps between them or the transpose of such, and any b."""
    n_rows = a.shape[0]
    if a.stride(1) != 1 or a.stride(0) < a.shape[1]:
        # It would be copied in any case, and some numbers of rows take three times as long as the next multiple of 16.
        rows = a.new_empty(-(-n_rows // BLOCK) * BLOCK, a.shape[1])
        rows[n_rows:] = 0
        rows[:n_rows] = a
        a = rows
    if not (b.is_contiguous() or b.t().is_contiguous()):  # gaps there would cost a factor of a thousand
        b = b.contiguous()
    value: Tensor = torch.ops.mkldnn._linear_pointwise.default(a, b.t(), None, "none", [], "")
    return value[:n_rows]


class _LargeProduct(torch.autograd.Function):
    """The product with its derivatives, which are products again."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return _large(a, b)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        to_a, to_b = ctx.needs_input_grad
        return product(gradient, b.t()) if to_a else None, product(a.t(), gradient) if to_b else None
