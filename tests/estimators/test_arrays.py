"""Arrays and tensors, devices, tiles."""

import numpy as np
import pytest
import torch

from skgen.estimators import _arrays
from skgen.estimators._arrays import as_array, as_tensor, resolve_device, tiles


def test_tensors_share_memory_with_arrays_and_copies_do_not():
    X = np.zeros((3, 2), dtype=np.float32)
    X.flags.writeable = False
    tensor = as_tensor(X)
    assert tensor.data_ptr() == X.ctypes.data
    back = as_array(tensor.t())
    assert back.flags.c_contiguous
    assert not np.shares_memory(back, X)
    assert as_array(torch.ones(2, requires_grad=True)).tolist() == [1, 1]


def test_a_row_of_reversed_ones_becomes_a_tensor():
    X = np.arange(6.0).reshape(3, 2)[::-1]
    np.testing.assert_array_equal(as_tensor(X[:1]).numpy(), [[4.0, 5.0]])


@pytest.mark.parametrize("n_rows", [1, 7, 1000, 100_003])
@pytest.mark.parametrize("numbers", [1, 10_000, 10**9])
def test_tiles_cover_all_rows_once_within_the_bound(n_rows, numbers):
    parts = tiles(n_rows, numbers)
    assert [part.start for part in parts] + [n_rows] == [0] + [part.stop for part in parts]
    sizes = {part.stop - part.start for part in parts}
    assert all(size == 1 or size * numbers * 8 <= _arrays.TILE_BYTES for size in sizes)


@pytest.mark.parametrize(("cuda", "mps", "best"), [(0, False, "cpu"), (2, False, "cuda:0"), (0, True, "mps")])
def test_auto_is_the_best_device_present(cuda, mps, best, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert resolve_device("auto") == torch.device(best)
    if cuda:
        assert resolve_device("cuda") == torch.device("cuda:0")
        assert resolve_device(f"cuda:{cuda - 1}") == torch.device(f"cuda:{cuda - 1}")
    with pytest.raises(ValueError, match=rf"device='cuda:{cuda}' is not present; available: \['cpu'"):
        resolve_device(f"cuda:{cuda}")
