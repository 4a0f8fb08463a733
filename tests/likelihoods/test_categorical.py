"""The categorical likelihood, :mod:`skgen.likelihoods.categorical`; what all likelihoods keep is a contract."""

import pytest
import torch

from skgen.likelihoods import Categorical
from skgen.likelihoods.base import Head
from tests.parts import normal

SIZES = (3, 1, 2)


@pytest.fixture
def likelihood():
    return Categorical([[*"abc"], ["only"], [False, True]]).build(3).double()


def test_a_row_has_the_product_of_the_probabilities_of_its_categories(likelihood, generator):
    outputs = normal(5, 6, generator=generator)
    x = torch.stack([torch.randint(size, (5,), generator=generator) for size in SIZES], -1).double()
    parts = [torch.distributions.Categorical(logits=part) for part in outputs.split(SIZES, -1)]
    expected = torch.stack([law.log_prob(x[:, i]) for i, law in enumerate(parts)], -1)
    torch.testing.assert_close(likelihood.log_probs(outputs, x), expected)
    torch.testing.assert_close(likelihood.log_prob(outputs, x), expected.sum(-1))
    assert torch.equal(likelihood.log_probs(outputs, x)[:, 1], torch.zeros(5).double())


def test_an_encoder_sees_one_hot_columns(likelihood):
    x = torch.tensor([[2.0, 0.0, 1.0], [0.0, 0.0, torch.nan]]).double()
    expected = torch.tensor([[0, 0, 1, 1, 0, 1], [1, 0, 0, 1, 0, 0]]).double()
    assert torch.equal(likelihood.inputs(x), expected)
    assert likelihood.n_inputs == 6
    assert torch.equal(likelihood.per_input(torch.tensor([1, 2, 3])), torch.tensor([1, 1, 1, 2, 3, 3]))


def test_it_starts_at_the_shares_of_categories_and_those_without_rows_are_possible(likelihood):
    head = Head(torch.zeros(4, 6), torch.zeros(6))
    shares = torch.tensor([0.25, 0.75, 0.0, 1.0, 0.5, 0.5])
    likelihood.initialize_shares(head, shares)
    started = likelihood.blocks.probabilities(head.bias)
    torch.testing.assert_close(started, shares, rtol=0, atol=1e-3)
    assert (started > 0).all()


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        ("auto", "categories must be a number or one list for each column to build on"),
        (0, "categories must be an integer of at least 1"),
        ([["a"], ["b"]], "one list for each column, got 2 for 3 columns"),
        ([["a"], [], ["b"]], "at least one, and distinct"),
        ([["a"], ["b", "b"], ["c"]], "at least one, and distinct"),
    ],
)
def test_categories_that_cannot_be_are_refused(categories, message):
    with pytest.raises(ValueError, match=message):
        Categorical(categories).build(3)
