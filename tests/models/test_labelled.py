"""skgen.models.labelled: what a model says of rows with a class, and without one."""

import pytest
import torch

from skgen._terms import Cotangents
from skgen.likelihoods import Gaussian
from skgen.models.labelled import ConditionalModel, LabelledModel, each_class, one_hot
from skgen.networks import MLP
from skgen.posteriors import Diagonal
from skgen.priors import Normal
from skgen.training.flat import FlatParameters
from tests.oracles import central_differences, linear_gaussian_log_prob
from tests.parts import moments, normal, perturbed

N_FEATURES, N_COMPONENTS, N_CLASSES = 4, 2, 3


def parts(hidden, likelihood=None):
    """Prior, posterior, likelihood, and a decoder that sees a class."""
    prior, posterior = Normal().build(N_COMPONENTS), Diagonal().build(N_COMPONENTS)
    likelihood = (likelihood or Gaussian("feature")).build(N_FEATURES)
    decoder = MLP(N_COMPONENTS + N_CLASSES, hidden, likelihood.n_outputs, "tanh")
    return prior, posterior, likelihood, decoder


def started(model, generator):
    model.double()
    with torch.no_grad():
        model.reset(generator)
        model.initialize(*moments(N_FEATURES, generator))
        model.class_prior.copy_(torch.tensor([0.5, 0.3, 0.2]))
    return perturbed(model, generator)


@pytest.fixture(params=[ConditionalModel, LabelledModel])
def model(request, generator):
    prior, posterior, likelihood, decoder = parts((5,))
    if request.param is ConditionalModel:
        encoder = MLP(N_FEATURES, (5,), posterior.n_parameters, "tanh")
        return started(ConditionalModel(encoder, decoder, prior, posterior, likelihood, n_classes=3), generator)
    encoder = MLP(N_FEATURES + N_CLASSES, (5,), posterior.n_parameters, "tanh")
    classifier = MLP(N_FEATURES, (5,), N_CLASSES, "tanh")
    return started(LabelledModel(encoder, decoder, classifier, prior, posterior, likelihood), generator)


def test_a_row_of_ones_and_zeros_names_the_class_and_zeros_name_none():
    expected = torch.tensor([[0.0, 0, 1], [0, 0, 0], [1, 0, 0]], dtype=torch.float64)
    assert torch.equal(one_hot(torch.tensor([2, -1, 0]), 3, expected), expected)


def test_every_row_meets_every_class_with_the_same_noise(generator):
    x, noise = normal(4, N_FEATURES, generator=generator), normal(5, 4, 2, generator=generator)
    rows, repeated, condition = each_class(x, noise, 3)
    for k in range(3):
        part = slice(4 * k, 4 * k + 4)
        assert torch.equal(rows[part], x)
        assert torch.equal(repeated[:, part], noise)
        assert torch.equal(condition[part], one_hot(torch.full((4,), k), 3, x))
    assert each_class(x, noise[:, :1], 3)[1].shape == (5, 1, 2)


def test_without_a_class_the_likelihood_is_the_mixture_of_those_of_the_classes(model, generator):
    x, z = normal(4, N_FEATURES, generator=generator), normal(5, 4, N_COMPONENTS, generator=generator)
    with torch.no_grad():
        given = [model.log_likelihood(z, x, one_hot(torch.full((4,), k), 3, x)).exp() for k in range(3)]
        mixed = sum(share * each for share, each in zip(model.class_prior, given, strict=True))
        torch.testing.assert_close(model.log_likelihood(z, x), mixed.log())
        means = [model.decode(z, one_hot(torch.full((4,), k), 3, x)) for k in range(3)]
        mixed = sum(share * each for share, each in zip(model.class_prior, means, strict=True))
        torch.testing.assert_close(model.decode(z), mixed)


def test_a_class_of_no_row_leaves_everything_finite(model, generator):
    x, noise = normal(4, N_FEATURES, generator=generator), normal(5, 4, N_COMPONENTS, generator=generator)
    with torch.no_grad():
        model.class_prior.copy_(torch.tensor([0.0, 0.5, 0.5]))
        assert torch.isfinite(model.terms(x, noise).log_weight).all()


def test_rows_are_drawn_of_classes_by_their_shares(model, generator):
    codes = model.draw_classes(20_000, generator)
    share = torch.bincount(codes, minlength=3) / 20_000
    assert ((share - model.class_prior).abs() < 5 * (0.25 / 20_000) ** 0.5).all()


def test_the_tracer_gives_the_gradient_of_the_terms_given_a_class(model, generator):
    flat = FlatParameters(model)
    x, noise = normal(4, N_FEATURES, generator=generator), normal(3, 4, N_COMPONENTS, generator=generator)
    condition = one_hot(torch.tensor([0, 2, 1, 1]), 3, x)
    weight = normal(3, 4, generator=generator)

    def value():
        with torch.no_grad():
            return (weight * model.terms(x, noise, condition).log_weight).sum()

    with torch.no_grad():
        terms, pullback = model.tracer()(x, noise, None, condition)
        torch.testing.assert_close(terms.log_weight, model.terms(x, noise, condition).log_weight)
        pullback(Cotangents(weight, weight, -weight))
    directions = normal(10, len(flat.value), generator=generator)
    expected = central_differences(value, flat.value, directions)
    torch.testing.assert_close(directions @ flat.gradient, expected, rtol=1e-6, atol=1e-6)


def test_another_standardisation_changes_nothing_in_the_units_of_the_rows(model, generator):
    rows, noise = 3 * normal(4, N_FEATURES, generator=generator), normal(3, 4, N_COMPONENTS, generator=generator)
    condition = one_hot(torch.tensor([0, 2, 1, 1]), 3, rows)

    def said():
        x = model.standardize(rows)
        with torch.no_grad():
            found = [model.terms(x, noise, condition).log_weight + model.log_jacobian]
            return found + ([model.log_proba(x)] if isinstance(model, LabelledModel) else [])

    # A floor of the variance is a share of the columns' and would move with them.
    model.likelihood.floor = 1e-200
    before = said()
    with torch.no_grad():
        model.restandardize(*moments(N_FEATURES, generator), torch.zeros(N_FEATURES, dtype=torch.bool))
    for one, other in zip(before, said(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("model", [LabelledModel], indirect=True)
def test_latent_moments_are_those_of_the_mixture_over_classes(model, generator):
    x = normal(4, N_FEATURES, generator=generator)
    with torch.no_grad():
        mean, std = model.latent_moments(x)
        share, first, second = model.log_proba(x).exp(), 0.0, 0.0
        for k in range(3):
            one, scale = model.posterior.mean_and_scale(model.encode(x, one_hot(torch.full((4,), k), 3, x)))
            first = first + share[:, k : k + 1] * one
            second = second + share[:, k : k + 1] * (one.square() + scale.square())
    torch.testing.assert_close(mean, first)
    torch.testing.assert_close(std, (second - first.square()).sqrt())


def test_the_bound_of_a_linear_model_with_its_exact_posterior_is_the_closed_form(generator):
    r"""x = W z + V onehot(y) + noise: every draw weighs p(x | y), and the sum over classes p(x)."""
    prior, posterior, likelihood, decoder = parts((), Gaussian("fixed", noise_variance=1.0))
    encoder = MLP(N_FEATURES + N_CLASSES, (), posterior.n_parameters)
    classifier = MLP(N_FEATURES, (), N_CLASSES)
    model = LabelledModel(encoder, decoder, classifier, prior, posterior, likelihood).double()
    with torch.no_grad():
        model.reset(generator)
        model.initialize(torch.zeros(N_FEATURES), torch.ones(N_FEATURES))
        model.class_prior.copy_(torch.tensor([0.5, 0.3, 0.2]))
        variance = model.likelihood.noise_variance()
        orthogonal = torch.linalg.qr(normal(N_FEATURES, 2, generator=generator))[0]
        loading = orthogonal * torch.tensor([1.5, 0.7], dtype=torch.float64)
        offsets = normal(N_CLASSES, N_FEATURES, generator=generator)
        weight, bias = model.decoder.head
        weight.copy_(torch.cat([loading.T, offsets]))
        precision = 1 + (loading.square() / variance[:, None]).sum(0)
        to_mean = loading / variance[:, None] / precision
        weight, encoder_bias = model.encoder.head
        mean_part = torch.cat([to_mean, -offsets @ to_mean])
        weight.copy_(torch.cat([mean_part, torch.zeros_like(mean_part)], 1))
        encoder_bias.copy_(torch.cat([-bias @ to_mean, -precision.log()]))
        x, noise = 2 * normal(7, N_FEATURES, generator=generator), normal(4, 7, 2, generator=generator)
        pairs = model.class_terms(x, noise).log_weight.view(4, 3, 7)
    exact = torch.stack([linear_gaussian_log_prob(x, loading, bias + each, variance) for each in offsets])
    torch.testing.assert_close(pairs, exact.expand(4, -1, -1), rtol=1e-10, atol=1e-10)
