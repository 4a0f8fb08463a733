"""The gradient that Boltzmann machines learn by, and the states that stand for their law in it."""

import pytest
import torch

from skgen.estimators._contrastive import LARGEST_NORM, SCALE_STEP, ContrastiveLoss
from skgen.estimators._negative_phases import NEGATIVE_PHASES
from skgen.models.partition import log_partition_exact
from skgen.samplers import tempering
from skgen.training.batches import Batch
from tests.boltzmann import machine_from, states_from
from tests.oracles import central_differences, within
from tests.parts import normal

GENERATED = ["cd", "pcd", "tempering"]
"""Methods whose states are drawn."""


def phase_of(machine, method, *, n_gibbs=1, n_chains=20, full=False):
    base_bias = torch.zeros_like(machine.visible_bias).detach()
    return NEGATIVE_PHASES[method](machine, n_gibbs=n_gibbs, n_chains=n_chains, base_bias=base_bias, full=full)


def loss_of(machine, phase, **options):
    return ContrastiveLoss(machine, phase, **{"visible_center": None} | options)


def log_likelihood(machine, v, weight=None):
    """Mean exact log-likelihood of rows."""
    values = -machine.free_energy(v) - log_partition_exact(machine)
    return values.mean() if weight is None else (values * weight).mean()


def derivatives(machine, function, parameter):
    directions = torch.eye(parameter.numel(), dtype=torch.float64).view(-1, *parameter.shape)
    return central_differences(function, parameter.data, directions).view(parameter.shape)


def gradient_of(machine, loss, batch, generator):
    for parameter in machine.parameters():
        parameter.grad.zero_()
    with torch.no_grad():
        loss(batch, generator)


@pytest.mark.parametrize("variance", ["feature", "shared"])
@pytest.mark.parametrize("weighted", [False, True])
def test_closed_form_states_give_the_gradient_of_the_likelihood(weighted, variance, generator):
    machine = machine_from("gaussian", "gaussian", generator=generator, size=0.3, variance=variance)
    v = normal(7, 8, generator=generator)
    weight = torch.rand(7, generator=generator, dtype=torch.float64) + 0.5 if weighted else None
    gradient_of(machine, loss_of(machine, phase_of(machine, "exact")), Batch(v, weight), generator)
    with torch.no_grad():
        for name, parameter in machine.named_parameters():
            expected = -derivatives(machine, lambda: log_likelihood(machine, v, weight), parameter)
            step = SCALE_STEP if name == "log_scale" else 1.0
            # Central differences with step 1e-6 err by some 1e-9.
            torch.testing.assert_close(parameter.grad, step * expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("hidden", ["bernoulli", "relu"])
@pytest.mark.parametrize("visible", ["bernoulli", "categorical"])
@pytest.mark.parametrize("method", GENERATED)
def test_many_steps_of_any_method_give_the_gradient_of_the_likelihood(method, visible, hidden, generator):
    machine = machine_from(visible, hidden, generator=generator, size=0.4)
    v = states_from(machine.visible, 6, generator)
    # Chains of "cd" start anew at the rows, and need steps to forget them.
    phase = phase_of(machine, method, n_gibbs=20 if method == "cd" else 1, n_chains=60, full=True)
    with torch.no_grad():
        phase.begin(generator)
        for _ in range(30):
            phase.phases(Batch(v, None), generator)
    loss, estimates = loss_of(machine, phase), []
    for _ in range(120):
        gradient_of(machine, loss, Batch(v, None), generator)
        estimates.append(torch.cat([machine.hidden_bias.grad, machine.visible_bias.grad]).clone())
    with torch.no_grad():
        expected = [
            -derivatives(machine, lambda: log_likelihood(machine, v), p)
            for p in (machine.hidden_bias, machine.visible_bias)
        ]
    # Successive states are correlated: means of blocks of ten are nearly independent.
    blocks = torch.stack(estimates).view(12, 10, -1).mean(1)
    assert within(blocks, torch.cat(expected), n_errors=6.0)


@pytest.mark.parametrize("weighted", [False, True])
def test_sparsity_adds_the_gradient_of_its_divergence(weighted, generator):
    machine = machine_from("bernoulli", "bernoulli", generator=generator)
    v = states_from(machine.visible, 6, generator)
    weight = torch.rand(6, generator=generator, dtype=torch.float64) + 0.5 if weighted else None
    target, cost = 0.1, 3.0

    def divergence():
        h = machine.hidden_mean(v)
        q = h.mean(0) if weight is None else weight @ h / weight.sum()
        return cost * (target * torch.log(target / q) + (1 - target) * torch.log((1 - target) / (1 - q))).sum()

    found = []
    for options in ({}, {"sparsity_target": target, "sparsity_cost": cost}):
        phase = phase_of(machine, "cd")
        gradient_of(machine, loss_of(machine, phase, **options), Batch(v, weight), torch.Generator().manual_seed(5))
        found.append({name: parameter.grad.clone() for name, parameter in machine.named_parameters()})
    with torch.no_grad():
        for name, parameter in machine.named_parameters():
            added = found[1][name] - found[0][name]
            torch.testing.assert_close(added, derivatives(machine, divergence, parameter), rtol=1e-6, atol=1e-8)


def test_what_is_reported_is_the_gap_whose_gradient_is_taken(generator):
    machine = machine_from("gaussian", "bernoulli", generator=generator)
    machine.scale.fill_(3.0)
    v = normal(6, 8, generator=generator)
    phase = phase_of(machine, "pcd")
    phase.begin(generator)
    with torch.no_grad():
        terms, value = loss_of(machine, phase)(Batch(v, None), generator)
        report = terms()
        decoded = machine.visible_mean(machine.hidden_mean(v))
        assert float(value()) == float(report["energy_gap"])
    torch.testing.assert_close(report["reconstruction_error"], 9 * (decoded - v).square().sum(1).mean())


def test_weights_without_an_integral_are_brought_back(generator):
    machine = machine_from("gaussian", "relu", generator=generator)
    machine.weight.data.mul_(10)
    machine.log_scale.data.fill_(-20.0)
    loss_of(machine, phase_of(machine, "pcd")).project()
    assert machine.is_normalizable()
    assert float(torch.linalg.matrix_norm(machine.weight.data, 2)) == pytest.approx(LARGEST_NORM, rel=1e-9)
    assert float(torch.exp(machine.log_scale.detach()).min()) == pytest.approx(0.03, rel=1e-9)


@pytest.mark.parametrize("method", ["pcd", "tempering"])
def test_chains_go_on_from_their_buffers(method, generator):
    machine = machine_from("bernoulli", "bernoulli", generator=generator)
    one, other = phase_of(machine, method), phase_of(machine, method)
    with torch.no_grad():
        one.begin(generator)
        for _ in range(30):
            one.draw(generator)
        one.adapt()
        other.begin(generator)
        other.load({name: buffer.clone() for name, buffer in one.buffers().items()})
        states = [phase.draw(torch.Generator().manual_seed(3)).v for phase in (one, other)]
    assert torch.equal(*states)
    assert one.scheduled == other.scheduled
    assert one.hidden_states().shape == (20, 4)


def test_chains_of_another_number_are_repeated(generator):
    machine = machine_from("bernoulli", "bernoulli", generator=generator)
    phase = phase_of(machine, "pcd", n_chains=5)
    phase.begin(generator)
    chains = states_from(machine.hidden, 2, generator)
    phase.load({"chains": chains})
    assert torch.equal(phase.chains, chains[[0, 1, 0, 1, 0]])


def test_ladders_of_another_number_are_repeated(generator):
    machine = machine_from("bernoulli", "bernoulli", generator=generator)
    few, many = (phase_of(machine, "tempering", n_chains=n) for n in (2, 5))
    for phase in (few, many):
        phase.begin(generator)
    many.load(few.buffers())
    before, after = (phase.state.x.unflatten(0, (len(phase.state.betas), -1)) for phase in (few, many))
    assert torch.equal(after, before[:, [0, 1, 0, 1, 0]])
    with torch.no_grad():
        assert len(many.draw(generator).v) == len(many.hidden_states()) == 5


def test_replicas_stay_in_their_memory_while_a_ladder_keeps_its_length(generator, monkeypatch):
    machine = machine_from("bernoulli", "bernoulli", generator=generator)
    phase = phase_of(machine, "tempering")
    phase.begin(generator)
    before = [part.data_ptr() for part in phase.state]
    monkeypatch.setattr(tempering, "ladder", lambda betas, *others: betas.square())
    with torch.no_grad():
        for _ in range(50):
            phase.draw(generator)
        phase.adapt()
    assert (phase.state.offered == 0).all()
    assert [part.data_ptr() for part in phase.state] == before


def test_ladders_are_adapted_so_that_neighbours_exchange(generator):
    machine = machine_from("bernoulli", "bernoulli", generator=generator, size=2.0)
    phase = phase_of(machine, "tempering", n_chains=100)
    with torch.no_grad():
        phase.begin(generator)
        for _ in range(6):
            for _ in range(100):
                phase.draw(generator)
            acceptance = phase.state.accepted / phase.state.offered
            phase.adapt()
    # A whole number of temperatures misses 0.4 by less than this.
    assert ((acceptance > 0.25) & (acceptance < 0.6)).all()
