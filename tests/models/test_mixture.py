import math

import numpy as np
import pytest
import torch
from scipy.stats import chi2
from sklearn.mixture import GaussianMixture as PlainMixture

from skgen._exact_model import added
from skgen._rows import Rows, Tile
from skgen.distributions.covariance import COVARIANCES, Full
from skgen.models.components import NO_WEIGHT
from skgen.models.mixture import GaussianMixtureModel
from skgen.training.expectation import Expectation
from tests.mixtures import (
    ABOUT,
    NAN,
    ROUNDING,
    D,
    K,
    close,
    drawn,
    incomplete_tile,
    matrices_of,
    parameters_of,
    placed,
    prior_of,
    with_gaps,
)
from tests.oracles import conditional_normal, normal_mixture_joint, within
from tests.parts import normal


@pytest.fixture(params=sorted(COVARIANCES))
def structure(request):
    return COVARIANCES[request.param]


@pytest.fixture
def model(structure):
    return GaussianMixtureModel(structure, K, D)


# -- densities --------------------------------------------------------------------------------------------------------


@ABOUT
def test_densities_of_complete_rows_are_scipys(model, about, generator):
    parameters = parameters_of(model, generator)
    x = 3 * normal(50, D, generator=generator)
    posterior = model.bind(placed(parameters, about))
    joint = normal_mixture_joint(parameters["log_weights"], parameters["means"], matrices_of(model, parameters), x)
    torch.testing.assert_close(posterior.joint(Tile(x)).T, joint, **ROUNDING)
    torch.testing.assert_close(posterior.log_prob(Tile(x)), torch.logsumexp(joint, 1), **ROUNDING)
    torch.testing.assert_close(posterior.responsibilities(Tile(x)), torch.softmax(joint, 1), **ROUNDING)


@ABOUT
def test_densities_of_incomplete_rows_are_those_of_their_observed_entries(model, about, generator):
    parameters = parameters_of(model, generator)
    x = with_gaps(3 * normal(50, D, generator=generator), generator)
    tile, order = incomplete_tile(x)
    posterior = model.bind(placed(parameters, about))
    joint = normal_mixture_joint(
        parameters["log_weights"], parameters["means"], matrices_of(model, parameters), x[order]
    )
    torch.testing.assert_close(posterior.log_prob(tile), torch.logsumexp(joint, 1), **ROUNDING)
    torch.testing.assert_close(posterior.responsibilities(tile), torch.softmax(joint, 1), **ROUNDING)
    torch.testing.assert_close(posterior.expect(tile)[1], torch.logsumexp(joint, 1).sum(), **ROUNDING)


def test_a_row_with_nothing_observed_has_density_one_and_its_statistics_say_what_is_known(model, generator):
    parameters = parameters_of(model, generator)
    tile, _ = incomplete_tile(torch.full((1, D), NAN, dtype=torch.float64))
    statistics, value = model.statistics(parameters, tile)
    assert float(value) == pytest.approx(0, abs=1e-14)
    close(model.m_step(statistics, parameters), parameters)


def test_the_value_is_the_sum_of_weights_times_log_densities(model, generator):
    parameters = parameters_of(model, generator)
    x, weight = with_gaps(normal(80, D, generator=generator), generator), 2 * torch.rand(80, generator=generator)
    rows, posterior = Rows(x, weight, tile_rows=9, incomplete_tile_rows=7), model.bind(parameters)
    expected = sum(torch.dot(tile.weight, posterior.log_prob(tile)) for tile in rows)
    torch.testing.assert_close(Expectation(model, rows).sums(parameters)[1], expected, **ROUNDING)


# -- statistics -------------------------------------------------------------------------------------------------------


@ABOUT
def test_statistics_of_complete_rows_are_sums_of_responsibilities_times_moments(model, about, generator):
    parameters = placed(parameters_of(model, generator), about)
    x, weight = 3 * normal(50, D, generator=generator), torch.rand(50, generator=generator).double()
    statistics, _ = model.statistics(parameters, Tile(x, weight))
    r = model.bind(parameters).responsibilities(Tile(x)) * weight.unsqueeze(1)
    origin = parameters.get("reference", torch.zeros(K, D, dtype=torch.float64))
    deviation = x.unsqueeze(1) - origin
    form = torch.diag_embed if parameters["covariances"].dim() == 2 else lambda square: square
    outer = deviation.unsqueeze(3) * deviation.unsqueeze(2)
    second = torch.einsum("nk,nkij->kij", r, outer)
    second = second.sum(0, keepdim=True) if model.covariance.tied else second
    found = statistics["second"] if form is torch.diag_embed else model.covariance.unpack(statistics["second"], D)
    expected = second.diagonal(dim1=1, dim2=2) if form is torch.diag_embed else second
    torch.testing.assert_close(statistics["weight"], r.sum(0), **ROUNDING)
    torch.testing.assert_close(statistics["first"], torch.einsum("nk,nkd->kd", r, deviation), **ROUNDING)
    torch.testing.assert_close(found, expected, **ROUNDING)


@ABOUT
def test_statistics_of_incomplete_rows_are_those_of_their_completions_and_what_is_uncertain(model, about, generator):
    parameters = placed(parameters_of(model, generator), about)
    tile, order = incomplete_tile(x := with_gaps(2 * normal(20, D, generator=generator), generator))
    statistics, _ = model.statistics(parameters, tile)
    r = model.bind(parameters).responsibilities(tile)
    origin = parameters.get("reference", torch.zeros(K, D, dtype=torch.float64))
    first = torch.zeros(K, D, dtype=torch.float64)
    second = torch.zeros(K, D, D, dtype=torch.float64)
    for k, matrix in enumerate(matrices_of(model, parameters)):
        for n, row in enumerate(x[order]):
            mean, covariance = conditional_normal(parameters["means"][k], matrix, row)
            first[k] += r[n, k] * (mean - origin[k])
            second[k] += r[n, k] * (torch.outer(mean - origin[k], mean - origin[k]) + covariance)
    packed = second if statistics["second"].shape[1] > D else second.diagonal(dim1=1, dim2=2)
    packed = model.covariance.pack(packed)
    packed = packed.sum(0, keepdim=True) if model.covariance.tied else packed
    torch.testing.assert_close(statistics["first"], first, **ROUNDING)
    torch.testing.assert_close(statistics["second"], packed, **ROUNDING)


@ABOUT
@pytest.mark.parametrize(("tile_rows", "incomplete_tile_rows"), [(1, 1), (7, 5), (64, 1000)])
def test_statistics_add_over_any_tiles(model, about, tile_rows, incomplete_tile_rows, generator):
    parameters = placed(parameters_of(model, generator), about)
    x = with_gaps(normal(60, D, generator=generator), generator, share=0.1)
    whole, value = Expectation(model, Rows(x)).sums(parameters)
    parts, total = Expectation(model, Rows(x, None, None, tile_rows, incomplete_tile_rows)).sums(parameters)
    close(parts, whole)
    torch.testing.assert_close(total, value, **ROUNDING)
    one_by_one = {}
    for tile in Rows(x, None, None, tile_rows, incomplete_tile_rows):
        added(one_by_one, model.statistics(parameters, tile)[0])
    close(one_by_one, whole)


@ABOUT
def test_a_weight_counts_copies_and_no_weight_is_an_absent_row(model, about, generator):
    parameters = placed(parameters_of(model, generator), about)
    x = with_gaps(normal(60, D, generator=generator), generator, share=0.1)
    weight = torch.randint(0, 4, (60,), generator=generator)
    found, value = Expectation(model, Rows(x, weight.double()))(parameters)
    expected, repeated = Expectation(model, Rows(x.repeat_interleave(weight, 0)))(parameters)
    close(found, expected)
    assert value == pytest.approx(repeated, rel=1e-12)


@ABOUT
def test_every_responsibility_stays_far_above_subnormal_numbers(model, about, generator):
    parameters = parameters_of(model, generator)
    parameters["means"] = parameters["means"] + 1e5 * torch.arange(K).unsqueeze(1)
    posterior = model.bind(placed(parameters, about))
    row = parameters["means"][:1]
    half, _ = incomplete_tile(row.clone().index_fill_(1, torch.tensor([1]), NAN))
    for tile in (Tile(row), half):
        weight = posterior.expect(tile)[0]["weight"]
        assert float(weight.min()) > 1e-200
        assert float(weight[0]) == 1.0


@ABOUT
def test_m_steps_do_not_depend_on_where_statistics_are_taken_about(model, about, generator):
    parameters = parameters_of(model, generator)
    rows = Rows(with_gaps(normal(60, D, generator=generator), generator))
    found = model.m_step(Expectation(model, rows).sums(placed(parameters, about))[0], placed(parameters, about))
    close(found, model.m_step(Expectation(model, rows).sums(parameters)[0], parameters))


# -- draws ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [[0.5, -0.3, 0.2, 0.1], [0.5, NAN, 0.2, NAN]])
def test_components_are_drawn_as_often_as_the_responsibilities_say(model, row, generator):
    parameters = parameters_of(model, generator, spread=0.5)
    n = 20000
    x = torch.tensor(row, dtype=torch.float64).expand(n, D)
    (tile,) = Rows(x, tile_rows=n, incomplete_tile_rows=n)
    posterior = model.bind(parameters)
    expected = n * posterior.responsibilities(tile)[0]
    count = posterior.draw(tile, generator)["weight"]
    assert float(count.sum()) == n
    # Wrong once in a thousand draws of the seed.
    assert float(((count - expected).square() / expected).sum()) < chi2(K - 1).ppf(0.999)


@ABOUT
def test_statistics_of_draws_are_unbiased(model, about, generator):
    parameters = placed(parameters_of(model, generator, spread=0.5), about)
    x, weight = with_gaps(normal(60, D, generator=generator), generator, share=0.1), torch.rand(60, generator=generator)
    for tile in Rows(x, weight):
        posterior, (expected, _) = model.bind(parameters), model.statistics(parameters, tile)
        draws = [posterior.draw(tile, generator) for _ in range(400)]
        assert set(draws[0]) == set(expected)
        for name, value in expected.items():
            assert within(torch.stack([draw[name] for draw in draws]), value), name


def test_the_same_generator_draws_the_same(model, generator):
    posterior, tile = model.bind(parameters_of(model, generator)), Tile(normal(50, D, generator=generator))
    first, second = (posterior.draw(tile, torch.Generator().manual_seed(4)) for _ in range(2))
    assert all(first[name].equal(second[name]) for name in first)


# -- parameters -------------------------------------------------------------------------------------------------------


def test_constraining_undoes_unconstraining_and_counts_the_free_parameters(model, generator):
    parameters = parameters_of(model, generator)
    vector = model.unconstrain(parameters)
    assert vector.shape == (model.n_parameters(),)
    close(model.constrain(vector), parameters)
    torch.testing.assert_close(model.unconstrain(model.constrain(vector)), vector, **ROUNDING)


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_free_parameters_are_as_many_as_scikit_learn_counts(kind, generator):
    model = GaussianMixtureModel(COVARIANCES[kind], K, D)
    plain = PlainMixture(K, covariance_type=kind)
    plain.means_ = np.zeros((K, D))
    assert model.n_parameters() == plain._n_parameters()


def test_the_prior_of_a_model_is_that_of_its_terms(structure, generator):
    prior = prior_of(structure, generator)
    parameters = parameters_of(GaussianMixtureModel(structure, K, D), generator)
    expected = prior.log_density(
        structure,
        parameters["log_weights"],
        parameters["means"],
        *structure.precision(parameters["covariances"]),
    )
    assert GaussianMixtureModel(structure, K, D, prior=prior).log_prior(parameters) == expected
    assert GaussianMixtureModel(structure, K, D).log_prior(parameters) == 0


# -- imputation and samples -------------------------------------------------------------------------------------------


def test_missing_entries_are_imputed_by_their_mean_given_the_others(model, generator):
    parameters = parameters_of(model, generator)
    tile, order = incomplete_tile(x := with_gaps(2 * normal(20, D, generator=generator), generator))
    posterior = model.bind(parameters)
    expected = torch.zeros(20, D, dtype=torch.float64)
    for k, matrix in enumerate(matrices_of(model, parameters)):
        means = [conditional_normal(parameters["means"][k], matrix, row)[0] for row in x[order]]
        expected += posterior.responsibilities(tile)[:, k : k + 1] * torch.stack(means)
    torch.testing.assert_close(posterior.impute(tile), expected, **ROUNDING)


def test_imputations_are_draws_of_the_missing_entries_given_the_others(model, generator):
    parameters = parameters_of(model, generator, spread=1.0)
    row = torch.tensor([0.5, NAN, -0.2, NAN], dtype=torch.float64)
    n = 20000
    (tile,) = Rows(row.expand(n, D), incomplete_tile_rows=n).incomplete_tiles()
    posterior = model.bind(parameters)
    draws = posterior.impute(tile, generator)
    assert bool((draws[:, [0, 2]] == row[[0, 2]]).all())
    r, mean = posterior.responsibilities(tile)[0], torch.zeros(D, dtype=torch.float64)
    second = torch.zeros(D, D, dtype=torch.float64)
    for k, matrix in enumerate(matrices_of(model, parameters)):
        each, covariance = conditional_normal(parameters["means"][k], matrix, row)
        mean, second = mean + r[k] * each, second + r[k] * (torch.outer(each, each) + covariance)
    assert within(draws, mean)
    assert within(draws.unsqueeze(2) * draws.unsqueeze(1), second)


def test_samples_have_the_weights_and_the_moments_of_their_components(model, generator):
    parameters, n = parameters_of(model, generator), 20000
    x, labels = model.sample(parameters, n, generator)
    expected = n * parameters["log_weights"].exp()
    count = torch.bincount(labels, minlength=K)
    assert labels.equal(labels.sort().values)
    assert float(((count - expected).square() / expected).sum()) < chi2(K - 1).ppf(0.999)
    for k, matrix in enumerate(matrices_of(model, parameters)):
        deviation = x[labels == k] - parameters["means"][k]
        assert within(deviation, torch.zeros(D, dtype=torch.float64))
        assert within(deviation.unsqueeze(2) * deviation.unsqueeze(1), matrix)


# -- starts and degenerate components ---------------------------------------------------------------------------------


def test_parameters_from_responsibilities_are_those_of_an_m_step(model, generator):
    start = parameters_of(model, generator)
    x = drawn(model, start, 100, generator)
    expected = model.m_step(model.statistics(start, Tile(x))[0], start)
    close(model.from_responsibilities(model.bind(start).responsibilities(Tile(x)).T, x), expected)


@pytest.mark.parametrize("few", [1, D])
@pytest.mark.parametrize("scale", [1e-5, 1.0, 1e5])
def test_too_few_rows_for_a_covariance_are_given_that_of_all_rows(structure, scale, few, generator):
    model = GaussianMixtureModel(structure, K, D)
    x = scale * normal(100, D, generator=generator)
    # Copies of one row but for diagonal covariances, which take any two rows; D rows span a plane.
    x[-few:] = x[-few:] if isinstance(structure, Full) else x[-1:]
    r = torch.zeros(K, 100, dtype=torch.float64)
    r[0, :60], r[1, 60:-few], r[2, -few:] = 1, 1, 1
    parameters = model.from_responsibilities(r, x)
    assert not bool(model.degenerate(parameters).any())
    means = torch.stack([x[:60].mean(0), x[60:-few].mean(0), x[-few:].mean(0)])
    torch.testing.assert_close(parameters["means"], means, rtol=1e-12, atol=0)
    if not model.covariance.tied:
        whole = model.covariance.from_matrices(torch.cov(x.T, correction=0).unsqueeze(0))
        torch.testing.assert_close(parameters["covariances"][2:], whole, rtol=1e-12, atol=0)


def test_components_with_singular_covariances_are_marked(model, generator):
    parameters = parameters_of(model, generator)
    assert model.degenerate(parameters).tolist() == [False] * K
    parameters["covariances"] = parameters["covariances"].clone()
    parameters["covariances"][0] = 0
    assert model.degenerate(parameters).tolist() == (
        [True] * K if model.covariance.tied else [True] + [False] * (K - 1)
    )


def test_leaving_out_a_component_and_keeping_the_others_say_the_same_of_rows(model, generator):
    parameters = parameters_of(model, generator)
    marks = torch.tensor([False, True, False])
    without, few = model.without(parameters, marks), GaussianMixtureModel(model.covariance, K - 1, D)
    tile = Tile(3 * normal(50, D, generator=generator))
    found, expected = model.bind(without), few.bind(few_parameters := model.kept(parameters, ~marks))
    torch.testing.assert_close(found.log_prob(tile), expected.log_prob(tile), **ROUNDING)
    assert bool((found.responsibilities(tile)[:, 1] == 0).all())
    assert float(few_parameters["log_weights"].exp().sum()) == pytest.approx(1)
    assert float(without["log_weights"][1]) <= NO_WEIGHT + math.log(K)


def test_components_put_elsewhere_have_the_share_of_an_average_one(model, generator):
    parameters, means = parameters_of(model, generator), normal(1, D, generator=generator)
    found = model.placed(parameters, torch.tensor([1]), means)
    weights, before = found["log_weights"].exp(), parameters["log_weights"].exp()
    assert float(weights.sum()) == pytest.approx(1)
    assert float(weights[1] / weights[0]) == pytest.approx(float(1 / K / before[0]))
    assert found["means"][1].equal(means[0])
    assert found["means"][[0, 2]].equal(parameters["means"][[0, 2]])
    assert not parameters["means"][1].equal(means[0])
