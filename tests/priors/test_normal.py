import pytest
import torch

from skgen.priors.normal import Normal
from tests.parts import normal


def test_it_is_the_standard_normal_with_its_closed_kl(generator):
    prior = Normal().build(3)
    z = normal(4, 3, generator=generator)
    standard = torch.distributions.Normal(torch.zeros(3).double(), torch.ones(3).double())
    torch.testing.assert_close(prior.log_prob(z), standard.log_prob(z).sum(-1))
    kl = prior.normal_kl(z, 0.1 * z)
    torch.testing.assert_close(
        kl, torch.distributions.kl_divergence(torch.distributions.Normal(z, (0.1 * z).exp()), standard)
    )
    assert not list(prior.parameters())


def test_there_is_something_to_fit_to_draws_only_if_it_is_learnt():
    assert Normal(learned=True).fits_draws
    assert not Normal().fits_draws


def test_a_field_out_of_range_is_named():
    with pytest.raises(ValueError, match="prior__learned must be True or False, got 'yes'"):
        Normal(learned="yes").build(2)
