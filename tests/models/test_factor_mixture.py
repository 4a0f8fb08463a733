import numpy as np
import pytest
import torch
from scipy.stats import chi2
from sklearn.decomposition import PCA
from sklearn.decomposition import FactorAnalysis as PlainFactorAnalysis
from sklearn.mixture import GaussianMixture as PlainMixture

from skgen._exact_model import added
from skgen._rows import Rows, Tile
from skgen.models.factor_mixture import NOISES, FactorMixture
from skgen.training.expectation import Expectation
from tests.models.factor_parts import ROUNDING, D, K, Q, covariances, parameters_of, sampled, with_missing
from tests.parts import normal

SIDES = pytest.mark.parametrize("noise", sorted(NOISES))


@pytest.fixture(params=sorted(NOISES))
def model(request):
    return FactorMixture(D, K, Q, request.param)


def maximised(model, rows, parameters, n_iter):
    """Parameters after some iterations of EM, and the bounds before each."""
    expectation, values = Expectation(model, rows), []
    for _ in range(n_iter):
        statistics, value = expectation(parameters)
        values.append(value)
        parameters = model.m_step(statistics, parameters)
    return parameters, values


def one_cluster(model, x):
    return model.from_responsibilities(x.new_ones(1, len(x)), x)


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


# -- learning -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reg_covar", [0.0, 0.3])
@pytest.mark.parametrize("missing", [False, True])
@SIDES
def test_em_never_lowers_the_likelihood(noise, missing, reg_covar, generator):
    model = FactorMixture(D, K, Q, noise, reg_covar=reg_covar)
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
    products = statistics["products"] / statistics["weight"][:, None, None]
    torch.testing.assert_close(products, torch.eye(2, dtype=x.dtype).expand_as(products), rtol=0, atol=1e-5)


def test_unconstrained_parameters_come_back(model, generator):
    parameters = parameters_of(model, generator)
    vector = model.unconstrain(parameters)
    torch.testing.assert_close(model.constrain(vector), parameters)
    torch.testing.assert_close(model.unconstrain(model.constrain(vector)), vector)


def test_all_factors_but_one_and_isotropic_noise_are_a_full_covariance_mixture(generator):
    x = torch.cat([normal(150, 4, generator=generator) @ normal(4, 4, generator=generator) + 8 * k for k in range(2)])
    model = FactorMixture(4, 2, 3, "isotropic")
    r = torch.nn.functional.one_hot(torch.arange(300) // 150, 2).double()
    parameters, values = maximised(model, Rows(x), model.from_responsibilities(r.T, x), 1000)
    found = covariances(parameters)
    full = PlainMixture(
        2,
        reg_covar=0,
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


def test_noise_at_its_bound_is_a_maximum_under_the_bound(generator):
    """There the likelihood would rise with less noise; all other derivatives are 0."""
    truth, x = sampled(FactorMixture(D, 1, 1), 300, generator)
    bound = float(truth["noise"].median())
    model = FactorMixture(D, 1, 1, reg_covar=bound)
    parameters, _ = maximised(model, Rows(x), one_cluster(model, x), 500)
    bounded = parameters["noise"] == bound
    assert bool(bounded.any())
    assert not bool(bounded.all())
    free = [parameters[name].requires_grad_() for name in ("means", "loadings", "noise")]
    value = model.bind(parameters).log_prob(Tile(x)).mean()
    means, loadings, noise = torch.autograd.grad(value, free)
    for gradient in (means, loadings, noise[~bounded]):
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-7)
    assert float(noise[bounded].max()) < 0


def test_what_a_component_has_never_seen_of_a_feature_stays(model, generator):
    x = torch.cat([normal(60, D, generator=generator) + 20 * k for k in range(K)])
    parameters = model.from_responsibilities(torch.eye(K, dtype=x.dtype).repeat_interleave(60, 1), x)
    x[:60, 1] = float("nan")
    new, values = maximised(model, Rows(x), parameters, 30)
    assert (np.diff(values) > -1e-12).all()
    torch.testing.assert_close(new["means"][0, 1], parameters["means"][0, 1])
    assert all(bool(torch.isfinite(value).all()) for value in new.values())


def test_a_component_without_rows_keeps_what_it_has(model, generator):
    parameters, x = sampled(model, 50, generator)
    parameters["means"][0] = 1e6
    statistics, _ = Expectation(model, Rows(x))(parameters)
    new = model.m_step(statistics, parameters)
    for value in new.values():
        assert bool(torch.isfinite(value).all())
    torch.testing.assert_close(new["means"][0], parameters["means"][0])
    torch.testing.assert_close(new["loadings"][0], parameters["loadings"][0])


def test_a_component_that_no_row_was_drawn_for_keeps_what_it_has(model, generator):
    parameters, x = sampled(model, 50, generator)
    parameters["log_weights"] = torch.log_softmax(torch.tensor([0.0, 0.0, -1e4], dtype=x.dtype), 0)
    for rows in (Rows(x), Rows(x.masked_fill(torch.eye(D).bool()[torch.arange(50) % D], float("nan")))):
        statistics = {}
        for tile in rows:
            added(statistics, model.bind(parameters).draw(tile, generator))
        assert float(statistics["weight"][2]) == 0
        new = model.m_step(statistics, parameters)
        for name in ("means", "loadings"):
            assert torch.equal(new[name][2], parameters[name][2])
            assert bool(torch.isfinite(new[name]).all())


@pytest.mark.parametrize("distance", [1e4, 1e8, 1e12])
def test_fewer_draws_than_factors_far_from_what_the_factors_expect_give_parameters(model, distance, generator):
    parameters, x = sampled(model, 50, generator)
    x = torch.cat([x, x[:1] + distance])
    parameters["means"][0] = x[-1] - distance / 2
    for _ in range(5):
        parameters = model.m_step(model.bind(parameters).draw(Tile(x), generator), parameters)
        assert all(bool(torch.isfinite(value).all()) for value in parameters.values())


def test_duplicated_rows_and_constant_columns_reach_the_smallest_noise(model, generator):
    x = normal(4, D, generator=generator).repeat(10, 1)
    x[:, 0] = 3.0
    model = FactorMixture(D, K, Q, reg_covar=1e-3)
    r = torch.nn.functional.one_hot(torch.arange(40) % K, K).double()
    parameters, values = maximised(model, Rows(x), model.from_responsibilities(r.T, x), 50)
    assert float(parameters["noise"].min()) == 1e-3
    assert np.isfinite(values).all()


# -- degenerate components ----------------------------------------------------------------------------------------


def test_a_component_on_fewer_rows_than_factors_is_degenerate_without_regularisation(generator):
    x = torch.cat([normal(200, D, generator=generator), 9 + normal(2, D, generator=generator)])
    r = torch.nn.functional.one_hot((torch.arange(202) >= 200).long(), 2).double().T
    for reg_covar, expected in ((0.0, [False, True]), (1e-3, [False, False])):
        model = FactorMixture(D, 2, Q, reg_covar=reg_covar)
        parameters, _ = maximised(model, Rows(x), model.from_responsibilities(r, x), 50)
        assert model.degenerate(parameters).tolist() == expected


def test_components_are_left_out_placed_elsewhere_and_kept(model, generator):
    parameters = parameters_of(model, generator)
    x = normal(20, D, generator=generator)
    marks = torch.tensor([False, True, False])
    without = model.without(parameters, marks)
    assert bool((model.bind(without).responsibilities(Tile(x))[:, 1] == 0).all())
    kept = model.kept(without, ~marks)
    np.testing.assert_allclose(model.bind(kept).log_prob(Tile(x)), model.bind(without).log_prob(Tile(x)), rtol=1e-10)
    placed = model.placed(without, torch.tensor([1]), x[:1])
    torch.testing.assert_close(placed["means"][1], x[0])
    assert float(placed["log_weights"][1]) > -2
    torch.testing.assert_close(placed["log_weights"].exp().sum(), x.new_tensor(1.0))


# -- starting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_rows", [1, 2, 4, 30])
def test_a_start_has_a_likelihood_whatever_the_number_of_rows(model, n_rows, generator):
    x = normal(n_rows, D, generator=generator)
    r = torch.zeros(n_rows, K, dtype=x.dtype)
    r[:, 0] = 1.0  # the others have no rows at all
    parameters = model.from_responsibilities(r.T, x)
    assert {name: tuple(value.shape) for name, value in parameters.items()} == model.shapes()
    # Factors that start at 0 would stay there.
    assert bool((torch.linalg.svdvals(parameters["loadings"]) > 0).all())
    assert bool(torch.isfinite(model.bind(parameters).log_prob(Tile(x))).all())


@pytest.mark.parametrize("unit", [1e-300, 1e-12, 1e12, 1e290])
def test_the_unit_of_the_weights_does_not_matter_to_a_start(model, unit, generator):
    x = normal(30, D, generator=generator)
    r = torch.softmax(normal(K, 30, generator=generator), 0)
    one, other = model.from_responsibilities(r, x), model.from_responsibilities(unit * r, x)
    for name in ("log_weights", "means", "noise"):
        torch.testing.assert_close(one[name], other[name], **ROUNDING)
    torch.testing.assert_close(covariances(one), covariances(other), **ROUNDING)


def test_few_rows_start_as_their_repetitions_do(model, generator):
    """Few rows are decomposed by their products with one another, many by those of columns."""
    x = normal(4, D, generator=generator)
    r = torch.ones(K, 4, dtype=x.dtype) / K
    few, many = model.from_responsibilities(6 * r, x), model.from_responsibilities(r.repeat(1, 6), x.repeat(6, 1))
    torch.testing.assert_close(few["noise"], many["noise"], **ROUNDING)
    torch.testing.assert_close(covariances(few), covariances(many), **ROUNDING)


# -- use ----------------------------------------------------------------------------------------------------------


def test_samples_have_the_moments_of_the_mixture(model, generator):
    parameters = parameters_of(model, generator)
    n = 40000
    x, labels = model.sample(parameters, n, generator)
    weights = parameters["log_weights"].exp()
    counts = torch.bincount(labels, minlength=K)
    assert float(((counts - n * weights) ** 2 / (n * weights)).sum()) < chi2(K - 1).isf(1e-4)
    for k, covariance in enumerate(covariances(parameters)):
        y = x[labels == k] - parameters["means"][k]
        products = (y.unsqueeze(2) * y.unsqueeze(1)).flatten(1)
        error = (products.mean(0) - covariance.flatten()).abs() / (products.std(0) / len(y) ** 0.5)
        assert float(error.max()) < 5  # standard errors, of 15 numbers


def test_free_parameters_are_counted_without_rotations():
    assert FactorMixture(5, 3, 2).n_parameters() == 2 + 3 * (5 + (5 * 2 - 1) + 5)
    assert FactorMixture(5, 3, 2, "isotropic").n_parameters() == 2 + 3 * (5 + (5 * 2 - 1) + 1)
    assert FactorMixture(5, 3, 2, "shared").n_parameters() == 2 + 3 * (5 + (5 * 2 - 1)) + 5
    # A full covariance: its variances and covariances.
    assert FactorMixture(5, 1, 4, "isotropic").n_parameters() == 5 + 5 * 6 // 2
