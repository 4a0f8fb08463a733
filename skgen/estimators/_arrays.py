"""Where arrays become tensors and tensors arrays, and nowhere else."""

import warnings
from dataclasses import dataclass

import numpy as np
import torch

TILE_BYTES = 100 * 2**20

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.float32}
"""The dtype of parameters for each precision; "bfloat16" is that of the matrix products alone."""


def as_tensor(array):
    """A CPU tensor that shares memory with a NumPy array, read-only ones included."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable", category=UserWarning)
        array = np.ascontiguousarray(array)
        # A single row of reversed ones is contiguous to NumPy, but not to torch.
        return torch.from_numpy(np.array(array) if min(array.strides, default=0) < 0 else array)


def as_array(tensor):
    """A contiguous NumPy copy of a tensor."""
    return np.array(tensor.detach().cpu().numpy(), order="C")


def resolve_device(device):
    """The torch device that a ``device`` parameter names; ValueError names what is present."""
    present = ["cpu"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    present += ["mps"] if torch.backends.mps.is_available() else []
    if device == "auto":
        return torch.device(present[1] if len(present) > 1 else "cpu")
    name = "cuda:0" if device == "cuda" else device
    if name not in present:
        raise ValueError(
            f"device={device!r} is not present; available: {present}. Use device='auto' for the best one that is, or "
            "install a build of torch for your accelerator."
        )
    return torch.device(name)


def seed_from(random_state):
    """A seed for torch's explicit generators drawn from a NumPy RandomState."""
    return int(random_state.randint(np.iinfo(np.int32).max))


def tile_size(numbers_per_row, itemsize=8):
    """Rows whose intermediate results stay within the memory bound."""
    return max(1, TILE_BYTES // max(1, numbers_per_row * itemsize))


def tiles(n_rows, numbers_per_row, itemsize=8):
    """Slices of rows, each of them a tile."""
    size = tile_size(numbers_per_row, itemsize)
    return [slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]


@dataclass
class RunningMoments:
    """Weighted count, mean and sum of squared deviations of columns, updated chunk by chunk in float64.

    Missing entries are left out; ``count`` is an array, with a number for each column, once there have been some.
    """

    n_rows: int
    count: float | np.ndarray
    mean: np.ndarray
    squares: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def empty(cls, n_features):
        """Moments of no rows."""
        zeros = np.zeros(n_features)
        return cls(0, 0.0, zeros, zeros.copy(), np.full(n_features, np.inf), np.full(n_features, -np.inf))

    def updated(self, X, sample_weight=None):
        """Moments with the rows of X added (Chan et al. 1983), gathered in tiles of float64."""
        result = self
        for tile in tiles(len(X), 16 * X.shape[1]):
            with np.errstate(over="ignore", invalid="ignore"):  # the moments show it
                result = result._merged(
                    X[tile].astype(np.float64), None if sample_weight is None else sample_weight[tile]
                )
        return result

    def _merged(self, x, weight):
        added = float(len(x)) if weight is None else float(weight.sum())
        mean = x.mean(axis=0) if weight is None else weight @ x / added
        # A mean tells of missing entries at no cost.
        if np.isnan(mean).any():
            missing = np.isnan(x)
            weight = np.where(missing, 0.0, 1.0 if weight is None else weight[:, None])
            return self._joined(*_weighted_moments(np.where(missing, 0.0, x), weight), _range(x, missing), len(x))
        deviation = (x - mean) ** 2
        squares = deviation.sum(axis=0) if weight is None else weight @ deviation
        return self._joined(added, mean, squares, (x.min(axis=0), x.max(axis=0)), len(x))

    def _joined(self, added, mean, squares, extremes, n_rows):
        total = self.count + added
        share = added / np.where(total > 0, total, 1.0)
        delta = mean - self.mean
        return RunningMoments(
            self.n_rows + n_rows,
            total,
            self.mean + delta * share,
            self.squares + squares + delta**2 * (self.count * share),
            np.minimum(self.low, extremes[0]),
            np.maximum(self.high, extremes[1]),
        )

    @property
    def constant(self):
        """Columns that rows give one value at most, or so close ones that their variance underflows."""
        alike = (self.low >= self.high) | (self.squares < np.finfo(np.float64).tiny * self.count)
        return alike & (self.n_rows > 0)

    @property
    def scale(self):
        """Standard deviations, exactly 0 for constant columns."""
        return np.where(self.constant, 0.0, np.sqrt(self.squares / np.where(self.count > 0, self.count, 1.0)))

    @property
    def incomplete(self):
        """Whether entries have been missing."""
        return np.ndim(self.count) > 0


def _weighted_moments(x, weight):
    """Count, mean and sum of squared deviations of each column, with a weight for each entry."""
    added = weight.sum(axis=0)
    mean = (weight * x).sum(axis=0) / np.where(added > 0, added, 1.0)
    return added, mean, (weight * (x - mean) ** 2).sum(axis=0)


def _range(x, missing):
    """Smallest and largest entry of each column that are there; infinities where there is none."""
    return np.where(missing, np.inf, x).min(axis=0), np.where(missing, -np.inf, x).max(axis=0)
