"""skgen.meta.selector and skgen.meta._trials: choice by the likelihood of unseen rows."""

import warnings

import joblib
import numpy as np
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.mixture import GaussianMixture as SklearnMixture
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.neighbors import KernelDensity
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import check_sample_weight_equivalence_on_dense_data

from skgen import RBM, BayesianGaussianMixture, GaussianMixture, ProbabilisticPCA, VariationalAutoencoder
from skgen.meta import DensitySelector
from tests.oracles import process_state


def rows(n_rows=300, seed=0):
    random = np.random.default_rng(seed)
    labels = random.integers(3, size=n_rows)
    return random.normal(size=(n_rows, 2)) + 6 * np.array([[0, 0], [1, 0], [0, 1]])[labels]


def sizes(*counts, **parameters):
    return [(f"mixture-{k}", GaussianMixture(k, **{"random_state": 0} | parameters)) for k in counts]


@pytest.mark.parametrize("criterion", ["held_out", "bic"])
def test_the_true_number_of_components_is_found(criterion):
    for seed in range(3):
        selector = DensitySelector(sizes(1, 2, 3, 8), criterion=criterion, random_state=0).fit(rows(seed=seed))
        assert selector.best_name_ == "mixture-3"
        assert selector.best_estimator_.n_components == 3


def test_the_true_family_is_found():
    X = np.random.default_rng(0).normal(size=(300, 6)) @ np.diag([3.0, 1, 1, 1, 1, 1])
    candidates = [
        ("components", ProbabilisticPCA(1)),
        ("kernels", KernelDensity(bandwidth="scott")),
        ("mixture", SklearnMixture(4, random_state=0)),
    ]
    assert DensitySelector(candidates, random_state=0).fit(X).best_name_ == "components"


def test_scores_are_mean_log_densities_of_unseen_rows_with_their_errors():
    X = rows(60)
    selector = DensitySelector(sizes(1, 3), cv=KFold(3)).fit(X)
    unseen = [
        np.concatenate([clone(each).fit(X[train]).score_samples(X[test]) for train, test in KFold(3).split(X)])
        for _, each in sizes(1, 3)
    ]
    table, best = selector.results_, unseen[1]
    np.testing.assert_allclose(table["score"], np.mean(unseen, axis=1), rtol=1e-12)
    np.testing.assert_allclose(table["standard_error"], stats.sem(unseen, axis=1), rtol=1e-9)
    np.testing.assert_allclose(table["difference"], [np.mean(unseen[0] - best), 0], rtol=1e-9)
    np.testing.assert_allclose(table["difference_error"], [stats.sem(unseen[0] - best), 0], rtol=1e-9)
    assert selector.best_score_ == table["score"].max()
    assert table["name"].tolist() == ["mixture-1", "mixture-3"]
    assert (table["seconds"] > 0).all()


def test_the_criterion_is_that_of_the_mixture_in_the_units_of_the_rows():
    X = rows() * [100.0, 0.1]
    plain = GaussianMixture(reg_covar=0.0).fit(X)
    candidates = [plain, make_pipeline(StandardScaler(), clone(plain)), SklearnMixture(reg_covar=1e-12)]
    scores = DensitySelector(candidates, criterion="bic").fit(X).results_["score"]
    np.testing.assert_allclose(scores, -plain.bic(X) / 2 / len(X), rtol=1e-6)


def test_scalers_do_not_change_the_choice():
    X = rows() * [1e3, 1e-3]
    candidates = [
        ("plain", BayesianGaussianMixture(3, random_state=0, tol=1e-10, max_iter=500, reg_covar=0.0)),
        ("scaled", make_pipeline(StandardScaler(), GaussianMixture(random_state=0))),
    ]
    selector = DensitySelector(candidates, random_state=0).fit(X)
    same = DensitySelector(candidates, random_state=0).fit(rows())
    jacobian = np.log(1e3) + np.log(1e-3)
    # The Bayesian mixture has the same prior in any units, and folds follow the order of the rows' bytes.
    assert selector.best_name_ == same.best_name_ == "plain"
    assert selector.best_score_ == pytest.approx(
        same.best_score_ - jacobian, abs=5 * same.results_["standard_error"][0]
    )


def test_repeating_rows_gains_nothing():
    # A narrow kernel on each row would win if copies of test rows were among the training rows.
    X = np.repeat(rows(50), 10, axis=0)
    candidates = [("narrow", KernelDensity(bandwidth=1e-3)), ("wide", KernelDensity(bandwidth=1.0))]
    with np.errstate(divide="ignore"):
        assert DensitySelector(candidates, random_state=0).fit(X).best_name_ == "wide"
        assert DensitySelector(candidates, cv=KFold(5, shuffle=True, random_state=0)).fit(X).best_name_ == "narrow"


def test_weights_are_repetitions():
    for criterion in ("held_out", "bic"):
        given = DensitySelector(sizes(1, 2, reg_covar=1e-3), criterion=criterion, random_state=0)
        check_sample_weight_equivalence_on_dense_data("DensitySelector", given)
        weight = np.random.default_rng(0).integers(0, 4, size=60)
        weighted = clone(given).fit(rows(60), sample_weight=weight).results_
        repeated = clone(given).fit(np.repeat(rows(60), weight, axis=0)).results_
        for column in ("score", "standard_error", "difference", "difference_error"):
            np.testing.assert_allclose(weighted[column], repeated[column], rtol=1e-6, atol=1e-9)


def test_pseudo_likelihoods_and_mixed_measures_are_refused_before_any_fit():
    X = (rows() > 3).astype(float)
    with pytest.raises(ValueError, match=r"pseudo-likelihoods, to be left out: \['machine'\]"):
        DensitySelector([("machine", BernoulliRBM(2)), ("other", RBM(2))]).fit(X)
    with pytest.raises(ValueError, match=r"one measure only, got \{'a': 'density', 'b': 'mass'\}"):
        DensitySelector([("a", GaussianMixture()), ("b", VariationalAutoencoder(likelihood="bernoulli"))]).fit(X)
    with pytest.raises(TypeError, match="IsolationForest is not known to have scores in nats"):
        DensitySelector([IsolationForest()]).fit(X)
    with pytest.raises(TypeError, match="not known to be affine"):
        DensitySelector([make_pipeline(FunctionTransformer(np.cbrt), GaussianMixture())]).fit(X)


def test_bic_needs_candidates_that_have_it():
    with pytest.raises(ValueError, match=r"needs candidates with a method bic.*\['pca-1'\] have none"):
        DensitySelector([GaussianMixture(), PCA(1)], criterion="bic").fit(rows())


def test_a_candidate_that_cannot_be_fitted_is_left_out_and_named():
    X = rows(20)
    with pytest.warns(FitFailedWarning, match=r"Candidate 'mixture-18' is left out: ValueError: Expected n_samples"):
        selector = DensitySelector(sizes(1, 18), random_state=0).fit(X)
    assert selector.best_name_ == "mixture-1"
    assert np.isnan(selector.results_["score"]).tolist() == [False, True]
    with (
        pytest.warns(FitFailedWarning),
        pytest.raises(ValueError, match="No candidate could be fitted: ValueError: Expected n_samples"),
    ):
        DensitySelector(sizes(18), random_state=0).fit(X)


@pytest.mark.parametrize("candidates", [[], [GaussianMixture(), ("pair", GaussianMixture())]])
def test_candidates_are_estimators_or_pairs(candidates):
    with pytest.raises(ValueError, match="candidates must be estimators, or pairs of a name and an estimator"):
        DensitySelector(candidates).fit(rows())
    with pytest.raises(ValueError, match="not unique"):
        DensitySelector([*sizes(1), *sizes(1)]).fit(rows())


def test_candidates_have_parameters_by_name():
    selector = DensitySelector(sizes(1, 2)).set_params(**{"mixture-2__n_components": 4, "mixture-1": PCA()})
    assert selector.get_params()["mixture-2__n_components"] == 4
    assert isinstance(selector.candidates[0][1], PCA)
    search = GridSearchCV(DensitySelector(sizes(1)), {"mixture-1__n_components": [1, 3]}).fit(rows())
    assert search.best_params_ == {"mixture-1__n_components": 3}


def test_a_selector_is_a_density():
    selector = DensitySelector([*sizes(1, 3), make_pipeline(StandardScaler(), SklearnMixture())][:2], random_state=0)
    assert cross_val_score(selector, rows()).shape == (5,)
    fitted = selector.fit(rows())
    np.testing.assert_array_equal(fitted.score_samples(rows()), fitted.best_estimator_.score_samples(rows()))
    assert fitted.score(rows()) == pytest.approx(fitted.best_estimator_.score(rows()))
    draws = fitted.sample(50, random_state=0)
    np.testing.assert_array_equal(draws, fitted.sample(50, random_state=0))
    assert draws.shape == (50, 2)
    nested = DensitySelector([("inner", selector), ("other", PCA(1))], random_state=0).fit(rows())
    assert nested.best_name_ == "inner"


def test_kinds_are_those_of_the_candidates():
    vae = VariationalAutoencoder(1, hidden_layer_sizes=(4,), max_iter=2, random_state=0)
    selector = DensitySelector([("vae", vae), *sizes(3)], random_state=0)
    assert (selector.score_kind, selector.score_measure) == ("bound", "density")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        selector.fit(rows())
    assert selector.results_["score_kind"].tolist() == ["bound", "exact"]
    assert selector.score_kind == "exact"


def test_work_in_parallel_and_global_random_states_change_nothing():
    state = process_state()
    one = DensitySelector(sizes(1, 2), random_state=0).fit(rows(60)).results_
    with joblib.parallel_config("threading", n_jobs=2):
        two = DensitySelector(sizes(1, 2), random_state=0).fit(rows(60)).results_
    np.testing.assert_array_equal(one["score"], two["score"])
    assert state == process_state()


def test_candidates_under_all_of_which_unseen_rows_are_impossible_are_refused():
    X = np.arange(20.0)[:, None]
    narrow = [KernelDensity(kernel="tophat", bandwidth=width) for width in (0.1, 0.2)]
    with pytest.raises(ValueError, match="Some unseen rows are impossible under each of the candidates"):
        DensitySelector(narrow, random_state=0).fit(X)
    selector = DensitySelector([*narrow, KernelDensity()], random_state=0).fit(X)
    assert selector.best_index_ == 2
    np.testing.assert_array_equal(selector.results_["score"][:2], -np.inf)


@pytest.mark.parametrize("candidate", [None, 5, ("a", 5), (5, KernelDensity())])
def test_a_candidate_that_is_no_estimator_is_refused(candidate):
    with pytest.raises(ValueError, match="candidates must be estimators, each with a name or without, got"):
        DensitySelector([candidate]).fit(np.eye(3))
