import pytest
import torch

from skgen.likelihoods.base import Head
from skgen.likelihoods.bernoulli import SMALLEST_MEAN, Bernoulli
from tests.oracles import within
from tests.parts import normal


def test_columns_keep_their_units():
    mean, scale = torch.tensor([0.2, 0.9]), torch.tensor([0.4, 0.0])
    standardization = Bernoulli().build(2).standardize(mean, scale)
    assert [part.tolist() for part in standardization] == [[0, 0], [1, 1], [1, 1]]


def test_the_start_gives_each_column_its_mean_within_bounds():
    mean = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    head = Head(torch.zeros(4, 3), torch.zeros(3, dtype=torch.float64))
    Bernoulli().build(3).initialize(head, mean, torch.ones(3))
    torch.testing.assert_close(head.bias.sigmoid(), mean.clamp(SMALLEST_MEAN, 1 - SMALLEST_MEAN))


def test_fractional_rows_have_the_mean_over_their_binarisations(generator):
    likelihood = Bernoulli(binarize="dynamic").build(3)
    x, logits = torch.rand(3, dtype=torch.float64, generator=generator), normal(3, generator=generator)
    drawn = likelihood.augment(x.expand(20000, -1), generator=generator)
    assert within(likelihood.log_prob(logits, drawn), likelihood.log_prob(logits, x))


def test_rows_are_redrawn_only_when_asked_for(generator):
    x = torch.rand(5, 3, generator=generator)
    assert Bernoulli().build(3).augment(x, generator=generator) is x
    drawn = Bernoulli(binarize="dynamic").build(3).augment(x, generator=generator)
    assert set(drawn.unique().tolist()) <= {0.0, 1.0}


def test_an_unknown_mode_is_named():
    with pytest.raises(ValueError, match=r"binarize must be one of \['dynamic', 'none'\], got 'always'"):
        Bernoulli(binarize="always").build(3)
