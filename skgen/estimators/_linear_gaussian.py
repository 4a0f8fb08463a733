"""How probabilistic PCA and factor analysis learn: from moments, or as all exact estimators do."""

from abc import abstractmethod

import numpy as np
import torch
from sklearn.utils import check_random_state

from skgen._exact_model import added
from skgen._rows import Tile
from skgen.estimators._arrays import RunningMoments, as_array, seed_from
from skgen.estimators._exact_estimator import FAR
from skgen.estimators._exact_run import ExactRun
from skgen.estimators._linear_gaussian_fitted import FactorEstimator
from skgen.models.linear_gaussian import LinearGaussian
from skgen.models.principal_components import moment_spectrum
from skgen.training.expectation import Expectation, Solver

SCANNED_ROWS = 1024
"""Rows that tell whether all have to be centred."""
WHOLE = ("em", "em-accelerated", "gradient")
"""Solvers that take statistics of all rows at the same parameters."""
NOISE_SHARE = 0.5
"""Share of each feature's variance that is noise where EM starts."""
WIDE = 1000
"""Columns up to which moments are kept for partial_fit though a fit of fewer rows than columns does without."""
ROUNDING = 8 * np.finfo(np.float64).eps


def symmetric_eigen(matrix):
    """Eigenvalues in ascending order and eigenvectors of a symmetric tensor.

    On a CPU NumPy's, as for the products that matrices come from: the threads of one library wait for work, and would
    hold up those of another.
    """
    if matrix.device.type != "cpu":
        return torch.linalg.eigh(matrix)
    values, vectors = np.linalg.eigh(matrix.numpy())
    return torch.from_numpy(values), torch.from_numpy(vectors)


class DirectSolver(Solver):
    """Maximises the likelihood itself rather than a bound on it.

    Parameters
    ----------
    model : LinearGaussian
    expectation : Expectation
        The rows, or their moments.
    parameters : dict of str to Tensor
        Where to start.
    improve : callable
        Gives better parameters than those it is given.
    generator : torch.Generator
        Left alone.
    """

    def __init__(self, model, expectation, parameters, improve, *, generator):
        super().__init__(model, expectation.rows, parameters, generator=generator)
        self.expectation, self.improve = expectation, improve

    def _step(self):
        value = self.value()
        self.parameters = self.improve(self.parameters)
        return value

    def _restart(self):
        """Nothing is remembered from one step to the next."""


class LinearGaussianEstimator(FactorEstimator):
    """Base of the estimators of x = W z + mean + noise: how they learn.

    Complete rows are learnt from by their moments: a weight, a sum and sums of products. ``fit`` and ``partial_fit``
    then maximise the likelihood directly; moments add, so that chunks teach what all rows together do. Rows with
    missing entries, and a ``solver`` other than "auto" and ``_direct``, take the way of all exact estimators.
    """

    _direct = "closed_form"

    # -- what a subclass fills in -----------------------------------------------------------------------------------

    @abstractmethod
    def _analysed(self, moments, rows):
        """What the number of factors and the direct solution follow from: of moments, or of rows if there are none."""

    @abstractmethod
    def _chosen(self, analysed, n_features, weight):
        """The number of factors."""

    @abstractmethod
    def _smallest_noise(self, variance):
        """Floor of the noise variance, or variances, where the columns have the given variances."""

    @abstractmethod
    def _direct_solver(self, model, expectation, analysed, generator):
        """A solver that maximises the likelihood, and its number of iterations."""

    @abstractmethod
    def _rotation(self, parameters):
        """The rotation of the factors to keep, of all those that give the same density."""

    def _worth_summing(self, n_rows, n_features):
        """Whether products of columns are summed once, rather than the rows visited at every iteration."""
        return n_rows >= n_features

    # -- learning from moments --------------------------------------------------------------------------------------

    def _start(self, data, *, fresh, partial=False):
        X, weight = data
        direct = self._learns_directly(X.shape, fresh=fresh, partial=partial)
        if direct and fresh:
            self._set_center(X)
        moments, expectation = self._gathered(X, weight, partial=partial) if direct else ({}, None)
        if expectation is None:
            return self._start_iterating(data, fresh=fresh, partial=partial)
        if not partial:
            vars(self).pop("_early", None)
        if not fresh:
            self._check_continues()
        self._n_before = self.n_samples_seen_ if partial and not fresh else 0
        analysed = self._considered(X, weight, moments, expectation, partial=partial)
        expectation.model = self._build_model(X.shape[1])
        generator = torch.Generator(self._training_device()).manual_seed(
            seed_from(check_random_state(self.random_state))
        )
        solver, n_iterations = self._direct_solver(expectation.model, expectation, analysed, generator)
        run = ExactRun(self._direct, solver, self.tol, n_iterations)
        self._keep_moments(expectation)
        if not fresh:
            run.follow(self)
        return run

    def _start_iterating(self, data, *, fresh, partial):
        """A run of a solver that visits rows, or their moments, again and again."""
        self._moments = None
        self._expanded = not partial and self._solver_name() in WHOLE
        self._summarized = self._expanded and self._worth_summing(*data[0].shape)
        run = super()._start(data, fresh=fresh, partial=partial)
        if not partial:
            self._keep_moments(run.solver.expectation)
        return run

    def _keep_moments(self, expectation):
        """Keep what partial_fit goes on from, of complete rows."""
        rows, moments = expectation.rows, expectation.moments
        if rows.complete is not None:
            moments = {}
        elif not moments and rows.n_features <= max(len(rows), WIDE):
            moments = Expectation(LinearGaussian(rows.n_features, 0, self._noise), rows).moments
        self._moments = {name: as_array(value) for name, value in moments.items()} or None

    def _learnt(self, run):
        learnt = super()._learnt(run)
        if run.name == self._direct:
            learnt["_average"] = learnt["_average"][0], run.solver.expectation.weight
        return learnt

    def _describe_data(self, data):
        super()._describe_data(data)
        if self._moments is None and self._n_before:
            self._total_weight = float(self.n_samples_seen_)

    def _solver_name(self):
        return "em" if self.solver in ("auto", self._direct) else self.solver

    def _learns_directly(self, shape, *, fresh, partial):
        """Whether complete rows of a shape are learnt from without iterations over them."""
        if partial:
            return fresh or self._moments is not None
        return self.solver in ("auto", self._direct)

    def _set_center(self, X):
        some = X[:SCANNED_ROWS].astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # the moments show it
            mean = some.mean(axis=0)
            far = bool((np.abs(mean) > FAR * some.std(axis=0)).any())
        self._dtype = X.dtype.name
        self._chosen_sizes = {name: getattr(self, name) for name in self._fixed_parameters}
        self.center_ = mean if far else np.zeros_like(mean)

    def _gathered(self, X, weight, *, partial):
        """Moments of all rows, of earlier chunks too, and what evaluates the likelihood by them.

        There are no moments where the rows themselves are to be visited, and neither where an entry is missing.
        """
        self._summarized, self._expanded = partial or self._worth_summing(*X.shape), False
        model = LinearGaussian(X.shape[1], 0, self._noise, summarized=self._summarized)
        # The sums among moments tell of missing entries at no cost.
        rows = self._rows(X, weight, self._training_device(), model, scanned=not self._summarized)
        expectation = Expectation(model, rows)
        if rows.complete is not None:
            return {}, None
        moments = expectation.moments
        if not moments:
            return moments, expectation
        if bool(moments["first"].isnan().any()):
            return {}, None
        if partial and getattr(self, "_moments", None):
            added(moments, {name: torch.tensor(value).to(rows.x.device) for name, value in self._moments.items()})
        summary = Expectation(model, rows.take(slice(0, 0)))
        summary.moments = moments
        summary.weight = summary.prior_weight = float(moments["weight"])
        return moments, summary

    def _considered(self, X, weight, moments, expectation, *, partial):
        """Set what follows from the data before a model is built, and give what the solution follows from."""
        if moments:
            summary = self._summary(moments, self._n_before + len(X))
        else:
            summary = RunningMoments.empty(X.shape[1]).updated(X, weight)
        self._check_columns(summary, partial=partial)
        self._set_columns(summary)
        analysed = self._analysed(moments, expectation.rows)
        self.n_components_ = self._chosen(analysed, X.shape[1], expectation.weight)
        return analysed

    def _summary(self, moments, n_rows):
        """The moments of columns among those of their products."""
        weight = float(moments["weight"])
        with np.errstate(over="ignore", invalid="ignore"):
            mean = as_array(moments["first"]) / weight
            variance = as_array(torch.diagonal(moments["second"])) / weight - mean**2
            # A variance that the rounding of the mean explains is none.
            constant = variance <= ROUNDING * mean**2 + (ROUNDING * self.center_) ** 2
        low, high = np.zeros_like(mean), np.where(constant, 0.0, 1.0)
        return RunningMoments(n_rows, weight, mean, variance.clip(0) * weight, low, high)

    def _checked_number(self, n_features):
        if self.n_components > n_features:
            raise ValueError(
                f"n_components={self.n_components} must be at most n_features={n_features}: lower n_components."
            )
        return int(self.n_components)

    def _set_columns(self, moments):
        self._column_variance = moments.scale**2
        self._total_weight = float(np.max(moments.count))
        self._noise_floor = self._smallest_noise(self._column_variance)

    # -- learning from rows -----------------------------------------------------------------------------------------

    def _decide(self, data, moments):
        self._set_columns(moments)
        self._column_mean = moments.mean - self.center_
        self.n_components_ = 0
        model = self._build_model(data[0].shape[1])
        rows = self._rows(*data, self._training_device(), model)
        self.n_components_ = self._chosen_incomplete(rows)

    def _chosen_incomplete(self, rows):
        """The number of factors of rows that may have missing entries."""
        return self._chosen(None, rows.n_features, rows.total_weight)

    def _independent(self, device):
        """Parameters without factors: the columns' own means and variances."""
        variance = np.maximum(self._column_variance, self._noise_floor)
        parameters = {
            "mean": self._column_mean,
            "loadings": np.zeros((len(variance), 0)),
            "noise": variance,
        }
        return {name: torch.from_numpy(value).to(device) for name, value in parameters.items()}

    def _completed_spectrum(self, rows, posterior):
        """Spectrum of rows whose missing entries are expected given the observed ones, with columns in their unit."""
        total = {}
        for tile in rows:
            added(total, posterior.completed_moments(tile))
        unit = self._unit(rows.x.device)
        scaled = {"first": total["first"] / unit, "second": total["second"] / unit / unit[:, None]}
        return moment_spectrum(total | scaled)

    def _unit(self, device):
        """What columns are divided by where principal directions are looked for, (n_features,)."""
        unit = np.sqrt(self._column_variance) if self._noise == "diagonal" else np.ones_like(self._column_variance)
        return torch.from_numpy(np.where(unit > 0, unit, 1.0)).to(device)

    def _filled_spectrum(self, rows):
        """Spectrum of rows with the means of columns in place of what is missing."""
        posterior = LinearGaussian(rows.n_features, 0, "diagonal").bind(self._independent(rows.x.device))
        model, total = LinearGaussian(rows.n_features, 0), {}
        for tile in rows:
            added(total, model.moments(Tile(posterior.impute(tile), tile.weight)))
        return moment_spectrum(total)

    def _independent_spectrum(self, rows):
        """Spectrum of rows with the means of columns in place of what is missing, and their variances added."""
        parameters = self._independent(rows.x.device)
        return self._completed_spectrum(rows, LinearGaussian(rows.n_features, 0, "diagonal").bind(parameters))

    def _principal_start(self, spectrum, n_factors):
        """Parameters from the principal directions of completed rows."""
        kept = spectrum.variances[:n_factors]
        rest = spectrum.variances[n_factors:].sum() / max(1, len(spectrum.mean) - n_factors)
        loadings = spectrum.directions[:, :n_factors] * torch.sqrt((kept - rest).clamp_min(0))
        return self._start_with(self._unit(loadings.device)[:, None] * loadings)

    def _start_with(self, loadings):
        """Parameters with given loadings, and as noise what is left of the variances, at least their half."""
        parameters = self._independent(loadings.device)
        variance = parameters["noise"]
        noise = torch.maximum(variance - loadings.square().sum(1), NOISE_SHARE * variance)
        noise = noise.mean() if self._noise == "isotropic" else noise
        return parameters | {"loadings": loadings, "noise": noise}

    def _initial_parameters(self, model, rows, random_state):
        """Principal loadings, or random ones for half of the variance where principal ones are the solution or dear."""
        d, q = model.n_features, model.n_factors
        if d <= max(len(rows), WIDE) and (self._noise == "diagonal" or len(rows.incomplete)):
            return self._principal_start(self._independent_spectrum(rows), q)
        variance = self._independent(rows.x.device)["noise"]
        scale = torch.sqrt((1 - NOISE_SHARE) * variance)
        return self._start_with(scale[:, None] * torch.from_numpy(random_state.normal(size=(d, q)) / q**0.5).to(scale))

    def _presented(self, run, values):
        return run.solver.model.turned(values, self._rotation(run.solver.parameters))
