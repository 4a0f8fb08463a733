import pytest
import torch

from skgen._terms import Terms
from skgen.objectives.base import Objective
from skgen.objectives.importance import ELBO
from skgen.objectives.target import TargetELBO
from tests.parts import normal


def random_terms(generator, *, with_kl, n_draws=3):
    kl = normal(4, 2, generator=generator).square() if with_kl else None
    return Terms(*normal(3, n_draws, 4, generator=generator), kl, n_draws=n_draws)


@pytest.mark.parametrize("with_kl", [True, False])
@pytest.mark.parametrize("n_draws", [1, 3])
@pytest.mark.parametrize("kl_weight", [0.0, 1.5, 3.0])
def test_cotangents_are_the_derivatives_of_autograd(with_kl, n_draws, kl_weight, generator):
    objective, terms = TargetELBO(0.5, beta=3.0), random_terms(generator, with_kl=with_kl, n_draws=n_draws)
    ours = objective.cotangents(terms, kl_weight)
    for a, b in zip(ours, Objective.cotangents(objective, terms, kl_weight), strict=True):
        assert (a is None) == (b is None)
        if b is not None:
            torch.testing.assert_close(torch.as_tensor(a, dtype=b.dtype).expand_as(b), b)


@pytest.mark.parametrize("with_kl", [True, False])
def test_a_target_of_no_nats_is_a_weighted_elbo_where_the_kl_is_positive(with_kl, generator):
    terms = random_terms(generator, with_kl=with_kl)
    above = terms.kl_per_row() > 0
    assert above.any()
    torch.testing.assert_close(TargetELBO(0.0, 3.0)(terms, 3.0)[above], ELBO()(terms, 3.0)[above])
    torch.testing.assert_close(TargetELBO(0.0).report(terms), ELBO().report(terms))


def test_the_weight_stays_and_the_target_rises_with_the_schedule():
    objective = TargetELBO(8.0, beta=2.0)
    assert objective.scheduled(0.5) == {"kl_weight": 2.0, "target_kl": 2.0}
    assert objective.scheduled(2.0) == {"kl_weight": 2.0, "target_kl": 8.0}
    assert objective.scheduled(0.0) == {"kl_weight": 0.0, "target_kl": 0.0}
