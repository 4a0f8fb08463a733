"""Modules of the user's as networks, skgen.networks.module."""

import copy

import pytest
import torch
from torch import nn

from skgen.networks.module import ModuleNetwork
from skgen.training.flat import FlatParameters
from tests.contracts.test_networks import assert_equal, assert_parameters_left_alone, by_autograd, traced
from tests.oracles import process_state
from tests.parts import normal


def layered(n_inputs, n_outputs):
    return nn.Sequential(nn.Linear(n_inputs, 7), nn.Tanh(), nn.LayerNorm(7), nn.Linear(7, n_outputs))


def dropping(n_inputs, n_outputs):
    return nn.Sequential(nn.Linear(n_inputs, 40), nn.ReLU(), nn.Dropout(0.5), nn.Linear(40, n_outputs))


def partly_frozen(n_inputs, n_outputs):
    module = layered(n_inputs, n_outputs)
    module[0].requires_grad_(False)
    return module


def normalised(n_inputs, n_outputs):
    return nn.Sequential(nn.Linear(n_inputs, n_outputs), nn.BatchNorm1d(n_outputs))


class Centred(nn.Linear):
    """A layer that takes a batch's mean from its rows, always or in training only."""

    training_only = False

    def forward(self, x):
        output = super().forward(x)
        return output - output.mean(0) if self.training or not self.training_only else output


class CentredInTraining(Centred):
    training_only = True


def built(factory, seed=3):
    network = ModuleNetwork(factory, 3, 4).double()
    network.reset(torch.Generator().manual_seed(seed))
    FlatParameters(network)
    return network


@pytest.mark.parametrize("factory", [layered, dropping])
def test_the_network_is_the_factory_s_module(factory, generator):
    network, x = built(factory), normal(2, 5, 3, generator=generator)
    torch.testing.assert_close(network(x), copy.deepcopy(network.module).eval()(x))
    assert type(network.module) is nn.Sequential
    assert (network.n_inputs, network.n_outputs) == (3, 4)
    assert network.width >= 7


@pytest.mark.parametrize("seed", [None, 1])
@pytest.mark.parametrize("factory", [layered, dropping])
def test_the_tracer_adds_the_gradients_of_autograd(factory, seed, generator):
    network, x = built(factory), normal(5, 3, generator=generator)
    cotangent = normal(5, 4, generator=generator)
    full = traced(network.tracer(), network, x, cotangent, seed)
    assert_equal(full, by_autograd(network, x, cotangent, seed))
    assert_parameters_left_alone(network, x, cotangent, full, seed)


def test_dropout_draws_from_the_generator_and_the_process_is_left_alone(generator):
    before = process_state()
    network, x = built(dropping), normal(5, 3, generator=generator)
    one, same, other = (network(x, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert not torch.equal(one, network(x))
    assert torch.equal(network(x), network(x))
    assert process_state() == before
    assert network.draws
    assert network.dropout > 0
    assert not built(layered).draws


def test_starting_weights_come_from_the_generator_whatever_the_process_draws_in():
    one, other = built(layered), built(layered, seed=4)
    torch.rand(3)
    torch.set_default_dtype(torch.float64)
    try:
        same = built(layered)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    for name, value in one.state_dict().items():
        assert torch.equal(value, same.state_dict()[name])
    assert not torch.equal(one.module[0].weight, other.module[0].weight)


def test_frozen_parameters_stay_as_they_are():
    network = ModuleNetwork(partly_frozen, 3, 4)
    flat, frozen = FlatParameters(network), network.module[0].weight.clone()
    flat.value.zero_()
    assert torch.equal(network.module[0].weight, frozen)
    assert not network.module[3].weight.any()


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        (normalised, "holds a BatchNorm1d"),
        (Centred, "gives a row another output when it is alone"),
        (CentredInTraining, "by the others in training mode"),
    ],
)
def test_modules_whose_rows_depend_on_each_other_are_refused(factory, reason):
    with pytest.raises(ValueError, match=f"{reason}, but rows must not depend on each other"):
        ModuleNetwork(factory, 3, 4)


@pytest.mark.parametrize(
    ("factory", "given"),
    [
        (lambda n_inputs, n_outputs: nn.Linear(n_inputs, 5), r"must map rows \(4, 3\) to \(4, 4\), but gave \(4, 5\)"),
        (lambda n_inputs, n_outputs: nn.RNN(n_inputs, n_outputs), "but gave tuple"),
        (lambda n_inputs, n_outputs: torch.tanh, "that returns a torch.nn.Module; .* returned builtin_function"),
    ],
)
def test_what_is_no_module_from_rows_to_rows_is_refused(factory, given):
    with pytest.raises(ValueError, match=given):
        ModuleNetwork(factory, 3, 4)


def test_a_module_without_parameters_will_do(generator):
    network, x = ModuleNetwork(lambda n, m: nn.Identity(), 3, 3), normal(5, 3, generator=generator).float()
    assert torch.equal(network(x), x)
    assert len(FlatParameters(network).value) >= 6


def test_layers_that_learn_their_sizes_from_rows_will_do(generator):
    def lazy(n_inputs, n_outputs):
        return nn.Sequential(nn.LazyLinear(5), nn.Tanh(), nn.LazyLinear(n_outputs))

    one, same, other = built(lazy), built(lazy), built(lazy, seed=4)
    x = normal(5, 3, generator=generator)
    assert torch.equal(one(x), same(x))
    assert not torch.equal(one(x), other(x))


def test_a_factory_that_returns_the_same_parameters_twice_is_refused():
    backbone = nn.Linear(3, 5)
    network = built(lambda n_inputs, n_outputs: nn.Sequential(copy.deepcopy(backbone), nn.Linear(5, n_outputs)))
    assert torch.equal(network.module[0].weight, backbone.weight.double())
    with pytest.raises(ValueError, match="returned parameters that it had returned before"):
        built(lambda n_inputs, n_outputs: nn.Sequential(backbone, nn.Linear(5, n_outputs)))


def test_a_module_that_does_not_take_the_rows_is_refused_with_its_own_words():
    with pytest.raises(ValueError, match=r"does not take rows \(4, 3\): mat1 and mat2"):
        ModuleNetwork(lambda n_inputs, n_outputs: nn.Linear(8, 8), 3, 4)


def test_a_state_that_is_no_tensor_is_refused():
    class Stateful(nn.Linear):
        def get_extra_state(self):
            return {"calls": 1}

        def set_extra_state(self, state):
            pass

    with pytest.raises(ValueError, match="has a state '_extra_state' of type dict"):
        ModuleNetwork(Stateful, 3, 4)
