"""Every combination of prior, likelihood, posterior and objective: the whole loss and its gradient."""

import pytest
import torch

from skgen._terms import Terms
from skgen.estimators._loss import TermsLoss
from skgen.objectives import ELBO, OBJECTIVES
from skgen.posteriors import Diagonal
from skgen.priors import Categorical
from skgen.training.batches import Batch, Batches
from skgen.training.flat import FlatParameters
from skgen.training.loop import epochs
from skgen.training.optimizers import SOLVERS
from skgen.training.steps import GradientStep
from tests.oracles import central_differences, process_state
from tests.parts import LIKELIHOOD_SPECS, POSTERIOR_SPECS, PRIOR_SPECS, model_from, normal, rows_from

ROWS = 5
KL_WEIGHT = 0.6

EXACT = [name for name, objective in OBJECTIVES.items() if objective.exact_gradient]
"""Objectives whose gradient is that of their value."""


def has_meaning(prior, posterior, objective):
    """Whether estimators take the combination, as far as parts are concerned."""
    return not isinstance(prior, Categorical) or (isinstance(posterior, Diagonal) and objective.exact_gradient)


def cells(*names, crossed=True):
    """Every combination of prior, likelihood and named objective that has a meaning, with the first posterior.

    The other posteriors come with the first likelihood: a likelihood sees draws, and not where they are from.
    Where they are not crossed, every prior comes with the first likelihood and every likelihood with the first prior,
    for what follows from equal gradients, which hold for all.
    """

    def marked(test):
        combinations = [
            pytest.param(
                *prior.values,
                *likelihood.values,
                *posterior.values,
                name,
                id=f"{prior.id}-{likelihood.id}-{posterior.id}-{name}",
            )
            for prior in PRIOR_SPECS
            for likelihood in LIKELIHOOD_SPECS
            for posterior in POSTERIOR_SPECS
            for name in names
            if posterior is POSTERIOR_SPECS[0] or likelihood is LIKELIHOOD_SPECS[0]
            if crossed or prior is PRIOR_SPECS[0] or likelihood is LIKELIHOOD_SPECS[0]
            if has_meaning(*prior.values, *posterior.values, OBJECTIVES[name])
        ]
        return pytest.mark.parametrize(("prior", "likelihood", "posterior", "name"), combinations)(test)

    return marked


class Cell:
    """A model with flat parameters, its rows, their weights and noise, and both ways to the loss."""

    def __init__(
        self,
        prior,
        likelihood,
        posterior,
        objective,
        generator,
        *,
        n_draws,
        weighted,
        closed_kl,
        shared=False,
    ):
        self.model = model_from(likelihood, prior=prior, posterior=posterior, generator=generator)
        self.parameters = FlatParameters(self.model)
        self.x = rows_from(self.model, ROWS, generator)
        n_noise = self.model.posterior.n_noise
        self.noise = normal(n_draws, 1 if shared else ROWS, n_noise, generator=generator)
        self.weight = torch.rand(ROWS, dtype=torch.float64, generator=generator) + 0.5 if weighted else None
        self.objective = objective
        self.closed_kl = closed_kl and self.model.has_closed_kl()
        self.trace = self.model.tracer(closed_kl=self.closed_kl)

    def loss(self, tile=ROWS):
        """Loss and reported means by the tracer, whose gradient is left in the flat buffer."""
        terms_loss = TermsLoss(
            self.trace,
            self.objective,
            lambda n_rows, generator: self.noise,
            offset=1.5,
            tile=tile,
        )
        terms_loss.kl_weight = KL_WEIGHT
        self.parameters.gradient.zero_()
        with torch.no_grad():
            report, value = terms_loss(Batch(self.x, self.weight), None)
            return value(), terms_loss.in_user_units(report())

    def terms(self):
        """The terms by autograd, without a closed KL where the tracer has none."""
        terms = self.model.terms(self.x, self.noise, relaxed=True)
        if self.closed_kl or self.model.prior.states() is not None:
            return terms
        return Terms(terms.log_likelihood, terms.log_prior, terms.log_posterior, n_draws=len(self.noise))

    def reference(self):
        """Loss and gradients by autograd."""
        values = self.objective(self.terms(), KL_WEIGHT)
        loss = -(values if self.weight is None else values * self.weight).mean()
        return loss.detach(), torch.autograd.grad(loss, list(self.model.parameters()))

    def assert_equal(self):
        loss, _ = self.loss()
        expected, gradients = self.reference()
        torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
        for parameter, gradient in zip(self.model.parameters(), gradients, strict=True):
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-10, atol=1e-10)


@cells(*EXACT)
@pytest.mark.parametrize(("n_draws", "weighted"), [(1, False), (3, True)], ids=["one", "weighted"])
def test_the_gradient_by_hand_is_that_of_autograd(prior, likelihood, posterior, name, n_draws, weighted, generator):
    objective = OBJECTIVES[name]()
    for closed_kl in [False] if objective.needs_log_weights else [False, True]:
        for shared in (False, True):
            Cell(
                prior,
                likelihood,
                posterior,
                objective,
                generator,
                n_draws=n_draws,
                weighted=weighted,
                closed_kl=closed_kl,
                shared=shared,
            ).assert_equal()


@cells("dreg")
@pytest.mark.parametrize("n_draws", [1, 3])
def test_dreg_is_the_gradient_of_iwae_at_fixed_draws_and_a_path_with_another_factor(
    prior, likelihood, posterior, name, n_draws, generator
):
    cell = Cell(
        prior, likelihood, posterior, OBJECTIVES[name](), generator, n_draws=n_draws, weighted=True, closed_kl=False
    )
    cell.loss()
    model, parts = cell.model, list(cell.model.parameters())
    parameters = model.encode(cell.x)
    z = model.posterior.draw(parameters, cell.noise).z
    leaf = z.detach().requires_grad_()
    log_weight = cell.objective._log_weight(cell.terms(), KL_WEIGHT)
    weight = torch.softmax(log_weight.detach(), 0)
    joint = model.likelihood.log_prob(model.decoder(leaf), cell.x) + KL_WEIGHT * model.prior.log_prob(leaf)
    loss = -(joint * weight * cell.weight).sum() / ROWS
    to_z, *expected = torch.autograd.grad(loss, [leaf, *parts], allow_unused=True)
    row = (cell.weight * weight / ROWS).unsqueeze(-1)
    path = (1 - KL_WEIGHT + KL_WEIGHT * weight).unsqueeze(-1)
    to_z = path * (to_z + row * KL_WEIGHT * model.posterior.path_score(parameters, cell.noise))
    paths = torch.autograd.grad(z, parts, to_z, allow_unused=True)
    for parameter, fixed, through in zip(parts, expected, paths, strict=True):
        total = sum(part for part in (fixed, through) if part is not None)
        torch.testing.assert_close(parameter.grad, total + torch.zeros_like(parameter), rtol=1e-10, atol=1e-10)


@cells("elbo")
@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
def test_free_bits(prior, likelihood, posterior, name, weighted, generator):
    cell = Cell(
        prior, likelihood, posterior, OBJECTIVES[name](), generator, n_draws=2, weighted=weighted, closed_kl=True
    )
    # Half of the entries of the KL lie within their free bits.
    terms = cell.model.terms(cell.x, cell.noise, relaxed=True)
    kl = (terms.kl if cell.closed_kl else terms.kl_per_row()).detach().flatten().sort().values
    cell.objective = ELBO(float(kl[(kl.numel() - 1) // 2 : kl.numel() // 2 + 1].mean()) + 1e-9)
    cell.assert_equal()


@cells(*EXACT, crossed=False)
def test_the_gradient_is_that_of_finite_differences(prior, likelihood, posterior, name, generator):
    objective = OBJECTIVES[name]()
    closed_kl = not objective.needs_log_weights
    cell = Cell(prior, likelihood, posterior, objective, generator, n_draws=3, weighted=True, closed_kl=closed_kl)
    loss = float(cell.loss()[0])
    # Padding of the flat buffer is left out: it stays zero and has no gradient.
    used = torch.zeros_like(cell.parameters.value)
    learnt = dict(cell.model.named_parameters())
    if cell.model.prior.states() is not None and objective.needs_log_weights:
        # log p(x) itself does not depend on the encoder, which goes on following the ELBO.
        learnt = {key: value for key, value in learnt.items() if not key.startswith("encoder")}
    for parameter in learnt.values():
        used.as_strided(parameter.shape, parameter.stride(), parameter.storage_offset()).fill_(1)
    directions = normal(6, len(used), generator=generator) * used
    exact = directions @ cell.parameters.gradient
    coarse, fine = (
        central_differences(lambda: cell.loss()[0], cell.parameters.value, directions, step) for step in (1e-6, 5e-7)
    )
    # A few roundings of the loss over the step, and fifth derivatives times its fourth power.
    torch.testing.assert_close((4 * fine - coarse) / 3, exact, rtol=1e-7, atol=1e-8 * (1 + abs(loss)))


@cells("elbo", "dreg", crossed=False)
def test_a_step_waits_for_no_value_and_sends_none_so_that_a_gpu_records_it(
    prior, likelihood, posterior, name, generator, monkeypatch
):
    objective = OBJECTIVES[name]()
    options = {"n_draws": 3, "weighted": True, "closed_kl": not objective.needs_log_weights}
    cell = Cell(prior, likelihood, posterior, objective, generator, **options)
    loss = TermsLoss(cell.trace, objective, lambda n_rows, generator: cell.noise, offset=0.0, tile=ROWS)

    def step():
        report, value = loss(Batch(cell.x, cell.weight), None)
        return report(), value()

    def waits(*arguments, **options):
        raise AssertionError("A GPU would have to wait for the host, or the host for the GPU.")

    with torch.no_grad():
        step()
        for method in ("item", "tolist", "cpu", "nonzero", "new_tensor", "__bool__", "__float__", "__int__"):
            monkeypatch.setattr(torch.Tensor, method, waits)
        step()


@cells(*OBJECTIVES)
def test_tiles_add_up_to_the_whole_batch(prior, likelihood, posterior, name, generator):
    objective = OBJECTIVES[name]()
    closed_kl = not objective.needs_log_weights
    cell = Cell(
        prior,
        likelihood,
        posterior,
        objective,
        generator,
        n_draws=3,
        weighted=True,
        closed_kl=closed_kl,
        shared=True,
    )
    whole, report = cell.loss()
    gradient = cell.parameters.gradient.clone()
    tiled, tiled_report = cell.loss(tile=2)
    torch.testing.assert_close(tiled, whole)
    torch.testing.assert_close(cell.parameters.gradient, gradient)
    torch.testing.assert_close(tiled_report, report)


@cells(*OBJECTIVES)
def test_an_integer_weight_is_a_repeated_row(prior, likelihood, posterior, name, generator):
    objective = OBJECTIVES[name]()
    closed_kl = not objective.needs_log_weights
    cell = Cell(
        prior,
        likelihood,
        posterior,
        objective,
        generator,
        n_draws=2,
        weighted=False,
        closed_kl=closed_kl,
        shared=True,
    )
    times = torch.tensor([1, 2, 1, 3, 1])
    rows = cell.x
    cell.weight = times / times.double().mean()
    weighted, report = cell.loss()
    gradient = cell.parameters.gradient.clone()
    cell.weight, cell.x = None, rows.repeat_interleave(times, 0)
    repeated, repeated_report = cell.loss(tile=len(cell.x))
    torch.testing.assert_close(weighted, repeated)
    torch.testing.assert_close(report, repeated_report)
    torch.testing.assert_close(gradient, cell.parameters.gradient)


@cells(*OBJECTIVES)
def test_the_report_does_not_depend_on_the_kl_weight_and_is_in_the_user_s_units(
    prior, likelihood, posterior, name, generator
):
    objective = OBJECTIVES[name]()
    closed_kl = not objective.needs_log_weights
    cell = Cell(prior, likelihood, posterior, objective, generator, n_draws=2, weighted=False, closed_kl=closed_kl)
    reports = []
    for weight in (0.0, 1.0):
        loss = TermsLoss(cell.trace, objective, lambda n, g: cell.noise, offset=1.5, tile=ROWS)
        loss.kl_weight = weight
        with torch.no_grad():
            reports.append(loss.in_user_units(loss(Batch(cell.x, None), None)[0]()))
    torch.testing.assert_close(*reports, rtol=0, atol=0)
    plain = objective.report(cell.terms())
    for key, value in reports[0].items():
        torch.testing.assert_close(value, plain[key].mean().detach() + (0 if key == "kl" else 1.5))


@cells(*OBJECTIVES, crossed=False)
def test_training_raises_the_bound_and_leaves_global_state_alone(prior, likelihood, posterior, name, generator):
    before = process_state()
    model = model_from(likelihood, prior=prior, posterior=posterior, dropout=0.1, generator=generator)
    flat, objective = FlatParameters(model), OBJECTIVES[name]()
    x = rows_from(model_from(likelihood, prior=prior, posterior=posterior, generator=generator), 60, generator)
    loss = TermsLoss(
        model.tracer(closed_kl=not objective.needs_log_weights and model.has_closed_kl()),
        objective,
        lambda n_rows, generator: normal(2, n_rows, model.posterior.n_noise, generator=generator),
        offset=0.0,
        tile=60,
    )
    rows = Batches(
        x,
        None,
        batch_size=16,
        device=x.device,
        dtype=x.dtype,
        prepare=None,
        augment=model.likelihood.augment,
    )
    step = GradientStep(loss, SOLVERS["adam"](flat), 0.02)
    records = list(epochs(step, rows, first=0, last=20, order=generator, generator=generator))
    values = torch.tensor([record[objective.monitor] for record in records])
    assert values[-5:].mean() > values[:5].mean()
    assert process_state() == before
