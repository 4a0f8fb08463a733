"""What every mixture estimator shares: starts, labels, draws and criteria."""

from dataclasses import replace

import numpy as np
import torch
from scipy.special import entr

from skgen._spec import check_count
from skgen.estimators._arrays import as_array, seed_from
from skgen.estimators._exact_estimator import ExactEstimator
from skgen.estimators._repairs import Repairs
from skgen.training import clusters
from skgen.training.em import BatchEM
from skgen.training.representatives import representatives, thinned

START_ROWS, START_ENTRIES = 2000, 2**16
"""Candidates for a start are found on rows of so many entries, but on so many rows at least, and as many again for ten
components."""
TRIAL_ROWS = 20000
"""Rows that the best candidates are compared on."""
FIRST_ITERATIONS, FINALISTS = 5, 2
"""Iterations of EM after which candidates are compared first where there are more rows, and how many are left then."""
TRIAL_ITERATIONS = 5
"""Iterations of EM after which the rest are compared."""
KMEANS_ITERATIONS = 15
TRIAL_WORK = 2**36
"""Rows times parameters, summed over candidates and iterations, that a comparison may cost: seconds on one core."""
SAME_BOUND = 1e-9
"""Relative difference of bounds that is rounding."""
RESTARTS = 3
"""Least number of restarts of k-means."""


class StartedMixture(ExactEstimator):
    """Starts, labels and draws of a mixture; a subclass has the parameters named in ``STARTED_MIXTURE``.

    Its model is a :class:`~skgen.models.components.MixtureModel`; its posterior has ``responsibilities``.
    """

    def _decide(self, data, moments):
        n_rows = len(data[0])
        if hasattr(self, "_early"):
            # The first rows of many that partial_fit will see.
            self.n_components_ = min(self.n_components, n_rows)
            return
        if n_rows < max(2, self.n_components):
            raise ValueError(
                f"Expected n_samples >= max(2, n_components) but got n_components = {self.n_components}, n_samples = "
                f"{n_rows}. Lower n_components or pass more rows."
            )
        self.n_components_ = self.n_components

    def _n_early_rows(self):
        return super()._n_early_rows() + 20 * self.n_components

    # -- starts -----------------------------------------------------------------------------------------------------

    def _initial_parameters(self, model, rows, random_state):
        """The best of some candidates after a few iterations of EM: all on few rows, the best of them on more."""
        generator = torch.Generator().manual_seed(seed_from(random_state))
        k = self.n_components_
        x, weight = representatives(rows.x, rows.weight, TRIAL_ROWS, generator=generator)
        n_few = max(START_ROWS * (1 + k // 10), START_ENTRIES // rows.n_features)
        few = self._some(rows, *thinned(x, weight, n_few, generator=generator))
        fewer = len(few) < len(x)
        # Where few rows stand for many, trying more candidates costs little beside the fit itself.
        more = fewer and self._n_affordable(model, few, 2 * RESTARTS) >= FIRST_ITERATIONS
        candidates = self._candidates(model, few, max(self.n_init, 2 * RESTARTS if more else 1), generator)
        if fewer and len(candidates) > FINALISTS:
            n_iterations = min(FIRST_ITERATIONS, max(1, self._n_affordable(model, few, len(candidates))))
            candidates = self._best(model, few, candidates, n_iterations, FINALISTS)
        if len(candidates) == 1:
            return candidates[0]
        some = self._some(rows, x, weight)
        if fewer and not self._n_affordable(model, some, len(candidates)):
            some = few
        n_iterations = min(TRIAL_ITERATIONS, max(1, self._n_affordable(model, some, len(candidates))))
        return self._best(model, some, candidates, n_iterations, 1)[0]

    @staticmethod
    def _n_affordable(model, rows, n_candidates):
        """Iterations of so many candidates that ``TRIAL_WORK`` is enough for."""
        return TRIAL_WORK // (model.n_parameters() * len(rows) * n_candidates)

    @staticmethod
    def _some(rows, x, weight):
        """Rows that stand for all, in the tiles and about the center of all."""
        return replace(rows, x=x, weight=weight, single=False)

    def _candidates(self, model, rows, n_candidates, generator):
        """Parameters of M-steps on the partitions of smallest inertia, in whitened coordinates and in X's own."""
        k = self.n_components_
        ways = (True, False) if self.whiten_init == "auto" and k > 1 else (self.whiten_init is not False,)
        n_each = -(-n_candidates // len(ways)) if k > 1 else 1
        candidates = []
        for whiten in ways:
            start = clusters.start(
                rows.x,
                rows.weight,
                k,
                init=self.init_params,
                whiten=whiten,
                n_restarts=max(n_each, RESTARTS) if k > 1 else 1,
                n_iter=KMEANS_ITERATIONS,
                generator=generator,
            )
            x = start.x if rows.center is None else start.x - rows.center
            x = torch.where(x.isnan(), torch.nanmean(x, 0), x)
            shares = start.responsibilities[:n_each] * start.weight.unsqueeze(1)
            candidates += [model.from_responsibilities(each.T, x) for each in shares]
        return candidates

    def _best(self, model, rows, candidates, n_iterations, n_best):
        """The candidates of highest bound after some iterations, best first.

        The first of equals comes first: rounding does not choose between candidates that are the same partition.
        """
        tried = [self._tried(model, rows, candidate, n_iterations) for candidate in candidates]
        best = []
        while tried and len(best) < n_best:
            highest = max(bound for _, bound in tried)
            same = highest - SAME_BOUND * (1 + abs(highest))
            place = next(i for i, (_, bound) in enumerate(tried) if bound >= same or highest == -np.inf)
            best.append(tried.pop(place)[0])
        return best

    def _tried(self, model, rows, parameters, n_iterations):
        """A candidate after some iterations, and the last bound; as it was where they fail."""
        try:
            solver = BatchEM(model, rows, parameters, generator=torch.Generator(), repair=self._repair(model, rows))
            bound = [solver.step() for _ in range(n_iterations)][-1]
            return solver.parameters, bound
        except (FloatingPointError, torch.linalg.LinAlgError):
            return parameters, -np.inf

    @property
    def _n_features_out(self):
        return self.n_components_

    # -- use --------------------------------------------------------------------------------------------------------

    def predict_proba(self, X):
        """Probability of each component given a row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, NaN where an entry is missing.

        Returns
        -------
        responsibilities : ndarray of shape (n_samples, n_components)
            They add up to 1 in each row.
        """

        def shares(posterior, tile):
            # Rows whose squares are beyond float64 are equally far from all components.
            return [posterior.responsibilities(tile).nan_to_num(nan=1 / self.n_components_)]

        return self._map_rows(X, shares)[0]

    def predict(self, X):
        """Most probable component of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, NaN where an entry is missing.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Numbers of components.
        """
        return self.predict_proba(X).argmax(axis=1)

    def fit_predict(self, X, y=None, *, sample_weight=None):
        """Fit, and give the most probable component of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Numbers of components.
        """
        return self.fit(X, sample_weight=sample_weight).predict(X)

    def transform(self, X):
        """Posterior mean of the latent variable: the responsibilities of the components.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, NaN where an entry is missing.

        Returns
        -------
        responsibilities : ndarray of shape (n_samples, n_components)
            Probability of each component.
        """
        return self.predict_proba(X)

    def sample(self, n_samples=1, random_state=None):
        """Draw rows from the mixture.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        random_state : int, RandomState instance or None, default=None
            Source of the draws; None uses the estimator's own, whose integer value repeats its draws.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Independent draws, in the order of their components.
        labels : ndarray of shape (n_samples,)
            Component of each draw.
        """
        check_count(n_samples, "n_samples")
        model, _, device = self._fitted()
        x, labels = model.sample(self._tensors(device), n_samples, self._generator(random_state, device))
        return self._cast(as_array(x) + self.center_), as_array(labels)

    @property
    def means_(self):
        """Means of the components, (n_components, n_features)."""
        return self._cast(self.parameters_["means"] + self.center_)

    @property
    def lower_bounds_(self):
        """The bound at the start of each iteration, in nats per row."""
        return list(self.history_["lower_bound"])


class MixtureEstimator(StartedMixture):
    """Base of the mixtures that are fitted by likelihood; a subclass has the parameters named in ``MIXTURE``.

    Its model is a :class:`~skgen.models.components.RepairableMixture`.
    """

    def _repair(self, model, rows):
        return Repairs(model, rows, self.on_degenerate)

    def _presented(self, run, values):
        """Parameters, or statistics, without the components that the run has given up."""
        pruned = run.solver.repair.pruned
        if not pruned.any():
            return values
        marks = torch.from_numpy(~pruned)
        if "log_weights" in values:
            return run.solver.model.kept(values, marks)
        return {name: value[marks] if len(value) == len(marks) else value for name, value in values.items()}

    def _learnt(self, run):
        learnt = super()._learnt(run) | {"events_": list(run.solver.repair.events)}
        return learnt | {"n_components_": len(learnt["parameters_"]["log_weights"])}

    def _doubts(self, run):
        if self.events_:
            done = ", ".join(f"{each['action']} {each['component']}" for each in self.events_[:5])
            yield (
                f"Components were left without rows, or with a singular covariance, {len(self.events_)} time(s) ({done}"
                f"{', ...' if len(self.events_) > 5 else ''}); see events_. Lower n_components, raise reg_covar or set "
                "a prior."
            )
        yield from super()._doubts(run)

    @property
    def weights_(self):
        """Weights of the components, (n_components,)."""
        return self._cast(np.exp(self.parameters_["log_weights"]))

    # -- criteria ---------------------------------------------------------------------------------------------------

    def _criterion(self, X, sample_weight, penalty_of):
        total = float(np.sum(sample_weight)) if sample_weight is not None else len(X)
        return -2 * total * self.score(X, sample_weight=sample_weight) + penalty_of(total)

    def aic(self, X, sample_weight=None):
        """Akaike's information criterion; lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, as a rule the training rows.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of rows.

        Returns
        -------
        aic : float
            Minus twice the log-likelihood of all rows, in nats, and twice the number of parameters.
        """
        return self._criterion(X, sample_weight, lambda _: 2 * self._n_parameters())

    def bic(self, X, sample_weight=None):
        """Bayesian information criterion (Schwarz 1978), with the sum of the weights for the number of rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, as a rule the training rows.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of rows.

        Returns
        -------
        bic : float
            Minus twice the log-likelihood of all rows, in nats, and log(rows) for each parameter; lower is better.
        """
        return self._criterion(X, sample_weight, lambda total: np.log(total) * self._n_parameters())

    def icl(self, X, sample_weight=None):
        """Integrated completed likelihood (Biernacki et al. 2000): BIC and twice the entropy of the labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, as a rule the training rows.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of rows.

        Returns
        -------
        icl : float
            On the scale of BIC, minus twice nats; lower is better. It favours components that are apart.
        """
        entropy = entr(self.predict_proba(X).astype(np.float64)).sum(axis=1)
        total = entropy.sum() if sample_weight is None else entropy @ np.asarray(sample_weight, dtype=np.float64)
        return self.bic(X, sample_weight) + 2 * float(total)

    def _n_parameters(self):
        return self._fitted()[0].n_parameters()
