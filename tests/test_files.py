"""Tests of skgen._files."""

import os
import signal
import threading
import warnings
import zipfile

import numpy as np
import pytest

from skgen._files import SUFFIX, digest, read_arrays, remove_abandoned, write_arrays
from skgen.likelihoods import Gaussian
from skgen.priors import Normal

ARRAYS = {
    "weights": np.arange(600.0).reshape(20, 30),
    "count": np.array(3),
    "text": np.frombuffer(b"abc", np.uint8),
}

DIFFERENT = [
    None,
    True,
    1,
    1.0,
    "1",
    b"1",
    "",
    [],
    [1],
    [[1]],
    [1, 1],
    (1,),
    ["ab", "c"],
    ["a", "bc"],
    {},
    {"a": 1},
    {"a": 2},
    {"b": 1},
    int,
    float,
    Normal(),
    Gaussian(),
    Gaussian(variance="fixed"),
    np.zeros(2),
    np.zeros(2, np.float32),
    np.zeros((2, 1)),
    np.zeros((1, 2)),
    np.zeros(3),
    np.array([0.0, -0.0]),
    np.zeros(0),
    np.array(0.0),
    np.array([1, "a"], dtype=object),
    np.random.RandomState(0),
    np.random.RandomState(1),
]


def test_different_values_have_different_digests():
    assert len({digest(value) for value in DIFFERENT}) == len(DIFFERENT)


@pytest.mark.parametrize(
    ("value", "same"),
    [
        (np.float64(0.1), 0.1),
        (Gaussian(), Gaussian(variance="feature")),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (np.arange(12).reshape(3, 4), np.asfortranarray(np.arange(12).reshape(3, 4))),
        (np.random.RandomState(3), np.random.RandomState(3)),
    ],
)
def test_equal_values_have_one_digest(value, same):
    assert digest(value) == digest(same)


def test_every_row_of_a_long_array_counts():
    rows = np.zeros((3 * 2**19 + 1, 2))  # more than five tiles
    before = digest(rows)
    for index in (0, 2**19, len(rows) - 1):
        rows[index, 1] = 1
        assert digest(rows) != before
        rows[index, 1] = 0
    assert digest(rows) == before


def test_what_cannot_be_told_apart_has_no_digest():
    with pytest.raises(TypeError, match="function have no digest"):
        digest({"f": lambda x: x})


def test_arrays_come_back_as_they_were(tmp_path):
    path = str(tmp_path / "file.npz")
    assert read_arrays(path) is None
    write_arrays(path, {"old": np.ones(3)})
    write_arrays(path, ARRAYS)
    read = read_arrays(path)
    assert list(read) == list(ARRAYS)
    for name, value in ARRAYS.items():
        assert read[name].dtype == value.dtype
        np.testing.assert_array_equal(read[name], value)
    assert os.listdir(tmp_path) == ["file.npz"]


def test_any_damaged_byte_or_length_is_noticed(tmp_path):
    path = tmp_path / "file.npz"
    write_arrays(str(path), ARRAYS)
    whole = path.read_bytes()
    rng = np.random.RandomState(0)
    damaged = [whole[:n] for n in [0, 1, *rng.randint(len(whole), size=20), len(whole) - 1]]
    for position in rng.randint(len(whole), size=60):
        damaged.append(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
    for content in damaged:
        path.write_bytes(content)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            read = read_arrays(str(path))
        if read is None:
            assert ["is damaged and is ignored" in str(warning.message) for warning in caught] == [True]
        else:  # the byte means nothing, such as those of a date in the archive
            assert len(content) == len(whole)
            assert digest(read) == digest(ARRAYS)


def test_files_with_pickles_are_not_opened(tmp_path):
    path = tmp_path / "file.npz"
    np.savez(path, weights=np.array([{}], dtype=object), digest=np.array("0"))
    with pytest.warns(UserWarning, match="allow_pickle=False"):
        assert read_arrays(str(path)) is None


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = str(tmp_path / "file.npz")
    write_arrays(path, ARRAYS)

    def full(number):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_arrays(path, {"new": np.ones(3)})
    assert os.listdir(tmp_path) == ["file.npz"]
    assert list(read_arrays(path)) == list(ARRAYS)


def _write_and_hang(folder, ready):
    """In a child process: stop for ever in the middle of a write."""
    os.fsync = lambda number: (os.write(ready, b"."), signal.pause())
    write_arrays(os.path.join(folder, "file.npz"), ARRAYS)


def test_unfinished_files_are_removed_once_their_writer_is_dead(tmp_path):
    receive, ready = os.pipe()
    pid = os.fork()
    if not pid:
        _write_and_hang(tmp_path, ready)
    os.read(receive, 1)
    remove_abandoned(str(tmp_path))
    (name,) = os.listdir(tmp_path)
    assert name.endswith(SUFFIX)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    remove_abandoned(str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_writers_and_cleaners_of_one_file_do_not_disturb_each_other(tmp_path):
    path = str(tmp_path / "file.npz")
    write_arrays(path, {"value": np.full(1000, -1)})
    failures = []

    def work(number):
        try:
            for _ in range(20):
                write_arrays(path, {"value": np.full(1000, number)})
                remove_abandoned(str(tmp_path))
                value = read_arrays(path)["value"]
                assert (value == value[0]).all()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert os.listdir(tmp_path) == ["file.npz"]
    assert zipfile.is_zipfile(path)
