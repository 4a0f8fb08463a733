"""Machines of :mod:`skgen.models.energy` against enumeration, quadrature and closed forms."""

import math

import pytest
import torch

from skgen.models.energy import RestrictedBoltzmannMachine, TemperedMachine
from skgen.training.flat import FlatParameters
from skgen.units import BernoulliUnits, GaussianUnits, ReluUnits
from tests.boltzmann import PAIRS, grid, machine_from, states_from
from tests.oracles import linear_gaussian_log_prob, process_state, within
from tests.parts import normal

N_DRAWS = 20000


@pytest.fixture(autouse=True)
def _without_recording():
    with torch.no_grad():
        yield


def small(visible, hidden, generator, **parameters):
    return machine_from(visible, hidden, generator=generator, n_visible=4, n_hidden=2, **parameters)


def visible_grid(machine):
    """States of the visible layer, in the units of v, with log weights."""
    u, log_weight = grid(machine.visible, machine.visible.n_units, n_nodes=141)
    if machine.sigma is None:
        return u, log_weight
    return u * machine.sigma, log_weight + machine.log_scale.expand(machine.visible.n_units).sum()


# -- energies --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_the_free_energy_sums_the_joint_law_over_hidden_states(visible, hidden, generator):
    machine = small(visible, hidden, generator)
    h, log_weight = grid(machine.hidden, 2, n_nodes=141)
    v = states_from(machine.visible, 5, generator)
    free = [-torch.logsumexp(log_weight - machine.energy(row.expand(len(h), -1), h), 0) for row in v]
    torch.testing.assert_close(machine.free_energy(v), torch.stack(free), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(machine.free_energy(v, machine.coupled(v)), machine.free_energy(v))


@pytest.mark.parametrize("variance", ["feature", "shared", "fixed"])
@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_the_hidden_free_energy_sums_it_over_visible_states(visible, hidden, variance, generator):
    machine = machine_from(visible, hidden, generator=generator, n_visible=2, n_hidden=3, size=0.4, variance=variance)
    v, log_weight = visible_grid(machine)
    h = states_from(machine.hidden, 5, generator)
    free = [-torch.logsumexp(log_weight - machine.energy(v, row.expand(len(v), -1)), 0) for row in h]
    torch.testing.assert_close(machine.hidden_free_energy(h), torch.stack(free), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_both_free_energies_have_one_partition_function(visible, hidden, generator):
    machine = machine_from(visible, hidden, generator=generator, n_visible=2, n_hidden=2, size=0.4)
    machine.weight.mul_(0.5)
    v, v_weight = visible_grid(machine)
    h, h_weight = grid(machine.hidden, 2, n_nodes=141)
    by_visible = torch.logsumexp(v_weight - machine.free_energy(v), 0)
    by_hidden = torch.logsumexp(h_weight - machine.hidden_free_energy(h), 0)
    torch.testing.assert_close(by_visible, by_hidden, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_without_weights_the_partition_function_is_that_of_independent_units(visible, hidden, generator):
    machine = machine_from(visible, hidden, generator=generator, n_visible=2, n_hidden=2, size=0.4)
    machine.weight.zero_()
    v, log_weight = visible_grid(machine)
    log_partition = torch.logsumexp(log_weight - machine.free_energy(v), 0)
    torch.testing.assert_close(machine.independent_log_partition(), log_partition, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_means_and_draws_are_those_of_the_conditional_laws(visible, hidden, generator):
    machine = small(visible, hidden, generator)
    v, h = states_from(machine.visible, 1, generator), states_from(machine.hidden, 1, generator)
    for given, mean, draw, other, energy in (
        (v, machine.hidden_mean, machine.draw_hidden, grid(machine.hidden, 2, n_nodes=141), machine.energy),
        (h, machine.visible_mean, machine.draw_visible, None, lambda a, b: machine.energy(b, a)),
    ):
        many = given.expand(N_DRAWS, -1)
        drawn = draw(many, generator)
        assert within(drawn, mean(given)[0])
        if other is not None:
            states, log_weight = other
            p = torch.softmax(log_weight - energy(given.expand(len(states), -1), states), 0)
            torch.testing.assert_close(mean(given)[0], p @ states, rtol=1e-9, atol=1e-9)
        elif machine.visible.n_states is not None:
            states = machine.visible.states()
            p = torch.softmax(-energy(given.expand(len(states), -1), states), 0)
            torch.testing.assert_close(mean(given)[0], p @ states)
        else:
            assert within((drawn - mean(given)).square(), machine.sigma.square())


def test_real_visible_units_given_hidden_ones_are_normal_as_the_energy_says(generator):
    machine = small("gaussian", "bernoulli", generator)
    v, h = normal(6, 4, generator=generator), states_from(machine.hidden, 1, generator).expand(6, -1)
    mean = machine.visible_bias + machine.sigma * (h @ machine.weight)
    torch.testing.assert_close(machine.visible_mean(h), mean)
    log_density = torch.distributions.Normal(mean, machine.sigma).log_prob(v).sum(1)
    torch.testing.assert_close(machine.hidden_free_energy(h) - machine.energy(v, h), log_density)


# -- linear units ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variance", ["feature", "shared", "fixed"])
def test_linear_hidden_units_make_the_density_of_factor_analysis(variance, generator):
    """Loadings s W' (I - W W')^(-1/2), noise variances s^2, and the mean that the biases say."""
    machine = machine_from("gaussian", "gaussian", generator=generator, n_visible=5, n_hidden=3, variance=variance)
    w, sigma = machine.weight, machine.sigma.expand(5)
    inner = torch.eye(3).double() - w @ w.t()
    loading = sigma.unsqueeze(1) * torch.linalg.solve_triangular(torch.linalg.cholesky(inner), w, upper=False).t()
    bias = machine.features(machine.visible_bias) + w.t() @ machine.hidden_bias
    mean = sigma * torch.linalg.solve(torch.eye(5).double() - w.t() @ w, bias)
    v = normal(6, 5, generator=generator)
    log_density = linear_gaussian_log_prob(v, loading, mean, sigma.square())
    constant = log_density + machine.free_energy(v)
    torch.testing.assert_close(constant, constant[:1].expand(6))


def test_the_density_is_normalizable_where_the_largest_singular_value_is_below_one(generator):
    machine = machine_from("gaussian", "gaussian", generator=generator, n_visible=5, n_hidden=3)
    for factor, good in ((0.999, True), (1.001, False)):
        machine.weight.mul_(factor / torch.linalg.matrix_norm(machine.weight, 2))
        precision = torch.eye(5).double() - machine.weight.t() @ machine.weight
        assert machine.is_normalizable() == good == bool((torch.linalg.eigvalsh(precision) > 0).all())
    with pytest.raises(ValueError, match=r"largest singular value of its weights is below 1, got 1\.001"):
        machine.require_normalizable()
    tempered = TemperedMachine(machine, 0.5, machine.visible_bias)
    assert tempered.is_normalizable()
    tempered.require_normalizable()


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_bounded_units_are_normalizable_with_any_weights(visible, hidden, generator):
    machine = machine_from(visible, hidden, generator=generator)
    machine.weight.mul_(100)
    assert machine.is_normalizable() == (visible != "gaussian" or hidden == "bernoulli")


# -- temperatures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_a_tempered_machine_is_one_with_other_parameters(visible, hidden, beta, generator):
    machine = machine_from(visible, hidden, generator=generator)
    base = normal(8, generator=generator)
    other = RestrictedBoltzmannMachine(machine.visible, machine.hidden).double()
    other.load_state_dict(machine.state_dict())
    other.weight.mul_(beta)
    other.hidden_bias.mul_(beta)
    other.visible_bias.copy_((1 - beta) * base + beta * machine.visible_bias)
    v, h = states_from(machine.visible, 6, generator), states_from(machine.hidden, 6, generator)
    column = torch.full((6, 1), beta).double()
    for tempered in (TemperedMachine(machine, beta, base), TemperedMachine(machine, column, base)):
        assert tempered.weight is machine.weight
        coupled = machine.coupled(v)
        torch.testing.assert_close(tempered.free_energy(v), other.free_energy(v))
        torch.testing.assert_close(tempered.free_energy(v, coupled), other.free_energy(v))
        torch.testing.assert_close(tempered.hidden_free_energy(h), other.hidden_free_energy(h))
        torch.testing.assert_close(tempered.energy(v, h), other.energy(v, h))
        torch.testing.assert_close(tempered.hidden_mean(v), other.hidden_mean(v))
        torch.testing.assert_close(tempered.visible_mean(h), other.visible_mean(h))
        seed = [torch.Generator().manual_seed(4) for _ in range(2)]
        torch.testing.assert_close(tempered.draw_visible(h, seed[0]), other.draw_visible(h, seed[1]))
        torch.testing.assert_close(tempered.draw_hidden(v, seed[0]), other.draw_hidden(v, seed[1]))


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_at_temperature_zero_units_are_independent(visible, hidden, generator):
    machine = machine_from(visible, hidden, generator=generator, n_visible=2, n_hidden=2, size=0.4)
    base, v = normal(2, generator=generator), states_from(machine.visible, 5, generator)
    start = TemperedMachine(machine, 0.0, base)
    states, log_weight = visible_grid(machine)
    log_partition = torch.logsumexp(log_weight - start.free_energy(states), 0)
    torch.testing.assert_close(start.independent_log_partition(), log_partition, rtol=1e-9, atol=1e-9)
    column = torch.zeros(5, 1).double()
    by_row = TemperedMachine(machine, column, base)
    torch.testing.assert_close(by_row.independent_log_partition(), log_partition.expand(5), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(by_row.free_energy(v), start.free_energy(v))


def test_rows_at_temperatures_of_their_own_have_the_values_of_each_alone(generator):
    machine = machine_from("bernoulli", "bernoulli", generator=generator)
    v, base, beta = states_from(machine.visible, 6, generator), torch.zeros(8).double(), torch.rand(6, 1).double()
    together = TemperedMachine(machine, beta, base).free_energy(v)
    alone = [
        TemperedMachine(machine, float(b), base).free_energy(row.unsqueeze(0)) for b, row in zip(beta, v, strict=True)
    ]
    torch.testing.assert_close(together, torch.cat(alone))


# -- numbers and units -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_fields_of_ten_thousand_give_finite_numbers(visible, hidden, dtype, generator):
    machine = machine_from(visible, hidden, generator=generator).to(dtype)
    if machine.is_normalizable() and visible != "gaussian":
        machine.weight.mul_(1e4)
    machine.hidden_bias.copy_(torch.tensor([1e4, -1e4, 40.0, -40.0]))
    v, h = states_from(machine.visible, 6, generator).to(dtype), states_from(machine.hidden, 6, generator).to(dtype)
    for result in (
        machine.free_energy(v),
        machine.hidden_free_energy(h),
        machine.hidden_mean(v),
        machine.visible_mean(h),
        machine.draw_hidden(v, generator),
        machine.draw_visible(h, generator),
        machine.independent_log_partition(),
    ):
        assert result.dtype == dtype
        assert torch.isfinite(result).all()


@pytest.mark.parametrize("field", [-40.0, 40.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_free_energy_of_a_rectified_unit_is_exact_in_its_tails(field, dtype):
    machine = RestrictedBoltzmannMachine(BernoulliUnits(1), ReluUnits(1)).to(dtype)
    machine.hidden_bias.fill_(field)
    h = torch.linspace(max(0.0, field - 12), field + 12 if field > 0 else 1.0, 200001).double().unsqueeze(1)
    v = torch.zeros(1, 1, dtype=dtype)
    log_density = -machine.double().energy(v.double().expand(len(h), -1), h)
    peak = log_density.max()
    exact = -(torch.log(torch.trapezoid(torch.exp(log_density - peak), h[:, 0])) + peak)
    machine.to(dtype)
    # The rule's error is spacing^2 / 12 times the slope at 0, here below 1e-8 of the integral.
    precision = {torch.float32: 1e-6, torch.float64: 1e-8}[dtype]
    assert float(machine.free_energy(v)) == pytest.approx(float(exact), rel=precision)


def test_products_in_bfloat16_change_fields_by_their_rounding_only(generator):
    machine = machine_from("bernoulli", "bernoulli", generator=generator).float()
    v, h = (states_from(units, 6, generator).float() for units in (machine.visible, machine.hidden))
    exact = machine.hidden_field(v), machine.visible_field(h)
    machine.low_precision = True
    for low, high, weight in zip(
        (machine.hidden_field(v), machine.visible_field(h)),
        exact,
        (machine.weight.abs().sum(1), machine.weight.abs().sum(0)),
        strict=True,
    ):
        assert low.dtype == torch.float32
        assert not torch.equal(low, high)
        assert ((low - high).abs() <= 2.0**-7 * weight).all()


def test_values_are_the_same_in_flat_buffers(generator):
    machine = machine_from("gaussian", "relu", generator=generator)
    v, h = states_from(machine.visible, 6, generator), states_from(machine.hidden, 6, generator)
    before = machine.free_energy(v), machine.hidden_free_energy(h)
    FlatParameters(machine)
    torch.testing.assert_close((machine.free_energy(v), machine.hidden_free_energy(h)), before)


def test_real_columns_are_standardised_and_binary_ones_stay(generator):
    mean, scale = torch.tensor([3.0, -1.0, 0.5]).double(), torch.tensor([2.0, 0.0, 0.1]).double()
    rows = normal(5, 3, generator=generator)
    for units in (GaussianUnits(3), BernoulliUnits(3)):
        machine = RestrictedBoltzmannMachine(units, BernoulliUnits(2)).double()
        machine.initialize(mean.sigmoid(), scale, generator)
        torch.testing.assert_close(machine.restore(machine.standardize(rows)), rows)
    assert torch.equal(machine.standardize(rows), rows)
    assert machine.log_jacobian == 0
    real = RestrictedBoltzmannMachine(GaussianUnits(3), BernoulliUnits(2)).double()
    real.initialize(mean, scale, generator)
    torch.testing.assert_close(real.standardize(rows)[:, 1], rows[:, 1] + 1)
    assert float(real.log_jacobian) == pytest.approx(-math.log(0.2))


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_a_machine_starts_at_the_means_of_the_columns(visible, hidden, generator):
    machine = machine_from(visible, hidden, generator=generator)
    mean = machine.visible.mean(normal(8, generator=generator))
    machine.initialize(mean, torch.ones(8).double(), generator)
    assert 0.005 < machine.weight.std() < 0.02
    machine.weight.zero_()
    start = machine.restore(machine.visible_mean(torch.zeros(1, 4).double()))[0]
    torch.testing.assert_close(start, mean)
    assert (machine.hidden_bias == 0).all()


def test_global_state_is_untouched(generator):
    before = process_state()
    machine = machine_from("bernoulli", "relu", generator=generator)
    machine.initialize(torch.full((8,), 0.5), torch.ones(8), generator)
    machine.draw_visible(machine.draw_hidden(torch.zeros(2, 8).double(), generator), generator)
    assert process_state() == before
