import pytest
import torch

from skgen.training.row_directions import BFGS, LBFGS, LEAST_CURVATURE, MEMORY
from tests.training.rows import LONG_STEPS, coupled, evaluations, quadratics, valley

METHODS = [LBFGS, BFGS]


@pytest.mark.parametrize("method", METHODS)
def test_slopes_vanish_where_a_search_ends(method, generator):
    search, n = evaluations(method, *coupled(generator))
    assert n < 300
    assert (torch.linalg.vector_norm(search.gradient, dim=-1) < 1e-5).all()


def test_the_last_steps_stand_for_the_inverse_hessian_that_bfgs_makes_of_them(generator):
    bound, start = coupled(generator)
    search = LBFGS(start, *bound(start), LONG_STEPS)
    for _ in range(MEMORY):
        search.tell(*bound(search.ask()))
    n = start.shape[-1]
    inverse = search.scale.view(-1, 1, 1) * torch.eye(n, dtype=start.dtype)
    for i in range(MEMORY):  # no more evaluations than places, so that the oldest is the first
        weight = search.inverse[:, i].view(-1, 1, 1)
        step, change = search.steps[:, i].unsqueeze(-1), search.changes[:, i].unsqueeze(-1)
        left = torch.eye(n, dtype=start.dtype) - weight * step @ change.mT
        inverse = left @ inverse @ left.mT + weight * step @ step.mT
    expected = (inverse @ search.gradient.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(search._ascent(), expected, rtol=1e-9, atol=1e-12)


def test_a_pair_has_its_place_until_the_memory_comes_round(generator):
    bound, best = quadratics(generator)
    search = LBFGS(torch.zeros_like(best), *bound(torch.zeros_like(best)), LONG_STEPS)
    for n in range(2 * MEMORY):
        before = search.steps.clone()
        search.tell(*bound(search.ask()))
        untouched = [i for i in range(MEMORY) if i != n % MEMORY]
        assert torch.equal(search.steps[:, untouched], before[:, untouched])


def test_the_inverse_hessian_of_bfgs_stays_symmetric_and_positive_and_obeys_the_secant_condition(generator):
    bound, start = coupled(generator)
    search = BFGS(start, *bound(start), LONG_STEPS)
    for _ in range(30):
        point, gradient, inverse = search.best, search.gradient, search.inverse.clone()
        search.tell(*bound(search.ask()))
        step, change = search.best - point, gradient - search.gradient
        torch.testing.assert_close(search.inverse, search.inverse.mT, rtol=0, atol=1e-9)
        assert (torch.linalg.eigvalsh(search.inverse) > 0).all()
        believed = (step * torch.linalg.solve(inverse, step)).sum(-1)
        # Steps that tell little, and those that are little more than rounding, are left out.
        told = ((step * change).sum(-1) > 1.01 * LEAST_CURVATURE * believed) & (step.norm(dim=-1) > 1e-3)
        secant = (search.inverse @ change.unsqueeze(-1)).squeeze(-1)
        torch.testing.assert_close(secant[told], step[told], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_steps_grow_where_the_function_is_convex_along_them(method):
    start = torch.tensor([[40.0, 0.3], [-25.0, 0.0], [3.0, -1.0]], dtype=torch.float64)
    search, n = evaluations(method, valley, start)
    torch.testing.assert_close(search.best, torch.zeros_like(start), rtol=0, atol=1e-5)
    assert n <= 60
