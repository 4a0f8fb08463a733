"""One-hot units, :mod:`skgen.units.categorical`; what all units keep is in ``test_base``."""

import pytest
import torch

from skgen.units.bernoulli import BernoulliUnits
from skgen.units.categorical import CategoricalUnits
from tests.oracles import within
from tests.parts import normal

SIZES = [(3, 3), (2, 4, 1), (5,)]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_each_block_is_a_softmax(sizes, generator):
    units, field = CategoricalUnits(sizes), normal(6, sum(sizes), generator=generator)
    parts = field.split(sizes, -1)
    torch.testing.assert_close(units.mean(field), torch.cat([part.softmax(-1) for part in parts], -1))
    torch.testing.assert_close(units.log_partition(field), torch.stack([part.logsumexp(-1) for part in parts], -1))


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_draws_are_one_hot_in_each_block_and_independent_between_blocks(sizes, generator):
    units, field = CategoricalUnits(sizes), normal(sum(sizes), generator=generator)
    draws = units.draw(field.expand(30000, -1), generator)
    for part in draws.split(sizes, -1):
        assert ((part == 0) | (part == 1)).all()
        assert (part.sum(-1) == 1).all()
    assert within(draws, units.mean(field))
    assert within(draws[:, 0] * draws[:, -1], units.mean(field)[0] * units.mean(field)[-1]) or len(sizes) == 1


def test_a_category_without_probability_is_never_drawn(generator):
    units = CategoricalUnits((3, 2))
    probabilities = torch.tensor([0.0, 1.0, 0.0, 0.0, 1.0]).expand(2**20, -1)
    assert torch.equal(units.draw_from(probabilities, generator), probabilities)


def test_two_categories_are_a_binary_unit_with_the_difference_of_fields(generator):
    field = normal(7, 2, generator=generator)
    mean = BernoulliUnits(1).mean(field[:, 1:] - field[:, :1])
    torch.testing.assert_close(CategoricalUnits((2,)).mean(field)[:, 1:], mean)


def test_an_unseen_category_has_a_finite_bias():
    units = CategoricalUnits((3,))
    mean = units.mean(units.initial_bias(torch.tensor([0.0, 0.25, 0.75]).double(), least=1e-4))
    assert 0 < mean[0] < 1.1e-4
