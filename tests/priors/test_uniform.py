import math

import numpy as np
import pytest
import torch

from skgen.models import LatentVariableModel
from skgen.posteriors import BoxedPosterior
from skgen.priors.uniform import Uniform
from tests.estimators.configurations import rows, vae
from tests.oracles import within
from tests.parts import model_from, normal


def test_it_is_the_volume_inside_and_nothing_outside():
    prior = Uniform(-2, 3).build(2)
    z = torch.tensor([[-2.0, 3.0], [0.0, 1.0], [0.0, 3.1], [-2.1, 0.0]], dtype=torch.float64)
    inside = -2 * math.log(5)
    torch.testing.assert_close(prior.log_prob(z), z.new_tensor([inside, inside, -math.inf, -math.inf]))


def test_a_model_brings_its_posterior_into_the_box(generator):
    model = model_from("gaussian", prior=Uniform(-2, 3), generator=generator)
    assert isinstance(model, LatentVariableModel)
    assert isinstance(model.posterior, BoxedPosterior)
    assert not model.has_closed_kl()


def test_the_monte_carlo_kl_has_the_mean_that_quadrature_gives(generator):
    model = model_from("gaussian", prior=Uniform(0, 2), generator=generator, n_components=1)
    with torch.no_grad():
        x = normal(1, 3, generator=generator)
        terms = model.terms(x, normal(50000, 1, 1, generator=generator))
        mean, scale = model.posterior.base.mean_and_scale(model.encode(x))
        normal_y = torch.distributions.Normal(mean[0, 0], scale[0, 0])
        z = torch.linspace(1e-9, 2 - 1e-9, 400001, dtype=torch.float64)
        density = normal_y.log_prob(torch.logit(z / 2)) - torch.log(z * (1 - z / 2))
        exact = torch.trapezoid(density.exp() * (density + math.log(2)), z)
        assert abs(torch.trapezoid(density.exp(), z) - 1) < 1e-6
    assert within((terms.log_posterior - terms.log_prior)[:, 0], exact)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("parameters", [{}, {"objective": "iwae", "n_draws": 3}, {"free_bits": 0.1}], ids=str)
def test_latent_rows_lie_in_the_box_and_scores_are_those_of_importance_sampling(parameters):
    X = rows(200)
    estimator = vae(prior=Uniform(2, 4), max_iter=30, learning_rate=0.01, **parameters).fit(X)
    z, std = estimator.encode(X, return_std=True)
    assert (z > 2).all()
    assert (z < 4).all()
    assert (std < 1).all()
    settings = {"method": "ais", "n_draws": 16, "n_temperatures": 50, "random_state": 0}
    value, error = estimator.log_likelihood(X[:10], return_std=True, **settings)
    assert abs(estimator.score_samples(X[:10]).mean() - value.mean()) < 0.3 + 5 * error.mean()
    assert np.isfinite(estimator.sample(20)).all()


@pytest.mark.parametrize("bounds", [{"low": math.inf}, {"high": -1.0}, {"high": math.nan}, {"high": math.inf}])
def test_bounds_out_of_order_are_named(bounds):
    with pytest.raises(ValueError, match="prior__"):
        Uniform(**bounds).build(2)
