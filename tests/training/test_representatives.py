import pytest
import torch

from skgen.training import representatives as module
from skgen.training.representatives import mean_and_scale, representatives
from tests.oracles import process_state, within

NAN = float("nan")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal_rows(n_rows=500, n_features=3):
    return torch.randn(n_rows, n_features, generator=seeded(1), dtype=torch.float64)


def with_holes(x):
    return torch.where(torch.rand(x.shape, generator=seeded(2)) < 0.2, NAN, x)


def far_out(x):
    """One row so far away that the others' coordinates are equal up to rounding."""
    x = x.clone()
    x[0] = 1e18
    return x


ROWS = {
    "normal": normal_rows(),
    "integers": torch.randint(0, 3, (500, 3), generator=seeded(1)).double(),
    "one column": normal_rows(500, 1),
    "missing": with_holes(normal_rows()),
    "missing integers": with_holes(torch.randint(0, 3, (500, 3), generator=seeded(1)).double()),
    "outlier": far_out(normal_rows()),
    "outlier among missing": far_out(with_holes(normal_rows())),
    "both zeros": torch.randint(-1, 2, (500, 2), generator=seeded(3)).double() * 0.0,
}
WEIGHT = torch.randint(1, 4, (500,), generator=seeded(4)).double()


def same(a, b):
    return torch.equal(a.isnan(), b.isnan()) and torch.equal(a.nan_to_num(0.0), b.nan_to_num(0.0))


def distinct(x):
    """Rows as a dictionary of tuples, with the sums of their weights."""
    table = {}
    for row, weight in zip(x[0].tolist(), x[1].tolist(), strict=True):
        key = tuple("missing" if value != value else value for value in row)
        table[key] = table.get(key, 0.0) + weight
    return table


def assert_same_sample(one, other):
    assert same(one[0], other[0])
    torch.testing.assert_close(one[1], other[1], rtol=1e-12, atol=0)


@pytest.fixture(params=[100, 2**17], ids=["tiles", "one tile"], autouse=True)
def tile_entries(request, monkeypatch):
    monkeypatch.setattr(module, "TILE_ENTRIES", request.param)


@pytest.mark.parametrize("n_rows", [20, 1000], ids=["sample", "all"])
@pytest.mark.parametrize("x", ROWS.values(), ids=ROWS)
class TestTheWeightedEmpiricalDistributionIsAllThatCounts:
    def test_rows_in_another_order(self, x, n_rows):
        order = torch.randperm(500, generator=seeded(5))
        expected = representatives(x, WEIGHT, n_rows, generator=seeded())
        assert_same_sample(representatives(x[order], WEIGHT[order], n_rows, generator=seeded()), expected)

    def test_rows_repeated_for_their_weights(self, x, n_rows):
        repeated = x.repeat_interleave(WEIGHT.long(), 0)
        repeated = repeated[torch.randperm(len(repeated), generator=seeded(5))]
        expected = representatives(x, WEIGHT, n_rows, generator=seeded())
        assert_same_sample(representatives(repeated, None, n_rows, generator=seeded()), expected)

    def test_rows_of_weight_zero(self, x, n_rows):
        weight = WEIGHT * (torch.arange(500) % 3 > 0)
        expected = representatives(x[weight > 0], weight[weight > 0], n_rows, generator=seeded())
        assert_same_sample(representatives(x, weight, n_rows, generator=seeded()), expected)

    def test_rows_of_next_to_no_weight(self, x, n_rows):
        # But for the outlier at 1e18, which is felt at any weight.
        light = torch.arange(500) % 3 == 1
        expected = representatives(x[~light], WEIGHT[~light], n_rows, generator=seeded())
        found = representatives(x, torch.where(light, 1e-12, WEIGHT), n_rows, generator=seeded())
        # A row of weight has repetitions without, so that 1e-12 may be added to it.
        assert same(found[0], expected[0])
        torch.testing.assert_close(found[1], expected[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("x", ROWS.values(), ids=ROWS)
def test_few_distinct_rows_are_returned_once_each_with_the_sums_of_their_weights(x):
    found = representatives(x, WEIGHT, 500, generator=seeded())
    table = distinct(found)
    assert len(table) == len(found[0])
    assert table == distinct((x, WEIGHT))


@pytest.mark.parametrize("n_rows", [1, 7, 50])
def test_each_row_of_a_sample_has_its_share_rounded_up_or_down(n_rows):
    weight = WEIGHT.clone()
    weight[3] = 300.0
    x, found = representatives(ROWS["normal"], weight, n_rows, generator=seeded())
    share = weight.sum() / n_rows
    shares = distinct((x, found / share))
    assert len(x) <= n_rows
    torch.testing.assert_close(found.sum(), weight.sum(), rtol=1e-12, atol=0)
    for row, of_row in distinct((ROWS["normal"], weight / share)).items():
        assert abs(shares.get(row, 0.0) - of_row) < 1


def test_the_weighted_mean_of_a_sample_is_unbiased_and_less_variable_than_one_of_random_rows():
    # Cubes have weight in the tails; systematic draws along a direction are stratified.
    values = normal_rows()[:, :1] ** 3
    draws = []
    for seed in range(300):
        x, weight = representatives(values, WEIGHT, 20, generator=seeded(seed))
        draws.append((weight @ x) / weight.sum())
    draws = torch.stack(draws)
    mean = (WEIGHT @ values) / WEIGHT.sum()
    assert within(draws, mean)
    assert float(draws.var(0)) < float((WEIGHT @ (values - mean) ** 2) / WEIGHT.sum() / 20)


@pytest.mark.parametrize("name", ["normal", "missing"])
def test_units_and_origins_of_columns_do_not_change_which_rows_are_drawn(name):
    scale, shift = torch.tensor([1e6, 1.0, 1e-4]), torch.tensor([1e3, -2.0, 1.0])
    x, weight = representatives(ROWS[name], WEIGHT, 20, generator=seeded())
    y, other = representatives(ROWS[name] * scale.double() + shift.double(), WEIGHT, 20, generator=seeded())
    torch.testing.assert_close(y, x * scale + shift, rtol=1e-12, atol=1e-12, equal_nan=True)
    torch.testing.assert_close(other, weight, rtol=1e-12, atol=0)


def test_a_missing_entry_and_the_mean_of_its_column_are_told_apart():
    x = torch.tensor([[0.0, 1.0], [2.0, 1.0], [1.0, 1.0], [NAN, 1.0], [1.0, NAN], [NAN, NAN]])
    assert len(representatives(x.double(), None, 10, generator=seeded())[0]) == 6


@pytest.mark.parametrize("weight", [None, torch.ones(4, dtype=torch.float64)])
def test_missing_and_constant_columns_and_single_rows_are_no_obstacle(weight):
    x = torch.tensor([[NAN, 5.0, 1.0], [NAN, 5.0, 2.0], [NAN, 5.0, 1.0], [NAN, NAN, 3.0]]).double()
    found, total = representatives(x, weight, 10, generator=seeded())
    assert sorted(found[:, 2].tolist()) == [1.0, 2.0, 3.0]
    assert float(total.sum()) == 4
    assert same(representatives(x[:1], None, 1, generator=seeded())[0], x[:1])
    assert len(representatives(x, weight, 1, generator=seeded())[0]) == 1


def test_rows_in_float32_are_returned_in_float64_and_no_global_state_is_touched():
    before = process_state()
    x, weight = representatives(normal_rows().float(), WEIGHT.float(), 20, generator=seeded())
    assert x.dtype == weight.dtype == torch.float64
    assert process_state() == before


def test_the_generator_is_used_alike_whatever_the_rows():
    states = []
    for x in ROWS.values():
        generator = seeded()
        representatives(x[:, :1], WEIGHT, 20, generator=generator)
        states.append(generator.get_state())
    assert all(torch.equal(state, states[0]) for state in states)


def test_means_and_scales_are_those_of_the_observed_entries():
    x = with_holes(normal_rows()) * torch.tensor([1.0, 1e5, 1e-5]).double() + 1e3
    mean, scale = mean_and_scale(x, WEIGHT)
    for column in range(3):
        there = ~x[:, column].isnan()
        value, weight = x[there, column], WEIGHT[there] / WEIGHT[there].sum()
        centre = weight @ value
        torch.testing.assert_close(mean[column], centre, rtol=1e-12, atol=0)
        # The entries are rounded to 1e3 times the machine's precision, next to deviations of 1e-5.
        torch.testing.assert_close(scale[column], (weight @ (value - centre) ** 2).sqrt(), rtol=1e-7, atol=0)


def test_the_scale_of_a_constant_column_is_one_and_its_mean_is_exact():
    x = torch.full((1000, 2), 0.1, dtype=torch.float64)
    x[3:, 1] = NAN
    weight = torch.rand(1000, generator=seeded(), dtype=torch.float64)
    mean, scale = mean_and_scale(x, weight)
    assert mean.tolist() == [0.1, 0.1]
    assert scale.tolist() == [1.0, 1.0]
