import pytest
import torch

from skgen.training.row_search import refine
from tests.parts import normal


def quadratics(generator, n_rows=30, n_parameters=4):
    """Concave bounds of rows with condition numbers up to ten thousand, and their maxima."""
    basis, _ = torch.linalg.qr(normal(n_rows, n_parameters, n_parameters, generator=generator))
    curvature = torch.exp(torch.linspace(0, 9, n_parameters, dtype=torch.float64)) * (
        0.1 + torch.rand(n_rows, 1, dtype=torch.float64, generator=generator)
    )
    matrix, best = basis @ (curvature.unsqueeze(-1) * basis.mT), normal(n_rows, n_parameters, generator=generator)

    def bound(parameters, rows=slice(None)):
        deviation = parameters - best[rows]
        gradient = -(matrix[rows] @ deviation.unsqueeze(-1)).squeeze(-1)
        return 0.5 * (gradient * deviation).sum(-1), gradient

    return bound, best


def test_concave_bounds_are_climbed_to_their_maxima(generator):
    bound, best = quadratics(generator)
    found = refine(bound, torch.zeros_like(best), n_steps=200, tol=1e-14)
    torch.testing.assert_close(bound(found)[0], torch.zeros(30, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(found, best, rtol=0, atol=1e-5)


def rosenbrock(parameters):
    """Minus the banana function of each row, and its gradient."""
    leaf = parameters.detach().requires_grad_()
    x, y = leaf.unbind(-1)
    value = -((1 - x).square() + 100 * (y - x.square()).square())
    return value.detach(), torch.autograd.grad(value.sum(), leaf)[0]


def test_a_bent_ridge_is_climbed(generator):
    found = refine(rosenbrock, 2 * normal(50, 2, generator=generator), n_steps=300, tol=1e-12)
    torch.testing.assert_close(found, torch.ones_like(found), rtol=0, atol=1e-4)


@pytest.mark.parametrize("n_steps", [0, 1, 2, 3, 5, 10, 30])
def test_no_row_ends_below_where_it_began_or_where_fewer_steps_end(n_steps, generator):
    start = 2 * normal(50, 2, generator=generator)
    fewer, more = (rosenbrock(refine(rosenbrock, start, n_steps=n))[0] for n in (n_steps, n_steps + 1))
    assert (fewer >= rosenbrock(start)[0]).all()
    assert (more >= fewer).all()


def test_a_row_does_not_depend_on_the_others(generator):
    bound, best = quadratics(generator)
    together = refine(bound, torch.zeros_like(best), n_steps=25)
    for i in range(len(best)):
        alone = refine(lambda p, i=i: bound(p, slice(i, i + 1)), torch.zeros_like(best[:1]), n_steps=25)
        torch.testing.assert_close(alone[0], together[i], rtol=1e-9, atol=1e-9)


def test_no_step_is_longer_than_allowed(generator):
    bound, best = quadratics(generator)
    lengths, last = [], [torch.zeros_like(best)]

    def watched(parameters):
        lengths.append((parameters - last[0]).norm(dim=-1).max())
        return bound(parameters)

    refine(watched, last[0], n_steps=1, largest_move=0.1)
    assert max(lengths) <= 0.1 + 1e-12


def test_values_that_are_not_finite_are_never_taken(generator):
    def walled(parameters):
        value, gradient = rosenbrock(parameters)
        return value.masked_fill(parameters[:, 0] > 0.5, torch.inf), gradient

    start = torch.tensor([[-1.0, 1.0], [2.0, 0.0]], dtype=torch.float64)
    found = refine(walled, start, n_steps=50)
    assert found[0, 0] <= 0.5
    assert rosenbrock(found)[0][0] > rosenbrock(start)[0][0]
    assert torch.equal(found[1], start[1])


def test_rows_at_their_maximum_stay(generator):
    bound, best = quadratics(generator)
    assert torch.equal(refine(bound, best, n_steps=5), best)
