"""Settings and fixtures that all tests share."""

import os

# scikit-learn's array API checks run only when this is set before scipy is imported.
os.environ["SCIPY_ARRAY_API"] = "1"

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Small tensors gain nothing from threads, and machines share their cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def generator():
    """A source of random numbers that starts the same in every test."""
    return torch.Generator().manual_seed(20)
