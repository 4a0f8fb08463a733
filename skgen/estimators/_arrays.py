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
        return torch.from_numpy(np.ascontiguousarray(array))


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
    """Weighted count, mean and sum of squared deviations of columns, updated chunk by chunk in float64."""

    n_rows: int
    count: float
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
        for tile in tiles(len(X), 2 * X.shape[1]):
            with np.errstate(over="ignore", invalid="ignore"):  # the moments show it
                result = result._merged(
                    X[tile].astype(np.float64), None if sample_weight is None else sample_weight[tile]
                )
        return result

    def _merged(self, x, weight):
        added = float(len(x)) if weight is None else float(weight.sum())
        mean = x.mean(axis=0) if weight is None else weight @ x / added
        deviation = (x - mean) ** 2
        squares = deviation.sum(axis=0) if weight is None else weight @ deviation
        total = self.count + added
        delta = mean - self.mean
        return RunningMoments(
            self.n_rows + len(x),
            total,
            self.mean + delta * (added / total),
            self.squares + squares + delta**2 * (self.count * added / total),
            np.minimum(self.low, x.min(axis=0)),
            np.maximum(self.high, x.max(axis=0)),
        )

    @property
    def constant(self):
        """Columns that have had one value only, or so close ones that their variance underflows."""
        return (self.low == self.high) | (self.squares < np.finfo(np.float64).tiny * self.count)

    @property
    def scale(self):
        """Standard deviations, exactly 0 for constant columns."""
        return np.where(self.constant, 0.0, np.sqrt(self.squares / self.count))
