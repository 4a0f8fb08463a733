import pytest
import torch

from skgen._terms import evaluate
from skgen.likelihoods.base import Head
from skgen.likelihoods.gaussian import DEFAULT_VARIANCE, LARGEST_LOG_VARIANCE, VARIANCES, Gaussian
from tests.parts import likelihood_from, moments, normal

MEAN = torch.tensor([1.0, -2.0, 5.0], dtype=torch.float64)
SCALE = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)

every_variance = pytest.mark.parametrize("variance", VARIANCES)


def started(spec, scale=SCALE, n_hidden=4):
    likelihood = spec.build(3).double()
    n_outputs = likelihood.n_outputs
    head = Head(torch.ones(n_hidden, n_outputs, dtype=torch.float64), torch.ones(n_outputs, dtype=torch.float64))
    with torch.no_grad():
        head.bias.zero_()
        head.weight.mul_(0 if spec.variance == "network" else 1)
        likelihood.initialize(head, MEAN, scale)
    return likelihood, head, likelihood.standardize(MEAN, scale)


def user_variance(likelihood, head, scaling):
    """Noise variance in squared units of the user's columns, at hidden units of zero."""
    return likelihood._moments(head.bias)[1].detach().expand(3) * scaling.scale**2


@every_variance
def test_log_prob_is_the_normal_density(variance, generator):
    likelihood, _, _ = likelihood_from(Gaussian(variance=variance), 3, generator)
    outputs = normal(2, 4, likelihood.n_outputs, generator=generator)
    x = normal(4, 3, generator=generator)
    raw = outputs[..., 3:] if variance == "network" else likelihood.log_variance
    scale = (raw.exp() + likelihood.floor).sqrt()
    expected = torch.distributions.Normal(outputs[..., :3], scale).log_prob(x).sum(-1)
    torch.testing.assert_close(likelihood.log_prob(outputs, x), expected)
    torch.testing.assert_close(evaluate(likelihood.tracer()(outputs.detach(), x)[0]), expected.detach())


@pytest.mark.parametrize("variance", ["fixed", "shared"])
def test_a_common_scale_keeps_the_columns_relative_sizes(variance):
    _, _, scaling = started(Gaussian(variance=variance))
    torch.testing.assert_close(scaling.scale, (SCALE**2).mean().sqrt().expand(3))
    torch.testing.assert_close(scaling.input_scale, SCALE)


@pytest.mark.parametrize("variance", ["feature", "network"])
def test_other_variances_scale_each_column(variance):
    _, _, scaling = started(Gaussian(variance=variance))
    assert torch.equal(scaling.scale, SCALE)
    assert torch.equal(scaling.shift, MEAN)


@every_variance
def test_noise_starts_at_a_tenth_of_the_columns_variance(variance):
    likelihood, head, scaling = started(Gaussian(variance=variance))
    torch.testing.assert_close(user_variance(likelihood, head, scaling), DEFAULT_VARIANCE * scaling.scale**2)


@every_variance
def test_noise_starts_where_the_user_says_in_the_user_s_units(variance):
    likelihood, head, scaling = started(Gaussian(variance=variance, noise_variance=0.3))
    torch.testing.assert_close(
        user_variance(likelihood, head, scaling),
        torch.full((3,), 0.3, dtype=torch.float64),
        rtol=1e-6,
        atol=0,
    )


def test_what_is_learnt():
    sizes = {variance: [p.numel() for p in Gaussian(variance=variance).build(3).parameters()] for variance in VARIANCES}
    assert sizes == {"fixed": [], "shared": [1], "feature": [3], "network": []}
    outputs = {variance: Gaussian(variance=variance).build(3).n_outputs for variance in VARIANCES}
    assert outputs == {"fixed": 3, "shared": 3, "feature": 3, "network": 6}


@pytest.mark.parametrize("variance", ["feature", "network"])
def test_a_constant_column_has_its_variance_at_the_floor(variance):
    scale = SCALE.clone()
    scale[1] = 0
    likelihood, head, scaling = started(Gaussian(variance=variance), scale)
    floor = likelihood.floor
    assert floor < user_variance(likelihood, head, scaling)[1] <= 1.01 * floor
    assert not head.weight[:, 1].any()


@pytest.mark.parametrize("variance", ["shared", "feature", "network"])
def test_a_learnt_variance_never_falls_below_its_floor(variance):
    likelihood = Gaussian(variance=variance, min_variance=0.01).build(3)
    outputs = torch.full((likelihood.n_outputs,), -200.0)
    if variance != "network":
        likelihood.log_variance.data.fill_(-200.0)
    assert likelihood._moments(outputs)[1].detach().min() == pytest.approx(0.01)


@every_variance
def test_under_compensation_only_the_floor_of_a_network_s_variance_moves(variance, generator):
    mean, scale = moments(3, generator)
    likelihood, head, old = likelihood_from(Gaussian(variance=variance), 3, generator, mean=mean, scale=scale)
    hidden = normal(5, 4, generator=generator)

    def in_user_units(scaling):
        with torch.no_grad():
            mean, noise = likelihood._moments(hidden @ head.weight + head.bias)
        return mean * scaling.scale + scaling.shift, noise.expand(mean.shape) * scaling.scale**2

    before = in_user_units(old)
    new = likelihood.standardize(mean + 1, 1.5 * scale)
    with torch.no_grad():
        likelihood.compensate(head, old, new, torch.zeros(3, dtype=torch.bool))
    after = in_user_units(new)
    moved = likelihood.floor * (new.scale**2 - old.scale**2) if variance == "network" else 0.0
    torch.testing.assert_close(after[0], before[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(after[1], before[1] + moved, rtol=1e-12, atol=1e-12)


def test_noise_variance_is_that_of_draws_and_none_where_it_depends_on_the_row(generator):
    for variance in ("fixed", "shared", "feature"):
        likelihood, _, _ = likelihood_from(Gaussian(variance=variance), 3, generator)
        stated = likelihood.noise_variance()
        assert stated.shape == (3,)
        draws = likelihood.sample(torch.zeros(20000, 3, dtype=torch.float64), generator=generator).detach()
        error = stated * (2 / 20000) ** 0.5
        assert ((draws.square().mean(0) - stated).abs() < 5 * error).all()
    assert Gaussian(variance="network").build(3).noise_variance() is None


def test_fields_out_of_range_are_named():
    with pytest.raises(ValueError, match=r"variance must be one of .*'feature'.*, got 'none'"):
        Gaussian(variance="none").build(1)
    with pytest.raises(ValueError, match="noise_variance must be a number > 0 and < inf, got 0"):
        Gaussian(noise_variance=0).build(1)
    with pytest.raises(ValueError, match="min_variance must be a number > 0 and < inf, got -1"):
        Gaussian(min_variance=-1).build(1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("raw", [25.0, 1000.0])
def test_beyond_its_cap_a_network_s_variance_has_value_and_gradient_of_the_cap(raw, dtype):
    likelihood = Gaussian(variance="network").build(1).to(dtype)
    results = []
    for log_variance in (LARGEST_LOG_VARIANCE, raw):
        value, pullback = likelihood.tracer()(
            torch.tensor([[0.3, log_variance]], dtype=dtype), torch.ones(1, 1).to(dtype)
        )
        results.append((evaluate(value), pullback(torch.tensor(1.0, dtype=dtype))))
    torch.testing.assert_close(results[1], results[0])
    assert results[1][1][0, 1] < 0
