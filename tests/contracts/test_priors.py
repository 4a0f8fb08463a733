"""What every prior in the table keeps."""

import pytest
import torch
from torch import logit

from skgen._terms import evaluate
from skgen.distributions.logistic import box_from_reals
from skgen.priors import PRIORS, Prior, PriorSpec
from tests.oracles import within
from tests.parts import REAL_PRIOR_SPECS, model_from, normal

COMPONENTS = 3
N_DRAWS = 20000

pytestmark = pytest.mark.parametrize("spec", REAL_PRIOR_SPECS)


def model_of(spec, generator, n_components=COMPONENTS):
    """A model with the prior, which may need its encoder, and zero gradients in place."""
    return model_from("gaussian", prior=spec, n_components=n_components, generator=generator)


@pytest.fixture
def model(spec, generator):
    return model_of(spec, generator)


@pytest.fixture
def prior(model):
    return model.prior


def line(prior):
    """Points that the density of one component is integrated over."""
    return torch.linspace(*(prior.support or (-40, 40)), 20001, dtype=torch.float64)


def draw(prior, n_draws, generator, dtype=torch.float64):
    with torch.no_grad():
        return prior.sample(n_draws, generator=generator, like=torch.zeros(1, dtype=dtype))


def test_the_table_holds_specs_that_build_priors(spec, prior):
    assert isinstance(spec, PriorSpec)
    assert type(spec) in PRIORS.values()
    assert isinstance(prior, Prior)
    assert prior.n_components == COMPONENTS


def test_it_integrates_to_one(spec, generator):
    prior = model_of(spec, generator, 1).prior
    z = line(prior)[:, None]
    with torch.no_grad():
        density = prior.log_prob(z).exp()
    total, coarse = (torch.trapezoid(density[::step], z[::step, 0]) for step in (1, 2))
    # The rule is exact for smooth densities. Those with kinks are known up to what half the points change.
    assert abs(total - 1) < 1e-8 + abs(total - coarse)


def test_draws_have_the_moments_of_the_density(spec, generator):
    prior = model_of(spec, generator, 1).prior
    z = line(prior)
    draws = draw(prior, N_DRAWS, generator)[:, 0]
    with torch.no_grad():
        density = prior.log_prob(z[:, None]).exp()
    for power in (1, 2, 3, 4):
        assert within(draws**power, torch.trapezoid(density * z**power, z))


def test_components_of_draws_have_the_density_of_log_prob(prior, generator):
    # Any density on the same space integrates, under the prior, to one as a ratio; so does a narrower normal.
    z = draw(prior, N_DRAWS, generator)
    y = z if prior.support is None else logit((z - prior.support[0]) / (prior.support[1] - prior.support[0]))
    other = torch.distributions.Normal(y.mean(0), 0.7 * y.std(0))
    slope = 0 if prior.support is None else box_from_reals(y, *prior.support)[1]
    with torch.no_grad():
        ratio = torch.exp(other.log_prob(y).sum(-1) - slope - prior.log_prob(z))
    assert within(ratio, 1.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_keep_shape_dtype_and_follow_the_generator(model, dtype):
    prior = model.to(dtype).prior
    first, again, other = (draw(prior, 7, torch.Generator().manual_seed(seed), dtype) for seed in (1, 1, 2))
    assert first.shape == (7, COMPONENTS)
    assert first.dtype == dtype
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_leading_axes_are_kept(prior, generator):
    z = normal(4, 5, COMPONENTS, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(prior.log_prob(z), torch.stack([prior.log_prob(part) for part in z]))


def test_float32_is_close_to_float64(model, generator):
    z = draw(model.prior, 50, generator).float()
    with torch.no_grad():
        exact = model.prior.log_prob(z.double())
        close = model.float().prior.log_prob(z).double()
    assert ((close - exact).abs() <= 64 * torch.finfo(torch.float32).eps * (COMPONENTS + exact.abs())).all()


@pytest.mark.parametrize("shape", [(5,), (2, 5)])
@pytest.mark.parametrize("per_row", [True, False], ids=["rows", "number"])
def test_tracer_equals_autograd(model, prior, generator, shape, per_row):
    z = normal(*shape, COMPONENTS, generator=generator)
    cotangent = normal(*shape, generator=generator) if per_row else torch.tensor(-0.7, dtype=torch.float64)
    results = []
    for tracer in (prior.tracer(), Prior.tracer(prior)):
        model.zero_grad(set_to_none=False)
        value, pullback = tracer(z)
        results.append([evaluate(value), pullback(cotangent), *(p.grad.clone() for p in model.parameters())])
    for ours, reference in zip(*results, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-12, atol=1e-12)


def closed_kl(prior, generator, n_rows=4):
    """Mean, log-scale and KL of some normals, the KL None where the prior has no closed form."""
    mean, log_scale = normal(2, n_rows, COMPONENTS, generator=generator)
    with torch.no_grad():
        return mean, 0.5 * log_scale, prior.normal_kl(mean, 0.5 * log_scale)


def test_closed_form_kl_agrees_with_monte_carlo(prior, generator):
    mean, log_scale, kl = closed_kl(prior, generator)
    posterior = torch.distributions.Normal(mean, log_scale.exp())
    z = mean + log_scale.exp() * normal(N_DRAWS, *mean.shape, generator=generator)
    with torch.no_grad():
        if prior.support is not None:
            assert kl is None
            return
        estimates = posterior.log_prob(z).sum(-1) - prior.log_prob(z)
    if kl is None:
        assert (estimates.mean(0) >= -5 * estimates.std(0) / N_DRAWS**0.5).all()
        return
    assert kl.shape == mean.shape
    assert (kl >= -1e-12).all()
    assert within(estimates, kl.sum(-1))


@pytest.mark.parametrize("cotangent_of", ["number", "row", "component"])
def test_kl_tracer_equals_autograd(model, prior, generator, cotangent_of):
    mean, log_scale, kl = closed_kl(prior, generator)
    shape = {"number": (), "row": (len(mean), 1), "component": mean.shape}[cotangent_of]
    cotangent = normal(*shape, generator=generator)
    if kl is None:
        return
    results = []
    for tracer in (prior.normal_kl_tracer(), Prior.normal_kl_tracer(prior)):
        model.zero_grad(set_to_none=False)
        value, pullback = tracer(mean, log_scale, log_scale.exp())
        value = evaluate(value)
        results.append([value, *pullback(cotangent), *(p.grad.clone() for p in model.parameters())])
    for ours, reference in zip(*results, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-12, atol=1e-12)
