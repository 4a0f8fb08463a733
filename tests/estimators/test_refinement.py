import itertools

import numpy as np
import pytest
import torch

from skgen.estimators._refinement import lower_bound
from skgen.estimators._refinement import refined as refined_parameters
from skgen.priors import Categorical
from skgen.training.row_search import ROW_SOLVERS
from tests.estimators.configurations import rows, vae
from tests.parts import model_from, normal, rows_from

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

PARTS = {
    "normal": {},
    "full": {"posterior": "full"},
    "flow": {"posterior": "flow"},
    "clusters": {"prior": "mixture"},
    "vamp": {"prior": "vamp"},
    "flow prior": {"prior": "flow"},
    "box": {"prior": "uniform"},
    "bernoulli": {"likelihood": "bernoulli"},
}


@pytest.fixture(scope="module", params=PARTS)
def fitted(request):
    return vae(n_score_draws=16, max_iter=20, learning_rate=0.01, **PARTS[request.param]).fit(rows(50))


def refined(estimator, n_steps):
    """The same fitted model, which keeps its weights when ``refine_steps`` changes."""
    return estimator.set_params(refine_steps=n_steps)


def test_refinement_never_lowers_the_bound_of_a_row_and_more_steps_do_not_either(fitted):
    X = rows(50, seed=1)
    bounds = [refined(fitted, n_steps).elbo(X)["elbo"] for n_steps in (0, 1, 5, 20)]
    for fewer, more in itertools.pairwise(bounds):
        assert (more >= fewer - 1e-9).all()
    assert bounds[-1].mean() > bounds[0].mean()


def test_a_row_is_refined_alike_in_any_company(fitted, monkeypatch):
    X = rows(8, seed=1)
    for answer in (refined(fitted, 5).transform, fitted.score_samples):
        together = answer(X)
        alone = np.concatenate([answer(X[i : i + 1]) for i in range(3)])
        np.testing.assert_allclose(alone, together[:3], rtol=1e-9, atol=1e-9)
        with monkeypatch.context() as patch:
            patch.setattr("skgen.estimators._arrays.TILE_BYTES", 2**16)
            np.testing.assert_allclose(answer(X[::-1])[::-1], together, rtol=1e-9, atol=1e-9)


def test_the_refined_posterior_is_that_of_every_answer(fitted):
    X = rows(20, seed=1)
    plain, better = (refined(fitted, n_steps).encode(X, return_std=True) for n_steps in (0, 10))
    assert all((one != other).any() for one, other in zip(plain, better, strict=True))
    if hasattr(fitted, "predict_proba"):
        assert (refined(fitted, 10).predict_proba(X) != refined(fitted, 0).predict_proba(X)).any()


def test_on_a_linear_model_refined_posteriors_attain_the_best_bound_of_their_family():
    """Of a linear Gaussian model the posterior is known, and rows that nobody trained on are no exception."""
    X = rows(200)
    estimator = vae(hidden_layer_sizes=(), posterior="full", max_iter=100, learning_rate=0.01, n_score_draws=4096)
    estimator.fit(X)
    new = X.mean(0) + 2 * (rows(20, seed=3) - X.mean(0))
    loose = estimator.elbo(new)["elbo"]
    tight = estimator.set_params(refine_steps=100).elbo(new)["elbo"]
    mean = estimator.inverse_transform(np.zeros((1, 2)))[0]
    loading = (estimator.inverse_transform(np.eye(2)) - mean).T
    covariance = loading @ loading.T + np.diag(estimator.noise_variance_)
    deviation = new - mean
    exact = -0.5 * (
        np.einsum("ni,ij,nj->n", deviation, np.linalg.inv(covariance), deviation)
        + np.linalg.slogdet(2 * np.pi * covariance)[1]
    )
    assert (exact - loose).max() > 0.1
    # So many Sobol points have the moments of a normal up to less than a thousandth.
    np.testing.assert_allclose(tight, exact, rtol=0, atol=0.01)


@pytest.mark.parametrize("parameters", [{"reconstruction": "ssim"}, {"prior": Categorical(3, max_states=2)}])
def test_refinement_asked_for_after_the_fit_is_refused_as_before_it(parameters):
    estimator = vae(max_iter=1, **parameters).fit(rows(20, 49))
    assert np.isfinite(estimator.transform(rows(20, 49))).all()
    estimator.set_params(refine_steps=2)
    for method in (estimator.transform, estimator.score_samples, estimator.log_likelihood, estimator.report):
        with pytest.raises(ValueError, match="refine_steps=2 does not go with"):
            method(rows(20, 49))


@pytest.mark.parametrize("solver", ROW_SOLVERS)
def test_every_method_raises_the_best_of_the_starts_of_each_row_as_if_it_were_alone(solver, generator):
    model = model_from("gaussian", generator=generator)
    x = rows_from(model, 12, generator)
    starts = torch.stack([model.encode(x), normal(12, model.posterior.n_parameters, generator=generator)]).detach()
    half = normal(8, 1, model.posterior.n_noise, generator=generator)
    noise = torch.cat([half, -half])
    bound = lower_bound(model, x, noise)
    better = refined_parameters(model, x, starts, noise, n_steps=20, solver=solver, learning_rate=0.05)
    best = torch.stack([bound(start)[0] for start in starts]).amax(0)
    assert (bound(better)[0] > best).all()
    alone = refined_parameters(model, x[3:4], starts[:, 3:4], noise, n_steps=20, solver=solver, learning_rate=0.05)
    torch.testing.assert_close(alone[0], better[3], rtol=1e-9, atol=1e-9)
