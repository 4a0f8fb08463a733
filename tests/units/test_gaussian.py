"""Linear units, :mod:`skgen.units.gaussian`; what all units keep is in ``test_base``."""

import torch

from skgen.units.gaussian import GaussianUnits
from tests.parts import normal


def test_the_law_is_the_normal_one_with_the_field_as_its_mean(generator):
    units = GaussianUnits(4)
    x, field = normal(5, 4, generator=generator), normal(5, 4, generator=generator)
    log_density = units.log_base(x) + (x * field).sum(-1) - units.log_partition(field).sum(-1)
    torch.testing.assert_close(log_density, torch.distributions.Normal(field, 1.0).log_prob(x).sum(-1))
