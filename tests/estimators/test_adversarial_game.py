"""The game of a critic and a generator: gradients of its parts, and the steps in which they take turns."""

import numpy as np
import pytest
import torch

from skgen.distributions.mean_discrepancy import mean_discrepancy
from skgen.estimators import _adversarial, _arrays
from skgen.estimators._adversarial import AdversarialLoss, Drawing, Mixed
from skgen.estimators._adversarial_score import kernel_of
from skgen.models.adversarial import AdversarialModel
from skgen.networks import MLP
from skgen.objectives.adversarial import GAMES
from skgen.training.batches import Batch
from skgen.training.flat import FlatParameters
from tests.parts import normal

BANDWIDTHS = np.array([0.1, 1.0])


def game(name, generator, *, n_drawn=None, penalty_weight=0.3, discrepancy_weight=0.0):
    """The loss of a game on four columns, and the flat parameters of its model."""
    critic, generators = MLP(4, (6,), 1, "tanh"), [MLP(4, (5,), 4, "tanh") for _ in range(2)]
    model = AdversarialModel(critic, *generators, MLP(4, (3,), 2), jumps=True).double()
    model.reset(generator)
    parameters = FlatParameters(model)
    drawing = Drawing(2, None, model.scale)
    weights = {"penalty_weight": penalty_weight, "discrepancy_weight": discrepancy_weight}
    return AdversarialLoss(model, GAMES[name](), drawing, BANDWIDTHS, **weights, n_drawn=n_drawn), parameters


def gradient_of(part, parameters, batch):
    parameters.gradient.zero_()
    with torch.no_grad():
        terms, value = part(batch, torch.Generator().manual_seed(3))
    return {name: float(each) for name, each in terms().items()}, float(value()), parameters.gradient.clone()


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("part", ["critic", "generator", "encoder"])
@pytest.mark.parametrize("n_drawn", [None, 7])
def test_each_part_adds_the_gradient_of_its_loss_to_its_own_network(name, part, n_drawn, generator):
    loss, parameters = game(name, generator, n_drawn=n_drawn)
    own = parameters.marks(getattr(loss.model, part))
    batch = Batch(normal(5, 4, generator=generator), torch.rand(5, dtype=torch.float64, generator=generator) + 0.5)
    gradient = gradient_of(getattr(loss, part), parameters, batch)[2]
    assert (gradient[~own] == 0).all()

    def value():
        terms = gradient_of(getattr(loss, part), parameters, batch)[0]
        return terms[part] + loss.penalty_weight * terms.get("gradient_penalty", 0.0)

    direction = normal(len(gradient), generator=generator) * own
    step = 1e-5
    parameters.value.add_(step * direction)
    high = value()
    parameters.value.sub_(2 * step * direction)
    low = value()
    # Central differences of numbers near 1 are good to about 1e-10.
    assert float(gradient @ direction) == pytest.approx((high - low) / (2 * step), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("name", GAMES)
def test_the_weight_of_a_row_in_a_single_batch_is_its_repetition(name, generator):
    loss, parameters = game(name, generator, n_drawn=7)
    x, times = normal(5, 4, generator=generator), torch.tensor([1, 3, 0, 2, 1])
    weight = times / times.double().mean()
    weighted = gradient_of(loss.critic, parameters, Batch(x, weight))
    repeated = gradient_of(loss.critic, parameters, Batch(x.repeat_interleave(times, 0), None))
    assert weighted[0] == pytest.approx(repeated[0])
    torch.testing.assert_close(weighted[2], repeated[2])


def test_the_discrepancy_adds_its_own_gradient_to_the_generator_s(generator):
    loss, parameters = game("hinge", generator, discrepancy_weight=2.0)
    batch = Batch(normal(6, 4, generator=generator), None)
    both = gradient_of(loss.generator, parameters, batch)[2]
    loss.discrepancy_weight = 0.0
    game_s_own = gradient_of(loss.generator, parameters, batch)[2]
    parameters.gradient.zero_()
    source = torch.Generator().manual_seed(3)
    drawn = loss._drawn(loss.model.generator, *loss.drawing.for_batch(batch, None, source))
    weights = list(loss.model.generator.parameters())
    value = 2 * mean_discrepancy(batch.x, drawn, kernel_of(BANDWIDTHS))
    for weight, gradient in zip(weights, torch.autograd.grad(value, weights), strict=True):
        weight.grad.add_(gradient)
    torch.testing.assert_close(both - game_s_own, parameters.gradient)


def test_slopes_along_random_directions_have_the_squared_norm_of_the_gradient_for_their_mean(generator):
    loss, _ = game("nonsaturating", generator, n_drawn=1)
    x = normal(1, 4, generator=generator).requires_grad_()
    (gradient,) = torch.autograd.grad(loss.model.critic(x).sum(), x)
    source, values = torch.Generator().manual_seed(1), []
    mixed = Mixed(x.detach(), None, torch.ones(1, dtype=torch.float64), 1)
    with torch.no_grad():
        for _ in range(3000):
            values.append(loss._judged_with_slopes(mixed, source)[1]())
    values = torch.stack(values)
    # The differences reach over a step of 0.01, which moves the mean by less than its standard error.
    assert abs(float(values.mean() - gradient.square().sum())) < 4 * float(values.std()) / len(values) ** 0.5


def test_the_discrepancy_s_gradient_is_right_in_the_mean_over_batches_whatever_their_weight(generator):
    loss, _ = game("hinge", generator, discrepancy_weight=2.0)
    x, drawn = normal(6, 4, generator=generator), normal(5, 4, generator=generator)
    weight = torch.tensor([2.0, 3.0, 1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    whole = Batch(x, weight)
    parts = [loss._to_nearer(part, drawn, None) for _, part in whole.tiles(3)]
    torch.testing.assert_close(sum(parts) / 2, loss._to_nearer(whole, drawn, None))


def test_of_large_batches_as_many_rows_are_compared_as_memory_holds_pairs(generator, monkeypatch):
    loss, _ = game("hinge", generator, discrepancy_weight=2.0)
    x, drawn = normal(8, 4, generator=generator), normal(8, 4, generator=generator)
    few = loss._to_nearer(Batch(x[:3], None), drawn[:3], None)
    monkeypatch.setattr(_adversarial, "MOST_COMPARED", 3)
    to_drawn = normal(8, 4, generator=generator)
    torch.testing.assert_close(loss._to_nearer(Batch(x, None), drawn[:3], None), few)
    torch.testing.assert_close(
        loss._with_nearness(to_drawn, Batch(x, None), drawn, None), torch.cat([to_drawn[:3] + few, to_drawn[3:]])
    )


def test_rows_drawn_in_tiles_are_those_of_one_pass(generator, monkeypatch):
    loss, _ = game("hinge", generator)
    drawing = Drawing(2, None, loss.model.scale)
    with torch.no_grad():
        whole = drawing.rows(loss.model, 9, torch.Generator().manual_seed(1))[0]
        monkeypatch.setattr(_arrays, "TILE_BYTES", 1)
        torch.testing.assert_close(drawing.rows(loss.model, 9, torch.Generator().manual_seed(1))[0], whole)
