"""Probabilistic principal component analysis."""

from numbers import Integral

import numpy as np
import torch

from skgen.distributions.dimension import minka_dimension, relevant_dimension, share_dimension, spectral_rank
from skgen.distributions.rotation import principal_rotation
from skgen.estimators._linear_gaussian import DirectSolver, LinearGaussianEstimator, symmetric_eigen
from skgen.estimators._params import EXACT_OPTIMISATION, EXACT_RUNTIME, EXACT_STOPPING
from skgen.estimators._sklearn import Interval, RealNotInt, StrOptions
from skgen.models.linear_gaussian import LinearGaussian
from skgen.models.principal_components import moment_spectrum, principal_axes, principal_parameters, row_spectrum
from skgen.training.em import EM_SOLVERS, BatchEM

SMALLEST_NOISE = 1e-10
"""Least noise variance, as a share of the mean variance of the columns."""
CHOICES = {"mle": minka_dimension, "ard": relevant_dimension}
CHOICE_ROUNDS, CHOICE_ITERATIONS = 5, 20
"""How often the number of components of incomplete rows is chosen, and iterations of EM between two choices."""


class ProbabilisticPCA(LinearGaussianEstimator):
    """Probabilistic principal component analysis: x = W z + mean + noise of equal variance in all directions.

    The attributes and methods of :class:`sklearn.decomposition.PCA` are here, as parts of a density: :meth:`transform`
    gives the posterior mean of z, scores are exact likelihoods, and rows may have weights and missing entries. The
    maximum of the likelihood is found in closed form, for any number of rows; of incomplete rows it is found by EM.

    Parameters
    ----------
    n_components : int, float, "mle", "ard" or None, default=None
        Number of components; a share of the variance that they have to exceed; or the number of largest evidence:
        Minka's approximation, "mle", or what automatic relevance determination keeps, "ard". None leaves one of the
        directions that the rows determine to the noise.
    solver : {"auto", "closed_form", "em", "em-accelerated", "incremental", "online", "gradient", "mcem"}, \
default="auto"
        The closed form for complete rows and EM for others, where "auto" and "closed_form" mean the same; or another
        way to the same maximum.
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
        Orthonormal directions, in descending order of variance.
    explained_variance_ : ndarray of shape (n_components,)
        Variance along them, the noise included, with divisor ``n_samples - 1`` as in scikit-learn.
    explained_variance_ratio_ : ndarray of shape (n_components,)
        Their shares of the variance.
    singular_values_ : ndarray of shape (n_components,)
        Singular values of the centred rows that belong to them.
    mean_ : ndarray of shape (n_features,)
        Means of the columns.
    noise_variance_ : float
        Noise variance: the mean of the variances along all other directions of the space.
    n_components_ : int
        Number of components.
    n_samples_ : int
        Number of rows.
    lower_bound_ : float
        Log-likelihood of the training rows at the fitted parameters, in nats per row.
    converged_ : bool
        Whether the likelihood had ceased to rise.
    n_iter_ : int
        Number of iterations; the closed form takes one to find and one to confirm.
    history_ : dict of str to list of float
        "lower_bound", the log-likelihood per row at the start of each iteration.
    parameters_ : dict of str to ndarray
        "mean", "loadings" (n_features, n_components) and "noise" in float64, relative to ``center_``.

    See Also
    --------
    FactorAnalysis : With a noise variance for each feature.

    References
    ----------
    Tipping and Bishop (1999), Probabilistic principal component analysis, https://doi.org/10.1111/1467-9868.00196.
    Minka (2000), Automatic choice of dimensionality for PCA.
    Nakajima, Tomioka, Sugiyama and Babacan (2012), Perfect dimensionality recovery by variational Bayesian PCA.

    Examples
    --------
    >>> import numpy as np
    >>> from skgen import ProbabilisticPCA
    >>> X = np.array([[2.5, 2.4], [0.5, 0.7], [2.2, 2.9], [1.9, 2.2], [3.1, 3.0], [2.3, 2.7]])
    >>> model = ProbabilisticPCA(n_components=1).fit(X)
    >>> model.components_.round(2)
    array([[0.72, 0.7 ]])
    >>> model.impute([[2.0, np.nan]]).round(1)
    array([[2. , 2.2]])
    """

    _parameter_constraints = (
        EXACT_OPTIMISATION
        | EXACT_STOPPING
        | EXACT_RUNTIME
        | {
            "n_components": [
                Interval(Integral, 1, None, closed="left"),
                Interval(RealNotInt, 0, 1, closed="neither"),
                StrOptions(set(CHOICES)),
                None,
            ],
            "solver": [StrOptions({"auto", "closed_form", *EM_SOLVERS})],
        }
    )

    def __init__(
        self,
        n_components=None,
        *,
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

    def _smallest_noise(self, variance):
        mean = float(variance.mean())
        return SMALLEST_NOISE * (mean if mean > 0 else 1.0)

    def _analysed(self, moments, rows):
        return moment_spectrum(moments, symmetric_eigen) if moments else row_spectrum(rows, symmetric_eigen)

    def _chosen(self, analysed, n_features, weight):
        if isinstance(self.n_components, Integral):
            return self._checked_number(n_features)
        if self.n_components is None:
            return max(1, spectral_rank(analysed.variances) - 1)
        if isinstance(self.n_components, str):
            return max(1, CHOICES[self.n_components](analysed.variances, n_features, weight))
        return share_dimension(analysed.variances, float(self.n_components))

    def _chosen_incomplete(self, rows):
        """Chosen by turns with a few iterations of EM, on what these expect of the missing entries."""
        if isinstance(self.n_components, Integral):
            return super()._chosen_incomplete(rows)
        if self.n_components is None:
            return self._chosen(self._filled_spectrum(rows), rows.n_features, rows.total_weight)
        spectrum = self._independent_spectrum(rows)
        chosen = self._chosen(spectrum, rows.n_features, rows.total_weight)
        for _ in range(CHOICE_ROUNDS if len(rows.incomplete) else 0):
            model = LinearGaussian(rows.n_features, chosen, self._noise, self._noise_floor, expanded=True)
            solver = BatchEM(model, rows, self._principal_start(spectrum, chosen), generator=None)
            for _ in range(CHOICE_ITERATIONS):
                solver.step()
            spectrum = self._completed_spectrum(rows, model.bind(solver.parameters))
            before, chosen = chosen, self._chosen(spectrum, rows.n_features, rows.total_weight)
            if chosen == before:
                break
        return chosen

    def _direct_solver(self, model, expectation, analysed, generator):
        solution = principal_parameters(analysed, self.n_components_, self._noise_floor)
        solver = DirectSolver(model, expectation, solution, lambda _: solution, generator=generator)
        return solver, min(2, self.max_iter)

    def _rotation(self, parameters):
        return principal_rotation(parameters["loadings"])

    def _doubts(self, run):
        if run.name != self._direct:
            yield from super()._doubts(run)
        if self.parameters_["noise"] <= self._noise_floor * (1 + 1e-6):
            yield (
                f"No variance is left for the noise of {self.n_components_} components: its variance is the smallest "
                f"allowed, {self._noise_floor:.3g}, and so the likelihood means little. Lower n_components."
            )

    # -- fitted parameters ------------------------------------------------------------------------------------------

    @property
    def _axes(self):
        """Orthonormal directions (n_features, n_components) and variances along them, noise included."""
        directions, variances = principal_axes(torch.tensor(self.parameters_["loadings"]))
        return directions.numpy(), variances.numpy() + self.parameters_["noise"]

    @property
    def components_(self):
        """Orthonormal directions, (n_components, n_features)."""
        return self._cast(self._axes[0].T)

    @property
    def explained_variance_(self):
        """Variances along the components, with divisor ``n_samples - 1``."""
        weight = self._total_weight
        return self._cast(self._axes[1] * (weight / (weight - 1) if weight > 1 else 1.0))

    @property
    def explained_variance_ratio_(self):
        """Shares of the variance along the components."""
        variances, noise = self._axes[1], float(self.parameters_["noise"])
        return self._cast(variances / (variances.sum() + (self.n_features_in_ - len(variances)) * noise))

    @property
    def singular_values_(self):
        """Singular values of the centred rows."""
        return self._cast(np.sqrt(self._axes[1] * self._total_weight))

    @property
    def noise_variance_(self):
        """Noise variance."""
        return self._cast(self.parameters_["noise"])[()]

    @property
    def n_samples_(self):
        """Number of training rows."""
        return self.n_samples_seen_
