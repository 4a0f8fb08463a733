"""What probabilistic PCA and factor analysis share: learning from moments, and the use of a linear Gaussian model."""

from abc import abstractmethod

import numpy as np
import torch
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from skgen._exact import added
from skgen.distributions.low_rank import posterior_covariance
from skgen.estimators._arrays import RunningMoments, as_array, seed_from
from skgen.estimators._exact_estimator import FAR, ExactEstimator
from skgen.estimators._exact_run import ExactRun
from skgen.models.linear_gaussian import LinearGaussian
from skgen.models.principal import moment_spectrum
from skgen.training.expectation import Expectation, Solver

SCANNED_ROWS = 4096
"""Rows that tell whether all have to be centred."""
WHOLE = ("em", "em-accelerated", "gradient")
"""Solvers that take statistics of all rows at the same parameters."""
NOISE_SHARE = 0.5
"""Share of each feature's variance that is noise where EM starts."""
ROUNDING = 8 * np.finfo(np.float64).eps


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


class LinearGaussianEstimator(ExactEstimator):
    """Base of the estimators of x = W z + mean + noise.

    Complete rows are learnt from by their moments: a weight, a sum and sums of products. ``fit`` and ``partial_fit``
    then maximise the likelihood directly; moments add, so that chunks teach what all rows together do. Rows with
    missing entries, and a ``solver`` other than "auto" and ``_direct``, take the way of all exact estimators.
    """

    _noise = "isotropic"
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
        if not self._takes_moments(X, fresh=fresh, partial=partial):
            self._moments = None
            self._expanded = not partial and self._solver_name() in WHOLE
            self._summarized = self._expanded and self._worth_summing(*X.shape)
            return super()._start(data, fresh=fresh, partial=partial)
        if not partial:
            vars(self).pop("_early", None)
        if fresh:
            self._set_center(X)
        else:
            self._check_continues()
        self._n_before = self.n_samples_seen_ if partial and not fresh else 0
        moments, expectation = self._gathered(X, weight, partial=partial)
        analysed = self._considered(X, weight, moments, expectation, partial=partial)
        expectation.model = self._build_model(X.shape[1])
        generator = torch.Generator(self._training_device()).manual_seed(
            seed_from(check_random_state(self.random_state))
        )
        solver, n_iterations = self._direct_solver(expectation.model, expectation, analysed, generator)
        run = ExactRun(self._direct, solver, self.tol, n_iterations)
        self._moments = {name: as_array(value) for name, value in moments.items()} or None
        if not fresh:
            run.follow(self)
        return run

    def _learnt(self, run):
        learnt = super()._learnt(run)
        if run.name == self._direct:
            learnt["_average"] = learnt["_average"][0], run.solver.expectation.weight
        return learnt

    def _solver_name(self):
        return "em" if self.solver in ("auto", self._direct) else self.solver

    def _takes_moments(self, X, *, fresh, partial):
        """Whether moments are all that is needed to learn."""
        if np.isnan(X.sum()) and np.isnan(X).any():
            return False
        if partial:
            return fresh or self._moments is not None
        return self.solver in ("auto", self._direct)

    def _set_center(self, X):
        some = X[:SCANNED_ROWS].astype(np.float64)
        mean = some.mean(axis=0)
        far = bool((np.abs(mean) > FAR * some.std(axis=0)).any())
        self._dtype = X.dtype.name
        self._chosen_sizes = {name: getattr(self, name) for name in self._architecture}
        self.center_ = mean if far else np.zeros_like(mean)

    def _gathered(self, X, weight, *, partial):
        """Moments of all rows, of earlier chunks too, and what evaluates the likelihood by them.

        There are no moments where the rows themselves are to be visited.
        """
        self._summarized, self._expanded = partial or self._worth_summing(*X.shape), False
        model = LinearGaussian(X.shape[1], 0, self._noise, summarized=self._summarized)
        rows = self._rows(X, weight, self._training_device(), model)
        expectation = Expectation(model, rows)
        moments = expectation.moments
        if not moments:
            return moments, expectation
        if partial and getattr(self, "_moments", None):
            added(moments, {name: torch.tensor(value).to(rows.x.device) for name, value in self._moments.items()})
        summary = Expectation(model, rows.take(slice(0, 0)))
        summary.moments, summary.weight = moments, float(moments["weight"])
        return moments, summary

    def _considered(self, X, weight, moments, expectation, *, partial):
        """Set what follows from the data before a model is built, and give what the solution follows from."""
        if moments:
            total = expectation.weight
            mean = as_array(moments["first"]) / total
            variance = as_array(torch.diagonal(moments["second"])) / total - mean**2
            # A variance that the rounding of the mean explains is none.
            constant = variance <= ROUNDING * mean**2 + (ROUNDING * self.center_) ** 2
            summary = RunningMoments(
                self._n_before + len(X), total, mean, variance.clip(0) * total, 0 * mean, np.where(constant, 0.0, 1.0)
            )
        else:
            summary = RunningMoments.empty(X.shape[1]).updated(X, weight)
        self._check_columns(summary, partial=partial)
        self._set_columns(summary)
        analysed = self._analysed(moments, expectation.rows)
        self.n_components_ = self._chosen(analysed, X.shape[1], expectation.weight)
        return analysed

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
        """Spectrum of rows whose missing entries are expected given the observed ones."""
        total = {}
        for tile in rows:
            added(total, posterior.completed_moments(tile))
        return moment_spectrum(total)

    def _principal_start(self, spectrum, n_factors):
        """Parameters from the principal directions of completed rows."""
        kept = spectrum.variances[:n_factors]
        rest = spectrum.variances[n_factors:].sum() / max(1, len(spectrum.mean) - n_factors)
        return self._start_with(spectrum.directions[:, :n_factors] * torch.sqrt((kept - rest).clamp_min(0)))

    def _start_with(self, loadings):
        """Parameters with given loadings, and as noise what is left of the variances, at least their half."""
        parameters = self._independent(loadings.device)
        variance = parameters["noise"]
        noise = torch.maximum(variance - loadings.square().sum(1), NOISE_SHARE * variance)
        noise = noise.mean() if self._noise == "isotropic" else noise
        return parameters | {"loadings": loadings, "noise": noise}

    def _initial_parameters(self, model, rows, random_state):
        """Random loadings for half of the variance; the principal ones of completed rows if some are incomplete."""
        if len(rows.incomplete):
            return self._principal_start(self._independent_spectrum(rows), model.n_factors)
        variance = self._independent(rows.x.device)["noise"]
        draws = random_state.normal(size=(model.n_features, model.n_factors)) / model.n_factors**0.5
        return self._start_with(
            torch.sqrt((1 - NOISE_SHARE) * variance)[:, None] * torch.from_numpy(draws).to(variance)
        )

    def _independent_spectrum(self, rows):
        """Spectrum of rows with the means of columns in place of what is missing, and their variances added."""
        parameters = self._independent(rows.x.device)
        return self._completed_spectrum(rows, LinearGaussian(rows.n_features, 0, "diagonal").bind(parameters))

    def _kept(self, run, values):
        return run.solver.model.turned(values, self._rotation(run.solver.parameters))

    # -- the model --------------------------------------------------------------------------------------------------

    def _build_model(self, n_features):
        floor = self._noise_floor
        floor = torch.from_numpy(floor) if isinstance(floor, np.ndarray) else floor
        return LinearGaussian(
            n_features,
            self.n_components_,
            self._noise,
            floor,
            summarized=self._summarized,
            expanded=self._expanded,
        )

    @property
    def _n_features_out(self):
        return self.n_components_

    @property
    def _loadings(self):
        return self.parameters_["loadings"]

    @property
    def mean_(self):
        """Means of the columns, (n_features,)."""
        return self._cast(self.parameters_["mean"] + self.center_)

    def get_covariance(self):
        """Covariance of the model, W W' + noise.

        Returns
        -------
        covariance : ndarray of shape (n_features, n_features)
            In the units of the training rows.
        """
        check_is_fitted(self)
        noise = np.broadcast_to(self.parameters_["noise"], len(self._loadings))
        return self._cast(self._loadings @ self._loadings.T + np.diag(noise))

    def get_precision(self):
        """Inverse of the covariance of the model, by Woodbury's identity.

        Returns
        -------
        precision : ndarray of shape (n_features, n_features)
            The inverse of :meth:`get_covariance`.
        """
        check_is_fitted(self)
        posterior = self._fitted()[1]
        projection = as_array(posterior.shared.projection)
        noise = np.broadcast_to(self.parameters_["noise"], len(self._loadings))
        return self._cast(np.diag(1 / noise) - projection.T @ projection)

    # -- use --------------------------------------------------------------------------------------------------------

    def transform(self, X):
        """Posterior mean of the factors, E[z | x].

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, NaN where an entry is missing.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            Given the observed entries.
        """
        return self._map_rows(X, lambda posterior, tile: [posterior.factors(tile)[0]])[0]

    def posterior(self, X):
        """Mean and covariance of the factors given each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, NaN where an entry is missing.

        Returns
        -------
        mean : ndarray of shape (n_samples, n_components)
            What :meth:`transform` gives.
        covariance : ndarray of shape (n_components, n_components) or (n_samples, n_components, n_components)
            Complete rows have one covariance; where a row has missing entries, there is one for each row.
        """
        X = self._check_input(X)
        shared = self._fitted()[1].shared.factor
        if not np.isnan(X).any():
            return self.transform(X), as_array(posterior_covariance(shared)).astype(X.dtype)

        def factors(posterior, tile):
            mean, factor = posterior.factors(tile)
            return mean, posterior_covariance(factor).expand(len(mean), *shared.shape)

        mean, covariance = self._map_rows(X, factors)
        return mean, covariance

    def inverse_transform(self, X):
        """Mean of p(x | z), W z + mean, in the units of the training rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Factors.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            Rows.
        """
        check_is_fitted(self)
        Z = check_array(X, dtype=[np.float64, np.float32], input_name="X")
        if Z.shape[1] != self.n_components_:
            raise ValueError(
                f"X has {Z.shape[1]} columns, but {type(self).__name__} has n_components={self.n_components_}."
            )
        rows = Z.astype(np.float64) @ self._loadings.T + self.parameters_["mean"] + self.center_
        return rows.astype(Z.dtype)

    def sample(self, n_samples=1, random_state=None):
        """Draw rows from the model.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        random_state : int, RandomState instance or None, default=None
            Source of the draws; None uses the estimator's own, whose integer value repeats its draws.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Independent draws.
        """
        self._check_n_samples(n_samples)
        model, _, device = self._fitted()
        x = model.sample(self._tensors(device), n_samples, self._generator(random_state, device))
        return self._cast(as_array(x) + self.center_)
