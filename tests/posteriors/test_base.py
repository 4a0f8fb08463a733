import torch

from skgen._terms import evaluate
from skgen.posteriors.base import Draw, Posterior
from tests.parts import normal


class LogNormal(Posterior):
    """z = exp(m + s e): a posterior without normal moments that has only what the base class asks for."""

    def __init__(self, n_components):
        super().__init__(n_components, 2 * n_components)

    def draw(self, parameters, noise):
        mean, log_scale = parameters.chunk(2, -1)
        exponent = mean + log_scale.exp() * noise
        base = torch.distributions.Normal(0.0, 1.0).log_prob(noise)
        log_prob = (base - log_scale - exponent).sum(-1)
        return Draw(exponent.exp(), log_prob, self.mean_and_scale(parameters)[0], None, None)

    def mean_and_scale(self, parameters):
        mean, log_scale = parameters.chunk(2, -1)
        variance = (2 * log_scale).exp()
        expected = (mean + variance / 2).exp()
        return expected, expected * torch.expm1(variance).sqrt()


def test_the_default_tracer_differentiates_every_part_of_the_draw(generator):
    posterior = LogNormal(2)
    parameters = 0.3 * normal(4, 4, generator=generator)
    noise, to_z = normal(2, 3, 4, 2, generator=generator)
    to_log_prob, to_mean = normal(3, 4, generator=generator), normal(4, 2, generator=generator)
    draw, pullback = posterior.tracer()(parameters, noise)
    assert draw.log_scale is None
    assert draw.scale is None
    leaf = parameters.clone().requires_grad_()
    reference = posterior.draw(leaf, noise)
    torch.testing.assert_close(draw.z, reference.z.detach())
    torch.testing.assert_close(evaluate(draw.log_prob), reference.log_prob.detach())
    value = (to_z * reference.z).sum() + (to_log_prob * reference.log_prob).sum() + (to_mean * reference.mean).sum()
    torch.testing.assert_close(pullback(to_z, to_log_prob, to_mean, None), torch.autograd.grad(value, leaf)[0])
