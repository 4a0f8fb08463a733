"""What Boltzmann machines and their stacks do with extreme rows, unlucky settings, and fits that fail."""

from functools import cache

import numpy as np
import pytest
import torch
from scipy import sparse

from tests.estimators.configurations import CLASSIFIERS, MACHINES, STACKS, configured, machine, rows, stack

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:Constant column"),
]
every = pytest.mark.parametrize("name", [*MACHINES, *STACKS, *CLASSIFIERS])
LABELS = np.arange(40) % 2


def fitted(name, X, **parameters):
    return configured(name, **parameters).fit(X, LABELS[: X.shape[0]])


@cache
def learnt(name, dtype=np.float64):
    """A fitted estimator that several tests ask and none changes."""
    return fitted(name, rows(dtype=dtype))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.where(np.eye(40, 5) > 0, np.inf, 0.5), "infinity"),
        (np.where(np.eye(40, 5) > 0, np.nan, 0.5), "NaN"),
        (np.full((40, 2), "a"), "could not convert"),
        (np.zeros((0, 5)), "0 sample"),
        (np.zeros((40, 0)), "0 feature"),
        (rows() + 1j, "Complex"),
        (rows()[:, 0], "1D array"),
        (sparse.csr_array(np.where(np.eye(40, 5) > 0, np.inf, 0)), "infinity"),
    ],
)
@every
def test_rows_that_are_no_finite_matrix_are_refused(name, X, message):
    with pytest.raises(ValueError, match=message):
        fitted(name, X)


@pytest.mark.parametrize("unit", [2.0**-400, 2.0**-40, 2.0**40, 2.0**400])
@pytest.mark.parametrize("name", ["rbm-gaussian", "rbm-gaussian-linear", "rbm-gaussian-relu", "stack-gaussian"])
def test_real_columns_are_learnt_alike_in_any_unit(name, unit):
    """Powers of two scale without rounding, and densities lose the logarithm of the unit for each column."""
    X = rows()
    one, other = learnt(name), fitted(name, unit * X)
    np.testing.assert_allclose(one.transform(X), other.transform(unit * X), rtol=1e-9, atol=1e-12)
    shift = X.shape[1] * np.log(unit)
    np.testing.assert_allclose(other.score_samples(unit * X), one.score_samples(X) - shift, rtol=1e-6)
    np.testing.assert_allclose(other.sample(3, 0, n_steps=5) / unit, one.sample(3, 0, n_steps=5), rtol=1e-6)


@pytest.mark.parametrize("name", ["rbm-gaussian", "rbm-gaussian-linear", "rbm-gaussian-relu", "stack-gaussian"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_rows_score_low_and_finite(name, dtype):
    X = rows(dtype=dtype)
    estimator = learnt(name, dtype)
    for distance in (1e2, 1e6, 1e15):
        far = np.full((2, 5), dtype(distance)) * np.array([[1], [-1]], dtype=dtype)
        assert np.isfinite(estimator.score_samples(far)).all()
        assert np.isfinite(estimator.transform(far)).all()
        assert estimator.score_samples(far).max() < estimator.score_samples(X).min() - 10


@pytest.mark.parametrize(
    "X", [np.ones((40, 3)), np.zeros((40, 1)), rows(1), np.repeat(rows(2), 20, axis=0), rows(3, 30)]
)
@pytest.mark.filterwarnings("ignore:The best epoch is the last")
@every
def test_constant_columns_equal_rows_and_few_rows_leave_numbers(name, X):
    if "early" in name and len(X) < 2:
        with pytest.raises(ValueError, match="early_stopping=True needs rows"):
            fitted(name, X)
        return
    estimator = fitted(name, X)
    assert all(np.isfinite(value).all() for value in estimator.weights_.values())
    outputs = ("transform", "score_samples", "predict_proba")
    assert all(np.isfinite(getattr(estimator, output)(X)).all() for output in outputs if hasattr(estimator, output))


@every
def test_rows_of_another_width_are_refused(name):
    estimator = fitted(name, rows())
    names = ("transform", "score_samples", "predict", "impute", "gibbs", "free_energy", "partial_fit")
    for method in (getattr(estimator, name) for name in names if hasattr(estimator, name)):
        with pytest.raises(ValueError, match=r"X has 4 features, but \w+ is expecting 5 features"):
            method(rows(n_features=4))


@pytest.mark.parametrize("make", [machine, stack])
@pytest.mark.parametrize("unit", [1e-300, 1e306])
def test_only_ratios_of_weights_count(make, unit):
    X, weight = rows(), np.arange(40.0)
    one, other = (make().fit(X, sample_weight=c * weight) for c in (1.0, unit))
    np.testing.assert_allclose(one.transform(X), other.transform(X), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", [*MACHINES, *STACKS])
def test_a_refit_that_fails_leaves_the_model_before(name):
    X = rows()
    estimator = fitted(name, X)
    before = estimator.transform(X)
    with pytest.raises(ValueError, match="non-zero"):
        estimator.fit(rows(n_features=3), sample_weight=np.zeros(40))
    np.testing.assert_array_equal(estimator.transform(X), before)
    assert estimator.n_features_in_ == 5


@pytest.fixture(params=[torch.float64, torch.float16], ids=str)
def default_dtype(request):
    before = torch.get_default_dtype()
    yield request.param
    torch.set_default_dtype(before)


@every
@pytest.mark.filterwarnings("ignore:The best epoch is the last")
def test_the_default_dtype_changes_nothing(name, default_dtype):
    X = rows()
    expected = fitted(name, X)
    torch.set_default_dtype(default_dtype)
    estimator = fitted(name, X)
    for key, value in expected.weights_.items():
        np.testing.assert_array_equal(estimator.weights_[key], value, err_msg=key)
    for output in ("transform", "score_samples", "predict_proba"):
        if hasattr(estimator, output):
            np.testing.assert_array_equal(getattr(estimator, output)(X), getattr(expected, output)(X))


@pytest.mark.parametrize("name", ["rbm", "rbm-gaussian", "rbm-linear-hidden", "stack", "stack-gaussian"])
def test_a_fit_that_diverges_says_what_to_change(name):
    with pytest.raises(FloatingPointError, match=r"Training diverged in epoch \d+: .* Lower learning_rate"):
        fitted(name, rows(), learning_rate=1e300, precision="float32", batch_size=10)


def test_steps_that_are_far_too_long_are_a_divergence_and_no_lack_of_memory():
    with pytest.raises(FloatingPointError, match="Training diverged"):
        machine(visible="gaussian", learning_rate=1e6, batch_size=10, max_iter=20).fit(rows())
