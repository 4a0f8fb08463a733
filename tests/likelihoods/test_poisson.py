import torch

from skgen.likelihoods.base import Head
from skgen.likelihoods.poisson import LARGEST_LOG_MEAN, SMALLEST_MEAN, Poisson
from tests.parts import normal


def test_counts_keep_their_units_and_the_encoder_sees_columns_of_mean_square_one():
    mean, scale = torch.tensor([3.0, 0.0, 7.0]), torch.tensor([4.0, 0.0, 0.0])
    standardization = Poisson().build(3).standardize(mean, scale)
    assert [part.tolist() for part in standardization] == [[0, 0, 0], [1, 1, 1], [5, 1, 7]]


def test_the_start_gives_each_column_its_mean_and_a_constant_one_whatever_the_latent_variables(generator):
    mean = torch.tensor([0.0, 0.3, 400.0], dtype=torch.float64)
    head = Head(normal(4, 3, generator=generator), torch.zeros(3, dtype=torch.float64))
    likelihood = Poisson().build(3)
    likelihood.initialize(head, mean, torch.tensor([0.0, 1.0, 0.0]))
    torch.testing.assert_close(likelihood.mean(head.bias), mean.clamp_min(SMALLEST_MEAN))
    assert head.weight.any(0).tolist() == [False, True, False]


def test_a_capped_mean_is_finite_in_float32_and_keeps_a_gradient_that_leads_back():
    likelihood = Poisson().build(1)
    outputs, x = torch.full((1, 1), 1e4), torch.zeros(1, 1)
    value, pullback = likelihood.tracer()(outputs, x)
    assert torch.isfinite(value()).all()
    torch.testing.assert_close(pullback(torch.ones(1)), -likelihood.mean(outputs))
    torch.testing.assert_close(likelihood.mean(outputs), torch.full((1, 1), LARGEST_LOG_MEAN).exp())
    assert torch.isfinite(likelihood.sample(outputs, generator=torch.Generator())).all()
