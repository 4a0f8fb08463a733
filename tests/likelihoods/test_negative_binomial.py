import torch

from skgen.likelihoods import Poisson
from skgen.likelihoods.base import Head
from skgen.likelihoods.negative_binomial import LARGEST_DISPERSION, SMALLEST_DISPERSION, NegativeBinomial
from tests.parts import normal


def started(mean, scale):
    likelihood = NegativeBinomial().build(len(mean)).double()
    head = Head(torch.ones(4, len(mean)).double(), torch.zeros(len(mean)).double())
    with torch.no_grad():
        likelihood.initialize(head, torch.tensor(mean).double(), torch.tensor(scale).double())
    return likelihood, head


def test_the_start_has_the_columns_variance_within_bounds():
    likelihood, _ = started([2.0, 2.0, 2.0, 0.0], [2.0**0.5, 2.0, 9.0, 0.0])
    expected = torch.tensor([0.01, 0.5, 1.0, 0.01]).double() + SMALLEST_DISPERSION
    torch.testing.assert_close(1 / likelihood._size().detach(), expected)


def test_at_the_smallest_dispersion_it_is_the_poisson_likelihood(generator):
    likelihood = NegativeBinomial().build(3).double()
    likelihood.raw_dispersion.data.fill_(-1e3)
    outputs = normal(50, 3, generator=generator)
    poisson = Poisson().build(3)
    x = poisson.sample(outputs, generator=generator)
    # The difference is of the order of the dispersion times squared counts.
    torch.testing.assert_close(likelihood.log_prob(outputs, x), poisson.log_prob(outputs, x), rtol=0, atol=1e-6)


def test_whatever_the_parameter_the_mass_is_finite_in_float32():
    likelihood = NegativeBinomial().build(1)
    counts = torch.tensor([[0.0], [1.0], [1e6]])
    for raw in (-1e4, -50.0, 50.0, 1e4):
        likelihood.raw_dispersion.data.fill_(raw)
        likelihood.raw_dispersion.grad = torch.zeros(1)
        assert SMALLEST_DISPERSION * 0.99 <= 1 / float(likelihood._size().detach()) <= LARGEST_DISPERSION * 1.01
        for output in (-60.0, 0.0, 60.0):
            value, pullback = likelihood.tracer()(torch.full((3, 1), output), counts)
            assert value.isfinite().all()
            assert pullback(torch.ones(3)).isfinite().all()
            assert likelihood.raw_dispersion.grad.isfinite().all()
