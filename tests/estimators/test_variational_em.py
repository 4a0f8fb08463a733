"""Tests of skgen.estimators._variational_em: what a step hands to the next, and a fit to its continuation."""

import numpy as np
import pytest

from skgen.estimators._variational_em import drawn_seed
from tests.estimators.configurations import amortized, configured, rows

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_seeds_come_from_the_generator_alone(generator):
    state = generator.get_state()
    first = drawn_seed(generator)
    assert drawn_seed(generator) != first
    generator.set_state(state)
    assert drawn_seed(generator) == first


@pytest.mark.parametrize("name", ["amortized-local", "amortized-semi"])
def test_posteriors_are_kept_from_one_iteration_to_the_next(name):
    """With one step of a search each, later iterations still come closer to the best posterior of each row."""
    options = {"refine_steps": 1, "learning_rate": 0.0, "m_solver": "sgd", "latent_generator": "normal"}
    history = configured(name, e_solver="lbfgs", max_iter=20, n_iter_no_change=np.inf, **options).fit(rows()).history_
    bound = np.array(history["elbo"])
    assert bound[-1] > bound[0]
    assert (np.diff(bound) >= -1e-9 * np.abs(bound[1:])).all()


def test_statistics_of_batches_lead_the_generator_near_to_that_of_all_rows():
    X = rows(200)
    options = {"latent_generator": "normal", "learning_rate": 0.0, "max_iter": 5, "n_iter_no_change": np.inf}
    whole, parts = (amortized(batch_size=size, **options).fit(X) for size in (None, 20))
    for name in ("prior.mean", "prior.log_variance"):
        # Old batches fade over about one pass, so that some rows count for more than others.
        np.testing.assert_allclose(parts.weights_[name], whole.weights_[name], atol=0.15)


def test_the_reports_are_in_the_units_of_the_score():
    X = rows() * [1, 10, 100, 1e3, 1e4]
    model = amortized(e_solver="lbfgs", m_solver="lbfgs", n_score_draws=4096).fit(X)
    last = {name: values[-1] for name, values in model.history_.items()}
    terms = model.elbo(X)
    assert last["elbo"] == pytest.approx(last["reconstruction"] - last["kl"], rel=1e-9)
    # The frozen block of 32 draws has the first two moments of the noise; a decoder with kinks asks for more.
    assert abs(last["elbo"] - terms["elbo"].mean()) < 0.5
