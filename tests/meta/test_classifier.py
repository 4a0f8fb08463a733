"""skgen.meta.classifier"""

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.frozen import FrozenEstimator
from sklearn.mixture import GaussianMixture as SklearnMixture
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KernelDensity
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgen import GaussianMixture, ProbabilisticPCA
from skgen.meta.classifier import GenerativeClassifier


def normal(**parameters):
    return GaussianMixture(1, **{"reg_covar": 0.0} | parameters)


def test_one_normal_distribution_for_each_class_is_quadratic_discriminant_analysis():
    X, y = load_wine(return_X_y=True)
    ours, theirs = GenerativeClassifier(normal()).fit(X, y), QuadraticDiscriminantAnalysis().fit(X, y)
    np.testing.assert_allclose(ours.predict_log_proba(X), theirs.predict_log_proba(X), rtol=1e-7, atol=1e-7)


def test_diagonal_covariances_are_naive_bayes():
    X, y = load_iris(return_X_y=True)
    ours = GenerativeClassifier(normal(covariance_type="diag")).fit(X, y)
    theirs = GaussianNB(var_smoothing=0.0).fit(X, y)
    np.testing.assert_allclose(ours.predict_joint_log_proba(X), theirs.predict_joint_log_proba(X), rtol=1e-9)
    np.testing.assert_allclose(ours.predict_log_proba(X), theirs.predict_log_proba(X), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ours.predict_proba(X).sum(axis=1), 1)


@pytest.mark.parametrize(
    "estimator", [SklearnMixture(1), make_pipeline(StandardScaler(), SklearnMixture(1)), KernelDensity(bandwidth=0.3)]
)
def test_scikit_learns_densities_classify(estimator):
    X, y = load_iris(return_X_y=True)
    classifier = GenerativeClassifier(estimator).fit(X, y)
    assert classifier.score(X, y) > 0.95
    # Change of units in a pipeline of each class is undone by its Jacobian.
    joint = [np.log(1 / 3) + clone(estimator).fit(X[y == k]).score_samples(X) for k in range(3)]
    if not hasattr(estimator, "steps"):
        np.testing.assert_allclose(classifier.predict_log_proba(X), log_softmax(np.transpose(joint), axis=1), atol=1e-9)


def test_scaling_inside_changes_no_probability():
    X, y = load_iris(return_X_y=True)
    plain = GenerativeClassifier(normal()).fit(X, y)
    scaled = GenerativeClassifier(make_pipeline(StandardScaler(), normal())).fit(X, y)
    np.testing.assert_allclose(scaled.predict_joint_log_proba(X), plain.predict_joint_log_proba(X), rtol=1e-8)


def test_chunks_add_up_to_one_fit():
    X, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    whole = GenerativeClassifier(ProbabilisticPCA(2)).fit(X, y)
    parts = GenerativeClassifier(ProbabilisticPCA(2))
    # The chunks of a class need not come together.
    for rows in (order[y[order] == 2], order[y[order] != 2]):
        parts.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
    np.testing.assert_allclose(parts.class_prior_, whole.class_prior_)
    np.testing.assert_allclose(parts.class_count_, [50, 50, 50])
    assert parts.score(X, y) == pytest.approx(whole.score(X, y), abs=0.02)


def test_a_class_without_rows_so_far_has_probability_0():
    X, y = load_iris(return_X_y=True)
    classifier = GenerativeClassifier().partial_fit(X[:100], y[:100], classes=[0, 1, 2])
    assert (classifier.predict_proba(X)[:, 2] == 0).all()
    assert classifier.partial_fit(X[100:], y[100:]).score(X, y) > 0.9


def test_partial_fit_names_what_is_wrong_with_classes():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match="first call of partial_fit needs classes"):
        GenerativeClassifier().partial_fit(X, y)
    with pytest.raises(ValueError, match=r"classes \[2\], which are not among \[0 1\]"):
        GenerativeClassifier().partial_fit(X, y, classes=[0, 1])
    started = GenerativeClassifier().partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="not those of the first call"):
        started.partial_fit(X, y, classes=[0, 1, 2, 3])
    assert not hasattr(GenerativeClassifier(KernelDensity()), "partial_fit")


def test_weights_are_repetitions_and_0_leaves_out():
    X, y = load_iris(return_X_y=True)
    weight = np.random.default_rng(0).integers(0, 3, len(X)).astype(float)
    weighted = GenerativeClassifier(normal()).fit(X, y, sample_weight=weight)
    index = np.repeat(np.arange(len(X)), weight.astype(int))
    repeated = GenerativeClassifier(normal()).fit(X[index], y[index])
    np.testing.assert_allclose(
        weighted.predict_joint_log_proba(X), repeated.predict_joint_log_proba(X), rtol=1e-8, atol=1e-8
    )
    with pytest.raises(ValueError, match="takes no weights"):
        GenerativeClassifier(SklearnMixture()).fit(X, y, sample_weight=weight)


def test_given_priors_shift_log_odds_by_their_logarithms():
    X, y = load_iris(return_X_y=True)
    shares, given = GenerativeClassifier(), GenerativeClassifier(priors=[0.5, 0.5, 0.0])
    free, bound = (each.fit(X, y).predict_joint_log_proba(X) for each in (shares, given))
    np.testing.assert_allclose(bound[:, :2] - free[:, :2], np.log(0.5 * 3))
    assert (given.predict_proba(X)[:, 2] == 0).all()
    for wrong in ([0.5, 0.5], [0.5, 0.6, 0.1], [1.5, -0.5, 0.0]):
        with pytest.raises(ValueError, match="priors must be 3 numbers that add up to 1"):
            GenerativeClassifier(priors=wrong).fit(X, y)


def test_rows_beyond_all_densities_get_the_priors():
    X, y = load_iris(return_X_y=True)
    classifier = GenerativeClassifier(KernelDensity(kernel="tophat")).fit(X, y)
    np.testing.assert_allclose(classifier.predict_proba(np.full((1, 4), 1e6)), [[1 / 3, 1 / 3, 1 / 3]])


def test_missing_entries_are_integrated_out():
    X, y = load_iris(return_X_y=True)
    classifier = GenerativeClassifier(normal()).fit(X, y)
    holes = X.copy()
    holes[:, 1:] = np.nan
    fewer = GenerativeClassifier(normal()).fit(X[:, :1], y)
    np.testing.assert_allclose(classifier.predict_log_proba(holes), fewer.predict_log_proba(X[:, :1]), atol=1e-7)


def test_pseudo_likelihoods_are_refused():
    X, y = load_digits(return_X_y=True)
    with pytest.raises(ValueError, match="BernoulliRBM scores rows by a pseudo-likelihood"):
        GenerativeClassifier(BernoulliRBM(2, n_iter=1)).fit(X / 16, y)


def test_a_frozen_density_is_left_alone():
    X, y = load_iris(return_X_y=True)
    fitted = normal().fit(X)
    classifier = GenerativeClassifier(FrozenEstimator(fitted)).fit(X, y)
    np.testing.assert_allclose(classifier.predict_proba(X), 1 / 3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Constant column:UserWarning")
def test_mixtures_chosen_within_the_training_rows_read_digits():
    X, y = load_digits(return_X_y=True)
    train, test = next(StratifiedKFold(5, shuffle=True, random_state=0).split(X, y))
    grid = {"estimator__n_components": [1, 2], "estimator__reg_covar": [0.3, 3.0]}
    search = GridSearchCV(GenerativeClassifier(GaussianMixture(random_state=0)), grid, cv=2)
    assert search.fit(X[train], y[train]).score(X[test], y[test]) >= 0.985


def test_probabilities_add_up_to_one_however_far_a_row_is():
    X, y = np.array([[0.0], [1.0]]), [0, 1]
    proba = GenerativeClassifier(KernelDensity()).fit(X, y).predict_proba([[1e8], [1e100], [1e200]])
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_allclose(proba[1:], 0.5)


def test_weights_of_a_chunk_can_be_routed():
    with config_context(enable_metadata_routing=True):
        request = GenerativeClassifier().set_partial_fit_request(sample_weight=True).get_metadata_routing()
    assert request.partial_fit.requests["sample_weight"] is True
