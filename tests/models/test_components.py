import pytest
import torch
from scipy.stats import chi2

from skgen._rows import Tile
from skgen.distributions.covariance import COVARIANCES
from skgen.models.components import NO_WEIGHT, draw_labels, draw_responsibilities, draw_sorted_labels
from skgen.models.factor_mixture import NOISES, FactorMixture
from skgen.models.mixture import GaussianMixtureModel
from tests.parts import normal

K, D = 3, 4
MODELS = {name: GaussianMixtureModel(structure, K, D) for name, structure in COVARIANCES.items()} | {
    f"factors, {noise}": FactorMixture(D, K, 2, noise) for noise in NOISES
}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def started(model, generator):
    x = normal(60, D, generator=generator)
    r = torch.softmax(normal(K, 60, generator=generator), 0)
    return model.from_responsibilities(r, x), x


def test_labels_are_drawn_by_their_probabilities_and_never_without_one(generator):
    n = 20000
    probability = torch.tensor([0.0, 0.5, 0.0, 0.2, 0.3], dtype=torch.float64)
    count = torch.bincount(draw_labels(probability.unsqueeze(1).expand(-1, n), generator), minlength=5)
    assert count[[0, 2]].tolist() == [0, 0]
    some = probability > 0
    # Wrong once in a thousand draws of the seed.
    statistic = ((count - n * probability)[some].square() / (n * probability[some])).sum()
    assert float(statistic) < chi2(2).ppf(0.999)


def test_sorted_labels_are_in_order_and_have_the_shares_of_the_weights(generator):
    n, weights = 20000, torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
    labels = draw_sorted_labels(weights.log(), n, generator)
    assert bool((labels.diff() >= 0).all())
    count = torch.bincount(labels, minlength=3)
    # Wrong once in a thousand draws of the seed.
    assert float(((count - n * weights).square() / (n * weights)).sum()) < chi2(2).ppf(0.999)


@pytest.mark.parametrize("weighted", [False, True])
def test_drawn_responsibilities_are_the_weight_of_the_row_at_one_component_and_expected_ones_in_the_mean(
    weighted, generator
):
    joint = normal(K, 5, generator=generator)
    weight = torch.tensor([0.5, 1.0, 2.0, 3.0, 0.1], dtype=torch.float64) if weighted else None
    draws = torch.stack([draw_responsibilities(joint, weight, generator) for _ in range(4000)])
    assert bool(((draws > 0).sum(1) == 1).all())
    total = torch.ones(5, dtype=torch.float64) if weight is None else weight
    torch.testing.assert_close(draws.sum(1), total.expand(4000, 5), rtol=0, atol=0)
    error = (draws.mean(0) - torch.softmax(joint, 0) * total) / (draws.std(0) / 4000**0.5)
    assert float(error.abs().max()) < 4.5  # standard errors, of 15 numbers


@every_model
def test_the_density_is_the_sum_of_the_joint_and_responsibilities_are_its_shares(model, generator):
    parameters, x = started(model, generator)
    posterior, tile = model.bind(parameters), Tile(x)
    torch.testing.assert_close(posterior.log_prob(tile).exp(), posterior.joint(tile).exp().sum(0))
    shares = posterior.joint(tile).exp() / posterior.log_prob(tile).exp()
    torch.testing.assert_close(posterior.responsibilities(tile), shares.T)


@every_model
def test_components_left_out_have_no_weight_and_the_others_their_shares(model, generator):
    parameters, x = started(model, generator)
    marks = torch.tensor([False, True, False])
    without = model.without(parameters, marks)
    assert float(without["log_weights"][1]) < NO_WEIGHT / 2
    shares = parameters["log_weights"].exp()
    torch.testing.assert_close(without["log_weights"].exp()[~marks], shares[~marks] / shares[~marks].sum())
    for name in model.of_components() & set(parameters) - {"log_weights"}:
        torch.testing.assert_close(without[name][~marks], parameters[name][~marks], rtol=0, atol=0)
    kept = model.kept(without, ~marks)
    assert {len(kept[name]) for name in model.of_components() & set(kept)} == {K - 1}
    # The same density: the covariances that are shared are shared still.
    torch.testing.assert_close(model.bind(kept).log_prob(Tile(x)), model.bind(without).log_prob(Tile(x)))


@every_model
def test_a_component_is_placed_with_the_share_of_an_average_one(model, generator):
    parameters, x = started(model, generator)
    without = model.without(parameters, torch.tensor([False, True, False]))
    placed = model.placed(without, torch.tensor([1]), x[:1])
    torch.testing.assert_close(placed["means"][1], x[0], rtol=0, atol=0)
    torch.testing.assert_close(placed["log_weights"].exp()[1], x.new_tensor((1 / K) / (1 + 1 / K)))
    assert not bool(torch.isnan(model.bind(placed).log_prob(Tile(x))).any())


@every_model
def test_no_given_parameter_is_changed(model, generator):
    parameters, x = started(model, generator)
    before = {name: value.clone() for name, value in parameters.items()}
    marks = torch.tensor([False, True, False])
    model.placed(model.without(parameters, marks), torch.tensor([1]), x[:1])
    model.kept(parameters, marks)
    assert all(torch.equal(value, before[name]) for name, value in parameters.items())
