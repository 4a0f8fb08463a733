"""Functions of :mod:`skgen.models.real_machine` against normal laws and singular values."""

import pytest
import torch

from skgen.models.energy import TemperedMachine
from skgen.models.partition import log_partition_exact
from skgen.models.real_machine import clip_singular_values, is_linear, linear_root
from tests.boltzmann import PAIRS, machine_from
from tests.parts import normal


def test_only_two_linear_layers_are_linear(generator):
    linear = [pair for pair in PAIRS if is_linear(machine_from(*pair, generator=generator))]
    assert linear == [("gaussian", "gaussian")]


@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_the_root_is_that_of_the_covariance_of_linear_units(beta, generator):
    machine = machine_from("gaussian", "gaussian", generator=generator)
    machine = TemperedMachine(machine, beta, torch.zeros_like(machine.visible_bias))
    with torch.no_grad():
        mean, root = linear_root(machine)
        law = torch.distributions.MultivariateNormal(mean, root.t() @ root)
        v = normal(9, 8, generator=generator)
        exact = -machine.free_energy(v) - log_partition_exact(machine)
    torch.testing.assert_close(law.log_prob(v), exact, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", [(3, 8), (8, 3), (4, 4)])
def test_singular_values_are_clipped_and_vectors_kept(shape, generator):
    matrix = normal(*shape, generator=generator)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    largest = float(values.median())
    clip_singular_values(matrix, largest)
    torch.testing.assert_close(matrix, left * values.clamp_max(largest) @ right, rtol=1e-9, atol=1e-9)
