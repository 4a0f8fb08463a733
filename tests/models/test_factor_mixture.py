import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import chi2, multivariate_normal
from sklearn.decomposition import PCA
from sklearn.decomposition import FactorAnalysis as PlainFactorAnalysis
from sklearn.mixture import GaussianMixture as PlainMixture

from skgen._tiles import Observed, Rows, Tile
from skgen.models.factor_mixture import NOISES, FactorMixture
from skgen.training.expectation import Expectation
from tests.parts import normal

K, D, Q = 3, 5, 2
# Sums of a few hundred products of numbers of order one to a hundred.
ROUNDING = {"rtol": 1e-10, "atol": 1e-10}


SIDES = pytest.mark.parametrize("noise", sorted(NOISES))


@pytest.fixture(params=sorted(NOISES))
def model(request):
    return FactorMixture(D, K, Q, request.param)


def parameters_of(model, generator, spread=2.0):
    shapes = model.shapes()
    return {
        "log_weights": torch.log_softmax(normal(*shapes["log_weights"], generator=generator), 0),
        "means": spread * normal(*shapes["means"], generator=generator),
        "loadings": normal(*shapes["loadings"], generator=generator),
        "noise": torch.exp(normal(*shapes["noise"], generator=generator)),
    }


def sampled(model, n_rows, generator, **options):
    parameters = parameters_of(model, generator, **options)
    return parameters, model.bind(parameters).sample(n_rows, generator)[0]


def covariances(parameters):
    loadings, noise = parameters["loadings"], parameters["noise"]
    return loadings @ loadings.mT + torch.diag_embed(noise.expand(loadings.shape[:-1]))


def dense_joint(parameters, x):
    """log p(observed entries of x, component), (rows, K), by SciPy."""
    joint = np.tile(parameters["log_weights"].numpy(), (len(x), 1))
    for k, covariance in enumerate(covariances(parameters).numpy()):
        for n, row in enumerate(x.numpy()):
            there = ~np.isnan(row)
            if there.any():
                dense = multivariate_normal(parameters["means"][k][there], covariance[np.ix_(there, there)])
                joint[n, k] += dense.logpdf(row[there])
    return joint


def with_missing(x, generator, share=1 / 3):
    """A copy with about that share of the entries missing: none in the first row, all in the second."""
    missing = torch.empty_like(x).uniform_(generator=generator) < share
    missing[0], missing[1] = False, True
    return x.masked_fill(missing, float("nan"))


def incomplete_tile(x):
    """All rows in one incomplete tile, also those without a missing entry, in their order."""
    patterns, index = torch.unique(~torch.isnan(x), dim=0, return_inverse=True)
    return Tile(x.nan_to_num(), None, Observed(patterns, index))


def maximised(model, rows, parameters, n_iter):
    """Parameters after some iterations of EM, and the bounds before each."""
    expectation, values = Expectation(model, rows), []
    for _ in range(n_iter):
        statistics, value = expectation(parameters)
        values.append(value)
        parameters = model.m_step(statistics, parameters)
    return parameters, values


def one_cluster(model, x):
    ones = x.new_ones(len(x))
    return model.initial(x, ones, ones.unsqueeze(1))


# -- densities ----------------------------------------------------------------------------------------------------


def test_densities_are_those_of_dense_normals(model, generator):
    parameters, x = sampled(model, 20, generator)
    joint = dense_joint(parameters, x)
    posterior = model.bind(parameters)
    np.testing.assert_allclose(posterior.joint(Tile(x)).T, joint, rtol=1e-10)
    np.testing.assert_allclose(posterior.log_prob(Tile(x)), logsumexp(joint, axis=1), rtol=1e-10)


def test_a_row_with_missing_entries_has_the_marginal_density(model, generator):
    parameters, x = sampled(model, 20, generator)
    x = with_missing(x, generator)
    posterior, tile = model.bind(parameters), incomplete_tile(x)
    np.testing.assert_allclose(posterior.joint(tile).T, dense_joint(parameters, x), **ROUNDING)


def test_factors_are_the_conditional_means_of_dense_normals(model, generator):
    parameters, x = sampled(model, 20, generator)
    x = with_missing(x, generator)
    r, z = model.bind(parameters).factors(incomplete_tile(x))
    for n, row in enumerate(x):
        there = ~torch.isnan(row)
        loadings, means = parameters["loadings"][:, there], parameters["means"][:, there]
        inside = covariances(parameters)[:, there][:, :, there]
        expected = loadings.mT @ torch.linalg.solve(inside, (row[there] - means).unsqueeze(2))
        torch.testing.assert_close(z[:, n], expected.squeeze(2), **ROUNDING)
    torch.testing.assert_close(r.sum(0), torch.ones(20, dtype=r.dtype))


def test_one_cluster_starts_at_the_likelihood_of_principal_components(generator):
    model = FactorMixture(D, 1, Q, "isotropic")
    x = normal(200, D, generator=generator) @ normal(D, D, generator=generator)
    found = model.bind(one_cluster(model, x)).log_prob(Tile(x))
    rows = x.numpy()
    reference = PCA(Q).fit(rows)
    reference.explained_variance_ *= 199 / 200  # scikit-learn divides by n - 1
    reference.noise_variance_ *= 199 / 200
    np.testing.assert_allclose(found, reference.score_samples(rows), rtol=1e-9)


def test_one_component_reaches_the_likelihood_of_factor_analysis(generator):
    model = FactorMixture(6, 1, 2)
    x = sampled(FactorMixture(6, 1, 2), 500, generator)[1]
    _, values = maximised(model, Rows(x), one_cluster(model, x), 500)
    plain = PlainFactorAnalysis(2, tol=1e-10, max_iter=5000, svd_method="lapack").fit(x.numpy())
    assert abs(values[-1] - plain.score(x.numpy())) < 1e-6


# -- statistics ---------------------------------------------------------------------------------------------------


def test_statistics_add_over_tiles(model, generator):
    parameters, x = sampled(model, 60, generator)
    x = with_missing(x, generator)
    weight = torch.empty(60, dtype=x.dtype).uniform_(generator=generator)
    whole = Expectation(model, Rows(x, weight, tile_rows=100, incomplete_tile_rows=100))(parameters)
    parts = Expectation(model, Rows(x, weight, tile_rows=7, incomplete_tile_rows=5))(parameters)
    torch.testing.assert_close(whole, parts, **ROUNDING)


def test_complete_rows_have_one_set_of_statistics_however_they_are_told(model, generator):
    parameters, x = sampled(model, 30, generator)
    posterior = model.bind(parameters)
    torch.testing.assert_close(posterior.expect(Tile(x)), posterior.expect(incomplete_tile(x)), **ROUNDING)


def test_integer_weights_are_repetitions(model, generator):
    parameters, x = sampled(model, 40, generator)
    x = with_missing(x, generator)
    times = torch.randint(0, 4, (40,), generator=generator)
    weighted = Expectation(model, Rows(x, times.double()))(parameters)
    repeated = Expectation(model, Rows(x.repeat_interleave(times, 0)))(parameters)
    torch.testing.assert_close(weighted, repeated, **ROUNDING)


def test_posterior_draws_have_the_expected_statistics_in_the_mean(model, generator):
    parameters, x = sampled(model, 12, generator, spread=0.3)
    posterior, n_draws = model.bind(parameters), 1000
    for tile in (Tile(x), incomplete_tile(with_missing(x, generator))):
        expected, _ = posterior.expect(tile)
        draws = [posterior.draw(tile, generator) for _ in range(n_draws)]
        for name, value in expected.items():
            each = torch.stack([draw[name] for draw in draws])
            error = each.std(0) / n_draws**0.5
            # Standard errors, of about 60 numbers; 1e-10 for those that do not vary.
            assert bool(((each.mean(0) - value).abs() <= 5 * error + 1e-10).all()), name


# -- learning -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [False, True])
def test_em_never_lowers_the_likelihood(model, missing, generator):
    _, x = sampled(model, 100, generator)
    x = with_missing(x, generator) if missing else x
    _, values = maximised(model, Rows(x), parameters_of(model, generator), 60)
    assert (np.diff(values) > -1e-12 * np.abs(values[:-1])).all()


@pytest.mark.parametrize("missing", [False, True])
@SIDES
def test_the_gradient_of_the_likelihood_is_zero_at_a_fixed_point_of_em(noise, missing, generator):
    model = FactorMixture(D, 2, 1, noise)  # with one factor no noise variance falls to its floor here
    truth, x = sampled(model, 200, generator, spread=4.0)
    rows = Rows(with_missing(x, generator, 0.1) if missing else x)
    expectation = Expectation(model, rows)
    start = expectation.backward(model.unconstrain(truth))[1]
    parameters, _ = maximised(model, rows, truth, 500)
    assert float(parameters["noise"].min()) > 1e-3
    gradient = expectation.backward(model.unconstrain(parameters))[1]
    assert gradient.norm() < 1e-6 * start.norm()
    # So the factors of the rows of a component are standard on the whole, and the detour of the M-step leads nowhere.
    statistics, _ = expectation(parameters)
    second = statistics["latent_second"] / statistics["weight"][:, None, None]
    torch.testing.assert_close(second, torch.ones_like(second), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(statistics["latent"], torch.zeros_like(statistics["latent"]), rtol=0, atol=1e-5)


def test_unconstrained_parameters_come_back(model, generator):
    parameters = parameters_of(model, generator)
    vector = model.unconstrain(parameters)
    torch.testing.assert_close(model.constrain(vector), parameters)
    torch.testing.assert_close(model.unconstrain(model.constrain(vector)), vector)


def test_all_factors_but_one_and_isotropic_noise_are_a_full_covariance_mixture(generator):
    x = torch.cat([normal(150, 4, generator=generator) @ normal(4, 4, generator=generator) + 8 * k for k in range(2)])
    reg_covar = 0.01
    model = FactorMixture(4, 2, 3, "isotropic", reg_covar=reg_covar)
    r = torch.nn.functional.one_hot(torch.arange(300) // 150, 2).double()
    parameters, values = maximised(model, Rows(x), model.initial(x, x.new_ones(300), r), 1000)
    found = covariances(parameters)
    full = PlainMixture(
        2,
        reg_covar=reg_covar,
        tol=0,
        max_iter=1000,
        weights_init=parameters["log_weights"].exp().numpy(),
        means_init=parameters["means"].numpy(),
        precisions_init=torch.linalg.inv(found).numpy(),
    )
    with pytest.warns(match="did not converge"):
        full.fit(x.numpy())
    np.testing.assert_allclose(found, full.covariances_, atol=1e-6)
    assert abs(values[-1] - full.score(x.numpy())) < 1e-7


def test_reg_covar_is_added_to_the_covariance_that_factors_are_fitted_to(generator):
    """One component with reg_covar is the maximum likelihood on rows blurred with that variance."""
    x = sampled(FactorMixture(D, 1, Q), 300, generator)[1]
    x = x - x.mean(0)
    model = FactorMixture(D, 1, Q, reg_covar=0.5)
    parameters, _ = maximised(model, Rows(x), one_cluster(model, x), 500)
    # Rows whose second moments are those of x plus 0.5 I.
    second = x.T @ x / 300 + 0.5 * torch.eye(D, dtype=x.dtype)
    blurred = D**0.5 * torch.linalg.cholesky(second).T
    blurred = torch.cat([blurred, -blurred])
    plain = FactorMixture(D, 1, Q, min_noise=0.5)
    expected, _ = maximised(plain, Rows(blurred), one_cluster(plain, blurred), 500)
    torch.testing.assert_close(covariances(parameters), covariances(expected), rtol=1e-6, atol=1e-6)


def test_a_component_without_rows_keeps_what_it_has(model, generator):
    parameters, x = sampled(model, 50, generator)
    parameters["means"][0] = 1e6
    statistics, _ = Expectation(model, Rows(x))(parameters)
    new = model.m_step(statistics, parameters)
    for value in new.values():
        assert bool(torch.isfinite(value).all())
    torch.testing.assert_close(new["means"][0], parameters["means"][0])
    torch.testing.assert_close(new["loadings"][0], parameters["loadings"][0])


def test_duplicated_rows_and_constant_columns_reach_the_smallest_noise(model, generator):
    x = normal(4, D, generator=generator).repeat(10, 1)
    x[:, 0] = 3.0
    model = FactorMixture(D, K, Q, reg_covar=1e-3)
    r = torch.nn.functional.one_hot(torch.arange(40) % K, K).double()
    parameters, values = maximised(model, Rows(x), model.initial(x, x.new_ones(40), r), 50)
    assert float(parameters["noise"].min()) == 1e-3
    assert np.isfinite(values).all()


# -- starting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_rows", [1, 2, 4, 30])
def test_a_start_has_a_likelihood_whatever_the_number_of_rows(model, n_rows, generator):
    x = normal(n_rows, D, generator=generator)
    r = torch.zeros(n_rows, K, dtype=x.dtype)
    r[:, 0] = 1.0  # the others have no rows at all
    parameters = model.initial(x, x.new_ones(n_rows), r)
    assert {name: tuple(value.shape) for name, value in parameters.items()} == model.shapes()
    # Factors that start at 0 would stay there.
    assert bool((torch.linalg.svdvals(parameters["loadings"]) > 0).all())
    assert bool(torch.isfinite(model.bind(parameters).log_prob(Tile(x))).all())


def test_few_rows_start_as_their_repetitions_do(model, generator):
    """Few rows are decomposed by their products with one another, many by those of columns."""
    x = normal(4, D, generator=generator)
    r = torch.ones(4, K, dtype=x.dtype) / K
    few, many = model.initial(x, 6 * x.new_ones(4), r), model.initial(x.repeat(6, 1), x.new_ones(24), r.repeat(6, 1))
    torch.testing.assert_close(few["noise"], many["noise"], **ROUNDING)
    torch.testing.assert_close(covariances(few), covariances(many), **ROUNDING)


# -- use ----------------------------------------------------------------------------------------------------------


def test_samples_have_the_moments_of_the_mixture(model, generator):
    parameters = parameters_of(model, generator)
    n = 40000
    x, labels = model.bind(parameters).sample(n, generator)
    weights = parameters["log_weights"].exp()
    counts = torch.bincount(labels, minlength=K)
    assert float(((counts - n * weights) ** 2 / (n * weights)).sum()) < chi2(K - 1).isf(1e-4)
    for k, covariance in enumerate(covariances(parameters)):
        y = x[labels == k] - parameters["means"][k]
        products = (y.unsqueeze(2) * y.unsqueeze(1)).flatten(1)
        error = (products.mean(0) - covariance.flatten()).abs() / (products.std(0) / len(y) ** 0.5)
        assert float(error.max()) < 5  # standard errors, of 15 numbers


def test_completed_rows_are_the_conditional_means_and_draws_scatter_about_them(model, generator):
    parameters, x = sampled(model, 3, generator)
    x[0, 1:3] = x[1] = x[2, 0] = float("nan")
    posterior, tile = model.bind(parameters), incomplete_tile(x)
    mean = posterior.completed(tile)
    r = torch.softmax(torch.tensor(dense_joint(parameters, x)), 1)
    for n, row in enumerate(x):
        there = ~torch.isnan(row)
        c, m = covariances(parameters), parameters["means"]
        weights = torch.linalg.solve(c[:, there][:, :, there], (row[there] - m[:, there]).unsqueeze(2))
        expected = r[n] @ (m[:, ~there] + (c[:, ~there][:, :, there] @ weights).squeeze(2))
        torch.testing.assert_close(mean[n, ~there], expected, **ROUNDING)
        assert torch.equal(mean[n, there], row[there])
    draws = torch.stack([posterior.completed(tile, generator) for _ in range(1000)])
    error = (draws.mean(0) - mean).abs() / (draws.std(0) / 1000**0.5).clamp(min=1e-12)
    assert float(error.max()) < 5  # standard errors, of 8 numbers


def test_free_parameters_are_counted_without_rotations():
    assert FactorMixture(5, 3, 2).n_parameters() == 2 + 3 * (5 + (5 * 2 - 1) + 5)
    assert FactorMixture(5, 3, 2, "isotropic").n_parameters() == 2 + 3 * (5 + (5 * 2 - 1) + 1)
    assert FactorMixture(5, 3, 2, "shared").n_parameters() == 2 + 3 * (5 + (5 * 2 - 1)) + 5
    # A full covariance: its variances and covariances.
    assert FactorMixture(5, 1, 4, "isotropic").n_parameters() == 5 + 5 * 6 // 2
