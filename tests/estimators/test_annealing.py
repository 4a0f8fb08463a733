import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score

from skgen import VariationalAutoencoder
from skgen.estimators._annealing import TemperatureSchedule
from skgen.posteriors import CategoricalPosterior
from skgen.priors import Categorical

SUMS, DRAWS = Categorical(3), Categorical(3, max_states=1)
PROBABILITIES = np.array([[0.9] * 3 + [0.1] * 5, [0.1] * 3 + [0.9] * 3 + [0.1] * 2, [0.1] * 6 + [0.9] * 2])
SETTINGS = {"likelihood": "bernoulli", "hidden_layer_sizes": (), "learning_rate": 0.02, "max_iter": 60}


@pytest.fixture(scope="module")
def data():
    """Rows of three classes of independent binary columns, and the classes."""
    rng = np.random.default_rng(0)
    classes = rng.integers(3, size=1500)
    return (rng.random((1500, 8)) < PROBABILITIES[classes]).astype(float), classes


@pytest.fixture(scope="module")
def mixture(data):
    return VariationalAutoencoder(1, prior=SUMS, random_state=0, **SETTINGS).fit(data[0])


def test_the_temperature_falls_geometrically_to_its_last():
    posterior = CategoricalPosterior(1, 2).double()
    annealing = TemperatureSchedule(posterior, 1.0, 0.25, 4)
    found = []
    for epoch in range(6):
        annealing.begin(epoch)
        assert float(posterior.temperature) == annealing.temperature == annealing.scheduled["temperature"]
        found.append(annealing.temperature)
        assert annealing.settled(epoch) == (epoch >= 4)
    np.testing.assert_allclose(found, [1, 0.5**0.5, 0.5, 0.5**1.5, 0.25, 0.25])
    at_once = TemperatureSchedule(posterior, 1.0, 0.25)
    at_once.begin(0)
    assert at_once.temperature == 0.25


def test_history_says_the_temperature_and_partial_fit_has_the_last(data):
    vae = VariationalAutoencoder(1, prior=DRAWS, random_state=0, **SETTINGS | {"max_iter": 10})
    with pytest.warns(UserWarning, match="before"):
        temperatures = clone(vae).set_params(max_iter=3, kl_warmup=5).fit(data[0]).history_["temperature"]
    assert temperatures[0] == 1.0
    assert sorted(temperatures, reverse=True) == temperatures
    assert vae.partial_fit(data[0]).history_["temperature"] == [0.5]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("parameters", [{}, {"solver": "lbfgs"}, {"objective": "iwae"}, {"prior": DRAWS}], ids=str)
def test_one_variable_and_a_linear_decoder_find_the_classes_of_a_mixture_of_bernoullis(data, parameters):
    X, classes = data
    vae = VariationalAutoencoder(1, random_state=0, **SETTINGS | {"prior": SUMS} | parameters).fit(X)
    prior = np.log(PROBABILITIES) @ X.T + np.log1p(-PROBABILITIES) @ (1 - X.T)
    best = adjusted_rand_score(classes, prior.argmax(0))
    assert adjusted_rand_score(classes, vae.predict(X)) > best - 0.02
    truth = np.logaddexp.reduce(prior - np.log(3), axis=0)
    # The truth has no parameters to fit to these rows.
    error = np.std(vae.score_samples(X) - truth) / len(X) ** 0.5
    assert abs(vae.score(X) - truth.mean()) < 0.05 + 5 * error


def test_codes_probabilities_and_features_of_one_variable(data, mixture):
    X = data[0][:20]
    probabilities = mixture.predict_proba(X)
    assert probabilities.shape == (20, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(probabilities, mixture.transform(X))
    np.testing.assert_array_equal(mixture.predict(X), probabilities.argmax(axis=1))
    assert list(mixture.get_feature_names_out()) == [f"variationalautoencoder{i}" for i in range(3)]


def test_several_variables_have_a_code_each(data):
    vae = VariationalAutoencoder(2, prior=SUMS, random_state=0, **SETTINGS | {"max_iter": 5, "kl_warmup": 0})
    X = data[0]
    codes = vae.fit_predict(X)
    assert codes.shape == (len(X), 2)
    probabilities = vae.transform(X).reshape(len(X), 2, 3)
    np.testing.assert_array_equal(codes, probabilities.argmax(axis=2))
    np.testing.assert_allclose(probabilities.sum(axis=2), 1)
    assert vae.kl_per_component_.shape == (2,)
    assert 0 <= vae.n_active_units_ <= 2
    with pytest.raises(ValueError, match="n_components=1"):
        vae.sample(2, component=0)


def test_draws_of_a_category_have_its_means(mixture):
    X, labels = mixture.sample(4000, random_state=0, component=1, return_labels=True)
    assert (labels == 1).all()
    means = mixture.inverse_transform(np.eye(3))[1]
    assert (np.abs(X.mean(axis=0) - means) < 5 * X.std(axis=0) / 4000**0.5).all()


def test_scores_of_sums_are_exact_and_log_likelihood_has_no_error(data, mixture):
    X = data[0][:50]
    assert mixture.score_kind == "exact"
    assert VariationalAutoencoder(2, prior=DRAWS).score_kind == "bound"
    value, error = mixture.log_likelihood(X, n_draws=100, return_std=True)
    np.testing.assert_allclose(value, mixture.score_samples(X), rtol=1e-10)
    assert error.max() < 1e-6
    assert (mixture.elbo(X)["elbo"] <= mixture.score_samples(X) + 1e-10).all()


@pytest.mark.parametrize(
    ("parameters", "other"),
    [
        ({"solver": "lbfgs", "prior": DRAWS}, "prior__max_states"),
        ({"refine_steps": 2, "prior": DRAWS}, "prior__max_states"),
        ({"objective": "dreg", "n_draws": 2}, "iwae"),
        ({"posterior": "full"}, "diagonal"),
        ({"prior_fit": "aggregate"}, "joint"),
    ],
    ids=str,
)
def test_what_does_not_go_with_it_is_named_with_a_remedy(data, parameters, other):
    with pytest.raises(ValueError, match=f"does not go with .*{other}"):
        VariationalAutoencoder(2, **SETTINGS | {"prior": SUMS} | parameters).fit(data[0])


def test_annealing_along_gradients_is_refused(data, mixture):
    with pytest.raises(ValueError, match="importance"):
        mixture.log_likelihood(data[0][:3], method="ais")
