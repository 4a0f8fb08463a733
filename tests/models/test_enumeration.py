"""Sums over all states of a layer by :mod:`skgen.models.enumeration`."""

import pytest
import torch

from skgen.models import enumeration
from skgen.models.enumeration import binary_log_partition, enumerated_log_partition, largest_field
from tests.boltzmann import grid, machine_from


def log_partition_by_brute_force(machine):
    """The sum of exp(-E) over pairs of states of both binary layers."""
    (v, _), (h, _) = (grid(layer, layer.n_units) for layer in (machine.visible, machine.hidden))
    return torch.logsumexp(torch.stack([-machine.energy(v, row.expand(len(v), -1)) for row in h]).flatten(), 0)


@pytest.mark.parametrize(("n_visible", "n_hidden"), [(11, 6), (6, 11), (10, 1)])
@pytest.mark.parametrize("size", [0.7, 20.0, 300.0])
@torch.no_grad()
def test_layers_of_binary_units_are_summed_exactly_in_tiles_of_any_size(
    n_visible, n_hidden, size, generator, monkeypatch
):
    machine = machine_from(
        "bernoulli", "bernoulli", generator=generator, n_visible=n_visible, n_hidden=n_hidden, size=size
    )
    expected = log_partition_by_brute_force(machine)
    for numbers in (2**18, 1, 100):
        monkeypatch.setattr(enumeration, "TILE_NUMBERS", numbers)
        torch.testing.assert_close(enumerated_log_partition(machine), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("visible", "hidden"), [("categorical", "relu"), ("gaussian", "bernoulli")])
@torch.no_grad()
def test_tiles_do_not_matter_to_other_units(visible, hidden, generator, monkeypatch):
    machine = machine_from(visible, hidden, generator=generator)
    whole = enumerated_log_partition(machine)
    monkeypatch.setattr(enumeration, "TILE_NUMBERS", 1)
    torch.testing.assert_close(enumerated_log_partition(machine), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("n_other", [1, 7, 48, 100])
@torch.no_grad()
def test_products_of_exponentials_agree_with_sums_of_logarithms(size, n_other, generator):
    machine = machine_from("bernoulli", "bernoulli", generator=generator, n_visible=n_other, n_hidden=9, size=size)
    parameters = machine.weight, machine.hidden_bias, machine.visible_bias
    products = binary_log_partition(*parameters)
    h = machine.hidden.states()
    terms = h @ machine.hidden_bias + torch.logaddexp(machine.visible_field(h), torch.zeros(()).double()).sum(1)
    torch.testing.assert_close(products, torch.logsumexp(terms, 0), rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_no_field_exceeds_the_bound(generator):
    machine = machine_from("bernoulli", "bernoulli", generator=generator, n_hidden=6)
    bound = largest_field(machine.weight, machine.hidden_bias, machine.visible_bias)
    assert (machine.visible_field(machine.hidden.states()).abs() <= bound).all()


@pytest.mark.parametrize("size", [29.0, 31.0])
@torch.no_grad()
def test_fields_at_the_limit_of_exponentials_are_summed_as_well(size, generator):
    # Nine weights of one sign and a bias: fields reach 290 and 310, and products of exponentials end at 300.
    machine = machine_from("bernoulli", "bernoulli", generator=generator, n_visible=12, n_hidden=9)
    for parameter in (machine.weight, machine.visible_bias, machine.hidden_bias):
        parameter.fill_(size)
    torch.testing.assert_close(
        enumerated_log_partition(machine), log_partition_by_brute_force(machine), rtol=1e-12, atol=0
    )
    machine.weight.neg_()
    torch.testing.assert_close(
        enumerated_log_partition(machine), log_partition_by_brute_force(machine), rtol=1e-12, atol=0
    )
