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
