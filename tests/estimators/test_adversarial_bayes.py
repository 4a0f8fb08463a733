"""What an AdversarialVariationalBayes promises beyond the contract."""

import math
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skgen import priors
from tests.estimators.configurations import adversarial_bayes, rows, vae

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def fitted():
    return adversarial_bayes(max_iter=20).fit(rows())


def test_no_score_is_made_of_the_adversarial_bound(fitted):
    assert {"pseudo", "reconstruction", "kl", "adversary", "bound"} <= fitted.history_.keys()
    assert "elbo" not in fitted.history_
    assert math.isfinite(fitted.pseudo_elbo_)
    assert fitted.score_kind == "bound"
    before = fitted.score_samples(rows())
    other = adversarial_bayes(max_iter=20).fit(rows())
    for name, value in other.weights_.items():
        if name.startswith("adversary"):
            value += 3.0
    np.testing.assert_array_equal(other.score_samples(rows()), before)
    np.testing.assert_array_equal(other.transform(rows()), fitted.transform(rows()))


def test_no_diagnosis_is_made_of_the_adversarial_bound(fitted):
    report = fitted.report()
    assert not report.keys() & fitted.history_.keys()
    assert report["kl_per_component"] is fitted.kl_per_component_
    assert math.isfinite(fitted.report(rows())["kl"])


@pytest.mark.filterwarnings("ignore:Constant column")
def test_a_collapse_is_told_with_remedies_that_the_estimator_has(fitted):
    with pytest.warns(ConvergenceWarning, match="Posterior collapse.*raise max_iter") as found:
        adversarial_bayes().fit(np.ones((10, 2)))
    message = str(next(each.message for each in found if "collapse" in str(each.message)))
    assert "beta" not in message
    assert "free_bits" not in message
    with pytest.warns(ConvergenceWarning, match="Posterior collapse.*lower beta.*set free_bits"):
        vae().fit(np.ones((10, 2)))


def test_the_pseudo_bound_is_the_sum_of_its_parts(fitted):
    pseudo, reconstruction, kl = (np.array(fitted.history_[name]) for name in ("pseudo", "reconstruction", "kl"))
    np.testing.assert_allclose(pseudo, reconstruction - kl, rtol=0, atol=1e-10)


def test_features_are_the_means_of_draws(fitted):
    X = rows(5, seed=1)
    draws = fitted.sample_posterior(X, 20_000, random_state=0)
    mean, std = fitted.encode(X, return_std=True)
    # Moments are taken over 64 points, whose error is that of what is not linear in the noise.
    np.testing.assert_allclose(draws.mean(0), mean, rtol=0, atol=0.1 * std.max())
    np.testing.assert_allclose(draws.std(0), std, rtol=0.1)


def test_draws_of_a_row_depend_on_its_values_and_the_seed_alone(fitted):
    X = rows(6, seed=2)
    draws = fitted.sample_posterior(X, 3, random_state=0)
    np.testing.assert_allclose(fitted.sample_posterior(X[4:5], 3, random_state=0), draws[:, 4:5], rtol=1e-12)
    assert not np.allclose(fitted.sample_posterior(X, 3, random_state=1), draws)


@pytest.mark.parametrize("tile_bytes", [1, 2**16])
def test_draws_are_the_same_however_many_are_held_at_once_and_begin_alike(fitted, tile_bytes, monkeypatch):
    X = rows(6, seed=2)
    draws = fitted.sample_posterior(X, 20, random_state=0)
    monkeypatch.setattr("skgen.estimators._arrays.TILE_BYTES", tile_bytes)
    np.testing.assert_allclose(fitted.sample_posterior(X, 20, random_state=0), draws, rtol=1e-11)
    np.testing.assert_allclose(fitted.sample_posterior(X, 3, random_state=0), draws[:3], rtol=1e-11)


def test_jumps_may_be_a_boolean_of_numpy(fitted):
    other = adversarial_bayes(max_iter=20, jumps=np.True_).fit(rows())
    np.testing.assert_array_equal(other.transform(rows()), fitted.transform(rows()))


def adversary(estimator):
    return [value for name, value in estimator.weights_.items() if name.startswith("adversary")]


def test_an_adversary_without_a_step_size_stays_where_it_began():
    estimator = adversarial_bayes(adversary_learning_rate=0.0).fit(rows())
    assert not adversary(estimator)[-2].any()
    np.testing.assert_allclose(estimator.history_["adversary"], math.log(2), rtol=1e-6)
    assert adversary(adversarial_bayes().fit(rows()))[-2].any()


def test_an_adversary_that_knows_less_than_nothing_is_a_warning():
    with pytest.warns(ConvergenceWarning, match="adversary has lost track.*Lower adversary_learning_rate"):
        adversarial_bayes(adversary_learning_rate=1e3, batch_size=10).fit(rows())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        adversarial_bayes(batch_size=10).fit(rows())


def test_an_adversary_may_learn_beside_a_model_that_stands_still():
    before, after = (
        adversarial_bayes(learning_rate=0.0, adversary_learning_rate=0.01, max_iter=n).fit(rows()) for n in (1, 5)
    )
    np.testing.assert_array_equal(after.transform(rows()), before.transform(rows()))
    assert after.history_["learning_rate"] == [0.0] * 5
    assert (adversary(after)[-2] != adversary(before)[-2]).any()


@pytest.mark.parametrize("rate", [None, 0.03])
def test_step_sizes_of_both_players_fall_together(rate):
    estimator = adversarial_bayes(adversary_learning_rate=rate, learning_rate=0.01, learning_rate_schedule="linear")
    run = estimator._start(
        estimator._prepare(rows(), {"sample_weight": None, "X_val": None}, fresh=True)[2], fresh=True
    )
    players = run.step.parts["adversary"].step, run.step.parts["model"]
    found = [[player.learning_rate for player in players] for _ in run.records()]
    shares = np.linspace(1, 0.2, 5)
    np.testing.assert_allclose(found, np.outer(shares, [0.02 if rate is None else rate, 0.01]), rtol=1e-12)


@pytest.mark.parametrize(("schedule", "weight"), [("linear", [0.5, 1]), ("annealed", [10, 10**0.5])])
@pytest.mark.parametrize("warmup", [2, 0.4])
def test_the_weight_of_the_kl_comes_to_one_and_changes_no_score(schedule, weight, warmup):
    estimator = adversarial_bayes(kl_schedule=schedule, kl_warmup=warmup).fit(rows())
    np.testing.assert_allclose(estimator.history_["kl_weight"], [*weight, 1, 1, 1], rtol=1e-12)
    pseudo, reconstruction, kl = (np.array(estimator.history_[name]) for name in ("pseudo", "reconstruction", "kl"))
    np.testing.assert_allclose(pseudo, reconstruction - kl, rtol=0, atol=1e-10)
    score = estimator.score(rows())
    assert estimator.set_params(kl_schedule="constant", jumps=False).score(rows()) == score


def test_posteriors_are_normal_until_their_shapes_begin():
    X = rows()
    with pytest.warns(ConvergenceWarning, match="before posteriors had shapes.*lower shape_warmup"):
        straight = adversarial_bayes(shape_warmup=9).fit(X)
    assert straight.history_["adversary"] == pytest.approx(5 * [math.log(2)])
    assert not straight.weights_["sampler.layers.1.weight"].any()
    # They are those of an encoder whose draws are normal and independent, and the pseudo-bound is a bound.
    draws = straight.sample_posterior(X[:4], 20_000, random_state=0)
    np.testing.assert_allclose(draws.mean(0), straight.transform(X[:4]), atol=5 * draws.std(0).max() / 20_000**0.5)
    correlation = [np.corrcoef(draws[:, i].T)[0, 1] for i in range(4)]
    assert np.abs(correlation).max() < 5 / 20_000**0.5
    assert straight.pseudo_elbo_ < straight.score(X)
    for warmup in (0.9, 1.0):  # 4.5 epochs end in the fifth
        with pytest.warns(ConvergenceWarning, match="model is that of epoch 5, before posteriors had shapes"):
            adversarial_bayes(shape_warmup=warmup).fit(X)
    for warmup in (2, 0.4):
        estimator = adversarial_bayes(shape_warmup=warmup).fit(X)
        assert estimator.history_["adversary"][:2] == pytest.approx(2 * [math.log(2)])
        assert estimator.history_["adversary"][2:] != pytest.approx(3 * [math.log(2)], abs=1e-9)
        assert estimator.weights_["sampler.layers.1.weight"].any()
        assert estimator.history_["bound"][:2] == straight.history_["bound"][:2]


def test_fewer_noise_variables_than_latent_ones_are_refused():
    with pytest.raises(ValueError, match="n_noise must be at least n_components=2"):
        adversarial_bayes(n_noise=1).fit(rows())


@pytest.mark.parametrize("prior", ["categorical", priors.Categorical(3)])
def test_latent_categories_are_refused(prior):
    with pytest.raises(ValueError, match="choose another prior, or VariationalAutoencoder"):
        adversarial_bayes(prior=prior).fit(rows())


@pytest.mark.parametrize("prior", ["vamp", "flow", priors.Normal(learned=True)])
def test_priors_are_learnt_with_the_networks(prior):
    prior = priors.Vamp(4) if prior == "vamp" else prior
    one, two = (adversarial_bayes(prior=prior, max_iter=n).fit(rows()).weights_ for n in (3, 4))
    learnt = [name for name in one if name.startswith("prior.") and one[name].dtype.kind == "f"]
    assert any((one[name] != two[name]).any() for name in learnt)


def test_validation_rows_are_measured_by_a_bound_and_stop_the_fit():
    estimator = adversarial_bayes(early_stopping=True, validation_fraction=0.2).fit(rows())
    assert "bound" not in estimator.history_
    assert estimator.best_iter_ == 1 + np.argmax(estimator.history_["validation_bound"])
    both = adversarial_bayes().fit(rows(), X_val=rows(seed=1))
    assert {"bound", "validation_bound"} <= both.history_.keys()


def test_annealed_bounds_enclose_the_likelihood(fitted):
    gap = fitted.log_likelihood_gap(40, n_draws=4, n_temperatures=20, random_state=0)
    assert -4 * gap.std < gap.gap < 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e10, 1e30])
def test_rows_however_far_from_all_others_have_features_and_a_score_that_only_falls(fitted, dtype, size):
    X = (size * rows()).astype(dtype)
    assert np.isfinite(fitted.transform(X)).all()
    assert (fitted.score_samples(X) < fitted.score_samples(rows()).min()).all()
