"""skgen.models.deep_belief: bound, draws and gradients of networks small enough to be enumerated."""

import pytest
import torch

from skgen.distributions.normal import sobol_uniform
from skgen.models.deep_belief import (
    DeepBeliefNetwork,
    add_generation_gradient,
    add_recognition_gradient,
    visible_log_prob,
)
from tests.boltzmann import machine_from, states_from
from tests.deep_belief import (
    SIZES,
    every_state,
    exact_bound,
    log_likelihood,
    log_partition,
    network_from,
    posterior,
    rows_of,
)
from tests.oracles import central_differences, every_row, within


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_the_density_of_the_visible_units_integrates_the_joint_one(visible, generator):
    machine = machine_from(visible, "bernoulli", generator=generator)
    v, h = states_from(machine.visible, 6, generator), states_from(machine.hidden, 6, generator)
    with torch.no_grad():
        expected = machine.hidden_free_energy(h) - machine.energy(v, h)
        torch.testing.assert_close(visible_log_prob(machine, v, h), expected)


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("sizes", SIZES)
@torch.no_grad()
def test_importance_weights_have_the_likelihood_as_their_mean_and_its_bound_as_that_of_their_logarithms(
    sizes, visible, generator
):
    network = network_from(generator, SIZES[sizes], visible)
    v = rows_of(network, 5, generator)
    log_weights = network.log_weights(v, every_state(network)[0])
    exact = log_likelihood(network, v)
    mean = torch.logsumexp(log_weights + posterior(network, v).log(), 0)
    torch.testing.assert_close(mean - log_partition(network), exact)
    assert (exact_bound(network, v) < exact).all()


@torch.no_grad()
def test_the_likelihood_of_binary_rows_sums_to_one(generator):
    network = network_from(generator, SIZES["three"])
    total = torch.logsumexp(log_likelihood(network, every_row((0.0, 1.0), 4)), 0)
    torch.testing.assert_close(total, torch.zeros((), dtype=torch.float64), atol=1e-12, rtol=0)


@torch.no_grad()
def test_below_its_own_weights_upside_down_a_machine_keeps_its_likelihood_at_every_draw(generator):
    lower = machine_from("bernoulli", "bernoulli", generator=generator, n_visible=4, n_hidden=3)
    top = machine_from("bernoulli", "bernoulli", generator=generator, n_visible=3, n_hidden=4)
    for own, other in (
        (top.weight, lower.weight.T),
        (top.visible_bias, lower.hidden_bias),
        (top.hidden_bias, lower.visible_bias),
    ):
        own.data.copy_(other)
    network = DeepBeliefNetwork.stacked([lower, top])
    v = every_row((0.0, 1.0), 4)
    draws = network.log_weights(v, every_state(network)[0])
    torch.testing.assert_close(draws, -lower.free_energy(v).expand_as(draws))
    torch.testing.assert_close(exact_bound(network, v), log_likelihood(network, v))


@torch.no_grad()
def test_the_bound_is_the_mean_over_uniforms(generator):
    network = network_from(generator, SIZES["three"])
    v = rows_of(network, 4, generator)
    uniforms = [torch.rand(4000, 1, n, dtype=torch.float64, generator=generator) for n in network.n_drawn]
    draws = network.log_weights(v, uniforms) - log_partition(network)
    assert within(draws, exact_bound(network, v))
    own = [uniform.expand(-1, len(v), -1) for uniform in uniforms]
    torch.testing.assert_close(network.log_weights(v, own) - log_partition(network), draws)


@torch.no_grad()
def test_one_machine_alone_has_its_free_energy_for_a_bound(generator):
    network = network_from(generator, (4, 3))
    v = rows_of(network, 4, generator)
    torch.testing.assert_close(network.log_weights(v, [])[0], -network.top.free_energy(v))


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
@torch.no_grad()
def test_draws_follow_the_conditionals_of_their_direction(visible, generator):
    network = network_from(generator, SIZES["three"], visible)
    n = 20000
    up = network.ascend(rows_of(network, 1, generator).expand(n, -1), generator)
    down = network.descend(states_from(network.top.visible, 1, generator).expand(n, -1), generator)
    assert [states.shape[1] for states in up] == [states.shape[1] for states in down] == [4, 3, 2]
    for i, (above, below) in enumerate(zip(network.recognition, network.generation, strict=True)):
        assert within(up[i + 1] - above.hidden_mean(up[i]), torch.zeros(up[i + 1].shape[1]))
        assert within(down[i] - below.visible_mean(down[i + 1]), torch.zeros(down[i].shape[1]))
        product = up[i + 1][:, :1] * up[i + 1][:, 1:2] - (above.hidden_mean(up[i])[:, :2]).prod(1, keepdim=True)
        assert within(product, torch.zeros(1))


@torch.no_grad()
def test_means_go_up_and_down_from_layer_to_layer(generator):
    network = network_from(generator, SIZES["three"])
    v = rows_of(network, 4, generator)
    first, second = network.recognition
    torch.testing.assert_close(network.encode(v, 2), second.hidden_mean(first.hidden_mean(v)))
    torch.testing.assert_close(network.encode(v, 3), network.top.hidden_mean(network.encode(v, 2)))
    h = network.encode(v, 3)
    torch.testing.assert_close(network.decode(h, 3), network.decode(network.top.visible_mean(h), 2))
    assert network.decode(network.encode(v, 1), 1).shape == v.shape
    assert torch.equal(network.encode(v, 0), v)


def gradients(network, add):
    """Gradients by name that a function adds."""
    for parameter in network.parameters():
        parameter.grad.zero_()
    with torch.no_grad():
        add()
    return {name: parameter.grad.clone() for name, parameter in network.named_parameters()}


def differences(network, function, name):
    """Gradient of a number by one parameter."""
    values = dict(network.named_parameters())[name].data
    directions = torch.eye(values.numel(), dtype=torch.float64).view(-1, *values.shape)
    with torch.no_grad():
        return central_differences(function, values, directions).view(values.shape)


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_wake_phase_is_on_average_the_gradient_of_the_bound(weighted, sizes, visible, generator):
    network = network_from(generator, SIZES[sizes], visible)
    v = rows_of(network, 3, generator)
    weight = torch.tensor([0.5, 1.5, 1.0], dtype=torch.float64) if weighted else torch.ones(3, dtype=torch.float64)

    def add():
        _, states = every_state(network)
        q = posterior(network, v)
        for n, row in enumerate(v):
            below = row.expand(len(q), -1)
            for machine, state in zip(network.generation, states, strict=True):
                # Divided by the number of rows given, which are states here.
                add_generation_gradient(machine, below, state, q[:, n] * weight[n] * len(q) / len(v))
                below = state

    found = gradients(network, add)
    for name, gradient in found.items():
        if "generation" in name:
            expected = differences(network, lambda: -(weight * exact_bound(network, v)).mean(), name)
            torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-8)
        else:
            assert not gradient.any()


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_the_sleep_phase_is_the_gradient_of_the_posterior_at_what_is_drawn(visible, generator):
    network = network_from(generator, SIZES["three"], visible)
    h = states_from(network.top.visible, 5, generator)
    seed = torch.Generator().manual_seed(3)
    state = seed.get_state()
    found = gradients(network, lambda: network.sleep(h, seed))
    seed.set_state(state)
    with torch.no_grad():
        drawn = network.descend(h, seed)

    def value():
        total = 0.0
        for machine, below, above in zip(network.recognition, drawn, drawn[1:], strict=False):
            mean = machine.hidden_mean(below)
            total = total - torch.where(above == 1, mean, 1 - mean).log().sum(1).mean()
        return total

    for name, gradient in found.items():
        if "recognition" in name and name.endswith(("weight", "hidden_bias")):
            torch.testing.assert_close(gradient, differences(network, value, name), rtol=1e-6, atol=1e-8)
        else:
            assert not gradient.any()


def test_the_wake_phase_goes_on_what_is_drawn_upwards(generator):
    network = network_from(generator, SIZES["three"])
    v = rows_of(network, 5, generator)
    seeds = [torch.Generator().manual_seed(3) for _ in range(2)]
    reached = []
    found = gradients(network, lambda: reached.append(network.wake(v, seeds[0])))
    with torch.no_grad():
        states = network.ascend(v, seeds[1])
    assert all(torch.equal(one, other) for one, other in zip(reached[0], states, strict=True))

    def add():
        for machine, below, above in zip(network.generation, states, states[1:], strict=False):
            add_generation_gradient(machine, below, above)

    expected = gradients(network, add)
    for name, gradient in found.items():
        assert torch.equal(gradient, expected[name])


@torch.no_grad()
def test_log_probabilities_of_both_directions_are_what_a_weight_consists_of(generator):
    network = network_from(generator, SIZES["three"], "gaussian")
    v = rows_of(network, 1, generator)
    uniforms, drawn = every_state(network)
    states = [v.expand(len(drawn[0]), -1), *drawn]
    expected = network.generation_log_prob(states) - network.recognition_log_prob(states)
    expected -= network.top.free_energy(states[-1])
    torch.testing.assert_close(network.log_weights(v, uniforms)[:, 0], expected)
    torch.testing.assert_close(network.recognition_log_prob(states).exp(), posterior(network, v)[:, 0])


@torch.no_grad()
def test_equal_rows_draw_alike_where_they_share_their_draws(generator):
    network = network_from(generator, SIZES["three"])
    v = rows_of(network, 1, generator).expand(50, -1)
    for states in network.ascend(v, generator, shared=True):
        assert (states == states[0]).all()
    assert any((states != states[0]).any() for states in network.ascend(v, generator))


@torch.no_grad()
def test_rows_are_standardised_as_the_lowest_machine_does(generator):
    network = network_from(generator, visible="gaussian")
    network.bottom.shift.fill_(1.0)
    network.bottom.scale.fill_(2.0)
    v = rows_of(network, 3, generator)
    torch.testing.assert_close(network.standardize(network.restore(v)), v)
    torch.testing.assert_close(network.restore(v), 2 * v + 1)
    assert torch.equal(network.shift, torch.ones_like(v[0]))
    assert torch.equal(network.scale, 2 * network.shift)
    torch.testing.assert_close(network.log_jacobian, network.bottom.log_jacobian)


@pytest.mark.parametrize("add", [add_generation_gradient, add_recognition_gradient])
def test_equal_weights_of_rows_change_no_gradient(add, generator):
    machine = machine_from("gaussian", "bernoulli", generator=generator, variance="shared")
    v, h = states_from(machine.visible, 6, generator), states_from(machine.hidden, 6, generator)
    ones = torch.ones(6, dtype=torch.float64)
    one, other = (gradients(machine, lambda w=weight: add(machine, v, h, w)) for weight in (None, ones))
    for name, gradient in one.items():
        torch.testing.assert_close(gradient, other[name])


@torch.no_grad()
def test_a_balanced_block_of_uniforms_draws_units_as_often_as_their_probability(generator):
    network = network_from(generator)
    v = rows_of(network, 1, generator)
    uniforms = [sobol_uniform(1024, 3, 0).unsqueeze(1)]
    frequency = (uniforms[0] < network.recognition[0].hidden_mean(v)).double().mean((0, 1))
    torch.testing.assert_close(frequency, network.recognition[0].hidden_mean(v)[0], atol=1 / 1024, rtol=0)
