import pytest
import torch

from skgen._rows import Tile
from skgen.distributions.covariance import COVARIANCES
from skgen.models.mixture import GaussianMixtureModel, magnitude
from skgen.models.mixture_e_step import Products, normalized
from tests.mixtures import ROUNDING, D, K, drawn, parameters_of
from tests.parts import normal

N = 200
DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32])


@pytest.fixture(params=sorted(COVARIANCES))
def model(request):
    return GaussianMixtureModel(COVARIANCES[request.param], K, D)


def products_of(posterior):
    return Products(posterior.covariance, posterior.offset, posterior.linear, posterior.quadratic)


@DTYPES
def test_responsibilities_are_the_softmax_and_the_value_is_the_sum_of_logsumexp(dtype, generator):
    joint = 5 * normal(K, N, generator=generator, dtype=dtype)
    exact = joint.double()
    r, value = normalized(joint.clone(), None)
    rounding = 10 * torch.finfo(dtype).eps
    torch.testing.assert_close(r.double(), torch.softmax(exact, 0), rtol=10 * rounding, atol=0)
    torch.testing.assert_close(value, torch.logsumexp(exact, 0).sum(), rtol=0, atol=N * 20 * rounding)


@DTYPES
def test_weights_multiply_responsibilities_and_log_densities(dtype, generator):
    joint, weight = normal(K, N, generator=generator, dtype=dtype), torch.rand(N, generator=generator).double()
    weight[:10] = 0
    r, _ = normalized(joint.clone(), None)
    weighted, value = normalized(joint.clone(), weight)
    rounding = 10 * torch.finfo(dtype).eps
    torch.testing.assert_close(weighted, r * weight.to(dtype), rtol=rounding, atol=0)
    assert bool((weighted[:, :10] == 0).all())
    expected = torch.dot(torch.logsumexp(joint.double(), 0), weight)
    torch.testing.assert_close(value, expected, rtol=0, atol=N * 2 * rounding)


@DTYPES
def test_no_responsibility_is_small_enough_to_be_slow(dtype):
    joint = torch.tensor([[0.0], [-1e6], [-1e30]], dtype=dtype)
    r, value = normalized(joint, None)
    assert float(r.min()) > 1e3 * torch.finfo(dtype).tiny
    assert float(r[0]) == 1
    assert float(value) == 0


@pytest.mark.parametrize("weighted", [False, True])
def test_products_give_the_statistics_that_responsibilities_give(model, weighted, generator):
    parameters = parameters_of(model, generator)
    x = 2 * normal(N, D, generator=generator)
    weight = torch.rand(N, generator=generator).double() if weighted else None
    posterior = model.bind(parameters)
    found, _ = products_of(posterior)(x, weight)
    r = posterior.responsibilities(Tile(x)).T * (1 if weight is None else weight)
    torch.testing.assert_close(found["weight"], r.sum(1), **ROUNDING)
    torch.testing.assert_close(found["first"], r @ x, **ROUNDING)
    assert ("second" in found) == (not model.covariance.tied)
    if "second" in found:
        torch.testing.assert_close(found["second"], r @ model.covariance.phi(x).T, **ROUNDING)


def test_tiles_of_any_sizes_share_memory_and_keep_their_sums(model, generator):
    x = 2 * normal(N, D, generator=generator)
    products = products_of(model.bind(parameters_of(model, generator)))
    whole, value = products(x, None)
    kept = {name: each.clone() for name, each in whole.items()}
    parts = [products(part, None) for part in x.split([50, 1, 99, 50])]
    for name, each in kept.items():
        assert whole[name].equal(each)
        torch.testing.assert_close(sum(statistics[name] for statistics, _ in parts), each, **ROUNDING)
    torch.testing.assert_close(sum(part for _, part in parts), value, **ROUNDING)


def test_rows_in_float32_are_off_by_no_more_than_their_digits(model, generator):
    parameters = parameters_of(model, generator)
    x = drawn(model, parameters, N, generator).float()
    posterior = model.bind(parameters)
    single, value = products_of(posterior)(x, None)
    double, expected = products_of(posterior)(x.double(), None)
    numbers = (parameters[name] for name in ("log_weights", "means", "covariances"))
    size = magnitude(model.covariance, *numbers, posterior.precision)
    # Of a typical row's log-density; responsibilities are off by twice that, and sums of N terms by N units more.
    error = torch.finfo(torch.float32).eps * size
    assert abs(float(value - expected)) / N <= error
    sizes = {
        "weight": torch.ones(N, 1).double(),
        "first": x.double().abs(),
        "second": model.covariance.phi(x.double()).abs().T,
    }
    for name, each in double.items():
        assert single[name].dtype == torch.float64
        bound = (2 * error + N * torch.finfo(torch.float32).eps) * sizes[name].sum(0)
        assert bool(((single[name] - each).abs() <= bound).all()), name
