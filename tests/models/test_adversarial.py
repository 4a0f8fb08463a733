"""Tests of skgen.models.adversarial."""

import pytest
import torch

from skgen.models.adversarial import AdversarialModel
from skgen.networks import MLP, ConvDecoder, ConvEncoder
from tests.parts import normal

FEATURES, COMPONENTS = 4, 3


def moments(generator, *, n_constant=0):
    spread = 0.5 + normal(FEATURES, generator=generator).abs()
    spread[:n_constant] = 0
    mean = normal(FEATURES, generator=generator)
    return mean, spread, mean - 3 * spread, mean + 3 * spread


def model(generator, *, n_classes=0, encoder=True, bounded=False, jumps=False, conv=False):
    kinds, shape = ((ConvEncoder, ConvDecoder), ((1, 2, 2),)) if conv else ((MLP, MLP), ())
    critic = kinds[0](FEATURES, (6,), 1 + n_classes, *shape)
    generators = [kinds[1]((1 + jumps) * COMPONENTS + n_classes, (5,), FEATURES, *shape) for _ in range(2)]
    inverse = kinds[0](FEATURES, (6,), COMPONENTS, *shape) if encoder else None
    made = AdversarialModel(critic, *generators, inverse, bounded=bounded, jumps=jumps).double()
    made.reset(generator)
    return made


def test_the_average_starts_where_the_generator_does(generator):
    made = model(generator)
    z = normal(6, COMPONENTS, generator=generator)
    torch.testing.assert_close(made.generator(z), made.average(z))
    assert made.n_latent == COMPONENTS
    assert model(generator, n_classes=2).n_latent == COMPONENTS


def test_a_generator_that_jumps_takes_signs_and_is_continuous_between_them(generator):
    made = model(generator, n_classes=2, jumps=True)
    assert made.n_latent == COMPONENTS
    z, condition = normal(6, COMPONENTS, generator=generator), torch.eye(2, dtype=torch.float64)[[0, 1, 1, 0, 0, 1]]
    torch.testing.assert_close(
        made.drawn(z, condition), made.average(torch.cat([z, z.sign(), condition], 1)), rtol=0, atol=0
    )
    sides = made.drawn(
        torch.tensor([[1e-12], [-1e-12]], dtype=torch.float64) * z[:1].abs(), condition[:1].expand(2, -1)
    )
    assert (sides[0] - sides[1]).abs().max() > 1e-3


def test_constant_columns_are_drawn_as_their_constant(generator):
    made = model(generator)
    columns = moments(generator, n_constant=2)
    made.initialize(*columns)
    rows = made.decode(normal(6, COMPONENTS, generator=generator))
    torch.testing.assert_close(rows[:, :2], columns[0][:2].expand(6, -1))
    assert (rows[:, 2:].std(0) > 0).all()
    torch.testing.assert_close(made.standardize(rows)[:, :2], torch.zeros(6, 2, dtype=torch.float64))


def test_standardised_rows_have_mean_0_and_deviation_1_and_come_back(generator):
    made = model(generator)
    mean, spread, low, high = moments(generator)
    made.initialize(mean, spread, low, high)
    rows = normal(9, FEATURES, generator=generator)
    torch.testing.assert_close(made.standardize(rows), (rows - mean) / spread)
    torch.testing.assert_close(made.unstandardize(made.standardize(rows)), rows)


def test_the_pixels_of_an_image_have_one_scale(generator):
    made = model(generator, conv=True)
    mean, spread, low, high = moments(generator, n_constant=1)
    made.initialize(mean, spread, low, high, common=True)
    assert len(made.scale[1:].unique()) == 1
    assert len(made.shift[1:].unique()) == 1
    torch.testing.assert_close(made.decode(normal(2, COMPONENTS, generator=generator))[:, 0], mean[:1].expand(2))


@pytest.mark.parametrize("conv", [False, True])
@pytest.mark.parametrize("common", [False, True])
def test_a_new_standardisation_changes_nothing_in_the_units_of_rows(conv, common, generator):
    made = model(generator, conv=conv)
    made.initialize(*moments(generator, n_constant=1), common=common)
    rows, z = normal(6, FEATURES, generator=generator), normal(6, COMPONENTS, generator=generator)
    rows[:, 0] = made.shift[0]

    def answers():
        x = made.standardize(rows)
        return made.scores(x), made.encoder(x), made.decode(z), made.unstandardize(made.shaped(made.generator(z)))

    with torch.no_grad():
        before = answers()
        made.restandardize(*moments(generator), common=common)
        for old, new in zip(before, answers(), strict=True):
            torch.testing.assert_close(new, old)


def test_bounded_rows_stay_within_the_range_of_the_columns(generator):
    made = model(generator, bounded=True)
    mean, spread, low, high = moments(generator, n_constant=1)
    made.initialize(mean, spread, low, high)
    rows = made.decode(100 * normal(50, COMPONENTS, generator=generator))
    rounding = 1e-12
    assert ((rows >= low - rounding) & (rows <= high + rounding)).all()
    torch.testing.assert_close(rows[:, 0], mean[0].expand(50))


def test_a_class_has_an_output_of_the_critic_that_counts_for_its_rows_alone(generator):
    made = model(generator, n_classes=2)
    x, condition = normal(5, FEATURES, generator=generator), torch.eye(2, dtype=torch.float64)[[0, 1, 1, 0, 1]]
    outputs = made.critic(x)
    expected = outputs[:, 0] + torch.where(condition[:, 0] > 0, outputs[:, 1], outputs[:, 2])
    torch.testing.assert_close(made.scores(x, condition), expected)
    z = normal(5, COMPONENTS, generator=generator)
    torch.testing.assert_close(made.drawn(z, condition)[1], made.drawn(z[1:2], condition[1:2])[0])
    assert made.width > FEATURES
