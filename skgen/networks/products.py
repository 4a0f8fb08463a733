"""Products of matrices, each by the fastest routine at hand.

torch multiplies float32 matrices by MKL, which keeps AVX-512 for processors of its own maker. On others oneDNN, also
part of torch, is about twice as fast once its call of some 10 microseconds has paid. Which of them takes a product
depends on its shape, on its layout in memory and on the processor only, so that results repeat bit by bit.
"""

import math
import platform
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

LEAST_MULTIPLICATIONS = 2**22
"""From so many on a product goes to oneDNN, where that is the faster."""
LEAST_WIDTH = 64
"""With so many rows or columns of one argument a copy of the other pays."""
NARROW = 4
"""A transpose with so many times more rows than the other has columns is better left in place."""
MOST_EXACT_ROWS = 512
"""Batches for training have fewer rows, and come again; of other numbers of rows there is no end."""


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
        multiply = _LargeProduct.apply if _is_tracked(a, b) else _large
        value = multiply(a if a.dim() == 2 else a.reshape(-1, a.shape[-1]), b)
        if out is not None:
            return out.copy_(value)
        return value if a.dim() == 2 else value.view(*a.shape[:-1], -1)
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
        reused = None if _is_tracked(value, offset) else value
        return torch.add(offset, value, alpha=alpha, out=reused if out is None else out)
    return torch.addmm(offset, a, b, alpha=alpha, out=out)


def _is_large(a: Tensor, b: Tensor) -> bool:
    """Whether the product is one for oneDNN."""
    return (
        a.numel() * b.shape[-1] >= _least
        and a.dtype == b.dtype == torch.float32
        and a.device.type == b.device.type == "cpu"
        and b.dim() == 2
        and (b.shape[1] >= LEAST_WIDTH or a.is_contiguous())
        and (a.numel() >= LEAST_WIDTH * b.shape[0] or _has_no_gaps(b))
        and not torch.is_autocast_enabled("cpu")
    )


def _is_tracked(*tensors: Tensor) -> bool:
    """Whether derivatives by these are kept, backward or forward."""
    backward = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    return backward or any(unpack_dual(tensor).tangent is not None for tensor in tensors)


def _has_no_gaps(b: Tensor) -> bool:
    return b.is_contiguous() or b.t().is_contiguous()


def _large(a: Tensor, b: Tensor) -> Tensor:
    """The product by oneDNN, which takes rows without gaps, and b or its transpose without gaps."""
    if a.stride(1) != 1 and NARROW * b.shape[1] < a.shape[0]:  # b has fewer numbers to be put into another order
        return _large(b.t(), a.t()).t()
    n_rows = a.shape[0]
    n_padded = _rounded(n_rows)
    if n_padded > n_rows:
        padded = a.new_empty(n_padded, a.shape[1])
        padded[:n_rows] = a
        padded[n_rows:] = 0
        a = padded
    b = b if _has_no_gaps(b) else b.contiguous()  # gaps there would cost a factor of a thousand
    value: Tensor = torch.ops.mkldnn._linear_pointwise.default(a.contiguous(), b.t(), None, "none", [], "")
    return value if n_padded == n_rows else value[:n_rows]


def _rounded(n: int) -> int:
    """A number of rows for which oneDNN may keep a program, most of a megabyte: sixteen to a doubling of large ones."""
    if n <= MOST_EXACT_ROWS:
        return n
    step: int = 2 ** (n.bit_length() - 5)
    return -(-n // step) * step


class _LargeProduct(torch.autograd.Function):
    """The product by oneDNN with its derivatives, which are products again."""

    @staticmethod
    def forward(a: Tensor, b: Tensor) -> Tensor:
        value = _large(a, b)
        return value.clone() if value._is_view() else value  # autograd lets nobody change a view that it was given

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        a, b = inputs
        to_a, to_b = ctx.needs_input_grad
        ctx.save_for_backward(a if to_b else None, b if to_a else None)
        ctx.save_for_forward(a, b)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        return None if b is None else product(gradient, b.t()), None if a is None else product(a.t(), gradient)

    @staticmethod
    def jvp(ctx: Any, to_a: Tensor | None, to_b: Tensor | None) -> Tensor:
        a, b = ctx.saved_tensors
        parts = ([] if to_a is None else [product(to_a, b)]) + ([] if to_b is None else [product(a, to_b)])
        return sum(parts[1:], parts[0])

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, int | None], a: Tensor, b: Tensor) -> tuple[Tensor, int]:
        return torch.vmap(torch.matmul, in_dims)(a, b), 0
