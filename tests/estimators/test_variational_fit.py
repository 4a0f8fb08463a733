"""Tests of skgen.estimators._variational_fit: what variational EM reaches, and that it never loses what it has."""

import copy

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV

from skgen import AmortizedLatentModel, priors
from skgen.estimators._variational_fit import GENERATORS
from skgen.likelihoods import Gaussian
from skgen.priors import Mixture, Vamp
from skgen.training.optimizers import SOLVERS
from tests.estimators.configurations import amortized, configured, rows
from tests.oracles import log_likelihood_by_quadrature

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

LINE_SEARCHES = [name for name, solver in SOLVERS.items() if solver.line_search]


# -- the optimum of a linear model ------------------------------------------------------------------------------------


def rows_of_a_plane(n_rows=40, n_features=3):
    """Rows whose covariance is exactly W W^T + s I with W of two columns, and the exact likelihood of PPCA."""
    random = np.random.default_rng(0)
    loading = random.normal(size=(n_features, 2)) * [2.0, 1.2]
    white = random.normal(size=(n_rows, n_features))
    white -= white.mean(0)
    white = np.linalg.solve(np.linalg.cholesky(np.cov(white.T, bias=True)), white.T).T
    covariance = loading @ loading.T + 0.3 * np.eye(n_features)
    log_determinant = np.linalg.slogdet(covariance)[1]
    optimum = -0.5 * (n_features * np.log(2 * np.pi) + log_determinant + n_features)
    return white @ np.linalg.cholesky(covariance).T + 1, optimum


def linear(**parameters):
    defaults = {
        "unit_size": 1,
        "latent_generator": "normal",
        "likelihood": Gaussian("shared"),
        "hidden_layer_sizes": (),
        "batch_size": None,
        "n_e_steps": 3,
        "n_m_steps": 3,
        "tol": 1e-6,
        "precision": "float64",
    }
    return amortized(2, **defaults | parameters)


REACHING = [
    ("amortized", "lbfgs", "bfgs"),
    ("amortized", "bfgs", "cg"),
    ("amortized", "cg", "newton-cg"),
    ("amortized", "newton-cg", "lbfgs"),
    ("amortized", "adam", "lbfgs"),
    ("amortized", "sgd", "bfgs"),
    ("semi_amortized", "bfgs", "sgd"),
    ("semi_amortized", "adam", "adam"),
    ("local", "newton-cg", "cg"),
    ("local", "sgd", "bfgs"),
    ("laplace", "lbfgs", "lbfgs"),
    ("laplace", "adam", "newton-cg"),
]
"""Inference, e_solver, m_solver: each kind of inference, and each solver in each step."""


@pytest.mark.parametrize(("inference", "e_solver", "m_solver"), REACHING)
def test_a_linear_model_reaches_the_likelihood_of_probabilistic_pca(inference, e_solver, m_solver):
    X, optimum = rows_of_a_plane()
    options = {"max_iter": 150, "learning_rate": 0.03, "refine_steps": 5, "n_iter_no_change": np.inf}
    if SOLVERS[e_solver].line_search and SOLVERS[m_solver].line_search:
        options["n_iter_no_change"] = 5
    model = linear(inference=inference, e_solver=e_solver, m_solver=m_solver, **options).fit(X)
    # A step of a fit goes on where the last one ended; a row of a fitted model begins afresh.
    assert abs(model.set_params(refine_steps=20).score(X) - optimum) < 0.01


@pytest.mark.filterwarnings("ignore:.* rows have importance weights with Pareto-k:UserWarning")
@pytest.mark.parametrize("inference", ["amortized", "semi_amortized", "local", "laplace"])
def test_the_score_of_a_linear_model_with_clusters_is_that_of_quadrature(inference):
    random = np.random.default_rng(0)
    z = random.choice([-3.0, 0.0, 2.5], 60) + 0.4 * random.normal(size=60)
    X = z[:, np.newaxis] * [1.0, -0.5, 0.7] + 0.5 * random.normal(size=(60, 3))
    options = {"inference": inference, "e_solver": "lbfgs", "m_solver": "lbfgs", "max_iter": 30}
    options |= {"refine_steps": 10, "n_score_draws": 2048}
    model = linear(latent_generator=Mixture(3), **options).set_params(n_units=1).fit(X)
    module = model._module(np.float64)
    exact = log_likelihood_by_quadrature(module, module.standardize(torch.from_numpy(X))) + module.log_jacobian
    assert abs(model.score(X) - float(exact.mean())) < 0.01


# -- the bound never falls --------------------------------------------------------------------------------------------

LIKELIHOODS = ["gaussian", Gaussian("shared"), Gaussian("network"), "bernoulli", "student_t", "poisson"]
PRIORS = ["normal", "mixture", Mixture(2, pretraining=0), Mixture(3, pretraining=3), "uniform", priors.Normal()]


def small_case(seed):
    """A model that searches along lines, some rows and their weights, all at random."""
    random = np.random.default_rng(seed)

    def one_of(values):
        return values[random.integers(len(values))]

    model = amortized(
        int(random.integers(1, 4)),
        unit_size=int(random.integers(1, 3)),
        inference=("amortized", "semi_amortized", "local")[seed % 3],
        e_solver=LINE_SEARCHES[seed // 3 % 4],
        m_solver=one_of(LINE_SEARCHES),
        latent_generator=PRIORS[seed % len(PRIORS)],
        likelihood=one_of(LIKELIHOODS),
        decoder=one_of(["additive", "mlp"]),
        hidden_layer_sizes=one_of([(), (3,), (4, 3)]),
        activation=one_of(["relu", "tanh", "gated"]),
        n_e_steps=int(random.integers(1, 4)),
        n_m_steps=int(random.integers(1, 4)),
        refine_steps=int(random.integers(1, 6)),
        max_iter=10,
        n_iter_no_change=np.inf,
        random_state=seed,
    )
    X = rows(int(random.integers(5, 30)), 4, seed=seed)
    X = np.round(6 * X) if model.likelihood == "poisson" else X
    if random.random() < 0.25:
        X[1:][random.random(X[1:].shape) < 0.2] = np.nan
    return model, X, random.integers(0, 4, len(X)) + 0.5 if random.random() < 0.5 else None


@pytest.mark.parametrize("seed", range(12))
def test_with_frozen_noise_and_line_searches_the_bound_never_falls(seed):
    model, X, weight = small_case(seed)
    bound = np.array(model.fit(X, sample_weight=weight).history_["elbo"])
    assert (np.diff(bound) >= -1e-9 * np.abs(bound[1:])).all()
    assert bound[-1] > bound[0]
    assert sum(model.history_["elbo_fell"]) == 0


def test_a_fall_beyond_its_error_is_recorded():
    history = amortized(learning_rate=0.5, max_iter=30, n_iter_no_change=np.inf).fit(rows()).history_
    bound, error = np.array(history["elbo"]), np.array(history["elbo_std"])
    fell = bound[:-1] - bound[1:] > np.hypot(error[:-1], error[1:])
    assert 0 < fell.sum() < 29
    np.testing.assert_array_equal(history["elbo_fell"], [0, *fell])


def test_the_recorded_error_is_that_of_the_bound():
    """Without learning, the recorded bounds are independent estimates of one value."""
    options = {"learning_rate": 0.0, "latent_generator": priors.Normal(), "max_iter": 200, "n_iter_no_change": np.inf}
    history = amortized(**options).fit(rows(10)).history_
    # Of 200 normal numbers the standard deviation errs by 5 %; each error is estimated from four pairs of draws.
    error = np.sqrt(np.mean(np.square(history["elbo_std"])))
    assert 0.75 * np.std(history["elbo"]) < error < 1.25 * np.std(history["elbo"])


# -- what a fit takes -------------------------------------------------------------------------------------------------


SMALL = {"vamp": Vamp(4), "flow": priors.Flow("affine", 1, 4), "categorical": priors.Categorical(3)}
"""Generators that need to be smaller than by default for so few rows and units."""


@pytest.mark.parametrize("name", GENERATORS)
def test_every_latent_generator_learns(name):
    X = rows(60)
    model = amortized(latent_generator=SMALL.get(name, name), learning_rate=0.02, max_iter=25).fit(X)
    assert np.mean(model.history_["elbo"][-5:]) > model.history_["elbo"][0]
    assert np.isfinite(model.score(X))
    assert model.sample(3).shape == (3, 5)


def test_a_full_batch_fits_a_normal_generator_to_the_moments_of_the_posteriors():
    X = rows()
    model = amortized(latent_generator="normal", e_solver="lbfgs", m_solver="lbfgs", max_iter=4).fit(X)
    mean, scale = model.encode(X, return_std=True)
    prior = model._module(np.float64).prior
    expected = mean.mean(0), mean.var(0) + (scale**2).mean(0)
    found = prior.mean.detach().numpy(), prior.log_variance.detach().exp().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("decoder", ["additive", "mlp", "conv"])
@pytest.mark.parametrize("encoder", ["mlp", "conv"])
def test_encoders_and_decoders_go_together(encoder, decoder):
    X = rows(20, 16)
    sizes = {"hidden_layer_sizes": (2, 3), "decoder_hidden_layer_sizes": (3, 2), "image_shape": (4, 4)}
    model = amortized(encoder=encoder, decoder=decoder, max_iter=3, **sizes).fit(X)
    assert model.transform(X).shape == (20, 2)
    assert np.isfinite(model.score(X))


def test_aggressive_steps_end_when_the_information_has_ceased_to_rise():
    model = configured("amortized-aggressive").fit(rows())
    n_steps = np.array(model.history_["n_e_steps"])
    assert (n_steps >= 3).all()
    assert (n_steps % 3 == 0).all()
    assert "n_e_steps" not in configured("amortized").fit(rows()).history_


@pytest.mark.parametrize("name", ["amortized", "amortized-semi", "amortized-local", "amortized-lines"])
def test_a_warm_start_goes_on(name):
    # The generator's start is at a share of max_iter; a fit goes on from the posteriors of rows.
    options = {"n_iter_no_change": np.inf, "latent_generator": "normal"}
    whole = configured(name, max_iter=6, **options).fit(rows())
    halves = configured(name, max_iter=3, warm_start=True, **options).fit(rows()).fit(rows())
    assert halves.n_iter_ == 6
    np.testing.assert_allclose(halves.history_["elbo"], whole.history_["elbo"], rtol=1e-6)
    np.testing.assert_allclose(halves.transform(rows()), whole.transform(rows()), rtol=1e-4, atol=1e-6)


def test_another_architecture_is_no_continuation():
    model = amortized(warm_start=True, max_iter=1).fit(rows())
    for name, value in {"n_units": 3, "unit_size": 2, "decoder": "mlp", "latent_generator": "normal"}.items():
        changed = copy.deepcopy(model).set_params(**{name: value})
        with pytest.raises(ValueError, match=f"cannot be continued with another architecture: .*{name} from"):
            changed.fit(rows())
    with pytest.raises(ValueError, match="inference from 'diagonal' to 'full'"):
        model.set_params(inference="laplace").fit(rows())


@pytest.mark.parametrize(
    ("fitted", "other"),
    [("amortized", "laplace"), ("local", "laplace"), ("local", "amortized"), ("laplace", "mcmc")],
)
def test_inference_that_a_fitted_model_has_no_parts_for_is_named(fitted, other):
    model = amortized(inference=fitted, max_iter=1).fit(rows()).set_params(inference=other)
    for use in (model.transform, model.score_samples, model.approximation_gap, model.fine_tune):
        with pytest.raises(ValueError, match=f"inference='{other}' needs parts .* choose one of .*'local'"):
            use(rows())


@pytest.mark.parametrize("wrong", [{"inference": "exact"}, {"e_solver": "newton"}, {"kernel": "gibbs"}])
def test_what_is_wrong_is_named_in_use_too(wrong):
    model = amortized(max_iter=1).fit(rows()).set_params(inference="mcmc").set_params(**wrong)
    with pytest.raises(ValueError, match=f"The '{next(iter(wrong))}' parameter of AmortizedLatentModel"):
        model.transform(rows())


def test_a_search_for_categories_is_refused_in_use_too():
    model = amortized(latent_generator=priors.Categorical(3), max_iter=1).fit(rows())
    for inference in ("semi_amortized", "local", "mcmc"):
        model.set_params(inference=inference)
        with pytest.raises(ValueError, match=f"inference='{inference}' does not go with latent_generator"):
            model.score_samples(rows())


@pytest.mark.parametrize("encoder", ["mlp", "conv"])
def test_networks_named_after_the_fit_wait_for_the_next(encoder):
    X = rows(10, 16)
    model = amortized(encoder=encoder, hidden_layer_sizes=(2, 3), max_iter=1).fit(X)
    expected = model.score_samples(X)
    for settings in ({"encoder": "conv"}, {"encoder": "mlp", "decoder": "mlp"}, {"decoder": "conv"}):
        changed = copy.deepcopy(model).set_params(**settings)
        np.testing.assert_array_equal(changed.score_samples(X), expected)


def test_a_search_chooses_among_units_solvers_and_generators():
    grid = {"n_units": [1, 2], "m_solver": ["adam", "cg"], "latent_generator": ["normal", Mixture(2)]}
    search = GridSearchCV(amortized(max_iter=1), grid, cv=2, error_score="raise").fit(rows(20))
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_.keys() == grid.keys()


WRONG = {
    "n_units": ({"n_units": 0}, "'n_units' parameter"),
    "inference": ({"inference": "exact"}, "'inference' parameter"),
    "solver": ({"m_solver": "newton"}, "'m_solver' parameter"),
    "draws": ({"n_score_draws": 10}, "'n_score_draws' parameter"),
    "generator": ({"latent_generator": "gaussian"}, "'latent_generator' parameter"),
    "width": ({"hidden_layer_sizes": (0,)}, "hidden_layer_sizes"),
    "image": ({"encoder": "conv", "image_shape": (2, 2)}, "image_shape"),
    "large": ({"m_solver": "bfgs", "hidden_layer_sizes": (400,)}, "choose 'lbfgs'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(name):
    parameters, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        AmortizedLatentModel(**{"n_units": 2, "max_iter": 1, "random_state": 0} | parameters).fit(rows())
