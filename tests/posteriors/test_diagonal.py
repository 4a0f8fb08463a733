import torch

from skgen.posteriors.diagonal import Diagonal
from tests.parts import normal


def test_parameters_are_means_and_log_scales(generator):
    posterior = Diagonal().build(3)
    parameters = normal(4, 6, generator=generator)
    noise = normal(2, 4, 3, generator=generator)
    draw = posterior.draw(parameters, noise)
    normals = torch.distributions.Normal(parameters[:, :3], parameters[:, 3:].exp())
    torch.testing.assert_close(draw.log_prob, normals.log_prob(draw.z).sum(-1))
    torch.testing.assert_close((draw.z - normals.loc) / normals.scale, noise)
    mean, scale = posterior.mean_and_scale(parameters)
    assert torch.equal(mean, normals.loc)
    assert torch.equal(scale, normals.scale)
