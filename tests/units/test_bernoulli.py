"""Binary units, :mod:`skgen.units.bernoulli`; what all units keep is in ``test_base``."""

import torch

from skgen.units.bernoulli import BernoulliUnits


def test_a_probability_of_zero_has_a_finite_bias():
    bias = BernoulliUnits(3).initial_bias(torch.tensor([0.0, 0.5, 1.0]).double(), least=0.01)
    torch.testing.assert_close(torch.sigmoid(bias), torch.tensor([0.01, 0.5, 0.99]).double())


def test_half_a_million_states_are_numbered():
    assert BernoulliUnits(19).n_states == 2**19
    assert BernoulliUnits(2).states().tolist() == [[0, 0], [1, 0], [0, 1], [1, 1]]
