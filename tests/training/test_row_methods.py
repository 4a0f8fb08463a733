import pytest
import torch

from skgen.training.row_methods import Adam, GradientAscent, Settings
from skgen.training.row_search import ROW_SOLVERS
from tests.parts import normal
from tests.training.rows import coupled, quadratics

SETTINGS = Settings(learning_rate=1e-3, largest_move=1.0, tol=1e-12)


def climbed(method, bound, start, n_steps, settings=SETTINGS):
    """A method after some evaluations."""
    search = method(start, *bound(start), settings)
    for _ in range(n_steps):
        search.tell(*bound(search.ask()))
    return search


@pytest.mark.parametrize(
    ("method", "peer", "options"),
    [(Adam, torch.optim.Adam, {"eps": Adam.epsilon}), (GradientAscent, torch.optim.SGD, {"momentum": 0.9})],
)
def test_rows_that_rise_go_where_torch_goes(method, peer, options, generator):
    bound, start = coupled(generator)
    vector = torch.nn.Parameter(start.clone())
    optimizer = peer([vector], lr=SETTINGS.learning_rate, maximize=True, **options)
    for n_steps in range(1, 20):
        vector.grad = bound(vector)[1]
        optimizer.step()
        search = climbed(method, bound, start, n_steps)
        assert bool(search.gained.all())
        torch.testing.assert_close(search.best, vector.detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", [Adam, GradientAscent])
def test_a_row_that_finds_nothing_better_returns_with_half_the_rate_and_others_do_not(method):
    def bound(parameters):
        return -0.5 * parameters.square().sum(-1), -parameters

    # One row is already where a step of any length, but for short ones, goes too far.
    start = torch.tensor([[1e-4, 0.0], [50.0, 50.0]], dtype=torch.float64)
    settings = Settings(learning_rate=3.0 if method is GradientAscent else 0.1, largest_move=1.0, tol=1e-12)
    search = climbed(method, bound, start, method.patience, settings)
    assert (search.rate / settings.learning_rate).tolist() == [0.5, 1.0]
    assert torch.equal(search.best[0], start[0])
    assert search.value[1] > bound(start)[0][1]


@pytest.mark.parametrize("name", ROW_SOLVERS)
def test_rows_that_are_kept_go_on_as_if_all_were(name, generator):
    bound, best = quadratics(generator)
    start, kept = torch.zeros_like(best), torch.arange(0, 30, 4)
    everything = climbed(ROW_SOLVERS[name], bound, start, 12)
    some = climbed(ROW_SOLVERS[name], bound, start, 6)
    some.keep(kept)
    for _ in range(6):
        some.tell(*bound(some.ask(), kept))
    torch.testing.assert_close(some.best, everything.best[kept], rtol=1e-9, atol=1e-9)
    assert torch.equal(some.active, everything.active[kept])


@pytest.mark.parametrize("name", ROW_SOLVERS)
def test_what_is_held_per_row_is_what_the_method_says_up_to_a_third(name, generator):
    n = 40
    start = normal(3, n, generator=generator)
    search = ROW_SOLVERS[name](start, start.sum(-1), torch.ones_like(start), SETTINGS)
    held = {id(tensor): tensor.numel() for tensor in vars(search).values() if isinstance(tensor, torch.Tensor)}
    assert sum(held.values()) / len(start) <= ROW_SOLVERS[name].width(n) * 4 / 3
