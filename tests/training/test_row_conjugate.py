import pytest
import torch

from skgen.training.row_conjugate import ConjugateGradients, TruncatedNewton
from tests.training.rows import LONG_STEPS, coupled, evaluations, quadratics, valley

METHODS = [ConjugateGradients, TruncatedNewton]


@pytest.mark.parametrize("method", METHODS)
def test_slopes_vanish_where_a_search_ends(method, generator):
    search, n = evaluations(method, *coupled(generator))
    assert n < 300
    assert (torch.linalg.vector_norm(search.gradient, dim=-1) < 1e-5).all()


@pytest.mark.parametrize("method", METHODS)
def test_steps_grow_where_the_function_is_convex_along_them(method):
    start = torch.tensor([[40.0, 0.3], [-25.0, 0.0], [3.0, -1.0]], dtype=torch.float64)
    search, n = evaluations(method, valley, start)
    torch.testing.assert_close(search.best, torch.zeros_like(start), rtol=0, atol=1e-5)
    assert n <= 60


@pytest.mark.parametrize("n_parameters", [1, 3, 6])
def test_conjugate_gradients_search_as_many_lines_as_a_quadratic_has_parameters(n_parameters, generator, monkeypatch):
    monkeypatch.setattr("skgen.training.row_conjugate.SLOPE_LEFT", 1e-8)
    bound, best = quadratics(generator, n_parameters=n_parameters, largest=30.0)
    start = torch.zeros_like(best)
    search = ConjugateGradients(start, *bound(start), LONG_STEPS)
    # A line takes a step and a secant, and the first one some more until a step is short enough.
    for _ in range(2 * n_parameters + 6):
        search.tell(*bound(search.ask()))
    torch.testing.assert_close(search.best, best, rtol=0, atol=1e-6)


@pytest.mark.parametrize("n_parameters", [1, 3, 6])
def test_newtons_method_multiplies_by_the_hessian_of_a_quadratic_no_more_than_twice_per_parameter(
    n_parameters, generator
):
    bound, best = quadratics(generator, n_parameters=n_parameters, largest=30.0)
    search, n = evaluations(TruncatedNewton, bound, torch.zeros_like(best))
    torch.testing.assert_close(search.best, best, rtol=0, atol=1e-6)
    assert n <= 6 * n_parameters + 6
