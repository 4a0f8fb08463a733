"""Blocks of categories, :mod:`skgen.distributions.categorical`, against torch's distributions."""

import pytest
import torch

from skgen.distributions.categorical import Blocks
from tests.oracles import within
from tests.parts import normal

every_size = pytest.mark.parametrize("sizes", [(3, 3), (2, 4, 1), (5,), (1,)], ids=str)


def laws(logits, sizes):
    """One distribution of torch's for each block."""
    return [torch.distributions.Categorical(logits=part) for part in logits.split(sizes, -1)]


def codes_of(sizes, n_rows, generator):
    return torch.stack([torch.randint(size, (n_rows,), generator=generator) for size in sizes], -1).double()


@every_size
def test_log_probabilities_and_modes_are_those_of_each_block_by_itself(sizes, generator):
    blocks, logits = Blocks(sizes), 3 * normal(2, 6, sum(sizes), generator=generator)
    codes = codes_of(sizes, 6, generator)
    expected = torch.stack([law.log_prob(codes[:, i]) for i, law in enumerate(laws(logits, sizes))], -1)
    torch.testing.assert_close(blocks.log_probs(codes, logits), expected)
    torch.testing.assert_close(blocks.probabilities(logits), torch.cat([law.probs for law in laws(logits, sizes)], -1))
    assert torch.equal(blocks.mode(logits), torch.stack([law.probs.argmax(-1) for law in laws(logits, sizes)], -1))


@every_size
def test_draws_have_the_probabilities_and_blocks_are_independent(sizes, generator):
    blocks, logits = Blocks(sizes), normal(sum(sizes), generator=generator)
    probabilities = blocks.probabilities(logits)
    drawn = blocks.one_hot(blocks.draw(probabilities.expand(30000, -1), generator).double())
    assert within(drawn, probabilities)
    pairs = drawn[:, :1] * drawn[:, -1:]
    assert len(sizes) == 1 or within(pairs, probabilities[:1] * probabilities[-1:])


def test_one_hot_columns_are_interpolated_between_codes_and_zero_where_a_code_is_missing():
    codes = torch.tensor([[0.0, 2.0], [1.0, 0.25], [torch.nan, 1.0]])
    expected = [[1, 0, 0, 0, 1], [0, 1, 0.75, 0.25, 0], [0, 0, 0, 1, 0]]
    assert torch.equal(Blocks((2, 3)).one_hot(codes), torch.tensor(expected))


def test_a_variable_with_one_category_is_certain():
    blocks = Blocks((1, 2))
    assert torch.equal(blocks.log_probs(torch.zeros(1, 2), torch.tensor([[7.0, 0.0, 0.0]]))[:, 0], torch.zeros(1))
