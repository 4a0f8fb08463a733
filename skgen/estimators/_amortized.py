"""From the parameters of an estimator with prior, posterior, likelihood and objective to its model and its loss."""

from skgen._spec import resolve
from skgen.distributions.normal import standard_normal
from skgen.estimators._annealing import TemperatureSchedule
from skgen.estimators._cells import check_cells
from skgen.estimators._columns import ColumnsEstimator
from skgen.estimators._information import CriticTraining
from skgen.estimators._latent import LatentVariableEstimator
from skgen.estimators._loss import no_noise, training_noise
from skgen.estimators._prior_fit import fit_prior, prior_weights
from skgen.estimators._prior_start import PriorStart
from skgen.estimators._resemblance import check_complete, report_of, resemblance
from skgen.estimators._restarts import Restarting
from skgen.models import LatentVariableModel
from skgen.objectives import ELBO, OBJECTIVES, Custom, TargetELBO
from skgen.objectives.resemblance import ResemblanceObjective
from skgen.posteriors import POSTERIORS, PosteriorSpec
from skgen.priors import PRIORS, NormalPrior, PriorSpec

SHARED_DRAWS = 16
"""Fewest draws that validation rows share in the fit of a single batch under the ELBO."""


class AmortizedEstimator(Restarting, ColumnsEstimator, LatentVariableEstimator):
    """Base of the estimators that assemble their model from the parts that their parameters name."""

    def _decide(self):
        self.prior_ = resolve(self.prior, PRIORS, PriorSpec, "prior")
        self.likelihood_ = self._read_likelihood
        self.posterior_ = resolve(self.posterior, POSTERIORS, PosteriorSpec, "posterior")
        self._architecture = self._network_sizes()
        self._resembling = self.reconstruction is not None
        check_cells(self)

    @property
    def score_kind(self):
        """What scores are: "pseudo" where training did not maximise a likelihood, "exact" for sums over few states."""
        if hasattr(self, "prior_"):
            pseudo, exact = self._resembling, self._sums
        else:
            spec = resolve(self.prior, PRIORS, PriorSpec, "prior")
            pseudo, exact = self.reconstruction is not None, spec.has_exact_sums(self.n_components)
        return "pseudo" if pseudo else "exact" if exact else "bound"

    def _build_model(self, n_features):
        n_components = self._architecture["n_components"]
        prior = self.prior_.build(n_components)
        posterior = prior.adapted(self.posterior_.build(n_components))
        likelihood = self.likelihood_.build(n_features)
        n_inputs = likelihood.n_inputs + self._missing * n_features
        n_latent = prior.n_latent + self._n_conditions
        networks = self._networks(n_inputs, posterior.n_parameters, n_latent, likelihood.n_outputs)
        return self._assembled(networks, prior, posterior, likelihood)

    def _assembled(self, networks, prior, posterior, likelihood):
        """The model of such parts."""
        return LatentVariableModel(*networks, prior, posterior, likelihood, missing=self._missing)

    def _initial_model(self, moments, old, seed, *, partial):
        model = super()._initial_model(moments, old, seed, partial=partial)
        if self.prior_fit == "aggregate":  # the networks know a standard normal prior only
            model.prior = NormalPrior(model.prior.n_components)
        return model

    def _learnt(self, run):
        learnt = super()._learnt(run)
        if self.prior_fit == "aggregate":
            prior = self.prior_.build(self._architecture["n_components"])
            prior.connect(run.model)
            prior.to(run.model.scale)
            fit_prior(prior, run.model, run.batches, seed=self._score_seed, n_epochs=self.max_iter)
            learnt["weights_"] |= prior_weights(prior)
        return learnt

    def _objective(self, model):
        if self.reconstruction is not None:
            name, read = report_of(self.reconstruction, self.n_features_in_)
            return ResemblanceObjective(name, read, self.free_bits, self._architecture["n_components"])
        if callable(self.objective):
            if model.missing:
                raise ValueError(
                    "X contains missing values, and the units of a row's log-weights depend on which, but objective is "
                    "a function of them: fill the values in, or choose objective='elbo'."
                )
            return Custom(self.objective, float(model.log_jacobian))
        if self.target_kl is not None:
            return TargetELBO(float(self.target_kl), float(self.beta))
        if self.objective == "elbo":
            return ELBO(self.free_bits, self._architecture["n_components"])
        return OBJECTIVES[self.objective]()

    def _loss(self, model, batches, generator):
        objective = self._objective(model)
        objective.try_out(self.n_draws)
        if self.reconstruction is not None:
            shape = self._image_shape()
            model.resemblance = resemblance(self.reconstruction, model, shape, self._running_moments)
        closed_kl = not objective.needs_log_weights and model.has_closed_kl()
        noise, n_draws = self._training_noise(model, batches, objective, generator)
        loss = self._terms_loss(model, batches, objective, noise, n_draws, closed_kl=closed_kl)
        if model.prior.starts_from_rows:
            loss.prior_start = PriorStart(model, batches, generator.initial_seed())
        if self.mutual_information_weight:
            loss.information = CriticTraining(model, self.mutual_information_weight, generator.initial_seed(), batches)
        if self.prior_.temperatures is not None and not self._sums:
            loss.annealing = TemperatureSchedule(model.posterior, *self.prior_.temperatures[:2])
        return loss

    def _training_noise(self, model, batches, objective, generator):
        """The noise of a run and its number of draws; sums over states need none."""
        if self._sums:
            return no_noise, 1
        return training_noise(
            self.n_draws,
            model.posterior.n_noise,
            model.scale,
            generator,
            line_search=self._searches_lines,
            shared=batches.full,
            any_draws=not objective.needs_log_weights,
        )

    def _schedule(self, loss, *, warm_up):
        super()._schedule(loss, warm_up=warm_up)
        if loss.annealing is not None and warm_up:
            loss.annealing.length = self._epochs(self.prior_.temperatures[2])

    def _n_validation_draws(self):
        return 1 if self._sums else max(self.n_draws, SHARED_DRAWS)

    def _validation_noise(self, model, objective, x, generator, *, shared):
        n_rows, n_draws = len(x), 1 if self._sums else self.n_draws
        if shared:
            n_rows, n_draws = 1, n_draws if objective.needs_log_weights else self._n_validation_draws()
        shape = (n_draws, n_rows, model.posterior.n_noise)
        return standard_normal(x.new_empty(shape), generator)

    def _validation_values(self, model, x, generator, *condition, shared=False):
        objective = self._objective(model)
        if self.reconstruction is not None:
            check_complete(x, self.reconstruction)
        if isinstance(objective, Custom):  # rows to validate on may be incomplete where those to train on are not
            objective.offset = model.log_jacobian_of(x)
        noise = self._validation_noise(model, objective, x, generator, shared=shared)
        value = objective.report(model.terms(x, noise, *condition))[objective.monitor]
        return value if objective.monitor in objective.unitless else value + model.log_jacobian_of(x)

    def _epochs(self, length):
        """As the base class does; none where solvers search along lines."""
        return 0.0 if self._searches_lines else super()._epochs(length)

    def _pretraining_epochs(self):
        return 0 if self.prior_fit == "aggregate" else super()._pretraining_epochs()
