import numpy as np
import pytest
import torch

from skgen.priors import Flow, Mixture, Vamp
from tests.estimators.configurations import vae
from tests.oracles import process_state

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

FITTED = {"mixture": Mixture(6), "flow": Flow(n_layers=2, hidden_layer_sizes=16), "vamp": Vamp(30)}


def clusters(n_rows, seed=0):
    """Rows about three places on a bent surface: no normal distribution of latent variables gives them."""
    random = np.random.default_rng(seed)
    z = np.array([[0, 0], [4, 0], [0, 4]])[random.integers(3, size=n_rows)] + 0.3 * random.normal(size=(n_rows, 2))
    return np.c_[z, np.tanh(z)] + 0.05 * random.normal(size=(n_rows, 4))


def estimator(**parameters):
    return vae(hidden_layer_sizes=(16,), max_iter=40, learning_rate=0.005, n_score_draws=16, **parameters)


@pytest.fixture(scope="module")
def plain():
    return estimator().fit(clusters(300))


@pytest.fixture(scope="module", params=FITTED)
def aggregate(request):
    return estimator(prior=FITTED[request.param], prior_fit="aggregate").fit(clusters(300))


def test_networks_are_those_trained_with_a_standard_normal_prior(plain, aggregate):
    X = clusters(50, seed=1)
    np.testing.assert_array_equal(aggregate.transform(X), plain.transform(X))
    np.testing.assert_array_equal(aggregate.inverse_transform(np.eye(2)), plain.inverse_transform(np.eye(2)))
    assert aggregate.history_ == plain.history_
    assert aggregate.kl_per_component_ is None


def test_it_raises_the_score_of_rows_that_were_held_out(plain, aggregate):
    X = clusters(300, seed=1)
    rise = aggregate.score_samples(X) - plain.score_samples(X)
    assert rise.mean() > 0.1 + 3 * rise.std() / len(X) ** 0.5


def test_new_posterior_draws_are_likelier_than_under_the_standard_normal(aggregate):
    X = clusters(300, seed=1)
    model = aggregate._module(np.dtype(np.float64))
    with torch.no_grad():
        z = model.draw_posteriors(model.standardize(torch.tensor(X)), torch.Generator().manual_seed(0))
        normal = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
        assert model.prior.log_prob(z).mean() > normal.mean() + 0.1


def test_draws_come_from_the_fitted_prior(plain, aggregate):
    """Rows lie about three places; decoded standard normal numbers lie between them, too."""

    def share_far_from_all(rows):
        places = np.array([[0, 0], [4, 0], [0, 4]])
        return (np.abs(rows[:, None, :2] - places).max(-1).min(-1) > 1.2).mean()

    assert share_far_from_all(clusters(2000)) < 0.01
    assert share_far_from_all(aggregate.sample(2000)) < 0.7 * share_far_from_all(plain.sample(2000))


def test_a_mixture_has_clusters_also_if_it_is_fitted_afterwards():
    fitted = estimator(prior=Mixture(3), prior_fit="aggregate").fit(clusters(300))
    labels = fitted.predict(clusters(300))
    assert len(np.unique(labels)) > 1
    assert fitted.prior_mixture_.means_.shape == (3, 2)
    assert fitted.sample(5, component=1).shape == (5, 4)


def test_a_fit_goes_on_from_networks_and_fits_the_prior_anew():
    X = clusters(300)
    fitted = estimator(prior=Mixture(3), prior_fit="aggregate", warm_start=True).fit(X)
    before = fitted.weights_["prior.mean"].copy()
    fitted.fit(X).partial_fit(X)
    assert fitted.n_iter_ == 81
    assert (fitted.weights_["prior.mean"] != before).any()
    assert np.isfinite(fitted.score(X))


def test_the_process_is_left_as_it_was():
    before = process_state()
    estimator(prior="flow", prior_fit="aggregate").set_params(max_iter=2).fit(clusters(50))
    assert process_state() == before


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_priors_without_parameters_are_refused(prior):
    with pytest.raises(ValueError, match=rf"prior_fit='aggregate' does not go with prior='{prior}'.*'mixture'"):
        estimator(prior=prior, prior_fit="aggregate").fit(clusters(50))
