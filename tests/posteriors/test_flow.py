import pytest
import torch

from skgen.posteriors import BoxedPosterior, Diagonal
from skgen.posteriors.flow import Flow, FlowPosterior
from tests.oracles import within
from tests.parts import normal, perturbed


def flow(generator, n_components=2, n_context=3):
    posterior = Flow(hidden_layer_sizes=(8,), n_context=n_context).build(n_components)
    assert isinstance(posterior, FlowPosterior)
    posterior.reset(generator)
    posterior = perturbed(posterior, generator)
    return posterior, 0.5 * normal(4, posterior.n_parameters, generator=generator)


def test_it_starts_as_independent_normals(generator):
    posterior, diagonal = Flow().build(3).double(), Diagonal().build(3)
    posterior.reset(generator)
    parameters, noise = normal(4, posterior.n_parameters, generator=generator), normal(2, 4, 3, generator=generator)
    ours, reference = posterior.draw(parameters, noise), diagonal.draw(parameters[:, :6], noise)
    torch.testing.assert_close(ours.z, reference.z)
    torch.testing.assert_close(ours.log_prob, reference.log_prob)
    # The block that moments are taken over is balanced, so that those of normals are exact.
    torch.testing.assert_close(posterior.mean_and_scale(parameters), diagonal.mean_and_scale(parameters[:, :6]))


def test_densities_at_own_draws_are_those_at_any_point(generator):
    posterior, parameters = flow(generator, 3)
    draw = posterior.draw(parameters, normal(5, 4, 3, generator=generator))
    own = torch.diagonal(posterior.log_probs(draw.z, parameters), dim1=-2, dim2=-1)
    torch.testing.assert_close(own, draw.log_prob, rtol=1e-9, atol=1e-9)


def test_in_two_dimensions_it_integrates_to_one(generator):
    posterior, parameters = flow(generator)
    line = torch.linspace(-25, 25, 1001, dtype=torch.float64)
    with torch.no_grad():
        density = posterior.log_probs(torch.cartesian_prod(line, line), parameters[:1]).exp().view(1001, 1001)
    assert abs(torch.trapezoid(torch.trapezoid(density, line), line) - 1) < 1e-8


def test_draws_have_the_density_of_log_probs(generator):
    posterior, parameters = flow(generator)
    with torch.no_grad():
        z = posterior.draw(parameters[:1], normal(50000, 1, 2, generator=generator)).z[:, 0]
        other = torch.distributions.Normal(z.mean(0), 0.7 * z.std(0))
        log_prob = posterior.log_probs(z, parameters[:1])[:, 0]
        assert within(torch.exp(other.log_prob(z).sum(-1) - log_prob), 1.0)


def test_moments_are_those_of_draws_also_in_a_box(generator):
    base, parameters = flow(generator)
    for posterior in (base, BoxedPosterior(base, -1.0, 2.0)):
        with torch.no_grad():
            z = posterior.draw(parameters, normal(20000, 4, 2, generator=generator)).z
            mean, scale = posterior.mean_and_scale(parameters)
        assert within(z, mean)
        assert within((z - mean) ** 2, scale**2)


def test_moments_of_a_row_do_not_depend_on_the_others(generator):
    posterior, parameters = flow(generator)
    together = posterior.mean_and_scale(parameters)
    for i in range(4):
        for part, whole in zip(posterior.mean_and_scale(parameters[i : i + 1]), together, strict=True):
            torch.testing.assert_close(part[0], whole[i], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("fields", [{"n_layers": 0}, {"n_context": 0}, {"hidden_layer_sizes": -1}], ids=str)
def test_a_field_out_of_range_is_named(fields):
    with pytest.raises(ValueError, match=f"posterior__{next(iter(fields))}"):
        Flow(**fields).build(2)
