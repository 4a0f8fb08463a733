"""What estimators do with extreme rows, unlucky settings, and fits that fail."""

import pickle

import numpy as np
import pytest
import torch
from scipy import sparse

from skgen import Autoencoder, GaussianMixture
from skgen.callbacks import LossMonitor
from skgen.estimators._arrays import RunningMoments
from skgen.likelihoods import Gaussian
from tests.estimators.configurations import EXACT, autoencoder, configured, mixture, rows, vae
from tests.estimators.test_gaussian_mixture import start

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


# -- extreme rows -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variance", ["fixed", "shared", "feature", "network"])
@pytest.mark.parametrize("exponent", [-480, 480])
def test_scores_follow_a_unit_that_single_precision_cannot_hold(variance, exponent):
    """score(cX) = score(X) - d log c, also where batches are trained in float32 and c is beyond it."""
    X, unit = rows(), 2.0**exponent
    one, other = (
        vae(likelihood=Gaussian(variance), batch_size=16, precision=precision).fit(c * X, X_val=c * X)
        for c, precision in ((1.0, "float64"), (unit, "float32"))
    )
    shift = X.shape[1] * np.log(unit)
    np.testing.assert_allclose(other.score_samples(unit * X), one.score_samples(X) - shift, rtol=1e-9)
    for name in ("elbo", "validation_elbo"):
        np.testing.assert_allclose(other.history_[name], np.array(one.history_[name]) - shift, rtol=1e-9)


@pytest.mark.parametrize("make", [vae, autoencoder])
@pytest.mark.parametrize("unit", [1e154, 1e300])
def test_a_variance_beyond_float64_names_its_columns(make, unit):
    X = rows()
    X[:, 3] *= unit
    with pytest.raises(ValueError, match=r"variance of column\(s\) 3 of X is beyond float64"):
        make().fit(X)


def test_a_constant_column_whose_mean_overflows_is_named():
    X = rows()
    X[:, 1] = 1.7e308
    with pytest.raises(ValueError, match=r"column\(s\) 1 of X"):
        vae().fit(X)


@pytest.mark.parametrize("make", [vae, autoencoder])
def test_a_variance_that_underflows_is_that_of_a_constant(make):
    X = rows()
    X[:, 2] *= 1e-170
    with pytest.warns(UserWarning, match=r"Constant column\(s\) 2 "):
        estimator = make().fit(X)
    assert np.isfinite(estimator.score_samples(X)).all()


def test_moments_of_no_rows_are_of_no_constant():
    assert not RunningMoments.empty(3).constant.any()


@pytest.mark.parametrize("likelihood", [Gaussian("shared"), Gaussian("network"), "gaussian"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_outliers_score_low_and_finite(likelihood, dtype):
    X = rows(200).astype(dtype)
    estimator = vae(likelihood=likelihood, max_iter=50, learning_rate=0.01).fit(X)
    direction = np.ones(X.shape[1], dtype=dtype)
    for sigmas in (1e2, 1e4, 1e6, 1e9, 1e15):
        outliers = np.array([direction * dtype(sigmas), -direction * dtype(sigmas)])
        scores = estimator.score_samples(outliers)
        assert np.isfinite(scores).all()
        assert scores.max() < estimator.score_samples(X).min() - 10
        assert np.isfinite(estimator.transform(outliers)).all()


# -- weights ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [1e-300, 1e306])
def test_only_ratios_of_weights_count(unit):
    X, weight = rows(), np.arange(40.0)
    one, other = (vae().fit(X, sample_weight=c * weight) for c in (1.0, unit))
    np.testing.assert_allclose(one.transform(X), other.transform(X), rtol=1e-6, atol=1e-9)
    assert one.score(X, sample_weight=unit * weight) == pytest.approx(one.score(X, sample_weight=weight), rel=1e-12)


# -- parameters ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [True, (True,), (8.0,), ("8",), ((8,),), (8, (4,)), {8}, np.array(8.0), (0,), (-3,)])
@pytest.mark.parametrize("name", ["hidden_layer_sizes", "decoder_hidden_layer_sizes"])
def test_layer_sizes_are_positive_integers(name, value):
    with pytest.raises(ValueError, match=f"{name}.* positive integers, got"):
        vae(**{name: value}).fit(rows())


@pytest.mark.parametrize("value", [8, [8], (8,), np.array([8]), np.array(8), np.int64(8)])
def test_layer_sizes_may_come_as_any_sequence_or_number(value):
    X = rows()
    np.testing.assert_array_equal(vae(hidden_layer_sizes=value).fit(X).transform(X), vae().fit(X).transform(X))


@pytest.mark.parametrize("field", ["noise_variance", "min_variance"])
def test_an_infinite_variance_is_named(field):
    with pytest.raises(ValueError, match=f"{field} must be a number > 0 and < inf, got inf"):
        vae(likelihood=Gaussian(**{field: np.inf})).fit(rows())


CHANGES = {
    "n_components": 4,
    "hidden_layer_sizes": (3,),
    "decoder_hidden_layer_sizes": (3,),
    "activation": "tanh",
    "likelihood": "bernoulli",
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_fit_that_continues_refuses_another_architecture(name, method):
    X = rows()
    estimator = vae(warm_start=True).fit(X)
    before = estimator.score_samples(X)
    estimator.set_params(**{name: CHANGES[name]})
    with pytest.raises(ValueError, match=rf"another architecture: {name} from .* warm_start=False"):
        getattr(estimator, method)(X)
    np.testing.assert_array_equal(estimator.score_samples(X), before)
    estimator.set_params(warm_start=False).fit(X)
    assert estimator.transform(X).shape == (len(X), estimator.n_components)


def test_a_fit_that_continues_takes_a_new_dropout_and_solver():
    X = rows()
    estimator = vae(warm_start=True).fit(X).set_params(dropout=0.5, solver="sgd").fit(X)
    assert estimator.n_iter_ == 10


def test_a_warm_start_refuses_another_number_of_columns():
    with pytest.raises(ValueError, match="X has 3 features, but VariationalAutoencoder is expecting 5 features"):
        vae(warm_start=True).fit(rows()).fit(rows(n_features=3))


# -- fits that fail -----------------------------------------------------------------------------------------------


def failing(estimator):
    return estimator.set_params(solver="sgd", learning_rate=1e300)


@pytest.mark.parametrize("make", [vae, autoencoder])
def test_a_refit_that_fails_leaves_the_model_before(make):
    X = rows()
    estimator = make().fit(X)
    before = estimator.score_samples(X)
    failing(estimator).set_params(n_components=3, hidden_layer_sizes=(4, 4))
    with pytest.raises(FloatingPointError):
        estimator.fit(rows(n_features=3))
    for model in (estimator, pickle.loads(pickle.dumps(estimator))):
        np.testing.assert_array_equal(model.score_samples(X), before)
        assert model.n_features_in_ == X.shape[1]


def test_a_chunk_that_fails_leaves_no_trace():
    X = rows()
    one, other = vae().partial_fit(X), vae().partial_fit(X)
    with pytest.raises(FloatingPointError):
        failing(one).partial_fit(1e3 * X)
    one.set_params(solver="adam", learning_rate=other.learning_rate)
    np.testing.assert_array_equal(one.partial_fit(X).transform(X), other.partial_fit(X).transform(X))
    assert one.n_samples_seen_ == other.n_samples_seen_


def test_a_first_fit_that_fails_leaves_nothing_and_its_callbacks_forget_it():
    monitor = LossMonitor()
    estimator = failing(vae()).set_callbacks(monitor)
    before = set(vars(estimator))
    with pytest.raises(FloatingPointError):
        estimator.fit(rows())
    assert set(vars(estimator)) == before
    assert monitor._fits == {}


def test_ctrl_c_before_the_first_epoch_leaves_the_model_before(monkeypatch):
    X = rows()
    estimator = vae().fit(X)
    before = estimator.score_samples(X)

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(estimator, "_loss", interrupt)
    with pytest.raises(KeyboardInterrupt):
        estimator.set_params(n_components=1).fit(X)
    np.testing.assert_array_equal(estimator.score_samples(X), before)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_validation_rows_beyond_any_score_are_named(early_stopping):
    with pytest.raises(FloatingPointError, match="epoch 1: validation_elbo is not finite"):
        vae(early_stopping=early_stopping).fit(rows(), X_val=1e200 * rows())


# -- settings of torch --------------------------------------------------------------------------------------------


@pytest.fixture(params=[torch.float64, torch.float16, torch.bfloat16], ids=str)
def default_dtype(request):
    before = torch.get_default_dtype()
    yield request.param
    torch.set_default_dtype(before)


def test_the_default_dtype_changes_nothing(default_dtype):
    X = rows()
    expected = vae().fit(X)
    torch.set_default_dtype(default_dtype)
    estimator = vae().fit(X)
    np.testing.assert_array_equal(estimator.transform(X), expected.transform(X))
    np.testing.assert_array_equal(estimator.score_samples(X), expected.score_samples(X))
    np.testing.assert_array_equal(estimator.sample(3, 0), expected.sample(3, 0))


# -- models fitted by EM ------------------------------------------------------------------------------------------

every_exact = pytest.mark.parametrize("name", EXACT)
STRUCTURES = pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical", "tied_diag", "tied_spherical"])


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.where(np.eye(40, 5) > 0, np.inf, 0.5), ValueError, "infinity"),
        ([["a", "b"], ["c", "d"], ["e", "f"]], ValueError, "could not convert"),
        (sparse.csr_matrix(rows()), TypeError, "[Ss]parse"),
        (np.zeros((0, 5)), ValueError, "0 sample"),
        (np.zeros((5, 0)), ValueError, "0 feature"),
        (rows(1), ValueError, "n_samples = 1"),
        (np.full((9, 3), np.nan), ValueError, r"Column\(s\) 0, 1, 2 of X have no observed value"),
        (rows() + 1j, ValueError, "Complex"),
        (rows()[0], ValueError, "1D array"),
    ],
)
def test_rows_that_no_mixture_takes_are_refused(X, error, message):
    with pytest.raises(error, match=message):
        mixture().fit(X)


@every_exact
def test_rows_of_another_width_and_infinite_ones_are_refused(name):
    fitted = configured(name).fit(rows())
    infinite = rows()
    infinite[3, 1] = -np.inf
    names = ("transform", "score_samples", "predict", "impute", "partial_fit")
    for method in (getattr(fitted, name) for name in names if hasattr(fitted, name)):
        with pytest.raises(ValueError, match=r"X has 4 features, but \w+ is expecting 5 features"):
            method(rows(n_features=4))
        with pytest.raises(ValueError, match="infinity"):
            method(infinite)


@pytest.mark.parametrize(
    "params",
    [
        {"n_components": 0},
        {"n_components": 1.5},
        {"covariance_type": "round"},
        {"reg_covar": -1.0},
        {"tol": -1.0},
        {"max_iter": 0},
        {"solver": "guess"},
        {"learning_decay": 0.5},
        {"init_params": "best"},
        {"on_degenerate": "ignore"},
        {"verbose_interval": 0},
        {"n_init": 0},
        {"prior": 3},
    ],
)
def test_a_parameter_out_of_range_is_named(params):
    with pytest.raises(ValueError, match=f"The '{next(iter(params))}' parameter of GaussianMixture must be"):
        mixture().set_params(**params).fit(rows())


@pytest.mark.parametrize("unit", [1e-150, 1e-100, 1e100, 1e150])
@STRUCTURES
def test_a_mixture_of_huge_or_tiny_numbers_is_that_of_usual_ones(kind, unit):
    X, fits = rows(200), []
    for c in (1.0, unit):
        given = start(kind, X, 2)
        given |= {"means_init": c * given["means_init"], "precisions_init": given["precisions_init"] / c / c}
        fits.append(mixture(covariance_type=kind, reg_covar=0.0, **given).fit(c * X))
        assert np.isfinite(mixture(covariance_type=kind, reg_covar=0.0).fit(c * X).score(c * X))
    one, other = fits
    np.testing.assert_allclose(other.means_ / unit, one.means_, rtol=1e-8)
    np.testing.assert_allclose(other.predict_proba(unit * X), one.predict_proba(X), rtol=1e-6, atol=1e-9)
    assert other.lower_bound_ + 5 * np.log(unit) == pytest.approx(one.lower_bound_, abs=1e-8)


def test_a_mixture_of_numbers_whose_squares_overflow_names_their_columns():
    X = rows()
    X[:, 3] *= 1e200
    with pytest.raises(ValueError, match=r"variance of column\(s\) 3 of X is beyond float64"):
        mixture().fit(X)


@STRUCTURES
def test_numbers_whose_squares_vanish_need_regularisation(kind):
    with (
        pytest.warns(UserWarning, match=r"Constant column\(s\) 0, 1, 2, 3, 4 "),
        pytest.raises(ValueError, match=r"singular: .* Raise reg_covar, set a prior"),
    ):
        mixture(covariance_type=kind, reg_covar=0.0).fit(1e-200 * rows())
    with pytest.warns(UserWarning, match="Constant column"):
        fitted = mixture(covariance_type=kind).fit(1e-200 * rows())
    assert np.isfinite(fitted.score_samples(rows())).all()


@pytest.mark.parametrize("X", [np.ones((10, 3)), rows(8, 20), np.repeat(rows(3), 9, axis=0)])
@pytest.mark.filterwarnings("ignore:Constant column")
def test_too_few_different_rows_need_regularisation(X):
    with pytest.raises(ValueError, match=r"singular|degenerate"):
        GaussianMixture(2, reg_covar=0.0, random_state=0, on_degenerate="raise").fit(X)
    fitted = GaussianMixture(2, random_state=0).fit(X)
    assert np.isfinite(fitted.score_samples(X)).all()


@STRUCTURES
def test_far_rows_score_low_and_have_components(kind):
    fitted = mixture(covariance_type=kind).fit(rows())
    for far in (1e3, 1e8, 1e150, 1e200, 1e308):
        X = far * np.array([[1.0, 1, 1, 1, 1], [1, -1, 1, -1, 1], [-1, 0, 0, 0, np.nan]])
        score = fitted.score_samples(X)
        assert (score < fitted.score_samples(rows()).min()).all()
        np.testing.assert_allclose(fitted.predict_proba(X).sum(axis=1), 1)


def test_any_layout_and_kind_of_number_is_taken():
    X = np.round(10 * rows(100))
    expected = mixture().fit(X)
    readonly = X.copy()
    readonly.flags.writeable = False
    others = [np.asfortranarray(X), X.astype(int), X.astype(np.int8), X.astype(object), X.tolist(), readonly]
    others += [np.repeat(X, 2, axis=1)[:, ::2], X[::-1][::-1]]
    for other in others:
        np.testing.assert_allclose(mixture().fit(other).means_, expected.means_, rtol=1e-12)
    assert mixture().fit(X > 5).means_.dtype == np.float64


def test_rows_in_a_memory_map_are_only_read(tmp_path):
    X = rows(100)
    np.save(tmp_path / "rows.npy", X)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    np.testing.assert_array_equal(mixture().fit(mapped).means_, mixture().fit(X).means_)
    np.testing.assert_array_equal(np.load(tmp_path / "rows.npy"), X)


@STRUCTURES
def test_one_column_is_enough(kind):
    X = rows(60, 1)
    fitted = mixture(covariance_type=kind).fit(X)
    assert fitted.sample(3)[0].shape == (3, 1)
    assert np.isfinite(mixture(1, covariance_type=kind).fit(X).score(X))


def test_a_failed_fit_of_a_mixture_leaves_the_model_before():
    X = rows()
    fitted = mixture().fit(X)
    before = fitted.score_samples(X)
    with pytest.raises(ValueError, match="n_samples = 40"):
        fitted.set_params(n_components=50).fit(X)
    np.testing.assert_array_equal(fitted.score_samples(X), before)
    infinite = np.full((2, 5), np.inf)
    chunked = mixture().partial_fit(X)
    with pytest.raises(ValueError, match="infinity"):
        chunked.partial_fit(infinite)
    assert chunked.n_samples_seen_ == 40
