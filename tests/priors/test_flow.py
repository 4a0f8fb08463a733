import numpy as np
import pytest
import torch

from skgen.priors.flow import Flow, FlowPrior
from tests.estimators.configurations import rows, vae
from tests.oracles import within
from tests.parts import normal, perturbed

TRANSFORMS = pytest.mark.parametrize("transform", ["spline", "affine"])


def flow(transform, generator, n_components=2):
    prior = Flow(transform, n_layers=3, hidden_layer_sizes=8).build(n_components)
    assert isinstance(prior, FlowPrior)
    prior.reset(generator)
    return perturbed(prior, generator)


@pytest.mark.parametrize(("transform", "reach"), [("spline", 8), ("affine", 12)])
def test_in_two_dimensions_it_integrates_to_one_and_draws_have_its_moments(transform, reach, generator):
    prior = flow(transform, generator)
    n = 80 * reach + 1
    line = torch.linspace(-reach, reach, n, dtype=torch.float64)
    z = torch.cartesian_prod(line, line)
    with torch.no_grad():
        # Parts that stay in the cache are several times faster than all points at once.
        mass = torch.cat([prior.log_prob(part) for part in z.split(2**13)]).exp() * (line[1] - line[0]) ** 2
        draws = prior.sample(20000, generator=generator, like=z)
    coarse = 4 * mass.view(n, n)[::2, ::2].sum()
    # Splines have kinks in their second derivative: what half the points change tells the error of the rule.
    assert abs(mass.sum() - 1) < 1e-8 + abs(mass.sum() - coarse) < 1e-3
    for function in (torch.clone, torch.square, torch.sin, lambda z: z.prod(-1, keepdim=True)):
        assert within(function(draws), mass @ function(z))


@TRANSFORMS
def test_training_starts_from_the_standard_normal(transform, generator):
    prior = Flow(transform).build(3).double()
    prior.reset(generator)
    z = normal(20, 3, generator=generator)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    torch.testing.assert_close(prior.log_prob(z), expected, rtol=1e-12, atol=1e-12)


def test_it_starts_from_rows_with_their_moments(generator):
    class Rows:
        def mixture(self, n_clusters, n_init):
            one = torch.ones(1, 2, dtype=torch.float64)
            return torch.zeros(1), 3 * one, 4 * one

    prior = Flow().build(2).double()
    prior.reset(generator)
    prior.start(Rows())
    z = normal(20, 2, generator=generator)
    expected = torch.distributions.Normal(3 + 0 * z, 2 + 0 * z).log_prob(z).sum(-1)
    torch.testing.assert_close(prior.log_prob(z), expected, rtol=1e-12, atol=1e-12)


@TRANSFORMS
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_estimator_learns_it_with_the_networks(transform):
    X = rows(200)
    prior = Flow(transform, n_layers=2, hidden_layer_sizes=(8,))
    estimator = vae(prior=prior, max_iter=30, learning_rate=0.01).fit(X)
    assert np.abs(estimator.weights_["prior.log_scale"]).max() > 0
    # Over one block of draws the mean of logarithms is below the logarithm of the mean.
    assert (estimator.elbo(X)["elbo"] <= estimator.score_samples(X) + 1e-9).all()
    assert np.isfinite(estimator.sample(20)).all()


@pytest.mark.parametrize(
    "fields", [{"transform": "rotation"}, {"n_layers": 0}, {"n_bins": 1}, {"hidden_layer_sizes": (8, 0)}], ids=str
)
def test_a_field_out_of_range_is_named(fields):
    with pytest.raises(ValueError, match=f"prior__{next(iter(fields))}"):
        Flow(**fields).build(2)
