"""skgen.io._safetensors: the digest covers header and tensors."""

import hashlib
import json
import struct

import numpy as np
import pytest

from skgen.io import ModelFileError, _safetensors

LARGEST = 2**20
ARRAYS = [np.arange(12, dtype=np.float64).reshape(3, 4), np.array(2.5, dtype=np.float32), np.array([True])]
DESCRIPTION = {"model": [1, None, "ü"]}
CONTENT = _safetensors.to_bytes(DESCRIPTION, ARRAYS)


def header_of(content):
    length = struct.unpack_from("<Q", content)[0]
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def signed(header, data):
    """A file of a header and tensors, with the digest that belongs to it."""
    header.setdefault("__metadata__", {})["sha256"] = _safetensors.BLANK
    text = json.dumps(header).encode()
    content = struct.pack("<Q", len(text)) + text + data
    return content.replace(_safetensors.BLANK.encode(), hashlib.sha256(content).hexdigest().encode(), 1)


def test_arrays_and_description_come_back_as_they_were():
    description, arrays = _safetensors.from_bytes(CONTENT, LARGEST)
    assert description == DESCRIPTION
    for one, other in zip(ARRAYS, arrays, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        np.testing.assert_array_equal(one, other)


def test_every_bit_counts():
    random = np.random.default_rng(0)
    for place in range(len(CONTENT)):
        flipped = bytearray(CONTENT)
        flipped[place] ^= 1 << random.integers(8)
        with pytest.raises((ModelFileError, ValueError)):
            _safetensors.from_bytes(bytes(flipped), LARGEST)


@pytest.mark.parametrize("length", [0, 4, 8, 100, -1])
def test_a_file_that_was_cut_off_is_refused(length):
    with pytest.raises((ModelFileError, ValueError)):
        _safetensors.from_bytes(CONTENT[:length], LARGEST)


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header["0"].update(shape=[2**40]),
        lambda header: header["0"].update(data_offsets=[0, 2**40]),
        lambda header: header["1"].update(data_offsets=header["0"]["data_offsets"]),
        lambda header: header.update(more=header.pop("0")),
        lambda header: header["0"].update(dtype="C64"),
        lambda header: header["__metadata__"].update(format="pt"),
        lambda header: header["__metadata__"].pop("description"),
        lambda header: header["__metadata__"].update(description="{" * 50000),
    ],
)
def test_a_header_that_lies_is_refused(change):
    header, data = header_of(CONTENT)
    assert _safetensors.from_bytes(signed(header, data), LARGEST)[0] == DESCRIPTION
    change(header)
    with pytest.raises(Exception):  # noqa: B017, PT011 whatever it raises, a reader of files makes one error of it
        _safetensors.from_bytes(signed(header, data), LARGEST)
