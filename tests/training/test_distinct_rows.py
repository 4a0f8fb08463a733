import pytest
import torch

from skgen._rows import Rows
from skgen.training.distinct_rows import DistinctRows
from skgen.training.em import EM_SOLVERS
from tests.exact_models import PROBLEMS

NAN = float("nan")


def drawn(seed=0):
    return torch.Generator().manual_seed(seed)


def integers(n_rows=60):
    x = torch.randint(0, 4, (n_rows, 3), generator=drawn()).double()
    return x.masked_fill(torch.rand(x.shape, generator=drawn(1)) < 0.1, NAN)


WEIGHT = torch.randint(0, 4, (60,), generator=drawn(2)).double()


def same(one, other):
    return torch.equal(one.x.nan_to_num(-1.0), other.x.nan_to_num(-1.0)) and (
        torch.equal(one.weight, other.weight) if one.weight is not None else other.weight is None
    )


def test_a_weight_is_a_repetition_and_the_order_of_the_rows_does_not_matter():
    x = integers()
    order = torch.randperm(60, generator=drawn(3))
    weighted = DistinctRows(Rows(x, WEIGHT))
    repeated = DistinctRows(Rows(x.repeat_interleave(WEIGHT.long(), 0)))
    turned = DistinctRows(Rows(x[order], WEIGHT[order]))
    assert len(weighted) == len(repeated) == len(turned) < int((WEIGHT > 0).sum())
    for part in (slice(None), slice(1, None, 3), torch.tensor([2, 0, 1])):
        assert same(weighted.take(part), repeated.take(part))
        assert same(weighted.take(part), turned.take(part))


def test_different_rows_without_weights_have_none():
    x = torch.randn(20, 2, generator=drawn(), dtype=torch.float64)
    taken = DistinctRows(Rows(x)).take(slice(None))
    assert taken.weight is None
    assert sorted(taken.x.tolist()) == sorted(x.tolist())


def test_the_total_weight_stays_and_the_rows_keep_their_center_and_their_tiles():
    rows = Rows(integers(), WEIGHT, torch.ones(3).double(), tile_rows=7, incomplete_tile_rows=5)
    taken = DistinctRows(rows).take(slice(None))
    assert taken.total_weight == rows.total_weight
    assert (taken.center is rows.center, taken.tile_rows, taken.incomplete_tile_rows) == (True, 7, 5)


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize(
    ("solver", "options"),
    [("incremental", {}), ("mcem", {"n_warmup": 3}), ("online", {"batch_size": 16}), ("online", {"batch_size": 1000})],
)
def test_solvers_that_draw_or_take_parts_learn_the_same_of_a_weight_and_of_repetitions(solver, options, problem):
    problem = PROBLEMS[problem]()
    weight = torch.randint(0, 4, (len(problem.x),), generator=drawn(2)).double()
    repeated = problem.x.repeat_interleave(weight.long(), 0)
    repeated = repeated[torch.randperm(len(repeated), generator=drawn(3))]
    runs = [
        EM_SOLVERS[solver](problem.model, rows, problem.start, generator=drawn(), **options)
        for rows in (Rows(problem.x, weight), Rows(repeated))
    ]
    for _ in range(5):
        assert runs[0].step() == pytest.approx(runs[1].step(), abs=1e-10)
    for name, value in runs[0].parameters.items():
        torch.testing.assert_close(value, runs[1].parameters[name], rtol=1e-9, atol=1e-9)
