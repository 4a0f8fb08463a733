"""Files of fitted estimators: parameters, arrays and plain values, and no code.

:func:`save_model` writes an estimator of the package to HDF5 or, by the suffix, to safetensors, under a name with the
time before it. :func:`load_model` finds the newest file of a name. A file is checked before it is believed: a digest
tells of damage, and whatever it holds that an estimator could not have written is refused with one error,
:class:`ModelFileError`.
"""

from skgen.io._errors import ModelFileError
from skgen.io._files import load_model, save_model

__all__ = ["ModelFileError", "load_model", "save_model"]
