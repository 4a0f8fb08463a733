"""Tests of skgen.estimators._amortization: gaps, contributions of units, and adaptation."""

import numpy as np
import pytest
import torch

from skgen.estimators._variational_steps import PARTS
from skgen.likelihoods import Gaussian
from skgen.priors import Categorical
from tests.estimators.configurations import amortized, rows

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:.* rows have importance weights with Pareto-k:UserWarning"),
]


@pytest.fixture(scope="module")
def fitted():
    """A model that has learnt for a while, not to be changed."""
    return amortized(2, learning_rate=0.02, max_iter=40, refine_steps=20).fit(rows())


# -- gaps -------------------------------------------------------------------------------------------------------------


def test_the_amortization_gap_is_what_a_search_adds_to_the_bound_and_never_negative_beyond_its_error(fitted):
    gap, error = fitted.amortization_gap(rows(), random_state=1, return_std=True)
    assert (gap >= -5 * error).all()
    assert gap.mean() > 0.01  # after so few iterations the encoder is far from the best
    assert gap.shape == error.shape == (40,)


def test_refined_posteriors_have_no_amortization_gap_left():
    """What the model's own search finds is as good as what the gap's search finds."""
    refined = amortized(inference="semi_amortized", e_solver="bfgs", refine_steps=20, max_iter=3).fit(rows())
    module = refined._module(np.float64)
    x = module.standardize(torch.from_numpy(rows()))
    own = refined._kind().parameters(module, x, refined._score_seed)
    best = refined._refining_kind().parameters(module, x, refined._score_seed)
    noise = torch.randn(200, 40, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        bounds = [module.terms_given(some, x, noise).log_weight for some in (best, own)]
    left = (bounds[0] - bounds[1]).mean(0)
    gap = refined.amortization_gap(rows(), n_draws=200, random_state=1)
    assert abs(float(left.mean())) < 0.05 * gap.mean()


def test_the_approximation_gap_of_a_linear_model_is_zero_and_of_others_positive(fitted):
    gap, error = fitted.approximation_gap(rows(), random_state=1, return_std=True)
    assert (gap >= -5 * error - 1e-9).all()
    # With one latent variable the exact posterior is a normal distribution of one dimension.
    options = {"hidden_layer_sizes": (), "likelihood": Gaussian("shared"), "latent_generator": "normal"}
    linear = amortized(1, e_solver="lbfgs", m_solver="lbfgs", refine_steps=30, max_iter=5, **options).fit(rows())
    np.testing.assert_allclose(linear.approximation_gap(rows(), random_state=1), 0, atol=1e-3)


@pytest.mark.parametrize("name", ["amortization_gap", "approximation_gap"])
def test_the_gap_of_a_row_is_its_own(fitted, name):
    gap = getattr(fitted, name)
    options = {"n_draws": 64, "random_state": 1}
    together = gap(rows(12), **options)
    alone = np.concatenate([gap(rows(12)[i : i + 1], **options) for i in range(4)])
    np.testing.assert_allclose(alone, together[:4], rtol=1e-9, atol=1e-9)


def test_without_an_encoder_nothing_is_amortised():
    model = amortized(inference="local").fit(rows())
    with pytest.raises(ValueError, match=r"fitted without an encoder.* got inference='local'"):
        model.amortization_gap(rows())
    assert np.isfinite(model.approximation_gap(rows(), n_draws=32)).all()


def test_categories_have_no_gap_that_a_search_could_tell():
    model = amortized(latent_generator=Categorical(3), max_iter=1).fit(rows())
    for gap in (model.amortization_gap, model.approximation_gap):
        with pytest.raises(ValueError, match=r"posteriors of categories have no path .* latent_generator=Categorical"):
            gap(rows())


# -- units ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(), (4,)])
def test_contributions_add_up_to_the_outputs_less_the_bias(sizes):
    X = rows()
    model = amortized(3, unit_size=2, hidden_layer_sizes=sizes).fit(X)
    module = model._module(np.float64)
    with torch.no_grad():
        outputs = module.decoder(torch.from_numpy(model.transform(X))) - module.decoder.head[1]
    contributions = model.unit_contributions(X)
    assert contributions.shape == (40, 3, 5)
    np.testing.assert_allclose(contributions.sum(1), outputs.numpy(), rtol=1e-9, atol=1e-9)


def test_a_joint_decoder_has_no_contributions():
    with pytest.raises(ValueError, match="decoder='additive', got 'mlp'"):
        amortized(decoder="mlp", max_iter=1).fit(rows()).unit_contributions(rows())


# -- adaptation -------------------------------------------------------------------------------------------------------

MODULES = {"encoder": ("encoder.",), "decoder": ("decoder.", "likelihood."), "latent_generator": ("prior.",)}
NEW = 0.7 * rows(60, seed=5) + 0.2


def new_model(**parameters):
    return amortized(3, batch_size=None, learning_rate=0.02, **parameters).fit(rows())


def changed(before, after):
    """Names of weights of which a bit is another."""
    assert before.keys() == after.keys()
    return {name for name, value in before.items() if value.tobytes() != after[name].tobytes()}


@pytest.mark.parametrize("parts", [*((part,) for part in PARTS), PARTS[:2], PARTS])
def test_other_parts_stay_as_they_are_bit_for_bit(parts):
    model = new_model(latent_generator="normal")
    before, score = dict(model.weights_), model.score(NEW)
    assert model.fine_tune(NEW, parts=parts, max_iter=20) is model
    allowed = tuple(prefix for part in parts for prefix in MODULES[part])
    moved = changed(before, model.weights_)
    assert all(name.startswith(allowed) for name in moved)
    assert {part for part in PARTS if any(name.startswith(MODULES[part]) for name in moved)} == set(parts)
    assert len(model.fine_tuning_history_["elbo"]) <= 20
    assert model.score(NEW) > score


@pytest.mark.parametrize(("solver", "units"), [("adam", (2, 1)), ("adam", 1), ("cg", (0,))])
def test_units_are_adapted_alone(solver, units):
    model = new_model(e_solver=solver, m_solver=solver)
    before, elbo = dict(model.weights_), model.elbo(NEW)["elbo"].mean()
    model.fine_tune(NEW, parts=units, max_iter=10)
    assert model.elbo(NEW)["elbo"].mean() > elbo
    named = [units] if isinstance(units, int) else list(units)
    module = model._module(np.float64)
    masks = {f"encoder.{name}": mask for name, mask in module.encoder.unit_masks(named).items()}
    masks |= {f"decoder.{name}": mask for name, mask in module.decoder.unit_masks(named).items()}
    assert changed(before, model.weights_) <= masks.keys()
    for name, mask in masks.items():
        rest = mask.numpy() == 0
        assert before[name][rest].tobytes() == model.weights_[name][rest].tobytes(), name


@pytest.mark.parametrize("inference", ["semi_amortized", "local", "laplace", "mcmc"])
def test_every_kind_of_inference_is_adapted(inference):
    model = new_model(inference=inference, latent_generator="normal")
    score = model.score(NEW)
    model.fine_tune(NEW, parts=("decoder", "latent_generator"), max_iter=5)
    assert model.score(NEW) > score


def test_a_higher_weight_counts_more():
    weight = np.where(np.arange(60) < 30, 10.0, 0.1)
    X = np.concatenate([NEW[:30], rows(30)])
    one, other = (new_model().fine_tune(X, max_iter=20, sample_weight=w) for w in (weight, weight[::-1]))
    assert one.score(NEW[:30]) - other.score(NEW[:30]) > 0


@pytest.mark.parametrize("parts", [(), None, ("head",), (3,), (-1,), ("encoder", 0), (True,), 0.5])
def test_parts_that_there_are_not_are_named(parts):
    with pytest.raises(ValueError, match="parts must be some of"):
        new_model(max_iter=1).fine_tune(NEW, parts=parts)


@pytest.mark.parametrize("inference", ["local", "laplace"])
def test_units_without_encoders_are_decoders(inference):
    model = new_model(inference=inference)
    before = dict(model.weights_)
    mask = model._module(np.float64).decoder.unit_masks([1])
    model.fine_tune(NEW, parts=(1,), max_iter=2)
    moved = changed(before, model.weights_)
    assert moved
    assert moved <= {f"decoder.{name}" for name in mask}


def test_parameters_set_after_the_fit_are_checked_before_adaptation():
    for settings, message in [
        ({"e_solver": "newton"}, "'e_solver' parameter"),
        ({"m_solver": "lbfgs"}, "m_solver='lbfgs' does not go with latent_generator"),
    ]:
        model = amortized(latent_generator=Categorical(3), max_iter=1).fit(rows()).set_params(**settings)
        with pytest.raises(ValueError, match=message):
            model.fine_tune(NEW)


def test_missing_values_adapt_a_model_that_knows_some():
    incomplete = NEW.copy()
    incomplete[::4, 1] = np.nan
    with pytest.raises(ValueError, match=r"X contains missing values, .* partial_fit"):
        new_model(max_iter=1).fine_tune(incomplete)
    model = new_model(max_iter=1).partial_fit(incomplete)
    score = model.score(incomplete)
    assert model.fine_tune(incomplete).score(incomplete) > score


def test_an_encoder_that_there_is_not_is_named():
    with pytest.raises(ValueError, match="has no encoder to learn"):
        new_model(inference="local", max_iter=1).fine_tune(NEW, parts=("encoder",))
