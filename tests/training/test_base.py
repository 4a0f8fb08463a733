import pytest
import torch

from skgen.training.base import Optimizer
from skgen.training.flat import FlatVector
from skgen.training.optimizers import SOLVERS
from tests.parts import gradient_of, normal


def far_valley(x):
    """A smooth convex function that no solver minimises in a few steps."""
    return torch.logsumexp(torch.cat([3 * x, -x - 5]), 0) + 0.1 * x.square().sum()


def start(generator):
    return FlatVector(normal(4, generator=generator))


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_gradient_norm_is_that_of_the_last_gradient(solver, generator):
    flat = start(generator)
    optimizer = SOLVERS[solver](flat)
    gradient = gradient_of(far_valley, flat)
    for _ in range(3):
        before = flat.value.clone()
        optimizer.step(gradient, 0.1)
        norm = optimizer.gradient_norm
        at = FlatVector(flat.value.clone() if optimizer.line_search else before)
        gradient_of(far_valley, at)()
        assert norm == float(at.gradient.norm())


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_plain_vector_does_not_decay(solver, generator):
    plain = start(generator)
    decayed = FlatVector(plain.value.clone())
    for flat, weight_decay in ((plain, 0.0), (decayed, 0.5)):
        optimizer: Optimizer = SOLVERS[solver](flat, weight_decay=weight_decay)
        for _ in range(3):
            optimizer.step(gradient_of(far_valley, flat), 0.1)
    assert torch.equal(plain.value, decayed.value)
