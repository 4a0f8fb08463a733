import torch

from skgen.networks.constant import ConstantNetwork
from tests.parts import normal


def constant(generator):
    network = ConstantNetwork(3, 4).double()
    network.bias.data.copy_(normal(4, generator=generator))
    return network


def test_every_row_has_the_same_outputs_whatever_it_holds(generator):
    network = constant(generator)
    x = normal(2, 5, 3, generator=generator)
    x[0, 0, 0] = torch.nan
    assert torch.equal(network(x).detach(), network.bias.detach().expand(2, 5, 4))
    assert network(x[:0]).shape == (0, 5, 4)


def test_what_is_done_to_outputs_does_not_reach_the_parameters(generator):
    network = constant(generator)
    before = network.bias.detach().clone()
    with torch.no_grad():
        network(torch.zeros(1, 3, dtype=torch.float64)).add_(1)
    assert torch.equal(network.bias.detach(), before)


def test_its_head_is_the_outputs_alone(generator):
    network = constant(generator)
    weight, bias = network.head
    assert weight.shape == (0, 4)
    bias.zero_()
    assert not network.bias.any()


def test_a_reset_network_is_zero_and_draws_nothing(generator):
    network, before = constant(generator), generator.get_state()
    network.reset(generator)
    assert not network.bias.any()
    assert torch.equal(generator.get_state(), before)


def test_changes_of_the_input_change_nothing(generator):
    network, x = constant(generator), normal(5, 3, generator=generator)
    before = network(x)
    network.absorb_input(*normal(2, 3, generator=generator))
    assert torch.equal(network(x), before)


def test_it_pulls_back_the_sum_of_the_rows_to_its_outputs_and_zero_to_the_rows(generator):
    network, x = constant(generator), normal(2, 5, 3, generator=generator)
    cotangent = normal(2, 5, 4, generator=generator)
    network.bias.grad = torch.zeros_like(network.bias)
    gradient = network.tracer()(x)[1](cotangent)
    assert torch.equal(gradient, torch.zeros_like(x))
    torch.testing.assert_close(network.bias.grad, cotangent.sum((0, 1)))
