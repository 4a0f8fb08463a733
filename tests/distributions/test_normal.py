import math

import pytest
import torch

from skgen.distributions.normal import (
    antithetic_normal,
    kl_to_standard_normal,
    normal_log_prob,
    positive_scale,
    sobol_normal,
    sobol_uniform,
    standard_normal_log_prob,
)
from tests.oracles import process_state
from tests.parts import normal


def test_log_densities_are_torch_s(generator):
    x, mean, log_scale = normal(3, 5, 4, generator=generator)
    expected = torch.distributions.Normal(mean, log_scale.exp()).log_prob(x).sum(-1)
    torch.testing.assert_close(normal_log_prob(x, mean, log_scale), expected)
    zero = torch.zeros_like(x)
    torch.testing.assert_close(standard_normal_log_prob(x), normal_log_prob(x, zero, zero))


def test_kl_is_torch_s(generator):
    mean, log_scale = normal(2, 5, 4, generator=generator)
    standard = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    expected = torch.distributions.kl_divergence(torch.distributions.Normal(mean, log_scale.exp()), standard)
    torch.testing.assert_close(kl_to_standard_normal(mean, log_scale), expected)
    assert kl_to_standard_normal(torch.zeros(1), torch.zeros(1)) == 0


def test_a_sobol_block_integrates_better_than_independent_draws():
    block = sobol_normal(1024, 3, seed=0)
    assert block.dtype == torch.float64
    assert block.shape == (1024, 3)
    # Independent draws have standard errors of 1 / 32 and sqrt(2) / 32.
    assert block.mean(0).abs().max() < 0.1 / 32
    assert (block.square().mean(0) - 1).abs().max() < 0.5 * math.sqrt(2) / 32


def test_a_sobol_block_may_have_more_features_than_a_sequence():
    block = sobol_uniform(16, 21205, seed=0)
    # Sixteen points of a sequence lie in sixteen equal parts of each axis.
    assert torch.equal((16 * block).floor().long().sort(0).values, torch.arange(16).unsqueeze(1).expand(-1, 21205))
    assert not torch.equal(block[:, :4], block[:, 21201:])


def test_a_sobol_block_is_standard_normal_over_seeds_and_follows_its_seed():
    first = torch.stack([sobol_normal(1, 2, seed)[0] for seed in range(400)])
    assert (first.mean(0).abs() < 5 / 20).all()
    assert ((first.square().mean(0) - 1).abs() < 5 * math.sqrt(2) / 20).all()
    assert torch.equal(sobol_normal(8, 2, 3), sobol_normal(8, 2, 3))
    assert not torch.equal(sobol_normal(8, 2, 3), sobol_normal(8, 2, 4))
    assert sobol_normal(2**12, 2, 0).isfinite().all()


@pytest.mark.parametrize(("n_draws", "n_features"), [(2, 1), (8, 4), (30, 4)])
def test_an_antithetic_block_has_the_moments_of_the_standard_normal_exactly(n_draws, n_features, generator):
    block = antithetic_normal(n_draws, n_features, generator)
    assert block.dtype == torch.float64
    assert torch.equal(block[: n_draws // 2], -block[n_draws // 2 :])
    torch.testing.assert_close(
        block.T @ block / n_draws, torch.eye(n_features, dtype=torch.float64), rtol=0, atol=1e-13
    )


@pytest.mark.parametrize(("n_draws", "n_features"), [(3, 1), (6, 4)])
def test_an_antithetic_block_that_cannot_have_them_is_refused(n_draws, n_features, generator):
    with pytest.raises(ValueError, match=rf"n_draws must be even and at least {2 * n_features}, got {n_draws}"):
        antithetic_normal(n_draws, n_features, generator)


def test_global_state_is_untouched(generator):
    before = process_state()
    sobol_normal(8, 2, 0)
    antithetic_normal(8, 2, generator)
    assert process_state() == before


def test_constant_columns_have_scale_one():
    assert positive_scale(torch.tensor([0.0, 2.0])).tolist() == [1.0, 2.0]
