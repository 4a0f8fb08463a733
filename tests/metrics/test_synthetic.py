import numpy as np
import pytest
from scipy.stats import binomtest, kstest
from sklearn.datasets import load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture as SklearnMixture
from sklearn.neighbors import KernelDensity, KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgen import GaussianMixture, ProbabilisticPCA, VariationalAutoencoder
from skgen.metrics.synthetic import _interpolated, _neighbors, memorization_test, train_on_synthetic_score
from tests.oracles import process_state

SHIFT = [3, -3]
"""Between the means of two classes, at a right angle to the direction in which both are long."""


def classes(n_samples, random_state):
    """Two long, narrow normal distributions side by side, whose columns taken alone overlap."""
    source = np.random.RandomState(random_state)
    y = source.randint(2, size=n_samples)
    X = source.multivariate_normal([0, 0], [[25, 24], [24, 25]], size=n_samples)
    return X + y[:, None] * SHIFT, y


@pytest.fixture(scope="module")
def narrow():
    return *classes(300, 0), *classes(300, 1)


@pytest.mark.parametrize(
    "density",
    [
        GaussianMixture(random_state=0),
        ProbabilisticPCA(1),
        make_pipeline(StandardScaler(), GaussianMixture(random_state=0)),
        SklearnMixture(random_state=0),
        KernelDensity(bandwidth=0.3),
        PCA(2),
    ],
    ids=lambda density: type(density).__name__,
)
def test_a_density_that_learns_dependences_lies_between_independence_and_real_rows(density, narrow):
    result = train_on_synthetic_score(density, *narrow, classifier=KNeighborsClassifier(9), n_repeats=3, random_state=0)
    assert set(result) == {"synthetic", "real", "independent", "interpolation"}
    assert all(scores.shape == (3,) for scores in result.values())
    assert result.independent.mean() < 0.8 < 0.93 < result.synthetic.mean() < result.real.mean() + 0.03
    assert 0.93 < result.interpolation.mean() < result.real.mean() + 0.03


def test_a_density_without_dependences_scores_as_independent_columns_do(narrow):
    density = GaussianMixture(covariance_type="diag", random_state=0)
    result = train_on_synthetic_score(density, *narrow, classifier=KNeighborsClassifier(9), random_state=0)
    assert abs(result.synthetic.mean() - result.independent.mean()) < 0.1


def test_classes_are_drawn_as_often_as_they_are_and_only_once_fitted():
    X, y = load_wine(return_X_y=True)
    names = np.array(["one", "two", "three"])[y]
    seen, fits = [], []

    class Recorder(LogisticRegression):
        def fit(self, X, y):
            seen.append(dict(zip(*np.unique(y, return_counts=True), strict=True)))
            return super().fit(X, y)

    class Density(PCA):
        def fit(self, X, y=None):
            fits.append(len(X))
            return super().fit(X)

    classifier = make_pipeline(StandardScaler(), Recorder())
    result = train_on_synthetic_score(
        Density(), X, names, X, names, classifier=classifier, scoring="f1_macro", n_repeats=2, random_state=0
    )
    assert seen == 8 * [{"one": 59, "two": 71, "three": 48}]
    assert sorted(fits) == [48, 59, 71]
    assert (result.real == 1).all()
    assert (result.synthetic > 0.9).all()


def test_scores_follow_the_seed_and_leave_global_state_alone(narrow):
    before = process_state()
    first, second = (
        train_on_synthetic_score(GaussianMixture(random_state=0), *narrow, n_repeats=1, random_state=5) for _ in "ab"
    )
    assert first == second
    assert process_state() == before


def test_interpolated_rows_lie_between_neighbours():
    source = np.random.RandomState(0)
    rows = source.standard_normal((30, 2))
    neighbors = _neighbors(rows)
    assert neighbors.shape == (30, 5)
    assert (neighbors != np.arange(30)[:, None]).all()
    between = _interpolated(rows, neighbors, source)
    ends = np.array([(i, j) for i in range(30) for j in neighbors[i]])
    lengths = np.linalg.norm(rows[ends[:, 0]] - rows[ends[:, 1]], axis=1)
    detours = sum(np.linalg.norm(between[:, None] - rows[ends[:, side]], axis=2) for side in (0, 1)) - lengths
    np.testing.assert_allclose(detours.min(axis=1), 0, atol=1e-12)


def test_a_single_row_of_a_class_is_repeated():
    rows = np.array([[1.0, 2.0]])
    np.testing.assert_array_equal(_interpolated(rows, _neighbors(rows), np.random.RandomState(0)), rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": np.zeros(20)}, "y must have at least 2 classes"),
        ({"y": np.arange(19)}, "y must have one class for each of the 20 rows, got 19"),
        ({"y": np.linspace(0, 1, 20)}, "Unknown label type: continuous"),
        ({"X_test": np.ones((20, 3))}, "X has 2 features, but X_test has 3"),
        ({"n_repeats": 0}, "n_repeats must be an integer of at least 1, got 0"),
        (
            {"density": SklearnMixture(15)},
            r"density cannot be fitted to the 10 rows of class .*0.*: Expected n_samples",
        ),
    ],
)
def test_what_cannot_be_scored_is_refused_by_name(change, message):
    X = np.random.RandomState(0).standard_normal((20, 2))
    y = np.repeat([0, 1], 10)
    options = {"density": GaussianMixture(random_state=0), "X": X, "y": y, "X_test": X, "y_test": y} | change
    with pytest.raises(ValueError, match=message):
        train_on_synthetic_score(**options)


def test_what_cannot_draw_is_refused_by_name(narrow):
    with pytest.raises(TypeError, match="StandardScaler has no sample"):
        train_on_synthetic_score(StandardScaler(), *narrow)


@pytest.mark.parametrize(("n_train", "n_holdout"), [(20, 20), (30, 12)])
def test_p_values_of_memorization_are_uniform_for_rows_that_know_nothing(n_train, n_holdout):
    """Drawn rows are many, so that a binomial test, which takes them for independent trials, fails."""
    source = np.random.RandomState(0)
    pvalues, binomial = [], []
    for seed in range(500):
        real, generated = source.standard_normal((n_train + n_holdout, 2)), source.standard_normal((300, 2))
        result = memorization_test(real[:n_train], real[n_train:], generated, n_permutations=199, random_state=seed)
        pvalues.append(result.pvalue)
        n_closer = round(300 * result.share_closer_to_train)
        binomial.append(binomtest(n_closer, 300, result.expected_share, alternative="greater").pvalue)
    assert kstest(pvalues, "uniform").pvalue > 0.01
    assert np.mean(np.array(binomial) < 0.05) > 0.15


def test_a_narrow_kernel_density_is_found_to_copy_and_a_normal_distribution_is_not():
    X = np.random.RandomState(0).standard_normal((200, 4))
    train, holdout = X[:100], X[100:]
    copied = memorization_test(
        train, holdout, KernelDensity(bandwidth=0.02).fit(train).sample(100, random_state=0), random_state=0
    )
    assert copied.share_closer_to_train == 1
    assert copied.expected_share == 0.5
    assert copied.pvalue == 1 / 1001
    learnt = GaussianMixture(random_state=0).fit(train).sample(100)[0]
    assert memorization_test(train, holdout, learnt, random_state=0).pvalue > 0.05


def test_ties_count_in_equal_parts():
    result = memorization_test([[0.0], [5.0]], [[0.0], [2.0]], [[0.0]], random_state=0)
    assert result.share_closer_to_train == 0.5
    assert memorization_test([[0.0]], [[1.0]], [[0.0]], random_state=0).share_closer_to_train == 1


def test_distances_beyond_float64_are_refused():
    X = 1e200 * np.random.RandomState(0).standard_normal((20, 2))
    with pytest.raises(ValueError, match="The largest number in X_train, X_holdout and X_generated is"):
        memorization_test(X, X, X)


def test_a_model_given_classes_learns_them_at_once_and_draws_rare_ones(monkeypatch):
    X, y = load_iris(return_X_y=True)
    X, y = X[:110], y[:110]
    fits = []
    density = VariationalAutoencoder(conditional=True, hidden_layer_sizes=(32,), max_iter=200, random_state=0)
    fit = VariationalAutoencoder.fit
    monkeypatch.setattr(VariationalAutoencoder, "fit", lambda *args, **named: fits.append(1) or fit(*args, **named))
    classifier = LogisticRegression(max_iter=1000)
    result = train_on_synthetic_score(
        density, X[::2], y[::2], X[1::2], y[1::2], classifier=classifier, n_repeats=2, random_state=0
    )
    assert len(fits) == 1
    assert result.synthetic.min() > 0.85
