"""skgen.models.imputation"""

import pytest
import torch

from skgen.likelihoods import Categorical, Columns, Gaussian
from skgen.models.imputation import conditional_draws, conditional_mean
from tests.oracles import conditional_normal, within
from tests.parts import LIKELIHOOD_SPECS, model_from, normal, rows_from, with_holes

both = pytest.mark.parametrize("missing", [False, True])


def linear_gaussian(generator, *, missing):
    """A linear model with an encoder of no use, and the mean and covariance of its rows."""
    model = model_from(Gaussian(min_variance=0.2), n_features=4, hidden=(), missing=missing, generator=generator)
    weight, bias = model.decoder.head
    encoder_weight, encoder_bias = model.encoder.head
    encoder_weight.mul_(0.1)
    encoder_bias.zero_()
    covariance = weight.T @ weight + torch.diag(model.likelihood.noise_variance())
    return model, bias.clone(), covariance


def noise_blocks(n_draws, n_noise, generator):
    return normal(n_draws, 1, n_noise, generator=generator).split(1000)


@both
def test_means_are_those_of_the_regression_on_what_is_observed(missing, generator):
    model, mean, covariance = linear_gaussian(generator, missing=missing)
    x = with_holes(rows_from(model, 5, generator), generator)
    with torch.no_grad():
        parameters = model.encode(x)
        repeats = [conditional_mean(model, parameters, x, noise_blocks(4000, 2, generator)) for _ in range(20)]
    for i, row in enumerate(x[1:], 1):
        gap, expected = row.isnan(), conditional_normal(mean, covariance, row)[0]
        assert within(torch.stack(repeats)[:, i, gap], expected[gap])


@both
def test_draws_have_the_conditional_mean_and_covariance(missing, generator):
    model, mean, covariance = linear_gaussian(generator, missing=missing)
    row = rows_from(model, 1, generator)
    row[0, 1:3] = torch.nan
    # Copies of the row have draws of their own, and so resample other latent draws.
    x = row.expand(2000, -1)
    with torch.no_grad():
        drawn = conditional_draws(
            model, model.encode(x), x, n_imputations=1, n_draws=600, generator=generator, block=250
        )[0]
    expected, spread = conditional_normal(mean, covariance, row[0])
    away = (drawn - expected)[:, 1:3]
    assert within(away, 0.0)
    products = away[:, :, None] * away[:, None, :]
    assert within(products, spread[1:3, 1:3])


def test_how_many_draws_are_held_changes_means_by_rounding_only(generator):
    model, _, _ = linear_gaussian(generator, missing=True)
    x, noise = with_holes(rows_from(model, 5, generator), generator), normal(100, 1, 2, generator=generator)
    with torch.no_grad():
        parameters = model.encode(x)
        together, apart = (conditional_mean(model, parameters, x, noise.split(n)) for n in (100, 7))
        torch.testing.assert_close(apart, together)
        alone = conditional_mean(model, parameters[2:3], x[2:3], noise.split(100))
        torch.testing.assert_close(alone, together[2:3])


@pytest.mark.parametrize("likelihood", LIKELIHOOD_SPECS)
def test_what_is_filled_in_is_what_the_likelihood_takes(likelihood, generator):
    model = model_from(likelihood, missing=True, generator=generator)
    x = with_holes(rows_from(model, 6, generator), generator)
    with torch.no_grad():
        parameters = model.encode(x)
        mean = conditional_mean(model, parameters, x, noise_blocks(50, model.posterior.n_noise, generator))
        drawn = conditional_draws(model, parameters, x, n_imputations=3, n_draws=50, generator=generator, block=20)
    assert mean.shape == x.shape
    assert drawn.shape == (3, *x.shape)
    low, high = model.likelihood.support or (-torch.inf, torch.inf)
    for values in (mean, drawn):
        assert values.isfinite().all()
        assert values.min() >= low
        assert values.max() <= high
    assert not model.likelihood.whole or torch.equal(drawn, drawn.round())


def test_categories_are_the_most_probable_by_the_averaged_probabilities(generator):
    spec = Columns([("numeric", "gaussian", [0, 2]), ("kind", Categorical(3), [1, 3])])
    model = model_from(spec, n_features=4, missing=True, generator=generator)
    x = with_holes(rows_from(model, 5, generator), generator)
    noise = normal(200, 1, 2, generator=generator)
    with torch.no_grad():
        parameters = model.encode(x)
        filled = conditional_mean(model, parameters, x, [noise])
        draw = model.posterior.draw(parameters, noise)
        share = torch.softmax(model.terms_given(parameters, x, noise).log_weight, 0)
        for column in (1, 3):
            probability = []
            for code in range(3):
                guess = x.nan_to_num()
                guess[:, column] = code
                each = model.likelihood.log_probs(model.outputs(draw.z), guess)[..., column].exp()
                probability.append((share * each).sum(0))
            assert torch.equal(filled[:, column], torch.stack(probability).argmax(0).double())
