import math

import pytest
import torch

from skgen._terms import Terms
from skgen.objectives import ELBO, IWAE
from skgen.objectives.custom import Custom
from tests.parts import normal


def iwae(log_weight):
    return torch.logsumexp(log_weight, 0) - math.log(len(log_weight))


def terms_of(generator):
    return Terms(*normal(3, 3, 4, generator=generator), n_draws=3)


@pytest.mark.parametrize("kl_weight", [0.3, 1.0])
def test_the_functions_of_the_known_bounds_are_those_bounds(kl_weight, generator):
    terms = terms_of(generator)
    for function, bound in ((iwae, IWAE()), (lambda log_weight: log_weight.mean(0), ELBO())):
        ours = Custom(function)
        torch.testing.assert_close(ours(terms, kl_weight), bound(terms, kl_weight))
        for a, b in zip(ours.cotangents(terms, kl_weight), bound.cotangents(terms, kl_weight), strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                torch.testing.assert_close(a, torch.as_tensor(b, dtype=a.dtype).expand_as(a))
        report = ours.report(terms)
        torch.testing.assert_close(report["objective"], bound(terms, 1.0))
        torch.testing.assert_close(report["elbo"], ELBO().report(terms)["elbo"])


def test_the_function_sees_log_weights_in_the_units_of_the_rows(generator):
    terms = terms_of(generator)
    value = Custom(lambda log_weight: log_weight[0].square(), offset=7.0)(terms, 1.0)
    torch.testing.assert_close(value, (terms.log_weight[0] + 7).square())


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda log_weight: log_weight.mean(),
            r"\(batch,\)|shape \(3,\), one value for each row, got a tensor of shape",
        ),
        (lambda log_weight: log_weight, r"got a tensor of shape \(5, 3\). Reduce over the first axis only"),
        (lambda log_weight: 1.0, "got 1.0"),
        (lambda log_weight: log_weight.mean(0).detach(), "objective must be differentiable"),
        (lambda log_weight: (log_weight.mean(0) - 100).log(), "objective must have finite values and derivatives"),
        (lambda log_weight: (log_weight[0] - log_weight[0].detach()).sqrt(), "finite values and derivatives"),
    ],
)
def test_a_function_that_is_unfit_is_refused_before_training(function, message):
    with pytest.raises(ValueError, match=message):
        Custom(function).try_out(5)


def test_a_function_that_is_fit_passes():
    Custom(iwae, offset=3.0).try_out(1)
