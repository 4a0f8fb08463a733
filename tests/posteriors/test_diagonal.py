import torch

from skgen.posteriors.diagonal import Diagonal
from tests.parts import normal


def test_parameters_are_means_and_log_variances(generator):
    posterior = Diagonal().build(3)
    parameters = normal(4, 6, generator=generator)
    noise = normal(2, 4, 3, generator=generator)
    draw = posterior.draw(parameters, noise)
    normals = torch.distributions.Normal(parameters[:, :3], (0.5 * parameters[:, 3:]).exp())
    torch.testing.assert_close(draw.log_prob, normals.log_prob(draw.z).sum(-1))
    torch.testing.assert_close((draw.z - normals.loc) / normals.scale, noise)
    mean, scale = posterior.mean_and_scale(parameters)
    assert torch.equal(mean, normals.loc)
    assert torch.equal(scale, normals.scale)


def test_rows_far_from_all_others_overflow_nothing(generator):
    """Scales stop at exp(20), and derivatives pass the cut so that a value beyond it can come back."""
    posterior = Diagonal().build(2)
    parameters = torch.tensor([[0.0, 1.0, 300.0, -300.0]], requires_grad=True)
    _, scale = posterior.mean_and_scale(parameters)
    torch.testing.assert_close(scale.log(), torch.tensor([[20.0, -20.0]]))
    draw = posterior.draw(parameters, torch.ones(1, 1, 2))
    assert torch.isfinite(draw.z).all()
    draw.log_scale.sum().backward()
    torch.testing.assert_close(parameters.grad, torch.tensor([[0.0, 0.0, 0.5, 0.5]]))
