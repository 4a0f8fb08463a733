"""What every estimator trained by gradients shares: from arrays to a training run, and back to arrays."""

from abc import abstractmethod
from numbers import Integral

import numpy as np
import torch
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import validate_data

from skgen.estimators._arrays import RunningMoments, as_array, resolve_device, seed_from
from skgen.estimators._data import check_moments, column_names, hold_out, standardizer, training_batches, weighted_rows
from skgen.estimators._fitted import ModuleHolder
from skgen.estimators._sklearn import _fit_context
from skgen.estimators._sparse import as_rows
from skgen.estimators._training import TrainingRun, gradient_step, training_dtype
from skgen.estimators._warnings import warn_user
from skgen.training.flat import FlatParameters
from skgen.training.optimizers import SOLVERS
from skgen.training.schedules import warm_up_epochs

SMALLEST_SCALE = 1e-30
"""Rows with scales below, or above its inverse, are trained in float64, where the device has it."""


class GradientEstimator(ModuleHolder):
    """Base of the estimators that train a module by epochs of gradient steps, whatever the module is.

    The module is standardised by moments of columns, and names what it is standardised with in
    ``_standardization_names``. A subclass has the parameters of the groups OPTIMISATION, STOPPING and RUNTIME.
    """

    _task_name = "epoch"
    _standardization_names: tuple[str, ...] = ("shift", "scale")
    """Buffers of the model; after the first come scales."""
    _continued: dict[str, str]
    """What a fit that continues another must have in common with it, and the parameters that say so."""
    _constants_become = "reproduced as that constant"
    """What the warning that names constant columns says of them."""

    @abstractmethod
    def _decide(self):
        """Store specs and sizes as fitted attributes."""

    @abstractmethod
    def _start_model(self, model, moments, generator, *, partial):
        """Standardise a new model for the moments of columns, and draw its starting weights.

        ``partial`` says that they are the moments of a first chunk of rows, which may be few.
        """

    @abstractmethod
    def _move_model(self, model, moments, old):
        """Standardise a fitted model for new moments, and compensate what it has learnt for the change."""

    @abstractmethod
    def _loss(self, model, batches, generator):
        """The loss of a run."""

    @abstractmethod
    def _measures(self, loss, data, validation, model, *, shared, seed):
        """A function that computes what is recorded after each epoch, a dict of floats, or None.

        ``data`` and ``validation`` are rows and weights, the latter None without validation rows; ``shared`` says that
        rows share their noise, and ``seed`` is for noise that is the same in all epochs.
        """

    @abstractmethod
    def _describe(self, model, X, weight):
        """Set the fitted attributes that need the training rows and their weights (None: equal)."""

    def _progress_unit(self, model):
        """What ``tol`` counts in, in the units of the reported value."""
        return 1.0

    def _epochs(self, length):
        """A number of epochs (int), or a share of ``max_iter`` (float), as a number."""
        length = int(length) if isinstance(length, Integral) else float(length)
        return warm_up_epochs(length, self.max_iter)

    def _schedule(self, loss, *, warm_up):
        """Set what changes in the loss from epoch to epoch; ``warm_up``: training starts from nothing."""

    @property
    def _solvers(self):
        """The parameters that name solvers, and their values."""
        return {"solver": self.solver}

    @property
    def _searches_lines(self):
        """Whether a solver compares losses, so that it needs all rows, the same noise every time, and float64."""
        return any(SOLVERS[solver].line_search for solver in self._solvers.values())

    def _step(self, model, parameters, loss):
        """What each batch of a run is for."""
        return gradient_step(loss, parameters, self)

    def _largest_gradient(self):
        """Norm to which longer gradients are shortened, or None."""
        return self.max_grad_norm

    def _schedule_span(self, run, *, partial):
        """First epoch and length of the learning rate's schedule."""
        return run.start, self.max_iter

    def _share(self, model):
        """Make the rows of a batch share the random choices that the model makes in training."""

    def _augment(self, model, *, shared):
        """What redraws standardised rows, or None; ``shared``: with noise that rows share."""
        return

    def _standardizer(self, rows):
        """What standardises blocks of rows, in their dtype and place; None where there is nothing to do."""
        return standardizer(self._standardization, rows)

    def _moments(self, before, X, weight):
        """Moments of columns with rows added to those before, None where there are none."""
        return (before or RunningMoments.empty(X.shape[1])).updated(X, weight)

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

        Scales come from running moments; when they move, what was learnt is compensated, so that it is unchanged in
        the units of X. Nothing is warmed up.

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
        given, given_val = X, metadata["X_val"]
        X = self._check_rows(X, training=True, reset=fresh)
        X_val = None if given_val is None else self._check_validation_rows(given_val)
        rows, weight = weighted_rows(as_rows(X), metadata["sample_weight"])
        data = rows, weight, X_val if X_val is None else as_rows(X_val)
        if self._table is not None:  # callbacks hand rows to methods, which encode them
            X, X_val = given, given_val
        return X, metadata | {"X_val": X_val}, data

    def _check_validation_rows(self, X_val):
        shape = np.shape(X_val)
        if len(shape) == 2 and shape[1] != self.n_features_in_:
            raise ValueError(f"X_val has {shape[1]} features, but X has {self.n_features_in_}.")
        numbers = self._encode_rows(X_val, input_name="X_val")
        rows = check_array(numbers, dtype=[np.float64, np.float32], input_name="X_val", **self._row_checks)
        validate_data(self, X_val, reset=False, skip_check_array=True)
        return self._in_support(rows, training=True)

    def _start(self, data, *, fresh, partial=False):
        random_state = check_random_state(self.random_state)
        split = self._split(data, random_state, partial=partial)
        return self._training_run(split, random_state, fresh=fresh, partial=partial)

    def _largest_batch(self, X):
        return len(X) if self._searches_lines else self.batch_size

    def _split(self, data, random_state, *, partial):
        """Rows to train on and their weights, rows to validate on with theirs, or None, and targets where there are.

        Those of the rows to validate on stand behind their weights.
        """
        X, weight, X_val, *targets = data
        if X_val is not None or not self.early_stopping or partial:
            return X, weight, None if X_val is None else (X_val, None, *targets[1:]), *targets[:1]
        options = {"together": len(X) <= self._largest_batch(X), "target": targets[0] if targets else None}
        X, weight, X_val, weight_val, *targets = hold_out(X, weight, self.validation_fraction, random_state, **options)
        return X, weight, (X_val, weight_val, *targets[1:]), *targets[:1]

    def _training_run(self, split, random_state, *, fresh, partial=False, validation_seed=None):
        """A run on such rows; ``validation_seed`` is that of noise that is the same in all epochs, drawn if None."""
        X, weight, *_ = split
        resolve_device(self.device)
        model = self._prepared_model(X, weight, random_state, fresh=fresh, partial=partial)
        options = {"n_epochs": 1 if partial else self.max_iter, "warm_up": fresh and not partial}
        run = self._run_of(model, split, random_state, **options, validation_seed=validation_seed)
        if not fresh:
            run.follow(self)
        run.span = self._schedule_span(run, partial=partial)
        return run

    def _run_of(self, model, split, random_state, *, n_epochs, warm_up, validation_seed=None):
        """A run of a model as it is."""
        X, weight, validation, *target = split
        device, batch_size = resolve_device(self.device), self._largest_batch(X)
        shared = len(X) <= batch_size
        if shared:
            self._share(model)
        wide = not self._fits_single_precision()
        dtype = training_dtype(self.precision, self._solvers, X, device, one_batch=shared, wide=wide)
        model.to(device, dtype)
        parameters = FlatParameters(model)
        order = torch.Generator().manual_seed(seed_from(random_state))
        generator = torch.Generator(device).manual_seed(seed_from(random_state))
        augment = self._augment(model, shared=shared)
        batches = training_batches(X, weight, batch_size, model, self._standardizer, augment, *target)
        loss = self._loss(model, batches, generator)
        self._schedule(loss, warm_up=warm_up)
        seed = seed_from(random_state) if validation_seed is None else validation_seed
        run = TrainingRun(
            model,
            parameters,
            loss,
            batches,
            order=order,
            generator=generator,
            measures=self._measures(loss, (X, weight), validation, model, shared=batches.full, seed=seed),
            validated=validation is not None,
            settings=self,
            n_epochs=n_epochs,
            step=self._step(model, parameters, loss),
            solver="+".join(self._solvers.values()),
        )
        run.plateau.tol *= self._progress_unit(model)
        return run

    def _prepared_model(self, X, weight, random_state, *, fresh, partial):
        """The model in float64, standardised for the rows (with ``partial``, for all seen so far)."""
        old = None if fresh else RunningMoments(**self._running_moments)
        moments = self._moments(old if partial else None, X, weight)
        check_moments(self, moments)
        if not fresh:
            self._check_continues()
        else:
            self._decide()
            self._dtype = X.dtype.name
            self._score_seed = seed_from(random_state)
        model = self._initial_model(moments, old, seed_from(random_state), partial=partial)
        self._standardization = {name: as_array(getattr(model, name)) for name in self._standardization_names}
        self._running_moments = vars(moments).copy()
        self.n_samples_seen_ = moments.n_rows
        return model

    def _check_continues(self):
        """Refuse parameters that mean another model than the fitted one."""
        old = vars(self) | self._architecture
        self._decide()
        new = vars(self) | self._architecture
        changed = [
            f"{parameter} from {old[name]!r} to {new[name]!r}"
            for name, parameter in self._continued.items()
            if name in new and old[name] != new[name]
        ]
        if changed:
            raise ValueError(
                f"A fitted model cannot be continued with another architecture: {', '.join(changed)}. Set it back, or "
                "call fit with warm_start=False to start afresh."
            )

    def _fits_single_precision(self):
        """Whether float32 holds the standardisation with room to spare."""
        scales = np.concatenate([self._standardization[name] for name in self._standardization_names[1:]])
        return bool(((scales > SMALLEST_SCALE) & (scales < 1 / SMALLEST_SCALE)).all())

    def _initial_model(self, moments, old, seed, *, partial):
        """The model in float64, standardised for the moments: new, or the fitted one compensated for the change."""
        only_constants = old is not None and old.constant.all() and not moments.constant.all()
        if old is not None and not only_constants:
            model = self._fitted_model()
            with torch.no_grad():
                self._move_model(model, moments, old)
            return model
        model = self._build_model(self.n_features_in_).double()
        with torch.no_grad():
            self._start_model(model, moments, torch.Generator().manual_seed(seed), partial=partial)
        if moments.constant.any() and moments.n_rows > 1:
            self._warn_of_constants(moments)
        return model

    def _warn_of_constants(self, moments):
        warn_user(
            f"Constant column(s) {column_names(self, moments.constant)} carry no information; they are "
            f"{self._constants_become}."
        )

    # -- fitted state ---------------------------------------------------------------------------------------------

    def _learnt(self, run):
        weights = {name: as_array(value) for name, value in run.model.state_dict().items()}
        return {"weights_": weights | self._standardization}

    def _describe_data(self, data):
        X, weight, *_ = data
        self._describe(self._module(X.dtype), X, weight)

    def _doubts(self, run):
        if run.keep and not run.converged and run.best_epoch == run.epoch:
            yield f"The best epoch is the last, {run.epoch}: validation was still improving. Raise max_iter."
