"""Tests of skgen.networks.random_features."""

import torch

from skgen.distributions.mean_discrepancy import scales_kernel
from skgen.networks.random_features import FEATURES_PER_SCALE, RandomFeatureMLP
from tests.parts import normal


def test_features_have_the_products_of_a_kernel_of_several_scales(generator):
    # E[2 cos(w . x + b) cos(w . y + b)] over phases b is cos(w . (x - y)), and over w the kernel of a scale.
    scales = torch.tensor([0.3, 1.0, 4.0], dtype=torch.float64)
    x = normal(5, 2, generator=generator)
    exact = scales_kernel(x, x, tuple(scales.tolist()))
    network, estimates = RandomFeatureMLP(2, (4,), 1, len(scales)).double(), []
    for _ in range(400):
        network.draw_features(scales, generator)
        features = torch.cos(x @ network.frequencies + network.phases)
        estimates.append(2 * features @ features.mT / features.shape[1])
    found = torch.stack(estimates)
    error = found.std(0) / len(found) ** 0.5
    assert ((found.mean(0) - exact).abs() < 5 * error).all()


def test_each_scale_has_as_many_features_and_its_frequencies_grow_as_it_shrinks(generator):
    network = RandomFeatureMLP(3, (4,), 1, 2).double()
    network.reset(generator)
    assert network.frequencies.shape == (3, 2 * FEATURES_PER_SCALE)
    seeds = (torch.Generator().manual_seed(1) for _ in range(2))
    network.draw_features(torch.tensor([1.0, 2.0]), next(seeds))
    wide = network.frequencies.clone()
    network.draw_features(torch.tensor([0.5, 1.0]), next(seeds))
    torch.testing.assert_close(network.frequencies, 2 * wide)
