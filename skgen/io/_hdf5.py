"""Arrays and a description as HDF5, behind a block that tells whether all bytes are as they were written.

The file begins with a block of 512 bytes: a mark, the length of the rest, and its SHA-256. The rest is an HDF5 file
whose root holds the data set ``description``, JSON in UTF-8, and the group ``arrays`` with the data sets "0", "1", ...
"""

import hashlib
import io
import json
import struct

import numpy as np

from skgen.io._errors import ModelFileError

MARK = b"SKGENMODEL\r\n\x1a\n\0\0"
BLOCK = 512
HEADER = struct.Struct("<16sQ32s")
DTYPES = {np.dtype(f"<{kind}").str for kind in ("f4", "f8", "f2", "i2", "i4", "i8", "u2", "u4", "u8")} | {
    np.dtype(kind).str for kind in ("i1", "u1", "bool")
}
"""Dtypes that arrays may have."""


def _h5py():
    try:
        import h5py
    except ImportError as error:
        raise ImportError('HDF5 files need h5py: pip install "skgen[io]".') from error
    return h5py


def to_bytes(description, arrays):
    """A file as bytes."""
    h5py = _h5py()
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", userblock_size=BLOCK, libver=("v110", "v110")) as file:
        text = np.frombuffer(json.dumps(description, allow_nan=False).encode(), dtype=np.uint8)
        _write(h5py, file, "description", text)
        group = file.create_group("arrays")
        for index, array in enumerate(arrays):
            _write(h5py, group, str(index), array)
    content = bytearray(buffer.getvalue())
    rest = memoryview(content)[BLOCK:]
    content[: HEADER.size] = HEADER.pack(MARK, len(rest), hashlib.sha256(rest).digest())
    return bytes(content)


def _write(h5py, group, name, array):
    """A contiguous data set whose bytes are there from the start."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_layout(h5py.h5d.CONTIGUOUS)
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    stored = array.astype(np.uint8) if array.dtype == bool else array
    space = h5py.h5s.create_simple(stored.shape) if stored.ndim else h5py.h5s.create(h5py.h5s.SCALAR)
    kind = h5py.h5t.py_create(array.dtype, logical=True)
    data = h5py.h5d.create(group.id, name.encode(), kind, space, plist)
    if array.size:
        data.write(h5py.h5s.ALL, h5py.h5s.ALL, array)


def from_bytes(content, largest):
    """Description and arrays of a file; ``largest`` bounds the bytes of the description."""
    if len(content) < BLOCK:
        raise ModelFileError("it is too short")
    mark, length, digest = HEADER.unpack_from(content)
    rest = memoryview(content)[BLOCK:]
    if mark != MARK or any(content[HEADER.size : BLOCK]):
        raise ModelFileError("it does not begin as a model of skgen does")
    if length != len(rest) or hashlib.sha256(rest).digest() != digest:
        raise ModelFileError("its digest is wrong: it was damaged or cut off")
    h5py = _h5py()
    with h5py.File(io.BytesIO(content), "r") as file:
        reader = _Reader(h5py, len(content))
        reader.expect(file, {"description", "arrays"})
        text = reader.array(file, "description")
        if text.dtype != np.uint8 or text.ndim != 1 or text.size > largest:
            raise ModelFileError("its description is none")
        if reader.link(file, "arrays") != h5py.h5o.TYPE_GROUP:
            raise ModelFileError("its arrays are no group")
        group = file["arrays"]
        names = [str(index) for index in range(len(group))]
        reader.expect(group, set(names))
        arrays = [reader.array(group, name) for name in names]
    return json.loads(text.tobytes().decode()), arrays


class _Reader:
    """Takes data sets whose bytes all lie in the file, in the open, each its own."""

    def __init__(self, h5py, n_bytes):
        self.h5py = h5py
        self.n_bytes = n_bytes
        self.taken = []

    def expect(self, group, names):
        if set(group.keys()) != names:
            raise ModelFileError("it holds other entries than a model does")

    def link(self, group, name):
        """The type of what a hard link leads to, which is not opened if it is another kind of link."""
        if group.id.links.get_info(name.encode()).type != self.h5py.h5l.TYPE_HARD:
            raise ModelFileError(f"{name!r} is a link that leads elsewhere")
        return self.h5py.h5o.get_info(group.id, name.encode()).type

    def array(self, group, name):
        if self.link(group, name) != self.h5py.h5o.TYPE_DATASET:
            raise ModelFileError(f"{name!r} is no data set")
        data = self.h5py.h5d.open(group.id, name.encode())
        plist, kind = data.get_create_plist(), data.get_type()
        plain = (
            plist.get_layout() == self.h5py.h5d.CONTIGUOUS
            and plist.get_nfilters() == 0
            and plist.get_external_count() == 0
        )
        dtype = kind.dtype if plain and kind.get_class() in self._classes() else None
        if dtype is None or dtype.hasobject or dtype.str not in DTYPES:
            raise ModelFileError(f"{name!r} is no plain array of numbers")
        self._check_stored(data, dtype, name)
        values = np.empty(data.shape, dtype=dtype)
        if values.size:
            data.read(self.h5py.h5s.ALL, self.h5py.h5s.ALL, values)
        return values

    def _classes(self):
        h5t = self.h5py.h5t
        return (h5t.INTEGER, h5t.FLOAT, h5t.ENUM)

    def _check_stored(self, data, dtype, name):
        """Refuse what declares more bytes than are there for it alone."""
        size = dtype.itemsize
        for length in data.shape:
            size *= int(length)
        start = data.get_offset() or 0
        inside = size == 0 or BLOCK <= start <= self.n_bytes - size
        shared = any(start < end and begin < start + size for begin, end in self.taken)
        if shared or not inside or data.get_storage_size() != size:
            raise ModelFileError(f"{name!r} declares {size} bytes that are not there for it")
        self.taken.append((start, start + size))
