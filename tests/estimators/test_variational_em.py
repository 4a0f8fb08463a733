"""Tests of skgen.estimators._variational_em: what a step hands to the next, and a fit to its continuation."""

import numpy as np
import pytest
import torch

from skgen.estimators._variational_em import CompleteLoss, drawn_seed
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


@pytest.mark.parametrize("latent_generator", ["normal", "mixture"])
def test_a_chunk_of_one_row_moves_the_generator_by_its_share(latent_generator):
    X = rows(200)
    model = amortized(latent_generator=latent_generator, learning_rate=1e-2)
    for _ in range(10):
        model.partial_fit(X)
    before = model._fitted_model().prior.expected_statistics()
    model.set_params(learning_rate=0.0).partial_fit(X[:1])  # row 2001
    after = model._fitted_model().prior.expected_statistics()
    for name, value in before.items():
        # A row's share of sums that are of size 1.
        torch.testing.assert_close(after[name], value, rtol=0, atol=50 / 2001)


class Gradients:
    """A callback that takes the gradients of one pass over a batch, and those of both steps by themselves."""

    def __init__(self):
        self.found = []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if context.task_name != "epoch":
            return
        run = estimator._runtime.run
        batch = next(run.batches.epoch(run.order, run.generator))
        with torch.no_grad():
            run.loss.draw_noise(batch, run.generator)
            learnt = [run.model.encoder, run.model.decoder, run.model.likelihood]
            learnt += [] if run.loss.closed else [run.model.prior]
            marks = torch.stack([run.parameters.marks(part) for part in learnt]).any(0)
            joint, parts = self.of(run, run.loss, batch), self.by_parts(run, batch)
            self.found.append([joint[marks], parts[marks]])

    @staticmethod
    def of(run, loss, batch):
        run.parameters.gradient.zero_()
        loss(batch, run.generator)
        return run.parameters.gradient.clone()

    def by_parts(self, run, batch):
        run.loss.infer(batch, run.generator)
        options = {"learns_prior": not run.loss.closed, "valued": False, "low_precision": False}
        encoder = run.parameters.marks(run.model.encoder)
        joint, complete = self.of(run, run.loss, batch), self.of(run, CompleteLoss(run.loss, **options), batch)
        return torch.where(encoder, joint, complete)


@pytest.mark.parametrize("latent_generator", ["normal", "mixture", "flow"])
def test_one_pass_gives_the_gradients_of_both_steps(latent_generator):
    gradients = Gradients()
    model = amortized(latent_generator=latent_generator, precision="float64", batch_size=20, max_iter=2)
    model.set_callbacks(gradients).fit(rows(60))
    assert len(gradients.found) == 2
    for joint, parts in gradients.found:
        torch.testing.assert_close(joint, parts, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("inference", ["amortized", "semi_amortized"])
def test_a_fit_that_diverges_names_entries_of_its_history(inference):
    options = {"inference": inference, "e_solver": "sgd", "m_solver": "sgd", "latent_generator": "normal"}
    model = amortized(learning_rate=1e30, **options)
    with pytest.raises(FloatingPointError, match=r"elbo, .* not finite") as error:
        model.fit(rows())
    named = str(error.value).partition(": ")[2].partition(" is not")[0].split(", ")
    assert set(named) <= amortized(**options).fit(rows()).history_.keys()
