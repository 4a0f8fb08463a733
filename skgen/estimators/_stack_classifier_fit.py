"""The fit of a classifier that starts from a stack: pretraining, then back-propagation through all layers."""

import numpy as np
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from skgen.distributions.normal import positive_scale
from skgen.estimators._arrays import RunningMoments, as_array, as_tensor, resolve_device, seed_from
from skgen.estimators._data import held_out, numbered, split_rows, standardizer, training_batches, weighted_rows
from skgen.estimators._fitted import ModuleHolder
from skgen.estimators._labels import check_same_classes, labelled_mask
from skgen.estimators._params import layer_sizes
from skgen.estimators._softmax import SoftmaxLoss, mean_log_prob
from skgen.estimators._sparse import as_rows
from skgen.estimators._training import TrainingRun, training_dtype
from skgen.estimators.rbm_stack import RBMStack
from skgen.models.classifier import SoftmaxClassifier
from skgen.networks import MLP
from skgen.training.flat import FlatParameters
from skgen.training.optimizers import SOLVERS


class StackClassifierLearner(ModuleHolder):
    """Base that owns the fit: ``stack_``, and the network whose weights start from it."""

    _task_name = "epoch"

    # -- the stack ----------------------------------------------------------------------------------------------------

    def _frozen_stack(self):
        """The fitted stack that the parameter holds, or None."""
        if not isinstance(self.stack, FrozenEstimator):
            return None
        stack = self.stack.estimator
        if not isinstance(stack, RBMStack):
            raise ValueError(f"stack must be an RBMStack or a FrozenEstimator of one, got one of {stack!r}.")
        check_is_fitted(stack)
        return stack

    def _new_stack(self, seed):
        """An unfitted stack with the parameters of the one given, seeded where it has no seed."""
        given = self.stack.estimator if isinstance(self.stack, FrozenEstimator) else self.stack
        stack = RBMStack() if given is None else clone(given)
        return stack if stack.random_state is not None else stack.set_params(random_state=seed)

    def _plan(self):
        """Sizes of the hidden layers."""
        frozen = self._frozen_stack()
        if frozen is not None:
            return [machine._n_features_out for machine in frozen.rbms_]
        return list(layer_sizes(self._new_stack(0).hidden_layer_sizes, "hidden_layer_sizes"))

    # -- rows ---------------------------------------------------------------------------------------------------------

    _row_checks = {"accept_sparse": "csr"}

    def _in_support(self, X, *, training):
        return X

    def _prepare(self, X, metadata, *, fresh):
        given, labels = X, metadata.pop("y")
        X, y = validate_data(self, X, labels, reset=fresh, dtype=[np.float64, np.float32], **self._row_checks)
        if self._frozen_stack() is not None:
            validate_data(self._frozen_stack(), given, reset=False, skip_check_array=True)
        labelled = labelled_mask(labels, self.unlabelled)
        check_classification_targets(y[labelled])
        rows, weight = weighted_rows(as_rows(X), metadata["sample_weight"])
        kept, _ = weighted_rows(np.arange(len(y)), metadata["sample_weight"])
        y, labelled = y[kept], labelled[kept]
        if not labelled.any():
            raise ValueError(f"y has no class but unlabelled={self.unlabelled!r}: at least one row needs a label.")
        classes, codes = np.unique(y[labelled], return_inverse=True)
        if not fresh:
            check_same_classes(classes, self.classes_)
        self.classes_ = classes
        return X, metadata, (rows, weight, labelled, codes)

    # -- training -----------------------------------------------------------------------------------------------------

    def _start(self, data, *, fresh, partial=False):
        rows, weight, labelled, codes = data
        random_state, device = check_random_state(self.random_state), resolve_device(self.device)
        seeds = [seed_from(random_state) for _ in range(4)]
        X, weight = rows[labelled], None if weight is None else weight[labelled]
        X, weight, codes, validation = self._split(X, weight, codes, random_state)
        line_search = SOLVERS[self.solver].line_search
        batch_size = len(X) if line_search else self.batch_size
        if line_search and self.dropout:
            raise ValueError(f"solver={self.solver!r} needs the same loss at every evaluation: set dropout=0.")
        model = self._initial_model(rows, data[1], seeds[1], fresh=fresh)
        model.network.shared_masks = len(X) <= batch_size
        solvers = {"solver": self.solver}
        model.to(device, training_dtype(self.precision, solvers, X, device, one_batch=len(X) <= batch_size))
        parameters = FlatParameters(model)
        batches = training_batches(X, weight, batch_size, model, self._standardizer, None)
        batches.target = as_tensor(codes).to(batches.rows.device)
        run = TrainingRun(
            model,
            parameters,
            SoftmaxLoss(model, low_precision=self.precision == "bfloat16" and not batches.full),
            batches,
            order=torch.Generator().manual_seed(seeds[2]),
            generator=torch.Generator(device).manual_seed(seeds[3]),
            measures=self._measures(model, validation),
            validated=validation is not None,
            settings=self,
            n_epochs=self.max_iter,
        )
        run.pretraining = (rows, data[1], seeds[0]) if fresh else None
        if not fresh:
            run.follow(self)
            run.span = run.start, self.max_iter
        return run

    def _split(self, X, weight, codes, random_state):
        """Rows, weights and classes to learn from, and those to validate on, None without early stopping."""
        if not self.early_stopping:
            return X, weight, codes, None
        # Equal rows of a class stay on one side, so that a weight means repetition.
        together = len(X) <= self.batch_size
        group = numbered(np.column_stack([X[:], codes])) if together else np.arange(len(X))
        held = held_out(group, weight, self.validation_fraction, random_state)
        X, weight, X_val, weight_val = split_rows(X, weight, held)
        return X, weight, codes[~held], (X_val, weight_val, codes[held])

    def _initial_model(self, rows, weight, seed, *, fresh):
        """The network in float64, standardised; with random weights until pretraining gives it others."""
        if not fresh:
            if self._sizes != self._plan():
                raise ValueError(
                    f"A fitted network with hidden layers {self._sizes} cannot be continued with {self._plan()}. Set "
                    "the stack back, or call fit with warm_start=False to start afresh."
                )
            return self._fitted_model()
        self._sizes = self._plan()
        self._dtype = rows.dtype.name
        model = self._build_model(self.n_features_in_).double()
        shift, scale = self._column_scales(rows, weight)
        with torch.no_grad():
            model.network.reset(torch.Generator().manual_seed(seed))
            model.shift.copy_(shift)
            model.scale.copy_(scale)
            if self.pretrained and self._frozen_stack() is not None:
                model.load_layers(self._frozen_stack()._fitted_model())
        self._standardization = {"shift": as_array(shift), "scale": as_array(scale)}
        return model

    def _column_scales(self, rows, weight):
        """What columns are standardised with: what the stack does."""
        frozen = self._frozen_stack()
        if frozen is not None:
            return [torch.tensor(frozen.rbms_[0].weights_[name]).double() for name in ("shift", "scale")]
        zero = torch.zeros(self.n_features_in_, dtype=torch.float64)
        if self._new_stack(0).visible == "bernoulli":
            return zero, zero + 1
        moments = RunningMoments.empty(self.n_features_in_).updated(rows, weight)
        return torch.from_numpy(moments.mean), positive_scale(torch.from_numpy(moments.scale))

    def _standardizer(self, rows):
        return standardizer(self._standardization, rows)

    def _largest_gradient(self):
        return self.max_grad_norm

    def _measures(self, model, validation):
        if validation is None:
            return None
        X, weight, codes = validation
        measure = mean_log_prob(model, X, codes, weight, self._standardizer(as_tensor(X[:1])))
        return lambda: {"validation_log_likelihood": measure()}

    # -- the course of a fit ------------------------------------------------------------------------------------------

    def _most_tasks(self):
        return self.max_iter + 1

    def _take_records(self, run, context, hooks):
        task = context.subcontext(task_name="pretraining").call_on_fit_task_begin(**hooks)
        if run.pretraining is not None:
            self._pretrain(run, task, *run.pretraining)
            run.pretraining = None
        if not task.call_on_fit_task_end(**hooks, reconstruction_attributes=lambda: self._snapshot(run)):
            super()._take_records(run, context, hooks)

    def _pretrain(self, run, task, rows, weight, seed):
        """Fit the stack, unless it was given fitted, and hand its weights to the network, unless that has learnt."""
        self.stack_ = self._frozen_stack()
        if self.stack_ is not None or not self.pretrained:
            return
        self.stack_ = self._new_stack(seed)
        with task.propagate_callback_context(self.stack_):
            self.stack_.fit(getattr(rows, "matrix", rows), sample_weight=weight)
        if run.epoch == run.start:
            run.model.load_layers(self.stack_._fitted_model())

    # -- fitted state -------------------------------------------------------------------------------------------------

    def _build_model(self, n_features):
        return SoftmaxClassifier(MLP(n_features, self._sizes, len(self.classes_), "sigmoid", self.dropout))

    def _learnt(self, run):
        weights = {name: as_array(value) for name, value in run.model.state_dict().items()}
        return {"weights_": weights | self._standardization}

    def _doubts(self, run):
        if self.early_stopping and not run.converged and run.best_epoch == run.epoch:
            yield f"The best epoch is the last, {run.epoch}: validation was still improving. Raise max_iter."
