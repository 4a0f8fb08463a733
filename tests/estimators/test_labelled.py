"""A VariationalAutoencoder of rows given their classes, and what fits do with labels."""

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV

from skgen.likelihoods import Gaussian
from tests.estimators.configurations import LABELLED, configured, labelled, rows, vae

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

every = pytest.mark.parametrize("name", LABELLED)
X = rows()
LABELS = np.array(["few", "many"])[(X[:, 0] > 0.5).astype(int)]


@pytest.fixture(scope="module")
def iris():
    """A conditional model of iris, rows and classes."""
    X, y = load_iris(return_X_y=True)
    return vae(conditional=True, max_iter=200, learning_rate=0.01).fit(X, y), X, y


def test_labels_without_an_order_are_refused():
    mixed = np.array(["few", 3], dtype=object)[np.arange(40) % 2]
    with pytest.raises(TypeError, match="y has labels of types int, str, which have no order: pass labels of one type"):
        vae(conditional=True).fit(X, mixed)


def test_rows_drawn_of_a_class_have_its_mean(iris):
    model, X, y = iris
    spread = X.std(axis=0)
    means = np.stack([X[y == k].mean(axis=0) for k in range(3)])
    drawn = np.stack([model.sample(4000, y=k, random_state=0).mean(axis=0) for k in range(3)])
    # Half of the way to any other class is farther than any mean is off.
    for k in range(3):
        distance = (((drawn[k] - means) / spread) ** 2).sum(axis=1)
        assert distance.argmin() == k
        assert distance[k] < 0.25 * np.delete(distance, k).min()


def test_a_class_tells_of_the_row(iris):
    model, X, y = iris
    assert model.score(X, y) > model.score(X)
    assert model.score(X, y) == pytest.approx(model.score_samples(X, y).mean())


@every
def test_scores_without_a_class_sum_those_of_the_classes(name):
    model = configured(name).fit(X, LABELS)
    given = np.stack([model.score_samples(X, label) for label in model.classes_])
    expected = logsumexp(given + np.log(model.class_prior_)[:, None], axis=0)
    np.testing.assert_allclose(model.score_samples(X), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(model.score_samples(X, LABELS)[::-1], model.score_samples(X[::-1], LABELS[::-1]))


@every
def test_the_elbo_is_below_the_score_with_and_without_classes(name):
    model = configured(name).fit(X, LABELS)
    for y in (LABELS, None):
        terms = model.elbo(X, y)
        np.testing.assert_allclose(terms["elbo"], terms["reconstruction"] - terms["kl"], rtol=1e-5, atol=1e-5)
        # A closed KL and its estimate from 64 Sobol points differ by a few hundredths.
        assert terms["elbo"].mean() <= model.score_samples(X, y).mean() + 0.05


@every
def test_drawn_classes_have_the_shares_of_the_training_rows_or_are_those_asked_for(name):
    weight = np.where(LABELS == "few", 3.0, 1.0)
    model = configured(name).fit(X, LABELS, sample_weight=weight)
    share = weight[LABELS == "few"].sum() / weight.sum()
    np.testing.assert_allclose(model.class_prior_, [share, 1 - share])
    drawn, y = model.sample(2000, random_state=0, return_labels=True)
    assert drawn.shape == (2000, 5)
    assert abs((y == "few").mean() - share) < 5 * np.sqrt(share * (1 - share) / 2000)
    asked = ["many", "few", "many"]
    assert model.sample(3, y=asked, return_labels=True)[1].tolist() == asked
    np.testing.assert_array_equal(model.sample(3, y="few"), model.sample(3, y=["few"] * 3))


@every
def test_latent_rows_decode_to_a_class_or_to_the_mean_over_classes(name):
    model = configured(name).fit(X, LABELS)
    Z = model.transform(X)
    given = [model.inverse_transform(Z, label) for label in model.classes_]
    expected = sum(share * each for share, each in zip(model.class_prior_, given, strict=True))
    np.testing.assert_allclose(model.inverse_transform(Z), expected, rtol=1e-6, atol=1e-6)


def test_a_linear_model_reaches_the_closed_form_given_classes():
    """x = W z + V onehot(y) + noise: rows about the means of their classes, by probabilistic PCA."""
    X, y = load_iris(return_X_y=True)
    centred = X - np.stack([X[y == k].mean(axis=0) for k in range(3)])[y]
    values = np.linalg.eigvalsh(centred.T @ centred / len(X))[::-1]
    optimum = -0.5 * (4 * np.log(2 * np.pi) + np.log(values[:2]).sum() + 2 * np.log(values[2:].mean()) + 4)
    linear = {"hidden_layer_sizes": (), "solver": "lbfgs", "max_iter": 1000, "tol": 1e-9, "n_iter_no_change": 50}
    likelihood = Gaussian("shared", min_variance=1e-8)
    # A classifier's encoder sees the class and gives the posterior.
    seen = labelled(2, likelihood=likelihood, classification_weight=0.0, **linear).fit(X, y)
    assert abs(seen.score_samples(X, y).mean() - optimum) < 0.01
    # One that sees x alone cannot give that of each class: its bound is lower by a divergence, never higher.
    model = vae(2, conditional=True, likelihood=likelihood, **linear).fit(X, y)
    assert model.score(X, y) <= optimum + 0.01
    assert model.elbo(X, y)["elbo"].mean() <= optimum + 0.01


def test_without_conditional_labels_change_nothing():
    plain, given = vae().fit(X), vae().fit(X, LABELS)
    np.testing.assert_array_equal(plain.score_samples(X), given.score_samples(X))
    assert plain.score(X, LABELS) == plain.score(X)
    assert not hasattr(given, "classes_")
    for use in (lambda: plain.score_samples(X, LABELS), lambda: plain.sample(2, y="few")):
        with pytest.raises(ValueError, match="conditional=True"):
            use()


@every
def test_labels_that_cannot_be_are_refused(name):
    model = configured(name)
    with pytest.raises(ValueError, match="requires y to be passed, but the target y is None"):
        model.fit(X)
    with pytest.raises(ValueError, match="Unknown label type"):
        model.fit(X, X[:, 0])
    with pytest.raises(ValueError, match="X_val needs y_val"):
        model.fit(X, LABELS, X_val=X)
    model.fit(X, LABELS)
    for use in (lambda: model.score_samples(X, "none"), lambda: model.sample(2, y=["few", "none"])):
        with pytest.raises(ValueError, match=r"y has label\(s\) 'none' that the model does not know"):
            use()
    with pytest.raises(ValueError, match="y must have one label for each of 2 rows, got 3"):
        model.sample(2, y=["few"] * 3)


@every
def test_chunks_keep_the_classes_of_the_first_call(name):
    model = configured(name).partial_fit(X[:5], LABELS[:5], classes=["few", "many", "more"])
    model.partial_fit(X[5:], LABELS[5:])
    assert model.classes_.tolist() == ["few", "many", "more"]
    np.testing.assert_allclose(model.class_count_, [(LABELS == "few").sum(), (LABELS == "many").sum(), 0])
    assert np.isfinite(model.score_samples(X)).all()
    with pytest.raises(ValueError, match="'other'"):
        model.partial_fit(X[:2], ["few", "other"])


@every
def test_warm_starts_keep_their_classes(name):
    model = configured(name, warm_start=True, max_iter=2).fit(X, LABELS)
    model.fit(X, LABELS)
    assert model.n_iter_ == 4
    with pytest.raises(ValueError, match="other classes"):
        model.fit(X, np.where(LABELS == "few", "other", LABELS))


def test_a_warm_start_cannot_turn_conditional():
    model = vae(warm_start=True).fit(X, LABELS)
    with pytest.raises(ValueError, match="conditional from False to True"):
        model.set_params(conditional=True).fit(X, LABELS)


def test_validation_rows_carry_their_labels():
    model = vae(conditional=True).fit(X, LABELS, X_val=X, y_val=LABELS)
    swapped = np.where(LABELS == "few", "many", "few")
    other = vae(conditional=True).fit(X, LABELS, X_val=X, y_val=swapped)
    assert model.history_["elbo"] == other.history_["elbo"]
    assert model.history_["validation_elbo"] != other.history_["validation_elbo"]


def test_a_search_scores_rows_given_their_classes():
    search = GridSearchCV(vae(conditional=True), {"n_components": [1, 2]}, cv=2).fit(X, LABELS)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.score(X, LABELS) == search.best_estimator_.score_samples(X, LABELS).mean()


def test_imputation_is_for_models_without_classes():
    model = vae(conditional=True).fit(X, LABELS)
    with pytest.raises(ValueError, match="conditional=False"):
        model.impute(np.where(X > 0.5, X, np.nan))
