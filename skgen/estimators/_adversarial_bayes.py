"""From the parameters of an estimator with an implicit posterior to its model, its losses, and its uses."""

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from skgen._spec import check_count, resolve
from skgen.distributions.normal import sobol_normal, standard_normal
from skgen.distributions.streams import Streams, row_keys
from skgen.estimators._arrays import tiles
from skgen.estimators._columns import ColumnsEstimator
from skgen.estimators._contrast import N_JUDGED, ContrastLoss, turns
from skgen.estimators._data import validator
from skgen.estimators._diagnostics import spread_rows
from skgen.estimators._latent import LatentVariableEstimator
from skgen.estimators._loss import training_noise
from skgen.estimators._params import layer_sizes
from skgen.estimators._prior_start import PriorStart
from skgen.estimators._training import SMOOTHED
from skgen.models.adversarial_bayes import AdversarialBayesModel
from skgen.networks import MLP
from skgen.objectives.density_ratio import PseudoELBO
from skgen.posteriors import POSTERIORS
from skgen.priors import PRIORS, PriorSpec

N_CODE = 16
"""Numbers by which the shape of a posterior depends on its row, besides its mean and scale."""
SMOOTH = "silu"
"""Activation of sampler and adversary, whose derivatives are those of draws and densities."""
FASTER = 2.0
"""Step size of the adversary in that of the model, where it is not given."""
N_MEASURED, N_MEASURED_DRAWS = 128, 16
"""Training rows that progress is measured on at most, and their draws."""
LOST = 1.0
"""Loss above which an adversary is far from one that knows nothing, whose loss is log 2."""
N_DESCRIBED = 2000
"""Training rows that the adversarial bound is reported of at most."""


class AdversarialBayesEstimator(ColumnsEstimator, LatentVariableEstimator):
    """Base of the estimators whose model is an :class:`~skgen.models.adversarial_bayes.AdversarialBayesModel`."""

    _continued = {
        **LatentVariableEstimator._continued,
        "family": "proposal",
        "n_noise": "n_noise",
        "jumps": "jumps",
        "sampler_sizes": "sampler_hidden_layer_sizes",
        "adversary_sizes": "adversary_hidden_layer_sizes",
    }
    solver, momentum = "adam", 0.0
    dropout, beta, refine_steps = 0.0, 1.0, 0

    # -- the model ----------------------------------------------------------------------------------------------------

    def _decide(self):
        self.prior_ = resolve(self.prior, PRIORS, PriorSpec, "prior")
        if self.prior_.has_categories:
            raise ValueError(
                "prior='categorical' has latent variables that are categories, of which noise makes no smooth draws: "
                "choose another prior, or VariationalAutoencoder."
            )
        self.likelihood_ = self._read_likelihood
        self._architecture = self._network_sizes()

    def _network_sizes(self):
        n_components = int(self.n_components)
        n_noise = n_components if self.n_noise is None else int(self.n_noise)
        if n_noise < n_components:
            raise ValueError(
                f"n_noise must be at least n_components={n_components}, since every latent variable has noise of its "
                f"own, got {n_noise}."
            )
        return super()._network_sizes() | {
            "family": self.proposal,
            "n_noise": n_noise,
            "jumps": bool(self.jumps),
            "sampler_sizes": layer_sizes(self.sampler_hidden_layer_sizes, "sampler_hidden_layer_sizes"),
            "adversary_sizes": layer_sizes(self.adversary_hidden_layer_sizes, "adversary_hidden_layer_sizes"),
        }

    def _build_model(self, n_features):
        a = self._architecture
        n_components = a["n_components"]
        prior = self.prior_.build(n_components)
        posterior = prior.adapted(POSTERIORS[a["family"]]().build(n_components))
        likelihood = self.likelihood_.build(n_features)
        n_inputs = likelihood.n_inputs + self._missing * n_features
        encoder, decoder = self._networks(n_inputs, 2 * n_components + N_CODE, n_components, likelihood.n_outputs)
        sampler = MLP(N_CODE + (1 + a["jumps"]) * a["n_noise"], a["sampler_sizes"], n_components, SMOOTH)
        adversary = MLP(N_CODE + n_components, a["adversary_sizes"], 1, SMOOTH)
        parts = encoder, decoder, prior, posterior, likelihood, sampler, adversary
        return AdversarialBayesModel(*parts, missing=self._missing, jumps=a["jumps"])

    # -- learning -----------------------------------------------------------------------------------------------------

    def _loss(self, model, batches, generator):
        noise, n_draws = self._training_noise(model, batches, generator, self.n_draws)
        loss = self._terms_loss(model, batches, PseudoELBO(), noise, n_draws, kind=ContrastLoss)
        loss.model = model
        loss.judge = model.adversary.tracer(input_gradient=False)
        loss.judged_noise = self._training_noise(model, batches, generator, N_JUDGED)[0]
        if model.prior.starts_from_rows:
            loss.prior_start = PriorStart(model, batches, generator.initial_seed())
        return loss

    def _schedule(self, loss, *, warm_up):
        super()._schedule(loss, warm_up=warm_up)
        loss.starts_at = self._epochs(self.shape_warmup) if warm_up else 0.0

    @staticmethod
    def _training_noise(model, batches, generator, n_draws):
        options = {"line_search": False, "shared": batches.full, "any_draws": True}
        return training_noise(n_draws, model.n_noise, model.scale, generator, **options)

    def _step(self, model, parameters, loss):
        rate = self.adversary_learning_rate
        rate = FASTER * self.learning_rate if rate is None else rate
        return turns(model, parameters, loss, self, n_adversary_steps=self.n_adversary_steps, adversary_rate=rate)

    def _measures(self, loss, data, validation, model, *, shared, seed):
        held = {} if validation is None else {"validation_bound": validation}
        if not (held and self.early_stopping):
            held["bound"] = spread_rows(*data, N_MEASURED)
        options = {"n_draws": N_MEASURED_DRAWS, "seed": seed, "shared": shared}
        measures = {
            name: validator(rows, weight, model, self._standardization, self._validation_values, **options)
            for name, (rows, weight) in held.items()
        }
        return lambda: {name: measure() for name, measure in measures.items()}

    def _validation_values(self, model, x, generator, *, shared=False):
        shape = N_MEASURED_DRAWS, 1, model.posterior.n_noise
        noise = standard_normal(x.new_empty(shape), generator)
        log_weight = model.terms(x, noise).log_weight
        return torch.logsumexp(log_weight, 0) - np.log(N_MEASURED_DRAWS) + model.log_jacobian_of(x)

    def _describe(self, model, X, weight):
        super()._describe(model, X, weight)
        rows, share = spread_rows(X, weight, N_DESCRIBED)
        noise = sobol_normal(self.n_score_draws, model.n_noise, self._score_seed).to(model.scale).unsqueeze(1)

        def pseudo(model, x):
            terms = model.pseudo_terms(x, noise)
            return [terms.mean_log_likelihood() - terms.kl_per_row() + model.log_jacobian_of(x)]

        values = self._map_rows(rows, pseudo, self.n_score_draws)[0]
        self.pseudo_elbo_ = float(np.average(values.astype(np.float64), weights=share))

    def _doubts(self, run):
        yield from super()._doubts(run)
        kept = run.best_epoch if run.keep else run.epoch
        if 0 <= kept - 1 < run.loss.starts_at:  # epochs begin at 0 there
            yield (
                f"The model is that of epoch {kept}, before posteriors had shapes of their own (after "
                f"{run.loss.starts_at:g} epochs): they are normal. Raise max_iter or lower shape_warmup."
            )
        losses = run.history.get("adversary", [])[run.start :][-SMOOTHED:]
        loss = float(np.mean(losses)) if losses else 0.0
        if loss > LOST:
            yield (
                f"The adversary has lost track: its loss is {loss:.3g}, where one that knows nothing has 0.693. The "
                "posteriors followed a wrong density. Lower adversary_learning_rate and learning_rate, or raise "
                "n_adversary_steps."
            )

    def _fitted_report(self):
        # Parts of the adversarial bound are no diagnosis of the model.
        return {name: value for name, value in super()._fitted_report().items() if name not in self.history_}

    # -- use ----------------------------------------------------------------------------------------------------------

    def sample_posterior(self, X, n_draws=1, *, random_state=None):
        """Draw latent variables from q(z | x), whatever its shape.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        n_draws : int, default=1
            Draws of each row. They depend on the row's values and on ``random_state`` alone.
        random_state : int, RandomState instance or None, default=None
            Source of the draws; None uses the estimator's own.

        Returns
        -------
        Z : ndarray of shape (n_draws, n_samples, n_components)
            Draws.
        """
        check_is_fitted(self)
        X = self._check_input(X)
        check_count(n_draws, "n_draws")
        seed = self._seed(random_state)

        def draws(model, x):
            streams, outputs, parts = Streams(row_keys(x, seed)), model.code(x), []
            for part in tiles(n_draws, len(x) * model.width, x.itemsize):
                noise = streams.normal_draws(part.stop - part.start, model.n_noise, x)
                parts.append(model.draws_given(outputs, noise))
            return [torch.cat(parts).transpose(0, 1)]

        return np.ascontiguousarray(self._map_rows(X, draws, n_draws)[0].swapaxes(0, 1))
