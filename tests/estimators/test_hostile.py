"""What estimators do with extreme rows, unlucky settings, and fits that fail."""

import numpy as np
import pytest

from skgen import Autoencoder
from tests.estimators.configurations import autoencoder, rows

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# -- units ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [2.0**-40, 2.0**-10, 2.0**40])
@pytest.mark.parametrize("batch_size", [128, 16])
def test_an_autoencoder_learns_the_same_in_any_unit(unit, batch_size):
    """Powers of two scale without rounding, so that nothing but the unit of the loss may change."""
    X = rows()
    one, other = (autoencoder(batch_size=batch_size, max_iter=50).fit(c * X) for c in (1.0, unit))
    np.testing.assert_array_equal(one.transform(X), other.transform(unit * X))
    np.testing.assert_allclose(unit**2 * one.score_samples(X), other.score_samples(unit * X), rtol=1e-12)
    assert one.n_iter_ == other.n_iter_


def test_an_autoencoder_of_small_numbers_is_not_stopped_by_its_tolerance():
    X = 1e-3 * rows(200)
    estimator = Autoencoder(hidden_layer_sizes=(16,), max_iter=100, random_state=0).fit(X)
    assert estimator.n_iter_ == 100
    assert not estimator.converged_


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_error_of_an_autoencoder_is_not_lost_in_rounding(dtype):
    X = (1e-6 * rows()).astype(dtype)
    estimator = autoencoder().fit(X)
    error = ((X.astype(float) - estimator.inverse_transform(estimator.transform(X))) ** 2).sum(axis=1)
    np.testing.assert_allclose(estimator.score_samples(X), -error, rtol=1e-5 if dtype == np.float32 else 1e-9)
