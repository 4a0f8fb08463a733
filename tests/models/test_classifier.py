"""skgen.models.classifier: a softmax on a network."""

import pytest
import torch

from skgen.models.classifier import SoftmaxClassifier
from skgen.models.deep_belief import DeepBeliefNetwork
from skgen.networks import MLP
from skgen.training.flat import FlatParameters
from tests.boltzmann import machine_from
from tests.oracles import central_differences


@pytest.fixture
def model(generator):
    network = MLP(4, (5, 3), 3, "sigmoid").double()
    network.reset(generator)
    model = SoftmaxClassifier(network).double()
    model.shift.copy_(torch.arange(4.0))
    model.scale.fill_(2.0)
    return model


ROWS = torch.linspace(-3, 3, 24, dtype=torch.float64).view(6, 4)
TARGET = torch.tensor([0, 2, 1, 1, 0, 2])


def test_probabilities_sum_to_one_and_contain_that_of_the_target(model):
    x = model.standardize(ROWS)
    log_proba = model.log_proba(x)
    torch.testing.assert_close(log_proba.exp().sum(-1), torch.ones(6, dtype=torch.float64))
    expected = torch.stack([log_proba[i, k] for i, k in enumerate(TARGET)])
    torch.testing.assert_close(model.log_prob(x, TARGET), expected)


def test_logarithms_stay_finite_where_probabilities_underflow(model):
    with torch.no_grad():
        model.network.head[1].copy_(torch.tensor([0.0, 1e4, -1e4]))
        assert torch.isfinite(model.log_proba(model.standardize(ROWS))).all()


@pytest.mark.parametrize("weight", [torch.tensor(-0.5), torch.linspace(0, 1, 6)], ids=["shared", "own"])
def test_the_pullback_is_the_gradient(model, generator, weight):
    weight = weight.double()
    parameters = FlatParameters(model)
    x = model.standardize(ROWS)

    def value():
        with torch.no_grad():
            return (weight * model.log_prob(x, TARGET)).sum()

    with torch.no_grad():
        traced, pullback = model.tracer()(x, TARGET, generator)
        torch.testing.assert_close(traced, model.log_prob(x, TARGET))
        pullback(weight)
    directions = torch.randn(20, len(parameters.value), dtype=torch.float64, generator=generator)
    expected = central_differences(value, parameters.value, directions)
    torch.testing.assert_close(directions @ parameters.gradient, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
@torch.no_grad()
def test_hidden_layers_taken_from_a_stack_give_the_means_of_its_units(visible, generator):
    machines = [
        machine_from(kind, "bernoulli", generator=generator, n_visible=below, n_hidden=above)
        for kind, below, above in ((visible, 4, 5), ("bernoulli", 5, 3))
    ]
    stack = DeepBeliefNetwork.stacked(machines)
    stack.shift.copy_(torch.tensor([1.0, 0.0, 2.0, -1.0]) if visible == "gaussian" else torch.zeros(4))
    stack.scale.fill_(3.0 if visible == "gaussian" else 1.0)
    network = MLP(4, (5, 3), 2, "sigmoid").double()
    network.reset(generator)
    model = SoftmaxClassifier(network).double()
    if visible == "gaussian":
        # Another standardisation, which the first layer makes up for.
        model.shift.copy_(torch.arange(4.0))
        model.scale.fill_(2.0)
    model.load_layers(stack)
    top, bias = network.head
    expected = torch.log_softmax(stack.encode(stack.standardize(ROWS), 2) @ top + bias, -1)
    torch.testing.assert_close(model.log_proba(model.standardize(ROWS)), expected)
