import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity as peer

from skgen.distributions.similarity import feature_distance, structural_similarity, window_size
from tests.parts import normal


def images(n, height, width, generator):
    return torch.empty(n, height, width, dtype=torch.float64).uniform_(generator=generator)


def settings(sigma):
    """What scikit-image calls the same window."""
    return {} if sigma is None else {"gaussian_weights": True, "sigma": sigma, "use_sample_covariance": False}


@pytest.mark.parametrize("sigma", [None, 0.8, 1.5])
@pytest.mark.parametrize("data_range", [1.0, 255.0])
@pytest.mark.parametrize("noise", [0.05, 1.0])
def test_similarity_is_scikit_image_s(sigma, data_range, noise, generator):
    x = images(3, 17, 23, generator)
    y = x + noise * normal(3, 17, 23, generator=generator)
    x, y = data_range * x, data_range * y
    expected = [peer(a, b, data_range=data_range, **settings(sigma)) for a, b in zip(x.numpy(), y.numpy(), strict=True)]
    values = structural_similarity(x, y, data_range=data_range, sigma=sigma)
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-10)


def test_single_precision_is_scikit_image_s_to_a_millionth(generator):
    x, y = images(2, 28, 28, generator)
    expected = peer(x.numpy(), y.numpy(), data_range=1.0, **settings(1.5))
    assert abs(float(structural_similarity(x.float(), y.float(), data_range=1.0)) - expected) < 1e-6


def test_equal_images_are_the_most_similar_and_the_order_does_not_matter(generator):
    x, y = images(5, 12, 12, generator), images(5, 12, 12, generator)
    equal, one_way = structural_similarity(x, x, data_range=1.0), structural_similarity(x, y, data_range=1.0)
    torch.testing.assert_close(equal, torch.ones(5, dtype=torch.float64), rtol=0, atol=1e-12)
    assert (one_way < 0.5).all()
    torch.testing.assert_close(structural_similarity(y, x, data_range=1.0), one_way)
    flat = torch.zeros(1, 12, 12)
    assert structural_similarity(flat, flat, data_range=1.0) == 1


def test_leading_axes_are_kept(generator):
    x = images(6, 11, 13, generator).view(2, 3, 11, 13)
    y = images(6, 11, 13, generator).view(2, 3, 11, 13)
    values = structural_similarity(x, y, data_range=1.0)
    assert values.shape == (2, 3)
    torch.testing.assert_close(values[1, 2], structural_similarity(x[1, 2], y[1, 2], data_range=1.0))


@pytest.mark.parametrize("sigma", [None, 0.8])
def test_similarity_has_gradients(sigma, generator):
    x, y = images(2, 8, 9, generator).requires_grad_(), images(2, 8, 9, generator).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: structural_similarity(x, y, data_range=1.0, sigma=sigma), (x, y))


def test_similarity_serves_as_a_loss(generator):
    target = images(1, 12, 12, generator)
    x = torch.full_like(target, 0.5).requires_grad_()
    optimizer = torch.optim.Adam([x], lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        (-structural_similarity(x, target, data_range=1.0).sum()).backward()
        optimizer.step()
    assert float(structural_similarity(x.detach(), target, data_range=1.0)) > 0.95


def test_windows_are_as_wide_as_scikit_image_s():
    assert [window_size(sigma) for sigma in (None, 0.8, 1.5, 3.0)] == [7, 7, 11, 23]


def test_feature_distance_is_its_definition(generator):
    layers = [normal(2, 4, 3, 5, 5, generator=generator), normal(2, 4, 7, generator=generator)]
    expected = []
    for row in range(4):
        total = 0.0
        for x, y in layers:
            a, b = x[row].numpy().reshape(len(x[row]), -1), y[row].numpy().reshape(len(y[row]), -1)
            gap = a / np.linalg.norm(a, axis=0) - b / np.linalg.norm(b, axis=0)
            total += (gap**2).sum(axis=0).mean()
        expected.append(total)
    np.testing.assert_allclose(feature_distance(*zip(*layers, strict=True)), expected, rtol=1e-12)


def test_feature_distance_sees_directions_only(generator):
    x, y = normal(2, 4, 3, 5, generator=generator)
    torch.testing.assert_close(feature_distance([5 * x], [0.1 * y]), feature_distance([x], [y]))
    assert (feature_distance([x], [x]) == 0).all()
    torch.testing.assert_close(feature_distance([x], [-x]), torch.full((4,), 4.0, dtype=torch.float64))


def test_feature_distance_has_gradients_even_at_zero(generator):
    x, y = normal(2, 3, 2, 4, generator=generator)
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: feature_distance([x], [y]), (x,))
    zero = torch.zeros(2, 3, 4, requires_grad=True)
    feature_distance([zero], [zero.detach()]).sum().backward()
    assert zero.grad.isfinite().all()


def test_the_distance_of_directions_does_not_depend_on_their_lengths(generator):
    x, y = (torch.randn(5, 4, generator=generator) for _ in range(2))
    expected = feature_distance([x], [y])
    for factor in (1e-5, 1e25):
        torch.testing.assert_close(feature_distance([factor * x], [factor * y]), expected, rtol=1e-5, atol=0)
