import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity as peer
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgen import ProbabilisticPCA
from skgen.estimators import _arrays
from skgen.metrics.reconstruction import mean_squared_reconstruction, perceptual_distance, structural_similarity
from tests.oracles import process_state


@pytest.fixture
def images():
    """Pairs of images with three channels."""
    source = np.random.RandomState(0)
    X = source.uniform(size=(6, 16 * 12 * 3))
    return X, X + 0.1 * source.standard_normal(X.shape)


@pytest.fixture
def _small_tiles(monkeypatch):
    monkeypatch.setattr(_arrays, "TILE_BYTES", 2**18)


@pytest.mark.parametrize("estimator", [PCA(2), make_pipeline(StandardScaler(), PCA(2)), ProbabilisticPCA(2)])
def test_the_error_is_that_of_the_round_trip(estimator):
    source = np.random.RandomState(0)
    X = source.standard_normal((40, 5)) @ source.standard_normal((5, 5))
    estimator.fit(X)
    expected = ((estimator.inverse_transform(estimator.transform(X)) - X) ** 2).mean()
    np.testing.assert_allclose(mean_squared_reconstruction(estimator, X), expected)


def test_what_does_not_reconstruct_is_refused_by_name():
    X = np.random.RandomState(0).standard_normal((10, 2))
    with pytest.raises(TypeError, match=r"KMeans has no inverse_transform\. Estimators that reconstruct rows"):
        mean_squared_reconstruction(KMeans(2, random_state=0).fit(X), X)


@pytest.mark.parametrize("sigma", [None, 1.5])
@pytest.mark.usefixtures("_small_tiles")
def test_similarity_of_rows_is_scikit_image_s(images, sigma):
    options = {} if sigma is None else {"gaussian_weights": True, "sigma": sigma, "use_sample_covariance": False}
    pairs = zip(*(rows.reshape(-1, 3, 16, 12) for rows in images), strict=True)
    expected = np.mean([peer(x, y, data_range=1.0, channel_axis=0, **options) for x, y in pairs])
    value = structural_similarity(*images, image_shape=(3, 16, 12), data_range=1, sigma=sigma)
    assert abs(value - expected) < 1e-10


def test_grey_images_have_one_channel(images):
    X, Y = images
    flat = structural_similarity(X, Y, image_shape=(16, 36), data_range=1.0)
    assert flat == structural_similarity(X, Y, image_shape=(1, 16, 36), data_range=1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_shape": (8, 8)}, r"image_shape=\(8, 8\) has 64 numbers, but a row has 576 columns"),
        ({"image_shape": None}, r"image_shape must be \(height, width\) or"),
        ({"image_shape": 576}, r"image_shape must be \(height, width\) or"),
        ({"image_shape": (16.0, 36)}, r"image_shape must be .*, whole numbers, got \(16\.0, 36\)"),
        ({"image_shape": (8, 72)}, r"sigma=1\.5 needs images of at least 11 x 11 pixels, got image_shape=\(8, 72\)"),
        ({"data_range": 1e200}, "The largest number in data_range is 1e"),
        ({"data_range": 0.5}, r"data_range=0\.5 is less than the range of the numbers in X and in Y"),
        ({"data_range": 0}, "data_range must be a number > 0"),
        ({"sigma": -1}, "sigma, if not None, must be a number > 0"),
    ],
)
def test_a_parameter_out_of_range_is_refused_by_name(images, options, message):
    with pytest.raises(ValueError, match=message):
        structural_similarity(*images, **{"image_shape": (16, 36), "data_range": 1.0} | options)


def test_images_are_compared_in_pairs(images):
    with pytest.raises(ValueError, match="same number of rows, which are compared in pairs, got 6, 5"):
        structural_similarity(images[0], images[1][:5], image_shape=(16, 36), data_range=1.0)


@pytest.mark.usefixtures("_small_tiles")
def test_perceptual_distance_is_that_of_the_network_s_features(images, generator):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()).eval()
    seen = []

    def layers(x):
        seen.append(x.shape)
        return [x, network(x.float())]

    value = perceptual_distance(*images, network=layers, image_shape=(3, 16, 12))
    assert {tuple(shape[1:]) for shape in seen} == {(3, 16, 12)}
    expected = 0.0
    maps = [torch.tensor(rows.reshape(-1, 3, 16, 12)) for rows in images]
    with torch.no_grad():
        for features in ((m for m in maps), (network(m.float()) for m in maps)):
            x, y = (torch.nn.functional.normalize(f, dim=1, eps=1e-10) for f in features)
            expected += float((x - y).square().sum(1).mean())
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_a_module_is_given_its_own_dtype_and_left_as_it_was(images):
    network = torch.nn.Linear(576, 5).eval()
    before, weight = process_state(), network.weight.detach().clone()
    assert perceptual_distance(*images, network=network) > 0
    assert perceptual_distance(images[0], images[0], network=network) == 0
    assert torch.equal(network.weight, weight)
    assert network.weight.grad is None
    assert process_state() == before


def test_a_network_that_would_draw_noise_or_loses_rows_is_refused(images):
    with pytest.raises(ValueError, match=r"network is in training mode.*network\.eval\(\)"):
        perceptual_distance(*images, network=torch.nn.Dropout())
    with pytest.raises(ValueError, match=r"one entry for each of the 6 rows, got the shape \(\)"):
        perceptual_distance(*images, network=torch.sum)


def test_an_origin_far_away_costs_similarity_no_digits(images):
    """Where both means are far above the range the quotient of means is 1, at any distance."""
    near, far = (
        structural_similarity(*(rows + origin for rows in images), image_shape=(16, 36), data_range=1.0)
        for origin in (1e4, 1e6)
    )
    np.testing.assert_allclose(near, far, atol=1e-7)


@pytest.mark.parametrize("rebuilt", [np.zeros((10, 1)), np.full((10, 2), np.nan)])
def test_rows_that_do_not_come_back_have_no_error(rebuilt):
    class Lossy:
        def transform(self, X):
            return X

        def inverse_transform(self, X):
            return rebuilt

    with pytest.raises(ValueError, match=r"Lossy\.inverse_transform gives an array|The mean squared error is nan"):
        mean_squared_reconstruction(Lossy(), np.ones((10, 2)))


def test_a_network_without_numbers_gives_no_distance(images):
    with pytest.raises(ValueError, match="The distance is nan"):
        perceptual_distance(*images, network=lambda x: x * torch.nan)
    with pytest.raises(ValueError, match="got an empty list"):
        perceptual_distance(*images, network=lambda x: [])
