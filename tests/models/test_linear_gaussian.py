import itertools

import pytest
import torch

from skgen._exact_model import added
from skgen._rows import Rows
from skgen.models.linear_gaussian import LinearGaussian
from skgen.training.em import BatchEM
from skgen.training.expectation import Expectation
from tests.oracles import linear_gaussian_log_prob, within
from tests.parts import normal

# Sums over a hundred rows of products of numbers of order one to ten.
ROUNDING = {"rtol": 1e-10, "atol": 1e-10}

every_noise = pytest.mark.parametrize("noise", ["isotropic", "diagonal"])


def parameters(noise, generator, n_features=5, n_factors=2):
    variance = torch.exp(0.5 * normal(n_features, generator=generator))
    return {
        "mean": 0.3 * normal(n_features, generator=generator),
        "loadings": normal(n_features, n_factors, generator=generator),
        "noise": variance.mean() if noise == "isotropic" else variance,
    }


def data(generator, n_rows=60, n_features=5, *, missing=0.0, n_factors=2):
    x = normal(n_rows, n_factors, generator=generator) @ normal(n_factors, n_features, generator=generator)
    x += normal(n_rows, n_features, generator=generator)
    gone = torch.rand(x.shape, generator=generator, dtype=torch.float64) < missing
    return x.masked_fill(gone, float("nan"))


def covariance(p):
    return p["loadings"] @ p["loadings"].T + torch.diag(p["noise"].expand(len(p["mean"])))


def exact(x, p):
    """log p(x) by dense normals of the observed entries."""
    values = []
    for row in x:
        seen = ~torch.isnan(row)
        values.append(
            linear_gaussian_log_prob(
                row[seen], p["loadings"][seen], p["mean"][seen], p["noise"].expand(len(seen))[seen]
            )
            if seen.any()
            else torch.zeros((), dtype=torch.float64)
        )
    return torch.stack(values)


def log_prob(model, x, p, **options):
    rows = Rows(x, **options)
    found = x.new_empty(len(x))
    for place, tile in zip(rows.places(), rows, strict=True):
        found[place] = model.bind(p).log_prob(tile)
    return found


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], **ROUNDING)


@every_noise
@pytest.mark.parametrize("missing", [0.0, 0.4, 0.9])
def test_the_log_density_is_that_of_the_observed_entries(noise, missing, generator):
    p, x = parameters(noise, generator), data(generator, missing=missing)
    model = LinearGaussian(5, 2, noise)
    torch.testing.assert_close(log_prob(model, x, p, tile_rows=7, incomplete_tile_rows=7), exact(x, p), **ROUNDING)
    for summarized in (True, False):
        model = LinearGaussian(5, 2, noise, summarized=summarized)
        value = Expectation(model, Rows(x)).value(p)
        assert value == pytest.approx(float(exact(x, p).mean()), rel=1e-10)


@every_noise
@pytest.mark.parametrize("summarized", [True, False])
def test_statistics_add_over_tiles(noise, summarized, generator):
    p, x = parameters(noise, generator), data(generator, missing=0.1)
    weight = torch.rand(len(x), generator=generator, dtype=torch.float64)
    model = LinearGaussian(5, 2, noise, summarized=summarized)
    whole = Expectation(model, Rows(x, weight))(p)[0]
    total = {}
    for tile in Rows(x, weight, tile_rows=4, incomplete_tile_rows=3):
        added(total, model.statistics(p, tile)[0])
    assert_same(total, whole)


@every_noise
def test_moments_say_what_the_rows_say(noise, generator):
    p, x = parameters(noise, generator), data(generator)
    weight = torch.rand(len(x), generator=generator, dtype=torch.float64)
    (first, a), (second, b) = (
        Expectation(LinearGaussian(5, 2, noise, summarized=summarized), Rows(x, weight))(p)
        for summarized in (True, False)
    )
    assert_same(first, second)
    assert a == pytest.approx(b, rel=1e-10)


@every_noise
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_weights_are_repetitions(noise, missing, generator):
    p, x = parameters(noise, generator), data(generator, missing=missing)
    times = torch.arange(len(x)) % 3
    model = LinearGaussian(5, 2, noise)
    weighted, a = Expectation(model, Rows(x, times.double()))(p)
    repeated, b = Expectation(model, Rows(x.repeat_interleave(times, 0)))(p)
    assert_same(weighted, repeated)
    assert a == pytest.approx(b, rel=1e-10)


def em(model, x, p, n_steps, generator):
    solver = BatchEM(model, Rows(x), p, generator=generator)
    return solver, [solver.step() for _ in range(n_steps)]


@every_noise
@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("expanded", [True, False])
def test_em_never_lowers_the_likelihood(noise, missing, expanded, generator):
    model = LinearGaussian(5, 2, noise, expanded=expanded)
    _, values = em(model, data(generator, missing=missing), parameters(noise, generator), 60, generator)
    assert min(b - a for a, b in itertools.pairwise(values)) > -1e-13


@every_noise
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_em_ends_where_the_gradient_is_zero(noise, missing, generator):
    x = data(generator, 200, 6, missing=missing, n_factors=1)
    solver, _ = em(LinearGaussian(6, 1, noise, expanded=True), x, parameters(noise, generator, 6, 1), 300, generator)
    _, gradient = solver.expectation.backward(solver.model.unconstrain(solver.parameters))
    assert gradient.abs().max() < 1e-8


@every_noise
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_expansion_leads_to_the_same_likelihood_in_fewer_iterations(noise, missing, generator):
    x, start = data(generator, 200, 6, missing=missing, n_factors=1), parameters(noise, generator, 6, 1)
    expanded, plain = (
        em(LinearGaussian(6, 1, noise, expanded=expanded), x, start, 150, generator)[1] for expanded in (True, False)
    )
    assert abs(expanded[-1] - plain[-1]) < 1e-9
    first = [next(i for i, value in enumerate(run) if value > run[-1] - 1e-7) for run in (expanded, plain)]
    assert first[0] < first[1]


@every_noise
def test_the_gradient_is_that_of_the_expected_complete_log_likelihood(noise, generator):
    # Fisher's identity.
    x, p, model = data(generator, missing=0.2), parameters(noise, generator), LinearGaussian(5, 2, noise)
    rows, vector = Rows(x), model.unconstrain(p)
    _, gradient = Expectation(model, rows).backward(vector)
    vector = vector.requires_grad_()
    total = 0.0
    for tile in rows:
        z, factor = model.bind(p).factors(tile)
        deviation = torch.linalg.cholesky(torch.cholesky_inverse(factor))
        for sign in (1, -1):
            # The points z +- sqrt(q) times each column of the covariance's factor have its mean and covariance.
            for column in range(2):
                point = z + sign * 2**0.5 * deviation[..., column]
                joint = model.bind(model.constrain(vector)).log_joint(tile, point)
                total = total + joint.sum() / 4
    expected = torch.autograd.grad(total / len(x), vector)[0]
    torch.testing.assert_close(gradient, expected, **ROUNDING)


@every_noise
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_draws_have_the_expected_statistics(noise, missing, generator):
    p, x = parameters(noise, generator), data(generator, 20, missing=missing)
    model, rows = LinearGaussian(5, 2, noise), Rows(x)
    expected, _ = Expectation(model, rows)(p)
    draws = {name: [] for name in expected}
    for _ in range(400):
        total = {}
        for tile in rows:
            added(total, model.bind(p).draw(tile, generator))
        for name, value in total.items():
            draws[name].append(value)
    for name, value in expected.items():
        assert within(torch.stack(draws[name]), value), name


def test_missing_entries_are_filled_from_their_conditional_law(generator):
    p, x = parameters("diagonal", generator), data(generator, 1)
    x[0, [1, 3]] = float("nan")
    seen, gone, sigma = torch.tensor([0, 2, 4]), torch.tensor([1, 3]), covariance(p)
    gain = torch.linalg.solve(sigma[seen][:, seen], sigma[seen][:, gone]).T
    mean = p["mean"][gone] + gain @ (x[0, seen] - p["mean"][seen])
    spread = sigma[gone][:, gone] - gain @ sigma[seen][:, gone]
    posterior = LinearGaussian(5, 2, "diagonal").bind(p)
    filled = posterior.impute(next(iter(Rows(x))))
    torch.testing.assert_close(filled[0, gone], mean, **ROUNDING)
    torch.testing.assert_close(filled[0, seen], x[0, seen])
    drawn = posterior.impute(next(iter(Rows(x.expand(4000, -1).contiguous()))), generator)[:, gone]
    assert within(drawn, mean)
    assert within((drawn - mean)[:, :, None] * (drawn - mean)[:, None], spread)


@every_noise
def test_unconstrained_parameters_go_and_come_back(noise, generator):
    model, p = LinearGaussian(5, 2, noise), parameters(noise, generator)
    assert_same(model.constrain(model.unconstrain(p)), p)


@every_noise
def test_free_parameters_do_not_depend_on_what_features_are_measured_in(noise, generator):
    p = parameters(noise, generator)
    unit = torch.tensor([1e-3, 1.0, 10.0, 1e4, 7.0], dtype=torch.float64)
    unit = unit[3].expand(5) if noise == "isotropic" else unit
    variance = unit.square()[0] if noise == "isotropic" else unit.square()
    other = {"mean": p["mean"] * unit, "loadings": p["loadings"] * unit[:, None], "noise": p["noise"] * variance}
    model = LinearGaussian(5, 2, noise, floor=1e-12 * variance, unit=unit)
    vector, plain = model.unconstrain(other), LinearGaussian(5, 2, noise).unconstrain(p)
    torch.testing.assert_close(vector[:15], plain[:15], rtol=1e-12, atol=0)
    assert_same(model.constrain(vector), other)


@every_noise
def test_noise_stays_at_its_floor(noise, generator):
    x = data(generator)
    x[:, 0] = 0
    floor = (
        torch.tensor(0.01, dtype=torch.float64) if noise == "isotropic" else torch.full((5,), 0.01, dtype=torch.float64)
    )
    model = LinearGaussian(5, 4, noise, floor=floor)
    solver, values = em(model, x, parameters(noise, generator, n_factors=4), 500, generator)
    assert (solver.parameters["noise"] >= model.floor).all()
    # Sums of squares are rounded, and divided by the floor.
    assert min(b - a for a, b in itertools.pairwise(values)) > -1e-11
    assert model.unconstrain(solver.parameters).isfinite().all()


def test_a_feature_that_no_row_of_a_batch_has_keeps_its_parameters(generator):
    p, x = parameters("diagonal", generator), data(generator, 20)
    x[:, 2] = float("nan")
    model = LinearGaussian(5, 2, "diagonal")
    after = model.m_step(Expectation(model, Rows(x))(p)[0], p)
    for name, value in after.items():
        assert torch.equal(value[2], p[name][2])
        assert value.isfinite().all()


def test_fewer_drawn_rows_than_factors_are_learnt_from(generator):
    p, x = parameters("isotropic", generator, n_factors=4), data(generator, 1)
    model, tile = LinearGaussian(5, 4, expanded=True), next(iter(Rows(x)))
    after = model.m_step(model.bind(p).draw(tile, generator), p)
    assert all(value.isfinite().all() for value in after.values())


@every_noise
def test_moments_of_incomplete_rows_are_those_of_their_draws(noise, generator):
    p, x = parameters(noise, generator), data(generator, 20, missing=0.4)
    posterior, tiles = LinearGaussian(5, 2, noise).bind(p), list(Rows(x, torch.rand(20, generator=generator).double()))
    total, draws = {}, {"weight": [], "first": [], "second": []}
    for tile in tiles:
        added(total, posterior.completed_moments(tile))
    for _ in range(2000):
        drawn = {}
        for tile in tiles:
            filled = posterior.impute(tile, generator)
            first, second = tile.weight @ filled, (filled * tile.weight[:, None]).T @ filled
            added(drawn, {"weight": tile.total, "first": first, "second": second})
        for name, value in drawn.items():
            draws[name].append(value)
    for name, value in total.items():
        assert within(torch.stack(draws[name]), value), name


@every_noise
def test_samples_have_the_mean_and_covariance_of_the_model(noise, generator):
    p = parameters(noise, generator)
    x = LinearGaussian(5, 2, noise).sample(p, 4000, generator)
    assert within(x, p["mean"])
    deviation = x - p["mean"]
    assert within(deviation[:, :, None] * deviation[:, None], covariance(p))


@every_noise
def test_turned_parameters_have_turned_statistics(noise, generator):
    p, x, model = parameters(noise, generator), data(generator, missing=0.2), LinearGaussian(5, 2, noise)
    rotation = torch.linalg.qr(normal(2, 2, generator=generator)).Q
    (before, a), (after, b) = (Expectation(model, Rows(x))(each) for each in (p, model.turned(p, rotation)))
    assert a == pytest.approx(b, rel=1e-12)
    assert_same(model.turned(before, rotation), after)
    assert_same(model.turned(model.m_step(before, p), torch.eye(2).double()), model.m_step(before, p))
