import pytest
import torch
from scipy.optimize import minimize

from skgen.training.row_search import ROW_SOLVERS, best_of, refine
from tests.parts import normal
from tests.training.rows import coupled, decoders, quadratics, rosenbrock, values

LINE_SEARCHES = [name for name in ROW_SOLVERS if name not in ("adam", "sgd")]


@pytest.mark.parametrize("solver", LINE_SEARCHES)
def test_quadratics_of_any_shape_are_climbed_to_their_maxima(solver, generator):
    bound, best = quadratics(generator)
    found = refine(bound, torch.zeros_like(best), n_steps=200, solver=solver, tol=1e-14)
    torch.testing.assert_close(bound(found)[0], torch.zeros(30, dtype=torch.float64), rtol=0, atol=1e-11)
    torch.testing.assert_close(found, best, rtol=0, atol=1e-5)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_methods_of_first_order_climb_quadratics_that_are_not_too_narrow(solver, generator):
    bound, best = quadratics(generator, largest=10.0)
    found = refine(bound, torch.zeros_like(best), n_steps=3000, solver=solver, learning_rate=0.05, tol=1e-10)
    torch.testing.assert_close(bound(found)[0], torch.zeros(30, dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize("solver", ROW_SOLVERS)
def test_concave_functions_that_are_not_quadratic_are_climbed_to_where_scipy_finds_their_maxima(solver, generator):
    bound, start = coupled(generator)
    found = refine(bound, start, n_steps=3000, solver=solver, learning_rate=0.05, tol=1e-12)
    for i, row in enumerate(found):

        def negative(point, i=i):
            value, gradient = bound(torch.as_tensor(point).unsqueeze(0), slice(i, i + 1))
            return -float(value), -gradient[0].numpy()

        best = minimize(negative, start[i].numpy(), jac=True, method="BFGS", options={"gtol": 1e-8})
        assert negative(row)[0] <= best.fun + 1e-9


@pytest.mark.parametrize("solver", LINE_SEARCHES)
def test_a_bent_ridge_is_climbed(solver, generator):
    """It is too narrow for methods of first order, whose steps are as long in all directions."""
    found = refine(rosenbrock, 2 * normal(50, 2, generator=generator), n_steps=300, solver=solver, tol=1e-12)
    torch.testing.assert_close(found, torch.ones_like(found), rtol=0, atol=1e-4)


@pytest.mark.parametrize("solver", ROW_SOLVERS)
@pytest.mark.parametrize("n_steps", [0, 1, 2, 3, 5, 10, 30])
def test_no_row_ends_below_where_it_began_or_where_fewer_steps_end(solver, n_steps, generator):
    start = 2 * normal(50, 2, generator=generator)
    fewer, more = (rosenbrock(refine(rosenbrock, start, n_steps=n, solver=solver))[0] for n in (n_steps, n_steps + 1))
    assert (fewer >= rosenbrock(start)[0]).all()
    assert (more >= fewer).all()


@pytest.mark.parametrize("solver", ROW_SOLVERS)
def test_a_row_does_not_depend_on_the_others(solver, generator):
    bound, best = quadratics(generator)
    together = refine(bound, torch.zeros_like(best), n_steps=25, solver=solver)
    for i in range(len(best)):
        alone = refine(lambda p, i=i: bound(p, slice(i, i + 1)), torch.zeros_like(best[:1]), n_steps=25, solver=solver)
        torch.testing.assert_close(alone[0], together[i], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("solver", ROW_SOLVERS)
def test_fifty_steps_on_the_bound_of_a_network_do_not_let_a_row_depend_on_the_others(solver, likelihood, generator):
    """Rounding differs with the number of rows in a product of matrices, and every step may amplify it."""
    select, start = decoders(likelihood, generator)
    options = {"n_steps": 50, "solver": solver}
    everything = torch.arange(len(start))
    together = refine(select(everything), start, **options)
    assert (values(select(everything), together) > values(select(everything), start)).all()
    backwards = refine(select(everything.flip(0)), start, **options).flip(0)
    left_out = refine(select(everything), start, **options, select=select)
    for same in (backwards, left_out):
        torch.testing.assert_close(same, together, rtol=1e-9, atol=1e-9)
    for i in range(5):
        alone = refine(select(everything[i : i + 1]), start[:1], **options)
        torch.testing.assert_close(alone[0], together[i], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("solver", ROW_SOLVERS)
def test_no_step_is_longer_than_allowed(solver, generator):
    bound, best = quadratics(generator)
    lengths, start = [], torch.zeros_like(best)

    def watched(parameters):
        lengths.append((parameters - start).norm(dim=-1).max())
        return bound(parameters)

    refine(watched, start, n_steps=1, solver=solver, largest_move=0.1, learning_rate=10.0)
    assert max(lengths) <= 0.1 + 1e-12


@pytest.mark.parametrize("outside", [torch.inf, -torch.inf, torch.nan])
@pytest.mark.parametrize("solver", ROW_SOLVERS)
def test_values_that_are_not_finite_are_never_taken(solver, outside):
    def walled(parameters):
        value, gradient = rosenbrock(parameters)
        beyond = parameters[:, 0] > 0.5
        return value.masked_fill(beyond, outside), gradient.masked_fill(beyond.unsqueeze(-1), torch.nan)

    start = torch.tensor([[-1.0, 1.0], [2.0, 0.0]], dtype=torch.float64)
    found = refine(walled, start, n_steps=50, solver=solver)
    assert found[0, 0] <= 0.5
    assert rosenbrock(found)[0][0] > rosenbrock(start)[0][0]
    assert torch.equal(found[1], start[1])


@pytest.mark.parametrize("solver", ROW_SOLVERS)
def test_rows_at_their_maximum_stay(solver, generator):
    bound, best = quadratics(generator)
    assert torch.equal(refine(bound, best, n_steps=5, solver=solver), best)


def counted(bound):
    """The bound, and the number of rows of each of its evaluations."""
    sizes = []

    def evaluate(parameters):
        sizes.append(len(parameters))
        return bound(parameters)

    return evaluate, sizes


@pytest.mark.parametrize("solver", ROW_SOLVERS)
def test_no_more_evaluations_are_made_than_asked_for_and_none_after_the_last_row_has_stopped(solver, generator):
    bound, best = quadratics(generator)
    evaluate, sizes = counted(bound)
    refine(evaluate, torch.zeros_like(best), n_steps=7, solver=solver)
    assert sizes == [30] * 8
    sizes.clear()
    refine(evaluate, best, n_steps=7, solver=solver)
    assert len(sizes) <= 2


@pytest.mark.parametrize("solver", LINE_SEARCHES)
def test_rows_that_have_stopped_are_left_out_where_rows_can_be_chosen(solver, generator):
    bound, best = quadratics(generator)
    start = best.clone()
    start[::4] = 0.0
    evaluate, sizes = counted(bound)

    def select(rows):
        def chosen(parameters):
            sizes.append(len(parameters))
            return bound(parameters, rows)

        return chosen

    found = refine(evaluate, start, n_steps=300, solver=solver, tol=1e-12, select=select)
    assert sizes[-1] <= 8
    assert max(sizes[3:]) <= 8
    torch.testing.assert_close(found, best, rtol=0, atol=1e-5)


def test_each_row_begins_at_the_best_of_its_starts(generator):
    bound, best = quadratics(generator)
    starts = best + normal(5, *best.shape, generator=generator)
    found = refine(bound, starts, n_steps=0)
    candidates = torch.stack([bound(start)[0] for start in starts])
    assert torch.equal(bound(found)[0], candidates.max(0).values)
    value, gradient = bound(found)
    assert all(torch.equal(*pair) for pair in zip(best_of(bound, starts), (found, value, gradient), strict=True))
    further = refine(bound, starts, n_steps=20)
    assert torch.equal(further, refine(bound, found, n_steps=20))


@pytest.mark.parametrize("outside", [torch.inf, -torch.inf, torch.nan])
def test_a_start_outside_the_domain_is_not_chosen(outside):
    def walled(parameters):
        value, gradient = rosenbrock(parameters)
        return value.masked_fill(parameters[:, 0] > 5, outside), gradient

    starts = torch.tensor([[[6.0, 0.0]], [[-5.0, 3.0]], [[7.0, 0.0]]], dtype=torch.float64)
    for order in ([0, 1, 2], [1, 0, 2], [2, 0, 1]):
        assert torch.equal(refine(walled, starts[order], n_steps=0), starts[1])
    assert torch.equal(refine(walled, starts[[0, 2]], n_steps=3), starts[0])


@pytest.mark.parametrize("solver", ROW_SOLVERS)
def test_float32_rows_stop_where_rounding_hides_any_rise(solver, generator):
    bound, best = quadratics(generator, largest=10.0)

    def lower(parameters):
        value, gradient = bound(parameters.double())
        return (value - 1000).float(), gradient.float()

    evaluate, sizes = counted(lower)
    found = refine(evaluate, torch.zeros_like(best).float(), n_steps=2000, solver=solver, learning_rate=0.05)
    assert found.dtype == torch.float32
    assert len(sizes) < 1000
    assert (bound(found.double())[0] > -0.05).all()


def test_an_unknown_solver_is_named_with_those_there_are(generator):
    bound, best = quadratics(generator)
    with pytest.raises(ValueError, match=r"solver must be one of \['adam', .*\], got 'newton'"):
        refine(bound, best, n_steps=1, solver="newton")
