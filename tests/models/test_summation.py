import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from skgen._terms import Cotangents
from skgen.models import LatentVariableModel
from skgen.models.summation import expectations
from skgen.networks import MLP
from skgen.objectives import ELBO, IWAE
from skgen.posteriors import Diagonal
from skgen.priors import Categorical
from skgen.training.flat import FlatParameters
from tests.oracles import within
from tests.parts import model_from, normal, perturbed, rows_from

EXACT, DRAWN = Categorical(3), Categorical(3, max_states=1)


def enumerated(model, x):
    """log p(x) of binary rows under two variables of three categories, written out in numpy."""
    prior = torch.log_softmax(model.prior.logits, -1).detach().numpy()
    joint = []
    for first in range(3):
        for second in range(3):
            z = np.concatenate([np.eye(3)[first], np.eye(3)[second]])
            logits = model.decoder(torch.from_numpy(z)[None]).detach().numpy()[0]
            of_rows = (x.numpy() * logits - np.logaddexp(0, logits)).sum(1)
            joint.append(of_rows + prior[0, first] + prior[1, second])
    return torch.from_numpy(logsumexp(joint, axis=0))


@pytest.fixture
def model(generator):
    return model_from("bernoulli", prior=EXACT, n_features=4, generator=generator)


@pytest.fixture
def x(model, generator):
    return rows_from(model, 6, generator)


def drawn_from(model, generator):
    """The same model with draws in place of sums."""
    other = model_from("bernoulli", prior=DRAWN, n_features=4, generator=generator)
    other.load_state_dict(model.state_dict())
    return other


def test_log_weights_are_the_log_likelihood_that_enumeration_gives(model, x, generator):
    noise = normal(2, 6, model.posterior.n_noise, generator=generator)
    with torch.no_grad():
        log_weight = model.terms(x, noise).log_weight
    torch.testing.assert_close(log_weight, enumerated(model, x).expand(2, -1), rtol=1e-12, atol=1e-12)


def test_hard_draws_estimate_what_sums_give(model, x, generator):
    drawn = drawn_from(model, generator)
    noise = normal(20000, 6, model.posterior.n_noise, generator=generator)
    with torch.no_grad():
        exact, terms = model.terms(x, noise[:1]), drawn.terms(x, noise)
    assert within(torch.exp(terms.log_weight - enumerated(model, x)), 1.0)
    assert within(terms.log_likelihood, exact.log_likelihood[0])
    assert within(terms.log_prior, exact.log_prior[0])
    torch.testing.assert_close(terms.kl, exact.kl)
    assert within(terms.log_posterior - terms.log_prior, exact.kl.sum(-1))


def test_values_at_hard_draws_know_no_temperature(model, x, generator):
    drawn = drawn_from(model, generator)
    noise = normal(3, 6, model.posterior.n_noise, generator=generator)
    with torch.no_grad():
        before, relaxed = drawn.terms(x, noise), drawn.terms(x, noise, relaxed=True)
        drawn.posterior.temperature.fill_(0.1)
        after, colder = drawn.terms(x, noise), drawn.terms(x, noise, relaxed=True)
    assert torch.equal(before.log_weight, after.log_weight)
    assert not torch.equal(relaxed.log_weight, colder.log_weight)


def test_the_elbo_at_the_exact_posterior_is_the_log_likelihood(generator):
    # Of a mixture of Bernoulli distributions the log-odds of the components are linear in a row.
    model = model_from("bernoulli", prior=EXACT, n_components=1, n_features=4, hidden=(), generator=generator)
    with torch.no_grad():
        logits = model.decoder(torch.eye(3, dtype=torch.float64))
        weight, bias = model.encoder.head
        weight.copy_(logits.T)
        bias.copy_(torch.log_softmax(model.prior.logits[0], -1) - torch.nn.functional.softplus(logits).sum(-1))
        x = rows_from(model, 6, generator)
        terms = model.terms(x, torch.zeros(1, 1, 3, dtype=torch.float64))
        report = IWAE().report(terms)
    torch.testing.assert_close(report["elbo"], report["iwae"], rtol=1e-12, atol=1e-12)


def gradients(model, value):
    found = torch.autograd.grad(value.sum(), list(model.parameters()), allow_unused=True)
    return dict(zip(dict(model.named_parameters()), found, strict=True))


def test_under_iwae_the_encoder_follows_the_elbo_and_all_else_the_likelihood(model, x):
    noise = torch.zeros(1, 1, model.posterior.n_noise, dtype=torch.float64)
    iwae = gradients(model, IWAE()(model.terms(x, noise), 1.0))
    elbo = gradients(model, ELBO()(model.terms(x, noise), 1.0))
    states = model.prior.states()
    joint = model.log_likelihood(states.unsqueeze(1), x) + model.prior.log_prob(states)[:, None]
    likelihood = gradients(model, torch.logsumexp(joint, 0))
    for name, gradient in iwae.items():
        torch.testing.assert_close(gradient, (elbo if name.startswith("encoder") else likelihood)[name])


def test_the_third_expectation_is_that_of_the_exact_posterior(generator):
    log_likelihood = normal(5, 4, generator=generator)
    log_q, log_p = (torch.log_softmax(normal(5, n, generator=generator), 0) for n in (4, 1))
    found = expectations(log_likelihood, log_q, log_p[:, 0])
    evidence = torch.logsumexp(log_likelihood + log_p, 0)
    exact = log_likelihood + log_p - evidence
    for ours, reference in zip(found, (log_likelihood, log_p.expand(-1, 4), exact), strict=True):
        torch.testing.assert_close(ours, (log_q.exp() * reference).sum(0))
    torch.testing.assert_close(found[0] + found[1] - found[2], evidence)


@pytest.mark.parametrize("prior", [EXACT, DRAWN], ids=["sums", "draws"])
def test_with_a_condition_the_gradient_by_hand_is_that_of_autograd(prior, generator):
    module = prior.build(2)
    posterior = module.adapted(Diagonal().build(2))
    likelihood = model_from("bernoulli", generator=generator).likelihood
    encoder = MLP(3, (4,), posterior.n_parameters, "tanh", 0.0)
    decoder = MLP(module.n_latent + 2, (4,), 3, "tanh", 0.0)
    model = LatentVariableModel(encoder, decoder, module, posterior, likelihood)
    model.double().reset(generator)
    perturbed(model, generator)
    FlatParameters(model)
    x = (torch.rand(5, 3, dtype=torch.float64, generator=generator) < 0.5).double()
    condition = normal(5, 2, generator=generator)
    noise = normal(1, 5, posterior.n_noise, generator=generator)
    expected = gradients(model, ELBO()(model.terms(x, noise, condition, relaxed=True), 1.0))
    for parameter in model.parameters():
        parameter.grad.zero_()
    with torch.no_grad():
        terms, pullback = model.tracer(closed_kl=True)(x, noise, None, condition)
        pullback(Cotangents(torch.ones(()).double(), kl=-torch.ones(()).double()))
    assert terms.n_draws == 1
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name])
