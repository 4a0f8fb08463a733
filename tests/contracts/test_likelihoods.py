"""What every likelihood in the table keeps."""

import pytest
import torch

from skgen._terms import evaluate
from skgen.likelihoods import LIKELIHOODS, Likelihood, LikelihoodSpec
from skgen.likelihoods.base import Head
from tests.oracles import every_row, within
from tests.parts import FAMILY_SPECS, likelihood_from, moments, normal, within_support, without_floor

FEATURES = 3
N_DRAWS = 20000
LARGEST_COUNT = 4000

pytestmark = pytest.mark.parametrize("spec", FAMILY_SPECS)


@pytest.fixture
def likelihood(spec, generator):
    return likelihood_from(spec, FEATURES, generator)[0]


@pytest.fixture
def outputs(likelihood, generator):
    return normal(4, likelihood.n_outputs, generator=generator)


@pytest.fixture
def x(likelihood, outputs, generator):
    """A row drawn for each row of outputs."""
    with torch.no_grad():
        return likelihood.sample(outputs, generator=generator)


def points(likelihood, outputs, generator):
    """Values of one column that hold all of its mass, (points, 1), and the weight of each in an integral."""
    low, high = likelihood.support or (-float("inf"), float("inf"))
    if likelihood.measure == "mass":
        values = torch.arange(max(low, -LARGEST_COUNT), min(high, LARGEST_COUNT) + 1, dtype=torch.float64)
        return values[:, None], torch.ones_like(values)
    if likelihood.support:
        values = torch.linspace(low, high, 40001, dtype=torch.float64)
        weights = torch.full_like(values, values[1] - values[0])
        weights[[0, -1]] *= 0.5
        return values[:, None], weights
    with torch.no_grad():
        draws = likelihood.sample(outputs.expand(2000, -1), generator=generator)
    centre, spread = draws.mean(), draws.std()
    # Equal steps in u sample the centre and, a million spreads away, whatever there is of tails.
    u = torch.linspace(-14, 14, 40001, dtype=torch.float64)
    return (centre + spread * torch.sinh(u))[:, None], spread * torch.cosh(u) * (u[1] - u[0])


@pytest.fixture
def column(spec, generator):
    """A likelihood of one column with its points, weights and log-probabilities, for two rows of outputs."""
    likelihood = likelihood_from(spec, 1, generator)[0]
    outputs = normal(2, likelihood.n_outputs, generator=generator)
    tables = []
    for row in outputs:
        values, weights = points(likelihood, row, generator)
        with torch.no_grad():
            tables.append((row, values, weights, likelihood.log_prob(row.expand(len(values), -1), values)))
    return likelihood, tables


def test_the_table_holds_specs_that_build_likelihoods(spec, likelihood):
    assert isinstance(spec, LikelihoodSpec)
    assert type(spec) in LIKELIHOODS.values()
    assert isinstance(likelihood, Likelihood)
    assert likelihood.n_features == FEATURES
    assert likelihood.measure in ("density", "mass", "mixed")


def test_it_integrates_to_one(column):
    for _, _, weights, log_prob in column[1]:
        assert abs((weights * log_prob.exp()).sum() - 1) < 1e-8


def test_draws_have_the_density_s_mean_which_is_stated_or_of_codes_the_mode_and_its_variance(column, generator):
    likelihood, tables = column
    for row, values, weights, log_prob in tables:
        mass = weights * log_prob.exp()
        with torch.no_grad():
            draws = likelihood.sample(row.expand(N_DRAWS, -1), generator=generator)
            stated = likelihood.mean(row)
        mean = (mass[:, None] * values).sum(0)
        torch.testing.assert_close(stated, values[mass.argmax()] if likelihood.nominal else mean, rtol=1e-6, atol=1e-8)
        assert within(draws, mean)
        assert within((draws - mean) ** 2, (mass[:, None] * (values - mean) ** 2).sum(0))


def test_draws_have_the_density_s_entropy(column, generator):
    likelihood, tables = column
    for row, _, weights, log_prob in tables:
        entropy = -(weights * log_prob.exp() * log_prob.clamp_min(-1e4)).sum()
        with torch.no_grad():
            estimates = -likelihood.log_prob(
                row.expand(N_DRAWS, -1), likelihood.sample(row.expand(N_DRAWS, -1), generator=generator)
            )
        assert within(estimates, entropy)


def test_columns_are_independent_given_the_outputs_or_sum_to_one_together(spec, generator):
    likelihood = likelihood_from(spec, FEATURES, generator)[0]
    row = normal(likelihood.n_outputs, generator=generator)
    if likelihood.measure == "mass" and likelihood.support == (0.0, 1.0):
        rows = every_row((0.0, 1.0), FEATURES)
        with torch.no_grad():
            total = likelihood.log_prob(row.expand(len(rows), -1), rows).exp().sum()
        assert abs(total - 1) < 1e-12
        return
    with torch.no_grad():
        draws = likelihood.sample(row.expand(N_DRAWS, -1), generator=generator)
        log_prob = likelihood.log_prob(row.expand(N_DRAWS, -1), draws)
    # What is even in a box and zero outside has a mean ratio of one under the likelihood's own draws.
    low, high = (draws[: N_DRAWS // 2].quantile(level, 0) for level in (0.3, 0.7))
    size = high - low
    if likelihood.measure == "mass":
        low, high = low.round(), high.round()
        size = high - low + 1
    inside = ((draws >= low) & (draws <= high)).all(-1)
    assert within((inside * torch.exp(-log_prob) / size.prod())[N_DRAWS // 2 :], 1.0)


def test_the_density_is_the_product_of_those_of_the_entries(spec, likelihood, outputs, x, generator):
    for rows in (outputs, outputs.expand(2, 4, -1), outputs[0]):
        with torch.no_grad():
            parts = likelihood.log_probs(rows, x[0] if rows.dim() == 1 else x)
            torch.testing.assert_close(likelihood.log_prob(rows, x[0] if rows.dim() == 1 else x), parts.sum(-1))
        assert parts.shape == (*rows.shape[:-1], FEATURES)
    # What one entry is has no part in the others' densities.
    with torch.no_grad():
        moved = likelihood.sample(outputs.flip(0), generator=generator)
        mixed = torch.cat([x[:, :1], moved[:, 1:]], 1)
        torch.testing.assert_close(likelihood.log_probs(outputs, mixed)[:, 0], likelihood.log_probs(outputs, x)[:, 0])


def test_draws_follow_the_generator_and_keep_shape_and_dtype(likelihood, outputs):
    outputs = outputs.expand(2, 4, -1)
    for dtype in (torch.float64, torch.float32):
        likelihood = likelihood.to(dtype)
        with torch.no_grad():
            first, again, other = (
                likelihood.sample(outputs.to(dtype), generator=torch.Generator().manual_seed(seed))
                for seed in (1, 1, 2)
            )
        assert first.shape == (2, 4, FEATURES)
        assert first.dtype == dtype
        assert torch.equal(first, again)
        assert not torch.equal(first, other)


def test_augmented_rows_lie_in_the_support_and_have_the_rows_as_their_mean(likelihood, generator):
    low, high = likelihood.support or (-1.0, 1.0)
    x = within_support((low, high), torch.rand(FEATURES, dtype=torch.float64, generator=generator))
    x = x.expand(N_DRAWS, -1)
    drawn = likelihood.augment(x, generator=generator)
    assert drawn.shape == x.shape
    assert drawn.min() >= low
    assert drawn.max() <= high
    assert within(drawn, x[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_value_and_gradient_are_finite_at_extreme_outputs(likelihood, x, dtype):
    likelihood = likelihood.to(dtype)
    for size in (0.0, 30.0, 80.0):
        for sign in (-1, 1):
            outputs = torch.full((4, likelihood.n_outputs), sign * size, dtype=dtype)
            value, pullback = likelihood.tracer()(outputs, x.to(dtype))
            gradient = pullback(torch.ones(4, dtype=dtype))
            assert evaluate(value).isfinite().all()
            assert gradient.isfinite().all()
            assert all(p.grad.isfinite().all() for p in likelihood.parameters())


def test_float32_is_close_to_float64(likelihood, outputs, x):
    outputs, x = outputs.float(), x.float()
    with torch.no_grad():
        exact = likelihood.log_prob(outputs.double(), x.double())
        # Parameters are rounded first, so that only the arithmetic differs.
        exact = likelihood.float().double().log_prob(outputs.double(), x.double())
        close = likelihood.float().log_prob(outputs, x).double()
    assert ((close - exact).abs() <= 64 * torch.finfo(torch.float32).eps * (FEATURES + exact.abs())).all()


COTANGENTS = {"number": lambda rows: (), "row": lambda rows: rows[-1:], "draw and row": lambda rows: rows}


@pytest.mark.parametrize("rows", [(), (4,), (1,), (2, 4)], ids=str)
@pytest.mark.parametrize("cotangent_of", COTANGENTS)
@pytest.mark.parametrize("n_features", [1, FEATURES])
def test_tracer_equals_autograd(spec, generator, rows, cotangent_of, n_features):
    likelihood = likelihood_from(spec, n_features, generator)[0]
    outputs = normal(*rows, likelihood.n_outputs, generator=generator)
    with torch.no_grad():
        x = likelihood.sample(outputs[0] if len(rows) == 2 else outputs, generator=generator)
    cotangent = normal(*COTANGENTS[cotangent_of](rows), generator=generator)
    results = []
    for make in (type(likelihood).tracer, Likelihood.tracer):
        for parameter in likelihood.parameters():
            parameter.grad = torch.full_like(parameter, 0.5)
        value, pullback = make(likelihood)(outputs, x)
        value = evaluate(value)
        results.append([value, pullback(cotangent), *(p.grad.clone() for p in likelihood.parameters())])
    for ours, reference in zip(*results, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-12, atol=1e-12)


def test_the_density_in_the_user_s_units_integrates_to_one(spec, generator):
    likelihood, _, scaling = likelihood_from(spec, 1, generator)
    row = normal(likelihood.n_outputs, generator=generator)
    values, weights = points(likelihood, row, generator)
    rows = values * scaling.scale + scaling.shift
    with torch.no_grad():
        log_prob = likelihood.log_prob(row.expand(len(rows), -1), (rows - scaling.shift) / scaling.scale)
    if likelihood.measure == "density":
        log_prob = log_prob - scaling.scale.log().sum()
        weights = weights * scaling.scale
    else:
        assert torch.equal(rows, values)
    assert abs((weights * log_prob.exp()).sum() - 1) < 1e-8


def test_the_start_is_the_columns_mean_where_nothing_is_known_and_no_code_before_others(spec, generator):
    support = spec.build(1).support or (-2.0, 2.0)
    mean = within_support(support, torch.tensor([0.2, 0.5, 0.7], dtype=torch.float64))
    scale = torch.ones(3, dtype=torch.float64)
    likelihood = spec.build(FEATURES).double()
    head = Head(*(torch.zeros(*shape, likelihood.n_outputs, dtype=torch.float64) for shape in ((4,), ())))
    with torch.no_grad():
        likelihood.initialize(head, mean, scale)
        scaling = likelihood.standardize(mean, scale)
        started = likelihood.mean(head.bias) * scaling.scale + scaling.shift
    if likelihood.nominal:
        assert torch.equal(head.bias, torch.zeros_like(head.bias))
    else:
        torch.testing.assert_close(started, mean)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_constant_column_is_started_at_its_value_whatever_the_latent_variables(spec, generator, value):
    mean, scale = moments(FEATURES, generator)
    low, high = spec.build(1).support or (-float("inf"), float("inf"))
    mean, scale = mean.clamp(low + 0.1, high - 0.1), scale.clone()
    mean[1], scale[1] = value, 0.0
    likelihood = spec.build(FEATURES).double()
    head = Head(
        0.1 * normal(4, likelihood.n_outputs, generator=generator),
        torch.zeros(likelihood.n_outputs, dtype=torch.float64),
    )
    with torch.no_grad():
        likelihood.initialize(head, mean, scale)
        scaling = likelihood.standardize(mean, scale)
        assert all(part.isfinite().all() for part in (*head, *scaling))
        assert (scaling.scale > 0).all()
        assert (scaling.input_scale > 0).all()
        hidden = normal(50, 4, generator=generator)
        decoded = likelihood.mean(hidden @ head.weight + head.bias) * scaling.scale + scaling.shift
        log_prob = likelihood.log_prob(head.bias, (mean - scaling.shift) / scaling.scale)
    assert log_prob.isfinite()
    # A likelihood with a bounded mean starts within 1e-2 of a constant at its bound.
    assert ((decoded[:, 1] - value).abs() < 1e-2).all()


def user_log_prob(likelihood, head, scaling, hidden, rows):
    """log p(rows | hidden units) in the user's units."""
    with torch.no_grad():
        x = (rows - scaling.shift) / scaling.scale
        return likelihood.log_prob(hidden @ head.weight + head.bias, x) - scaling.scale.log().sum()


def test_compensation_leaves_the_density_in_the_user_s_units_alone(spec, generator):
    mean, scale = moments(FEATURES, generator)
    likelihood, head, old = likelihood_from(without_floor(spec), FEATURES, generator, mean=mean, scale=scale)
    hidden = 0.3 * normal(6, 4, generator=generator)
    with torch.no_grad():
        x = likelihood.sample(hidden @ head.weight + head.bias, generator=generator)
        new = likelihood.standardize(mean + 0.4 * scale, scale * torch.tensor([1.3, 0.8, 1.1], dtype=torch.float64))
    rows = x * old.scale + old.shift
    before = user_log_prob(likelihood, head, old, hidden, rows)
    none = torch.zeros(FEATURES, dtype=torch.bool)
    with torch.no_grad():
        likelihood.compensate(head, old, new, none)
    torch.testing.assert_close(user_log_prob(likelihood, head, new, hidden, rows), before, rtol=1e-9, atol=1e-9)


def test_a_revived_column_starts_afresh_and_the_others_stay(spec, generator):
    mean, scale = moments(FEATURES, generator)
    support = spec.build(1).support
    if support:
        mean = within_support(support, torch.sigmoid(mean))
        # Where what is cut off at the ends of a support does not move the mean.
        mean[1] = within_support(support, 0.5)
    scale[1] = 0.0
    likelihood, head, old = likelihood_from(spec, FEATURES, generator, mean=mean, scale=scale)
    revived = torch.tensor([False, True, False])
    hidden = normal(6, 4, generator=generator)
    with torch.no_grad():
        before = likelihood.mean(hidden @ head.weight + head.bias) * old.scale + old.shift
        scale[1] = 2.0
        new = likelihood.standardize(mean, scale)
        likelihood.compensate(head, old, new, revived)
        after = likelihood.mean(hidden @ head.weight + head.bias) * new.scale + new.shift
        log_prob = likelihood.log_prob(hidden @ head.weight + head.bias, torch.zeros(6, FEATURES).double())
    torch.testing.assert_close(after[:, ~revived], before[:, ~revived])
    torch.testing.assert_close(after[:, 1], before[:, 1])
    assert log_prob.isfinite().all()
