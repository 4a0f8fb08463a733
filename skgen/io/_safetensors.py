"""Arrays and a description as safetensors, with a digest of all the file in its header."""

import hashlib
import json
import struct

from skgen.io._errors import ModelFileError

BLANK = "0" * 64
"""What stands in the header for the digest while it is computed."""


def _safetensors():
    try:
        from safetensors import numpy
    except ImportError as error:
        raise ImportError('safetensors files need the package: pip install "skgen[io]".') from error
    return numpy


def to_bytes(description, arrays):
    """A file as bytes."""
    metadata = {"format": "skgen", "description": json.dumps(description, allow_nan=False), "sha256": BLANK}
    tensors = {str(index): array for index, array in enumerate(arrays)}
    content = _safetensors().save(tensors, metadata)
    return content.replace(BLANK.encode(), hashlib.sha256(content).hexdigest().encode(), 1)


def from_bytes(content, largest):
    """Description and arrays of a file; ``largest`` bounds the bytes of the header."""
    length = struct.unpack_from("<Q", content)[0] if len(content) >= 8 else 0
    if not 0 < length <= min(len(content) - 8, largest):
        raise ModelFileError("it does not begin as a file of safetensors does")
    header = json.loads(content[8 : 8 + length])
    metadata = header.get("__metadata__", {})
    digest = metadata.get("sha256", "")
    if metadata.get("format") != "skgen" or len(digest) != len(BLANK):
        raise ModelFileError("it is no model of skgen")
    blank = content.replace(digest.encode(), BLANK.encode(), 1)
    if hashlib.sha256(blank).hexdigest() != digest:
        raise ModelFileError("its digest is wrong: it was damaged or cut off")
    tensors = _safetensors().load(content)
    names = [str(index) for index in range(len(tensors))]
    if tensors.keys() != set(names) or any(tensor.dtype.kind not in "biuf" for tensor in tensors.values()):
        raise ModelFileError("it holds other entries than a model does")
    return json.loads(metadata["description"]), [tensors[name] for name in names]
