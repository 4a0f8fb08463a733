import torch

from skgen.distributions.gumbel import gumbel_from_normal
from tests.parts import normal


def test_it_has_the_distribution_function_of_gumbel(generator):
    noise = normal(1000, generator=generator)
    gumbel = gumbel_from_normal(noise)
    torch.testing.assert_close(torch.exp(-torch.exp(-gumbel)), torch.special.ndtr(noise), rtol=1e-12, atol=1e-12)


def test_far_noise_stays_finite_and_in_order():
    for dtype in (torch.float32, torch.float64):
        gumbel = gumbel_from_normal(torch.linspace(-12, 12, 1001, dtype=dtype))
        assert gumbel.isfinite().all()
        assert (gumbel.diff() > 0).all()
