"""skgen.likelihoods.observed"""

import pytest
import torch

from skgen._terms import evaluate
from skgen.likelihoods.observed import log_prob_of_any, observed_log_prob, observed_tracer
from tests.parts import LIKELIHOOD_SPECS, likelihood_from, normal, with_holes

pytestmark = pytest.mark.parametrize("spec", LIKELIHOOD_SPECS)
ROWS = 6


@pytest.fixture
def parts(spec, generator):
    """A likelihood, outputs for two draws of each row, and rows of which some entries are missing."""
    likelihood = likelihood_from(spec, 3, generator)[0]
    outputs = normal(2, ROWS, likelihood.n_outputs, generator=generator)
    with torch.no_grad():
        x = likelihood.sample(outputs[0], generator=generator)
    return likelihood, outputs, x, with_holes(x, generator)


def test_the_density_is_the_product_over_what_is_there(parts):
    likelihood, outputs, complete, x = parts
    with torch.no_grad():
        value = observed_log_prob(likelihood, outputs, x, x.isnan())
        each = likelihood.log_probs(outputs, complete)
    for row in range(ROWS):
        torch.testing.assert_close(value[:, row], each[:, row, ~x[row].isnan()].sum(-1))
    assert (value[:, -1] == 0).all()


def test_rows_of_any_kind_take_their_way(parts):
    likelihood, outputs, complete, x = parts
    with torch.no_grad():
        assert torch.equal(log_prob_of_any(likelihood, outputs, complete), likelihood.log_prob(outputs, complete))
        torch.testing.assert_close(
            log_prob_of_any(likelihood, outputs, x), observed_log_prob(likelihood, outputs, x, x.isnan())
        )


@pytest.mark.parametrize("n_draws", [None, 2])
def test_the_pullback_is_the_gradient_of_the_density_of_what_is_there(parts, n_draws, generator):
    likelihood, outputs, complete, x = parts
    outputs = outputs if n_draws else outputs[0]
    cotangent = normal(*outputs.shape[:-1], generator=generator)
    for parameter in likelihood.parameters():
        parameter.grad = torch.full_like(parameter, 0.5)
    value, pullback = observed_tracer(likelihood)(outputs, x)
    results = [evaluate(value), pullback(cotangent), *(p.grad - 0.5 for p in likelihood.parameters())]
    leaf, weight = outputs.clone().requires_grad_(), (~x.isnan()).double()
    for parameter in likelihood.parameters():
        parameter.grad = None
    expected = (likelihood.log_probs(leaf, complete) * weight).sum(-1)
    expected.backward(cotangent)
    zeros = (torch.zeros_like(p) if p.grad is None else p.grad for p in likelihood.parameters())
    for ours, reference in zip(results, [expected.detach(), leaf.grad, *zeros], strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_where_outputs_are_extreme(parts, dtype):
    likelihood, outputs, _, x = parts
    likelihood = likelihood.to(dtype)
    for parameter in likelihood.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for size in (-80.0, 0.0, 80.0):
        value, pullback = observed_tracer(likelihood)(torch.full_like(outputs[0], size, dtype=dtype), x.to(dtype))
        assert evaluate(value).isfinite().all()
        assert pullback(torch.ones(ROWS, dtype=dtype)).isfinite().all()
        assert all(p.grad.isfinite().all() for p in likelihood.parameters())
