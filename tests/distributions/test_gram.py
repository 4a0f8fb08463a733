import torch

from skgen.distributions.gram import column_sums, gram
from tests.parts import normal


def test_the_sum_of_products_is_the_matrix_product_and_symmetric(generator):
    x, weight = normal(70, 6, generator=generator), normal(70, generator=generator).square()
    for w, expected in ((None, x.T @ x), (weight, (weight[:, None] * x).T @ x)):
        product = gram(x, w)
        assert torch.equal(product, product.T)
        torch.testing.assert_close(product, expected, rtol=0, atol=1e-13 * 70)


def test_weights_are_repetitions_and_parts_add(generator):
    x, times = normal(20, 3, generator=generator), torch.arange(20) % 4
    whole = gram(x.repeat_interleave(times, 0))
    torch.testing.assert_close(gram(x, times.double()), whole, rtol=0, atol=1e-12)
    parts = gram(x[:7], times[:7].double()) + gram(x[7:], times[7:].double())
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-12)


def test_rows_are_left_alone_and_transposed_rows_are_taken(generator):
    x = normal(4, 9, generator=generator).T
    kept = x.clone()
    torch.testing.assert_close(gram(x), kept.T @ kept, rtol=0, atol=1e-13)
    assert torch.equal(x, kept)
    assert gram(x[:0]).tolist() == [[0.0] * 4] * 4


def test_sums_of_columns_are_those_of_rows_and_show_missing_entries(generator):
    x, times = normal(20, 3, generator=generator), torch.arange(20) % 4
    torch.testing.assert_close(column_sums(x), x.sum(0))
    torch.testing.assert_close(column_sums(x, times.double()), x.repeat_interleave(times, 0).sum(0))
    x[7, 1] = torch.nan
    assert column_sums(x).isnan().tolist() == [False, True, False]
