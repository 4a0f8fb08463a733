"""A VariationalClassifier: its loss, what it predicts, and what rows without labels are worth."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from skgen import VariationalClassifier
from skgen.distributions.normal import standard_normal
from skgen.estimators._labelled_loss import LabelledLoss
from skgen.models.labelled import one_hot
from skgen.objectives import ELBO
from skgen.objectives.labelled import LabelledTerms, SemiSupervised
from skgen.training.batches import Batch
from skgen.training.flat import FlatParameters
from tests.estimators.configurations import configured, labelled, rows
from tests.models.test_labelled import LabelledModel, model  # noqa: F401 a fixture
from tests.oracles import central_differences
from tests.parts import normal

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = rows()
LABELS = (X[:, 0] > 0.5).astype(int)
SOME = np.where(np.arange(len(X)) < 15, LABELS, -1)


@pytest.mark.parametrize("model", [LabelledModel], indirect=True)
@pytest.mark.parametrize("tile", [100, 3])
@pytest.mark.parametrize("codes", [[1, -1, 0, 2, -1], [1, 2, 0, 2, 1]])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_gradient_of_the_loss_is_that_of_minus_the_mean_bound(model, tile, codes, weighted, generator):  # noqa: F811
    flat = FlatParameters(model)
    x, target = normal(5, 4, generator=generator), torch.tensor(codes)
    weight = torch.tensor([0.5, 1.5, 1.0, 0.2, 1.8], dtype=torch.float64) if weighted else None
    noise = standard_normal(x.new_empty(2, 5, 2), generator)
    bound = SemiSupervised(ELBO(), model.log_class_prior, 0.7, 2.0)

    def value():
        with torch.no_grad():
            terms = LabelledTerms(model.class_terms(x, noise), model.log_proba(x), one_hot(target, 3, x))
            values = bound(terms, 1.0)
            return -(values if weight is None else values * weight).mean()

    loss = LabelledLoss(
        model.tracer(closed_kl=True),
        bound,
        lambda n_rows, generator: noise,
        label_trace=model.label_tracer(),
        complete=min(codes) >= 0,
        offset=0.0,
        tile=tile,
    )
    with torch.no_grad():
        _, compute = loss(Batch(x, weight, target), generator)
        torch.testing.assert_close(compute(), value())
    directions = normal(10, len(flat.value), generator=generator)
    expected = central_differences(value, flat.value, directions)
    torch.testing.assert_close(directions @ flat.gradient, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["labelled", "labelled-iwae"])
def test_probabilities_are_those_of_a_distribution_and_their_largest_is_predicted(name):
    estimator = configured(name, unlabelled=-1).fit(X, SOME)
    proba = estimator.predict_proba(X)
    assert estimator.classes_.tolist() == [0, 1]
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_allclose(np.exp(estimator.predict_log_proba(X)), proba)
    np.testing.assert_array_equal(estimator.predict(X), estimator.classes_[proba.argmax(axis=1)])
    assert estimator.score(X, LABELS) == (estimator.predict(X) == LABELS).mean()
    np.testing.assert_allclose(estimator.class_prior_, np.bincount(LABELS[:15]) / 15)


def test_the_bound_of_training_is_that_of_the_rows_that_it_reports():
    estimator = labelled(unlabelled=-1, learning_rate=0, max_iter=40).fit(X, SOME)
    known = np.arange(len(X)) < 15
    joint = estimator.elbo(X[known], LABELS[known])["elbo"] + np.log(estimator.class_prior_)[LABELS[known]]
    exact = (joint.sum() + estimator.elbo(X[~known])["elbo"].sum()) / len(X)
    values = np.array(estimator.history_["elbo"])
    # The exact value is itself an average over 64 Sobol points.
    assert abs(values.mean() - exact) < 5 * values.std() / np.sqrt(len(values)) + 0.05
    log_proba = estimator.predict_log_proba(X[known])[np.arange(15), LABELS[known]].mean()
    np.testing.assert_allclose(estimator.history_["log_proba"], log_proba, rtol=1e-5)


def test_latent_rows_are_means_over_the_classes():
    estimator = labelled(unlabelled=-1).fit(X, SOME)
    mean, std = estimator.encode(X, return_std=True)
    np.testing.assert_array_equal(estimator.transform(X), mean)
    assert mean.shape == (len(X), 2)
    assert (std > 0).all()


@pytest.mark.parametrize(
    ("mark", "y"), [(None, np.where(SOME == -1, 2, SOME)), ("no", np.where(SOME == -1, "no", "a"))]
)
def test_any_label_may_mark_rows_without_one_and_none_does_by_default(mark, y):
    estimator = labelled(unlabelled=mark, max_iter=3).fit(X, y)
    assert estimator.classes_.tolist() == ([0, 1, 2] if mark is None else ["a"])


def test_rows_without_any_label_are_refused():
    with pytest.raises(ValueError, match="y has no class but unlabelled=-1"):
        labelled(unlabelled=-1).fit(X, np.full(len(X), -1))


@pytest.mark.filterwarnings("ignore:Constant column")
def test_rows_without_labels_teach_classes():
    """100 labels of 1397 digits: better than the same model fitted to those alone, by a standard error."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    X, y = X[order] / 16, y[order]
    train, y_train, test, y_test = X[:1397], y[:1397], X[1397:], y[1397:]
    parameters = {
        "likelihood": "bernoulli",
        "hidden_layer_sizes": (64,),
        "learning_rate": 0.004,
        "max_iter": 30,
        "n_iter_no_change": np.inf,
    }
    gains = []
    for seed in range(4):
        known = np.random.default_rng(seed).permutation(len(train))[:100]
        some = np.full(len(train), -1)
        some[known] = y_train[known]
        both = VariationalClassifier(unlabelled=-1, random_state=seed, **parameters).fit(train, some)
        # As many steps for the rows with labels.
        alone = VariationalClassifier(random_state=seed, **parameters | {"max_iter": 300}).fit(
            train[known], y_train[known]
        )
        assert np.isfinite(both.score_samples(test)).all()
        gains.append(both.score(test, y_test) - alone.score(test, y_test))
    assert np.mean(gains) > np.std(gains, ddof=1) / np.sqrt(4)
