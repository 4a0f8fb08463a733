"""skgen.estimators._density_adapter and skgen.estimators._scalers: any density, asked in one way."""

import numpy as np
import pytest
from scipy import stats
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA, FastICA
from sklearn.decomposition import FactorAnalysis as SklearnFactorAnalysis
from sklearn.ensemble import IsolationForest
from sklearn.frozen import FrozenEstimator
from sklearn.mixture import BayesianGaussianMixture as SklearnBayesianMixture
from sklearn.mixture import GaussianMixture as SklearnMixture
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    RobustScaler,
    StandardScaler,
)

from skgen import (
    RBM,
    Autoencoder,
    BayesianGaussianMixture,
    FactorAnalysis,
    GaussianMixture,
    MixtureOfFactorAnalyzers,
    ProbabilisticPCA,
    VariationalAutoencoder,
)
from skgen.estimators._density_adapter import conditioned, draw, kind, log_density, measure
from tests.oracles import process_state

# Densities go through a factorisation and its inverse, in other units.
ROUNDING = 1e-8

DENSITIES = {
    "mixture": GaussianMixture(2, random_state=0),
    "bayesian": BayesianGaussianMixture(2, random_state=0),
    "factor-mixture": MixtureOfFactorAnalyzers(2, n_factors=1, random_state=0),
    "pca": ProbabilisticPCA(1),
    "factors": FactorAnalysis(1),
    "sklearn-mixture": SklearnMixture(2, random_state=0),
    "sklearn-bayesian": SklearnBayesianMixture(n_components=2, random_state=0),
    "sklearn-pca": PCA(1),
    "sklearn-factors": SklearnFactorAnalysis(1),
    "kernels": KernelDensity(bandwidth=0.5),
    "tophat": KernelDensity(kernel="tophat", bandwidth=3.0),
    "scaled-mixture": make_pipeline(StandardScaler(), GaussianMixture(2, random_state=0)),
    "scaled-kernels": make_pipeline(RobustScaler(), KernelDensity(bandwidth=0.5)),
    "search": GridSearchCV(SklearnMixture(random_state=0), {"n_components": [1, 2]}),
    "scaled-bayesian": make_pipeline(MinMaxScaler((-2, 2)), BayesianGaussianMixture(2, random_state=0)),
}
MIXTURES = [name for name in DENSITIES if "bayesian" not in name and name != "tophat"]
SCALERS = [
    StandardScaler(),
    StandardScaler(with_mean=False),
    StandardScaler(with_std=False),
    MinMaxScaler((-1, 3)),
    MaxAbsScaler(),
    RobustScaler(),
    RobustScaler(with_centering=False),
    RobustScaler(with_scaling=False),
    StandardScaler(with_mean=False, with_std=False),
    "passthrough",
    make_pipeline(MinMaxScaler(), FrozenEstimator(StandardScaler().fit([[0.0, 1.0, 2.0], [1.0, 3.0, 1.0]]))),
]


def rows(n_rows=200, seed=0):
    random = np.random.default_rng(seed)
    factor = random.normal(size=(n_rows, 1)) + 4 * (random.random((n_rows, 1)) < 0.4)
    return factor * [2.0, 1.0, -1.0] + random.normal(size=(n_rows, 3))


def holes(X, seed=1):
    return np.where(np.random.default_rng(seed).random(X.shape) < 0.3, np.nan, X)


every = pytest.mark.parametrize("name", DENSITIES)
mixtures = pytest.mark.parametrize("name", MIXTURES)


@pytest.fixture(scope="module")
def fitted():
    return {name: estimator.fit(rows()) for name, estimator in DENSITIES.items()}


# -- draws ------------------------------------------------------------------------------------------------------------


@every
def test_draws_have_the_mean_and_covariance_of_the_density(name, fitted):
    X = draw(fitted[name], 20000, 0)
    assert X.shape == (20000, 3)
    # The second moments of draws, and by importance weights those of the density on other draws, up to 5 errors.
    proposal = stats.multivariate_t(rows().mean(axis=0), 2 * np.cov(rows().T), df=5, seed=1)
    Y = proposal.rvs(20000)
    weights = np.exp(log_density(fitted[name], Y) - proposal.logpdf(Y))
    for function in (lambda x: x, lambda x: x**2, lambda x: x * x[:, [1, 2, 0]]):
        drawn, weighted = function(X), function(Y) * weights[:, None]
        error = np.sqrt(drawn.var(axis=0) / len(X) + weighted.var(axis=0) / len(Y))
        if kind(fitted[name]) == "exact":
            assert (np.abs(drawn.mean(axis=0) - weighted.mean(axis=0)) < 5 * error).all()


@every
def test_an_integer_repeats_draws_and_nothing_else_changes(name, fitted):
    state, before = process_state(), repr(fitted[name].get_params())
    np.testing.assert_array_equal(draw(fitted[name], 5, 3), draw(fitted[name], 5, 3))
    assert (draw(fitted[name], 5, 3) != draw(fitted[name], 5, 4)).any()
    assert repr(fitted[name].get_params()) == before
    assert state == process_state()


@pytest.mark.parametrize(
    "estimator", [BernoulliRBM(2), KernelDensity(kernel="linear"), Autoencoder(1, max_iter=2), KMeans(2)]
)
def test_what_cannot_draw_says_so(estimator):
    X = (rows() > 0).astype(float)
    with pytest.raises(TypeError, match=r"has no sample to draw rows by.*KernelDensity"):
        draw(estimator.fit(X), 3, 0)


def test_a_step_without_inverse_is_named():
    pipeline = make_pipeline(StandardScaler(), Normalizer(), ProbabilisticPCA(1))
    with pytest.raises(TypeError, match=r"The step 'normalizer'.*has no inverse_transform"):
        draw(pipeline.fit(rows()), 3, 0)


# -- scores -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scaler", SCALERS, ids=str)
def test_scores_through_scalers_are_densities_of_the_rows(scaler):
    # A normal distribution that is fitted by maximum likelihood knows no units.
    scaled = make_pipeline(scaler, GaussianMixture(reg_covar=0.0)).fit(rows())
    plain = GaussianMixture(reg_covar=0.0).fit(rows())
    np.testing.assert_allclose(log_density(scaled, rows()), plain.score_samples(rows()), rtol=ROUNDING)
    np.testing.assert_allclose(conditioned(scaled).score_samples(rows()), plain.score_samples(rows()), rtol=ROUNDING)


@pytest.mark.parametrize("scaler", SCALERS, ids=str)
def test_scores_of_incomplete_rows_through_scalers_are_densities_of_what_is_there(scaler):
    X = rows()
    X[0, 1], X[1] = np.nan, np.nan
    plain = GaussianMixture(reg_covar=0.0).fit(rows())
    scaled = make_pipeline(scaler, GaussianMixture(reg_covar=0.0)).fit(rows())
    np.testing.assert_allclose(log_density(scaled, X), plain.score_samples(X), rtol=ROUNDING, atol=1e-12)


def test_scores_relative_to_counting_are_not_changed_by_scalers():
    X = (rows() > 0).astype(float)
    scaled = make_pipeline(MinMaxScaler(), RBM(2, max_iter=2, random_state=0)).fit(3 * X)
    np.testing.assert_array_equal(log_density(scaled, 3 * X), scaled[-1].score_samples(X))
    assert (measure(scaled), kind(scaled)) == ("mass", "exact")


def test_what_is_behind_wrappers_is_asked():
    mixture = GaussianMixture(2, random_state=0).fit(rows())
    expected = mixture.score_samples(rows())
    for wrapped in (
        FrozenEstimator(mixture),
        GridSearchCV(GaussianMixture(random_state=0), {"n_components": [2]}).fit(rows()),
        make_pipeline("passthrough", FrozenEstimator(mixture)).fit(rows()),
    ):
        np.testing.assert_array_equal(log_density(wrapped, rows()), expected)
        np.testing.assert_array_equal(draw(wrapped, 4, 0), mixture.sample(4, random_state=0)[0])


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (GaussianMixture(), ("density", "exact")),
        (BernoulliRBM(), ("mass", "pseudo")),
        (RBM(3), ("mass", "exact")),
        (RBM(3, visible="gaussian", score_method="pseudo"), ("density", "pseudo")),
        (VariationalAutoencoder(), ("density", "bound")),
        (VariationalAutoencoder(likelihood="bernoulli"), ("mass", "bound")),
        (SklearnBayesianMixture(), ("density", "bound")),
        (GridSearchCV(make_pipeline(StandardScaler(), PCA()), {}), ("density", "exact")),
    ],
)
def test_measure_and_kind_are_known_before_a_fit(estimator, expected):
    assert (measure(estimator), kind(estimator)) == expected


def test_the_score_of_sklearns_bayesian_mixture_is_below_its_predictive_density():
    # By Jensen's inequality; ours, from the same rows and prior, is the predictive density.
    options = {"n_components": 2, "random_state": 0, "max_iter": 500, "tol": 1e-10}
    X = rows(50)
    theirs = SklearnBayesianMixture(weight_concentration_prior_type="dirichlet_distribution", **options).fit(X)
    ours = BayesianGaussianMixture(weight_concentration_prior_type="dirichlet_distribution", **options).fit(X)
    np.testing.assert_allclose(np.sort(theirs.weights_), np.sort(ours.weights_), rtol=1e-3)
    assert (log_density(theirs, X) < log_density(ours, X)).all()


def test_unknown_scores_are_refused():
    with pytest.raises(TypeError, match=r"IsolationForest is not known to have scores in nats.*KernelDensity"):
        log_density(IsolationForest(n_estimators=5).fit(rows()), rows())


@pytest.mark.parametrize("step", [FastICA(2), MinMaxScaler(clip=True), FunctionTransformer(np.cbrt)])
def test_steps_that_are_not_affine_are_named(step):
    pipeline = make_pipeline(StandardScaler(), step, GaussianMixture()).fit(rows())
    name = pipeline.steps[1][0]
    for ask in (log_density, conditioned):
        with pytest.raises(TypeError, match=f"The step '{name}'.*not known to be affine.*StandardScaler"):
            ask(pipeline, rows()) if ask is log_density else ask(pipeline)


# -- conditionals -----------------------------------------------------------------------------------------------------


@mixtures
def test_what_conditions_is_the_same_density(name, fitted):
    mixture = conditioned(fitted[name], "conditional")
    np.testing.assert_allclose(mixture.score_samples(rows()), log_density(fitted[name], rows()), rtol=ROUNDING)


@mixtures
def test_conditional_is_joint_over_marginal(name, fitted):
    mixture = conditioned(fitted[name], "conditional")
    x = np.array([1.0, -2.0, 0.5])
    given = mixture.conditional([1], x[[1]]).score_samples(x[None, [0, 2]])
    joint = log_density(fitted[name], x[None]) - mixture.marginal([1]).score_samples(x[None, [1]])
    np.testing.assert_allclose(given, joint, rtol=ROUNDING)


@every
def test_imputation_keeps_what_is_there(name, fitted):
    X = holes(rows())
    if name in ("sklearn-bayesian", "tophat"):
        with pytest.raises(TypeError, match=r"has no impute. Estimators that have it: .*GaussianMixture"):
            conditioned(fitted[name])
        return
    model = conditioned(fitted[name])
    drawn = model.impute(X, method="sample", random_state=0)
    for filled in (model.impute(X), drawn):
        np.testing.assert_array_equal(filled[~np.isnan(X)], X[~np.isnan(X)])
        assert np.isfinite(filled).all()
    np.testing.assert_array_equal(model.impute(X, method="sample", random_state=0), drawn)


def test_imputation_through_scalers_is_that_of_the_scaled_rows(fitted):
    scaler, bayesian = (step for _, step in fitted["scaled-bayesian"].steps)
    X = holes(rows())
    expected = scaler.inverse_transform(bayesian.impute(scaler.transform(X)))
    np.testing.assert_allclose(conditioned(fitted["scaled-bayesian"]).impute(X), expected, rtol=1e-12)


def test_kernels_keep_their_weights():
    weights = np.arange(1.0, 51.0)
    kernels = KernelDensity(bandwidth="scott").fit(rows(50), sample_weight=weights)
    assert conditioned(kernels).score(rows()) == pytest.approx(kernels.score_samples(rows()).mean(), rel=ROUNDING)


def test_columns_keep_their_names():
    import pandas as pd

    frame = pd.DataFrame(rows(), columns=["a", "b", "c"])
    for estimator in (PCA(1), make_pipeline(StandardScaler(), PCA(1))):
        mixture = conditioned(estimator.fit(frame), "conditional")
        assert mixture.conditional(["b"], [0.0]).feature_names_in_.tolist() == ["a", "c"]


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("scaler", [StandardScaler(), "passthrough"])
def test_every_structure_of_covariances_can_be_taken_to_other_units(covariance_type, scaler):
    mixture = SklearnMixture(2, covariance_type=covariance_type, random_state=0)
    pipeline = make_pipeline(scaler, mixture).fit(rows())
    found = conditioned(pipeline, "conditional").score_samples(rows())
    np.testing.assert_allclose(found, log_density(pipeline, rows()), rtol=ROUNDING)


def test_what_cannot_condition_says_so():
    with pytest.raises(TypeError, match=r"BayesianGaussianMixture has no conditional.*KernelDensity with a gaussian"):
        conditioned(BayesianGaussianMixture().fit(rows()), "conditional")


@pytest.mark.parametrize("scores", [np.array([0.0, np.nan]), np.array([0.0, np.inf]), np.zeros(1), np.array([1, 2])])
def test_scores_that_are_no_log_densities_are_refused(scores):
    class Broken(KernelDensity):
        def score_samples(self, X):
            return scores

    X = np.eye(2)
    with pytest.raises(ValueError, match=r"Broken gives 1 of 2 rows, .* row 1, the score|score_samples of Broken must"):
        log_density(Broken().fit(X), X)


def test_a_row_may_be_impossible():
    assert log_density(KernelDensity(kernel="tophat").fit(np.eye(2)), [[9.0, 9.0]]) == [-np.inf]


def test_a_search_that_keeps_no_estimator_is_refused():
    search = GridSearchCV(KernelDensity(), {"bandwidth": [1.0]}, refit=False)
    with pytest.raises(ValueError, match="GridSearchCV with refit=False fits no estimator"):
        kind(search)
