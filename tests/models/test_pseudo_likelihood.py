"""Values of :mod:`skgen.models.pseudo_likelihood` against free energies, one conditional at a time."""

import math

import pytest
import torch
from scipy.integrate import quad

from skgen.models import pseudo_likelihood
from skgen.models.energy import TemperedMachine
from skgen.models.pseudo_likelihood import pseudo_log_likelihood
from skgen.units import HIDDEN_UNITS
from tests.boltzmann import PAIRS, machine_from, states_from
from tests.parts import normal

ROUNDING = {torch.float32: 1e-4, torch.float64: 1e-11}
"""Absolute error in nats; free energies are some ten nats, and differences of them are summed over eight columns."""


def blocks(machine):
    """The columns of each unit or category, in slices."""
    sizes = getattr(machine.visible, "sizes", (1,) * machine.visible.n_units)
    ends = torch.tensor(sizes).cumsum(0).tolist()
    return [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]


def one_at_a_time(machine, row):
    """Sum of log p(block | rest) of a row of a machine with finitely many states, from free energies."""
    total = 0.0
    for block in blocks(machine):
        size = block.stop - block.start
        values = torch.eye(size) if size > 1 else torch.tensor([[0.0], [1.0]])
        candidates = row.expand(len(values), -1).clone()
        candidates[:, block] = values.to(row)
        log_p = torch.log_softmax(-machine.free_energy(candidates), 0)
        weights = row[block] if size > 1 else torch.stack([1 - row[block.start], row[block.start]])
        total += (weights * log_p).sum()
    return total


def by_adaptive_quadrature(machine, row):
    """Sum of log p(v_i | rest) of a row of real columns."""
    own, total = float(machine.free_energy(row.unsqueeze(0))), 0.0
    for i in range(len(row)):

        def density(value, i=i):
            other = row.clone()
            other[i] = value
            return math.exp(own - float(machine.free_energy(other.unsqueeze(0))))

        mass = sum(quad(density, *span, epsabs=0, epsrel=1e-11, limit=500)[0] for span in ((-60, -8), (-8, 8), (8, 60)))
        total -= math.log(mass)
    return total


@pytest.mark.parametrize("hidden", HIDDEN_UNITS)
@pytest.mark.parametrize("visible", ["bernoulli", "categorical"])
def test_columns_with_finitely_many_values_agree_with_free_energies(visible, hidden, generator):
    with torch.no_grad():
        machine = machine_from(visible, hidden, generator=generator)
        v = states_from(machine.visible, 7, generator)
        expected = torch.stack([one_at_a_time(machine, row) for row in v])
        torch.testing.assert_close(pseudo_log_likelihood(machine, v), expected)


@pytest.mark.parametrize("hidden", HIDDEN_UNITS)
def test_probabilities_of_binary_columns_give_the_mean_over_both_values(hidden, generator):
    with torch.no_grad():
        machine = machine_from("bernoulli", hidden, generator=generator)
        v = torch.rand(7, 8, generator=generator, dtype=torch.float64)
        expected = torch.stack([one_at_a_time(machine, row) for row in v])
        torch.testing.assert_close(pseudo_log_likelihood(machine, v), expected)


@pytest.mark.parametrize("hidden", HIDDEN_UNITS)
def test_real_columns_agree_with_adaptive_quadrature(hidden, generator):
    with torch.no_grad():
        machine = machine_from("gaussian", hidden, generator=generator, n_visible=3, n_hidden=5)
        machine.hidden_bias.mul_(2)
        v = 2 * normal(3, 3, generator=generator)
        expected = [by_adaptive_quadrature(machine, row) for row in v]
        torch.testing.assert_close(pseudo_log_likelihood(machine, v), torch.tensor(expected, dtype=torch.float64))


def test_real_columns_with_far_modes_are_integrated_over_all_of_them(generator):
    with torch.no_grad():
        machine = machine_from("gaussian", "bernoulli", generator=generator, n_visible=2, n_hidden=3, size=0.0)
        machine.weight.copy_(torch.tensor([[12.0, 0.0], [-15.0, 1.0], [20.0, -1.0]]))
        machine.hidden_bias.copy_(-0.5 * machine.weight.square().sum(1))
        v = torch.tensor([[0.0, 0.0], [20.0, -1.0], [-3.0, 1.0]]).double()
        expected = [by_adaptive_quadrature(machine, row) for row in v]
        torch.testing.assert_close(pseudo_log_likelihood(machine, v), torch.tensor(expected, dtype=torch.float64))


def test_without_weights_it_is_the_log_likelihood(generator):
    with torch.no_grad():
        for visible, hidden in PAIRS:
            machine = machine_from(visible, hidden, generator=generator)
            machine.weight.zero_()
            v = states_from(machine.visible, 5, generator)
            exact = -machine.free_energy(v) - machine.independent_log_partition()
            torch.testing.assert_close(pseudo_log_likelihood(machine, v), exact)


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_rows_and_columns_may_be_cut_into_any_tiles(visible, hidden, monkeypatch, generator):
    with torch.no_grad():
        machine = machine_from(visible, hidden, generator=generator)
        v = states_from(machine.visible, 9, generator)
        expected = pseudo_log_likelihood(machine, v)
        monkeypatch.setattr(pseudo_likelihood, "TILE_NUMBERS", 40)
        torch.testing.assert_close(pseudo_log_likelihood(machine, v), expected)
        assert pseudo_log_likelihood(machine, v[:0]).shape == (0,)


@pytest.mark.parametrize("size", [1e9, float("inf")])
def test_real_columns_of_a_machine_that_has_diverged_have_no_value(size, generator):
    with torch.no_grad():
        machine = machine_from("gaussian", "bernoulli", generator=generator)
        machine.weight.fill_(size)
        assert pseudo_log_likelihood(machine, torch.ones(2, 8).double()).isnan().all()


@pytest.mark.parametrize("hidden", ["bernoulli", "relu"])
def test_columns_that_stand_for_all_do_so_in_the_mean(hidden, monkeypatch, generator):
    with torch.no_grad():
        machine = machine_from("gaussian", hidden, generator=generator)
        v = states_from(machine.visible, 5, generator)
        expected = pseudo_log_likelihood(machine, v)
        everything = torch.arange(machine.visible.n_units).expand(len(v), -1)
        torch.testing.assert_close(pseudo_log_likelihood(machine, v, everything), expected)
        parts = [pseudo_log_likelihood(machine, v, some) for some in everything.split(2, 1)]
        torch.testing.assert_close(torch.stack(parts).mean(0), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_product_form_of_binary_units_keeps_its_digits_in_saturated_units(dtype, generator):
    with torch.no_grad():
        machine = machine_from("bernoulli", "bernoulli", generator=generator, size=6.0)
        machine.hidden_bias.copy_(torch.tensor([200.0, -200.0, 3.0, -40.0]))
        v = states_from(machine.visible, 7, generator)
        expected = torch.stack([one_at_a_time(machine, row) for row in v])
        value = pseudo_log_likelihood(machine.to(dtype), v.to(dtype)).double()
        torch.testing.assert_close(value, expected, rtol=1e-6, atol=ROUNDING[dtype])


@pytest.mark.parametrize("size", [100.0, 1e4])
def test_large_weights_give_finite_values(size, generator):
    with torch.no_grad():
        machine = machine_from("bernoulli", "bernoulli", generator=generator, size=size).float()
        v = states_from(machine.visible, 20, generator).float()
        value = pseudo_log_likelihood(machine, v)
        assert torch.isfinite(value).all()
        assert (value <= 0).all()


def test_a_tempered_machine_has_the_values_of_its_own_law(generator):
    with torch.no_grad():
        machine = machine_from("bernoulli", "bernoulli", generator=generator)
        tempered = TemperedMachine(machine, 0.3, torch.zeros(8).double())
        v = states_from(machine.visible, 7, generator)
        expected = torch.stack([one_at_a_time(tempered, row) for row in v])
        torch.testing.assert_close(pseudo_log_likelihood(tempered, v), expected)
