import numpy as np
import pytest
import torch

from skgen.priors import Vamp
from skgen.priors.vamp import VampPrior
from tests.estimators.configurations import rows, vae
from tests.oracles import within
from tests.parts import model_from, moments, normal, rows_from


def vamp_model(generator, n_pseudo_inputs=6, n_components=2):
    return model_from("gaussian", prior=Vamp(n_pseudo_inputs), n_components=n_components, generator=generator)


def test_with_the_rows_as_pseudo_inputs_it_is_the_aggregated_posterior(generator):
    model = vamp_model(generator)
    with torch.no_grad():
        x, z = normal(6, 3, generator=generator), normal(4, 5, 2, generator=generator)
        model.prior.pseudo_inputs.copy_(x)
        mean, scale = model.posterior.mean_and_scale(model.encode(x))
        each = torch.distributions.Normal(mean, scale).log_prob(z.unsqueeze(-2)).sum(-1)
        torch.testing.assert_close(model.prior.log_prob(z), each.exp().mean(-1).log(), rtol=1e-12, atol=1e-12)


def test_one_pseudo_input_makes_it_the_posterior_of_that_row(generator):
    model = vamp_model(generator, n_pseudo_inputs=1)
    noise = normal(3, 1, 2, generator=generator)
    draw = model.posterior.draw(model.encode(model.prior.pseudo_inputs), noise)
    torch.testing.assert_close(model.prior.log_prob(draw.z), draw.log_prob, rtol=1e-12, atol=1e-12)


def test_draws_come_from_all_pseudo_inputs_alike(generator):
    model = vamp_model(generator)
    with torch.no_grad():
        mean, scale = model.posterior.mean_and_scale(model.encode(model.prior.pseudo_inputs))
        z = model.prior.sample(20000, generator=generator, like=model.scale)
    assert within(z, mean.mean(0))
    assert within(z**2, (mean**2 + scale**2).mean(0))


def test_the_monte_carlo_kl_has_the_mean_that_quadrature_gives(generator):
    model = vamp_model(generator, n_components=1)
    with torch.no_grad():
        x = rows_from(model, 1, generator)
        mean, scale = model.posterior.mean_and_scale(model.encode(x))
        line = mean[0] + 12 * scale[0] * torch.linspace(-1, 1, 4001, dtype=torch.float64)
        density = torch.distributions.Normal(mean[0], scale[0]).log_prob(line)
        exact = torch.trapezoid(density.exp() * (density - model.prior.log_prob(line[:, None])), line)
        terms = model.terms(x, normal(50000, 1, 1, generator=generator))
    assert within((terms.log_posterior - terms.log_prior)[:, 0], exact)


def test_it_stays_what_it_is_when_the_standardisation_moves(generator):
    model, z = vamp_model(generator), normal(7, 2, generator=generator)
    with torch.no_grad():
        before, row = model.prior.log_prob(z), model.unstandardize(model.prior.pseudo_inputs)
        model.restandardize(*moments(3, generator), torch.zeros(3, dtype=torch.bool))
        torch.testing.assert_close(model.unstandardize(model.prior.pseudo_inputs), row, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(model.prior.log_prob(z), before, rtol=1e-9, atol=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_pseudo_inputs_start_as_rows_in_their_own_scale_drawn_by_weight():
    X = 1000 + 50 * rows(60)
    weight = np.where(np.arange(60) < 20, 1.0, 0.0)
    for n_pseudo_inputs in (5, 20, 50):
        estimator = vae(prior=Vamp(n_pseudo_inputs), learning_rate=0, max_iter=1).fit(X, sample_weight=weight)
        weights = estimator.weights_
        pseudo = weights["prior.pseudo_inputs"] * weights["scale"] + weights["shift"]
        distance = np.abs(pseudo[:, None] - X[:20]).max(-1)
        assert distance.min(1).max() < 1e-6 * 1000
        assert len(np.unique(distance.argmin(1))) == min(n_pseudo_inputs, 20)


def test_a_number_out_of_range_is_named():
    assert isinstance(Vamp().build(2), VampPrior)
    with pytest.raises(ValueError, match="prior__n_pseudo_inputs"):
        Vamp(n_pseudo_inputs=0).build(2)
