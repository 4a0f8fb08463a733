import math

import pytest
import torch
from sklearn.mixture import GaussianMixture

from skgen.posteriors.base import Draw
from skgen.priors import Mixture, Normal
from skgen.priors.base import weighted_points
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


def draws_of(z):
    """Draws of which nothing else is known."""
    return Draw(z, torch.zeros(z.shape[:2]), None, None, None)


def awkward(generator):
    """A mixture with any number of empty, equal and narrow components, draws, and weights of which some are zero."""

    def choice(n):
        return int(torch.randint(n, (), generator=generator))

    n_clusters, n_components = 1 + choice(5), 1 + choice(3)
    floor = 10.0 ** -(1 + choice(4))
    prior = perturbed(Mixture(n_clusters, min_variance=floor).build(n_components), generator, size=1.0)
    z = 2 * normal(1 + choice(3), 1 + choice(6), n_components, generator=generator)
    z[:, 0] += 20 * choice(2)
    for k in range(n_clusters):
        kind = choice(5)
        if kind == 0:
            prior.mean.data[k] = 1e3
        elif kind == 1:
            prior.mean.data[k], prior.raw.data[k] = prior.mean.data[0], prior.raw.data[0]
        elif kind == 2:
            prior.mean.data[k], prior.raw.data[k] = z[0, 0], -50.0
    shape = z.shape[1:2] if choice(2) else z.shape[:2]
    weight = torch.rand(shape, dtype=torch.float64, generator=generator)
    return prior, z, weight * (torch.rand(shape, dtype=torch.float64, generator=generator) < 0.8)


@torch.no_grad()
def test_the_m_step_never_lowers_the_log_density_of_draws_whatever_the_components(generator):
    for _ in range(300):
        prior, z, weight = awkward(generator)
        points, share = weighted_points(z, weight)
        values = []
        for _ in range(5):
            values.append(share @ prior.log_prob(points))
            prior.maximise(prior.statistics(draws_of(z), weight))
            assert all(parameter.isfinite().all() for parameter in prior.parameters())
            assert (prior.components()[2] >= (1 - 1e-12) * prior.floor).all()
        # Squares of up to some thousands, 1e6 with an empty component, are divided by the floor and rounded.
        size = points.square().sum(-1).max() + prior.mean.square().sum(-1).max()
        rounding = 16 * torch.finfo(torch.float64).eps * share.sum() * size / prior.floor
        assert (torch.stack(values).diff() >= -rounding).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@torch.no_grad()
def test_the_m_step_is_scikit_learn_s(generator):
    prior = perturbed(Mixture(4, min_variance=1e-12).build(2), generator, size=1.0)
    z = normal(3, 50, 2, generator=generator)
    weights, means, variances = (part.numpy() for part in prior.components())
    reference = GaussianMixture(
        4,
        covariance_type="diag",
        reg_covar=0,
        weights_init=weights,
        means_init=means,
        precisions_init=1 / variances,
        max_iter=1,
    ).fit(z.flatten(0, 1).numpy())
    prior.maximise(prior.statistics(draws_of(z)))
    expected = reference.weights_, reference.means_, reference.covariances_
    for ours, theirs in zip(prior.components(), expected, strict=True):
        # It adds ten roundings to each count.
        torch.testing.assert_close(ours.data, torch.from_numpy(theirs), rtol=1e-10, atol=1e-12)


def test_where_m_steps_end_the_gradient_is_zero(generator):
    prior = perturbed(Mixture(3).build(2), generator, size=1.0)
    z = 1.5 * normal(2, 20, 2, generator=generator)
    z[:, ::2] += 5
    with torch.no_grad():
        for _ in range(2000):
            prior.maximise(prior.statistics(draws_of(z)))
    gradients = torch.autograd.grad(prior.log_prob(z).mean(), list(prior.parameters()))
    assert max(float(gradient.abs().max()) for gradient in gradients) < 1e-9


@torch.no_grad()
def test_an_empty_component_keeps_its_place_and_hardly_a_weight(generator):
    prior = perturbed(Mixture(3).build(2), generator)
    prior.mean.data[1] = 1e4
    before = [part.clone() for part in prior.components()]
    prior.maximise(prior.statistics(draws_of(normal(2, 20, 2, generator=generator))))
    weights, means, variances = prior.components()
    assert 0 < weights[1] < 1e-300
    assert torch.equal(means[1], before[1][1])
    torch.testing.assert_close(variances[1], before[2][1], rtol=1e-12, atol=0)
    torch.testing.assert_close(weights.sum(), weights.new_tensor(1.0))


@torch.no_grad()
def test_a_component_of_one_point_has_the_smallest_variance(generator):
    prior = Mixture(2, min_variance=0.01).build(2).double()
    z = normal(1, 20, 2, generator=generator)
    z[0, 0] = prior.mean.data[1] = 100.0
    prior.maximise(prior.statistics(draws_of(z)))
    weights, means, variances = prior.components()
    torch.testing.assert_close(weights, weights.new_tensor([0.95, 0.05]))
    torch.testing.assert_close(means[1], z[0, 0])
    torch.testing.assert_close(variances[1], variances.new_full((2,), 0.01), rtol=1e-9, atol=0)
