"""skgen.objectives.labelled: bounds of rows with and without a class, by hand and by differences."""

import math

import pytest
import torch

from skgen._terms import Cotangents, Terms
from skgen.objectives import ELBO, IWAE
from skgen.objectives.labelled import LabelledTerms, SemiSupervised
from tests.oracles import central_differences
from tests.parts import normal

N_ROWS, N_CLASSES, N_DRAWS = 4, 3, 5
LOG_PRIOR = torch.log(torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64))
TARGET = torch.tensor([[0.0, 1, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0]], dtype=torch.float64)
OBJECTIVES = [ELBO(), IWAE()]


def pairs_from(parts):
    return Terms(*parts, n_draws=N_DRAWS)


@pytest.fixture
def parts(generator):
    """Terms of all pairs, and log q(y | x)."""
    values = [normal(N_DRAWS, N_CLASSES * N_ROWS, generator=generator) for _ in range(3)]
    return values, torch.log_softmax(normal(N_ROWS, N_CLASSES, generator=generator), -1)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_value_is_the_sum_written_out(objective, parts):
    values, log_proba = parts
    bound = SemiSupervised(objective, LOG_PRIOR, 0.7, 2.0)
    terms = LabelledTerms(pairs_from(values), log_proba, TARGET)
    pairs = objective(terms.pairs, 1.0)
    expected = []
    for i, row in enumerate(TARGET):
        joint = [pairs[k * N_ROWS + i] + LOG_PRIOR[k] for k in range(N_CLASSES)]
        if row.any():
            k = int(row.argmax())
            expected.append(joint[k] + 0.7 * 2.0 * log_proba[i, k])
        else:
            expected.append(sum(log_proba[i, k].exp() * (joint[k] - log_proba[i, k]) for k in range(N_CLASSES)))
    torch.testing.assert_close(bound(terms, 1.0), torch.stack(expected))
    torch.testing.assert_close(bound.report(terms)["objective"], bound(terms, 1.0))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_bound_of_a_row_without_a_class_is_below_the_sum_over_classes_and_reaches_it(objective, parts):
    values, log_proba = parts
    bound = SemiSupervised(objective, LOG_PRIOR, 0.0)
    unknown = torch.zeros_like(TARGET)
    joint = objective(pairs_from(values), 1.0).view(N_CLASSES, N_ROWS).T + LOG_PRIOR
    summed = torch.logsumexp(joint, -1)
    assert (bound(LabelledTerms(pairs_from(values), log_proba, unknown), 1.0) < summed).all()
    exact = LabelledTerms(pairs_from(values), torch.log_softmax(joint, -1), unknown)
    torch.testing.assert_close(bound(exact, 1.0), summed)


def test_the_elbo_is_its_terms_also_over_classes(parts):
    values, log_proba = parts
    report = SemiSupervised(ELBO(), LOG_PRIOR, 1.0).report(LabelledTerms(pairs_from(values), log_proba, TARGET))
    torch.testing.assert_close(report["elbo"], report["reconstruction"] - report["kl"])


def test_rows_with_their_own_class_alone_need_one_pair_each(parts):
    values, log_proba = parts
    codes = torch.tensor([1, 0, 2, 2])
    target = torch.nn.functional.one_hot(codes, N_CLASSES).double()
    own = [part[:, codes * N_ROWS + torch.arange(N_ROWS)] for part in values]
    bound = SemiSupervised(ELBO(), LOG_PRIOR, 0.7)
    few, many = (LabelledTerms(pairs_from(each), log_proba, target) for each in (own, values))
    torch.testing.assert_close(bound(few, 1.0), bound(many, 1.0))
    for name, value in bound.report(few).items():
        torch.testing.assert_close(value, bound.report(many)[name])
    torch.testing.assert_close(bound.cotangents(few, 1.0)[2], 0.7 * target)


@pytest.mark.parametrize("kl_weight", [1.0, 0.3])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_cotangents_are_the_derivatives(objective, kl_weight, parts, generator):
    values, log_proba = parts
    bound = SemiSupervised(objective, LOG_PRIOR, 0.7, 2.0)
    flat = torch.cat([part.flatten() for part in (*values, log_proba)])
    sizes = [part.numel() for part in (*values, log_proba)]

    def terms_of(vector):
        *found, last = vector.split(sizes)
        return LabelledTerms(pairs_from([part.view(N_DRAWS, -1) for part in found]), last.view(N_ROWS, -1), TARGET)

    cotangents, share, to_log_proba = bound.cotangents(terms_of(flat), kl_weight)
    whole = [torch.as_tensor(c).expand(N_DRAWS, len(share)) * share for c in cotangents[:3]]
    assert isinstance(cotangents, Cotangents)
    gradient = torch.cat([part.flatten() for part in (*whole, to_log_proba)])
    directions = normal(20, len(flat), generator=generator)
    expected = central_differences(lambda: bound(terms_of(flat), kl_weight).sum(), flat, directions)
    torch.testing.assert_close(directions @ gradient, expected, rtol=1e-6, atol=1e-6)


def test_a_sure_classifier_costs_nothing_where_it_is_right(parts):
    values, _ = parts
    sure = torch.log_softmax(1e4 * TARGET, -1)
    terms = LabelledTerms(pairs_from(values), sure, TARGET)
    assert math.isclose(float(SemiSupervised(ELBO(), LOG_PRIOR, 1.0).report(terms)["log_proba"].sum()), 0)
