"""Tests of skgen.estimators.amortized_model: what a user does with generative units."""

import pickle

import numpy as np
import pytest
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

import skgen.io
from skgen.priors import Mixture
from tests.estimators.configurations import AMORTIZED, amortized, configured, rows

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:.* rows have importance weights with Pareto-k:UserWarning"),
]


def clusters(n_rows=90, seed=0):
    """Rows of three clusters far apart, and which."""
    random = np.random.default_rng(seed)
    labels = np.arange(n_rows) % 3
    return 6 * np.eye(3, 4)[labels] + 0.5 * random.normal(size=(n_rows, 4)), labels


@pytest.fixture(scope="module")
def clustering():
    options = {"unit_size": 2, "latent_generator": Mixture(3, pretraining=10), "max_iter": 40}
    return amortized(1, e_solver="lbfgs", m_solver="lbfgs", **options).fit(clusters()[0])


def test_clusters_far_apart_are_components_of_the_generator(clustering):
    X, labels = clusters()
    found = clustering.predict(X)
    assert all(len(np.unique(found[labels == k])) == 1 for k in range(3))
    assert len(np.unique(found)) == 3
    np.testing.assert_allclose(clustering.predict_proba(X).sum(1), 1, rtol=1e-12)


def test_rows_of_a_component_are_drawn_in_its_cluster(clustering):
    X, drawn = clustering.sample(60, random_state=1, component=1, return_labels=True)
    assert (drawn == 1).all()
    assert (clustering.predict(X) == 1).mean() > 0.9


def test_samples_follow_the_rows(clustering):
    """Means of columns, within standard errors of both; a bound that is not tight biases the spread by little."""
    X, drawn = clusters()[0], clustering.sample(2000, random_state=0)
    assert (np.abs(drawn.mean(0) - X.mean(0)) < 5 * X.std(0) / 90**0.5).all()
    np.testing.assert_allclose(drawn.std(0), X.std(0), rtol=0.2)


def test_one_latent_generator_has_no_components():
    model = amortized(latent_generator="normal").fit(rows())
    assert not hasattr(model, "predict")
    with pytest.raises(ValueError, match="component"):
        model.sample(3, component=0)


@pytest.mark.parametrize("name", AMORTIZED)
def test_a_saved_model_answers_as_the_fitted_one(name, tmp_path):
    model = configured(name).fit(rows())
    skgen.io.save_model(model, tmp_path, "units")
    loaded = skgen.io.load_model(tmp_path, "units")
    assert loaded.transform(rows()).tobytes() == model.transform(rows()).tobytes()
    assert loaded.score_samples(rows()).tobytes() == model.score_samples(rows()).tobytes()
    assert loaded.sample(3).tobytes() == model.sample(3).tobytes()


def test_copies_adapt_alike():
    model = amortized().fit(rows())
    copy = pickle.loads(pickle.dumps(model))
    for each in (model, copy):
        each.fine_tune(rows(30, seed=2), parts=("decoder",), max_iter=3)
    assert copy.transform(rows()).tobytes() == model.transform(rows()).tobytes()
    assert copy.fine_tuning_history_ == model.fine_tuning_history_


def test_processes_and_threads_give_the_same():
    X = rows()
    alone = cross_val_score(amortized(), X, cv=2)
    np.testing.assert_array_equal(cross_val_score(amortized(), X, cv=2, n_jobs=2), alone)
    models = Parallel(n_jobs=2, backend="threading")(delayed(clone(amortized()).fit)(X) for _ in range(2))
    assert models[0].transform(X).tobytes() == models[1].transform(X).tobytes()


@pytest.mark.parametrize("name", ["amortized", "amortized-local", "amortized-mcmc"])
def test_rows_may_be_few_narrow_incomplete_or_constant(name):
    X = rows()
    X[:, 2] = 0.5
    X[3, 1] = np.nan
    with pytest.warns(UserWarning, match=r"Constant column\(s\) 2"):
        model = configured(name).fit(X.astype(np.float32))
    assert model.transform(X[3:4].astype(np.float32)).dtype == np.float32
    assert np.isfinite(model.transform(X[3:4])).all()
    assert np.isfinite(model.score_samples(X)).all()
    filled = model.impute(X[:5])
    assert np.isfinite(filled).all()
    np.testing.assert_allclose(model.sample(50)[:, 2], 0.5, atol=0.05)
