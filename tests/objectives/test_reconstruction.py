import torch

from skgen._terms import Terms
from skgen.objectives.reconstruction import Reconstruction
from tests.parts import normal


def test_it_is_the_mean_log_likelihood_whatever_the_weight(generator):
    log_likelihood = normal(3, 4, generator=generator)
    terms, objective = Terms(log_likelihood, n_draws=3), Reconstruction()
    for kl_weight in (0.0, 1.0):
        torch.testing.assert_close(objective(terms, kl_weight), log_likelihood.mean(0))
        assert objective.cotangents(terms, kl_weight).log_likelihood == 1 / 3
    torch.testing.assert_close(objective.report(terms)[objective.monitor], log_likelihood.mean(0))
