import pytest
import torch

from skgen.training import batches as module
from skgen.training.batches import Batch, Batches

ROWS = torch.arange(23 * 3, dtype=torch.float64).view(23, 3)
WEIGHT = torch.arange(23, dtype=torch.float64)


def make(batch_size=5, *, weight=WEIGHT, prepare=None, augment=None, dtype=torch.float64):
    return Batches(
        ROWS,
        weight,
        batch_size=batch_size,
        device=torch.device("cpu"),
        dtype=dtype,
        prepare=prepare,
        augment=augment or (lambda x, generator: x),
    )


def epoch(batches, seed=0):
    found = list(batches.epoch(torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed + 1)))
    return [(x.clone(), None if weight is None else weight.clone()) for x, weight, _ in found]


@pytest.fixture(params=[1, 2**20], ids=["streamed", "resident"], autouse=True)
def block_bytes(request, monkeypatch):
    """Blocks of one batch, and one block for all."""
    monkeypatch.setitem(module.BLOCK_BYTES, "cpu", request.param)


@pytest.mark.parametrize("batch_size", [1, 5, 22, 23, 100])
@pytest.mark.parametrize("weight", [WEIGHT, None], ids=["weighted", "equal"])
def test_every_row_comes_once_per_epoch_with_its_weight(batch_size, weight):
    batches = make(batch_size, weight=weight)
    found = epoch(batches)
    assert len(found) == batches.n_batches == -(-23 // batch_size)
    assert [len(x) for x, _ in found[:-1]] == [batch_size] * (len(found) - 1)
    x = torch.cat([x for x, _ in found])
    order = x[:, 0].argsort()
    assert torch.equal(x[order], ROWS)
    if weight is not None:
        assert torch.equal(torch.cat([w for _, w in found])[order], WEIGHT)
    else:
        assert all(w is None for _, w in found)


def test_streamed_blocks_equal_resident_ones(monkeypatch):
    found = []
    for size in (1, 3 * 5 * 3 * 8, 2**20):
        monkeypatch.setitem(module.BLOCK_BYTES, "cpu", size)
        batches = make()
        found.append((batches.block, epoch(batches)))
    assert [block for block, _ in found][:2] == [5, 15]
    for (a, v), (b, w), (c, u) in zip(*(parts for _, parts in found), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)
        assert torch.equal(v, w)
        assert torch.equal(v, u)


@pytest.mark.parametrize("batch_size", [23, 24, 1000])
def test_a_single_batch_is_in_row_order_whatever_the_generator(batch_size):
    batches = make(batch_size)
    assert batches.full
    for seed in (0, 1):
        ((x, weight),) = epoch(batches, seed)
        assert torch.equal(x, ROWS)
        assert torch.equal(weight, WEIGHT)


def test_the_order_follows_its_generator():
    batches = make()
    first, again, other = epoch(batches, 0), epoch(batches, 0), epoch(batches, 1)
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for (a, _), (b, _) in zip(first, other, strict=True))


def test_rows_are_prepared_in_their_own_dtype_then_cast_and_never_written_to():
    seen = []

    def prepare(rows):
        seen.append(rows.dtype)
        return rows / 2

    kept = ROWS.clone()
    found = epoch(make(prepare=prepare, dtype=torch.float32))
    assert set(seen) == {torch.float64}
    assert all(x.dtype == torch.float32 for x, _ in found)
    x = torch.cat([x for x, _ in found])
    assert torch.equal(x[x[:, 0].argsort()], (ROWS / 2).float())
    assert torch.equal(ROWS, kept)


def test_augmentation_draws_from_the_generator_of_the_device():
    def augment(x, generator):
        return x + torch.rand(x.shape, dtype=x.dtype, generator=generator)

    first, again = epoch(make(augment=augment)), epoch(make(augment=augment))
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(first, again, strict=True))
    source = torch.Generator().manual_seed(1)
    batches, order = make(23, augment=augment), torch.Generator().manual_seed(0)
    ((one, _, _),), ((two, _, _),) = (list(batches.epoch(order, source)) for _ in range(2))
    assert not torch.equal(one, two)


def test_the_target_goes_with_its_row():
    target = torch.arange(23)
    for batch_size in (5, 100):
        batches = make(batch_size)
        batches.target = target
        found = list(batches.epoch(torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)))
        assert found[0].target.dtype == torch.int64
        assert torch.equal(torch.cat([batch.x[:, 0] for batch in found]), 3.0 * torch.cat([b.target for b in found]))


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_tiles_of_a_batch_are_its_rows_in_their_order(weight):
    batch = Batch(ROWS, weight, torch.arange(23))
    tiles = list(batch.tiles(10))
    assert [len(some.x) for _, some in tiles] == [10, 10, 3]
    for part, joined in zip(batch, zip(*(some for _, some in tiles), strict=True), strict=True):
        assert part is None or torch.equal(part, torch.cat(joined))
    assert all(torch.equal(ROWS[tile], some.x) for tile, some in tiles)
