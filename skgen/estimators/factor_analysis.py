"""Factor analysis."""

from numbers import Integral

import numpy as np
import torch

from skgen.distributions.rotation import ROTATIONS, principal_rotation, signs, simple_rotation
from skgen.estimators._data import column_names
from skgen.estimators._linear_gaussian import DirectSolver, LinearGaussianEstimator, symmetric_eigen
from skgen.estimators._params import EXACT_OPTIMISATION, EXACT_RUNTIME, EXACT_STOPPING
from skgen.estimators._sklearn import Interval, StrOptions
from skgen.models.noise_profile import Scatter, improved, profile_parameters, profiled, raced, starting_noise
from skgen.models.principal_components import centred_rows, moment_covariance
from skgen.training.em import EM_SOLVERS

SMALLEST_NOISE = 1e-8
"""Least noise variance of a column, as a share of its variance."""
MOST_ROWS = 2000
"""Rows, fewer than columns, up to which their inner products are decomposed at every step."""
SETTLED = 1e-4
"""Rise of the likelihood in a step, in nats per row, below which other optima are looked for."""


class NoiseNewton:
    """Newton steps on the profile likelihood of the noise, between parameters of the model.

    Parameters
    ----------
    mean : Tensor of shape (n_features,)
        That of the rows.
    scatter : Scatter
        Their covariance.
    n_factors : int
    floor : Tensor of shape (n_features,)
        Smallest noise variances.
    """

    def __init__(self, mean, scatter, n_factors, floor):
        self.mean, self.scatter, self.n_factors, self.floor = mean, scatter, n_factors, floor
        noise = starting_noise(scatter, n_factors, floor)
        self.profile = profiled(scatter, torch.log(noise), n_factors)
        self.compared = False

    def parameters(self):
        """The best parameters given the noise in force."""
        return profile_parameters(self.profile, self.mean, self.n_factors)

    def __call__(self, parameters):
        """Parameters one step on from given ones."""
        log_noise = torch.log(torch.maximum(parameters["noise"], self.floor))
        if not torch.allclose(log_noise, self.profile.log_noise, rtol=0, atol=1e-12):
            self.profile = profiled(self.scatter, log_noise, self.n_factors)
        before, self.profile = self.profile, improved(self.scatter, self.profile, self.n_factors, self.floor)
        if not self.compared and float(before.loss - self.profile.loss) < 2 * SETTLED:
            self.compared = True
            self.profile = raced(self.scatter, self.profile, self.n_factors, self.floor)
        return self.parameters()


class FactorAnalysis(LinearGaussianEstimator):
    """Factor analysis: x = W z + mean + noise, with a noise variance for each feature.

    The attributes and methods of :class:`sklearn.decomposition.FactorAnalysis` are here. Complete rows are read once,
    for their covariance; a few Newton steps then find the noise variances, and with them the loadings, so that a fit
    takes the time of a matrix product. Rows may have weights and missing entries.

    Parameters
    ----------
    n_components : int or None, default=None
        Number of factors; None stands for the number of features.
    rotation : {"varimax", "quartimax"} or None, default=None
        Rotation of the factors towards loadings that are large or small. It changes no likelihood.
    solver : {"auto", "newton", "em", "em-accelerated", "incremental", "online", "gradient", "mcem"}, default="auto"
        Newton steps for complete rows and EM for others, where "auto" and "newton" mean the same; or another way to a
        maximum.
    batch_size : int, default=1024
        Rows in a batch of ``solver="online"``.
    gradient_method : {"lbfgs", "bfgs", "cg", "newton-cg", "adam", "adamw", "sgd"}, default="lbfgs"
        Optimiser of ``solver="gradient"``.
    learning_rate : float, default=0.01
        Step size of a ``gradient_method`` without a line search.
    learning_decay, learning_offset : float, default=0.7, 10.0
        Batch t of online EM has the weight ``(learning_offset + t) ** -learning_decay``.
    total_samples : float, default=1e6
        Number of rows that ``partial_fit`` will see.
    max_iter : int, default=1000
        Largest number of iterations.
    tol : float, default=1e-6
        Rise of the likelihood, in nats per row, below which a fit has converged; 0 goes on to ``max_iter``.
    warm_start : bool, default=False
        Whether ``fit`` goes on from the fit before.
    device : str, default="cpu"
        "cpu", "cuda", "cuda:1" or "auto".
    random_state : int, RandomState instance or None, default=None
        Source of all draws.
    verbose : int, default=0
        Report every so many iterations.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Loadings, a row for each factor.
    noise_variance_ : ndarray of shape (n_features,)
        Noise variances.
    loglike_ : list of float
        Log-likelihood of all training rows, in nats, at the start of each iteration.
    mean_ : ndarray of shape (n_features,)
        Means of the columns.
    n_components_ : int
        Number of factors.
    lower_bound_ : float
        Log-likelihood of the training rows at the fitted parameters, in nats per row.
    converged_ : bool
        Whether the likelihood had ceased to rise.
    n_iter_ : int
        Number of iterations.
    history_ : dict of str to list of float
        "lower_bound", the log-likelihood per row at the start of each iteration.
    parameters_ : dict of str to ndarray
        "mean", "loadings" (n_features, n_components) and "noise" in float64, relative to ``center_``.

    See Also
    --------
    ProbabilisticPCA : With one noise variance for all features.

    References
    ----------
    Rubin and Thayer (1982), EM algorithms for ML factor analysis, https://doi.org/10.1007/BF02293851.
    Lawley and Maxwell (1971), Factor analysis as a statistical method.

    Examples
    --------
    >>> import numpy as np
    >>> from skgen import FactorAnalysis
    >>> random = np.random.default_rng(0)
    >>> X = random.normal(size=(500, 1)) * [2, -1, 1, 0] + random.normal(size=(500, 4))
    >>> model = FactorAnalysis(n_components=1).fit(X)
    >>> model.transform(X).shape
    (500, 1)
    >>> abs(model.components_).round(1)
    array([[2.1, 1. , 1.1, 0. ]])
    >>> model.noise_variance_.round(1)
    array([0.9, 0.9, 1. , 1. ])
    """

    _noise = "diagonal"
    _direct = "newton"
    _parameter_constraints = (
        EXACT_OPTIMISATION
        | EXACT_STOPPING
        | EXACT_RUNTIME
        | {
            "n_components": [Interval(Integral, 1, None, closed="left"), None],
            "rotation": [StrOptions(set(ROTATIONS)), None],
            "solver": [StrOptions({"auto", "newton", *EM_SOLVERS})],
        }
    )

    def __init__(
        self,
        n_components=None,
        *,
        # model
        rotation=None,
        # optimisation
        solver="auto",
        batch_size=1024,
        gradient_method="lbfgs",
        learning_rate=0.01,
        learning_decay=0.7,
        learning_offset=10.0,
        total_samples=1e6,
        max_iter=1000,
        # stopping
        tol=1e-6,
        warm_start=False,
        # runtime
        device="cpu",
        random_state=None,
        verbose=0,
    ):
        self.n_components = n_components
        self.rotation = rotation
        self.solver = solver
        self.batch_size = batch_size
        self.gradient_method = gradient_method
        self.learning_rate = learning_rate
        self.learning_decay = learning_decay
        self.learning_offset = learning_offset
        self.total_samples = total_samples
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    # -- assembly ---------------------------------------------------------------------------------------------------

    def _learns_directly(self, shape, *, fresh, partial):
        affordable = partial or shape[0] >= shape[1] or shape[0] <= MOST_ROWS
        return super()._learns_directly(shape, fresh=fresh, partial=partial) and affordable

    def _smallest_noise(self, variance):
        return SMALLEST_NOISE * np.where(variance > 0, variance, 1.0)

    def _analysed(self, moments, rows):
        if moments:
            mean, covariance = moment_covariance(moments)
            return mean, Scatter(torch.diagonal(covariance), covariance, eigh=symmetric_eigen)
        mean, x = centred_rows(rows)
        return mean, Scatter(x.square().sum(0), x, of_rows=True, eigh=symmetric_eigen)

    def _chosen(self, analysed, n_features, weight):
        return n_features if self.n_components is None else self._checked_number(n_features)

    def _direct_solver(self, model, expectation, analysed, generator):
        mean, scatter = analysed
        improve = NoiseNewton(mean, scatter, self.n_components_, torch.as_tensor(self._noise_floor).to(mean))
        return DirectSolver(model, expectation, improve.parameters(), improve, generator=generator), self.max_iter

    def _rotation(self, parameters):
        """Towards factors that are independent given a row, in descending order, or towards simple structure."""
        scale = torch.sqrt(parameters["noise"])[:, None]
        rotation = principal_rotation(parameters["loadings"] / scale)
        rotation = rotation * signs(parameters["loadings"] @ rotation)
        if self.rotation is None:
            return rotation
        return rotation @ simple_rotation(parameters["loadings"] @ rotation, self.rotation)

    def _doubts(self, run):
        yield from super()._doubts(run)
        at_floor = self.parameters_["noise"] <= self._noise_floor * (1 + 1e-6)
        at_floor &= self._column_variance > 0
        if at_floor.any():
            yield (
                f"Factors explain column(s) {column_names(self, at_floor)} entirely (a Heywood case): their noise "
                f"variance is the smallest allowed, {SMALLEST_NOISE:g} of the column's variance. Lower n_components, "
                "or leave out one of several columns that say the same."
            )

    # -- fitted parameters ------------------------------------------------------------------------------------------

    @property
    def components_(self):
        """Loadings, (n_components, n_features)."""
        return self._cast(self._loadings.T)

    @property
    def noise_variance_(self):
        """Noise variances, (n_features,)."""
        return self._cast(self.parameters_["noise"])

    @property
    def loglike_(self):
        """Log-likelihood of all training rows at the start of each iteration."""
        return [value * self._total_weight for value in self.history_["lower_bound"]]
