"""What every estimator trained by gradients shares: from arrays to a training run, and back to arrays."""

import functools
from abc import abstractmethod

import numpy as np
import torch
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import validate_data

from skgen.estimators._arrays import DTYPES, RunningMoments, as_array, resolve_device, seed_from, tile_size
from skgen.estimators._data import (
    check_moments,
    clip_to_support,
    column_names,
    hold_out,
    training_batches,
    validator,
    weighted_rows,
)
from skgen.estimators._fitted import FittedNetworks
from skgen.estimators._loss import TermsLoss
from skgen.estimators._sklearn import _fit_context
from skgen.estimators._training import TrainingRun
from skgen.estimators._warnings import warn_user
from skgen.training.flat import FlatParameters
from skgen.training.optimizers import SOLVERS

CONTINUED = {
    "n_components": "n_components",
    "encoder_sizes": "hidden_layer_sizes",
    "decoder_sizes": "decoder_hidden_layer_sizes",
    "activation": "activation",
    "prior_": "prior",
    "likelihood_": "likelihood",
    "posterior_": "posterior",
}
"""What a fit that continues another must have in common with it, and the parameters that say so."""
STANDARDIZATION = ("shift", "scale", "input_scale", "input_ratio")
SMALLEST_SCALE = 1e-30
"""Rows with scales below, or above its inverse, are trained in float64, where the device has it."""


class NetworkEstimator(FittedNetworks):
    """Base of the estimators whose model is made of networks and trained by gradients."""

    _task_name = "epoch"

    @abstractmethod
    def _likelihood_spec(self):
        """The likelihood that the parameters name."""

    @abstractmethod
    def _decide(self):
        """Store specs and sizes as fitted attributes."""

    @abstractmethod
    def _loss(self, model, batches, generator):
        """The loss of a run."""

    @abstractmethod
    def _validation_values(self, model, x, generator, *, shared=False):
        """The monitored value of standardised rows, in the user's units; ``shared``: with noise that rows share."""

    @abstractmethod
    def _describe(self, model, X, weight):
        """Set the fitted attributes that need the training rows and their weights (None: equal)."""

    @property
    def score_measure(self):
        """What scores are relative to: "density", "mass" or "mixed"; nats compare only within one."""
        return self._likelihood_spec().build(1).measure

    def _units(self, model):
        """Factor and offset that turn a standardised log-density l into the reported ``factor * (l + offset)``."""
        return 1.0, float(model.log_jacobian)

    def _progress_unit(self, model):
        """What ``tol`` counts in, in the units of the reported value."""
        return 1.0

    def _terms_loss(self, model, batches, objective, noise, n_draws=1, **options):
        """The loss of an objective; ``options`` are those of the model's tracer."""
        low_precision = self.precision == "bfloat16" and not batches.full
        factor, offset = self._units(model)
        return TermsLoss(
            model.tracer(low_precision=low_precision, **options),
            objective,
            noise,
            offset=offset,
            factor=factor,
            tile=tile_size(n_draws * model.width, model.scale.itemsize),
        )

    def _n_validation_draws(self):
        """Draws per row in ``_validation_values``, for sizing tiles."""
        return 1

    def _schedule(self, loss, *, warm_up):
        """Set what changes in the loss from epoch to epoch; ``warm_up``: training starts from nothing."""

    # -- fitting --------------------------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, sample_weight=None, X_val=None):
        """Fit the model.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows. Read-only float32 memory maps are used without a copy, unless rows are held out of them.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of rows in the objective and in the scaling; a zero weight leaves a row out.
        X_val : array-like of shape (n_validation_samples, n_features), default=None
            Validation rows, in place of ``validation_fraction``; recorded in ``history_`` also without
            ``early_stopping``. They must be scaled as X is: in a Pipeline use
            ``Pipeline(..., transform_input=["X_val"])`` with metadata routing and ``set_fit_request(X_val=True)``.
            Given as ``step__X_val`` they arrive unscaled, and GridSearchCV cuts an ``X_val`` that has as many rows
            as X into folds.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        return self._fit(X, y, {"sample_weight": sample_weight, "X_val": X_val})

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, *, sample_weight=None):
        """Continue with one pass over a chunk of rows, of any size.

        Scales come from running moments; when they move, first and last layers are compensated, so that the
        function learnt so far is unchanged in the units of X. There is no warm-up of the KL.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            A chunk of training rows.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of rows within the chunk.

        Returns
        -------
        self : object
            The updated estimator.
        """
        return self._partial_fit(X, {"sample_weight": sample_weight, "X_val": None})

    def _prepare(self, X, metadata, *, fresh):
        X = self._check_rows(X, self._likelihood_spec(), reset=fresh)
        X_val = metadata["X_val"]
        X_val = None if X_val is None else self._check_validation_rows(X_val)
        rows, weight = weighted_rows(X, metadata["sample_weight"])
        return X, metadata | {"X_val": X_val}, (rows, weight, X_val)

    def _check_validation_rows(self, X_val):
        rows = check_array(X_val, dtype=[np.float64, np.float32], input_name="X_val")
        if rows.shape[1] != self.n_features_in_:
            raise ValueError(f"X_val has {rows.shape[1]} features, but X has {self.n_features_in_}.")
        validate_data(self, X_val, reset=False, skip_check_array=True)
        return clip_to_support(self, rows, self._likelihood_spec().build(1).support, self._likelihood_spec())

    def _start(self, data, *, fresh, partial=False):
        X, weight, X_val = data
        random_state = check_random_state(self.random_state)
        device = resolve_device(self.device)
        batch_size = len(X) if SOLVERS[self.solver].line_search else self.batch_size
        weight_val = None
        if X_val is None and self.early_stopping and not partial:
            together = len(X) <= batch_size
            X, weight, X_val, weight_val = hold_out(
                X, weight, self.validation_fraction, random_state, together=together
            )
        model = self._prepared_model(X, weight, random_state, fresh=fresh, partial=partial)
        model.encoder.shared_masks = model.decoder.shared_masks = len(X) <= batch_size
        model.to(device, self._training_dtype(X, batch_size, device))
        parameters = FlatParameters(model)
        order = torch.Generator().manual_seed(seed_from(random_state))
        generator = torch.Generator(device).manual_seed(seed_from(random_state))
        batches = training_batches(X, weight, batch_size, model, self._standardization)
        loss = self._loss(model, batches, generator)
        self._schedule(loss, warm_up=fresh and not partial)
        run = TrainingRun(
            model,
            parameters,
            loss,
            batches,
            order=order,
            generator=generator,
            validate=self._validator(X_val, weight_val, model, batches.full, seed_from(random_state)),
            settings=self,
            n_epochs=1 if partial else self.max_iter,
        )
        run.plateau.tol *= self._progress_unit(model)
        if not fresh:
            run.follow(self)
        return run

    def _prepared_model(self, X, weight, random_state, *, fresh, partial):
        """The model in float64, standardised for the rows (with ``partial``, for all seen so far)."""
        old = None if fresh else RunningMoments(**self._running_moments)
        moments = (old if partial and old else RunningMoments.empty(X.shape[1])).updated(X, weight)
        check_moments(self, moments)
        if not fresh:
            self._check_continues()
        else:
            self._decide()
            self._dtype = X.dtype.name
            self._score_seed = seed_from(random_state)
        model = self._initial_model(moments, old, seed_from(random_state))
        if SOLVERS[self.solver].line_search and (
            model.encoder.dropout or model.decoder.dropout or model.likelihood.redraws
        ):
            raise ValueError(
                f"solver={self.solver!r} needs the same loss at every evaluation: set dropout=0 and choose a "
                "likelihood that does not redraw rows, or use another solver."
            )
        self._standardization = {name: as_array(getattr(model, name)) for name in STANDARDIZATION}
        self._running_moments = vars(moments).copy()
        self.n_samples_seen_ = moments.n_rows
        return model

    def _check_continues(self):
        """Refuse parameters that mean another model than the fitted one; only dropout may change."""
        old = vars(self) | self._architecture
        self._decide()
        new = vars(self) | self._architecture
        changed = [
            f"{parameter} from {old[name]!r} to {new[name]!r}"
            for name, parameter in CONTINUED.items()
            if name in new and old[name] != new[name]
        ]
        if changed:
            raise ValueError(
                f"A fitted model cannot be continued with another architecture: {', '.join(changed)}. Set it back, or "
                "call fit with warm_start=False to start afresh."
            )

    def _validator(self, X_val, weight, model, shared, seed):
        """A function that computes the monitored value, or None without validation rows."""
        if X_val is None:
            return None
        values = functools.partial(self._validation_values, shared=shared)
        n_draws = self._n_validation_draws()
        return validator(X_val, weight, model, self._standardization, values, n_draws=n_draws, seed=seed, shared=shared)

    def _training_dtype(self, X, batch_size, device):
        wide = self.precision == "float64" or SOLVERS[self.solver].line_search
        if wide and device.type == "mps":
            raise ValueError(
                f"device='mps' has no float64, which precision={self.precision!r} with solver={self.solver!r} needs: "
                "choose another device."
            )
        wide |= device.type != "mps" and not self._fits_single_precision()
        one_batch = len(X) <= batch_size and device.type != "mps"
        return torch.float64 if wide or (one_batch and X.dtype == np.float64) else DTYPES[self.precision]

    def _fits_single_precision(self):
        """Whether float32 holds the standardisation with room to spare."""
        scales = np.concatenate([self._standardization[name] for name in STANDARDIZATION[1:]])
        return bool(((scales > SMALLEST_SCALE) & (scales < 1 / SMALLEST_SCALE)).all())

    def _initial_model(self, moments, old, seed):
        """The model in float64, standardised for the moments: new, or the fitted one compensated for the change."""
        mean, scale = torch.from_numpy(moments.mean), torch.from_numpy(moments.scale)
        only_constants = old is not None and old.constant.all() and not moments.constant.all()
        if old is not None and not only_constants:
            model = self._fitted_model()
            with torch.no_grad():
                model.restandardize(mean, scale, torch.from_numpy(old.constant & ~moments.constant))
            return model
        model = self._build_model(len(mean)).double()
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            model.encoder.reset(generator)
            model.decoder.reset(generator)
            model.initialize(mean, scale)
        if moments.constant.any() and moments.n_rows > 1:
            warn_user(
                f"Constant column(s) {column_names(self, moments.constant)} carry no information; they are "
                "reproduced as that constant, with the smallest variance allowed."
            )
        return model

    # -- fitted state ---------------------------------------------------------------------------------------------

    def _learnt(self, run):
        weights = {name: as_array(value) for name, value in run.model.state_dict().items()}
        return {"weights_": weights | self._standardization}

    def _describe_data(self, data):
        X, weight, _ = data
        self._describe(self._module(X.dtype), X, weight)

    def _doubts(self, run):
        if self.early_stopping and not run.converged and run.best_epoch == run.epoch:
            yield f"The best epoch is the last, {run.epoch}: validation was still improving. Raise max_iter."
