import torch

from skgen.networks.products import low_precision_product
from tests.parts import normal


def test_a_product_has_the_error_of_eight_bits_and_the_dtype_of_its_arguments(generator):
    a, b = (normal(*shape, generator=generator, dtype=torch.float32) for shape in ((6, 5), (5, 7)))
    product = low_precision_product(a, b)
    assert product.dtype == torch.float32
    assert not torch.equal(product, a @ b)
    # Both arguments and the result are rounded, by 2^-9 relative each.
    assert ((product - a @ b).abs() <= 3 * 2.0**-8 * (a.abs() @ b.abs())).all()
    out = torch.empty_like(product)
    assert low_precision_product(a, b, out=out) is out
    assert torch.equal(out, product)
