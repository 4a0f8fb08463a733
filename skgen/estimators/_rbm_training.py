"""How a Boltzmann machine is put together from its parameters, and trained."""

import numpy as np
import torch

from skgen.estimators._arrays import as_array
from skgen.estimators._contrastive import ContrastiveLoss
from skgen.estimators._negative_phases import NEGATIVE_PHASES
from skgen.estimators._rbm_fitted import FittedMachine
from skgen.estimators._rbm_monitor import monitor
from skgen.estimators._rbm_rows import BinaryRows, CategoricalRows, RealRows
from skgen.models.energy import RestrictedBoltzmannMachine
from skgen.units import HIDDEN_UNITS, VISIBLE_UNITS

UNBOUNDED_GRADIENT = 1.0
"""Default of the largest norm of a gradient where some units are unbounded."""
CONFINED_GRADIENT = 0.1
"""The same where both layers are, so that weights are confined to norms below 1, and steps must be small to that."""


class TrainedMachine(FittedMachine):
    """Base that assembles the machine which the parameters describe; its subclass names and documents them."""

    # -- assembly ---------------------------------------------------------------------------------------------------

    _constants_become = "modelled as that constant and noise, which has variance 1 until learning lowers it"
    _continued = {name: name for name in ("n_components", "visible", "hidden", "variance")}

    def _decide(self):
        if self.sparsity_target is not None and self.hidden != "bernoulli":
            raise ValueError(f"sparsity_target needs hidden='bernoulli', got hidden={self.hidden!r}.")
        if self.method == "exact" and not self._all_linear():
            raise ValueError(
                "method='exact' needs visible='gaussian' and hidden='gaussian', got "
                f"visible={self.visible!r} and hidden={self.hidden!r}."
            )
        self._architecture = {
            "n_components": int(self.n_components),
            "visible": self.visible,
            "hidden": self.hidden,
            "variance": self.variance,
        }

    def _all_linear(self):
        return self.visible == self.hidden == "gaussian"

    def _method(self):
        """The method that "auto" stands for."""
        if self.method != "auto":
            return self.method
        return "exact" if self._all_linear() else "pcd"

    def _build_model(self, n_features):
        a = self._architecture
        return RestrictedBoltzmannMachine(
            VISIBLE_UNITS[a["visible"]](self._kind.sizes(n_features)),
            HIDDEN_UNITS[a["hidden"]](a["n_components"]),
            variance=a["variance"],
        )

    @property
    def _visible(self):
        """Name of the visible units: of a fitted machine, its own."""
        return self._architecture["visible"] if hasattr(self, "_architecture") else self.visible

    @property
    def _kind(self):
        """What the visible units make of rows."""
        if self._visible == "categorical":
            return CategoricalRows(self.categories_)
        return RealRows() if self._visible == "gaussian" else BinaryRows()

    # -- rows -------------------------------------------------------------------------------------------------------

    _row_checks = {"accept_sparse": "csr"}

    def _in_support(self, X, *, training):
        # Which codes there are is known only when rows of weight 0 are gone.
        return X if training and self._visible == "categorical" else self._kind.checked(self, X)

    def _prepare(self, X, metadata, *, fresh):
        if fresh:  # what was fitted before says nothing about these rows
            for name in ("_architecture", "categories_"):
                vars(self).pop(name, None)
        X, metadata, data = super()._prepare(X, metadata, fresh=fresh)
        if self._visible == "categorical":
            rows, _, X_val = data
            if fresh:
                self.categories_ = CategoricalRows.learnt(self, rows, self.categories).categories
            for part in (rows, X_val):
                if part is not None:
                    self._kind.checked(self, part[:])
        return X, metadata, data

    def _standardize(self, model, rows):
        return model.standardize(self._kind.encode(rows))

    def _restore(self, model, v):
        """Visible states, or their means, in the units of X."""
        return self._kind.decode(model.restore(v))

    def _decode(self, model, z):
        return self._restore(model, model.visible_mean(z))

    def _moments(self, before, X, weight):
        return self._kind.moments(before, X, weight)

    def _standardizer(self, rows):
        return self._kind.encode if self.visible == "categorical" else super()._standardizer(rows)

    # -- training ---------------------------------------------------------------------------------------------------

    def _start(self, data, *, fresh, partial=False):
        run = super()._start(data, fresh=fresh, partial=partial)
        if not fresh and not hasattr(self, "training_state_") and self.chains_ is not None:
            run.loss.load({"chains": torch.tensor(self.chains_)})
        return run

    def _start_model(self, model, moments, generator, *, partial):
        model.initialize(*self._kind.start(moments, partial=partial), generator)

    def _move_model(self, model, moments, old):
        self._kind.move(model, moments, old)

    def _warn_of_constants(self, moments):
        if self.visible == "gaussian":
            super()._warn_of_constants(moments)

    def _largest_gradient(self):
        if self.max_grad_norm != "auto":
            return self.max_grad_norm
        unbounded = (self.visible == "gaussian") + (self.hidden != "bernoulli")
        return (None, UNBOUNDED_GRADIENT, CONFINED_GRADIENT)[unbounded]

    def _schedule_span(self, run, *, partial):
        # A schedule is that of one long run: a warm start goes on in its middle, and chunks have no end.
        return (run.start, np.inf) if partial else (0, run.start + self.max_iter)

    def _loss(self, model, batches, generator):
        model.low_precision = self.precision == "bfloat16" and not batches.full
        center = self._kind.center(self._running_moments["mean"]).to(model.weight)
        phase = NEGATIVE_PHASES[self._method()](
            model,
            n_gibbs=self.n_gibbs,
            n_chains=self.n_chains,
            base_bias=model.visible.initial_bias(center),
            full=batches.full,
        )
        phase.begin(generator)
        return ContrastiveLoss(
            model,
            phase,
            visible_center=center if self.center else None,
            sparsity_target=self.sparsity_target,
            sparsity_cost=self.sparsity_cost,
        )

    def _measures(self, loss, data, validation, model, *, shared, seed):
        return monitor(self, loss, data, validation, model, seed)

    # -- fitted state -----------------------------------------------------------------------------------------------

    def _learnt(self, run):
        run.loss.project()
        chains = run.loss.phase.hidden_states()
        return super()._learnt(run) | {"chains_": None if chains is None else as_array(chains)}

    def _describe(self, model, X, weight):
        self._log_partition = None

    # -- scores -----------------------------------------------------------------------------------------------------

    @property
    def score_measure(self):
        """What scores are relative to: "density", or "mass" for discrete units."""
        return VISIBLE_UNITS[self._visible].measure

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.categorical = self.visible == "categorical"
        return tags
