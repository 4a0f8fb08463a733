"""The streams of :mod:`skgen.distributions.streams`."""

import math

import pytest
import torch

from skgen.distributions.streams import Streams, row_keys
from tests.oracles import process_state
from tests.parts import normal

WORD = 2**64


def mixed(word):
    """The finaliser of SplitMix64, in Python's integers."""
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) % WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) % WORD
    return word ^ (word >> 31)


def signed(word):
    return word - WORD if word >= WORD // 2 else word


@pytest.mark.parametrize("key", [0, 1, 2**63, 0x123456789ABCDEF0, WORD - 1])
def test_a_stream_is_that_of_splitmix64_with_the_key_for_its_state(key):
    found = Streams(torch.tensor(signed(key))).uniform(5)
    words = [mixed((key + i * 0x9E3779B97F4A7C15) % WORD) for i in range(1, 6)]
    assert found.tolist() == [((word >> 12) + 0.5) / 2**52 for word in words]


def test_numbers_depend_on_the_key_and_on_how_many_came_before_alone(generator):
    keys = row_keys(normal(6, 3, generator=generator), 0)
    whole = Streams(keys).normal(12)
    for part in (1, 5, 12):
        streams = Streams(keys[2:4])
        pieces = [streams.normal(min(part, 12 - start)) for start in range(0, 12, part)]
        assert torch.equal(torch.cat(pieces, -1), whole[2:4])
    order = torch.tensor([3, 0, 5])
    assert torch.equal(Streams(keys[order]).normal(12), whole[order])


def test_draws_are_the_next_numbers_of_each_stream_in_whatever_portions(generator):
    keys, like = row_keys(normal(4, 3, generator=generator), 0), torch.zeros(1)
    whole, streams = Streams(keys).normal_draws(5, 2, like), Streams(keys)
    assert torch.equal(whole[:, 1].flatten(), Streams(keys).normal(10)[1].float())
    assert torch.equal(torch.cat([streams.normal_draws(n, 2, like) for n in (1, 4)]), whole)


def test_branches_are_other_streams_and_the_same_in_any_portion(generator):
    streams = Streams(row_keys(normal(4, 3, generator=generator), 0))
    whole = streams.branches(range(7)).uniform(3)
    streams.uniform(10)
    assert torch.equal(streams.branches(range(2, 5)).uniform(3), whole[2:5])
    assert whole.shape == (7, 4, 3)
    assert len(torch.cat([whole.flatten(), streams.uniform(100).flatten()]).unique()) == 7 * 4 * 3 + 400


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_rows_have_equal_keys_and_all_others_have_not(dtype, generator):
    x = normal(1000, 4, generator=generator).to(dtype)
    near = x.clone()
    near[:, 1] = torch.nextafter(x[:, 1], torch.tensor(math.inf, dtype=dtype))
    swapped = x[:, [1, 0, 2, 3]]
    keys = torch.cat([row_keys(part, 0) for part in (x, near, swapped)] + [row_keys(x, 1)])
    assert len(keys.unique()) == 4000
    assert torch.equal(row_keys(x[5:8].clone(), 0), keys[5:8])
    zeros = torch.tensor([[0.0, math.nan], [-0.0, -math.nan]], dtype=dtype)
    assert len(row_keys(zeros, 0).unique()) == 1


def test_numbers_of_all_streams_together_are_independent_and_uniform(generator):
    x = torch.arange(4000.0).double().view(2000, 2)
    u = Streams(row_keys(x, 3)).uniform(50)
    assert 0 < u.min() < u.max() < 1
    # Means of n uniform numbers have variance 1/12n, and correlations of n pairs 1/n.
    assert abs(u.mean() - 0.5) < 5 / math.sqrt(12 * u.numel())
    cells = torch.histc(u, 100, 0, 1) - u.numel() / 100
    assert cells.square().sum() / (u.numel() / 100) < 99 + 5 * math.sqrt(2 * 99)
    z = torch.special.ndtri(u)
    for one, other in ((z[1:], z[:-1]), (z[:, 1:], z[:, :-1]), (z[1:, 1:], z[:-1, :-1])):
        assert abs((one * other).mean()) < 5 / math.sqrt(one.numel())
    bits = ((u * 2**52).long() & 1).double()
    assert abs(bits.mean() - 0.5) < 5 * 0.5 / math.sqrt(u.numel())


def test_normal_numbers_have_normal_moments():
    z = Streams(row_keys(torch.arange(1000.0).double().view(-1, 1), 0)).normal(200)
    n = z.numel()
    assert abs(z.mean()) < 5 / math.sqrt(n)
    assert abs(z.square().mean() - 1) < 5 * math.sqrt(2 / n)
    assert abs(z.pow(4).mean() - 3) < 5 * math.sqrt(96 / n)


def test_global_state_is_untouched():
    before = process_state()
    Streams(row_keys(torch.zeros(2, 2), 0)).normal(3)
    assert process_state() == before
