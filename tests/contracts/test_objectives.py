"""What every objective in the table keeps."""

import pytest
import torch

from skgen._terms import Cotangents, Terms
from skgen.objectives import OBJECTIVES, Objective
from tests.parts import normal

DRAWS, ROWS, COMPONENTS = 3, 4, 2

pytestmark = pytest.mark.parametrize("name", OBJECTIVES)


def random_terms(generator, *, with_kl, n_draws=DRAWS):
    log_likelihood, log_prior, log_posterior = normal(3, n_draws, ROWS, generator=generator)
    kl = normal(ROWS, COMPONENTS, generator=generator).square() if with_kl else None
    return Terms(log_likelihood, log_prior, log_posterior, kl, n_draws=n_draws)


def kinds(objective):
    """Whether the terms hold a closed KL, for each kind of terms that the objective may be given."""
    return [False] if objective.needs_log_weights else [False, True]


def as_tensors(cotangents, terms):
    """Cotangents spread over the shapes of their terms, None as zeros."""
    full = []
    for name, part in zip(Cotangents._fields, cotangents, strict=True):
        if name == "path" or (name == "kl" and not terms.has_kl):
            continue
        shape = (ROWS, COMPONENTS) if name == "kl" else (terms.n_draws, ROWS)
        full.append(torch.as_tensor(0.0 if part is None else part, dtype=torch.float64).expand(shape))
    return full


@pytest.mark.parametrize("kl_weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("n_draws", [1, DRAWS])
def test_cotangents_are_the_derivatives_of_autograd(name, generator, kl_weight, n_draws):
    objective = OBJECTIVES[name]()
    for with_kl in kinds(objective):
        terms = random_terms(generator, with_kl=with_kl, n_draws=n_draws)
        ours = as_tensors(objective.cotangents(terms, kl_weight), terms)
        reference = as_tensors(Objective.cotangents(objective, terms, kl_weight), terms)
        for a, b in zip(ours, reference, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_one_value_per_row_that_no_other_row_changes(name, generator):
    objective = OBJECTIVES[name]()
    for with_kl in kinds(objective):
        terms = random_terms(generator, with_kl=with_kl)
        value = objective(terms, 0.5)
        kl = terms.kl[:1] if with_kl else None
        first = Terms(
            terms.log_likelihood[:, :1], terms.log_prior[:, :1], terms.log_posterior[:, :1], kl, n_draws=DRAWS
        )
        assert value.shape == (ROWS,)
        torch.testing.assert_close(objective(first, 0.5), value[:1])


def test_the_report_names_its_monitor_and_equals_the_value_at_weight_one(name, generator):
    objective = OBJECTIVES[name]()
    for with_kl in kinds(objective):
        terms = random_terms(generator, with_kl=with_kl)
        report = objective.report(terms)
        assert all(values.shape == (ROWS,) for values in report.values())
        torch.testing.assert_close(report[objective.monitor], objective(terms, 1.0))
        torch.testing.assert_close(report["elbo"], report["reconstruction"] - report["kl"])


def test_draws_are_exchangeable(name, generator):
    objective = OBJECTIVES[name]()
    terms = random_terms(generator, with_kl=False)
    flipped = Terms(terms.log_likelihood.flip(0), terms.log_prior.flip(0), terms.log_posterior.flip(0), n_draws=DRAWS)
    torch.testing.assert_close(objective(flipped, 0.5), objective(terms, 0.5))


def test_a_constant_added_to_the_log_likelihood_is_added_to_the_value(name, generator):
    objective = OBJECTIVES[name]()
    terms = random_terms(generator, with_kl=False)
    moved = Terms(terms.log_likelihood + 7, terms.log_prior, terms.log_posterior, n_draws=DRAWS)
    torch.testing.assert_close(objective(moved, 0.5), objective(terms, 0.5) + 7)


def test_equal_weights_make_every_bound_the_log_weight(name, generator):
    objective = OBJECTIVES[name]()
    row, prior, posterior = normal(3, ROWS, generator=generator).unsqueeze(1).expand(-1, DRAWS, -1)
    terms = Terms(row, prior, posterior, n_draws=DRAWS)
    torch.testing.assert_close(objective(terms, 1.0), terms.log_weight[0])
