import pytest
import torch

from skgen._exact_model import ExactModel, Posterior, added
from skgen._rows import Observed, Tile
from tests.parts import normal


class CoinPosterior(Posterior):
    """Heads of coins of known bias; the number of rows is left to their moments."""

    def __init__(self, parameters):
        self.logit = parameters["logit"]

    def log_prob(self, tile):
        return (tile.x * self.logit).sum(1) - torch.nn.functional.softplus(self.logit).sum()

    def expect(self, tile):
        return {"heads": tile.x.sum(0)}, (tile.x * self.logit).sum()

    def expect_moments(self, moments):
        return moments, -(moments["rows"] * torch.nn.functional.softplus(self.logit)).sum()


class Coins(ExactModel):
    """Independent coins."""

    bind = CoinPosterior

    def moments(self, tile):
        return {"rows": tile.total}

    def m_step(self, statistics, parameters):
        return {"logit": torch.logit(statistics["heads"] / statistics["rows"])}

    def unconstrain(self, parameters):
        return parameters["logit"]

    def constrain(self, vector):
        return {"logit": vector}


@pytest.fixture
def tile(generator):
    return Tile((normal(40, 3, generator=generator) > 0.3).double())


def test_sums_are_taken_name_by_name_and_a_lone_name_counts_as_it_is():
    total = added({"a": torch.tensor([1.0, 2.0])}, {"a": torch.tensor([10.0, 20.0]), "b": torch.tensor(3.0)})
    assert total["a"].tolist() == [11.0, 22.0]
    assert total["b"] == 3.0


def test_only_the_total_changes_in_a_sum():
    first = {"a": torch.ones(2)}
    total = added({}, first)
    assert added(total, first) is total
    assert total["a"].tolist() == [2.0, 2.0]
    assert first["a"].tolist() == [1.0, 1.0]


def test_all_statistics_of_complete_rows_are_those_of_the_tile_and_of_its_moments(tile):
    parameters = {"logit": torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)}
    statistics, value = Coins().statistics(parameters, tile)
    assert float(statistics["rows"]) == 40
    torch.testing.assert_close(statistics["heads"], tile.x.sum(0))
    torch.testing.assert_close(value, Coins().bind(parameters).log_prob(tile).sum())


def test_incomplete_rows_have_no_moments(tile):
    observed = Observed(torch.ones(1, 3, dtype=torch.bool), torch.zeros(40, dtype=torch.long))
    statistics, _ = Coins().statistics({"logit": torch.zeros(3, dtype=torch.float64)}, tile._replace(observed=observed))
    assert set(statistics) == {"heads"}


def test_a_model_has_no_moments_no_prior_and_nothing_to_refresh_unless_it_says_so(tile):
    class Bare(Coins):
        moments = ExactModel.moments

    parameters = {"logit": torch.zeros(3)}
    assert Bare().moments(tile) == {}
    assert Bare().log_prior(parameters) == 0
    assert Bare().refreshed(parameters) is parameters
    assert not Bare().summarized


def test_a_posterior_says_by_name_what_it_cannot_do(tile, generator):
    posterior = CoinPosterior({"logit": torch.zeros(3)})
    for call in (
        lambda: posterior.draw(tile, generator),
        lambda: posterior.latent(tile),
        lambda: posterior.log_joint(tile, tile.x),
        lambda: posterior.complete(tile, tile.x),
    ):
        with pytest.raises(NotImplementedError, match="CoinPosterior has no"):
            call()
    assert Posterior.expect_moments(posterior, {}) == ({}, 0.0)


@pytest.mark.parametrize("base", [ExactModel, Posterior])
def test_the_bases_are_abstract(base):
    with pytest.raises(TypeError, match="abstract"):
        base()
