"""Sparse rows that are made dense a few at a time."""

import numpy as np
import torch
from scipy.sparse import issparse

from skgen.estimators._arrays import as_tensor


def as_rows(X):
    """Rows that may be asked for their slices: an array itself, or sparse ones behind :class:`SparseRows`."""
    return SparseRows(X) if issparse(X) else X


class SparseRows:
    """Rows of a CSR matrix as an array of rows and as a tensor of them: dense where they are read.

    A slice gives a dense array, a mask or an array of numbers other such rows.
    """

    device = torch.device("cpu")

    def __init__(self, matrix):
        self.matrix = matrix
        self.shape, self.dtype = matrix.shape, matrix.dtype
        self.nbytes = int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self.matrix[index].toarray()
        return SparseRows(self.matrix[index])

    def index_select(self, dim, index):
        """Rows by their numbers as a dense tensor; ``dim`` is 0."""
        return as_tensor(self.matrix[index.numpy()].toarray())
