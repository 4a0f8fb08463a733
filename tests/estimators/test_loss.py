"""The noise of a run and the gradient of its loss."""

import numpy as np
import pytest
import torch

from skgen.estimators._loss import training_noise
from skgen.estimators._networks import NetworkEstimator
from tests.estimators.configurations import configured, rows
from tests.oracles import central_differences

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

LIKE = torch.zeros(1, dtype=torch.float64)


def noise(generator, n_draws=1, *, line_search=False, shared=False, any_draws=True):
    return training_noise(n_draws, 3, LIKE, generator, line_search=line_search, shared=shared, any_draws=any_draws)


@pytest.mark.parametrize("n_draws", [1, 6, 7, 40])
def test_the_noise_of_a_line_search_is_one_block_with_exact_moments(n_draws, generator):
    draw, n = noise(generator, n_draws, line_search=True)
    block = draw(5, generator)
    assert block.shape == (n, 1, 3)
    assert n >= n_draws
    assert n >= 6
    assert draw(9, generator) is block
    torch.testing.assert_close(block.mean((0, 1)), torch.zeros(3).double(), rtol=0, atol=1e-14)
    torch.testing.assert_close(block[:, 0].T @ block[:, 0] / n, torch.eye(3).double(), rtol=0, atol=1e-14)


def test_a_line_search_does_not_change_the_number_of_draws_of_a_bound_that_depends_on_it(generator):
    assert noise(generator, 8, line_search=True, any_draws=False)[1] == 8
    for n_draws in (4, 7):
        with pytest.raises(ValueError, match=f"an even n_draws >= 6, got {n_draws}"):
            noise(generator, n_draws, line_search=True, any_draws=False)


def test_rows_of_a_single_batch_share_noise_with_mean_zero(generator):
    draw, n = noise(generator, 9, shared=True)
    block = draw(5, generator)
    assert block.shape == (n, 1, 3)
    assert n >= 9
    torch.testing.assert_close(block.sum(0), torch.zeros(1, 3).double(), rtol=0, atol=1e-14)
    assert (draw(5, generator) != block).all()
    assert noise(generator, 9, shared=True, any_draws=False)[0](5, generator).shape == (9, 1, 3)


def test_rows_of_minibatches_have_their_own_noise(generator):
    draw, n = noise(generator, 2)
    assert n == 2
    assert draw(5, generator).unique().numel() == 2 * 5 * 3


@pytest.mark.parametrize("tile_bytes", [2**12, 2**30])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["vae-linear-lbfgs", "autoencoder-lbfgs"])
def test_the_gradient_is_that_of_the_loss_also_in_tiles(name, weighted, tile_bytes, monkeypatch):
    monkeypatch.setattr("skgen.estimators._arrays.TILE_BYTES", tile_bytes)
    errors = []
    start = NetworkEstimator._start

    def spy(self, *arguments, **options):
        run = start(self, *arguments, **options)
        value, gradient = run.parameters.value, run.parameters.gradient
        batch = next(iter(run.batches.epoch(run.order, run.generator)))

        def loss():
            gradient.zero_()
            with torch.no_grad():
                return run.loss(batch, run.generator)[1]()

        directions = torch.eye(len(value), dtype=value.dtype)[value != 0]
        expected = central_differences(loss, value, directions)
        loss()
        errors.append(float((directions @ gradient - expected).abs().max() / expected.abs().max()))
        return run

    monkeypatch.setattr(NetworkEstimator, "_start", spy)
    weight = np.linspace(0.5, 2, 40) if weighted else None
    configured(name, max_iter=1).fit(rows(), sample_weight=weight)
    # Central differences with step 1e-6 err by some 1e-9.
    assert errors[0] < 1e-7
