import pytest
import torch

from skgen._terms import Cotangents
from skgen.likelihoods import Gaussian
from skgen.models.latent_variable import LatentVariableModel
from skgen.objectives import IWAE, DReG
from skgen.training.flat import FlatParameters
from tests.oracles import linear_gaussian_log_prob, log_likelihood_by_quadrature, process_state
from tests.parts import LIKELIHOOD_SPECS, PRIOR_SPECS, REAL_PRIOR_SPECS, model_from, normal, rows_from


@pytest.mark.parametrize("prior", REAL_PRIOR_SPECS)
@pytest.mark.parametrize("likelihood", LIKELIHOOD_SPECS)
def test_the_mean_importance_weight_is_the_likelihood(prior, likelihood, generator):
    model = model_from(likelihood, prior=prior, n_components=1, generator=generator)
    x = rows_from(model, 6, generator)
    # The mean over noise is itself an integral over one number. Before the map into an interval tails are exponential.
    limit = 12 if model.prior.support is None else 60
    noise = torch.linspace(-limit, limit, 250 * 2 * limit + 1, dtype=torch.float64)[:, None, None]
    log_density = -0.5 * (noise[..., 0].square() + torch.log(torch.tensor(2 * torch.pi)))
    with torch.no_grad():
        joint = model.terms(x, noise).log_weight + log_density
        value, coarse = (torch.logsumexp(joint[::n], 0) + torch.log(torch.tensor(n / 250)) for n in (1, 2))
        exact, rough = (log_likelihood_by_quadrature(model, x, n_nodes=n) for n in (6001, 3001))
        mean, scale = model.posterior.mean_and_scale(model.encode(x))
    # The grid of noise reaches beyond the mass of p(z | x) in both directions.
    assert ((mean.abs() + 8) < 12 * scale.clamp_min(1)).all()
    # Splines have kinks in their derivatives: what half the points change tells the error of the rule.
    assert ((value - exact).abs() < 1e-6 * (1 + exact.abs()) + (value - coarse).abs() + (exact - rough).abs()).all()


def linear_gaussian_with_exact_posterior(generator, variance):
    """A linear model with a diagonal posterior that its encoder gives; loading, mean and noise variances."""
    model = model_from(Gaussian(variance=variance), n_features=5, hidden=(), generator=generator)
    model.initialize(torch.zeros(5, dtype=torch.float64), torch.ones(5, dtype=torch.float64))
    if variance != "fixed":
        model.likelihood.log_variance.data.add_(
            0.3 * normal(model.likelihood.log_variance.numel(), generator=generator)
        )
    noise = model.likelihood.noise_variance()
    orthonormal = torch.linalg.qr(normal(5, 2, generator=generator))[0]
    loading = noise.sqrt()[:, None] * orthonormal * torch.tensor([1.5, 0.7], dtype=torch.float64)
    weight, bias = model.decoder.head
    weight.copy_(loading.T)
    precision = 1 + (loading.square() / noise[:, None]).sum(0)
    to_mean = loading / noise[:, None] / precision
    weight, encoder_bias = model.encoder.head
    weight.copy_(torch.cat([to_mean, torch.zeros_like(to_mean)], 1))
    encoder_bias.copy_(torch.cat([-bias @ to_mean, -precision.log()]))
    return model, loading, bias, noise


@pytest.mark.parametrize("variance", ["fixed", "shared", "feature"])
def test_every_draw_of_the_exact_posterior_weighs_as_much_as_the_closed_form(variance, generator):
    model, loading, mean, noise = linear_gaussian_with_exact_posterior(generator, variance)
    x = 2 * normal(7, 5, generator=generator)
    exact = linear_gaussian_log_prob(x, loading, mean, noise)
    with torch.no_grad():
        log_weight = model.terms(x, normal(4, 7, 2, generator=generator)).log_weight
    torch.testing.assert_close(log_weight, exact.expand(4, -1), rtol=1e-10, atol=1e-10)


def encoder_gradient(model, flat, objective, x, noise, **options):
    """Gradient of the encoder at the noise given, as one vector."""
    flat.gradient.zero_()
    with torch.no_grad():
        terms, pullback = model.tracer(**options)(x, noise, None)
        pullback(objective.cotangents(terms, 1.0))
    return torch.cat([parameter.grad.flatten() for parameter in model.encoder.parameters()])


def test_dreg_moves_no_encoder_that_is_the_exact_posterior_whatever_is_drawn(generator):
    model, *_ = linear_gaussian_with_exact_posterior(generator, "feature")
    flat = FlatParameters(model)
    x, noise = 2 * normal(7, 5, generator=generator), normal(4, 7, 2, generator=generator)
    dreg, iwae = (encoder_gradient(model, flat, objective, x, noise) for objective in (DReG(), IWAE()))
    assert dreg.abs().max() < 1e-10
    assert iwae.abs().max() > 1e-3


def test_near_the_exact_posterior_dreg_has_less_noise_than_iwae(generator):
    model, *_ = linear_gaussian_with_exact_posterior(generator, "feature")
    flat = FlatParameters(model)
    weight, _ = model.encoder.head
    weight.add_(0.05 * normal(*weight.shape, generator=generator))
    x, draws = 2 * normal(7, 5, generator=generator), normal(200, 4, 7, 2, generator=generator)
    variances = [
        torch.stack([encoder_gradient(model, flat, objective, x, noise) for noise in draws]).var(0).sum()
        for objective in (DReG(), IWAE())
    ]
    assert variances[0] < 0.5 * variances[1]


def test_draws_of_a_linear_gaussian_model_have_its_covariance(generator):
    model, loading, mean, noise = linear_gaussian_with_exact_posterior(generator, "feature")
    x = rows_from(model, 20000, generator)
    covariance = loading @ loading.T + torch.diag(noise)
    products = (x - mean)[:, :, None] * (x - mean)[:, None, :]
    error = products.std(0) / 20000**0.5
    assert ((products.mean(0) - covariance).abs() < 5 * error).all()


def test_parameters_of_the_posterior_may_be_given(generator):
    model = model_from("bernoulli", generator=generator)
    x, noise = rows_from(model, 4, generator), normal(3, 4, 2, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(
            model.terms_given(model.encode(x), x, noise).log_weight, model.terms(x, noise).log_weight
        )


def test_a_closed_kl_is_found_where_prior_and_posterior_have_one(generator):
    model = model_from("gaussian", generator=generator)
    assert isinstance(model, LatentVariableModel)
    assert model.has_closed_kl()


def test_a_state_dict_holds_the_whole_model(generator):
    model = model_from("gaussian", generator=generator)
    other = model_from("gaussian", generator=generator)
    other.load_state_dict(model.state_dict())
    rows, noise = normal(4, 3, generator=generator), normal(2, 4, 2, generator=generator)
    with torch.no_grad():
        ours, theirs = (m.terms(m.standardize(rows), noise).log_weight for m in (model, other))
    assert torch.equal(ours, theirs)


def test_building_tracing_and_sampling_leave_global_state_alone(generator):
    before = process_state()
    model = model_from("gaussian", dropout=0.2, generator=generator)
    x = rows_from(model, 4, generator)
    model.terms(x, normal(2, 4, 2, generator=generator))
    assert process_state() == before


class Sum:
    """The sum of the bound over draws and rows."""

    @staticmethod
    def cotangents(terms, weight):
        weight = torch.tensor(weight, dtype=torch.float64)
        return Cotangents(weight, kl=-weight) if terms.has_kl else Cotangents(weight, weight, -weight)


@pytest.mark.parametrize("closed_kl", [False, True])
@pytest.mark.parametrize("prior", PRIOR_SPECS)
def test_a_trace_for_the_encoder_only_has_its_gradient_and_leaves_the_decoder_s_alone(prior, closed_kl, generator):
    model = model_from("gaussian", prior=prior, generator=generator)
    closed_kl = closed_kl and model.has_closed_kl()
    flat, x = FlatParameters(model), normal(7, 3, generator=generator)
    noise = normal(4, 7, model.posterior.n_noise, generator=generator)
    full = encoder_gradient(model, flat, Sum, x, noise, closed_kl=closed_kl)
    assert all(parameter.grad.any() for parameter in model.decoder.parameters())
    alone = encoder_gradient(model, flat, Sum, x, noise, closed_kl=closed_kl, encoder_only=True)
    assert torch.equal(alone, full)
    assert not any(parameter.grad.any() for parameter in model.decoder.parameters())
