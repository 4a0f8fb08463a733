"""skgen.io._hdf5: what a file holds, and what is refused although its digest is right."""

import hashlib

import h5py
import numpy as np
import pytest

from skgen.io import ModelFileError, _hdf5

LARGEST = 2**20
ARRAYS = [
    np.arange(12, dtype=np.float64).reshape(3, 4),
    np.array(2.5, dtype=np.float32),
    np.zeros((0, 5)),
    np.array([True, False]),
    np.arange(3, dtype=np.uint8),
    np.array([-1], dtype=np.int64),
]
DESCRIPTION = {"model": [1, None, "ü"]}


def signed(content):
    """A file with the block that belongs to its bytes."""
    rest = bytes(content[_hdf5.BLOCK :])
    header = _hdf5.HEADER.pack(_hdf5.MARK, len(rest), hashlib.sha256(rest).digest())
    return header.ljust(_hdf5.BLOCK, b"\0") + rest


def hostile(change, folder, arrays=ARRAYS[:2]):
    """A well-signed file after a change to its contents."""
    path = folder / "hostile.h5"
    path.write_bytes(_hdf5.to_bytes(DESCRIPTION, arrays))
    with h5py.File(path, "r+") as file:
        change(file)
    return signed(path.read_bytes())


def replaced(name, make):
    """A change that makes an entry anew."""

    def change(file):
        folder, _, last = name.rpartition("/")
        group = file[folder] if folder else file
        del group[last]
        make(group, last)

    return change


def dataset(shape=(4,), dtype="f8", *, layout=None, alloc=h5py.h5d.ALLOC_TIME_EARLY, filters=0, external=None):
    """A function that makes a data set in a low-level way."""

    def make(group, name):
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        if layout is not None:
            plist.set_layout(layout)
        if layout == h5py.h5d.CHUNKED:
            plist.set_chunk(tuple(min(n, 64) for n in shape))
        if filters:
            plist.set_deflate(filters)
        if external is not None:
            plist.set_external(external, 0, h5py.h5f.UNLIMITED)
        plist.set_alloc_time(alloc)
        kind = dtype if isinstance(dtype, h5py.h5t.TypeID) else h5py.h5t.py_create(np.dtype(dtype), logical=True)
        h5py.h5d.create(group.id, name.encode(), kind, h5py.h5s.create_simple(shape), plist)

    return make


def virtual(group, name):
    layout = h5py.VirtualLayout(shape=(4,), dtype="f8")
    layout[:] = h5py.VirtualSource("other.h5", "data", shape=(4,))
    group.create_virtual_dataset(name, layout)


def vlen(group, name):
    group.create_dataset(name, data=["text"], dtype=h5py.string_dtype())


def references(group, name):
    group.create_dataset(name, (1,), dtype=h5py.ref_dtype)


def loop(file):
    file["arrays"]["2"] = file["/"]


LATE = h5py.h5d.ALLOC_TIME_LATE
HOSTILE = {
    "a soft link": replaced("arrays/1", lambda g, n: g.__setitem__(n, h5py.SoftLink("/arrays/0"))),
    "a soft link to nothing": replaced("arrays/1", lambda g, n: g.__setitem__(n, h5py.SoftLink("/none"))),
    "an external link": replaced("arrays/1", lambda g, n: g.__setitem__(n, h5py.ExternalLink("other.h5", "/"))),
    "an external link for the arrays": replaced(
        "arrays", lambda g, n: g.__setitem__(n, h5py.ExternalLink("other.h5", "/"))
    ),
    "a soft link for the description": replaced(
        "description", lambda g, n: g.__setitem__(n, h5py.SoftLink("/arrays/0"))
    ),
    "two names of one data set": replaced("arrays/1", lambda g, n: g.__setitem__(n, g["0"])),
    "a group for an array": replaced("arrays/1", lambda g, n: g.create_group(n)),
    "a loop of groups": loop,
    "a type for an array": replaced("arrays/1", lambda g, n: g.__setitem__(n, np.dtype("f8"))),
    "virtual data": replaced("arrays/1", virtual),
    "external data": replaced("arrays/1", dataset(external=b"/etc/hostname")),
    "chunks": replaced("arrays/1", dataset(layout=h5py.h5d.CHUNKED)),
    "compressed chunks": replaced("arrays/1", dataset((10**7,), layout=h5py.h5d.CHUNKED, filters=9, alloc=LATE)),
    "compact data": replaced("arrays/1", dataset(layout=h5py.h5d.COMPACT)),
    "bytes that were never written": replaced("arrays/1", dataset(alloc=LATE)),
    "a terabyte that was never written": replaced("arrays/1", dataset((2**37,), alloc=LATE)),
    "more entries than a number can count": replaced("arrays/1", dataset((2**31, 2**31, 2**31), "i1", alloc=LATE)),
    "references": replaced("arrays/1", references),
    "text of any length": replaced("arrays/1", vlen),
    "text of one length": replaced("arrays/1", dataset(dtype="S8")),
    "pairs": replaced("arrays/1", dataset(dtype=[("a", "f8"), ("b", "f8")])),
    "complex numbers": replaced("arrays/1", dataset(dtype="c16")),
    "times": replaced("arrays/1", dataset(dtype=h5py.h5t.UNIX_D64LE)),
    "opaque bytes": replaced("arrays/1", lambda g, n: g.create_dataset(n, data=np.zeros(3, dtype="V8"))),
    "numbers with the other end first": replaced("arrays/1", dataset(dtype=">f8")),
    "one array too few": lambda file: file["arrays"].__delitem__("0"),
    "another name": lambda file: file["arrays"].move("1", "one"),
    "one more entry": lambda file: file.create_dataset("more", data=np.zeros(2)),
    "no description": lambda file: file.__delitem__("description"),
    "a description of numbers": replaced("description", lambda g, n: g.create_dataset(n, data=np.arange(3.0))),
    "a description that is no JSON": replaced(
        "description", lambda g, n: g.create_dataset(n, data=np.frombuffer(b"{" * 100000, dtype=np.uint8))
    ),
}


def test_arrays_and_description_come_back_as_they_were():
    description, arrays = _hdf5.from_bytes(_hdf5.to_bytes(DESCRIPTION, ARRAYS), LARGEST)
    assert description == DESCRIPTION
    for one, other in zip(ARRAYS, arrays, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        np.testing.assert_array_equal(one, other)


def test_equal_models_are_equal_bytes():
    assert _hdf5.to_bytes(DESCRIPTION, ARRAYS) == _hdf5.to_bytes(DESCRIPTION, ARRAYS)


@pytest.mark.parametrize("name", HOSTILE)
def test_what_could_read_other_bytes_is_refused(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with h5py.File("other.h5", "w") as file:
        file["data"] = np.arange(4.0)
    content = hostile(HOSTILE[name], tmp_path)
    with pytest.raises((ModelFileError, ValueError, RecursionError)):
        _hdf5.from_bytes(content, LARGEST)


def test_every_bit_counts():
    content = _hdf5.to_bytes(DESCRIPTION, ARRAYS[:1])
    random = np.random.default_rng(0)
    places = np.r_[np.arange(_hdf5.BLOCK), random.integers(_hdf5.BLOCK, len(content), 200)]
    for place in places:
        flipped = bytearray(content)
        flipped[place] ^= 1 << random.integers(8)
        with pytest.raises(ModelFileError):
            _hdf5.from_bytes(bytes(flipped), LARGEST)


@pytest.mark.parametrize("length", [0, 7, 511, 512, 513, 1000, -1])
def test_a_file_that_was_cut_off_is_refused(length):
    content = _hdf5.to_bytes(DESCRIPTION, ARRAYS)
    with pytest.raises(ModelFileError):
        _hdf5.from_bytes(content[:length], LARGEST)
    with pytest.raises(ModelFileError):
        _hdf5.from_bytes(content + b"\0", LARGEST)


def test_a_description_beyond_the_bound_is_refused():
    with pytest.raises(ModelFileError, match="description"):
        _hdf5.from_bytes(_hdf5.to_bytes({"model": "x" * 1000}, []), 100)
