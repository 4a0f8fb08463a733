"""skgen.meta.outlier: outliers as rows of low density."""

import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.mixture import GaussianMixture as SklearnMixture
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import (
    check_sample_weight_equivalence_on_dense_data,
)

from skgen import Autoencoder, GaussianMixture, ProbabilisticPCA
from skgen.meta import DensitySelector, GenerativeOutlierDetector
from tests.oracles import process_state

N_SEEDS = 5
METHODS = ["log_likelihood", "typicality", "reconstruction"]


def rows(n_rows=400, n_features=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n_rows, n_features)) @ np.diag(np.arange(1.0, n_features + 1))


def detector(estimator=None, **parameters):
    estimator = GaussianMixture(random_state=0) if estimator is None else estimator
    return GenerativeOutlierDetector(estimator, **{"random_state": 0} | parameters)


@pytest.mark.parametrize("method", METHODS)
def test_auto_calls_one_in_twenty_of_unseen_rows_an_outlier(method):
    # Also of a model that fits itself closely to the rows that it sees: 5 components in 8 columns.
    estimator = GaussianMixture(5, random_state=0) if method == "log_likelihood" else ProbabilisticPCA(7)
    shares, of_seen = [], []
    for seed in range(N_SEEDS):
        X = rows(200, 8, seed=seed)
        fitted = detector(estimator, score_method=method).fit(X)
        shares.append((fitted.predict(rows(2000, 8, seed=100 + seed)) == -1).mean())
        of_seen.append((detector(estimator, score_method=method, contamination=0.05).fit(X), X))
    # Scores are by fits to 4/5 of the rows, so the line errs to the side of fewer outliers, by under 2 % here.
    error = np.std(shares) / np.sqrt(N_SEEDS)
    assert 0.03 - 3 * error < np.mean(shares) < 0.05 + 3 * error
    seen = [(each.predict(rows(2000, 8, seed=300)) == -1).mean() for each, _ in of_seen]
    assert all((each.predict(X) == -1).sum() == 10 for each, X in of_seen)
    if method == "log_likelihood":
        # Which is why in-sample scores are no guide to rows to come.
        assert np.mean(seen) > 0.08


def test_the_score_is_the_log_density_in_the_units_of_the_rows():
    scaled = detector(make_pipeline(StandardScaler(), GaussianMixture(reg_covar=0.0))).fit(rows())
    expected = stats.multivariate_normal(rows().mean(axis=0), np.cov(rows().T, bias=True)).logpdf(rows(9, seed=1))
    np.testing.assert_allclose(scaled.score_samples(rows(9, seed=1)), expected, rtol=1e-9)


def test_typicality_finds_rows_of_too_high_a_density():
    X, center = rows(1000, 50), np.zeros((1, 50))
    assert detector(score_method="typicality").fit(X).predict(center) == -1
    assert detector().fit(X).predict(center) == 1


def test_reconstruction_is_an_error_per_column_in_units_of_its_variance():
    X = rows()
    X[:, 1] = 2.0
    fitted = detector(PCA(1), score_method="reconstruction").fit(X)
    inside = PCA(1).fit(X)
    error = (X - inside.inverse_transform(inside.transform(X))) ** 2
    scale = np.array([X[:, 0].var(), 1.0, X[:, 2].var()])
    np.testing.assert_allclose(fitted.score_samples(X), -(error / scale).mean(axis=1), rtol=1e-9, atol=1e-15)


def test_reconstruction_knows_no_units():
    wide = rows() * [1000.0, 1.0, 0.01]
    ours = [make_pipeline(StandardScaler(), ProbabilisticPCA(1)) for _ in range(2)]
    one, other = (
        detector(each, score_method="reconstruction").fit(X).score_samples(X)
        for each, X in zip(ours, (rows(), wide), strict=True)
    )
    np.testing.assert_allclose(one, other, rtol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_equal_rows_share_a_fold_so_that_repeating_all_changes_nothing(method):
    estimator = ProbabilisticPCA(1)
    once = detector(estimator, score_method=method).fit(rows(50))
    twice = detector(estimator, score_method=method).fit(np.repeat(rows(50), 2, axis=0))
    shuffled = detector(estimator, score_method=method).fit(rows(50)[::-1])
    assert once.offset_ == pytest.approx(twice.offset_, rel=1e-9)
    assert once.offset_ == pytest.approx(shuffled.offset_, rel=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_weights_are_repetitions(method):
    for contamination in ("auto", 0.1):
        given = detector(ProbabilisticPCA(1), score_method=method, contamination=contamination)
        check_sample_weight_equivalence_on_dense_data("GenerativeOutlierDetector", given)
        weight = np.random.default_rng(0).integers(0, 4, size=60)
        weighted = clone(given).fit(rows(60), sample_weight=weight)
        repeated = clone(given).fit(np.repeat(rows(60), weight, axis=0))
        assert weighted.offset_ == pytest.approx(repeated.offset_, rel=1e-9)


def test_weights_reach_the_last_step_of_pipelines_and_searches():
    weight = np.arange(60.0)
    search = GridSearchCV(GaussianMixture(random_state=0), {"n_components": [1]}, cv=2)
    for inside in (KernelDensity(bandwidth=0.5), search, make_pipeline(StandardScaler(), KernelDensity())):
        weighted, plain = detector(inside).fit(rows(60), sample_weight=weight), detector(inside).fit(rows(60))
        assert (weighted.score_samples(rows(5)) != plain.score_samples(rows(5))).all()


@pytest.mark.parametrize("inside", [SklearnMixture(), make_pipeline(StandardScaler(), SklearnMixture()), PCA()])
def test_weights_are_refused_where_the_estimator_takes_none(inside):
    with pytest.raises(ValueError, match=r"sample_weight was given, but the fit of (GaussianMixture|PCA) takes no"):
        detector(inside).fit(rows(), sample_weight=np.ones(400))
    with pytest.raises(TypeError, match=r"takes the keyword 'sample_weight' only, got \['weights'\]"):
        detector().fit(rows(), weights=np.ones(400))


def test_a_frozen_estimator_stays_as_it_is():
    frozen = GaussianMixture(2, random_state=0).fit(rows(seed=1))
    fitted = detector(FrozenEstimator(frozen)).fit(rows())
    assert fitted.estimator_.estimator is frozen
    assert fitted.offset_ == np.sort(frozen.score_samples(rows()))[19:21].mean()


def test_missing_entries_go_to_estimators_that_take_them():
    X = np.where(np.random.default_rng(1).random((400, 3)) < 0.2, np.nan, rows())
    fitted = detector(ProbabilisticPCA(1)).fit(X)
    assert np.isfinite(fitted.score_samples(X)).all()
    assert fitted.predict([[np.nan, 50.0, np.nan], [np.nan, 0.0, np.nan]]).tolist() == [-1, 1]
    with pytest.raises(ValueError, match="contains NaN"):
        detector(SklearnMixture()).fit(X)


def test_any_density_can_be_inside():
    X = np.concatenate([rows(100) - 10, rows(100, seed=1) + 10])
    candidates = [GaussianMixture(k, random_state=0) for k in (1, 2)]
    for inside in (None, DensitySelector(candidates, random_state=0), KernelDensity(), SklearnMixture(2)):
        fitted = GenerativeOutlierDetector(inside, random_state=0).fit(X)
        assert fitted.predict(np.array([[0.0] * 3, [10.0] * 3, [-10.0] * 3])).tolist() == [-1, 1, 1]


def test_what_is_no_density_is_refused():
    with pytest.raises(TypeError, match="IsolationForest is not known to have scores in nats"):
        detector(IsolationForest()).fit(rows())
    with pytest.raises(TypeError, match=r"KernelDensity has no transform\. Estimators that reconstruct rows"):
        detector(KernelDensity(), score_method="reconstruction").fit(rows())


def test_equal_rows_have_no_unseen_ones():
    with pytest.raises(ValueError, match=r"Scores of unseen rows need at least two different rows, got n_samples = 5"):
        detector(KernelDensity()).fit(np.ones((5, 2)))


@pytest.mark.parametrize("inside", [None, Autoencoder(1, hidden_layer_sizes=(4,), max_iter=2, random_state=0)])
def test_a_random_state_repeats_a_fit_and_no_global_one_is_used(inside):
    method = "log_likelihood" if inside is None else "reconstruction"
    state = process_state()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        offsets = [detector(inside, score_method=method, random_state=7).fit(rows()).offset_ for _ in range(2)]
    assert offsets[0] == offsets[1]
    assert state == process_state()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, r"More than 0\.05 of the rows are impossible under the model"),
        ({"score_method": "typicality"}, "mean log-density of unseen rows, which is -inf"),
    ],
)
def test_no_line_is_drawn_among_impossible_rows(parameters, message):
    X = np.arange(20.0)[:, None]
    narrow = KernelDensity(kernel="tophat", bandwidth=0.1)
    with pytest.raises(ValueError, match=message):
        GenerativeOutlierDetector(narrow, random_state=0, **parameters).fit(X)


def test_no_row_is_called_an_inlier_for_want_of_a_score():
    detector = GenerativeOutlierDetector(random_state=0).fit(np.random.RandomState(0).standard_normal((50, 2)))
    with pytest.raises(ValueError, match=r"the score nan, which is no log-density"):
        detector.predict([[1e200, -1e200]])
