import pytest
import torch

from skgen._terms import Terms
from skgen.estimators._loss import TermsLoss
from skgen.objectives.importance import ELBO, IWAE, DReG
from skgen.priors import Vamp
from skgen.training.batches import Batch
from skgen.training.flat import FlatParameters
from tests.oracles import log_likelihood_by_quadrature
from tests.parts import LIKELIHOOD_SPECS, model_from, normal, rows_from

N_SEEDS = 50


def random_terms(generator, n_draws=3, with_kl=False):
    parts = normal(3, n_draws, 4, generator=generator)
    kl = normal(4, 2, generator=generator).square() if with_kl else None
    return Terms(*parts, kl, n_draws=n_draws)


@pytest.mark.parametrize("kl_weight", [0.0, 0.4, 1.0])
def test_iwae_with_one_draw_is_the_monte_carlo_elbo(kl_weight, generator):
    terms = random_terms(generator, n_draws=1)
    torch.testing.assert_close(IWAE()(terms, kl_weight), ELBO()(terms, kl_weight))


def test_iwae_is_the_log_of_the_mean_weight(generator):
    terms = random_terms(generator)
    torch.testing.assert_close(IWAE()(terms, 1.0), terms.log_weight.exp().mean(0).log())


def test_elbo_uses_the_closed_kl_where_there_is_one(generator):
    terms = random_terms(generator, with_kl=True)
    expected = terms.log_likelihood.mean(0) - 0.4 * terms.kl.sum(-1)
    torch.testing.assert_close(ELBO()(terms, 0.4), expected)


def test_free_bits_are_a_floor_for_each_component_and_leave_the_report_alone(generator):
    terms = random_terms(generator, with_kl=True)
    objective = ELBO(free_bits=0.5)
    expected = terms.log_likelihood.mean(0) - torch.clamp(terms.kl, min=0.5).sum(-1)
    torch.testing.assert_close(objective(terms, 1.0), expected)
    torch.testing.assert_close(objective.report(terms), ELBO().report(terms))
    inside = terms.kl <= 0.5
    assert inside.any()
    assert not objective.cotangents(terms, 1.0).kl[inside].any()


@pytest.mark.parametrize("likelihood", LIKELIHOOD_SPECS)
def test_bounds_rise_with_the_draws_towards_the_exact_log_likelihood(likelihood, generator):
    model = model_from(likelihood, n_components=1, generator=generator)
    x = rows_from(model, 20, generator)
    with torch.no_grad():
        exact = log_likelihood_by_quadrature(model, x).mean()
        means = []
        for seed in range(N_SEEDS):
            source = torch.Generator().manual_seed(seed)
            bounds = [ELBO(), IWAE(), IWAE()]
            values = []
            for bound, n_draws in zip(bounds, (5, 5, 50), strict=True):
                # Each bound has draws of its own.
                terms = model.terms(x, normal(n_draws, 20, 1, generator=source))
                values.append(bound(terms, 1.0).mean())
            means.append(torch.stack([*values, exact]))
    steps = torch.stack(means).diff(dim=1)
    error = steps.std(0) / N_SEEDS**0.5
    assert (steps.mean(0) >= -3 * error).all()


def test_the_closed_kl_elbo_and_the_monte_carlo_one_agree(generator):
    model = model_from("gaussian", generator=generator)
    x = rows_from(model, 3, generator)
    with torch.no_grad():
        terms = model.terms(x, normal(20000, 3, 2, generator=generator))
    estimates = terms.log_posterior - terms.log_prior
    error = estimates.std(0) / 20000**0.5
    assert ((terms.kl.sum(-1) - estimates.mean(0)).abs() < 5 * error).all()


def encoder_gradients(model, objective, x, n_draws, n_repeats, generator, kl_weight):
    """Gradients of the encoder for independent noise, (n_repeats, parameters)."""
    loss = TermsLoss(
        model.tracer(),
        objective,
        lambda n_rows, generator: normal(n_draws, n_rows, model.posterior.n_components, generator=generator),
        offset=0.0,
        tile=len(x),
    )
    loss.kl_weight = kl_weight
    found = []
    with torch.no_grad():
        for _ in range(n_repeats):
            model.zero_grad(set_to_none=False)
            loss(Batch(x, None), generator)
            found.append(torch.cat([p.grad.flatten() for p in model.encoder.parameters()]))
    return torch.stack(found)


@pytest.mark.parametrize(
    ("prior", "kl_weight"),
    [("normal", 0.4), ("normal", 1.0), ("uniform", 0.4), (Vamp(2), 1.0)],
    ids=["normal-annealed", "normal", "uniform-annealed", "vamp"],
)
def test_dreg_has_the_expected_encoder_gradient_of_iwae(prior, kl_weight, generator):
    model = model_from("gaussian", prior=prior, hidden=(), n_components=1, generator=generator)
    FlatParameters(model)
    x = rows_from(model, 4, generator)
    gradients = [
        encoder_gradients(model, objective, x, 20, 1000, generator, kl_weight) for objective in (IWAE(), DReG())
    ]
    error = sum(g.var(0) / len(g) for g in gradients).sqrt()
    assert ((gradients[0].mean(0) - gradients[1].mean(0)).abs() <= 5 * error).all()
