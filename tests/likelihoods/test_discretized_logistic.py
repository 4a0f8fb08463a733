import pytest
import torch

from skgen.likelihoods.base import Head
from skgen.likelihoods.discretized_logistic import REVIVED_SCALE, SMALLEST_SCALE, DiscretizedLogistic


def test_levels_keep_their_units_and_bound_the_support():
    likelihood = DiscretizedLogistic(n_levels=5).build(2)
    standardization = likelihood.standardize(torch.tensor([3.0, 0.0]), torch.tensor([4.0, 0.0]))
    assert [part.tolist() for part in standardization] == [[0, 0], [1, 1], [5, 1]]
    assert likelihood.support == (0, 4)


def test_the_scale_has_a_floor_at_which_a_level_has_nearly_all_of_the_mass():
    likelihood = DiscretizedLogistic().build(1).double()
    likelihood.log_scale.data.fill_(-1e4)
    offset, scale = likelihood._law(torch.ones(1).double())
    assert offset.tolist() == [127.5]
    assert scale.tolist() == pytest.approx([SMALLEST_SCALE])
    at_a_level = torch.tensor([1 / 127.5 - 1]).double()
    assert float(likelihood.log_prob(at_a_level, torch.ones(1).double()).detach()) == pytest.approx(0, abs=1e-4)


def test_a_constant_column_starts_at_the_floor_and_a_revived_one_with_a_scale_to_learn_from():
    likelihood = DiscretizedLogistic().build(2)
    head = Head(torch.ones(4, 2), torch.zeros(2))
    mean, scale = torch.tensor([7.0, 100.0]), torch.tensor([0.0, 30.0])
    likelihood.initialize(head, mean, scale)
    assert likelihood.mean(head.bias).tolist() == pytest.approx([7, 100], abs=1e-3)
    before = likelihood._law(head.bias)[1].tolist()
    assert before == pytest.approx([SMALLEST_SCALE, 6 + SMALLEST_SCALE], rel=2e-3)
    standardization = likelihood.standardize(mean, scale)
    likelihood.compensate(head, standardization, standardization, torch.tensor([True, False]))
    after = likelihood._law(head.bias)[1].tolist()
    assert after == pytest.approx([REVIVED_SCALE * 255 + SMALLEST_SCALE, before[1]])


def test_a_number_of_levels_out_of_range_is_named():
    with pytest.raises(ValueError, match="n_levels must be an integer of at least 2, got 1"):
        DiscretizedLogistic(n_levels=1).build(2)
