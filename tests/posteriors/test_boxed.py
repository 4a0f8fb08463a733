import pytest
import torch
from torch.func import jacrev, vmap

from skgen.distributions.normal import antithetic_normal
from skgen.posteriors.boxed import BoxedPosterior
from skgen.posteriors.diagonal import DiagonalPosterior
from skgen.posteriors.full import FullPosterior
from tests.oracles import within
from tests.parts import normal


def test_log_prob_is_the_change_of_variables_and_moments_are_those_of_draws(generator):
    posterior = BoxedPosterior(DiagonalPosterior(2), -1.0, 2.0)
    parameters, noise = normal(4, posterior.n_parameters, generator=generator), normal(3, 4, 2, generator=generator)
    draw = posterior.draw(parameters, noise)

    def transform(row, e):
        return posterior.draw(row[None], e[None, None]).z[0, 0]

    jacobian = vmap(vmap(jacrev(transform, 1)), (None, 0))(parameters, noise)
    base = torch.distributions.Normal(0.0, 1.0).log_prob(noise).sum(-1)
    torch.testing.assert_close(draw.log_prob, base - torch.linalg.slogdet(jacobian)[1], rtol=1e-10, atol=1e-10)
    z = posterior.draw(parameters, normal(20000, 4, 2, generator=generator)).z
    mean, scale = posterior.mean_and_scale(parameters)
    assert within(z, mean)
    assert within((z - mean) ** 2, scale**2)


def test_the_score_of_a_path_is_the_gradient_of_log_q_by_its_point(generator):
    posterior = BoxedPosterior(DiagonalPosterior(1), -1.0, 2.0)
    parameters = 0.5 * normal(1, 2, generator=generator)
    noise = normal(50, 1, 1, generator=generator).requires_grad_()
    draw = posterior.draw(parameters, noise)
    by_noise, slope = (torch.autograd.grad(part.sum(), noise, retain_graph=True)[0] for part in (draw.log_prob, draw.z))
    torch.testing.assert_close(posterior.path_score(parameters, noise.detach()), by_noise / slope)


def test_a_draw_in_a_corner_has_a_finite_score():
    posterior = BoxedPosterior(DiagonalPosterior(1), 0.0, 1.0)
    parameters = torch.tensor([[200.0, 0.0], [-200.0, 0.0]])
    assert posterior.path_score(parameters, torch.ones(1, 2, 1)).isfinite().all()


@pytest.mark.parametrize("base", [DiagonalPosterior, FullPosterior])
@pytest.mark.parametrize("low", [-1.0, 100.0])
def test_it_is_matched_by_what_draws_were_before_the_map(generator, base, low):
    posterior = BoxedPosterior(base(2), low, low + 3)
    parameters = normal(4, posterior.n_parameters, generator=generator)
    z = posterior.draw(parameters, antithetic_normal(8, 2, generator).unsqueeze(1)).z
    torch.testing.assert_close(posterior.matched(z), parameters, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_on_a_side_of_the_box_are_matched_by_finite_parameters(dtype):
    z = torch.tensor([[[0.0, 1.0]], [[0.0, 0.5]], [[0.0, 1.0]]], dtype=dtype)
    posterior = BoxedPosterior(DiagonalPosterior(2), 0.0, 1.0)
    matched = posterior.matched(z)
    assert matched.isfinite().all()
    assert posterior.mean_and_scale(matched)[0][0, 0] < 1e-6
