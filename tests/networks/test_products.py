import math

import pytest
import torch
from torch.autograd.forward_ad import dual_level, make_dual, unpack_dual

from skgen.networks import products
from skgen.networks.products import add_product, product, shifted_product
from tests.parts import normal

SIZES = (37, 45, 51)
ROUNDING = 50 * 2.0**-24


@pytest.fixture(params=["torch", "large"])
def routine(request, monkeypatch):
    """Products by torch, and by the routine for large ones, which runs on every processor."""
    monkeypatch.setattr(products, "_least", math.inf if request.param == "torch" else 1)
    monkeypatch.setattr(products, "LEAST_WIDTH", 1)
    monkeypatch.setattr(products, "MOST_EXACT_ROWS", 16)
    return request.param


def as_rows(x):
    return x.contiguous()


def with_gaps(x):
    wide = torch.full((len(x), x.shape[1] + 9), math.nan)
    wide[:, : x.shape[1]] = x
    return wide[:, : x.shape[1]]


def transposed(x):
    return x.t().contiguous().t()


def transposed_with_gaps(x):
    return with_gaps(x.t()).t()


def every_other(x):
    return torch.stack([x, torch.full_like(x, math.nan)], -1)[..., 0]


LAYOUTS = [as_rows, with_gaps, transposed, transposed_with_gaps, every_other]


def pair(generator, **changes):
    n, k, m = SIZES
    return tuple(normal(*shape, generator=generator, dtype=torch.float32, **changes) for shape in ((n, k), (k, m)))


def whole(generator):
    """Arguments of whole numbers so small that float32 knows their products, and sums of those, exactly."""
    n, k, m = SIZES
    return tuple(torch.randint(-2, 3, shape, generator=generator).float() for shape in ((n, k), (k, m)))


def assert_product(value, a, b):
    """Equal up to the rounding of sums of k float32 products."""
    a, b = a.double(), b.double()
    assert ((value.double() - a @ b).abs() <= ROUNDING * (a.abs() @ b.abs())).all()


def test_a_product_has_the_error_of_eight_bits_and_the_dtype_of_its_arguments(generator):
    a, b = pair(generator)
    value = product(a, b, low_precision=True)
    assert value.dtype == torch.float32
    assert not torch.equal(value, a @ b)
    # Both arguments and the result are rounded, by 2^-9 relative each.
    assert ((value - a @ b).abs() <= 3 * 2.0**-8 * (a.abs() @ b.abs())).all()
    out = torch.empty_like(value)
    assert product(a, b, low_precision=True, out=out) is out
    assert torch.equal(out, value)


@pytest.mark.parametrize("right", LAYOUTS)
@pytest.mark.parametrize("left", LAYOUTS)
def test_products_of_any_layout(routine, left, right, generator):
    a, b = pair(generator)
    assert_product(product(left(a), right(b)), a, b)
    assert_product(product(left(b.t()), right(a.t())), b.t(), a.t())


def test_products_are_written_to_memory_with_gaps(routine, generator):
    a, b = pair(generator)
    out = with_gaps(torch.empty(len(a), b.shape[1]))
    assert product(a, b, out=out) is out
    assert_product(out, a, b)


def test_products_keep_leading_axes(routine, generator):
    a, b = pair(generator)
    stacked = torch.stack([a, 2 * a, -a])
    assert_product(product(stacked, b)[1], 2 * a, b)
    batched = torch.stack([b, b + 1, b])
    assert_product(product(stacked, batched)[1], 2 * a, b + 1)


def test_the_product_of_a_vector_is_a_vector(routine, generator):
    a, b = pair(generator)
    assert_product(product(a[0], b), a[0], b)


def test_arguments_are_copied_only_for_products_that_pay_for_it(monkeypatch, generator):
    taken = []
    large = products._large
    monkeypatch.setattr(products, "_least", 1)
    monkeypatch.setattr(products, "_large", lambda a, b: taken.append(True) or large(a, b))

    def is_large(n, k, m, left=as_rows, right=as_rows):
        a, b = (normal(*shape, generator=generator, dtype=torch.float32) for shape in ((n, k), (k, m)))
        taken.clear()
        assert_product(product(left(a), right(b)), a, b)
        return bool(taken)

    assert is_large(100, 9, 3)
    assert is_large(100, 9, 3, right=transposed)
    assert not is_large(100, 9, 3, left=with_gaps)
    assert not is_large(100, 9, 3, left=transposed)
    assert is_large(3, 9, 100, left=transposed)
    assert not is_large(3, 9, 100, right=with_gaps)
    assert is_large(100, 9, 100, left=with_gaps, right=every_other)


def test_products_and_their_arguments_may_be_changed_in_place(routine, generator):
    a, b = (x.requires_grad_() for x in pair(generator))
    scaled = 2 * a
    value = product(scaled, b.detach())
    scaled.zero_()  # not needed for the gradient by itself
    value.mul_(3)
    assert_product(torch.autograd.grad(value.sum(), a)[0], torch.full((len(a), b.shape[1]), 6.0), b.detach().t())


@pytest.mark.filterwarnings("ignore:There is a performance drop", "ignore:.*torch.jit:DeprecationWarning")
def test_products_can_be_transformed(routine, generator):
    a, b = whole(generator)
    by_a = torch.func.vmap(torch.func.grad(lambda row: product(row.unsqueeze(0), b).sum()))(a)
    assert torch.equal(by_a, b.sum(1).expand_as(a))
    with dual_level():
        moving = make_dual(b, b)
        both, only = (unpack_dual(product(left, moving)).tangent for left in (make_dual(a, 2 * a), a))
    assert torch.equal(both, 3 * (a @ b))
    assert torch.equal(only, a @ b)


def test_oneDNN_sees_few_numbers_of_rows():
    rows = range(1, 100_000)
    rounded = [products._rounded(n) for n in rows]
    assert all(n <= m <= n * (1 + 1 / 16) for n, m in zip(rows, rounded, strict=True))
    assert rounded[: products.MOST_EXACT_ROWS] == list(rows[: products.MOST_EXACT_ROWS])
    assert len(set(rounded[products.MOST_EXACT_ROWS :])) <= 8 * 16


def test_a_row_that_is_not_finite_stays_alone(routine, generator):
    a, b = pair(generator)
    a[5, 7] = math.inf
    for layout in LAYOUTS:
        finite = torch.isfinite(product(layout(a), b))
        assert not finite[5].any()
        assert finite[torch.arange(len(a)) != 5].all()


def test_products_are_added_and_shifted(routine, generator):
    a, b = whole(generator)
    total = torch.ones(len(a), b.shape[1])
    assert add_product(total, a, b, alpha=0.5) is total
    assert torch.equal(total, 1 + 0.5 * (a @ b))
    offset = torch.arange(b.shape[1], dtype=torch.float32)
    assert torch.equal(shifted_product(offset, a, b, alpha=-2.0), offset - 2 * (a @ b))
    column = torch.arange(len(a), dtype=torch.float32).unsqueeze(1)
    assert shifted_product(column, a, b, out=total) is total
    assert torch.equal(total, column + a @ b)


def test_shifted_products_have_gradients(routine, generator):
    a, b = (x.requires_grad_() for x in whole(generator))
    offset = torch.ones(b.shape[1], requires_grad=True)
    ours = torch.autograd.grad(shifted_product(offset, a, b, alpha=3.0).square().sum(), (offset, a, b))
    exact = torch.autograd.grad((offset + 3 * (a.double() @ b.double())).square().sum(), (offset, a, b))
    assert all(torch.equal(x, y) for x, y in zip(ours, exact, strict=True))
    (only,) = torch.autograd.grad(shifted_product(offset, a.detach(), b.detach()).sum(), offset)
    assert torch.equal(only, torch.full_like(offset, len(a)))


@pytest.mark.parametrize("shape", [(0, 5, 7), (6, 0, 7), (6, 5, 0), (1, 1, 1), (1, 300, 1)])
def test_products_of_few_numbers(routine, shape):
    n, k, m = shape
    assert torch.equal(product(torch.ones(n, k), torch.ones(k, m)), torch.full((n, m), float(k)))


def test_other_numbers_are_left_to_torch(routine, generator):
    a, b = (x.double() for x in pair(generator))
    assert torch.equal(product(a, b), a @ b)
    with torch.autocast("cpu", torch.bfloat16):
        assert product(a.float(), b.float()).dtype == torch.bfloat16


def test_derivatives_of_products_are_products(routine, generator):
    a, b = whole(generator)

    def second(multiply, dtype):
        """Derivatives of a function of first derivatives."""
        leaves = [x.to(dtype).requires_grad_() for x in (a, b)]
        first = torch.autograd.grad(multiply(*leaves).square().sum() / 2, leaves, create_graph=True)
        return torch.autograd.grad(sum(x.square().sum() for x in first) / 2, leaves)

    ours, exact = second(product, torch.float32), second(torch.matmul, torch.float64)
    assert max(float(x.abs().max()) for x in exact) < 2**24  # what float32 counts to
    assert all(torch.equal(x.double(), y) for x, y in zip(ours, exact, strict=True))
    left = a.clone().requires_grad_()
    (only,) = torch.autograd.grad(product(left, b).sum(), left)
    assert torch.equal(only, b.sum(1).expand_as(a))
