import math

import pytest
import torch

from skgen.likelihoods.base import Head
from skgen.likelihoods.continuous_bernoulli import ContinuousBernoulli


def test_columns_keep_their_units():
    mean, scale = torch.tensor([0.2, 0.9]), torch.tensor([0.4, 0.0])
    standardization = ContinuousBernoulli().build(2).standardize(mean, scale)
    assert [part.tolist() for part in standardization] == [[0, 0], [1, 1], [1, 1]]


def test_the_density_is_bounded_by_the_largest_logit():
    likelihood = ContinuousBernoulli(max_logit=50.0).build(1).double()
    for output, x in ((-1e9, 0.0), (1e9, 1.0)):
        log_prob = likelihood.log_prob(torch.tensor([output]).double(), torch.tensor([x]).double())
        assert float(log_prob) == pytest.approx(math.log(50), abs=1e-9)


def test_constant_columns_start_near_their_bound_whatever_the_latent_variables():
    head = Head(torch.ones(4, 3), torch.zeros(3))
    likelihood = ContinuousBernoulli().build(3)
    likelihood.initialize(head, torch.tensor([0.0, 0.3, 1.0]), torch.tensor([0.0, 0.2, 0.0]))
    assert head.weight.any(0).tolist() == [False, True, False]
    assert likelihood.mean(head.bias).tolist() == pytest.approx([1 / 180, 0.3, 1 - 1 / 180], abs=1e-5)


def test_a_largest_logit_out_of_range_is_named():
    with pytest.raises(ValueError, match="max_logit must be a number > 0 and < inf, got 0"):
        ContinuousBernoulli(max_logit=0).build(2)
