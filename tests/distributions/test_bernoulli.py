import pytest
import torch

from skgen.distributions.bernoulli import bernoulli_draw, bernoulli_log_probs, softplus
from tests.oracles import every_row, within
from tests.parts import normal


def test_log_prob_is_torch_s_and_linear_in_x(generator):
    logits = normal(5, 3, generator=generator)
    for x in every_row((0.0, 1.0), 3):
        expected = torch.distributions.Bernoulli(logits=logits).log_prob(x.expand(5, -1))
        torch.testing.assert_close(bernoulli_log_probs(x, logits), expected)
    low, high = torch.zeros(3).double(), torch.ones(3).double()
    mixed = 0.3 * bernoulli_log_probs(high, logits) + 0.7 * bernoulli_log_probs(low, logits)
    torch.testing.assert_close(bernoulli_log_probs(torch.full((3,), 0.3).double(), logits), mixed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_softplus_is_exact_to_rounding(dtype):
    x = torch.linspace(-60, 60, 10001, dtype=dtype)
    exact = torch.logaddexp(x.double(), torch.zeros(()).double())
    error = (softplus(x).double() - exact).abs() / torch.finfo(dtype).eps
    assert (error <= 2 * exact.clamp_min(1)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5)], ids=str)
def test_draws_have_their_probabilities(dtype, shape, generator):
    probabilities = torch.rand(shape, dtype=dtype, generator=generator)
    kept = probabilities.clone()
    draws = bernoulli_draw(probabilities.expand(20000, *shape).contiguous(), generator)
    assert draws.dtype == dtype
    assert set(draws.unique().tolist()) <= {0.0, 1.0}
    assert within(draws.double(), kept.double())
    assert torch.equal(probabilities, kept)


def test_neighbouring_draws_are_independent(generator):
    # Two draws share one 64-bit word, so these pairs would show a common bit.
    draws = bernoulli_draw(torch.full((40000, 2), 0.3, dtype=torch.float64), generator)
    assert within(draws[:, 0] * draws[:, 1], 0.09)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_and_one_are_exact(dtype, generator):
    assert bernoulli_draw(torch.zeros(2**22, dtype=dtype), generator).sum() == 0
    assert bernoulli_draw(torch.ones(2**22, dtype=dtype), generator).sum() == 2**22


def test_probabilities_that_share_memory_or_have_strides_are_drawn_alike():
    probabilities = torch.rand(6, 4, generator=torch.Generator().manual_seed(0))
    draws = [
        bernoulli_draw(p, torch.Generator().manual_seed(1))
        for p in (probabilities, probabilities.t().contiguous().t(), probabilities.repeat(1, 2)[:, :4])
    ]
    assert torch.equal(draws[0], draws[1])
    assert torch.equal(draws[0], draws[2])
