"""Tests of skgen.objectives.resemblance."""

import torch

from skgen._terms import Terms
from skgen.objectives import ELBO
from skgen.objectives.resemblance import ResemblanceObjective
from tests.parts import normal


def test_the_objective_has_the_form_of_the_elbo_and_reports_the_resemblance_in_its_units(generator):
    terms = Terms(-normal(3, 5, generator=generator).abs(), kl=normal(5, 2, generator=generator).abs(), n_draws=3)
    objective = ResemblanceObjective("ssim", lambda value: 1 + value / 4, 0.5, 2)
    torch.testing.assert_close(objective(terms, 0.3), ELBO(0.5, 2)(terms, 0.3))
    report, elbo = objective.report(terms), ELBO().report(terms)
    assert report.keys() == {"objective", "ssim", "kl"} == set(objective.unitless)
    torch.testing.assert_close(report["ssim"], 1 + elbo["reconstruction"] / 4)
    torch.testing.assert_close(report[objective.monitor], elbo["elbo"])
    torch.testing.assert_close(report["kl"], elbo["kl"])
