import numpy as np
import pytest
import torch

from skgen.posteriors import CategoricalPosterior, Diagonal
from skgen.priors.categorical import Categorical
from tests.oracles import within
from tests.parts import normal, perturbed

COMPONENTS, CATEGORIES = 2, 3


@pytest.fixture
def prior(generator):
    return perturbed(Categorical(CATEGORIES).build(COMPONENTS), generator, size=1.0)


def weights_of(prior):
    return torch.softmax(prior.logits.detach(), -1)


def test_all_states_are_listed_once_and_their_probabilities_add_up_to_one(prior):
    states = prior.states()
    assert states.shape == (CATEGORIES**COMPONENTS, COMPONENTS * CATEGORIES)
    assert len(states.unique(dim=0)) == len(states)
    assert (states.reshape(-1, COMPONENTS, CATEGORIES).sum(-1) == 1).all()
    with torch.no_grad():
        probabilities = prior.log_prob(states).exp()
    first, second = weights_of(prior)
    torch.testing.assert_close(probabilities, (first[:, None] * second).flatten())
    torch.testing.assert_close(probabilities.sum(), probabilities.new_tensor(1.0))


def test_draws_have_the_weights(prior, generator):
    z = prior.sample(20000, generator=generator, like=prior.logits)
    assert within(z, weights_of(prior).flatten())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_keep_shape_dtype_and_follow_the_generator(prior, dtype):
    like = torch.zeros(1, dtype=dtype)
    prior.to(dtype)
    first, again, other = (
        prior.sample(20, generator=torch.Generator().manual_seed(seed), like=like) for seed in (1, 1, 2)
    )
    assert first.shape == (20, prior.n_latent)
    assert first.dtype == dtype
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_leading_axes_are_kept(prior, generator):
    z = prior.sample(20, generator=generator, like=prior.logits).reshape(4, 5, -1)
    with torch.no_grad():
        torch.testing.assert_close(prior.log_prob(z), torch.stack([prior.log_prob(part) for part in z]))


def test_a_single_variable_has_labels(generator):
    prior = Categorical(4).build(1).double()
    labels = prior.draw_labels(50, generator=generator)
    assert labels.shape == (50,)
    assert prior.n_clusters == 4
    assert torch.equal(prior.sample_given(labels, generator=generator).argmax(-1), labels)
    assert Categorical(4).build(2).n_clusters == 0


def test_it_makes_any_posterior_a_categorical_one(prior):
    posterior = prior.adapted(Diagonal().build(COMPONENTS))
    assert isinstance(posterior, CategoricalPosterior)
    assert posterior.n_parameters == posterior.n_noise == prior.n_latent == COMPONENTS * CATEGORIES


def test_the_closed_kl_is_the_sum_over_states_and_at_least_zero(prior, generator):
    posterior = prior.adapted(Diagonal().build(COMPONENTS))
    parameters = 2 * normal(4, posterior.n_parameters, generator=generator)
    draw = posterior.draw(parameters, normal(1, 4, posterior.n_noise, generator=generator))
    with torch.no_grad():
        kl = prior.closed_kl(draw)
        log_q = posterior.log_probs(prior.states(), parameters)
        exact = (log_q.exp() * (log_q - prior.log_prob(prior.states())[:, None])).sum(0)
    assert kl.shape == (4, COMPONENTS)
    assert (kl >= 0).all()
    torch.testing.assert_close(kl.sum(-1), exact)


def test_the_kl_tracer_equals_autograd(prior, generator):
    posterior = prior.adapted(Diagonal().build(COMPONENTS))
    draw = posterior.draw(normal(4, posterior.n_parameters, generator=generator), torch.zeros(1, 1, 6).double())
    cotangent = normal(4, COMPONENTS, generator=generator)
    value, pullback = prior.kl_tracer()(draw)
    prior.zero_grad(set_to_none=False)
    to_mean = pullback(cotangent)[0]
    mean = draw.mean.clone().requires_grad_()
    reference = prior.closed_kl(draw._replace(mean=mean))
    expected, weights = torch.autograd.grad(reference, [mean, prior.logits], cotangent)
    torch.testing.assert_close(value, reference.detach())
    torch.testing.assert_close(to_mean, expected)
    torch.testing.assert_close(prior.logits.grad, weights)


def test_a_kl_of_probabilities_that_underflow_is_finite_with_its_gradient():
    prior = Categorical(3).build(1)
    posterior = prior.adapted(Diagonal().build(1))
    parameters = torch.tensor([[500.0, 0.0, -500.0]]).requires_grad_()
    kl = prior.closed_kl(posterior.draw(parameters, torch.zeros(1, 1, 3)))
    kl.sum().backward()
    torch.testing.assert_close(kl.detach(), torch.tensor([[3.0]]).log())
    assert parameters.grad.isfinite().all()


@pytest.mark.parametrize(("n_components", "few"), [(1, True), (3, True), (4, False)])
def test_states_are_summed_over_up_to_max_states(n_components, few):
    spec = Categorical(4, max_states=64)
    assert spec.has_exact_sums(n_components) == few
    assert (spec.build(n_components).states() is not None) == few
    assert spec.n_latent(n_components) == spec.build(n_components).n_latent


@pytest.mark.parametrize(
    "fields",
    [
        {"n_categories": 1},
        {"n_categories": 2.5},
        {"max_states": 0},
        {"final_temperature": 0.0},
        {"temperature": 0.1},
        {"annealing": 1.5},
        {"annealing": -1},
    ],
    ids=str,
)
def test_fields_out_of_range_are_named(fields):
    with pytest.raises(ValueError, match=f"prior__{next(iter(fields))}"):
        Categorical(**fields).build(2)


@pytest.mark.parametrize("number", [int, np.int64])
def test_many_states_are_not_taken_for_few_whatever_the_integers(number):
    spec = Categorical(number(2))
    assert not spec.has_exact_sums(number(64))
    assert spec.build(64).states() is None
    assert spec.has_exact_sums(number(6))


def test_epochs_of_annealing_may_be_an_integer_of_any_kind():
    assert Categorical(2, annealing=np.int64(3)).build(1).n_categories == 2


def test_sums_are_refused_as_building_is():
    with pytest.raises(ValueError, match="prior__n_categories must be an integer of at least 2, got 'a'"):
        Categorical("a").has_exact_sums(2)
