"""What every layer of units must keep, for each entry of the tables of :mod:`skgen.units.base`."""

import pytest
import torch

from skgen.units import HIDDEN_UNITS, VISIBLE_UNITS
from skgen.units.base import reusable
from tests.boltzmann import layer, nodes
from tests.oracles import within
from tests.parts import normal

TABLE = VISIBLE_UNITS | HIDDEN_UNITS
N_UNITS = 3
N_DRAWS = 40000
FIELDS = torch.tensor([[-3.0, 0.2, 2.5], [0.0, 0.0, 0.0], [6.0, -5.0, 1.0]]).double()


@pytest.fixture(params=list(TABLE))
def units(request):
    return layer(TABLE, request.param, N_UNITS)


@pytest.fixture(params=list(TABLE))
def unit(request):
    """One unit, or one block of three columns."""
    return layer(TABLE, request.param, 3 if request.param == "categorical" else 1)


def fields_of(unit):
    return FIELDS if unit.n_units == 3 else FIELDS.reshape(-1, 1)


def moments(unit, field):
    """Log-partition and mean of one unit by a sum or a quadrature."""
    x, log_weight = nodes(unit)
    log_terms = unit.log_base(x) + x @ field + log_weight
    log_partition = torch.logsumexp(log_terms, 0)
    return log_partition, (torch.exp(log_terms - log_partition).unsqueeze(1) * x).sum(0)


def test_the_log_partition_is_the_logarithm_of_the_integral(unit):
    for field in fields_of(unit):
        torch.testing.assert_close(unit.log_partition(field).sum(-1), moments(unit, field)[0], rtol=1e-10, atol=1e-12)


def test_the_mean_is_that_of_the_law_and_the_gradient_of_the_log_partition(units, unit):
    for field in fields_of(unit):
        torch.testing.assert_close(unit.mean(field), moments(unit, field)[1], rtol=1e-10, atol=1e-12)
    field = FIELDS.clone().requires_grad_()
    gradient = torch.autograd.grad(units.log_partition(field).sum(), field)[0]
    torch.testing.assert_close(units.mean(FIELDS), gradient)


def test_draws_have_mean_and_second_moments(unit, generator):
    for field in fields_of(unit) / 2:
        x, log_weight = nodes(unit)
        probability = torch.exp(unit.log_base(x) + x @ field + log_weight - unit.log_partition(field).sum())
        draws = unit.draw(field.expand(N_DRAWS, -1), generator)
        assert within(draws, probability @ x)
        assert within(draws[:, :1] * draws, probability @ (x[:, :1] * x))


def test_mean_and_draw_are_those_of_two_calls(units, generator):
    drawn = units.draw(FIELDS, torch.Generator().manual_seed(3))
    both = units.mean_and_draw(FIELDS.clone(), torch.Generator().manual_seed(3))
    torch.testing.assert_close(both[0], units.mean(FIELDS))
    assert torch.equal(both[1], drawn)
    assert drawn.dtype == torch.float64
    assert units.draw(FIELDS.float(), generator).dtype == torch.float32


def test_the_mean_may_overwrite_its_field(units):
    field = FIELDS.clone()
    torch.testing.assert_close(units.mean(field, out=field), units.mean(FIELDS))


def test_draws_leave_their_field_as_it_was(units, generator):
    field = FIELDS.clone()
    units.draw(field, generator)
    units.mean(field)
    assert torch.equal(field, FIELDS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nothing_overflows_at_fields_of_ten_thousand(units, dtype, generator):
    for value in (-1e4, 1e4):
        field = torch.full((2, N_UNITS), value, dtype=dtype)
        drawn = units.draw(field, generator)
        for result in (units.log_partition(field), units.mean(field), drawn, units.log_base(drawn)):
            assert torch.isfinite(result).all()


@pytest.mark.parametrize("name", VISIBLE_UNITS)
def test_the_initial_bias_of_visible_units_gives_the_mean(name, generator):
    units = layer(VISIBLE_UNITS, name, N_UNITS)
    mean = units.mean(normal(N_UNITS, generator=generator))
    torch.testing.assert_close(units.mean(units.initial_bias(mean)), mean)
    assert torch.isfinite(units.initial_bias(torch.zeros(N_UNITS))).all()


def test_the_states_are_all_there_are(units):
    states = units.states()
    if states is None:
        assert units.n_states is None
        return
    assert torch.equal(units.states(torch.tensor([2, 0])), states[[2, 0]])
    assert len(states) == units.n_states == len(states.unique(dim=0))
    log_probability = units.log_base(states) + states @ FIELDS[0] - units.log_partition(FIELDS[0]).sum()
    torch.testing.assert_close(torch.logsumexp(log_probability, 0), torch.zeros(()).double())


def test_memory_that_autograd_needs_is_not_reused():
    assert reusable(FIELDS) is FIELDS
    assert reusable(FIELDS.clone().requires_grad_()) is None
