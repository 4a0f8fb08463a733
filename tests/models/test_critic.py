import math

import pytest
import torch

from skgen._trace import autograd_trace
from skgen.models.critic import ConcatCritic, SeparableCritic, StandardizedCritic
from skgen.objectives.mutual_information import infonce
from skgen.training.flat import FlatParameters
from skgen.training.optimizers import SOLVERS
from tests.oracles import process_state
from tests.parts import normal

LOG_2 = math.log(2)
CRITICS = [ConcatCritic, SeparableCritic]


def critic_from(kind, generator, n_x=3, n_z=2):
    critic = kind(n_x, n_z, (16,)).double()
    critic.reset(generator)
    return critic


@pytest.mark.parametrize("kind", CRITICS)
def test_a_matrix_holds_the_scores_of_all_pairs(kind, generator):
    critic = critic_from(kind, generator)
    x, z = normal(4, 3, generator=generator), normal(5, 2, generator=generator)
    matrix = critic.matrix(x, z)
    assert matrix.shape == (4, 5)
    for i in range(5):
        torch.testing.assert_close(matrix[:, i], critic(x, z[i].expand(4, -1)))


@pytest.mark.parametrize("kind", CRITICS)
def test_initial_weights_come_from_the_generator_alone(kind, generator):
    before = process_state()
    state = generator.get_state()
    first = critic_from(kind, generator)
    generator.set_state(state)
    second = critic_from(kind, generator)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    assert process_state() == before


@pytest.mark.parametrize("kind", CRITICS)
def test_a_critic_learns_the_information_of_pairs_that_share_a_sign(kind, generator):
    critic = critic_from(kind, generator, 1, 1)
    flat = FlatParameters(critic)
    optimizer = SOLVERS["adam"](flat)

    def pairs(n):
        sign = normal(n, 1, generator=generator).sign()
        x, z = normal(2, n, 1, generator=generator)
        return sign * (0.5 + x.abs()), sign * (0.5 + z.abs())

    def gradient():
        flat.gradient.zero_()
        x, z = pairs(64)
        _, pullback = autograd_trace(lambda: infonce(critic.matrix(x, z)))
        pullback(torch.tensor(-1.0).double())
        return flat.gradient

    for _ in range(400):
        optimizer.step(gradient, 0.005)
    with torch.no_grad():
        values = torch.stack([infonce(critic.matrix(*pairs(300))) for _ in range(20)])
    # One bit is log 2 nats, which no critic exceeds in expectation and a trained one comes close to.
    error = values.std() / 20**0.5
    assert LOG_2 - 0.1 < values.mean() < LOG_2 + 5 * error


def offset_critic(*sizes):
    return SeparableCritic(*sizes, offsets=True)


@pytest.mark.parametrize("kind", [*CRITICS, offset_critic])
def test_scores_are_those_of_codes_that_are_computed_once_for_each_row(kind, generator):
    critic = critic_from(kind, generator)
    x, z = normal(4, 3, generator=generator), normal(4, 2, generator=generator)
    of_x, of_z = critic.codes(x, z)
    torch.testing.assert_close(critic.paired(of_x, of_z), critic(x, z))
    torch.testing.assert_close(critic.crossed(of_x, of_z).diagonal(), critic(x, z))
    torch.testing.assert_close(critic.crossed(of_x[1:3], of_z), critic.matrix(x, z)[1:3])


def test_an_offset_of_a_row_is_added_to_all_its_scores(generator):
    critic = critic_from(offset_critic, generator)
    x, z = normal(4, 3, generator=generator), normal(4, 2, generator=generator)
    before = critic.matrix(x, z)
    with torch.no_grad():
        critic.networks[0].head[1][-1] += 2.0
        critic.networks[1].head[1][-1] += 3.0
    torch.testing.assert_close(critic.matrix(x, z), before + 5)


@pytest.mark.parametrize("kind", [*CRITICS, offset_critic])
def test_other_units_of_standardisation_leave_the_scores_of_pairs_as_they_are(kind, generator):
    model = StandardizedCritic(critic_from(kind, generator), 3, 2).double()
    pairs = normal(6, 5, generator=generator)

    def scores():
        return model.critic(*model.split(model.standardize(pairs)))

    before = scores()
    with torch.no_grad():
        model.restandardize(normal(5, generator=generator), normal(5, generator=generator).exp())
    assert not torch.equal(model.scale, torch.ones(5).double())
    torch.testing.assert_close(scores(), before)
    x, z = model.split(model.standardize(pairs))
    for ours, expected in zip(model.codes(model.standardize(pairs)), model.critic.codes(x, z), strict=True):
        assert torch.equal(ours, expected)
