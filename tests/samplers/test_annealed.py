"""The estimates of :mod:`skgen.samplers.annealed`, on normal distributions, of which all constants are known."""

import math

import pytest
import torch

from skgen.samplers.annealed import Path, anneal, estimate, reverse_estimate, temperatures
from tests.oracles import process_state, within
from tests.parts import normal

MEAN, SCALE, SLOPE = 1.5, 0.4, 0.3
LOG_RATIO = math.log(SCALE) + SLOPE


class Normals(Path):
    """From N(0, 1) to N(m, s^2), up to their constants; steps keep a share of the deviation and renew the rest.

    The generator may be a list of one generator for each chain, and then chains draw without regard to each other.
    """

    def __init__(self, memory=0.5):
        self.memory = memory

    def law(self, beta):
        precision = (1 - beta) + beta / SCALE**2
        return beta * MEAN / SCALE**2 / precision, precision**-0.5

    def log_density(self, beta, x):
        return (1 - beta) * -0.5 * x**2 + beta * (SLOPE - 0.5 * ((x - MEAN) / SCALE) ** 2)

    def step(self, beta, x, generator):
        mean, scale = self.law(beta)
        return mean + self.memory * (x - mean) + math.sqrt(1 - self.memory**2) * scale * noise(len(x), generator)

    def draw(self, beta, n, generator):
        mean, scale = self.law(beta)
        return mean + scale * noise(n, generator)


def noise(n, generator):
    if isinstance(generator, list):
        return torch.cat([normal(1, generator=one) for one in generator])
    return normal(n, generator=generator)


def generators(numbers):
    return [torch.Generator().manual_seed(number) for number in numbers]


@pytest.mark.parametrize("memory", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("betas", [(0.0, 1.0), (0.0, 0.2, 1.0), (0.0, 0.5, 0.3, 1.0)])
def test_weights_have_the_ratio_of_the_constants_as_their_mean(memory, betas, generator):
    path = Normals(memory)
    forward = anneal(path, path.draw(0.0, 200_000, generator), betas, generator)
    assert within(torch.exp(forward.log_weight - LOG_RATIO), torch.tensor(1.0))


@pytest.mark.parametrize("memory", [0.0, 0.9])
def test_backwards_they_have_its_inverse(memory, generator):
    path = Normals(memory)
    reverse = anneal(path, path.draw(1.0, 200_000, generator), temperatures(5)[::-1], generator)
    assert within(torch.exp(reverse.log_weight + LOG_RATIO), torch.tensor(1.0))


def test_the_two_directions_bracket_the_constant_in_the_mean(generator):
    path, betas, n_runs, n_chains = Normals(), temperatures(4), 4000, 10
    shape = (n_chains, n_runs)
    forward = anneal(path, path.draw(0.0, n_chains * n_runs, generator), betas, generator).log_weight
    reverse = anneal(path, path.draw(1.0, n_chains * n_runs, generator), betas[::-1], generator).log_weight
    low, high = estimate(forward.view(shape)).value, reverse_estimate(reverse.view(shape)).value
    error = max(low.std(), high.std()) / n_runs**0.5
    assert low.mean() < LOG_RATIO - 3 * error
    assert high.mean() > LOG_RATIO + 3 * error


def test_with_many_temperatures_both_come_close(generator):
    path, betas = Normals(), temperatures(1000)
    forward = estimate(anneal(path, path.draw(0.0, 100, generator), betas, generator).log_weight)
    reverse = reverse_estimate(anneal(path, path.draw(1.0, 100, generator), betas[::-1], generator).log_weight)
    for each in (forward, reverse):
        assert each.lower <= LOG_RATIO <= each.upper
        assert each.upper - each.lower < 0.12
        assert 95 < each.effective_sample_size <= 100


def test_intervals_of_three_standard_errors_cover_the_constant(generator):
    path, n_runs = Normals(), 2000
    forward = anneal(path, path.draw(0.0, 100 * n_runs, generator), temperatures(20), generator)
    each = estimate(forward.log_weight.view(100, n_runs))
    covered = (each.lower <= LOG_RATIO) & (each.upper >= LOG_RATIO)
    assert covered.double().mean() > 0.98
    spread = ((each.value - LOG_RATIO) / ((each.upper - each.lower) / 6)).std()
    assert 0.9 < spread < 1.2


def test_chains_know_nothing_of_their_neighbours_and_an_annealing_can_be_cut():
    path, betas, seeds = Normals(), temperatures(9), range(6)
    start = path.draw(0.0, 6, generators(range(10, 16)))
    whole = anneal(path, start, betas, generators(seeds))
    for tile in (1, 2, 5):
        parts = [anneal(path, start[k : k + tile], betas, generators(seeds[k : k + tile])) for k in range(0, 6, tile)]
        assert torch.equal(torch.cat([part.log_weight for part in parts]), whole.log_weight)
        assert torch.equal(torch.cat([part.x for part in parts]), whole.x)
    sources = generators(seeds)
    first = anneal(path, start, betas[:5], sources)
    second = anneal(path, first.x, betas[4:], sources)
    assert torch.equal(second.x, whole.x)
    torch.testing.assert_close(first.log_weight + second.log_weight, whole.log_weight)


def test_the_estimate_is_the_log_of_the_mean_with_its_relative_standard_error(generator):
    log_weight = normal(50, 3, generator=generator)
    weight = log_weight.exp()
    found = estimate(log_weight + 900.0)
    torch.testing.assert_close(found.value, weight.mean(0).log() + 900.0)
    relative = weight.std(0) / 50**0.5 / weight.mean(0)
    torch.testing.assert_close(found.upper - found.value, 3 * relative)
    torch.testing.assert_close(found.value - found.lower, 3 * relative)
    torch.testing.assert_close(found.effective_sample_size, weight.sum(0) ** 2 / (weight**2).sum(0))


def test_equal_weights_have_no_error_and_a_single_one_an_unknown_error():
    same = estimate(torch.full((7,), 2.5))
    torch.testing.assert_close(torch.stack(list(same)), torch.tensor([2.5, 2.5, 2.5, 7.0]).double(), atol=1e-6, rtol=0)
    alone = estimate(torch.tensor([2.5]))
    assert alone.value == 2.5
    assert alone.lower == -math.inf
    assert alone.upper == math.inf


def test_states_of_single_precision_have_weights_of_double_precision(generator):
    path = Normals()
    found = anneal(path, path.draw(0.0, 5, generator).float(), temperatures(3), generator)
    assert found.log_weight.dtype == torch.float64


def test_a_single_temperature_is_refused(generator):
    with pytest.raises(ValueError, match="at least two temperatures, got 1"):
        temperatures(1)
    with pytest.raises(ValueError, match="at least two temperatures, got 1"):
        anneal(Normals(), torch.zeros(3), [0.0], generator)


def test_global_state_is_untouched(generator):
    before = process_state()
    anneal(Normals(), torch.zeros(3).double(), temperatures(3), generator)
    assert process_state() == before
