"""Models of networks on rows of which entries are missing."""

import pytest
import torch

from skgen._terms import Cotangents
from skgen.likelihoods import Bernoulli, Gaussian
from skgen.training.flat import FlatParameters
from tests.oracles import log_likelihood_by_quadrature
from tests.parts import (
    LIKELIHOOD_SPECS,
    REAL_PRIOR_SPECS,
    model_from,
    moments,
    normal,
    rows_from,
    with_holes,
    without_floor,
)

# Rows in flat buffers are padded, which autograd would rather not have.
pytestmark = pytest.mark.filterwarnings("ignore:grad and param do not obey:UserWarning")

both = pytest.mark.parametrize("missing", [False, True])
every = pytest.mark.parametrize("likelihood", LIKELIHOOD_SPECS)


@both
@every
def test_the_terms_of_a_row_do_not_depend_on_its_company(likelihood, missing, generator):
    model = model_from(likelihood, missing=missing, generator=generator)
    x, noise = with_holes(rows_from(model, 6, generator), generator), normal(3, 1, 2, generator=generator)
    with torch.no_grad():
        together = model.terms(x, noise).log_weight + model.log_jacobian_of(x)
        for i, row in enumerate(x):
            alone = model.terms(row[None], noise).log_weight + model.log_jacobian_of(row[None])
            torch.testing.assert_close(together[:, i], alone[:, 0])
    assert together.isfinite().all()


@both
@every
def test_what_is_known_of_nothing_has_likelihood_one(likelihood, missing, generator):
    model = model_from(likelihood, missing=missing, generator=generator)
    x = torch.full((2, 3), torch.nan, dtype=torch.float64)
    with torch.no_grad():
        terms = model.terms(x, normal(3, 2, 2, generator=generator))
    assert (terms.log_likelihood == 0).all()
    assert (model.log_jacobian_of(x) == 0).all()


@pytest.mark.parametrize("prior", REAL_PRIOR_SPECS)
@both
def test_the_mean_importance_weight_is_the_likelihood_of_what_is_there(prior, missing, generator):
    model = model_from("gaussian", prior=prior, n_components=1, missing=missing, generator=generator)
    x = with_holes(rows_from(model, 6, generator), generator)
    limit = 12 if model.prior.support is None else 60
    noise = torch.linspace(-limit, limit, 250 * 2 * limit + 1, dtype=torch.float64)[:, None, None]
    log_density = -0.5 * (noise[..., 0].square() + torch.log(torch.tensor(2 * torch.pi)))
    with torch.no_grad():
        joint = model.terms(x, noise).log_weight + log_density
        value, coarse = (torch.logsumexp(joint[::n], 0) + torch.log(torch.tensor(n / 250)) for n in (1, 2))
        exact, rough = (log_likelihood_by_quadrature(model, x, n_nodes=n) for n in (6001, 3001))
    # Splines have kinks in their derivatives: what half the points change tells the error of the rule.
    assert ((value - exact).abs() < 1e-6 * (1 + exact.abs()) + (value - coarse).abs() + (exact - rough).abs()).all()


@every
def test_the_encoder_learns_of_an_entry_that_is_missing_and_not_of_what_it_was(likelihood, generator):
    model = model_from(likelihood, missing=True, generator=generator)
    x = rows_from(model, 4, generator)
    first = torch.tensor([True, False, False])
    hidden = x.masked_fill(first, torch.nan)
    with torch.no_grad():
        assert (model.inputs(hidden)[:, -3:] == (~first).double()).all()
        assert (model.inputs(x)[:, -3:] == 1).all()
        filled = model.inputs(x)
        filled[:, : model.likelihood.n_inputs] = model.inputs(hidden)[:, : model.likelihood.n_inputs]
        assert (model.encode(hidden) - model.encoder(filled)).abs().max() > 1e-3


@both
@every
def test_restandardising_leaves_the_function_of_rows_with_missing_entries_in_the_user_s_units(
    likelihood, missing, generator
):
    model = model_from(without_floor(likelihood), missing=missing, generator=generator)
    with torch.no_grad():
        rows = model.unstandardize(rows_from(model, 6, generator))
        rows = with_holes(rows, generator) if missing else rows
        noise = normal(2, 6, 2, generator=generator)

        def in_user_units():
            x = model.standardize(rows)
            return model.terms(x, noise).log_weight + model.log_jacobian_of(x), model.encode(x)

        before = in_user_units()
        for _ in range(2):
            model.restandardize(*moments(3, generator, model.likelihood.support), torch.zeros(3, dtype=torch.bool))
        for a, b in zip(in_user_units(), before, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


def test_a_model_of_complete_rows_sees_column_means_in_place_of_missing_entries(generator):
    model = model_from("poisson", generator=generator)
    mean, scale = moments(3, generator, model.likelihood.support)
    model.initialize(mean, scale)
    x = torch.tensor([[3.0, torch.nan, 1.0]], dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(model.encode(x), model.encode(torch.where(x.isnan(), mean, x)))
        model.restandardize(2 * mean, scale, torch.zeros(3, dtype=torch.bool))
        torch.testing.assert_close(model.encode(x), model.encode(torch.where(x.isnan(), 2 * mean, x)))


@every
def test_the_trace_is_the_value_and_gradient_of_the_terms(likelihood, generator):
    model = model_from(likelihood, missing=True, generator=generator)
    x, noise = with_holes(rows_from(model, 6, generator), generator), normal(2, 6, 2, generator=generator)
    parameters = FlatParameters(model)
    cotangent = normal(2, 6, generator=generator)
    with torch.no_grad():
        terms, pullback = model.tracer()(x, noise, None)
        value = terms.log_weight.clone()
        pullback(Cotangents(cotangent, cotangent, -cotangent))
    gradient = parameters.gradient.clone()
    parameters.gradient.zero_()
    expected = model.terms(x, noise).log_weight
    expected.backward(cotangent)
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(gradient, parameters.gradient)


def test_redrawn_rows_keep_what_is_missing(generator):
    model = model_from(Bernoulli("dynamic"), missing=True, generator=generator)
    x = with_holes(torch.rand(8, 3, dtype=torch.float64, generator=generator), generator)
    drawn = model.augment(x, generator=generator)
    assert torch.equal(drawn.isnan(), x.isnan())
    assert set(drawn[~drawn.isnan()].tolist()) <= {0.0, 1.0}
    assert model_from(Gaussian(), missing=True, generator=generator).augment(x, generator=generator) is x
