import numpy as np
import pytest
from scipy.linalg import sqrtm

from skgen.estimators import _arrays
from skgen.metrics.fidelity import frechet_distance, kernel_distance, precision_recall_density_coverage


def by_brute_force(real, generated, k):
    """The four numbers from complete tables of distances, as their papers define them."""

    def table(A, B):
        return np.linalg.norm(A[:, None] - B[None], axis=-1)

    def radii(A):
        return np.sort(table(A, A), axis=1)[:, k]

    between = table(real, generated)
    inside = between <= radii(real)[:, None]
    return {
        "precision": np.mean([inside[:, j].any() for j in range(len(generated))]),
        "recall": np.mean([(between[i] <= radii(generated)).any() for i in range(len(real))]),
        "density": inside.sum() / (k * len(generated)),
        "coverage": np.mean([between[i].min() <= radii(real)[i] for i in range(len(real))]),
    }


def closed_form(mean, covariance, other_mean, other_covariance):
    root = sqrtm(covariance)
    cross = sqrtm(root @ other_covariance @ root).real
    return ((mean - other_mean) ** 2).sum() + np.trace(covariance + other_covariance - 2 * cross)


@pytest.fixture(params=[None, 5000], ids=["whole", "blocks"])
def _tiles(request, monkeypatch):
    if request.param:
        monkeypatch.setattr(_arrays, "TILE_BYTES", request.param)


@pytest.mark.parametrize(("n_real", "n_generated", "k"), [(60, 60, 5), (80, 35, 3), (25, 70, 1)])
@pytest.mark.usefixtures("_tiles")
def test_the_four_numbers_are_those_of_brute_force(n_real, n_generated, k):
    source = np.random.RandomState(n_real)
    real, generated = source.standard_normal((n_real, 4)), 0.8 * source.standard_normal((n_generated, 4)) + 0.3
    result = precision_recall_density_coverage(real, generated, n_neighbors=k)
    expected = by_brute_force(real, generated, k)
    assert set(result) == set(expected)
    for name, value in expected.items():
        assert abs(result[name] - value) < 1e-12


@pytest.mark.usefixtures("_tiles")
def test_copies_of_discrete_rows_are_perfect():
    rows = np.random.RandomState(0).randint(2, size=(60, 3)).astype(float)
    result = precision_recall_density_coverage(rows, rows[::-1])
    assert (result.precision, result.recall, result.coverage) == (1, 1, 1)
    assert result.density >= 1


def test_samples_far_apart_have_nothing_in_common():
    X, Y = np.random.RandomState(0).standard_normal((2, 50, 2))
    assert dict(precision_recall_density_coverage(X, Y + 100)) == dict.fromkeys(
        ("precision", "recall", "density", "coverage"), 0.0
    )


def test_a_lost_mode_costs_recall_and_coverage_and_no_precision():
    X, Y = np.random.RandomState(0).standard_normal((2, 200, 2))
    X[:100] += 20
    result = precision_recall_density_coverage(X, Y)
    assert result.precision > 0.9
    assert result.recall < 0.55
    assert result.coverage < 0.55


def test_density_of_equal_distributions_is_one_in_the_mean():
    source = np.random.RandomState(0)
    densities = [
        precision_recall_density_coverage(*source.standard_normal((2, 40, 2)), n_neighbors=3).density
        for _ in range(200)
    ]
    assert abs(np.mean(densities) - 1) < 5 * np.std(densities, ddof=1) / np.sqrt(200)


@pytest.mark.usefixtures("_tiles")
def test_the_frechet_distance_is_its_closed_form():
    source = np.random.RandomState(0)
    X = source.standard_normal((90, 6)) @ source.standard_normal((6, 6)) + 100
    Y = source.standard_normal((70, 6)) @ source.standard_normal((6, 6)) + 101
    expected = closed_form(X.mean(axis=0), np.cov(X.T), Y.mean(axis=0), np.cov(Y.T))
    np.testing.assert_allclose(frechet_distance(X, Y), expected, rtol=1e-9)


def test_the_frechet_distance_of_commuting_covariances_is_that_of_their_scales():
    source = np.random.RandomState(0)
    X = source.standard_normal((50, 3))
    X = X - X.mean(axis=0)
    X = X @ np.linalg.inv(np.linalg.cholesky(np.cov(X.T)).T)  # covariance I
    scales = np.array([1.0, 2.0, 0.5])
    np.testing.assert_allclose(frechet_distance(X, X * scales + 1), ((scales - 1) ** 2).sum() + 3, rtol=1e-12)


def test_the_frechet_distance_needs_no_more_rows_than_features():
    """Where a matrix root of a singular product loses half of the digits."""
    source = np.random.RandomState(0)
    X = source.standard_normal((10, 40))
    assert frechet_distance(X, X[::-1]) < 1e-12
    np.testing.assert_allclose(frechet_distance(X, X + 2), 4 * 40, rtol=1e-12)
    turned = X @ np.linalg.qr(source.standard_normal((40, 40)))[0]
    assert frechet_distance(X, turned) > 1


@pytest.mark.usefixtures("_tiles")
def test_the_kernel_distance_is_its_definition():
    source = np.random.RandomState(0)
    X, Y = source.standard_normal((30, 5)), source.standard_normal((20, 5)) + 1

    def kernel(A, B):
        return (A @ B.T / 5 + 1) ** 3

    own, other = kernel(X, X), kernel(Y, Y)
    expected = (own.sum() - np.trace(own)) / (30 * 29) + (other.sum() - np.trace(other)) / (20 * 19)
    np.testing.assert_allclose(kernel_distance(X, Y), expected - 2 * kernel(X, Y).mean(), rtol=1e-10)


@pytest.mark.parametrize("metric", [frechet_distance, kernel_distance, precision_recall_density_coverage])
@pytest.mark.usefixtures("_tiles")
def test_a_feature_map_is_applied_to_both_samples(metric):
    X, Y = np.random.RandomState(0).standard_normal((2, 60, 4))

    def feature_map(rows):
        return np.tanh(rows[:, :2])

    mapped, direct = metric(X, Y, feature_map=feature_map), metric(feature_map(X), feature_map(Y))
    if not isinstance(mapped, dict):
        mapped, direct = {"value": mapped}, {"value": direct}
    for name, value in direct.items():
        np.testing.assert_allclose(mapped[name], value, rtol=1e-9)


def test_too_few_rows_for_the_neighbours_are_refused():
    with pytest.raises(ValueError, match="X_generated must have at least 6 rows here, got n_samples = 5"):
        precision_recall_density_coverage(np.eye(8), np.eye(8)[:5])
    with pytest.raises(ValueError, match="n_neighbors must be an integer of at least 1, got 0"):
        precision_recall_density_coverage(np.eye(8), np.eye(8), n_neighbors=0)


@pytest.mark.parametrize("metric", [precision_recall_density_coverage, frechet_distance, kernel_distance])
def test_features_of_different_numbers_or_beyond_squares_are_refused(metric):
    X, Y = np.random.RandomState(0).standard_normal((2, 20, 3))
    with pytest.raises(ValueError, match="feature_map gives 3 features of X_real, but 2 of X_generated"):
        metric(X, Y[:10], feature_map=lambda rows: rows[:, : 3 if len(rows) == 20 else 2])
    with pytest.raises(ValueError, match="The largest number in X_generated is"):
        metric(X, 1e200 * Y)
