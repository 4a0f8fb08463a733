"""Matrix products at less precision than their arguments."""

from torch import Tensor


def low_precision_product(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """Matrix product in bfloat16, returned in the dtype of its arguments."""
    product = a.bfloat16() @ b.bfloat16()
    return product.to(a.dtype) if out is None else out.copy_(product)
