"""The fit of a stack of Boltzmann machines: stage after stage, each with its epochs."""

from copy import copy

from sklearn.utils import check_random_state

from skgen._files import digest
from skgen.estimators._arrays import as_array, resolve_device, seed_from
from skgen.estimators._density import DensityEstimator
from skgen.estimators._fitted import FittedModule
from skgen.estimators._iterative import Runtime
from skgen.estimators._params import layer_sizes
from skgen.estimators._rbm_rows import BinaryRows
from skgen.estimators._sklearn import _fit_context
from skgen.estimators._stack_run import StackRun
from skgen.estimators._stack_stages import FineTuning, Layer, network_of
from skgen.estimators.rbm import RBM

SHARED = (
    "method",
    "n_gibbs",
    "n_chains",
    "center",
    "sparsity_target",
    "sparsity_cost",
    "solver",
    "learning_rate",
    "learning_rate_schedule",
    "momentum",
    "weight_decay",
    "max_grad_norm",
    "batch_size",
    "max_iter",
    "tol",
    "n_iter_no_change",
    "early_stopping",
    "validation_fraction",
    "warm_start",
    "device",
    "precision",
)
"""Parameters that every machine has from its stack."""


class StackLearner(DensityEstimator, FittedModule):
    """Base that owns the fit of a stack: its machines ``rbms_``, and ``_fine_tuned``, what came of learning them all.

    The latter is None while there is nothing but greedy learning.
    """

    _task_name = "epoch"

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, sample_weight=None):
        """Fit the machines one after the other, and then all of them if that is asked for.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of rows; a zero weight leaves a row out.

        Returns
        -------
        self : object
            The fitted estimator. Where the fit was interrupted, it has the layers that were begun.
        """
        return self._fit(X, y, {"sample_weight": sample_weight})

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, *, sample_weight=None):
        """Continue with one pass of every machine over a chunk of rows, of any size.

        A machine learns from what those below it make of the rows after their own pass. A stack that is fine-tuned
        has a pass of fine-tuning instead.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
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
        return self._partial_fit(X, {"sample_weight": sample_weight})

    # -- stages -------------------------------------------------------------------------------------------------------

    _row_checks = {"accept_sparse": "csr"}

    def _in_support(self, X, *, training):
        return BinaryRows().checked(self, X) if self.visible == "bernoulli" else X

    def _prepare(self, X, metadata, *, fresh):
        X = self._check_rows(X, training=True, reset=fresh)
        return X, metadata, (X, metadata["sample_weight"])

    def _start(self, data, *, fresh, partial=False):
        random_state = check_random_state(self.random_state)
        before = None if fresh else self._fine_tuned
        if fresh:
            self._dtype = data[0].dtype.name
            self._score_seed = seed_from(random_state)
        stages = [] if before else self._layers(data, random_state, fresh=fresh, partial=partial)
        if before or (self.fine_tuning is not None and not partial):
            machines = self.rbms_ if before else [layer.machine for layer in stages]
            stages.append(self._fine_tuning(data, machines, before or {}, random_state, partial=partial))
        # Only a checkpoint asks for it, which a chunk has none of; a long history takes long to digest.
        origin = "" if fresh or partial else digest([self.weights_, self.history_])
        return StackRun(stages, resolve_device(self.device), origin=origin, before=self.history_ if before else None)

    def _fine_tuning(self, data, machines, before, random_state, *, partial):
        """The stage that learns all machines together, from what they have learnt or from where it was before."""
        return FineTuning(
            self,
            lambda: network_of(machines, before.get("weights")),
            data,
            number=len(machines) + 1,
            before=before.get("training_state", {}),
            partial=partial,
            random_state=random_state,
        )

    def _layers(self, data, random_state, *, fresh, partial):
        """A stage for every machine."""
        sizes = layer_sizes(self.hidden_layer_sizes, "hidden_layer_sizes")
        if not sizes:
            raise ValueError("hidden_layer_sizes must name at least one layer, got none.")
        if not fresh and len(sizes) != len(self.rbms_):
            raise ValueError(
                f"A fitted stack of {len(self.rbms_)} layers cannot be continued with hidden_layer_sizes={sizes}. Set "
                "them back, or call fit with warm_start=False to start afresh."
            )
        layers = []
        for i, size in enumerate(sizes):
            parameters = self._machine_parameters(i, size)
            if fresh:
                machine = RBM(**parameters, random_state=seed_from(random_state))
            else:
                machine = copy(self.rbms_[i]).set_params(**parameters)
            source = layers[-1].features if layers else lambda: data
            layers.append(Layer(machine, source, number=i + 1, fresh=fresh, partial=partial))
        return layers

    def _machine_parameters(self, i, size):
        visible = {"visible": self.visible, "variance": self.variance} if i == 0 else {"visible": "bernoulli"}
        return visible | {"n_components": size} | {name: getattr(self, name) for name in SHARED}

    def _largest_gradient(self):
        return RBM(visible=self.visible, max_grad_norm=self.max_grad_norm)._largest_gradient()

    # -- the course of a fit ----------------------------------------------------------------------------------------

    def _most_tasks(self):
        layers = self.hidden_layer_sizes
        return (len(layers) if hasattr(layers, "__len__") else 1) + (self.fine_tuning is not None)

    def _take_records(self, run, context, hooks):
        while run.index < len(run.stages):
            stage = run.begin_stage()
            task = context.subcontext(task_name=stage.task_name, max_subtasks=stage.n_epochs)
            super()._take_records(run, task.call_on_fit_task_begin(**hooks), hooks)
            if run.interrupted:
                return
            run.end_stage()
            if task.call_on_fit_task_end(**hooks, reconstruction_attributes=lambda: self._snapshot(run)):
                return

    def _store(self, run):
        if run.current is not None:
            run.end_stage()
        super()._store(run)

    # -- fitted state ---------------------------------------------------------------------------------------------

    def _learnt(self, run):
        runs = [*run.runs, *[None] * (len(run.stages) - len(run.runs))]
        learnt = {"rbms_": [], "_fine_tuned": None}
        for stage, one in zip(run.stages, runs, strict=True):
            if isinstance(stage, FineTuning):
                learnt["_fine_tuned"] = None if one is None else stage.learnt(one)
            elif one is not None or not stage.fresh:
                learnt["rbms_"].append(stage.learnt(one))
        return learnt if learnt["rbms_"] else learnt | {"rbms_": self.rbms_}

    @property
    def weights_(self):
        """Parameters of the whole network by name."""
        if self._fine_tuned is not None:
            return dict(self._fine_tuned["weights"])
        return {name: as_array(value) for name, value in network_of(self.rbms_).state_dict().items()}

    def _build_model(self, n_features):
        return network_of(self.rbms_)

    def _fitted_model(self):
        return network_of(self.rbms_, None if self._fine_tuned is None else self._fine_tuned["weights"])

    @property
    def _top(self):
        """The machine on top as an estimator."""
        top = self.rbms_[-1]
        if self._fine_tuned is None:
            return top
        if "top" not in self._runtime.models:
            top = copy(top)
            weights = self._fine_tuned["weights"].items()
            top.weights_ = {name.removeprefix("top."): value for name, value in weights if name.startswith("top.")}
            top.chains_ = self._fine_tuned["chains"]
            top._log_partition = None
            top._runtime = Runtime()
            self._runtime.models["top"] = top
        return self._runtime.models["top"]
