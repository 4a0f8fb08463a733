import math

import pytest
import torch

from skgen.priors import Mixture, Normal
from skgen.priors.mixture import MixturePrior
from tests.oracles import within
from tests.parts import normal, perturbed


class Rows:
    """A mixture that a prior is told to start from."""

    def __init__(self, generator, n_components=2):
        self.n_components, self.generator = n_components, generator

    def mixture(self, n_clusters, n_init):
        self.asked = n_clusters, n_init
        weights = torch.softmax(normal(n_clusters, generator=self.generator), 0)
        mean, log_variance = normal(2, n_clusters, self.n_components, generator=self.generator)
        self.found = weights, mean, log_variance.exp() + 0.1
        return weights.log(), mean, self.found[2]


@pytest.mark.parametrize("n_clusters", [1, 5])
def test_standard_components_are_the_standard_normal(n_clusters, generator):
    prior = Mixture(n_components=n_clusters).build(3).double()
    z = normal(20, 3, generator=generator)
    # The starting value of r is a float32 number.
    torch.testing.assert_close(prior.log_prob(z), Normal().build(3).log_prob(z), rtol=1e-6, atol=1e-6)
    assert prior.started.dtype == torch.bool
    assert not prior.started


def test_it_starts_as_the_mixture_that_it_is_given(generator):
    prior, rows = Mixture(n_components=4, n_init=3).build(2).double(), Rows(generator)
    prior.start(rows)
    assert rows.asked == (4, 3)
    for ours, given in zip(prior.components(), rows.found, strict=True):
        torch.testing.assert_close(ours.detach(), given, rtol=1e-12, atol=1e-12)


def test_variances_never_fall_below_the_floor_and_can_leave_it(generator):
    prior, rows = Mixture(n_components=2, min_variance=0.5).build(2).double(), Rows(generator)
    rows.mixture = lambda *_: (torch.zeros(2), torch.zeros(2, 2), torch.zeros(2, 2))
    prior.start(rows)
    variance = prior.components()[2]
    assert (variance >= 0.5).all()
    gradient = torch.autograd.grad(variance.sum(), prior.raw)[0]
    assert (gradient > 0.01).all()
    prior.raw.data.fill_(-1e4)
    torch.testing.assert_close(prior.components()[2], variance.new_full((2, 2), 0.5))


def test_responsibilities_are_the_rule_of_bayes(generator):
    prior = perturbed(Mixture(n_components=4).build(2), generator, size=1.0)
    weights, mean, variance = prior.components()
    z = normal(3, 5, 2, generator=generator)
    joint = weights.log() + torch.distributions.Normal(mean, variance.sqrt()).log_prob(z.unsqueeze(-2)).sum(-1)
    torch.testing.assert_close(prior.responsibilities(z), torch.softmax(joint, -1), rtol=1e-12, atol=1e-12)


def test_a_draw_comes_from_its_component(generator):
    prior = perturbed(Mixture(n_components=3).build(2), generator, size=1.0)
    weights, mean, variance = (part.detach() for part in prior.components())
    with torch.no_grad():
        labels = prior.draw_labels(20000, generator=generator)
        z = prior.sample_given(labels, generator=generator)
    assert within(torch.nn.functional.one_hot(labels, 3).double(), weights)
    for k in range(3):
        assert within(z[labels == k], mean[k])
        assert within((z[labels == k] - mean[k]) ** 2, variance[k])


def test_the_monte_carlo_kl_has_the_mean_that_quadrature_gives(generator):
    prior = perturbed(Mixture(n_components=3).build(1), generator, size=1.0)
    mean, scale = 0.7, 0.4
    line = torch.linspace(mean - 12 * scale, mean + 12 * scale, 4001, dtype=torch.float64)
    posterior = torch.distributions.Normal(torch.tensor(mean).double(), torch.tensor(scale).double())
    with torch.no_grad():
        density = posterior.log_prob(line)
        exact = torch.trapezoid(density.exp() * (density - prior.log_prob(line[:, None])), line)
        z = mean + scale * normal(50000, generator=generator)
        assert within(posterior.log_prob(z) - prior.log_prob(z[:, None]), exact)


@pytest.mark.parametrize(
    "field",
    [
        {"n_components": 0},
        {"n_init": 0},
        {"min_variance": 0.0},
        {"min_variance": 1.0},
        {"pretraining": -1},
        {"pretraining": 1.5},
        {"pretraining": math.nan},
    ],
)
def test_a_field_out_of_range_is_named(field):
    assert isinstance(Mixture().build(2), MixturePrior)
    with pytest.raises(ValueError, match=f"prior__{next(iter(field))}"):
        Mixture(**field).build(2)
