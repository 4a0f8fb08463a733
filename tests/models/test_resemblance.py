"""Resemblances in the place of likelihoods, skgen.models.resemblance."""

import pytest
import torch
from torch import nn

from skgen._terms import Cotangents
from skgen.distributions.similarity import feature_distance, structural_similarity
from skgen.likelihoods import Gaussian
from skgen.models.resemblance import Resemblance, dissimilarity, feature_distance_of
from skgen.training.flat import FlatParameters
from tests.parts import LIKELIHOOD_SPECS, model_from, normal, rows_from

SHAPE = (2, 7, 8)
D = 112


def squares(x, y):
    return (x - y).square().flatten(1).mean(1)


def built(generator, likelihood="gaussian", distance=squares, **parameters):
    model = model_from(likelihood, generator=generator, n_features=D, **parameters)
    FlatParameters(model)
    x = rows_from(model, 5, generator)
    return model, Resemblance(distance, model.likelihood.mean, model.unstandardize, SHAPE), x


def test_the_term_is_the_distance_of_the_mean_in_the_units_of_the_user(generator):
    model, resemblance, x = built(generator, Gaussian("network"))
    z = normal(3, 5, 2, generator=generator)
    with torch.no_grad():
        expected = -(model.decode(z) - model.unstandardize(x)).square().sum(-1)
        torch.testing.assert_close(resemblance(model.decoder(z), x), expected)


def test_a_model_in_training_has_it_in_the_place_of_the_likelihood_and_nowhere_else(generator):
    model, resemblance, x = built(generator)
    noise = normal(3, 5, 2, generator=generator)
    before = model.terms(x, noise)
    model.resemblance = resemblance
    after = model.terms(x, noise)
    z = model.posterior.draw(model.encode(x), noise).z
    assert torch.equal(after.log_likelihood, resemblance(model.decoder(z), x))
    assert not torch.allclose(after.log_likelihood, before.log_likelihood)
    assert torch.equal(after.kl, before.kl)
    assert torch.equal(after.log_prior, before.log_prior)


@pytest.mark.parametrize("n_draws", [1, 3])
def test_the_tracer_is_the_derivative_of_the_term(n_draws, generator):
    model, model.resemblance, x = built(generator, Gaussian("network"), dissimilarity(6.0, None))
    noise = normal(n_draws, 5, 2, generator=generator)
    terms, pullback = model.tracer(closed_kl=True)(x, noise, None)
    weight = normal(*((5,) if n_draws == 1 else (n_draws, 5)), generator=generator)
    expected = model.terms(x, noise)
    torch.testing.assert_close(terms.log_likelihood, expected.log_likelihood.detach())
    for parameter in model.parameters():
        parameter.grad.zero_()
    pullback(Cotangents(weight, kl=torch.zeros((), dtype=x.dtype)))
    parameters = list(model.parameters())
    value = (expected.log_likelihood * weight).sum()
    gradients = torch.autograd.grad(value, parameters, materialize_grads=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_dissimilarity_is_averaged_over_channels(generator):
    x, y = normal(2, 4, *SHAPE, generator=generator)
    similarity = structural_similarity(x, y, data_range=4.0, sigma=None)
    torch.testing.assert_close(dissimilarity(4.0, None)(x, y), 1 - similarity.mean(1))
    assert float(dissimilarity(4.0, None)(x, x).abs().max()) < 1e-12


def test_features_are_those_of_a_copy_in_evaluation_mode(generator):
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Dropout(0.5), nn.ReLU())
    x, y = normal(2, 4, *SHAPE, generator=generator)
    distance = feature_distance_of(network, torch.device("cpu"))
    leaf = x.clone().requires_grad_()
    value = distance(leaf, y)
    network.eval()
    with torch.no_grad():
        expected = feature_distance([network(x.float())], [network(y.float())])
    torch.testing.assert_close(value, expected.double().requires_grad_(), check_dtype=False)
    assert value.dtype == x.dtype
    value.sum().backward()
    assert bool(leaf.grad.any())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())


def test_features_may_come_from_any_function(generator):
    x, y = normal(2, 4, *SHAPE, generator=generator)
    distance = feature_distance_of(lambda images: [images, images.mean((2, 3))], torch.device("cpu"))
    expected = feature_distance([x, x.mean((2, 3))], [y, y.mean((2, 3))])
    torch.testing.assert_close(distance(x, y), expected)


@pytest.mark.parametrize("likelihood", LIKELIHOOD_SPECS)
def test_every_likelihood_of_numbers_has_a_mean_to_compare(likelihood, generator):
    if likelihood.build(1).nominal:
        return
    model, resemblance, x = built(generator, likelihood)
    value = resemblance(model.decoder(normal(2, 5, 2, generator=generator)), x)
    assert value.shape == (2, 5)
    assert bool(value.isfinite().all())
    assert value.requires_grad
