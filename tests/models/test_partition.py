"""Normalising constants of :mod:`skgen.models.partition` against sums and integrals over all states."""

import math

import pytest
import torch
from sklearn.datasets import load_digits

from skgen.models.energy import RestrictedBoltzmannMachine, TemperedMachine
from skgen.models.partition import (
    LogPartition,
    TemperedPath,
    base_bias_of,
    has_exact_log_partition,
    log_partition,
    log_partition_exact,
)
from skgen.samplers.annealed import anneal, temperatures
from skgen.units import BernoulliUnits, CategoricalUnits, GaussianUnits, ReluUnits
from tests.boltzmann import PAIRS, grid, machine_from, states_from
from tests.oracles import process_state, within
from tests.parts import normal

CLOSED = [pair for pair in PAIRS if pair != ("gaussian", "relu")]


def small(visible, hidden, generator, **parameters):
    return machine_from(visible, hidden, generator=generator, n_visible=2, n_hidden=1, size=0.4, **parameters)


def log_partition_by_brute_force(machine):
    """The sum or integral of exp(-E) over pairs of states of both layers."""
    v, v_weight = grid(machine.visible, machine.visible.n_units, n_nodes=141)
    h, h_weight = grid(machine.hidden, machine.hidden.n_units, n_nodes=141)
    sums = [torch.logsumexp(v_weight - machine.energy(v, row.expand(len(v), -1)), 0) for row in h]
    return torch.logsumexp(h_weight + torch.stack(sums), 0)


@pytest.fixture(scope="module")
def digits():
    return torch.from_numpy((load_digits().data / 16 > 0.5).astype("float32"))


@pytest.fixture(scope="module")
def learnt(digits):
    """A machine of 16 hidden units that has learnt digits, by persistent contrastive divergence in plain code."""
    generator = torch.Generator().manual_seed(3)
    weight = 0.01 * torch.empty(16, 64).normal_(generator=generator)
    a, b = torch.logit(digits.mean(0).clamp(1e-3, 1 - 1e-3)), torch.zeros(16)
    chains = digits[:100]
    for step in range(3000):
        rate = 0.2 * (1 - step / 3000)
        rows = digits[torch.randint(len(digits), (100,), generator=generator)]
        h = torch.bernoulli(torch.sigmoid(b + chains @ weight.t()), generator=generator)
        chains = torch.bernoulli(torch.sigmoid(a + h @ weight), generator=generator)
        up, down = torch.sigmoid(b + rows @ weight.t()), torch.sigmoid(b + chains @ weight.t())
        weight += rate * (up.t() @ rows - down.t() @ chains) / 100
        a += rate * (rows.mean(0) - chains.mean(0))
        b += rate * (up.mean(0) - down.mean(0))
    machine = RestrictedBoltzmannMachine(BernoulliUnits(64), BernoulliUnits(16))
    for parameter, value in zip(
        (machine.weight, machine.visible_bias, machine.hidden_bias), (weight, a, b), strict=True
    ):
        parameter.data.copy_(value)
    return machine


# -- exact ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("visible", "hidden"), CLOSED)
def test_the_exact_constant_is_the_sum_over_all_states(visible, hidden, generator):
    machine = small(visible, hidden, generator)
    assert has_exact_log_partition(machine)
    torch.testing.assert_close(
        log_partition_exact(machine), log_partition_by_brute_force(machine).detach(), rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize(("visible", "hidden"), CLOSED)
def test_a_tempered_machine_has_an_exact_constant_too(visible, hidden, generator):
    machine = small(visible, hidden, generator)
    tempered = TemperedMachine(machine, 0.6, normal(2, generator=generator))
    torch.testing.assert_close(
        log_partition_exact(tempered), log_partition_by_brute_force(tempered).detach(), rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize(("n_visible", "n_hidden"), [(7, 3), (3, 7)])
def test_linear_layers_normalise_their_normal_law(n_visible, n_hidden, generator):
    machine = machine_from("gaussian", "gaussian", generator=generator, n_visible=n_visible, n_hidden=n_hidden)
    w, s = machine.weight.detach() / machine.sigma.detach(), machine.sigma.detach()
    precision = torch.diag(s**-2) - w.t() @ w
    mean = torch.linalg.solve(precision, machine.visible_bias.detach() / s**2 + w.t() @ machine.hidden_bias.detach())
    v = normal(5, n_visible, generator=generator)
    log_prob = torch.distributions.MultivariateNormal(mean, precision_matrix=precision).log_prob(v)
    torch.testing.assert_close(-machine.free_energy(v).detach() - log_partition_exact(machine), log_prob)


def test_large_fields_and_single_precision_lose_nothing(generator):
    machine = machine_from("bernoulli", "bernoulli", generator=generator, size=300.0)
    torch.testing.assert_close(
        log_partition_exact(machine), log_partition_by_brute_force(machine).detach(), rtol=1e-12, atol=0
    )
    single = machine.float()
    expected = log_partition_exact(single)
    assert expected.dtype == torch.float64
    torch.testing.assert_close(expected, log_partition_exact(single.double()), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("visible", "hidden", "possible"),
    [
        (BernoulliUnits(784), BernoulliUnits(20), True),
        (BernoulliUnits(20), ReluUnits(500), True),
        (BernoulliUnits(21), BernoulliUnits(21), False),
        (CategoricalUnits([2] * 20), BernoulliUnits(30), True),
        (CategoricalUnits([3] * 12 + [2]), BernoulliUnits(30), False),
        (CategoricalUnits([3] * 12), GaussianUnits(30), True),
        (GaussianUnits(30), BernoulliUnits(20), True),
        (GaussianUnits(30), BernoulliUnits(21), False),
        (GaussianUnits(300), GaussianUnits(200), True),
        (GaussianUnits(2), ReluUnits(2), False),
    ],
)
def test_a_layer_of_at_most_a_million_states_is_enumerated(visible, hidden, possible):
    machine = RestrictedBoltzmannMachine(visible, hidden)
    assert has_exact_log_partition(machine) == possible
    if not possible:
        with pytest.raises(ValueError, match=r"at most 1048576 joint states .* Take method='ais'"):
            log_partition(machine, "exact")


def test_an_infinite_constant_is_refused(generator):
    machine = machine_from("gaussian", "gaussian", generator=generator)
    machine.weight.data.mul_(1.3 / torch.linalg.matrix_norm(machine.weight.data, 2))
    for method in ("exact", "ais"):
        with pytest.raises(ValueError, match=r"largest singular value of its weights is below 1, got 1\.3"):
            log_partition(machine, method, generator=generator)


# -- the path ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_the_path_goes_from_independent_units_to_the_machine(visible, hidden, generator):
    machine = machine_from(visible, hidden, generator=generator)
    base = normal(8, generator=generator)
    path = TemperedPath(machine, base)
    x = path.state(states_from(machine.visible, 6, generator))
    torch.testing.assert_close(path.log_density(1.0, x), -machine.free_energy(x.v))
    start = path.log_density(0.0, x) - path.at(0.0).independent_log_partition()
    features = machine.features(x.v)
    field = machine.features(base)
    alone = machine.visible.log_base(features) + features @ field - machine.visible.log_partition(field).sum()
    if machine.log_scale is not None:
        alone = alone - machine.log_scale.sum()
    torch.testing.assert_close(start, alone)


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_changes_are_differences_of_log_densities(visible, hidden, generator):
    path = TemperedPath(machine_from(visible, hidden, generator=generator), normal(8, generator=generator))
    x = path.state(states_from(path.machine.visible, 3, generator))
    old, new = torch.tensor([0.0, 0.4, 1.0]).double(), torch.tensor([0.7, 0.3, 0.0]).double()
    expected = path.log_density(new, x) - path.log_density(old, x)
    torch.testing.assert_close(path.change(old, new, x), expected)
    for row in range(3):
        each = path.change(float(old[row]), float(new[row]), x)
        torch.testing.assert_close(each[row], expected[row])


@pytest.mark.parametrize(("visible", "hidden"), [pair for pair in PAIRS if "categorical" not in pair])
def test_small_changes_keep_their_digits_in_single_precision(visible, hidden, generator):
    machine = machine_from(visible, hidden, generator=generator, n_visible=784, n_hidden=500, size=0.04)
    base = normal(784, generator=generator)
    v = states_from(machine.visible, 20, generator)
    exact = TemperedPath(machine, base)
    expected = exact.change(0.5, 0.5001, exact.state(v))
    single = TemperedPath(machine.float(), base.float())
    found = single.change(0.5, 0.5001, single.state(v.float()))
    # Roundings of some 1e-7 in 500 units add up to few 1e-6; densities of 1000 nats have one of 1e-4.
    assert (found - expected).abs().max() < 1e-5


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_three_temperatures_estimate_the_constant_without_bias(visible, hidden, generator):
    machine = small(visible, hidden, generator)
    path = TemperedPath(machine, normal(2, generator=generator))
    with torch.no_grad():
        start = path.draw(200_000, generator)
        log_weight = anneal(path, start, temperatures(3), generator).log_weight
        log_ratio = log_partition_by_brute_force(machine) - path.at(0.0).independent_log_partition()
    assert within(torch.exp(log_weight - log_ratio), torch.tensor(1.0), n_errors=3)


# -- annealed estimates --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_both_directions_find_the_constant_of_every_pair_of_units(visible, hidden, generator):
    machine = small(visible, hidden, generator)
    with torch.no_grad():
        exact = log_partition_by_brute_force(machine)
        path = TemperedPath(machine, machine.visible_bias)
        rows = path.draw(2000, generator)
        for _ in range(50):
            rows = path.step(1.0, rows, generator)
    found = log_partition(machine, "ais", rows=rows.v, betas=500, generator=generator)
    assert found.method == "ais"
    assert found.lower <= exact <= found.upper
    assert found.upper - found.lower < 0.15
    assert abs(found.reverse - exact) < 0.1


def test_a_thousand_temperatures_come_within_a_tenth_of_a_nat_on_digits(learnt, digits, generator):
    exact = log_partition(learnt)
    assert exact == LogPartition(exact.value, exact.value, exact.value, None, math.inf, "exact")
    for _ in range(3):
        found = log_partition(learnt, "ais", rows=digits, betas=1000, n_chains=100, generator=generator)
        assert abs(found.value - exact.value) < 0.1
        assert abs(found.value - found.reverse) < 0.2
        assert found.lower <= exact.value <= found.upper
        assert found.effective_sample_size > 90


def test_starting_from_the_means_of_the_data_makes_a_shorter_path(learnt, digits, generator):
    widths = []
    for base in (torch.zeros(64), base_bias_of(learnt, digits)):
        found = log_partition(learnt, "ais", base_bias=base, betas=100, generator=generator)
        widths.append(found.upper - found.lower)
    assert widths[1] < 0.7 * widths[0]


def test_the_base_has_the_means_of_the_rows(generator):
    for visible in ("bernoulli", "gaussian", "categorical"):
        machine = machine_from(visible, "bernoulli", generator=generator)
        rows = states_from(machine.visible, 50, generator)
        at_start = TemperedPath(machine, base_bias_of(machine, rows)).at(0.0)
        mean = at_start.visible_mean(torch.zeros(1, 4).double())[0]
        torch.testing.assert_close(mean, rows.mean(0))
        assert torch.equal(base_bias_of(machine, None), machine.visible_bias)


def test_without_rows_there_is_no_reverse_estimate_and_equal_generators_give_equal_estimates(generator):
    machine = machine_from("gaussian", "bernoulli", generator=generator)
    first, second = (
        log_partition(machine, "ais", betas=50, generator=torch.Generator().manual_seed(5)) for _ in range(2)
    )
    assert first.reverse is None
    assert first == second


def test_products_of_low_precision_are_for_training_only(generator):
    machine = machine_from("bernoulli", "bernoulli", generator=generator)
    exact = log_partition(machine)
    annealed = log_partition(machine, "ais", betas=20, generator=torch.Generator().manual_seed(5))
    machine.low_precision = True
    assert log_partition(machine) == exact
    assert log_partition(machine, "ais", betas=20, generator=torch.Generator().manual_seed(5)) == annealed


def test_auto_anneals_where_the_exact_constant_is_out_of_reach(generator):
    machine = machine_from("gaussian", "relu", generator=generator)
    assert log_partition(machine, betas=10, generator=generator).method == "ais"
    assert log_partition(machine_from("gaussian", "gaussian", generator=generator)).method == "exact"


def test_a_wrong_method_and_a_missing_generator_are_named(generator):
    machine = machine_from("bernoulli", "bernoulli", generator=generator)
    with pytest.raises(ValueError, match=r"method must be one of \['ais', 'auto', 'exact'\], got 'AIS'"):
        log_partition(machine, "AIS")
    with pytest.raises(ValueError, match=r"pass a torch\.Generator"):
        log_partition(machine, "ais")


def test_parameters_and_global_state_are_untouched(learnt, digits, generator):
    before, parameters = process_state(), [parameter.clone() for parameter in learnt.parameters()]
    log_partition(learnt, "ais", rows=digits, betas=5, generator=generator)
    assert process_state() == before
    assert all(torch.equal(a, b) for a, b in zip(parameters, learnt.parameters(), strict=True))
