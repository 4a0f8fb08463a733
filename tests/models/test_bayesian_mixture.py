import itertools
import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import betaln, gammaln, logsumexp
from scipy.stats import f, kstest, multivariate_normal, multivariate_t, t, wishart
from sklearn.mixture import BayesianGaussianMixture as Plain

from skgen._exact_model import added
from skgen._rows import Observed, Rows, Tile
from skgen.distributions.covariance import COVARIANCES
from skgen.models.bayesian_mixture import BayesianMixture, NormalWishart, log_gamma_rise, multivariate_digamma
from skgen.models.weight_priors import WEIGHT_PRIORS
from skgen.training.em import EM_SOLVERS
from skgen.training.expectation import Expectation
from tests.oracles import within
from tests.parts import normal

K, D, N = 3, 3, 60
# Sums of a few hundred products of numbers of order one to a hundred.
ROUNDING = {"rtol": 1e-10, "atol": 1e-10}

EVERY_WEIGHT = pytest.mark.parametrize("weights", sorted(WEIGHT_PRIORS))
EVERY_COVARIANCE = pytest.mark.parametrize("covariance", sorted(COVARIANCES))
PLAIN_COVARIANCES = pytest.mark.parametrize("covariance", ["full", "tied", "diag", "spherical"])


def prior_of(covariance, matrix, mean, mean_precision=0.3, degrees_of_freedom=None):
    d = len(mean)
    scale = COVARIANCES[covariance].from_matrices(matrix.unsqueeze(0))[0]
    return NormalWishart(mean_precision, mean, d + 0.5 if degrees_of_freedom is None else degrees_of_freedom, scale)


def model_of(covariance="full", weights="dirichlet_distribution", *, k=K, d=D, reg_covar=0.0, gamma=0.4, prior=None):
    generator = torch.Generator().manual_seed(3)
    root = normal(d, d, generator=generator)
    matrix = root @ root.T + torch.eye(d, dtype=torch.float64)
    prior = prior_of(covariance, matrix, normal(d, generator=generator)) if prior is None else prior
    return BayesianMixture(COVARIANCES[covariance], k, d, WEIGHT_PRIORS[weights](gamma), prior, reg_covar=reg_covar)


def rows_of(n=N, d=D, seed=0, spread=2.0):
    """Rows in three clusters."""
    generator = torch.Generator().manual_seed(seed)
    means = spread * normal(3, d, generator=generator)
    return means[torch.arange(n) % 3] + normal(n, d, generator=generator)


def shares_of(n=N, k=K, seed=1):
    """Random responsibilities, (K, rows)."""
    return torch.softmax(2 * normal(k, n, generator=torch.Generator().manual_seed(seed)), 0)


def with_missing(x, share=0.3, seed=2):
    """A copy with missing entries; none in the first row, all in the second."""
    missing = torch.empty_like(x).uniform_(generator=torch.Generator().manual_seed(seed)) < share
    missing[0], missing[1] = False, True
    return x.masked_fill(missing, float("nan"))


def incomplete_tile(x, weight=None):
    """All rows in one incomplete tile, sorted by pattern, and their order."""
    patterns, index = torch.unique(~torch.isnan(x), dim=0, return_inverse=True)
    index, order = torch.sort(index, stable=True)
    return Tile(x[order].nan_to_num(), None if weight is None else weight[order], Observed(patterns, index)), order


def statistics_of(model, x, r):
    """Statistics of complete rows with given responsibilities."""
    second = r @ model.covariance.phi(x).T
    return {
        "weight": r.sum(1),
        "first": r @ x,
        "second": second.sum(0, keepdim=True) if model.covariance.tied else second,
    }


def posterior_of(model, x, seed=1):
    """q after an M-step on random responsibilities."""
    return model.m_step(statistics_of(model, x, shares_of(len(x), model.n_components, seed)), {})


def bound(model, rows, parameters):
    """The evidence lower bound, in nats."""
    return Expectation(model, rows).value(parameters) * rows.total_weight


def free_energy(model, x, r, parameters):
    """The bound with other responsibilities than the best, in nats."""
    joint = model.bind(parameters).mixture.joint(Tile(x))
    return float((r * (joint - r.log())).sum() + model.log_prior(parameters))


def learnt(model, rows, parameters, n_steps=300):
    solver = EM_SOLVERS["em"](model, rows, parameters, generator=torch.Generator())
    values = [solver.step() for _ in range(n_steps)]
    return solver.parameters, values


def component(model, parameters, k):
    """Mean precision, mean, degrees of freedom and C of a component of q, as numbers and arrays."""
    group = 0 if model.covariance.tied else k
    return (
        float(parameters["mean_precision"][k]),
        parameters["means"][k].numpy(),
        float(parameters["degrees_of_freedom"][group]),
        model.covariance.matrices(parameters["covariances"])[group].numpy(),
    )


def log_evidence(x, prior):
    """log p(x) of rows from one component of full covariance: a product of predictive t densities, by SciPy."""
    total, d = 0.0, x.shape[1]
    beta, mean, nu, scatter = prior.mean_precision, prior.mean.numpy(), prior.degrees_of_freedom, prior.covariance
    scatter = np.diag(scatter.numpy()) if scatter.dim() == 1 else scatter.numpy()
    for row in x.numpy():
        df = nu + 1 - d
        total += multivariate_t.logpdf(row, mean, scatter * (beta + 1) / (beta * df), df)
        deviation = row - mean
        scatter = scatter + beta / (beta + 1) * np.outer(deviation, deviation)
        beta, nu, mean = beta + 1, nu + 1, mean + deviation / (beta + 1)
    return total


# -- scikit-learn ---------------------------------------------------------------------------------------------------


def plain_of(model, x):
    """scikit-learn's estimator with the priors of a model."""
    covariance = model.prior.covariance
    names = {id(value): name for name, value in COVARIANCES.items()}
    kinds = {value: name for name, value in WEIGHT_PRIORS.items()}
    name = names[id(model.covariance)]
    plain = Plain(
        n_components=model.n_components,
        covariance_type=name,
        reg_covar=model.reg_covar,
        weight_concentration_prior_type=kinds[type(model.weights)],
        weight_concentration_prior=model.weights.concentration,
        mean_precision_prior=model.prior.mean_precision,
        mean_prior=model.prior.mean.numpy(),
        degrees_of_freedom_prior=model.prior.degrees_of_freedom,
        covariance_prior=float(covariance[0]) if name == "spherical" else covariance.numpy(),
    )
    plain._check_parameters(x.numpy(), np)
    return plain


def assert_same_posterior(parameters, plain):
    concentration = plain.weight_concentration_
    pairs = {
        "weight_concentration": np.array(concentration),
        "mean_precision": plain.mean_precision_,
        "means": plain.means_,
        "degrees_of_freedom": np.atleast_1d(plain.degrees_of_freedom_),
    }
    for name, expected in pairs.items():
        np.testing.assert_allclose(parameters[name].numpy(), expected, rtol=1e-8, atol=1e-8, err_msg=name)
    covariances = plain.covariances_
    if plain.covariance_type == "spherical":
        covariances = np.repeat(covariances[:, None], D, 1)
    found = parameters["covariances"].numpy().reshape(covariances.shape)
    np.testing.assert_allclose(found, covariances, rtol=1e-8, atol=1e-8)


@EVERY_WEIGHT
@PLAIN_COVARIANCES
@pytest.mark.parametrize("reg_covar", [0.0, 0.05])
def test_iterations_are_scikit_learns_from_the_same_responsibilities(covariance, weights, reg_covar):
    x, model = rows_of(), model_of(covariance, weights, reg_covar=reg_covar)
    plain = plain_of(model, x)
    log_r = shares_of().log().T.numpy()
    parameters = model.m_step(statistics_of(model, x, shares_of()), {})
    for _ in range(8):
        plain._m_step(x.numpy(), log_r)
        assert_same_posterior(parameters, plain)
        _, log_r = plain._e_step(x.numpy(), xp=np)
        tile = Tile(x)
        r = model.bind(parameters).responsibilities(tile)
        np.testing.assert_allclose(r.numpy(), np.exp(log_r), rtol=1e-8, atol=1e-8)
        parameters = model.m_step(model.statistics(parameters, tile)[0], parameters)


@EVERY_WEIGHT
@PLAIN_COVARIANCES
def test_the_bound_differs_from_scikit_learns_by_a_constant(covariance, weights):
    x, model = rows_of(), model_of(covariance, weights)
    plain, gaps = plain_of(model, x), []
    r = shares_of()
    for _ in range(4):
        parameters = model.m_step(statistics_of(model, x, r), {})
        plain._m_step(x.numpy(), r.log().T.numpy())
        # scikit-learn's is an array of one number where the covariance is tied.
        value = np.sum(plain._compute_lower_bound(r.log().T.numpy(), None))
        gaps.append(free_energy(model, x, r, parameters) - value)
        r = model.bind(parameters).responsibilities(Tile(x)).T
    np.testing.assert_allclose(gaps, gaps[0], rtol=1e-10)


@EVERY_WEIGHT
def test_expected_weights_are_scikit_learns(weights):
    x, model = rows_of(), model_of("full", weights)
    plain = plain_of(model, x)
    plain._m_step(x.numpy(), shares_of().log().T.numpy())
    plain._set_parameters(plain._get_parameters(), xp=np)
    found = model.expected_weights(posterior_of(model, x))
    np.testing.assert_allclose(found.numpy(), plain.weights_, rtol=1e-10)


# -- the bound ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance", ["full", "tied"])
def test_the_bound_of_one_component_is_the_evidence(covariance):
    x, model = rows_of(20), model_of(covariance, k=1)
    parameters = model.m_step(statistics_of(model, x, torch.ones(1, 20, dtype=torch.float64)), {})
    assert bound(model, Rows(x), parameters) == pytest.approx(log_evidence(x, model.prior), rel=1e-11)


@pytest.mark.parametrize("covariance", ["diag", "spherical", "tied_diag", "tied_spherical"])
def test_the_bound_of_one_component_with_fewer_covariances_is_below_the_evidence(covariance):
    x, model = rows_of(20), model_of(covariance, k=1)
    parameters = model.m_step(statistics_of(model, x, torch.ones(1, 20, dtype=torch.float64)), {})
    assert bound(model, Rows(x), parameters) < log_evidence(x, model.prior)


def log_evidence_of_dirichlet(x, model):
    """log p(x): the sum over all labels."""
    gamma, k, n = model.weights.concentration, model.n_components, len(x)
    terms = []
    for labels in itertools.product(range(k), repeat=n):
        counts = np.bincount(labels, minlength=k)
        log_labels = gammaln(k * gamma) - gammaln(k * gamma + n) + np.sum(gammaln(gamma + counts) - gammaln(gamma))
        terms.append(log_labels + sum(log_evidence(x[np.array(labels) == j], model.prior) for j in range(k)))
    return logsumexp(terms)


def partitions(items):
    """All partitions of a list."""
    if not items:
        yield []
        return
    for rest in partitions(items[1:]):
        yield [[items[0]], *rest]
        for i, block in enumerate(rest):
            yield [*rest[:i], [items[0], *block], *rest[i + 1 :]]


def log_evidence_of_process(x, model):
    """log p(x): the sum over all partitions, which follow the Chinese restaurant process."""
    gamma, n = model.weights.concentration, len(x)
    terms = []
    for blocks in partitions(list(range(n))):
        log_blocks = len(blocks) * math.log(gamma) + sum(gammaln(len(block)) for block in blocks)
        log_blocks += gammaln(gamma) - gammaln(gamma + n)
        terms.append(log_blocks + sum(log_evidence(x[block], model.prior) for block in blocks))
    return logsumexp(terms)


EVIDENCE = {"dirichlet_distribution": log_evidence_of_dirichlet, "dirichlet_process": log_evidence_of_process}


@EVERY_WEIGHT
@EVERY_COVARIANCE
def test_the_bound_is_below_the_evidence(covariance, weights):
    x, model = rows_of(5, 2, spread=4.0), model_of(covariance, weights, k=2, d=2, gamma=0.8)
    exact = EVIDENCE[weights](x, model)
    for seed in range(5):
        parameters, _ = learnt(model, Rows(x), posterior_of(model, x, seed), 50)
        assert bound(model, Rows(x), parameters) < exact


def test_the_evidence_of_one_stick_is_what_the_bound_leaves_for_later_ones():
    x, model = rows_of(20), model_of("full", "dirichlet_process", k=1)
    parameters = model.m_step(statistics_of(model, x, torch.ones(1, 20, dtype=torch.float64)), {})
    gamma = model.weights.concentration
    together = betaln(21, gamma) - betaln(1, gamma)
    assert bound(model, Rows(x), parameters) == pytest.approx(log_evidence(x, model.prior) + together, rel=1e-11)


@EVERY_WEIGHT
@EVERY_COVARIANCE
@pytest.mark.parametrize("missing", [False, True])
def test_no_iteration_lowers_the_bound(covariance, weights, missing):
    x, model = rows_of(), model_of(covariance, weights)
    rows = Rows(with_missing(x) if missing else x)
    _, values = learnt(model, rows, posterior_of(model, x), 60)
    assert min(np.diff(values)) >= -1e-13 * abs(values[-1])
    assert values[-1] > values[0]


@EVERY_WEIGHT
@EVERY_COVARIANCE
@pytest.mark.parametrize("missing", [False, True])
def test_the_gradient_is_zero_where_iterations_end(covariance, weights, missing):
    x, model = rows_of(spread=8.0), model_of(covariance, weights)
    rows = Rows(with_missing(x) if missing else x)
    clusters = (torch.arange(N) % 3 == torch.arange(3).unsqueeze(1)).double()
    start = model.m_step(statistics_of(model, x, 0.7 * clusters + 0.1), {})
    parameters, _ = learnt(model, rows, start, 100)
    expectation = Expectation(model, rows)
    end, begin = (expectation.backward(model.unconstrain(each))[1].abs().max() for each in (parameters, start))
    assert end < 1e-9
    assert begin > 1e-3


def test_richer_structures_raise_the_bound():
    x, r = rows_of(), shares_of()
    values = {}
    for covariance in COVARIANCES:
        prior = prior_of(covariance, 1.5 * torch.eye(D, dtype=torch.float64), torch.zeros(D, dtype=torch.float64))
        model = model_of(covariance, prior=prior)
        values[covariance] = free_energy(model, x, r, model.m_step(statistics_of(model, x, r), {}))
    for tied in ("", "tied_"):
        assert values[tied + "spherical"] < values[tied + "diag"] < values["tied" if tied else "full"]
    assert values["tied"] < values["full"]
    assert values["tied_diag"] < values["diag"]
    assert values["tied_spherical"] < values["spherical"]


@EVERY_COVARIANCE
def test_no_other_posterior_of_the_same_structure_has_a_higher_bound(covariance):
    x, r, model = rows_of(), shares_of(), model_of(covariance)
    parameters = model.m_step(statistics_of(model, x, r), {})
    best, vector = free_energy(model, x, r, parameters), model.unconstrain(parameters)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        other = model.constrain(vector + 0.01 * normal(len(vector), generator=generator))
        assert free_energy(model, x, r, other) < best


@EVERY_COVARIANCE
def test_the_log_prior_is_minus_the_divergence_of_q(covariance):
    model, n_draws = model_of(covariance), 4000
    parameters = posterior_of(model, rows_of())
    prior = model.covariance.matrices(model.prior.covariance.unsqueeze(0))[0].numpy()
    nu_0, beta_0 = model.prior.degrees_of_freedom, model.prior.mean_precision
    total = torch.zeros(n_draws, dtype=torch.float64)
    for k in range(K):
        beta, mean, nu, covariance = component(model, parameters, k)
        precisions = wishart.rvs(nu, np.linalg.inv(nu * covariance), n_draws, random_state=k)
        ratio = wishart.logpdf(precisions.transpose(1, 2, 0), nu_0, np.linalg.inv(prior))
        ratio = ratio - wishart.logpdf(precisions.transpose(1, 2, 0), nu, np.linalg.inv(nu * covariance))
        roots = np.linalg.cholesky(np.linalg.inv(precisions) / beta)
        means = mean + (roots @ np.random.default_rng(k).standard_normal((n_draws, D, 1)))[..., 0]
        for sign, count, center in ((1, beta_0, model.prior.mean.numpy()), (-1, beta, mean)):
            square = np.einsum("nd,nde,ne->n", means - center, precisions, means - center)
            ratio += sign * 0.5 * (D * np.log(count) - count * square)
        total += torch.from_numpy(ratio)
    total -= model.weights.divergence(parameters["weight_concentration"])
    assert within(total, model.log_prior(parameters))


def test_the_multivariate_digamma_is_the_derivative_of_the_multivariate_log_gamma():
    half = torch.tensor([1.6, 4.0, 100.0], dtype=torch.float64, requires_grad=True)
    expected = torch.autograd.grad(torch.mvlgamma(half, 4).sum(), half)[0]
    torch.testing.assert_close(multivariate_digamma(half, 4), expected, **ROUNDING)


# -- statistics and parameters --------------------------------------------------------------------------------------


@EVERY_COVARIANCE
@pytest.mark.parametrize("missing", [False, True])
def test_statistics_add_over_tiles(covariance, missing):
    x, model = rows_of(), model_of(covariance)
    parameters = posterior_of(model, x)
    tiles = [
        incomplete_tile(with_missing(part, seed=i))[0] if missing else Tile(part) for i, part in enumerate(x.split(20))
    ]
    total, value = {}, 0.0
    for tile in tiles:
        more, part = model.statistics(parameters, tile)
        total, value = added(total, more), value + part
    together = Tile(x)
    if missing:
        together, _ = incomplete_tile(torch.cat([with_missing(part, seed=i) for i, part in enumerate(x.split(20))]))
    expected, expected_value = model.statistics(parameters, together)
    torch.testing.assert_close(total, expected, **ROUNDING)
    torch.testing.assert_close(value, expected_value, **ROUNDING)


@EVERY_COVARIANCE
@pytest.mark.parametrize("missing", [False, True])
def test_weights_are_repetitions(covariance, missing):
    x, model = rows_of(), model_of(covariance)
    parameters = posterior_of(model, x)
    x = with_missing(x) if missing else x
    weight = torch.arange(N, dtype=torch.float64) % 3
    expectation = Expectation(model, Rows(x, weight))
    repeated = Expectation(model, Rows(x.repeat_interleave(weight.long(), 0)))
    for found, expected in zip(expectation.sums(parameters), repeated.sums(parameters), strict=True):
        torch.testing.assert_close(found, expected, **ROUNDING)


@EVERY_WEIGHT
@EVERY_COVARIANCE
def test_parameters_come_back_from_their_vector(covariance, weights):
    model = model_of(covariance, weights)
    parameters = posterior_of(model, rows_of())
    torch.testing.assert_close(model.constrain(model.unconstrain(parameters)), parameters, **ROUNDING)


@EVERY_COVARIANCE
def test_rows_far_from_the_origin_are_learnt_from_as_near_ones_are(covariance):
    x, far = rows_of(), 2.0**24
    matrix, center = torch.eye(D, dtype=torch.float64), torch.zeros(D, dtype=torch.float64)
    near_model = model_of(covariance, prior=prior_of(covariance, matrix, center))
    far_model = model_of(covariance, prior=prior_of(covariance, matrix, center + far))
    near = posterior_of(near_model, x)
    moved = far_model.refreshed(near | {"means": near["means"] + far})
    assert "reference" in moved
    expected = near_model.m_step(near_model.statistics(near, Tile(x))[0], near)
    found = far_model.m_step(far_model.statistics(moved, Tile(x + far))[0], moved)
    # Rows and means are rounded to multiples of 2 ** -28.
    for name in ("means", "covariances", "weight_concentration"):
        value = found[name] - far if name == "means" else found[name]
        torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=1e-6)


# -- missing entries ------------------------------------------------------------------------------------------------


@EVERY_COVARIANCE
def test_incomplete_tiles_of_complete_rows_say_what_complete_tiles_say(covariance):
    x, model = rows_of(), model_of(covariance)
    posterior = model.bind(posterior_of(model, x))
    tile = Tile(x, None, Observed(torch.ones(1, D, dtype=torch.bool), torch.zeros(N, dtype=torch.long)))
    for name in ("log_prob", "responsibilities", "predictive_joint"):
        found, expected = (getattr(posterior, name)(each) for each in (tile, Tile(x)))
        torch.testing.assert_close(found, expected, **ROUNDING)


@EVERY_COVARIANCE
def test_an_incomplete_row_adds_the_integral_over_what_is_missing_to_the_bound(covariance):
    x, model = rows_of(), model_of(covariance)
    posterior = model.bind(posterior_of(model, x))
    row = x[:1].clone()
    row[0, 1] = float("nan")
    grid = torch.linspace(-60, 60, 6001, dtype=torch.float64)
    filled = row.repeat(len(grid), 1)
    filled[:, 1] = grid
    expected = torch.logsumexp(posterior.log_prob(Tile(filled)), 0) + math.log(float(grid[1] - grid[0]))
    torch.testing.assert_close(posterior.log_prob(incomplete_tile(row)[0])[0], expected, **ROUNDING)


def test_the_bound_with_a_missing_entry_is_below_the_evidence():
    x, model = rows_of(6, 2), model_of("full", k=1, d=2)
    x[0, 1] = float("nan")
    rows = Rows(x)
    start = posterior_of(model, x.nan_to_num())
    parameters, _ = learnt(model, rows, start, 200)

    def density(value):
        filled = x.clone()
        filled[0, 1] = value
        return math.exp(log_evidence(filled, model.prior) - shift)

    shift = bound(model, rows, parameters)
    evidence = quad(density, -np.inf, np.inf, epsabs=0, epsrel=1e-8, limit=200)[0]
    assert 0 < math.log(evidence) < 1


@EVERY_WEIGHT
def test_rows_without_observed_entries_are_left_out(weights):
    x, model = with_missing(rows_of()), model_of("full", weights)
    more = torch.cat([x, torch.full((5, D), float("nan"), dtype=torch.float64)])
    parameters = posterior_of(model, rows_of())
    for found, expected in zip(
        Expectation(model, Rows(more)).sums(parameters), Expectation(model, Rows(x)).sums(parameters), strict=True
    ):
        torch.testing.assert_close(found, expected, **ROUNDING)


@EVERY_COVARIANCE
def test_what_rows_add_to_the_bound_is_the_sum_that_the_e_step_gives(covariance):
    x, model = with_missing(rows_of()), model_of(covariance)
    posterior = model.bind(posterior_of(model, rows_of()))
    for weight in (None, torch.arange(N, dtype=torch.float64)):
        tile, _ = incomplete_tile(x, weight)
        expected = (posterior.log_prob(tile) * (1.0 if weight is None else tile.weight)).sum()
        torch.testing.assert_close(posterior.expect(tile)[1], expected, **ROUNDING)


# -- rows to come ---------------------------------------------------------------------------------------------------


def student(model, parameters, k):
    """Center, scale matrix and degrees of freedom of a component's predictive distribution."""
    beta, mean, nu, covariance = component(model, parameters, k)
    df = nu + 1 - model.n_features
    return mean, covariance * nu * (1 + beta) / (beta * df), df


@EVERY_WEIGHT
@EVERY_COVARIANCE
def test_the_predictive_distribution_is_scipys_mixture_of_student_distributions(covariance, weights):
    x, model = rows_of(), model_of(covariance, weights)
    parameters = posterior_of(model, x)
    joint = [multivariate_t.logpdf(x.numpy(), *student(model, parameters, k)) for k in range(K)]
    expected = np.array(joint) + model.expected_weights(parameters).log().numpy()[:, None]
    posterior = model.bind(parameters)
    np.testing.assert_allclose(posterior.predictive_joint(Tile(x)).numpy(), expected, rtol=1e-10)
    found = posterior.predictive_log_prob(Tile(x))
    np.testing.assert_allclose(found.numpy(), logsumexp(expected, axis=0), rtol=1e-10)


@EVERY_COVARIANCE
def test_the_predictive_density_is_the_mean_density_under_q(covariance):
    model, n_draws = model_of(covariance, k=1), 4000
    x = rows_of(20)
    parameters = posterior_of(model, x)
    beta, mean, nu, matrix = component(model, parameters, 0)
    covariances = np.linalg.inv(wishart.rvs(nu, np.linalg.inv(nu * matrix), n_draws, random_state=0))
    noise = np.random.default_rng(0).standard_normal((n_draws, D, 1))
    means = mean + (np.linalg.cholesky(covariances / beta) @ noise)[..., 0]
    rows = mean + np.random.default_rng(1).standard_normal((3, D)) @ np.linalg.cholesky(matrix).T
    densities = [
        [multivariate_normal.pdf(rows, one, each) for one, each in zip(means[i::4], covariances[i::4], strict=True)]
        for i in range(4)
    ]
    found = model.bind(parameters).predictive_log_prob(Tile(torch.from_numpy(rows))).exp()
    assert within(torch.tensor(np.concatenate(densities)), found)


def test_the_predictive_density_of_one_component_is_a_ratio_of_evidences():
    x, model = rows_of(20), model_of(k=1)
    parameters = model.m_step(statistics_of(model, x[:-1], torch.ones(1, 19, dtype=torch.float64)), {})
    found = float(model.bind(parameters).predictive_log_prob(Tile(x[-1:])))
    ratio = log_evidence(x, model.prior) - log_evidence(x[:-1], model.prior)
    assert found == pytest.approx(ratio, abs=1e-10)


@EVERY_WEIGHT
def test_the_predictive_density_integrates_to_one(weights):
    x, model = rows_of(20, 1), model_of("full", weights, d=1)
    posterior = model.bind(posterior_of(model, x))

    def density(value):
        return float(posterior.predictive_log_prob(Tile(torch.tensor([[value]], dtype=torch.float64))).exp())

    total = quad(density, -np.inf, np.inf, epsabs=1e-9, limit=200)[0]
    assert total == pytest.approx(1, abs=1e-7)


@EVERY_COVARIANCE
def test_the_predictive_density_of_incomplete_rows_is_the_marginal(covariance):
    x, model = rows_of(), model_of(covariance)
    posterior = model.bind(posterior_of(model, x))
    row = x[:1].clone()
    row[0, 1] = float("nan")
    found = float(posterior.predictive_log_prob(incomplete_tile(row)[0]).exp())

    def density(value):
        filled = row.clone()
        filled[0, 1] = value
        return float(posterior.predictive_log_prob(Tile(filled)).exp())

    assert quad(density, -np.inf, np.inf, epsabs=0, epsrel=1e-9, limit=200)[0] == pytest.approx(found, rel=1e-7)


def test_a_row_without_observed_entries_has_predictive_density_one():
    model = model_of()
    tile, _ = incomplete_tile(torch.full((1, D), float("nan"), dtype=torch.float64))
    value = model.bind(posterior_of(model, rows_of())).predictive_log_prob(tile)
    torch.testing.assert_close(value, torch.zeros(1, dtype=torch.float64), **ROUNDING)


@EVERY_COVARIANCE
def test_draws_follow_the_predictive_distribution(covariance):
    n_draws, model = 20000, model_of(covariance)
    parameters = posterior_of(model, rows_of())
    draws, labels = model.sample(parameters, n_draws, torch.Generator().manual_seed(0))
    one_hot = torch.nn.functional.one_hot(labels, K).double()
    assert within(one_hot, model.expected_weights(parameters))
    for k in range(K):
        mean, scale, df = student(model, parameters, k)
        deviation = draws[labels == k].numpy() - mean
        distance = np.einsum("nd,de,ne->n", deviation, np.linalg.inv(scale), deviation) / D
        assert kstest(distance, f(D, df).cdf).pvalue > 1e-4
        for j in range(D):
            marginal = t(df, mean[j], math.sqrt(scale[j, j]))
            assert kstest(deviation[:, j] + mean[j], marginal.cdf).pvalue > 1e-4


def conditional(model, parameters, k, seen):
    """The predictive distribution of the second of two features given the first, in one component."""
    mean, scale, df = student(model, parameters, k)
    slope = scale[1, 0] / scale[0, 0]
    stretch = (df + (seen - mean[0]) ** 2 / scale[0, 0]) / (df + 1)
    spread = math.sqrt(stretch * (scale[1, 1] - slope * scale[0, 1]))
    return t(df + 1, mean[1] + slope * (seen - mean[0]), spread)


@EVERY_COVARIANCE
def test_imputations_follow_the_predictive_distribution_given_what_is_observed(covariance):
    n_draws, model = 20000, model_of(covariance, d=2)
    parameters = posterior_of(model, rows_of(d=2))
    posterior = model.bind(parameters)
    row = torch.tensor([[0.7, float("nan")]], dtype=torch.float64)
    shares = torch.softmax(posterior.predictive_joint(incomplete_tile(row)[0]), 0)[:, 0].numpy()
    parts = [conditional(model, parameters, k, 0.7) for k in range(K)]
    tile, _ = incomplete_tile(row.expand(n_draws, 2))
    draws = posterior.impute(tile, torch.Generator().manual_seed(0))
    assert bool((draws[:, 0] == 0.7).all())
    cdf = sum(share * part.cdf(draws[:, 1].numpy()) for share, part in zip(shares, parts, strict=True))
    assert kstest(cdf, "uniform").pvalue > 1e-4
    mean = sum(share * part.mean() for share, part in zip(shares, parts, strict=True))
    found = posterior.impute(incomplete_tile(row)[0])
    torch.testing.assert_close(found, torch.tensor([[0.7, mean]], dtype=torch.float64), **ROUNDING)


@pytest.mark.parametrize("start", [0.5, 3.0, 9.99e3, 1.01e4, 1e6, 1e9])
@pytest.mark.parametrize("twice", [1, 2, 7, 60])
def test_the_rise_of_the_log_gamma_function_is_the_sum_of_its_steps(start, twice):
    # Over two half steps it is log Gamma(a + 1) - log Gamma(a) = log a, and twice the rise over h adds up from them.
    a = torch.tensor(start, dtype=torch.float64)
    halves = [log_gamma_rise(a + 0.5 * i, 0.5) for i in range(2 * twice)]
    steps = torch.stack([(a + i).log() for i in range(twice)])
    torch.testing.assert_close(torch.stack(halves).sum(), steps.sum(), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(log_gamma_rise(a, float(twice)), steps.sum(), rtol=1e-10, atol=1e-10)
