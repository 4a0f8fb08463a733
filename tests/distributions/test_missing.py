import pytest
import torch

import skgen.distributions.missing
from skgen.distributions.missing import complete_dense, complete_diagonal
from tests.oracles import conditional_normal, normal_mixture_joint
from tests.parts import normal

K, D, N = 3, 5, 60
# Inverses of well-conditioned matrices, and sums of a few products of numbers of order one to a hundred.
ROUNDING = {"rtol": 1e-11, "atol": 1e-11}
NAN = float("nan")


def dense(groups, generator):
    root = normal(groups, D, D, generator=generator)
    return root @ root.mT / D + 0.3 * torch.eye(D, dtype=torch.float64)


def diagonal(groups, generator):
    return torch.exp(normal(groups, D, generator=generator))


KINDS = {"dense": (complete_dense, dense), "diagonal": (complete_diagonal, diagonal)}


@pytest.fixture(params=sorted(KINDS))
def kind(request):
    return KINDS[request.param]


GROUPS = pytest.mark.parametrize("groups", [1, K])


def as_matrices(covariance):
    return covariance if covariance.dim() == 3 else torch.diag_embed(covariance)


def as_matrices_by_pattern(covariance):
    return covariance if covariance.dim() == 4 else torch.diag_embed(covariance)


def incomplete(generator):
    """Rows sorted by pattern, with NaN; among them one of which nothing is missing, and two that miss everything."""
    x = 2 * normal(N, D, generator=generator)
    missing = torch.empty(N, D).uniform_(generator=generator) < 0.4
    missing[:2], missing[2] = True, False
    patterns, index = torch.unique(~missing, dim=0, return_inverse=True)
    index, order = index.sort(stable=True)
    x = x[order]
    return x, x.masked_fill(~patterns[index], NAN), patterns, index


def completed(kind, groups, generator):
    complete, covariance_of = kind
    means, covariance = 2 * normal(K, D, generator=generator), covariance_of(groups, generator)
    x, gaps, patterns, index = incomplete(generator)
    found = complete(x, means, covariance, patterns, index)
    return found, means, as_matrices(covariance).expand(K, D, D), gaps, patterns, index


@GROUPS
def test_densities_are_the_marginal_ones_of_the_observed_entries(kind, groups, generator):
    found, means, matrices, gaps, _, _ = completed(kind, groups, generator)
    expected = normal_mixture_joint(torch.zeros(K, dtype=torch.float64), means, matrices, gaps)
    torch.testing.assert_close(found.log_prob.T, expected, **ROUNDING)


@GROUPS
def test_completions_are_conditional_means_and_covariances(kind, groups, generator):
    found, means, matrices, gaps, _, index = completed(kind, groups, generator)
    spread = as_matrices_by_pattern(found.covariance).expand(K, -1, D, D)
    for k in range(K):
        for n, row in enumerate(gaps):
            mean, covariance = conditional_normal(means[k], matrices[k], row)
            torch.testing.assert_close(found.mean[k, n], mean, **ROUNDING)
            torch.testing.assert_close(spread[k, index[n]], covariance, **ROUNDING)


@GROUPS
def test_a_row_with_nothing_observed_has_density_one_and_is_completed_by_the_component(kind, groups, generator):
    found, means, matrices, gaps, _, index = completed(kind, groups, generator)
    spread = as_matrices_by_pattern(found.covariance).expand(K, -1, D, D)
    empty = gaps.isnan().all(1)
    assert int(empty.sum()) >= 2
    assert bool((found.log_prob[:, empty] == 0).all())
    torch.testing.assert_close(found.mean[:, empty], means.unsqueeze(1).expand(-1, int(empty.sum()), -1))
    torch.testing.assert_close(spread[:, index[empty][0]], matrices)


@GROUPS
def test_observed_entries_stay_as_they_are_and_have_no_spread(kind, groups, generator):
    found, _, _, gaps, patterns, index = completed(kind, groups, generator)
    there = patterns[index]
    assert bool((found.mean[:, there] == gaps[there]).all())
    spread = as_matrices_by_pattern(found.covariance)
    assert bool((spread.masked_select(patterns.unsqueeze(-1)) == 0).all())
    assert bool((spread.masked_select(patterns.unsqueeze(-2)) == 0).all())


def test_what_stands_in_the_place_of_missing_entries_changes_nothing(kind, generator):
    complete, covariance_of = kind
    means, covariance = normal(K, D, generator=generator), covariance_of(K, generator)
    x, _, patterns, index = incomplete(generator)
    expected = complete(x, means, covariance, patterns, index)
    found = complete(x.masked_fill(~patterns[index], 1e6), means, covariance, patterns, index)
    assert found.log_prob.equal(expected.log_prob)
    assert found.mean.equal(expected.mean)


@GROUPS
def test_independent_features_are_dense_covariances_that_are_diagonal(groups, generator):
    means, variance = normal(K, D, generator=generator), diagonal(groups, generator)
    x, _, patterns, index = incomplete(generator)
    found = complete_diagonal(x, means, variance, patterns, index)
    expected = complete_dense(x, means, torch.diag_embed(variance), patterns, index)
    torch.testing.assert_close(found.log_prob, expected.log_prob, **ROUNDING)
    torch.testing.assert_close(found.mean, expected.mean, **ROUNDING)
    torch.testing.assert_close(as_matrices_by_pattern(found.covariance), expected.covariance, **ROUNDING)


@GROUPS
@pytest.mark.parametrize("grouped", [0, 1000])
@pytest.mark.parametrize("chunk", [1, 4 * K * D * D, 10**6])
def test_neither_chunks_of_patterns_nor_grouped_rows_change_anything(chunk, grouped, groups, monkeypatch, generator):
    means, covariance = normal(K, D, generator=generator), dense(groups, generator)
    rows = incomplete(generator)
    expected = complete_dense(rows[0], means, covariance, *rows[2:])
    monkeypatch.setattr(skgen.distributions.missing, "CHUNK", chunk)
    monkeypatch.setattr(skgen.distributions.missing, "GROUPED", grouped)
    found = complete_dense(rows[0], means, covariance, *rows[2:])
    torch.testing.assert_close(found.log_prob, expected.log_prob, **ROUNDING)
    torch.testing.assert_close(found.mean, expected.mean, **ROUNDING)
    torch.testing.assert_close(found.covariance, expected.covariance, **ROUNDING)


def test_patterns_without_rows_are_allowed(kind, generator):
    complete, covariance_of = kind
    means, covariance = normal(K, D, generator=generator), covariance_of(K, generator)
    patterns = torch.eye(D, dtype=torch.bool)
    x = normal(3, D, generator=generator)
    index = torch.tensor([1, 1, 4])
    found = complete(x, means, covariance, patterns, index)
    expected = complete(x, means, covariance, patterns[[1, 4]], torch.tensor([0, 0, 1]))
    torch.testing.assert_close(found.log_prob, expected.log_prob, **ROUNDING)
    torch.testing.assert_close(found.mean, expected.mean, **ROUNDING)


def test_densities_of_incomplete_rows_can_be_differentiated(kind, generator):
    complete, covariance_of = kind
    means = normal(K, D, generator=generator).requires_grad_()
    covariance = covariance_of(K, generator).requires_grad_()
    x, _, patterns, index = incomplete(generator)

    def log_prob(means, covariance):
        symmetric = (covariance + covariance.mT) / 2 if covariance.dim() == 3 else covariance
        return complete(x[:20], means, symmetric, patterns, index[:20]).log_prob

    assert torch.autograd.gradcheck(log_prob, (means, covariance))


@pytest.mark.parametrize("far", [0.0, 1e8])
def test_completions_keep_their_digits_far_from_the_origin(kind, far, generator):
    complete, covariance_of = kind
    means, covariance = normal(K, D, generator=generator), covariance_of(K, generator)
    x, _, patterns, index = incomplete(generator)
    far_x, far_means = x + far, means + far
    found = complete(far_x, far_means, covariance, patterns, index)
    expected = complete(far_x - far, far_means - far, covariance, patterns, index)
    torch.testing.assert_close(found.log_prob, expected.log_prob, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.mean, expected.mean + far, rtol=1e-15, atol=1e-12)


@GROUPS
def test_rows_of_one_component_and_pattern_share_a_covariance(kind, groups, generator):
    found, *_, patterns, index = completed(kind, groups, generator)
    label = torch.randint(K, (N,), generator=generator)
    spread, which = found.spread(label, index)
    assert len(spread) == len({*zip(label.tolist(), index.tolist(), strict=True)}) <= K * len(patterns)
    expected = found.covariance.expand(K, *found.covariance.shape[1:])[label, index]
    torch.testing.assert_close(spread[which], expected, rtol=0, atol=0)
