import pytest
import torch

import skgen._rows
from skgen._rows import Observed, Rows, Tile
from tests.parts import normal

NAN = float("nan")
EVERY_SIZE = pytest.mark.parametrize(("tile_rows", "incomplete_tile_rows"), [(1, 1), (4, 3), (1000, 1000)])


def rows_with_gaps(generator, n_rows=50, dtype=torch.float64):
    """Rows of which about a third miss something; one misses everything."""
    x = normal(n_rows, 3, generator=generator, dtype=dtype)
    x[torch.empty(n_rows, 3).uniform_(generator=generator) < 0.15] = NAN
    x[7] = NAN
    return x


def restored(tile):
    """The rows of a tile with NaN where they miss something."""
    return tile.x if tile.observed is None else tile.x.masked_fill(~tile.observed.mask, NAN)


@EVERY_SIZE
def test_tiles_and_their_places_hold_every_row_once(tile_rows, incomplete_tile_rows, generator):
    x = rows_with_gaps(generator)
    rows = Rows(x, None, None, tile_rows, incomplete_tile_rows)
    seen = []
    for tile, place in zip(rows, rows.places(), strict=True):
        torch.testing.assert_close(restored(tile), x[place], rtol=0, atol=0, equal_nan=True)
        seen += torch.arange(len(x))[place].tolist()
    assert sorted(seen) == list(range(len(x)))
    assert len(rows) == len(x)


@EVERY_SIZE
def test_a_tile_is_complete_or_of_incomplete_rows_and_within_its_size(tile_rows, incomplete_tile_rows, generator):
    x = rows_with_gaps(generator)
    rows = Rows(x, None, None, tile_rows, incomplete_tile_rows)
    complete, incomplete = list(rows.complete_tiles()), list(rows.incomplete_tiles())
    torch.testing.assert_close(torch.cat([tile.x for tile in complete]), x[~x.isnan().any(1)], rtol=0, atol=0)
    assert all(tile.observed is None and len(tile.x) <= tile_rows for tile in complete)
    assert all(not tile.observed.mask.all(1).any() and len(tile.x) <= incomplete_tile_rows for tile in incomplete)


def test_rows_of_one_pattern_stand_together_and_in_their_order(generator):
    x = rows_with_gaps(generator)
    (tile,) = Rows(x, incomplete_tile_rows=1000).incomplete_tiles()
    patterns, index = tile.observed
    assert len(torch.unique(patterns, dim=0)) == len(patterns)
    assert index.equal(index.sort().values)
    for number, pattern in enumerate(patterns):
        same = (~x.isnan()).eq(pattern).all(1)
        torch.testing.assert_close(restored(tile)[index == number], x[same], rtol=0, atol=0, equal_nan=True)


def test_a_tile_names_only_the_patterns_of_its_rows(generator):
    for tile in Rows(rows_with_gaps(generator), incomplete_tile_rows=3).incomplete_tiles():
        assert tile.observed.index.unique().tolist() == list(range(len(tile.observed.patterns)))


def test_missing_entries_are_zero_whatever_the_center(generator):
    x = rows_with_gaps(generator)
    for tile in Rows(x, center=torch.full((3,), 5.0, dtype=torch.float64)).incomplete_tiles():
        assert bool((tile.x[~tile.observed.mask] == 0).all())


@pytest.mark.parametrize("scan_rows", [1, 7, 50])
def test_the_rows_looked_through_at_a_time_change_nothing(scan_rows, monkeypatch, generator):
    x = rows_with_gaps(generator)
    expected = list(Rows(x, incomplete_tile_rows=5))
    monkeypatch.setattr(skgen._rows, "SCAN_ROWS", scan_rows)
    for tile, other in zip(Rows(x, incomplete_tile_rows=5), expected, strict=True):
        assert tile.x.equal(other.x)
        assert (tile.observed is None) == (other.observed is None)
        assert tile.observed is None or tile.observed.mask.equal(other.observed.mask)


def test_complete_float64_rows_are_not_copied(generator):
    x = normal(50, 3, generator=generator)
    for tile, place in zip(Rows(x, tile_rows=8), Rows(x, tile_rows=8).places(), strict=True):
        assert tile.x.data_ptr() == x[place].data_ptr()


def test_the_given_rows_are_never_written_to(generator):
    x = rows_with_gaps(generator)
    kept = x.clone()
    for _ in Rows(x, center=x.nanmean(0), tile_rows=8):
        pass
    torch.testing.assert_close(x, kept, rtol=0, atol=0, equal_nan=True)


def test_float32_rows_are_widened_before_they_are_centred(generator):
    x = (1e5 + normal(50, 3, generator=generator)).float()
    center = x.double().mean(0)
    for tile, place in zip(Rows(x, center=center), Rows(x).places(), strict=True):
        assert tile.x.dtype == torch.float64
        assert tile.x.equal(x[place].double() - center)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_complete_rows_stay_in_single_precision_where_that_is_asked_for(dtype, centred, generator):
    x = rows_with_gaps(generator, dtype=dtype)
    center = x.double().nanmean(0) if centred else None
    rows = Rows(x, center=center, tile_rows=8, single=True)
    for tile, place in zip(rows, rows.places(), strict=True):
        if tile.observed is None:
            expected = x[place].double() - (center if centred else 0)
            assert tile.x.dtype == dtype
            assert tile.x.equal(expected.to(dtype))
        else:
            assert tile.x.dtype == torch.float64


def test_float32_rows_in_single_precision_are_not_copied(generator):
    x = normal(50, 3, generator=generator, dtype=torch.float32)
    rows = Rows(x, tile_rows=8, single=True)
    assert all(tile.x.data_ptr() == x[place].data_ptr() for tile, place in zip(rows, rows.places(), strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_go_with_their_rows(dtype, generator):
    x = rows_with_gaps(generator)
    weight = torch.empty(len(x), dtype=dtype).uniform_(generator=generator)
    rows = Rows(x, weight, tile_rows=4, incomplete_tile_rows=3)
    for tile, place in zip(rows, rows.places(), strict=True):
        assert tile.weight.dtype == torch.float64
        assert tile.weight.equal(weight[place].double())
        assert tile.total == tile.weight.sum()
    assert rows.total_weight == float(weight.sum())


def test_rows_without_weights_weigh_one_each(generator):
    rows = Rows(normal(50, 3, generator=generator), tile_rows=8)
    assert rows.total_weight == 50
    assert [float(tile.total) for tile in rows] == [8.0] * 6 + [2.0]


@pytest.mark.parametrize("index", [slice(3, 20), torch.tensor([30, 7, 7, 2])])
def test_what_is_taken_are_the_rows_at_those_places(index, generator):
    x = rows_with_gaps(generator)
    weight = torch.arange(50.0, dtype=torch.float64)
    center = x.nanmean(0)
    part = Rows(x.float(), weight, center, 4, 3, single=True).take(index)
    assert part.single
    for tile, other in zip(part, Rows(x.float()[index], weight[index], center, 4, 3, single=True), strict=True):
        assert tile.x.equal(other.x)
        assert tile.weight.equal(other.weight)


def test_rows_that_all_miss_something_have_no_complete_tile(generator):
    x = normal(10, 3, generator=generator)
    x[:, 1] = NAN
    rows = Rows(x)
    assert list(rows.complete_tiles()) == []
    assert [len(tile.x) for tile in rows] == [10]
    assert rows.n_features == 3


def test_the_mask_is_the_pattern_of_each_row():
    patterns = torch.tensor([[True, False], [False, True]])
    tile = Tile(torch.zeros(3, 2), None, Observed(patterns, torch.tensor([0, 0, 1])))
    assert tile.observed.mask.tolist() == [[True, False], [True, False], [False, True]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("centred", [True, False])
def test_tiles_that_share_memory_are_the_same_one_after_the_other(dtype, centred, generator):
    x = torch.randn(20, 3, generator=generator, dtype=torch.float64).to(dtype)
    kept = x.clone()
    rows = Rows(x, center=torch.ones(3, dtype=torch.float64) if centred else None)
    found = [tile.x.clone() for tile in rows.complete_tiles(8, shared=True)]
    expected = [tile.x for tile in rows.complete_tiles(8)]
    assert [len(part) for part in found] == [8, 8, 4]
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert torch.equal(x, kept)
