"""From the parameters of an estimator that learns by variational EM to its parts, its loss and its answers."""

import functools

import numpy as np
import torch

from skgen._spec import resolve
from skgen.distributions.normal import standard_normal
from skgen.estimators._cells import check_cells
from skgen.estimators._columns import ColumnsEstimator
from skgen.estimators._inference import INFERENCES, Search, search_noise
from skgen.estimators._latent import LatentVariableEstimator
from skgen.estimators._loss import training_noise
from skgen.estimators._prior_components import PriorComponents
from skgen.estimators._prior_fit import AggregatedPosterior
from skgen.estimators._sklearn import validate_parameter_constraints
from skgen.estimators._unit_networks import UnitNetworks
from skgen.estimators._variational_em import VariationalLoss, drawn_seed
from skgen.estimators._variational_steps import VariationalSteps
from skgen.objectives import ELBO
from skgen.objectives.importance import elbo_parts
from skgen.priors import PRIORS, Normal, PriorSpec

GENERATORS = {**PRIORS, "normal": lambda: Normal(learned=True)}
"""Names of latent generators: the priors, of which the normal one is learnt."""
ROW_SOLVER = {"adamw": "adam"}
"""Solvers that differ in weight decay alone, of which posteriors have none."""
USED = ("inference", "e_solver", "learning_rate", "refine_steps", "kernel")
"""Parameters that each use of a fitted model asks for."""
N_VALIDATION_DRAWS = 16


def check_inference(inference, architecture):
    """Refuse a kind of inference that a model of some architecture has no parts for."""

    def suits(kind):
        has_encoder = architecture["encoder"] != "none" or not kind.encodes
        return has_encoder and kind.family in ("diagonal", architecture["family"])

    if not suits(INFERENCES[inference]):
        suitable = [name for name, kind in INFERENCES.items() if suits(kind)]
        raise ValueError(
            f"inference={inference!r} needs parts that the model was fitted without: choose one of {suitable}, or fit "
            "again."
        )


class GeneratorStart(AggregatedPosterior):
    """Starts the latent generator from draws of the posteriors that a kind of inference finds.

    Where the latent variables of all rows are known and stay so, a start that makes them less likely is undone.
    """

    def __init__(self, model, batches, seed, inference):
        super().__init__(model, batches, seed)
        self.inference = inference

    def posteriors(self, n_rows):
        x, weight = self._standardized(n_rows)
        return self.inference.parameters(self.model, x, self.seed), weight

    def __call__(self, completed=None):
        if completed is None or bool(self.prior.started):
            super().__call__()
            return
        with torch.no_grad():
            kept, z = [value.clone() for value in self.prior.parameters()], completed.draw(self.model.posterior).z
            before = self._mean_log_prob(z)
            super().__call__()
            if self._mean_log_prob(z) < before:
                for parameter, value in zip(self.prior.parameters(), kept, strict=True):
                    parameter.copy_(value)

    def _mean_log_prob(self, z):
        weight = self.batches.weight
        values = self.prior.log_prob(z).mean(0)
        return float((values if weight is None else weight.to(values) * values).mean())


class VariationalEstimator(UnitNetworks, VariationalSteps, PriorComponents, ColumnsEstimator, LatentVariableEstimator):
    """Base of the estimators of units that learn by variational EM; its subclass documents the parameters."""

    _prior_parameter = "latent_generator"
    _task_name = "epoch"
    _continued = {
        "n_units": "n_units",
        "unit_size": "unit_size",
        "encoder": "encoder",
        "decoder": "decoder",
        "image_shape": "image_shape",
        "encoder_sizes": "hidden_layer_sizes",
        "decoder_sizes": "decoder_hidden_layer_sizes",
        "activation": "activation",
        "family": "inference",
        "prior_": "latent_generator",
        "likelihood_": "likelihood",
    }
    momentum, weight_decay, learning_rate_schedule = 0.9, 0.0, "constant"
    conditional = False

    @property
    def _solvers(self):
        return {"e_solver": self.e_solver, "m_solver": self.m_solver}

    # -- the model ----------------------------------------------------------------------------------------------------

    def _decide(self):
        self.prior_ = resolve(self.latent_generator, GENERATORS, PriorSpec, "latent_generator")
        self.likelihood_ = self._read_likelihood
        self._architecture = self._network_sizes()
        if self.prior_.temperatures is not None and not self._sums:
            raise ValueError(
                "latent_generator='categorical' needs states that can be summed over: raise "
                f"latent_generator__max_states to n_categories ** {self._architecture['n_components']}, or have fewer "
                "units."
            )
        check_cells(self)

    def _kind(self):
        """How posteriors are found, by the parameters in force, which may have been set after the fit."""
        used = {name: getattr(self, name) for name in USED}
        constraints = {name: self._parameter_constraints[name] for name in USED}
        validate_parameter_constraints(constraints, used, caller_name=type(self).__name__)
        check_inference(self.inference, self._architecture)
        check_cells(self, "more than an encoder")
        solver = ROW_SOLVER.get(self.e_solver, self.e_solver)
        return INFERENCES[self.inference](Search(solver, self.refine_steps, self.learning_rate, self.kernel))

    # -- learning -----------------------------------------------------------------------------------------------------

    def _largest_batch(self, X):
        return len(X) if self.batch_size is None else super()._largest_batch(X)

    def _training_run(self, split, random_state, *, partial=False, **options):
        run = super()._training_run(split, random_state, partial=partial, **options)
        if partial:
            run.loss.n_rows = max(run.loss.n_rows, self.n_samples_seen_)
        return run

    def _run_of(self, model, split, random_state, **options):
        if self._kind().keeps:  # posteriors are kept by the number of the row
            split = *split, np.arange(len(split[0]))
        return super()._run_of(model, split, random_state, **options)

    def _schedule(self, loss, *, warm_up):
        loss.starts_at = self._pretraining_epochs() if warm_up else 0

    def _loss(self, model, batches, generator):
        kind = self._kind()
        noise, n_draws = self._training_noise(model, batches, generator, kind)
        start = GeneratorStart(model, batches, generator.initial_seed(), kind) if model.prior.starts_from_rows else None
        loss = functools.partial(
            VariationalLoss,
            model=model,
            batches=batches,
            inference=kind,
            frozen_noise=self._searches_lines,
            joint=self._joint,
            prior_start=start,
        )
        options = {"closed_kl": model.has_closed_kl(), "encoder_only": not self._joint}
        return self._terms_loss(model, batches, ELBO(), noise, n_draws, kind=loss, **options)

    def _training_noise(self, model, batches, generator, kind):
        """The noise of a run and its number of draws; a search for each row needs a block that bounds it."""
        if not (kind.keeps or self._searches_lines):
            options = {"line_search": False, "shared": batches.full, "any_draws": True}
            return training_noise(self.n_draws, model.posterior.n_noise, model.scale, generator, **options)
        block = search_noise(model, self._score_seed)  # the same in a fit that goes on
        if self._searches_lines:
            return lambda n_rows, generator: block, len(block)

        def fresh(n_rows, generator):
            return search_noise(model, drawn_seed(generator))

        return fresh, len(block)

    # -- use ----------------------------------------------------------------------------------------------------------

    def _posterior_parameters(self, model, x, condition=None):
        kind = self._kind()
        if not kind.by_row:
            return kind.parameters(model, x, self._score_seed)
        with torch.inference_mode(False):
            wide = self._module(np.float64)
        return kind.parameters(wide, x.to(wide.scale), self._score_seed).to(x)

    def _n_validation_draws(self):
        return N_VALIDATION_DRAWS

    def _validation_values(self, model, x, generator, *, shared=False):
        parameters = self._kind().parameters(model, x, self._score_seed)
        shape = (N_VALIDATION_DRAWS if shared else 1, 1 if shared else len(x), model.posterior.n_noise)
        noise = standard_normal(x.new_empty(shape), generator)
        return elbo_parts(model.terms_given(parameters, x, noise))["elbo"] + model.log_jacobian_of(x)
