import pytest
import torch

from skgen._terms import Cotangents, Terms, evaluate


def test_a_part_given_as_a_function_is_computed_once_and_only_when_read():
    calls = []

    def part():
        calls.append(1)
        return torch.ones(2, 3)

    terms = Terms(part, n_draws=2)
    assert not calls
    assert terms.log_likelihood is terms.log_likelihood
    assert len(calls) == 1


def test_compute_reads_every_term_that_is_there():
    calls = []
    parts = [lambda i=i: calls.append(i) or torch.ones(2) for i in range(2)]
    terms = Terms(parts[0], log_posterior=parts[1])
    terms.compute()
    assert calls == [0, 1]
    assert terms.log_posterior.shape == (1, 2)
    assert calls == [0, 1]


def test_a_single_draw_gets_its_axis_back_and_the_kl_does_not():
    terms = Terms(torch.ones(3), torch.ones(3), torch.ones(3), torch.ones(3, 2))
    assert terms.log_likelihood.shape == terms.log_prior.shape == terms.log_posterior.shape == (1, 3)
    assert terms.kl.shape == (3, 2)


def test_log_weight_and_kl_per_row(generator):
    log_likelihood, log_prior, log_posterior = torch.rand(3, 4, 5, generator=generator)
    terms = Terms(log_likelihood, log_prior, log_posterior, n_draws=4)
    torch.testing.assert_close(terms.log_weight, log_likelihood + log_prior - log_posterior)
    torch.testing.assert_close(terms.kl_per_row(), (log_posterior - log_prior).mean(0))
    closed = Terms(log_likelihood, log_prior, log_posterior, torch.ones(5, 2), n_draws=4)
    assert closed.has_kl
    torch.testing.assert_close(closed.kl_per_row(), torch.full((5,), 2.0))


def test_a_term_that_was_not_computed_is_named():
    with pytest.raises(AttributeError, match="'log_prior'"):
        _ = Terms(torch.ones(1, 1)).log_prior


def test_evaluate_takes_a_tensor_or_a_function():
    assert evaluate(torch.tensor(2.0)) == evaluate(lambda: torch.tensor(2.0)) == 2


def test_cotangents_are_zero_unless_given():
    assert Cotangents(1.0) == (1.0, None, None, None, None)
