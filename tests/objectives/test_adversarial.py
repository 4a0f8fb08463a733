"""Tests of skgen.objectives.adversarial."""

import pytest
import torch
from torch.nn import functional as F

from skgen.objectives.adversarial import GAMES
from tests.parts import normal

every = pytest.mark.parametrize("name", GAMES)


@every
def test_losses_are_one_per_row_and_each_row_has_its_own(name, generator):
    game, scores = GAMES[name](), 3 * normal(7, generator=generator)
    for loss in (game.real, game.drawn, game.generator):
        assert loss(scores).shape == (7,)
        torch.testing.assert_close(loss(scores)[2:3], loss(scores[2:3]))


@every
def test_a_critic_gains_by_the_truth_and_a_generator_by_deceiving_it(name):
    """Between the scores at which a game says that a row is real, and that it is drawn."""
    game, scores = GAMES[name](), torch.linspace(0, 1, 50, dtype=torch.float64)
    assert (game.real(scores).diff() < 0).all()
    assert (game.drawn(scores).diff() > 0).all()
    assert (game.generator(scores).diff() < 0).all()


def test_the_best_classifier_is_the_log_ratio_of_densities_and_its_loss_the_jensen_shannon_divergence():
    p, q = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), torch.tensor([0.1, 0.3, 0.6], dtype=torch.float64)
    game = GAMES["nonsaturating"]()

    def loss(scores):
        return p @ game.real(scores) + q @ game.drawn(scores)

    best = torch.log(p / q)
    middle = (p + q) / 2
    divergence = 0.5 * (p @ torch.log(p / middle) + q @ torch.log(q / middle))
    torch.testing.assert_close(loss(best), 2 * torch.log(torch.tensor(2.0, dtype=torch.float64)) - 2 * divergence)
    for shift in 0.1 * torch.eye(3, dtype=torch.float64):
        assert loss(best + shift) > loss(best)
        assert loss(best - shift) > loss(best)


def test_the_best_regression_on_targets_is_the_share_of_real_rows():
    game = GAMES["least-squares"]()
    scores = torch.linspace(-1, 2, 301, dtype=torch.float64)
    assert float(scores[(0.3 * game.real(scores) + 0.7 * game.drawn(scores)).argmin()]) == pytest.approx(0.3)


@pytest.mark.parametrize("name", [name for name, game in GAMES.items() if game.norm == 0])
def test_the_penalty_is_the_squared_norm_of_the_gradient(name, generator):
    gradient = normal(5, 3, generator=generator)
    torch.testing.assert_close(GAMES[name]().penalty(gradient), gradient.square().sum(1))


def test_the_wasserstein_penalty_is_nothing_at_slope_one_and_has_a_gradient_at_slope_zero(generator):
    game, gradient = GAMES["wasserstein-gp"](), F.normalize(normal(5, 3, generator=generator), dim=1)
    torch.testing.assert_close(game.penalty(gradient), torch.zeros(5, dtype=torch.float64))
    torch.testing.assert_close(game.penalty(3 * gradient), torch.full((5,), 4.0, dtype=torch.float64))
    flat = torch.zeros(2, 3, requires_grad=True)
    game.penalty(flat).sum().backward()
    assert torch.isfinite(flat.grad).all()
