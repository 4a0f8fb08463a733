"""What every prior in the table keeps."""

import pytest
import torch
from torch import logit

from skgen._terms import evaluate
from skgen.distributions.logistic import box_from_reals
from skgen.posteriors import DiagonalPosterior
from skgen.priors import PRIORS, Prior, PriorSpec
from skgen.priors.base import weighted_points
from tests.oracles import within
from tests.parts import REAL_PRIOR_SPECS, model_from, normal, perturbed

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
    results, tracers = [], (prior.tracer(), Prior.tracer(prior))
    # As an optimiser does: a tracer is made once.
    perturbed(model, generator)
    for tracer in tracers:
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
    results, tracers = [], (prior.normal_kl_tracer(), Prior.normal_kl_tracer(prior))
    perturbed(model, generator)
    for tracer in tracers:
        model.zero_grad(set_to_none=False)
        value, pullback = tracer(mean, log_scale, log_scale.exp())
        value = evaluate(value)
        results.append([value, *pullback(cotangent), *(p.grad.clone() for p in model.parameters())])
    for ours, reference in zip(*results, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-12, atol=1e-12)


def posteriors(generator, n_draws=6, n_rows=5):
    """Draws of normal posteriors, and what is known of them."""
    parameters = normal(n_rows, 2 * COMPONENTS, generator=generator)
    return DiagonalPosterior(COMPONENTS).draw(parameters, normal(n_draws, n_rows, COMPONENTS, generator=generator))


def rows_of(found, rows):
    """Draws of some of the rows."""
    mean, log_scale, scale = (part[rows] for part in (found.mean, found.log_scale, found.scale))
    return found._replace(z=found.z[:, rows], mean=mean, log_scale=log_scale, scale=scale)


def without_moments(found):
    return found._replace(mean=None, log_scale=None, scale=None)


@pytest.mark.parametrize("weighted", ["equal", "rows", "draws"])
@torch.no_grad()
def test_an_m_step_never_lowers_the_mean_log_density_of_draws(prior, generator, weighted):
    found = without_moments(posteriors(generator))
    shape = {"equal": None, "rows": found.z.shape[1:2], "draws": found.z.shape[:2]}[weighted]
    weight = None if shape is None else torch.rand(shape, dtype=torch.float64, generator=generator)
    points, share = weighted_points(found.z, weight)
    if prior.statistics(found, weight) is None:
        with pytest.raises(NotImplementedError, match="no closed M-step"):
            prior.maximise({})
        return
    values = []
    for _ in range(6):
        values.append(share @ prior.log_prob(points))
        prior.maximise(prior.statistics(found, weight))
    # A few roundings of the sum.
    assert (torch.stack(values).diff() >= -1e-12 * values[0].abs()).all()
    assert values[1] > values[0]


@torch.no_grad()
def test_an_m_step_never_raises_a_kl_that_is_closed(prior, generator):
    found = posteriors(generator)
    weight = torch.rand(len(found.mean), dtype=torch.float64, generator=generator)
    statistics, kl = prior.statistics(found, weight), prior.closed_kl(found)
    if statistics is None or kl is None:
        return
    prior.maximise(statistics)
    assert weight @ prior.closed_kl(found).sum(-1) < weight @ kl.sum(-1)


@pytest.mark.parametrize("known", [True, False], ids=["moments", "draws"])
@torch.no_grad()
def test_statistics_of_tiles_add_up_and_a_weight_is_a_repeated_row(prior, generator, known):
    found = posteriors(generator)
    found = found if known else without_moments(found)
    whole = prior.statistics(found)
    if whole is None:
        return
    take = rows_of if known else lambda found, rows: found._replace(z=found.z[:, rows])
    parts = [prior.statistics(take(found, rows)) for rows in (slice(0, 2), slice(2, None))]
    times = torch.tensor([1, 0, 3, 2, 1])
    repeated = prior.statistics(take(found, torch.arange(5).repeat_interleave(times)))
    for name, value in whole.items():
        assert value.dtype == torch.float64
        torch.testing.assert_close(sum(part[name] for part in parts), value, rtol=1e-12, atol=1e-12)
        weighted = prior.statistics(found, times.double())[name]
        torch.testing.assert_close(weighted, repeated[name], rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_rows_without_weight_leave_a_prior_as_it_is(prior, generator):
    found = posteriors(generator)
    statistics = prior.statistics(found, torch.zeros(found.z.shape[1], dtype=torch.float64))
    if statistics is None:
        return
    before = prior.log_prob(found.z)
    prior.maximise(statistics)
    torch.testing.assert_close(prior.log_prob(found.z), before, rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_expected_statistics_are_those_that_an_m_step_leaves_a_prior_at(prior, generator):
    found = posteriors(generator)
    statistics = prior.statistics(found)
    assert prior.closed_m_step == (statistics is not None)
    if statistics is None:
        with pytest.raises(NotImplementedError, match="no closed M-step"):
            prior.expected_statistics()
        return
    prior.maximise(statistics)
    expected, before = prior.expected_statistics(), prior.log_prob(found.z)
    assert float(expected["weight"].sum()) == pytest.approx(1.0, abs=1e-12)
    prior.maximise(expected)
    torch.testing.assert_close(prior.log_prob(found.z), before, rtol=1e-9, atol=1e-9)
