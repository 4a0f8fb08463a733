"""Rectified units, :mod:`skgen.units.relu`; what all units keep is in ``test_base``."""

import torch

from skgen.units.relu import ReluUnits


def test_a_large_field_makes_a_linear_unit_and_a_small_one_none():
    units = ReluUnits(2)
    field = torch.tensor([30.0, -1e6]).double()
    torch.testing.assert_close(units.mean(field), torch.tensor([30.0, 1e-6]).double())
    torch.testing.assert_close(units.log_partition(field)[0], torch.tensor(450.0).double())
