"""The parts of the KL of :mod:`skgen.models.information`, against closed forms and quadrature."""

import math

import pytest
import torch

from skgen._terms import evaluate
from skgen.distributions.normal import normal_log_prob
from skgen.models.information import information
from skgen.posteriors import POSTERIORS
from skgen.priors import PRIORS, Uniform
from tests.oracles import process_state
from tests.parts import normal


def parts(name="diagonal", n_components=2):
    return POSTERIORS[name]().build(n_components).double(), PRIORS["normal"]().build(n_components).double()


def equal(n):
    return torch.full((n,), 1 / n, dtype=torch.float64)


def test_in_one_dimension_both_parts_are_those_of_quadrature(generator):
    posterior, prior = parts(n_components=1)
    parameters = torch.stack([3 * normal(7, generator=generator), 0.5 * normal(7, generator=generator) - 1], 1)
    weight = torch.softmax(normal(7, generator=generator), 0)
    found = information(posterior, prior, parameters, normal(40_000, 7, 1, generator=generator), weight)
    z = torch.linspace(-30, 30, 200_001).double().unsqueeze(1)
    mean, log_scale = parameters[:, :1], 0.5 * parameters[:, 1:]
    log_each = normal_log_prob(z.unsqueeze(1), mean, log_scale)
    log_mixture = torch.logsumexp(log_each + torch.log(weight), -1)
    width = 60 / 200_000
    entropy = -(log_mixture.exp() * log_mixture).sum() * width
    each = (0.5 * math.log(2 * math.pi * math.e) + log_scale.squeeze(1)) @ weight
    cross = -(log_mixture.exp() * prior.log_prob(z)).sum() * width
    # The terms have standard deviations of some nats, over 40000 draws.
    assert abs(found.mutual_information - (entropy - each)) < 0.02
    assert abs(found.aggregated_kl - (cross - entropy)) < 0.1


@pytest.mark.parametrize("name", ["diagonal", "full"])
def test_of_many_rows_of_a_linear_gaussian_model_it_is_the_closed_form(name, generator):
    """For x = A z + noise and rows drawn from the model, q(z) is p(z), and I(x; z) that of two normal vectors."""
    n, loading, variance = 3000, torch.tensor([[1.0, 0.0], [0.0, 0.7]]).double(), 0.5
    posterior, prior = parts(name)
    precision = torch.eye(2).double() + loading.T @ loading / variance
    z = normal(n, 2, generator=generator)
    x = z @ loading.T + math.sqrt(variance) * normal(n, 2, generator=generator)
    mean = x @ loading / variance @ torch.linalg.inv(precision)
    parameters = torch.zeros(n, posterior.n_parameters).double()
    parameters[:, :2], parameters[:, 2:4] = mean, -torch.log(precision.diagonal())
    found = information(posterior, prior, parameters, normal(1, n, 2, generator=generator), equal(n))
    exact = 0.5 * torch.logdet(precision)
    # Values of a row vary by about a nat; the mixture of n posteriors errs by the order of their number in its reach.
    assert abs(found.mutual_information - exact) < 5 / math.sqrt(n) + 0.03
    assert abs(found.aggregated_kl) < 5 / math.sqrt(n) + 0.03


def test_the_parts_add_up_to_the_mean_kl(generator):
    posterior, prior = parts()
    parameters, noise = normal(20, 4, generator=generator), normal(30, 20, 2, generator=generator)
    weight = torch.softmax(normal(20, generator=generator), 0)
    found = information(posterior, prior, parameters, noise, weight)
    draw = posterior.draw(parameters, noise)
    kl = (evaluate(draw.log_prob) - prior.log_prob(draw.z)).mean(0) @ weight
    torch.testing.assert_close(found.mutual_information + found.aggregated_kl, kl)


def test_the_mutual_information_is_between_nothing_and_the_log_of_the_rows(generator):
    posterior, prior = parts()
    noise = normal(64, 50, 2, generator=generator)
    apart = torch.zeros(50, 4).double()
    apart[:, 0], apart[:, 2:] = 100 * torch.arange(50.0), -6.0
    top = information(posterior, prior, apart, noise, equal(50)).mutual_information
    torch.testing.assert_close(top, torch.tensor(math.log(50)).double())
    assert top <= math.log(50) + 1e-12
    bottom = information(posterior, prior, torch.zeros(50, 4).double(), noise, equal(50))
    torch.testing.assert_close(torch.stack(list(bottom)), torch.zeros(2).double(), atol=1e-9, rtol=0)


def test_a_weight_is_a_repeated_row_and_tiles_change_nothing(generator):
    posterior, prior = parts()
    parameters, noise = normal(4, 4, generator=generator), normal(8, 4, 2, generator=generator)
    times = torch.tensor([1, 3, 2, 1])
    weighted = information(posterior, prior, parameters, noise, times / times.sum().double())
    repeated, noises = parameters.repeat_interleave(times, 0), noise.repeat_interleave(times, 1)
    for tile in (3, 256):
        found = information(posterior, prior, repeated, noises, equal(7), tile)
        torch.testing.assert_close(torch.stack(list(found)), torch.stack(list(weighted)))


def test_a_map_of_the_latent_variables_changes_no_information(generator):
    posterior, _ = parts()
    box = Uniform().build(2).double()
    parameters, noise = normal(20, 4, generator=generator), normal(30, 20, 2, generator=generator)
    plain = information(posterior, parts()[1], parameters, noise, equal(20))
    boxed = information(box.adapted(posterior), box, parameters, noise, equal(20))
    torch.testing.assert_close(boxed.mutual_information, plain.mutual_information, rtol=1e-6, atol=1e-6)


def test_global_state_is_untouched(generator):
    before = process_state()
    posterior, prior = parts()
    information(posterior, prior, normal(4, 4, generator=generator), normal(2, 4, 2, generator=generator), equal(4))
    assert process_state() == before
