"""Gradients of :mod:`skgen.models.contrast` against those of exact log-likelihoods."""

import pytest
import torch

from skgen.models.contrast import Centers, Contrast, Phase
from skgen.training.flat import FlatParameters
from tests.boltzmann import PAIRS, grid, machine_from, states_from
from tests.oracles import central_differences, process_state
from tests.parts import normal

SIZES = {True: (8, 4), False: (2, 2)}
"""Visible and hidden units where the visible ones can be enumerated, and where they are put on a grid."""


def small(visible, hidden, generator, **parameters):
    n_visible, n_hidden = SIZES[visible != "gaussian"]
    return machine_from(
        visible, hidden, generator=generator, n_visible=n_visible, n_hidden=n_hidden, size=0.4, **parameters
    )


def visible_grid(machine):
    return grid(machine.visible, machine.visible.n_units, limit=6.0, n_nodes=49)


def loss(machine, x, weight=None):
    """Minus the mean log-likelihood, with the law restricted to the grid where visible units are real."""
    v, log_weight = visible_grid(machine)
    log_partition = torch.logsumexp(log_weight - machine.free_energy(v), 0)
    values = machine.free_energy(x) + log_partition
    return (values if weight is None else weight * values).mean()


@torch.no_grad()
def exact_gradient(machine, flat, x, weight=None, centers=None):
    """What contrasts with single states of the machine add up to, each with its probability."""
    v, log_weight = visible_grid(machine)
    log_p = log_weight - machine.free_energy(v)
    probability = torch.exp(log_p - torch.logsumexp(log_p, 0))
    total, positive, contrast = torch.zeros_like(flat.gradient), Phase(x, machine.hidden_mean(x)), Contrast()
    for state, share in zip(v.unsqueeze(1), probability, strict=True):
        flat.gradient.zero_()
        contrast(machine, positive, Phase(state, machine.hidden_mean(state)), weight, centers)
        total += share * flat.gradient
    return total


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_with_exact_states_of_the_machine_the_gradient_is_that_of_the_log_likelihood(
    visible, hidden, weighted, generator
):
    machine = small(visible, hidden, generator)
    flat = FlatParameters(machine)
    x = states_from(machine.visible, 6, generator)
    weight = torch.rand(6, generator=generator, dtype=torch.float64) if weighted else None
    gradient = exact_gradient(machine, flat, x, weight)
    inside = torch.zeros_like(flat.value)
    for parameter in machine.parameters():
        parameter.grad.fill_(1)
    inside.copy_(flat.gradient)
    directions = torch.stack([inside * normal(len(inside), generator=generator) for _ in range(8)])
    with torch.no_grad():
        slopes = central_differences(lambda: loss(machine, x, weight), flat.value, directions)
    torch.testing.assert_close(directions @ gradient, slopes, rtol=1e-6, atol=1e-7)
    assert (gradient[inside == 0] == 0).all()


@pytest.mark.parametrize("variance", ["feature", "shared", "fixed"])
def test_the_gradient_of_the_scale_is_that_of_the_log_likelihood(variance, generator):
    machine = small("gaussian", "bernoulli", generator, variance=variance)
    flat = FlatParameters(machine)
    x = states_from(machine.visible, 6, generator)
    gradient = exact_gradient(machine, flat, x)
    with torch.no_grad():
        slopes = central_differences(lambda: loss(machine, x), flat.value, torch.eye(len(flat.value)).double())
    torch.testing.assert_close(gradient[gradient != 0], slopes[gradient != 0], rtol=1e-6, atol=1e-7)
    learnt = {"feature": 2, "shared": 1, "fixed": 0}[variance]
    assert int((gradient != 0).sum()) == 2 * 2 + 2 + 2 + learnt


def phases(machine, n_positive, n_negative, generator):
    found = []
    for n in (n_positive, n_negative):
        v = states_from(machine.visible, n, generator)
        found.append(Phase(v, machine.hidden_mean(v)))
    return found


def gradients(machine, *arguments, contrast=None):
    for parameter in machine.parameters():
        parameter.grad.zero_()
    (contrast or Contrast())(machine, *arguments)
    return {name: parameter.grad.clone() for name, parameter in machine.named_parameters()}


def mean(values, weight=None):
    return values.mean(0) if weight is None else (weight.reshape(-1, *[1] * (values.dim() - 1)) * values).mean(0)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_negative", [1, 6, 9])
@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
@torch.no_grad()
def test_the_centred_gradient_is_the_formula_of_its_paper(visible, hidden, n_negative, weighted, generator):
    machine = small(visible, hidden, generator)
    positive, negative = phases(machine, 6, n_negative, generator)
    weight = torch.rand(6, generator=generator, dtype=torch.float64) if weighted else None
    n_visible, n_hidden = machine.visible.n_units, machine.hidden.n_units
    centers = Centers(normal(n_visible, generator=generator), normal(n_hidden, generator=generator))
    share = 1.0 if weight is None else weight.mean()

    def contrast(function):
        return share * mean(function(negative)) - mean(function(positive), weight)

    def product(phase):
        phi = machine.features(phase.v)
        return (phase.hidden_mean - centers.hidden).unsqueeze(2) * (phi - centers.visible).unsqueeze(1)

    found = gradients(machine, positive, negative, weight, centers)
    to_weight = contrast(product)
    torch.testing.assert_close(found["weight"], to_weight)
    to_hidden = contrast(lambda phase: phase.hidden_mean) - to_weight @ centers.visible
    torch.testing.assert_close(found["hidden_bias"], to_hidden)
    to_visible = contrast(lambda phase: machine.features(phase.v)) - to_weight.t() @ centers.hidden
    torch.testing.assert_close(found["visible_bias"], machine.features(to_visible))


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
@torch.no_grad()
def test_centring_changes_no_fixed_point_and_goes_uphill(visible, hidden, generator):
    """The centred gradient is a positive definite matrix times the ordinary one, in the units of phi(v)."""
    machine = small(visible, hidden, generator)
    if machine.log_scale is not None:
        machine.log_scale.zero_()
    positive, negative = phases(machine, 6, 6, generator)
    centers = Centers(
        normal(machine.visible.n_units, generator=generator), normal(machine.hidden.n_units, generator=generator)
    )
    plain, centred = (gradients(machine, positive, negative, None, c) for c in (None, centers))
    names = ("weight", "visible_bias", "hidden_bias")
    assert sum((plain[name] * centred[name]).sum() for name in names) > 0
    same = Phase(positive.v.flip(0), positive.hidden_mean.flip(0))
    for gradient in gradients(machine, positive, same, None, centers).values():
        torch.testing.assert_close(gradient, torch.zeros_like(gradient))


@torch.no_grad()
def test_gradients_add_up_and_any_numbers_of_rows_may_follow_each_other(generator):
    machine = small("bernoulli", "bernoulli", generator)
    flat = FlatParameters(machine)
    total, contrast = torch.zeros_like(flat.gradient), Contrast()
    sizes = [(6, 3), (1, 1), (2, 8), (6, 3), (5, 5), (4, 4), (6, 3)]
    for n_positive, n_negative in sizes:
        positive, negative = phases(machine, n_positive, n_negative, generator)
        before = flat.gradient.clone()
        contrast(machine, positive, negative)
        step = flat.gradient - before
        expected = (
            negative.hidden_mean.t() @ negative.v / n_negative - positive.hidden_mean.t() @ positive.v / n_positive
        )
        torch.testing.assert_close(machine.weight.grad, expected + total.as_strided(expected.shape, (16, 1)))
        total += step
    torch.testing.assert_close(flat.gradient, total)


@torch.no_grad()
def test_machines_of_one_shape_take_turns(generator):
    one, other = (small("bernoulli", "bernoulli", generator) for _ in range(2))
    contrast = Contrast()
    for machine in (one, other, one):
        states = phases(machine, 3, 2, generator)
        alone = gradients(machine, *states)
        together = gradients(machine, *states, contrast=contrast)
        assert all(torch.equal(together[name], alone[name]) for name in alone)


@torch.no_grad()
def test_weights_of_one_gradient_do_not_stay_for_the_next(generator):
    machine = small("bernoulli", "bernoulli", generator)
    FlatParameters(machine)
    positive, negative = phases(machine, 4, 3, generator)
    contrast = Contrast()
    plain = gradients(machine, positive, negative, contrast=contrast)
    weights = [torch.rand(4, generator=generator, dtype=torch.float64) for _ in range(2)]
    weighted = [gradients(machine, positive, negative, weight, contrast=contrast) for weight in weights]
    total = gradients(machine, positive, negative, weights[0] + weights[1], contrast=contrast)
    for name, gradient in gradients(machine, positive, negative, contrast=contrast).items():
        assert torch.equal(gradient, plain[name])
        torch.testing.assert_close(weighted[0][name] + weighted[1][name], total[name])


@torch.no_grad()
def test_products_in_bfloat16_change_the_gradient_by_their_rounding_only(generator):
    machine = small("bernoulli", "bernoulli", generator)
    positive, negative = (Phase(*(part.float() for part in phase)) for phase in phases(machine, 6, 6, generator))
    machine.float()
    exact = gradients(machine, positive, negative)["weight"]
    machine.low_precision = True
    low = gradients(machine, positive, negative)["weight"]
    assert not torch.equal(low, exact)
    # Two means of products below 1, each factor and the result rounded by 2^-9.
    assert ((low - exact).abs() <= 2 * 3 * 2.0**-9).all()


@torch.no_grad()
def test_global_state_is_untouched(generator):
    machine = small("bernoulli", "bernoulli", generator)
    before = process_state()
    Contrast()(machine, *phases(machine, 2, 2, generator))
    assert process_state() == before
