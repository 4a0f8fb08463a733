import torch

from skgen.networks.framed import FramedNetwork
from skgen.training.flat import FlatParameters
from tests.parts import normal


class Squares(FramedNetwork):
    """Squares of the inputs between two affine maps."""

    width = 6

    def _body(self, x, generator):
        return x.square()

    def _reset_body(self, generator):
        """There is nothing to draw."""


def framed(generator):
    network = Squares(3, 3).double()
    FlatParameters(network)
    for tensor in network.state_dict().values():
        tensor.copy_(normal(3, generator=generator))
    return network


def test_the_body_lies_between_two_affine_maps(generator):
    network, x = framed(generator), normal(2, 5, 3, generator=generator)
    inside = (x * network.input_ratio + network.input_offset).square()
    torch.testing.assert_close(network(x).detach(), inside * network.gain.detach() + network.bias.detach())


def test_changes_of_the_input_are_absorbed_one_after_the_other(generator):
    network, x = framed(generator), normal(5, 3, generator=generator)
    first, second = ((normal(3, generator=generator), normal(3, generator=generator)) for _ in range(2))
    with torch.no_grad():
        expected = network((x * second[0] + second[1]) * first[0] + first[1])
        network.absorb_input(*first)
        network.absorb_input(*second)
        torch.testing.assert_close(network(x), expected, rtol=1e-12, atol=1e-12)


def test_the_head_scales_and_shifts_each_output_and_shares_memory(generator):
    network, x = framed(generator), normal(5, 3, generator=generator)
    weight, bias = network.head
    assert weight.shape == (1, 3)
    with torch.no_grad():
        before = network(x)
        weight.mul_(2)
        bias.mul_(2).add_(1)
        torch.testing.assert_close(network(x), 2 * before + 1)


def test_a_reset_frame_is_the_identity(generator):
    network, x = framed(generator), normal(5, 3, generator=generator)
    network.reset(generator)
    assert torch.equal(network(x).detach(), x.square())
