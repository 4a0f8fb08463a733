"""How every estimator with an exact posterior learns: from rows to an EM run, and back to parameters."""

from abc import abstractmethod

import numpy as np
import torch
from sklearn.utils import check_random_state

from skgen.estimators._arrays import RunningMoments, as_array, seed_from
from skgen.estimators._data import check_moments, check_observed, column_names
from skgen.estimators._exact_fitted import FittedExact
from skgen.estimators._exact_run import ExactRun
from skgen.estimators._sklearn import _check_sample_weight, _fit_context
from skgen.estimators._warnings import warn_user
from skgen.training.em import EM_SOLVERS

FAR = 10.0
"""Standard deviations of a column's mean from 0 beyond which rows are centred."""
EARLY_ROWS = 1000
"""Rows that partial_fit learns from together before it goes on chunk by chunk."""
FEW_ROWS = 100
"""Rows of first chunks whose columns may be constant by chance."""
EARLY_GROWTH = 1.1
"""How many times as many rows there have to be before partial_fit learns from all that it keeps again."""
EARLY_ITERATIONS = 20


class ExactEstimator(FittedExact):
    """Base of the estimators whose model is an :class:`~skgen._exact_model.ExactModel`: how they learn.

    A subclass has the parameters named in ``EXACT_OPTIMISATION``, ``EXACT_STOPPING`` and ``EXACT_RUNTIME``.
    """

    _fixed_parameters: tuple[str, ...] = ("n_components",)
    """Parameters that a fit which continues another cannot change."""

    # -- what a subclass fills in -----------------------------------------------------------------------------------

    @abstractmethod
    def _initial_parameters(self, model, rows, random_state):
        """Where learning starts, as the model's parameters."""

    def _decide(self, rows, moments):
        """Store what follows from the parameters and the training rows, before the model is built."""

    def _repair(self, model, rows):
        """A function that replaces degenerate parameters after an M-step, or None."""
        return

    def _presented(self, run, values):
        """Parameters, or statistics, that a run ends with, as users are given them."""
        return values

    def _solver_name(self):
        """The entry of ``EM_SOLVERS`` that ``fit`` learns with."""
        return self.solver

    def _n_early_rows(self):
        """Number of rows that ``partial_fit`` learns from together."""
        return EARLY_ROWS

    # -- fitting ----------------------------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, sample_weight=None):
        """Fit the model by maximum likelihood, or at the mode of the posterior where there is a prior.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows; NaN marks entries that are missing at random.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of rows: 0 leaves a row out, a whole number is the row repeated.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        return self._fit(X, y, {"sample_weight": sample_weight})

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, *, sample_weight=None):
        """Learn from a chunk of rows, of any size.

        The first thousand rows or so are kept and learnt from together, by EM. After them each chunk is learnt from
        once, by online EM.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            A chunk of training rows; NaN marks entries that are missing at random.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of rows.

        Returns
        -------
        self : object
            The updated estimator.
        """
        return self._partial_fit(X, {"sample_weight": sample_weight})

    def _prepare(self, X, metadata, *, fresh):
        X = self._check_rows(X, reset=fresh)
        weight = metadata["sample_weight"]
        if weight is None:
            return X, metadata, (X, None)
        weight = _check_sample_weight(weight, X, dtype=np.float64, ensure_non_negative=True)
        kept = weight > 0
        data = (X, weight) if kept.all() else (X[kept], weight[kept])
        return X, metadata | {"sample_weight": weight}, data

    def _start(self, data, *, fresh, partial=False):
        if not partial:
            vars(self).pop("_early", None)
        early = partial and (fresh or hasattr(self, "_early"))
        X, weight = self._with_early(data, fresh) if early else data
        known = not fresh and not (early and self._grown(len(X)))
        random_state = check_random_state(self.random_state)
        device = self._training_device()
        if known:
            self._check_continues()
        else:
            self._look_at(X, weight, partial=partial)
        model = self._build_model(X.shape[1])
        rows = self._rows(X, weight, device, model, single=model.takes_single)
        name = ("em" if early else "online") if partial else self._solver_name()
        start = self._tensors(device) if known else self._initial_parameters(model, rows, random_state)
        generator = torch.Generator(device).manual_seed(seed_from(random_state))
        solver = self._solver(name, model, rows, start, generator, self._options(name, partial))
        n_iterations = ((0 if known else EARLY_ITERATIONS) if early else 1) if partial else self.max_iter
        run = ExactRun(name, solver, 0.0 if partial and not early else self.tol, n_iterations)
        self._n_before = 0 if fresh or not partial else self.n_samples_seen_
        if partial and not early:
            statistics, n_averaged = self._average
            solver.resume({name: torch.tensor(value) for name, value in statistics.items()}, n_averaged)
        if known:
            run.follow(self)
        return run

    def _solver(self, name, model, rows, start, generator, options):
        """A solver at its start."""
        repair = self._repair(model, rows)
        try:
            return EM_SOLVERS[name](model, rows, start, generator=generator, repair=repair, **options)
        except torch.linalg.LinAlgError as error:
            raise ValueError(
                "The covariance that a component starts with is singular: there are too few different rows, or columns "
                "depend on each other. Raise reg_covar, set a prior, or choose fewer components or a covariance with "
                "fewer parameters."
            ) from error

    def _check_continues(self):
        """Refuse parameters that mean another model than the fitted one."""
        changed = [
            f"{name} from {value!r} to {getattr(self, name)!r}"
            for name, value in getattr(self, "_chosen_sizes", {}).items()
            if getattr(self, name) != value
        ]
        if changed:
            raise ValueError(
                f"A fitted model cannot be continued with another architecture: {', '.join(changed)}. Set it back, or "
                "call fit with warm_start=False to start afresh."
            )

    def _with_early(self, data, fresh):
        """A chunk, and before it the rows that partial_fit has kept; kept in turn until there are enough."""
        X, weight = data if fresh else _stacked(self._early[:2], data)
        if len(X) < self._n_early_rows():
            self._early = X, weight, 0 if fresh else self._early[2]
        elif not fresh:
            del self._early
        return X, weight

    def _grown(self, n_rows):
        """Whether there are enough new rows to learn from all rows kept, rather than to keep them only."""
        if hasattr(self, "_early") and n_rows < EARLY_GROWTH * self._early[2]:
            return False
        if hasattr(self, "_early"):
            self._early = *self._early[:2], n_rows
        return True

    def _look_at(self, X, weight, *, partial=False):
        """Refuse or mention what a model cannot be learnt from, and choose the center."""
        moments = RunningMoments.empty(X.shape[1]).updated(X, weight)
        check_observed(self, moments)
        self._check_columns(moments, partial=partial)
        scale = np.where(moments.constant, np.abs(moments.mean) / (2 * FAR), moments.scale)
        far = bool((np.abs(moments.mean) > FAR * scale).any())
        self._dtype = X.dtype.name
        self._chosen_sizes = {name: getattr(self, name) for name in self._fixed_parameters}
        self.center_ = moments.mean if far else np.zeros_like(moments.mean)
        self._decide((X, weight), moments)

    def _check_columns(self, moments, *, partial=False):
        """Refuse columns whose variance is beyond float64, and mention constant ones; not in a first few rows."""
        check_moments(self, moments)
        if moments.constant.any() and moments.n_rows > (FEW_ROWS if partial else 1):
            warn_user(
                f"Constant column(s) {column_names(self, moments.constant)} carry no information; their variance is "
                "the smallest allowed."
            )

    def _options(self, name, partial):
        """What a solver takes beyond what all of them take."""
        return {
            "online": {
                "batch_size": self.batch_size,
                "learning_decay": self.learning_decay,
                "learning_offset": self.learning_offset,
                "total_weight": float(self.total_samples) if partial else None,
            },
            "mcem": {"n_warmup": self.max_iter // 2},
            "gradient": {"method": self.gradient_method, "learning_rate": self.learning_rate},
        }.get(name, {})

    def _learnt(self, run):
        # The last parameters have not been visited by an E-step yet: their bound is what is reported, and their
        # statistics are what partial_fit goes on from, unless it has statistics of all rows before.
        solver = run.solver
        parameters = self._presented(run, solver.parameters)
        statistics, value = solver.expectation(parameters)
        weight = solver.expectation.weight
        average = {name: each / weight for name, each in statistics.items()}, float(len(solver.rows))
        if run.name == "online" and solver.statistics:
            average = self._presented(run, solver.statistics), solver.n_seen
        return {
            "parameters_": {name: as_array(each) for name, each in parameters.items()},
            "lower_bound_": value,
            "_average": ({name: as_array(each) for name, each in average[0].items()}, average[1]),
        }

    def _doubts(self, run):
        if not run.converged and not run.interrupted and self.tol > 0:
            yield (
                f"EM did not converge in {run.epoch - run.start} iterations: the bound still rose by more than "
                f"tol={self.tol:g} nats per row. Raise max_iter, or tol, or choose solver='em-accelerated'."
            )

    def _describe_data(self, data):
        self.n_samples_seen_ = self._n_before + len(data[0])


def _stacked(early, data):
    """Rows and weights of two chunks together."""
    X = np.concatenate([early[0], data[0]])
    if early[1] is None and data[1] is None:
        return X, None
    weights = [np.ones(len(rows)) if weight is None else weight for rows, weight in (early, data)]
    return X, np.concatenate(weights)
