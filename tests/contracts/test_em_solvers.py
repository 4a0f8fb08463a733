"""What every exact model and every solver keep together."""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
import torch

from skgen._exact_model import ExactModel, Posterior, added
from skgen._rows import Rows
from skgen.distributions.covariance import COVARIANCES
from skgen.models.bayesian_mixture import BayesianMixture, NormalWishart
from skgen.models.conjugate import ConjugateTerms
from skgen.models.factor_mixture import NOISES as FACTOR_NOISES
from skgen.models.factor_mixture import FactorMixture
from skgen.models.linear_gaussian import LinearGaussian
from skgen.models.mixture import GaussianMixtureModel
from skgen.models.weight_priors import WEIGHT_PRIORS
from skgen.samplers import langevin
from skgen.training.em import EM_SOLVERS
from skgen.training.expectation import Expectation
from skgen.training.optimizers import SOLVERS
from tests.oracles import within
from tests.parts import normal

N, D, K = 120, 5, 2
NOISES = ("isotropic", "diagonal")
LOADINGS = torch.tensor([[1.3, -1.1, 0.9, 1.2, 1.0]], dtype=torch.float64)
ROUNDING = 1e-11
"""Of a bound in nats per row: sums over rows, and differences of large terms in a row."""


@dataclass
class Problem:
    """A model, rows and a start."""

    model: ExactModel
    x: torch.Tensor
    weight: torch.Tensor
    start: dict[str, Any]

    @property
    def rows(self):
        return Rows(self.x, self.weight, tile_rows=50, incomplete_tile_rows=50)

    def solver(self, name, *, seed=0, **options):
        solver_class = EM_SOLVERS[name if name in EM_SOLVERS else name.partition("-")[0]]
        generator = torch.Generator().manual_seed(seed)
        return solver_class(self.model, self.rows, self.start, generator=generator, **(OPTIONS[name] | options))

    @property
    def noise(self):
        """The mean gap of parameters drawn from their posterior: half of one over n for each number in them."""
        return 0.5 * len(self.model.unconstrain(self.start)) / N


OPTIONS = {
    "em": {},
    "em-accelerated": {},
    "incremental": {"n_blocks": 3},
    "online": {"batch_size": 30},
    "mcem": {"n_warmup": 20},
} | {f"gradient-{name}": {"method": name} for name, optimizer in SOLVERS.items() if optimizer.line_search}
EXACT = [name for name in OPTIONS if name not in ("online", "mcem")]


def data():
    """Two clusters of rows with a factor each, some entries missing, and their shares in the clusters."""
    generator = torch.Generator().manual_seed(8)
    label = torch.arange(N) % K
    x = normal(N, 1, generator=generator) @ LOADINGS + normal(N, D, generator=generator)
    x = x + 2.5 * label.unsqueeze(1)
    weight = 0.5 + torch.rand(N, generator=generator, dtype=torch.float64)
    shares = 0.1 + 0.8 * torch.nn.functional.one_hot(label, K).double().T
    gone = torch.rand(x.shape, generator=generator) < 0.1
    gone[N // 2 :] = False
    return x, x.masked_fill(gone, torch.nan), weight, shares * weight


def gaussian(covariance, prior=None):
    x, holes, weight, shares = data()
    model = GaussianMixtureModel(COVARIANCES[covariance], K, D, prior=prior)
    return Problem(model, holes, weight, model.from_responsibilities(shares, x))


def with_prior(covariance):
    structure = COVARIANCES[covariance]
    scatter = structure.pack(structure.from_matrices(torch.eye(D, dtype=torch.float64).unsqueeze(0))).squeeze(0)
    return gaussian(covariance, ConjugateTerms(1.5, 0.1, torch.ones(D).double(), 8.0, scatter))


def bayesian(covariance, weights):
    x, holes, weight, shares = data()
    scale = COVARIANCES[covariance].from_matrices(torch.eye(D, dtype=torch.float64).unsqueeze(0))[0]
    prior = NormalWishart(0.3, torch.zeros(D).double(), D + 0.5, scale)
    model = BayesianMixture(COVARIANCES[covariance], K, D, WEIGHT_PRIORS[weights](0.5), prior)
    plain = GaussianMixtureModel(COVARIANCES[covariance], K, D)
    posterior = plain.bind(plain.from_responsibilities(shares, x))
    statistics = {}
    for tile, place in zip(Rows(x), Rows(x).places(), strict=True):
        added(statistics, posterior.given(shares[:, place], tile))
    return Problem(model, holes, weight, model.m_step(statistics, {}))


def factors(noise, **options):
    _, holes, weight, _ = data()
    generator = torch.Generator().manual_seed(9)
    start = {"mean": torch.ones(D).double(), "loadings": normal(D, 1, generator=generator)}
    start["noise"] = torch.ones(() if noise == "isotropic" else D, dtype=torch.float64)
    return Problem(LinearGaussian(D, 1, noise, **options), holes, weight, start)


def factor_mixture(noise):
    x, holes, weight, shares = data()
    model = FactorMixture(D, K, 1, noise)
    return Problem(model, holes, weight, model.from_responsibilities(shares, x))


MODELS = (
    {f"mixture-{name}": (gaussian, name) for name in COVARIANCES}
    | {f"mixture-prior-{name}": (with_prior, name) for name in ("full", "tied")}
    | {f"bayesian-{name}": (bayesian, "full", name) for name in WEIGHT_PRIORS}
    | {f"factors-{name}": (factors, name) for name in NOISES}
    | {f"factor-mixture-{name}": (factor_mixture, name) for name in FACTOR_NOISES}
)


def problem(name):
    function, *arguments = MODELS[name]
    return function(*arguments)


def draws(problem):
    return type(problem.model.bind(problem.start)).draw is not Posterior.draw


def runs(problem, name):
    """Whether a solver can learn the model: Monte Carlo EM needs draws."""
    return name != "mcem" or draws(problem)


ONE_OF_EACH = (
    "mixture-full",
    "mixture-prior-tied",
    "bayesian-dirichlet_process",
    "factors-diagonal",
    "factor-mixture-shared",
)
"""A model of each kind."""


def climbs(model, name):
    """Whether a solver is to climb the bound of a model.

    All models are climbed by all kinds of EM and by one method that follows the gradient. The other methods see a
    function of numbers, and not what model it is of, so one model of each kind is enough for them.
    """
    return name in EXACT and (not name.startswith("gradient-") or name == "gradient-lbfgs" or model in ONE_OF_EACH)


every_model = pytest.mark.parametrize("model", MODELS)
every_solver = pytest.mark.parametrize("name", OPTIONS)
CASES = [(model, name) for model in MODELS for name in OPTIONS if runs(problem(model), name)]
every_case = pytest.mark.parametrize(("model", "name"), CASES)
every_exact_case = pytest.mark.parametrize(("model", "name"), [case for case in CASES if climbs(*case)])


@cache
def optimum(model):
    """The solver that has come nearest to a stationary point."""
    found = problem(model).solver("em")
    for _ in range(250):
        found.step()
    return found


@every_exact_case
def test_all_reach_the_same_bound(model, name):
    best = optimum(model).value()
    found = problem(model).solver(name)
    for _ in range(100):
        if best - found.step() < 1e-9:
            break
    assert abs(found.value() - best) < 1e-8


@every_exact_case
def test_no_step_lowers_the_bound(model, name):
    found = problem(model).solver(name)
    values = [found.step() for _ in range(6)]
    assert all(later >= earlier - ROUNDING for earlier, later in pairwise(values))
    assert found.value() >= values[-1] - ROUNDING


@every_model
@pytest.mark.parametrize("name", ["online", "mcem"])
def test_stochastic_solvers_come_near(model, name):
    if not runs(problem(model), name):
        with pytest.raises(NotImplementedError, match="no posterior draws"):
            problem(model).solver(name).step()
        return
    found = problem(model).solver(name)
    for _ in range(40):
        found.step()
    assert abs(optimum(model).value() - found.value()) < problem(model).noise


@every_model
def test_the_gradient_is_zero_where_em_stands_still(model):
    best, start = optimum(model), problem(model)
    _, first = best.expectation.backward(start.model.unconstrain(start.start))
    _, last = best.expectation.backward(best.model.unconstrain(best.parameters))
    assert last.norm() < 1e-6 * first.norm()


@every_case
def test_a_run_continues_from_its_state_bit_for_bit(model, name):
    whole, continued = problem(model).solver(name), problem(model).solver(name)
    for _ in range(2):
        whole.step()
    continued.load({key: value.clone() for key, value in whole.state().items()})
    continued.generator.set_state(whole.generator.get_state())
    assert [whole.step() for _ in range(2)] == [continued.step() for _ in range(2)]
    for key, value in whole.state().items():
        assert torch.equal(value, continued.state()[key])


@every_model
def test_statistics_add_over_tiles_and_batches(model):
    case = problem(model)
    parameters = case.model.refreshed(case.start)
    whole, value = Expectation(case.model, Rows(case.x, case.weight)).sums(parameters)
    total, sum_of_values = {}, 0.0
    for index in torch.randperm(N, generator=torch.Generator().manual_seed(1)).split(37):
        more, part = Expectation(case.model, case.rows.take(index)).sums(parameters)
        total, sum_of_values = added(total, more), sum_of_values + part
    assert whole.keys() == total.keys()
    for key, each in whole.items():
        torch.testing.assert_close(each, total[key], rtol=1e-10, atol=1e-9)
    assert abs(float(value - sum_of_values)) < 1e-9


@pytest.mark.parametrize("model", [model for model, name in CASES if name == "mcem"])
def test_draws_have_the_expected_statistics(model):
    case = problem(model)
    expectation = Expectation(case.model, case.rows)
    posterior, generator = case.model.bind(case.start), torch.Generator().manual_seed(2)
    expected = expectation(case.start)[0]
    found = []
    for _ in range(100):
        total = {}
        for tile in case.rows:
            added(total, posterior.draw(tile, generator))
        found.append(total)
    for key, value in expected.items():
        assert within(torch.stack([each[key] for each in found]), value), key


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("summarized", [True, False])
def test_langevin_chains_in_place_of_exact_draws_come_near_too(noise, summarized):
    found = factors(noise, summarized=summarized).solver("mcem", sampler=langevin)
    for _ in range(40):
        found.step()
    assert abs(optimum(f"factors-{noise}").value() - found.value()) < factors(noise).noise
