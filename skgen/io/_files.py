"""Names of files, and models in them."""

import os
import re
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import sklearn
import torch
from sklearn.utils.validation import check_is_fitted

from skgen._version import __version__
from skgen.io import _hdf5, _safetensors
from skgen.io._errors import ModelFileError
from skgen.io._loaded import checked
from skgen.io._state import described, restored

FORMATS = {".h5": _hdf5, ".safetensors": _safetensors}
"""How a file is written and read, by its suffix. Each module has ``to_bytes`` and ``from_bytes``."""
FORMAT_VERSION = 1
NAME = re.compile(r"\w[\w .+-]*", re.ASCII)
TIME = "%Y%m%d-%H%M%S"
STAMP = r"\d{8}-\d{6}"
LARGEST_DESCRIPTION = 2**26
"""Bytes of a description above which it is not read: models hold their numbers in arrays."""


def save_model(model, folder, name):
    """Write a fitted estimator to a new file.

    Parameters
    ----------
    model : estimator
        Fitted, of skgen. Parameters may be anything but objects with code of the user's.
    folder : path-like
        An existing folder.
    name : str
        Name of the model, without the time; a suffix ".h5" (the default) or ".safetensors" chooses the format.

    Returns
    -------
    path : Path
        The file, named by the time (UTC) and the name: ``20261120-142501-digits.h5``. A file of that name is never
        overwritten: the next second is waited for.

    Raises
    ------
    TypeError
        For a parameter that no file can hold, such as a function; it names the parameter.
    ValueError
        For a name with a path separator, or without a letter.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_iris
    >>> from skgen import GaussianMixture
    >>> from skgen.io import load_model, save_model
    >>> X = load_iris().data
    >>> mixture = GaussianMixture(3, random_state=0).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_model(mixture, folder, "iris")
    ...     again = load_model(folder, "iris")
    >>> bool(again.score(X) == mixture.score(X))
    True
    """
    check_is_fitted(model)
    stem, suffix = _split(name)
    description, arrays = described(model)
    description |= {
        "format": FORMAT_VERSION,
        "versions": {"skgen": __version__, "sklearn": sklearn.__version__, "numpy": np.__version__}
        | {"torch": torch.__version__},
    }
    while True:
        now = datetime.now(UTC)
        path = Path(folder) / f"{now.strftime(TIME)}-{stem}{suffix}"
        if not path.exists():
            content = FORMATS[suffix].to_bytes(description | {"saved": now.isoformat(timespec="seconds")}, arrays)
            if _written(path, content):
                return path
        time.sleep(1 - datetime.now(UTC).microsecond / 1e6)


def load_model(folder, name):
    """Read a fitted estimator.

    Parameters
    ----------
    folder : path-like
        Where the file is.
    name : str
        Name of a model, of which the newest file is read, in either format unless a suffix says which; or the name of
        a file.

    Returns
    -------
    model : estimator
        With the parameters and fitted attributes that it was saved with.

    Raises
    ------
    FileNotFoundError
        Where there is no such file; it names the models that there are.
    ModelFileError
        For a file that is damaged, or holds what no estimator could have written.
    """
    path = _found(Path(folder), name)
    content = path.read_bytes()
    try:
        description, arrays = FORMATS[path.suffix].from_bytes(content, LARGEST_DESCRIPTION)
        if description.get("format") != FORMAT_VERSION:
            raise ModelFileError(
                f"its format is {description.get('format')!r}, and this version of skgen reads {FORMAT_VERSION}"
            )
        return checked(restored(description, arrays), len(content))
    except Exception as error:  # what hostile bytes can raise has no end
        raise ModelFileError(f"{path} is no model that can be read: {error}") from error


def _split(name):
    """Stem and suffix of the name of a model; ValueError for names that are not that of a file in a folder."""
    stem, suffix = os.path.splitext(name)
    if suffix not in FORMATS:
        stem, suffix = name, ".h5"
    if not NAME.fullmatch(stem) or re.match(STAMP, stem):
        raise ValueError(
            "name must be letters, digits and '_ .+-', not begin with a time, and hold no path separator, got "
            f"{name!r}."
        )
    return stem, suffix


def _found(folder, name):
    if os.path.basename(name) != name or name in ("", os.curdir, os.pardir):
        raise ValueError(f"name must be the name of a model or of a file in the folder, got {name!r}.")
    path = folder / name
    if re.match(STAMP, name) and path.suffix in FORMATS:
        if not path.is_file():
            raise FileNotFoundError(f"There is no file {path}.")
        return path
    stem, suffix = _split(name)
    wanted = [suffix] if name.endswith(suffix) else list(FORMATS)
    files = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    found = [f for f in files if any(re.fullmatch(f"{STAMP}-{re.escape(stem + end)}", f) for end in wanted)]
    if not found:
        ends = "|".join(map(re.escape, FORMATS))
        models = sorted({m[1] for f in files if (m := re.fullmatch(f"{STAMP}-(.+)({ends})", f))})
        raise FileNotFoundError(f"There is no model {name!r} in {folder}; there are {models}.")
    return folder / max(found)


def _written(path, content):
    """Make a file whole or not at all, unless there is one; False if there is."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".skgen-tmp") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        try:
            os.link(file.name, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            return _claimed(path, content)
    return True


def _claimed(path, content):
    """As :func:`_written`, where names can only be claimed by making a file."""
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        return False
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise
    return True
