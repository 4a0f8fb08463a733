import math

import numpy as np
import pytest
import torch

from skgen.distributions.continuous_bernoulli import (
    SMALL,
    continuous_bernoulli_draw,
    continuous_bernoulli_log_probs,
    continuous_bernoulli_logits,
    continuous_bernoulli_mean,
    log_partition,
)
from tests.oracles import process_state, within

LOGITS = torch.tensor([-700.0, -30.0, -0.6, -0.4, -1e-9, 0.0, 1e-5, 0.3, 2.0, 50.0], dtype=torch.float64)


@pytest.mark.parametrize("logit", LOGITS.tolist())
def test_the_density_integrates_to_one_and_has_the_stated_mean(logit):
    nodes, weights = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(400))
    x, weights = 0.5 * (nodes + 1), 0.5 * weights
    density = continuous_bernoulli_log_probs(x, torch.tensor(logit, dtype=torch.float64)).exp()
    # The rule itself, of so many points, has lost two or three digits.
    assert abs((density * weights).sum() - 1) < 1e-10
    mean = continuous_bernoulli_mean(torch.tensor(logit, dtype=torch.float64))
    assert abs((density * weights * x).sum() - mean) < 1e-10


def test_it_is_torch_s_away_from_one_half():
    for logit in (-5.0, -1.0, 1.5, 8.0):
        logits = torch.tensor([logit], dtype=torch.float64)
        x = torch.linspace(0, 1, 11, dtype=torch.float64)
        reference = torch.distributions.ContinuousBernoulli(logits=logits)
        torch.testing.assert_close(continuous_bernoulli_log_probs(x, logits), reference.log_prob(x))
        torch.testing.assert_close(continuous_bernoulli_mean(logits), reference.mean)


def test_the_series_and_the_formula_meet():
    for sign in (-1, 1):
        for function in (log_partition, continuous_bernoulli_mean):
            values = function(torch.tensor([sign * SMALL * (1 - 1e-15), sign * SMALL], dtype=torch.float64))
            assert abs(values[0] - values[1]) < 1e-15


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_mean_is_the_derivative_and_finite_everywhere(dtype):
    logits = torch.cat([LOGITS, torch.linspace(-1, 1, 201).double()]).to(dtype).requires_grad_()
    gradient = torch.autograd.grad(log_partition(logits).sum(), logits)[0]
    mean = continuous_bernoulli_mean(logits.detach())
    # The derivative of the formula loses a digit where it takes over from the series.
    torch.testing.assert_close(gradient, mean, rtol=0, atol=32 * torch.finfo(dtype).eps)
    exact = continuous_bernoulli_mean(logits.detach().double())
    torch.testing.assert_close(mean.double(), exact, rtol=0, atol=4 * torch.finfo(dtype).eps)


def test_logits_give_their_means_within_bounds():
    mean = torch.tensor([0.0, 0.1, 0.5, 0.5 + 1e-9, 0.97, 1.0], dtype=torch.float64)
    logits = continuous_bernoulli_logits(mean, 100.0)
    torch.testing.assert_close(continuous_bernoulli_mean(logits)[1:-1], mean[1:-1])
    assert logits[[0, -1]].tolist() == pytest.approx([-100, 100])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_have_their_moments_and_leave_the_global_state_alone(dtype, generator):
    before = process_state()
    logits = LOGITS.to(dtype)
    draws = continuous_bernoulli_draw(logits.expand(40000, -1).contiguous(), generator)
    assert draws.dtype == dtype
    assert draws.min() >= 0
    assert draws.max() <= 1
    assert within(draws.double(), continuous_bernoulli_mean(logits.double()))
    at_zero = draws[:, 5].double()
    assert within((at_zero - 0.5) ** 2, 1 / 12)
    far = draws[:, 1].double()
    assert within((far < math.log(2) / 30).double(), 0.5)
    assert process_state() == before
