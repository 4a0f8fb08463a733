"""MNIST and the protocol of its likelihood figures, shared by the scripts of this folder.

Pixels divided by 255 are probabilities of a 1. Training rows are 0 to 49999 and are redrawn in every epoch; rows
50000 to 59999 are the validation rows, binarised once from seed 1; test rows are binarised once from seed 0. Figures
with another binarisation differ by about 2 nats and do not compare.
"""

import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

N_TRAIN = 50_000


class Mnist(NamedTuple):
    """Grey levels 0 to 255 in the original order: (60000, 784) and (10000, 784), uint8."""

    train: np.ndarray
    test: np.ndarray


def load() -> Mnist:
    """MNIST from the folder ``SKGEN_DATA``, else from OpenML; without either, say so and exit with status 0."""
    path = Path(os.environ.get("SKGEN_DATA", ".")) / "mnist.npz"
    if path.is_file():
        with np.load(path) as data:
            return Mnist(data["X_train"], data["X_test"])
    return _fetch(path)


def labels() -> tuple[np.ndarray, np.ndarray]:
    """Digits of the training rows and of the test rows, from where :func:`load` has these."""
    path = Path(os.environ.get("SKGEN_DATA", ".")) / "mnist.npz"
    if path.is_file():
        with np.load(path) as data:
            return data["y_train"].astype(int), data["y_test"].astype(int)
    y_train, y_test = np.split(_openml(path).target.astype(int), [60_000])
    return y_train, y_test


def _fetch(path: Path) -> Mnist:
    return Mnist(*np.split(_openml(path).data.astype(np.uint8), [60_000]))


def _openml(path: Path):
    from sklearn.datasets import fetch_openml

    try:
        return fetch_openml("mnist_784", version=1, as_frame=False, parser="liac-arff")
    except OSError as error:
        print(
            f"Skipped: this benchmark needs MNIST. There is no {path} (set SKGEN_DATA to a folder that holds "
            f"mnist.npz with X_train and X_test), and OpenML cannot be reached ({error})."
        )
        sys.exit(0)


def binarised(grey: np.ndarray, seed: int) -> np.ndarray:
    """One binarisation of grey levels, float32."""
    return (np.random.default_rng(seed).random(grey.shape) < grey / 255).astype(np.float32)


def training_rows(mnist: Mnist) -> np.ndarray:
    """Probabilities of a 1 to redraw in every epoch, (50000, 784), float32."""
    return mnist.train[:N_TRAIN].astype(np.float32) / np.float32(255)


def validation_rows(mnist: Mnist) -> np.ndarray:
    """Rows for early stopping, (10000, 784), binarised once."""
    return binarised(mnist.train[N_TRAIN:], seed=1)


def test_rows(mnist: Mnist) -> np.ndarray:
    """Rows to report on, (10000, 784), binarised once."""
    return binarised(mnist.test, seed=0)
