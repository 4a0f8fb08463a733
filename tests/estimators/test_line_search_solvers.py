"""The solvers that search along lines, in the estimators that offer them."""

import numpy as np
import pytest
from sklearn.datasets import load_iris

from skgen.callbacks import Checkpoint
from skgen.training.optimizers import SOLVERS
from tests.estimators.configurations import autoencoder, rows, vae

LINE_SEARCHES = [name for name, solver in SOLVERS.items() if solver.line_search]
X = load_iris().data

every_line_search = pytest.mark.parametrize("solver", LINE_SEARCHES)


def rises(values):
    """Whether no value is below the one before, but for rounding of a sum over 150 rows."""
    values = np.asarray(values)
    return bool((np.diff(values) >= -150 * np.finfo(np.float64).eps * np.abs(values[:-1])).all())


@every_line_search
def test_every_iteration_raises_the_bound_of_a_linear_model(solver):
    model = vae(hidden_layer_sizes=(), solver=solver, max_iter=60).fit(X)
    bound = model.history_["elbo"]
    assert rises(bound)
    assert bound[-1] > bound[0] + 30


@every_line_search
def test_every_iteration_lowers_the_reconstruction_error_of_a_network(solver):
    model = autoencoder(solver=solver, activation="tanh", max_iter=30).fit(X)
    assert rises(model.history_["reconstruction"])


class Iterations:
    """A callback that counts the iterations, and stands for Ctrl-C after one of them."""

    def __init__(self, last=np.inf):
        self.last = last
        self.count = 0

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if context.parent is None:
            return
        self.count += 1
        if self.count == self.last:
            raise KeyboardInterrupt


@every_line_search
@pytest.mark.parametrize("make", [vae, autoencoder])
def test_a_checkpoint_continues_bit_for_bit(make, solver, tmp_path):
    options = {"solver": solver, "max_iter": 8}
    whole = make(**options).fit(rows())
    with pytest.warns(match="interrupted"):
        make(**options).set_callbacks(Checkpoint(tmp_path), Iterations(3)).fit(rows())
    rest = Iterations()
    continued = make(**options).set_callbacks(Checkpoint(tmp_path), rest).fit(rows())
    assert rest.count == 8 - 3
    assert continued.history_ == whole.history_
    for name, value in whole.weights_.items():
        np.testing.assert_array_equal(continued.weights_[name], value, err_msg=name)


@every_line_search
def test_a_line_search_needs_a_deterministic_loss(solver):
    message = f"solver='{solver}' does not go with dropout=0.5: .* the same loss at every evaluation"
    with pytest.raises(ValueError, match=message):
        vae(solver=solver, dropout=0.5).fit(rows())
