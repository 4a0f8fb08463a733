"""GaussianMixture in place of scikit-learn's, and mixtures that come from parameters."""

import inspect
import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn.mixture
from scipy.stats import multivariate_normal
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgen import GaussianMixture
from skgen.distributions.covariance import COVARIANCES

pytestmark = pytest.mark.filterwarnings("ignore:EM did not converge", "ignore:Best performing init")

SHARED = ["full", "tied", "diag", "spherical"]
every_type = pytest.mark.parametrize("kind", COVARIANCES)
shared_types = pytest.mark.parametrize("kind", SHARED)


def rows(n_rows=300, n_features=3, *, seed=0):
    """Rows of three clusters that overlap, in an order without meaning."""
    random = np.random.default_rng(seed)
    roots = random.normal(size=(3, n_features, n_features))
    X = np.concatenate([random.normal(size=(n_rows // 3, n_features)) @ root + 2 * root[0] for root in roots])
    return X[random.permutation(len(X))]


def start(kind, X, k=3):
    """Parameters that both classes start from."""
    d = X.shape[1]
    matrix = np.linalg.inv(np.cov(X.T))
    precisions = {"full": np.tile(matrix, (k, 1, 1)), "tied": matrix, "diag": np.tile(matrix.diagonal(), (k, 1))}
    precisions |= {"spherical": np.full(k, np.trace(matrix) / d), "tied_diag": matrix.diagonal()}
    precisions |= {"tied_spherical": np.trace(matrix) / d}
    weights = np.arange(1.0, k + 1)
    return {
        "weights_init": weights / weights.sum(),
        "means_init": X[np.linspace(0, len(X) - 1, k).astype(int)],
        "precisions_init": precisions[kind],
    }


def both(kind, X, n_iter, **params):
    common = {"covariance_type": kind, "max_iter": n_iter, "tol": 0.0, "random_state": 0} | start(kind, X) | params
    return GaussianMixture(3, **common).fit(X), sklearn.mixture.GaussianMixture(3, **common).fit(X)


# -- in place of scikit-learn's -----------------------------------------------------------------------------------


def test_every_parameter_and_public_name_of_scikit_learn_is_here():
    theirs = inspect.signature(sklearn.mixture.GaussianMixture).parameters
    ours = inspect.signature(GaussianMixture).parameters
    different = {"init_params", "max_iter", "n_components"} & {
        n for n in theirs if ours[n].default != theirs[n].default
    }
    assert theirs.keys() <= ours.keys()
    assert different == set()
    assert {name: ours[name].default for name in theirs} == {name: theirs[name].default for name in theirs}
    fitted, reference = both("full", rows(), 2)
    names = {name for name in dir(reference) if not name.startswith("_")}
    assert names - set(dir(fitted)) == set()
    for name in ("sample", "predict", "predict_proba", "score_samples", "score", "bic", "aic", "fit", "fit_predict"):
        known = inspect.signature(getattr(reference, name)).parameters
        assert known.keys() <= inspect.signature(getattr(fitted, name)).parameters.keys()


@pytest.mark.parametrize("n_iter", [1, 7])
@shared_types
def test_the_same_start_gives_the_same_parameters_after_the_same_iterations(kind, n_iter):
    X = rows()
    ours, theirs = both(kind, X, n_iter)
    assert ours.n_iter_ == theirs.n_iter_ == n_iter
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        mine, known = getattr(ours, name), getattr(theirs, name)
        assert mine.shape == known.shape
        np.testing.assert_allclose(mine, known, rtol=1e-8, atol=1e-8, err_msg=name)
    np.testing.assert_allclose(ours.lower_bounds_, theirs.lower_bounds_, rtol=1e-8)
    np.testing.assert_allclose(ours.score_samples(X), theirs.score_samples(X), rtol=1e-8)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-7, atol=1e-8)
    assert ours.bic(X) == pytest.approx(theirs.bic(X), rel=1e-8)
    assert ours.aic(X) == pytest.approx(theirs.aic(X), rel=1e-8)


def test_a_single_component_is_the_moments_of_the_rows():
    X = rows()
    fitted = GaussianMixture(reg_covar=0).fit(X)
    np.testing.assert_allclose(fitted.means_[0], X.mean(axis=0), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(fitted.covariances_[0], np.cov(X.T, bias=True), rtol=1e-9, atol=1e-12)
    assert fitted.converged_


@shared_types
def test_mixtures_go_to_scikit_learn_and_back(kind):
    X = rows()
    ours, theirs = both(kind, X, 5)
    np.testing.assert_allclose(ours.to_sklearn().score_samples(X), ours.score_samples(X), rtol=1e-9)
    back = GaussianMixture.from_sklearn(theirs, random_state=0)
    np.testing.assert_allclose(back.score_samples(X), theirs.score_samples(X), rtol=1e-9)
    again = GaussianMixture.from_sklearn(ours.to_sklearn())
    for name in ("weights_", "means_", "covariances_"):
        np.testing.assert_allclose(getattr(again, name), getattr(ours, name), rtol=1e-12)
    assert again.bic(X) == pytest.approx(theirs.bic(X), rel=1e-8)


def test_parameters_set_after_a_fit_do_not_change_what_goes_to_scikit_learn():
    X = rows()
    ours = GaussianMixture(2, covariance_type="diag", random_state=0).fit(X).set_params(covariance_type="full")
    np.testing.assert_allclose(ours.to_sklearn().score_samples(X), ours.score_samples(X), rtol=1e-9)


@pytest.mark.parametrize("kind", ["tied_diag", "tied_spherical"])
def test_structures_that_scikit_learn_lacks_become_tied(kind):
    X = rows()
    ours = GaussianMixture(2, covariance_type=kind, random_state=0).fit(X)
    np.testing.assert_allclose(ours.to_sklearn().score_samples(X), ours.score_samples(X), rtol=1e-9)


@every_type
def test_the_bound_never_falls_and_ends_at_the_score(kind):
    X = rows()
    fitted = GaussianMixture(3, covariance_type=kind, reg_covar=0, tol=0, max_iter=60, random_state=0).fit(X)
    assert (np.diff(fitted.lower_bounds_) >= -1e-12).all()
    assert fitted.lower_bound_ >= fitted.lower_bounds_[-1] - 1e-12
    assert fitted.lower_bound_ == pytest.approx(fitted.score(X), rel=1e-12)


@every_type
def test_criteria_are_those_of_their_definitions(kind):
    X = rows()
    weight = np.random.default_rng(1).integers(0, 4, size=len(X))
    fitted = GaussianMixture(2, covariance_type=kind, random_state=0).fit(X, sample_weight=weight)
    groups = 1 if kind.startswith("tied") else 2
    each = {"full": 6, "tied": 6, "diag": 3, "tied_diag": 3}.get(kind, 1)
    n_parameters = 1 + 2 * 3 + groups * each
    repeated = np.repeat(X, weight, axis=0)
    total = fitted.score_samples(repeated).sum()
    share = fitted.predict_proba(repeated)
    entropy = -(share * np.log(np.maximum(share, 1e-300))).sum()
    expected = {"aic": -2 * total + 2 * n_parameters, "bic": -2 * total + np.log(len(repeated)) * n_parameters}
    expected["icl"] = expected["bic"] + 2 * entropy
    for name, value in expected.items():
        assert getattr(fitted, name)(X, sample_weight=weight) == pytest.approx(value, rel=1e-10)
        assert getattr(fitted, name)(repeated) == pytest.approx(value, rel=1e-10)


# -- how it is used -----------------------------------------------------------------------------------------------


def test_messages_come_every_so_many_iterations(capsys):
    X = rows()
    GaussianMixture(3, tol=0, max_iter=12, verbose=2, verbose_interval=5, random_state=0).fit(X)
    shown = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in shown] == [f"GaussianMixture iteration {n}" for n in (5, 10)]
    GaussianMixture(3, tol=0, max_iter=12, verbose_interval=5, random_state=0).fit(X)
    assert capsys.readouterr().out == ""


def test_a_search_in_a_pipeline_and_in_processes():
    X = rows(150)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), GaussianMixture(random_state=0)),
        {"gaussianmixture__n_components": [1, 3], "gaussianmixture__covariance_type": ["full", "tied_diag"]},
        n_jobs=2,
        cv=3,
    ).fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    alone = GaussianMixture(random_state=0, n_components=search.best_params_["gaussianmixture__n_components"])
    alone.set_params(covariance_type=search.best_params_["gaussianmixture__covariance_type"])
    scaled = StandardScaler().fit_transform(X)
    np.testing.assert_array_equal(search.best_estimator_[1].means_, alone.fit(scaled).means_)


def test_more_starts_are_never_worse():
    X = rows(600, 2, seed=4)
    bounds = [
        GaussianMixture(5, n_init=n, max_iter=500, tol=1e-8, init_params="random", random_state=0).fit(X).lower_bound_
        for n in (1, 20)
    ]
    assert bounds[1] >= bounds[0] - 1e-2


def test_a_warm_start_goes_on_where_the_fit_before_ended():
    X = rows()
    whole = GaussianMixture(3, max_iter=20, tol=0, random_state=0).fit(X)
    parts = GaussianMixture(3, max_iter=10, tol=0, random_state=0, warm_start=True).fit(X).fit(X)
    assert parts.n_iter_ == 20
    assert parts.lower_bounds_ == whole.lower_bounds_
    np.testing.assert_array_equal(parts.means_, whole.means_)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(parts)).covariances_, whole.covariances_)


@pytest.mark.parametrize("change", [{"n_components": 2}, {"covariance_type": "diag"}])
def test_a_warm_start_refuses_another_architecture(change):
    X = rows()
    fitted = GaussianMixture(3, warm_start=True, random_state=0).fit(X).set_params(**change)
    with pytest.raises(ValueError, match=f"another architecture: {next(iter(change))} from .* warm_start=False"):
        fitted.fit(X)
    assert len(fitted.set_params(warm_start=False).fit(X).weights_) == fitted.n_components


@pytest.mark.parametrize("change", [{"n_components": 3}, {"covariance_type": "diag"}])
def test_a_mixture_of_known_parameters_refuses_another_architecture(change):
    X = rows()
    known = GaussianMixture.from_parameters([0.5, 0.5], X[:2], [np.eye(3)] * 2, warm_start=True)
    for mixture in (known, known.marginal([0, 1, 2]).set_params(warm_start=True)):
        with pytest.raises(ValueError, match=f"another architecture: {next(iter(change))} from"):
            mixture.set_params(**change).fit(X)


@every_type
@pytest.mark.parametrize("unit", [2.0**-100, 2.0**100])
def test_only_ratios_of_weights_count_without_a_prior(kind, unit):
    """Powers of two scale without rounding."""
    X, weight = rows(), np.arange(1.0, 301.0)
    one, other = (
        GaussianMixture(3, covariance_type=kind, random_state=0).fit(X, sample_weight=c * weight) for c in (1.0, unit)
    )
    assert other.lower_bound_ == pytest.approx(one.lower_bound_, rel=1e-9)
    np.testing.assert_allclose(other.means_, one.means_, rtol=0, atol=1e-9)
    np.testing.assert_allclose(other.covariances_, one.covariances_, rtol=0, atol=1e-9)


def test_some_of_the_start_may_be_given():
    X = rows()
    means = X[:3]
    fitted = GaussianMixture(3, means_init=means, max_iter=1, tol=0, random_state=0).fit(X)
    other = GaussianMixture(3, means_init=means + 0.5, max_iter=1, tol=0, random_state=0).fit(X)
    assert np.abs(fitted.means_ - other.means_).max() > 1e-3
    assert np.isfinite(fitted.score(X))


def test_draws_are_of_the_mixture():
    X = rows()
    fitted = GaussianMixture(3, random_state=0).fit(X)
    draws, labels = fitted.sample(60000, random_state=1)
    assert (np.diff(labels) >= 0).all()
    for k in range(3):
        part = draws[labels == k]
        share = fitted.weights_[k]
        assert abs(len(part) / 60000 - share) < 5 * np.sqrt(share * (1 - share) / 60000)
        error = np.sqrt(np.diag(fitted.covariances_[k]) / len(part))
        assert (np.abs(part.mean(axis=0) - fitted.means_[k]) < 5 * error).all()
        variances = np.diag(fitted.covariances_[k])
        assert (np.abs(part.var(axis=0) / variances - 1) < 5 * np.sqrt(2 / len(part))).all()
    np.testing.assert_array_equal(fitted.sample(5)[0], fitted.sample(5)[0])


# -- marginals and conditionals -----------------------------------------------------------------------------------


@every_type
def test_the_joint_density_is_marginal_times_conditional(kind):
    X = rows(300, 4)
    fitted = GaussianMixture(3, covariance_type=kind, random_state=0).fit(X)
    known, others = [2, 0], [1, 3]
    marginal = fitted.marginal(known)
    conditionals = fitted.conditional(known, X[:9][:, known])
    for row, conditional in zip(X[:9], conditionals, strict=True):
        rest = conditional.score_samples(row[None, others])
        joint = fitted.score_samples(row[None])
        np.testing.assert_allclose(marginal.score_samples(row[None, known]) + rest, joint, rtol=1e-9)
    one = fitted.conditional(known, X[0, known])
    np.testing.assert_array_equal(one.means_, conditionals[0].means_)
    hidden = X.copy()
    hidden[:, others] = np.nan
    np.testing.assert_allclose(fitted.score_samples(hidden), marginal.score_samples(X[:, known]), rtol=1e-9)
    assert conditionals[0].sample(2)[0].shape == (2, 2)
    swapped = fitted.marginal([0, 2])
    np.testing.assert_array_equal(swapped.means_, marginal.means_[:, ::-1])


def test_columns_may_be_named():
    X = rows(300, 4)
    frame = pd.DataFrame(X, columns=list("abcd"))
    named = GaussianMixture(2, random_state=0).fit(frame)
    plain = GaussianMixture(2, random_state=0).fit(X)
    np.testing.assert_array_equal(named.marginal(["d", "b"]).means_, plain.marginal([3, 1]).means_)
    assert named.marginal(["d", "b"]).feature_names_in_.tolist() == ["d", "b"]
    given = named.conditional(["c", "a"], [1.0, 0.5])
    assert given.feature_names_in_.tolist() == ["b", "d"]
    np.testing.assert_array_equal(given.means_, plain.conditional([2, 0], [1.0, 0.5]).means_)
    np.testing.assert_array_equal(given.means_, plain.conditional([0, 2], [0.5, 1.0]).means_)
    assert np.isfinite(given.score_samples(frame[["b", "d"]])).all()


@pytest.mark.parametrize("columns", [[], [0, 0], [3], [-1], ["a"], [0.5], [True, False]])
def test_wrong_columns_are_named(columns):
    fitted = GaussianMixture().fit(rows())
    for method in (fitted.marginal, lambda c: fitted.conditional(c, np.zeros(len(c)))):
        with pytest.raises(ValueError, match="columns must be different numbers from 0 to 2"):
            method(columns)


def test_what_is_given_must_leave_something_and_fit_its_columns():
    fitted = GaussianMixture().fit(rows())
    with pytest.raises(ValueError, match="leave at least one column"):
        fitted.conditional([0, 1, 2], [0, 0, 0])
    with pytest.raises(ValueError, match="values must have 2 numbers in a row, as columns has, got 1"):
        fitted.conditional([0, 1], [0.0])
    with pytest.raises(ValueError, match="NaN"):
        fitted.conditional([0, 1], [0.0, np.nan])


# -- known parameters ---------------------------------------------------------------------------------------------


def test_known_parameters_make_a_mixture():
    weights, means = [0.25, 0.75], np.array([[0.0, 0.0], [3.0, -1.0]])
    covariances = np.array([[[1.0, 0.5], [0.5, 2.0]], [[0.3, 0.0], [0.0, 0.1]]])
    mixture = GaussianMixture.from_parameters(weights, means, covariances, random_state=0)
    X = mixture.sample(50)[0]
    parts = [w * multivariate_normal(m, c).pdf(X) for w, m, c in zip(weights, means, covariances, strict=True)]
    np.testing.assert_allclose(mixture.score_samples(X), np.log(sum(parts)), rtol=1e-10)
    np.testing.assert_array_equal(mixture.covariances_, covariances)
    pickle.loads(pickle.dumps(mixture)).predict(X)
    many = np.random.default_rng(2).permutation(mixture.sample(5000, random_state=1)[0])
    for chunk in np.array_split(many, 10):
        mixture.partial_fit(chunk)
    assert mixture.n_samples_seen_ == 5000
    assert mixture.score(many) > GaussianMixture.from_parameters(weights, means, covariances).score(many) - 1e-2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": [0.5, 0.6]}, "'weights' should hold shares that add up to 1"),
        ({"weights": [-0.5, 1.5]}, "'weights' should hold shares"),
        ({"weights": [1.0]}, "'weights' should have the shape"),
        ({"means": [[0.0, np.nan], [0, 0]]}, "'means' should have"),
        ({"means": [0.0, 1.0]}, "means must have shape"),
        ({"covariances": np.zeros((2, 2, 2))}, "'covariances' should be symmetric and positive definite"),
        ({"covariances": np.array([[[1.0, 0.5], [0.4, 1.0]]] * 2)}, "symmetric"),
        ({"covariances": np.eye(2)}, "'covariances' should have the shape"),
        ({"covariance_type": "round"}, "'covariance_type' parameter"),
    ],
)
def test_wrong_known_parameters_are_named(change, message):
    known = {"weights": [0.5, 0.5], "means": np.zeros((2, 2)), "covariances": np.array([np.eye(2)] * 2)}
    with pytest.raises(ValueError, match=message):
        GaussianMixture.from_parameters(**known | change)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("to_sklearn", ()),
        ("marginal", ([0],)),
        ("conditional", ([0], [0.0])),
        ("impute", ([[0.0]],)),
        ("sample", ()),
        ("bic", ([[0.0]],)),
        ("inverse_transform", ([[1.0]],)),
    ],
)
def test_what_needs_a_fit_says_so(method, arguments):
    with pytest.raises(NotFittedError):
        getattr(GaussianMixture(), method)(*arguments)


@pytest.mark.parametrize("name", ["means_", "covariances_", "weights_", "precisions_", "lower_bounds_"])
def test_derived_attributes_are_absent_before_fit(name):
    assert not hasattr(GaussianMixture(), name)


@pytest.mark.filterwarnings("default:EM did not converge")
def test_a_fit_that_has_not_converged_warns():
    with pytest.warns(ConvergenceWarning, match="did not converge in 2 iterations"):
        GaussianMixture(3, max_iter=2, tol=1e-9, random_state=0).fit(rows())
