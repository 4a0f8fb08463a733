from itertools import pairwise

import pytest
import torch

from skgen.training.em import BatchEM
from skgen.training.incremental import IncrementalEM
from tests.exact_models import PROBLEMS, mixture_problem

every_problem = pytest.mark.parametrize("problem", PROBLEMS)


@every_problem
def test_with_one_block_a_step_is_two_of_em(problem):
    problem = PROBLEMS[problem]()
    plain, incremental = problem.solver(BatchEM), problem.solver(IncrementalEM, n_blocks=1)
    for _ in range(5):
        assert abs(plain.step() - incremental.step()) < 1e-12
        plain.step()
    for name, value in plain.parameters.items():
        torch.testing.assert_close(value, incremental.parameters[name], rtol=1e-12, atol=1e-12)


@every_problem
@pytest.mark.parametrize("n_blocks", [3, 1000])
def test_the_blocks_statistics_add_up_to_those_of_all_rows(problem, n_blocks):
    problem = PROBLEMS[problem]()
    incremental = problem.solver(IncrementalEM, n_blocks=n_blocks)
    assert len(incremental.blocks) == min(n_blocks, len(problem.x))
    start = incremental.parameters
    incremental._begin()
    total = incremental._total()
    for name, value in incremental.expectation(start)[0].items():
        torch.testing.assert_close(total[name], value, rtol=1e-11, atol=1e-11)
    # Adding up leaves the blocks as they were.
    for name, value in incremental._total().items():
        assert torch.equal(value, total[name])


class FreeEnergy(IncrementalEM):
    """Records the free energy after each update of a block and of the parameters."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.entropies, self.free_energies = {}, []

    def _maximise(self, statistics, parameters=None):
        before = self.parameters
        for block, known in zip(self.blocks, self.statistics, strict=True):
            if self.entropies.get(block, (None,))[0] is not known:
                # The block was visited just now: there its bound meets its log-likelihood.
                inside = self.model.expected_log_joint(known, before)
                self.entropies[block] = known, block.sums(before)[1] - inside
        super()._maximise(statistics, parameters)
        for each in (before, self.parameters):
            inside = self.model.expected_log_joint(statistics, each) + self.model.log_prior(each)
            self.free_energies.append(float(inside + sum(entropy for _, entropy in self.entropies.values())))


@pytest.mark.parametrize("problem", ["mixture", "penalised"])
def test_no_update_lowers_the_free_energy_and_the_bound_is_above_it(problem):
    solver = PROBLEMS[problem]().solver(FreeEnergy, n_blocks=7)
    for _ in range(6):
        solver.free_energies.clear()
        bound = solver.step()
        free_energies = [value / solver.expectation.weight for value in solver.free_energies]
        assert len(free_energies) == 2 * (1 + 7)
        assert abs(free_energies[0] - bound) < 1e-12
        assert all(later >= earlier - 1e-12 for earlier, later in pairwise(free_energies))
        assert solver.value() >= free_energies[-1] - 1e-12


def test_a_step_gains_more_than_two_of_em():
    problem = mixture_problem()
    plain, incremental = problem.solver(BatchEM), problem.solver(IncrementalEM, n_blocks=8)
    for _ in range(6):
        plain.step()
        plain.step()
        incremental.step()
    assert incremental.value() > plain.value()


def test_a_repair_ends_the_step_at_the_repaired_parameters():
    problem = mixture_problem()
    calls = []

    def repair(parameters, statistics):
        calls.append(parameters)
        return problem.start if len(calls) == 4 else None

    repaired, fresh = (
        problem.solver(IncrementalEM, n_blocks=5, repair=repair),
        problem.solver(IncrementalEM, n_blocks=5),
    )
    repaired.step()
    assert len(calls) == 4
    assert [repaired.step() for _ in range(3)] == [fresh.step() for _ in range(3)]
