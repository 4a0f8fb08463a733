"""Files of arrays that are complete or not there, and digests that tell values apart."""

import hashlib
import os
import tempfile
import warnings
from collections.abc import Mapping
from contextlib import suppress
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

try:
    import fcntl
except ImportError:  # Windows, where a file that is open can be neither removed nor renamed
    fcntl = None  # type: ignore[assignment]  # a module elsewhere

Arrays = dict[str, np.ndarray[Any, Any]]

HASH_BYTES = 2**22
SUFFIX = ".skgen-tmp"


def digest(value: Any) -> str:
    """SHA-256 of a value made of numbers, text, None, classes, slices, arrays, data frames, specs, and containers.

    Classes count by name, specs and estimators by class and parameters, a RandomState by its state. TypeError
    for anything else.
    """
    result = hashlib.sha256()
    _feed(result, value)
    return result.hexdigest()


def _feed(result: Any, value: Any) -> None:
    """Add a value with its type and length, so that different values are different bytes."""
    if isinstance(value, np.generic):
        value = value.item()
    elif isinstance(value, np.random.RandomState):
        value = value.get_state(legacy=False)
    if isinstance(value, type):
        _feed_text(result, "class", f"{value.__module__}.{value.__qualname__}")
    elif value is None or isinstance(value, str | bytes | Real):
        _feed_text(result, type(value).__name__, repr(value))
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        _feed_array(result, value)
    elif isinstance(value, Mapping):
        _feed_text(result, "mapping", "")
        _feed(result, sorted(value.items()))
    elif isinstance(value, list | tuple | np.ndarray):
        _feed_text(result, type(value).__name__, str(len(value)))
        for item in value:
            _feed(result, item)
    elif isinstance(value, slice):
        _feed(result, [slice, value.start, value.stop, value.step])
    elif hasattr(value, "columns") and hasattr(value, "dtypes"):
        for name in value.columns:
            _feed_text(result, f"column {name}", repr(list(value[name])))
    elif hasattr(value, "get_params"):
        _feed(result, [type(value), value.get_params(deep=False)])
    else:
        raise TypeError(f"Values of type {type(value).__name__} have no digest, got {value!r}.")


def _feed_text(result: Any, kind: str, text: str) -> None:
    content = text.encode(errors="surrogatepass")
    result.update(f"{kind}:{len(content)}:".encode() + content)


def _feed_array(result: Any, array: np.ndarray[Any, Any]) -> None:
    """Add an array in tiles, so that neither a memory map nor another memory order is copied whole."""
    _feed_text(result, array.dtype.str, repr(array.shape))
    rows = np.atleast_1d(array)
    step = max(1, HASH_BYTES // max(1, rows[:1].nbytes))
    for start in range(0, len(rows), step):
        result.update(rows[start : start + step].tobytes())


def read_arrays(path: str) -> Arrays | None:
    """Arrays written by :func:`write_arrays`; None without a file and, after a warning, for a damaged one."""
    if not os.path.exists(path):
        return None
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if str(arrays.pop("digest")) == digest(arrays):
            return arrays
        problem = "its digest is wrong"
    except Exception as error:  # a damaged archive can raise almost anything
        problem = f"{type(error).__name__}: {error}"
    warnings.warn(f"{path} is damaged and is ignored ({problem}).", UserWarning, stacklevel=3)
    return None


def write_arrays(path: str, arrays: Arrays) -> None:
    """Replace a file by one with these arrays; whatever interrupts that, ``path`` is the old or the new one.

    Raises OSError when the file cannot be written.
    """
    folder, name = os.path.split(path)
    content = arrays | {"digest": np.array(digest(arrays))}
    with _claimed(folder, name) as file:
        try:
            np.savez(file, **content)
            file.flush()
            os.fsync(file.fileno())
            if fcntl is not None:
                os.replace(file.name, path)
        except BaseException:
            with suppress(OSError):
                os.remove(file.name)
            raise
    if fcntl is None:
        os.replace(file.name, path)


def _claimed(folder: str, name: str) -> Any:
    """A new file that is locked, so that no cleaner takes it for abandoned before its writer ends."""
    while True:
        file = tempfile.NamedTemporaryFile(dir=folder, prefix=name, suffix=SUFFIX, delete=False)  # noqa: SIM115 the caller closes it
        if fcntl is not None:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
        if fcntl is None or os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # A cleaner removed it between opening and locking.


def remove_abandoned(folder: str) -> None:
    """Remove unfinished files whose writer is dead: a lock ends with its process, however that ends."""
    for path in Path(folder).glob(f"*{SUFFIX}"):
        with suppress(OSError):  # gone already, or its writer is alive
            if fcntl is None:
                path.unlink()
                continue
            with path.open("rb+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
