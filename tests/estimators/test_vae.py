"""What a VariationalAutoencoder computes: bounds, units, oracles, sampling."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris, load_wine
from sklearn.decomposition import FactorAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skgen.distributions.normal import standard_normal_log_prob
from skgen.likelihoods import Bernoulli, Gaussian
from skgen.priors import Prior, PriorSpec
from tests.estimators.configurations import configured, rows, vae
from tests.oracles import log_likelihood_by_quadrature

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

LIKELIHOODS = {
    "feature": Gaussian("feature"),
    "shared": Gaussian("shared"),
    "network": Gaussian("network"),
    "bernoulli": Bernoulli(),
}
# Broad posteriors, which a normal one approximates well: what is left is the error of the integral.
BROAD = {
    "feature": Gaussian("feature", min_variance=0.3),
    "shared": Gaussian("shared", min_variance=0.3),
    "network": Gaussian("network", min_variance=0.3),
    "bernoulli": Bernoulli(),
}
DATA = {"iris": load_iris, "wine": load_wine}


def ppca_optimum(X, n_components):
    """Largest mean log-likelihood of probabilistic PCA (Tipping and Bishop 1999), in nats per row."""
    values = np.linalg.eigvalsh(np.cov(X.T, bias=True))[::-1]
    kept, discarded = values[:n_components], values[n_components:]
    n_features = len(values)
    log_determinant = np.log(kept).sum() + len(discarded) * np.log(discarded.mean())
    return -0.5 * (n_features * math.log(2 * math.pi) + log_determinant + n_features)


def factor_analysis_optimum(X, n_components):
    """Mean log-likelihood of FactorAnalysis, fitted to standardised columns, from which EM gets further."""
    scaled = StandardScaler().fit(X)
    Z = scaled.transform(X)
    fit = FactorAnalysis(n_components, tol=1e-10, max_iter=20_000, svd_method="lapack").fit(Z)
    return fit.score(Z) - np.log(scaled.scale_).sum()


def linear(n_components, likelihood, solver="lbfgs"):
    return vae(
        n_components,
        likelihood=likelihood,
        hidden_layer_sizes=(),
        solver=solver,
        max_iter=1000,
        tol=1e-9,
        n_iter_no_change=50,
    )


@pytest.mark.parametrize("solver", ["lbfgs", "bfgs"])
@pytest.mark.parametrize("data", DATA)
def test_linear_networks_with_one_variance_reach_probabilistic_pca(data, solver):
    X = DATA[data]().data
    score = linear(2, Gaussian("shared", min_variance=1e-8), solver).fit(X).score(X)
    assert abs(score - ppca_optimum(X, 2)) < 0.01


@pytest.mark.parametrize("solver", ["lbfgs", "bfgs"])
@pytest.mark.parametrize("data", DATA)
def test_linear_networks_with_a_variance_per_column_reach_factor_analysis(data, solver):
    X = DATA[data]().data
    score = linear(1, Gaussian("feature", min_variance=1e-8), solver).fit(X).score(X)
    assert abs(score - factor_analysis_optimum(X, 1)) < 0.01


def test_the_bound_of_linear_networks_is_tight_and_their_noise_is_the_discarded_variance():
    X = load_iris().data
    estimator = linear(2, Gaussian("shared", min_variance=1e-8)).set_params(n_score_draws=2**14).fit(X)
    terms = estimator.elbo(X)
    # At the optimum all importance weights are equal; the draws have moments 0 and I up to a few thousandths.
    np.testing.assert_allclose(terms["elbo"], estimator.score_samples(X), atol=0.01)
    discarded = np.linalg.eigvalsh(np.cov(X.T, bias=True))[:2].mean()
    np.testing.assert_allclose(estimator.noise_variance_, discarded, rtol=0.01)


@pytest.mark.filterwarnings("ignore:.* rows have importance weights with Pareto-k:UserWarning")
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_score_is_below_the_likelihood_and_near_it(likelihood):
    X = rows(60)
    estimator = vae(1, likelihood=BROAD[likelihood], max_iter=200, learning_rate=0.01, n_score_draws=4096).fit(X)
    model = estimator._module(X.dtype)
    x = model.standardize(torch.from_numpy(X))
    exact = log_likelihood_by_quadrature(model, x) + model.log_jacobian
    # Sobol points err less than independent draws, whose standard error the weights tell.
    error = estimator.log_likelihood(X, n_draws=4096, random_state=0, return_std=True)[1]
    assert (np.abs(estimator.score_samples(X) - exact.numpy()) < 5 * error + 1e-4).all()
    assert np.median(error) < 0.01
    assert estimator.elbo(X)["elbo"].mean() <= float(exact.mean())


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_elbo_is_its_terms_and_below_the_score(likelihood):
    X = rows(60)
    estimator = vae(likelihood=LIKELIHOODS[likelihood], max_iter=20).fit(X)
    terms = estimator.elbo(X)
    np.testing.assert_allclose(terms["elbo"], terms["reconstruction"] - terms["kl"], rtol=1e-12, atol=1e-12)
    assert (terms["kl"] >= 0).all()
    # With the same draws the bound by Jensen's inequality holds up to the closed form of the KL, whose estimate from
    # 64 Sobol points errs by a few hundredths.
    assert (terms["elbo"] <= estimator.score_samples(X) + 0.1).all()
    assert terms["elbo"].mean() <= estimator.score(X)


@pytest.mark.parametrize("variance", ["feature", "network"])
def test_scaling_columns_moves_the_score_by_the_jacobian(variance):
    X = rows(60)
    factors = np.array([1e-3, 1.0, 10.0, 1e3, 7.0])
    # float64 and equal standardised rows: the same solution but for rounding.
    estimator = vae(likelihood=Gaussian(variance)).fit(X)
    scaled = vae(likelihood=Gaussian(variance)).fit(X * factors + 5)
    expected = estimator.score_samples(X) - np.log(factors).sum()
    np.testing.assert_allclose(scaled.score_samples(X * factors + 5), expected, atol=1e-6)
    np.testing.assert_allclose(scaled.transform(X * factors + 5), estimator.transform(X), atol=1e-6)
    if variance == "feature":
        np.testing.assert_allclose(scaled.noise_variance_, estimator.noise_variance_ * factors**2, rtol=1e-6)


@pytest.mark.parametrize("variance", ["shared", "fixed"])
def test_scaling_all_columns_alike_moves_the_score_by_the_jacobian(variance):
    X = rows(60)
    estimator = vae(likelihood=Gaussian(variance)).fit(X)
    scaled = vae(likelihood=Gaussian(variance)).fit(100 * X)
    np.testing.assert_allclose(scaled.score_samples(100 * X), estimator.score_samples(X) - 5 * math.log(100), atol=1e-6)
    np.testing.assert_allclose(scaled.noise_variance_, estimator.noise_variance_ * 1e4, rtol=1e-6)


def test_a_fixed_variance_is_the_users_number():
    X = rows(60) * np.array([1.0, 2.0, 3.0, 4.0, 50.0])
    estimator = vae(likelihood=Gaussian("fixed", noise_variance=0.3)).fit(X)
    np.testing.assert_allclose(estimator.noise_variance_, 0.3, rtol=1e-6)
    residual = estimator.sample(4000, random_state=0)
    assert residual.var(axis=0).min() > 0.3 * (1 - 4 * math.sqrt(2 / 4000))


def test_noise_variance_is_none_where_rows_differ():
    assert configured("vae-network").fit(rows()).noise_variance_ is None
    assert configured("vae-bernoulli").fit(rows()).noise_variance_ is None


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_samples_have_the_moments_of_the_model(likelihood):
    X = rows(100)
    estimator = vae(likelihood=LIKELIHOODS[likelihood], max_iter=60, learning_rate=0.01).fit(X)
    drawn = estimator.sample(40_000, random_state=3)
    z = np.random.default_rng(0).normal(size=(40_000, 2))
    means = estimator.inverse_transform(z)
    error = np.sqrt(drawn.var(axis=0) / len(drawn) + means.var(axis=0) / len(z))
    assert (np.abs(drawn.mean(axis=0) - means.mean(axis=0)) < 5 * error).all()
    assert set(np.unique(drawn)) == {0, 1} or likelihood != "bernoulli"


def test_sample_takes_its_seed_and_leaves_the_estimator_alone():
    estimator = vae().fit(rows())
    np.testing.assert_array_equal(estimator.sample(4), estimator.sample(4))
    np.testing.assert_array_equal(estimator.sample(4, random_state=1), estimator.sample(4, random_state=1))
    assert (estimator.sample(4, random_state=1) != estimator.sample(4)).any()
    free = vae(random_state=None).fit(rows())
    assert (free.sample(4) != free.sample(4)).any()
    assert estimator.sample().shape == (1, 5)
    for n_samples in (0, -1, 1.5, "2"):
        with pytest.raises(ValueError, match="n_samples must be an integer of at least 1"):
            estimator.sample(n_samples)


def test_encode_gives_the_posterior_and_transform_its_mean():
    estimator = vae().fit(rows())
    mean, std = estimator.encode(rows(), return_std=True)
    np.testing.assert_array_equal(estimator.transform(rows()), mean)
    assert (std > 0).all()
    kl = 0.5 * (mean**2 + std**2 - 1) - np.log(std)
    np.testing.assert_allclose(estimator.elbo(rows())["kl"], kl.sum(axis=1), rtol=1e-9)
    np.testing.assert_allclose(estimator.kl_per_component_, kl.mean(axis=0), rtol=1e-9)
    assert estimator.n_active_units_ == (mean.var(axis=0) > 0.01).sum()


class OpaquePrior(Prior):
    """A standard normal that does not know its KL."""

    def log_prob(self, z):
        return standard_normal_log_prob(z)

    def sample(self, n_draws, *, generator, like):
        return like.new_empty(n_draws, self.n_components).normal_(generator=generator)


@dataclass
class Opaque(PriorSpec):
    def build(self, n_components):
        return OpaquePrior(n_components)


def test_without_a_closed_form_there_is_no_kl_of_a_component():
    estimator = vae(prior=Opaque()).fit(rows())
    assert estimator.kl_per_component_ is None
    assert estimator.n_active_units_ > 0


@pytest.mark.parametrize("parameters", [{"beta": 4.0}, {"kl_warmup": 50}, {"free_bits": 2.0}])
def test_weights_of_the_kl_never_change_what_is_reported(parameters):
    X, X_val = rows(200), rows(80, seed=5)
    plain, weighted = (vae(learning_rate=0, **p).fit(X, X_val=X_val) for p in ({}, parameters))
    for name in plain.history_.keys() - {"kl_weight"}:
        assert plain.history_[name] == weighted.history_[name], name
    assert plain.score(X) == weighted.score(X)
    assert plain.elbo(X)["elbo"].tolist() == weighted.elbo(X)["elbo"].tolist()


@pytest.mark.parametrize("objective", ["elbo", "iwae"])
def test_history_is_in_the_units_of_the_score(objective):
    X = rows(300) * 100
    estimator = vae(objective=objective, n_draws=8, learning_rate=0, max_iter=30, batch_size=100).fit(X, X_val=X)
    for name in (objective, f"validation_{objective}"):
        values = np.array(estimator.history_[name])
        if objective == "elbo":
            exact = estimator.elbo(X)["elbo"].mean()
            # The exact value is itself an average over 64 Sobol points, shared by the rows.
            assert abs(values.mean() - exact) < 5 * values.std() / math.sqrt(len(values)) + 0.05
        else:
            assert estimator.elbo(X)["elbo"].mean() < values.mean() < estimator.score(X) + 0.05


def test_posterior_collapse_is_a_warning():
    with pytest.warns(ConvergenceWarning, match="Posterior collapse"):
        estimator = vae(beta=1000.0, kl_warmup=0, max_iter=150, learning_rate=0.01).fit(rows())
    assert estimator.n_active_units_ == 0


def test_grid_search_over_a_pipeline_needs_no_labels():
    pipeline = Pipeline([("scale", StandardScaler()), ("vae", vae(likelihood=Gaussian()))])
    grid = {"vae__likelihood__variance": ["shared", "feature"], "vae__n_components": [1, 2]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(rows())
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = search.best_estimator_["vae"]
    assert best.likelihood_.variance == search.best_params_["vae__likelihood__variance"]
    assert search.score(rows()) == pytest.approx(best.score(search.best_estimator_["scale"].transform(rows())))


def test_divergence_names_epoch_and_term():
    with pytest.raises(FloatingPointError, match=r"epoch \d+: .*reconstruction.* is not finite"):
        vae(solver="sgd", learning_rate=1e6, max_iter=50).fit(rows())


def test_scores_say_what_they_are():
    assert (vae().score_measure, vae(likelihood="bernoulli").score_measure) == ("density", "mass")
    assert vae().score_kind == "bound"


def test_the_kind_of_a_score_is_that_of_what_was_fitted():
    fitted = vae(max_iter=20).fit(rows())
    assert fitted.set_params(prior="categorical").score_kind == "bound"
    assert fitted.set_params(prior="normal", reconstruction="ssim").score_kind == "bound"
    assert vae(1, prior="categorical").score_kind == "exact"
