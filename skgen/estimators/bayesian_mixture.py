"""Mixture of normal distributions, with a posterior over its parameters by variational Bayes."""

from numbers import Integral, Real

import torch

from skgen.distributions.covariance import COVARIANCES
from skgen.estimators._bayesian_prior import model_of, normal_wishart
from skgen.estimators._mixture import StartedMixture
from skgen.estimators._normal_attributes import NormalComponents
from skgen.estimators._params import EXACT_OPTIMISATION, EXACT_RUNTIME, EXACT_STOPPING, STARTED_MIXTURE
from skgen.estimators._sklearn import Interval, StrOptions
from skgen.models.weight_priors import WEIGHT_PRIORS
from skgen.training.em import EM_SOLVERS

POSITIVE = Interval(Real, 0, None, closed="neither")


class BayesianGaussianMixture(NormalComponents, StartedMixture):
    r"""Mixture of normal distributions, with a posterior over its parameters by variational Bayes.

    Components that the rows do not ask for get a weight near 0, so ``n_components`` is an upper limit. The parameters,
    attributes and methods of :class:`sklearn.mixture.BayesianGaussianMixture` are here, and its iterations, several
    times faster; and with weights of rows, missing values, learning chunk by chunk, and two differences:

    * ``score_samples`` is the log-density of a row to come given the training rows, a mixture of Student's t
      distributions. scikit-learn's is what a row adds to the lower bound, which is no density.
    * ``lower_bound_`` is the evidence lower bound at the fitted parameters with all constants, in nats per row, and so
      is ``tol``. scikit-learn's is a sum over rows up to a constant, and needs more iterations for more rows.

    Parameters
    ----------
    n_components : int, default=1
        Largest number of components.
    covariance_type : {"full", "tied", "diag", "spherical", "tied_diag", "tied_spherical"}, default="full"
        Structure of the expected precisions under the posterior. The model is the same for all, components with full
        covariances of their own: simpler structures are posteriors with fewer parameters, and their lower bounds are
        comparable.
    reg_covar : float, default=1e-6
        Added to the variances of the rows in each component. With 0 the bound never falls.
    weight_concentration_prior_type : {"dirichlet_process", "dirichlet_distribution"}, default="dirichlet_process"
        Prior on the weights: of a mixture with any number of components, or of one with ``n_components``.
    weight_concentration_prior : float, default=None
        Concentration of that prior; lower ones use fewer components. None takes ``1 / n_components``.
    mean_precision_prior : float, default=None
        Number of rows that the prior on a mean counts for. None takes 1.
    mean_prior : array-like of shape (n_features,), default=None
        Expected mean. None takes that of the rows.
    degrees_of_freedom_prior : float, default=None
        Degrees of freedom of the Wishart prior on precisions, above ``n_features - 1``. None takes ``n_features``.
    covariance_prior : float or array-like, default=None
        Inverse of the scale matrix of that prior, of shape (n_features, n_features) where the structure is full or
        tied, (n_features,) where it is diagonal, or a number where it is spherical. None takes the covariance of the
        rows, with correlations shrunk by a thousandth where it is singular.
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}, default="kmeans"
        How the start is found, on at most a few thousand rows that stand for all.
    whiten_init : bool or "auto", default="auto"
        Whether the start is found in whitened coordinates, so that no scaling or turning of the rows changes it. "auto"
        tries both these and X's own, and takes what EM makes more of.
    n_init : int, default=1
        Number of candidates for the start, and at least one for each kind of coordinates. Each goes through a few
        iterations on some thousand rows, and the one with the highest bound is fitted to all.
    solver : {"em", "em-accelerated", "incremental", "online", "gradient"}, default="em"
        Variational EM over all rows; SQUAREM, for components that overlap; block by block; from batches in random
        order; gradients of the bound.
    batch_size : int, default=1024
        Different rows in a batch of ``solver="online"``.
    gradient_method : {"lbfgs", "bfgs", "cg", "newton-cg", "adam", "adamw", "sgd"}, default="lbfgs"
        Optimiser of ``solver="gradient"``.
    learning_rate : float, default=0.01
        Step size of a ``gradient_method`` without a line search.
    learning_decay, learning_offset : float, default=0.7, 10.0
        Batch t of online EM has the weight ``(learning_offset + t) ** -learning_decay``.
    total_samples : float, default=1e6
        Number of rows that ``partial_fit`` will see: the posterior is as certain as they will make it.
    max_iter : int, default=100
        Largest number of iterations.
    tol : float, default=1e-3
        Rise of the bound, in nats per row, below which a fit has converged; 0 goes on to ``max_iter``.
    warm_start : bool, default=False
        Whether ``fit`` goes on from the fit before, under its prior.
    device : str, default="cpu"
        "cpu", "cuda", "cuda:1" or "auto".
    random_state : int, RandomState instance or None, default=None
        Source of all draws.
    verbose : int, default=0
        Whether progress is shown.
    verbose_interval : int, default=10
        Iterations between two messages.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        Expected weights. Those of a Dirichlet process add up to 1 too: what it keeps for further components is left
        out.
    means_ : ndarray of shape (n_components, n_features)
        Expected means.
    covariances_ : ndarray
        Inverses of the expected precisions: (n_components, n_features, n_features), (n_features, n_features),
        (n_components, n_features), (n_components,), (n_features,) or (), in the order of ``covariance_type``'s choices.
    precisions_, precisions_cholesky_ : ndarray
        Expected precisions, and their Cholesky factors.
    weight_concentration_ : ndarray of shape (n_components,) or tuple of two
        Concentrations of the weights' Dirichlet posterior, or parameters of the Beta posteriors of a process' sticks.
    mean_precision_ : ndarray of shape (n_components,)
        Numbers of rows that the posteriors of the means count for.
    degrees_of_freedom_ : ndarray of shape (n_components,) or float
        Of the precisions' Wishart posteriors; one number where they are tied.
    weight_concentration_prior_, mean_precision_prior_, degrees_of_freedom_prior_ : float
        Numbers of the prior.
    mean_prior_, covariance_prior_ : ndarray, or float where it is spherical
        Numbers of the prior.
    lower_bound_ : float
        Lower bound on the log-evidence of the training rows at the fitted parameters, in nats per row.
    lower_bounds_ : list of float
        The same at the start of each iteration.
    converged_ : bool
        Whether the bound had ceased to rise.
    n_iter_ : int
        Number of iterations.
    history_ : dict of str to list of float
        What ``lower_bounds_`` holds, for callbacks.
    parameters_ : dict of str to ndarray
        The parameters of the posterior in float64, relative to ``center_``.

    See Also
    --------
    GaussianMixture : Estimates in place of a posterior.

    Notes
    -----
    Missing entries are latent variables. The bound is one on the evidence of the observed entries, and the predictive
    density of a row with missing entries is the exact marginal. A row without any observed entry changes nothing.

    With one component, ``covariance_type="full"``, a Dirichlet distribution and no missing entries, the bound is the
    evidence itself, and ``score_samples`` is the density of a row given the training rows.

    References
    ----------
    Attias (2000), A variational Bayesian framework for graphical models.
    Blei and Jordan (2006), Variational inference for Dirichlet process mixtures, https://doi.org/10.1214/06-BA104.

    Examples
    --------
    >>> import numpy as np
    >>> from skgen import BayesianGaussianMixture
    >>> random = np.random.default_rng(0)
    >>> X = np.concatenate([random.normal(0, 1, size=(200, 2)), random.normal(8, 1, size=(100, 2))])
    >>> model = BayesianGaussianMixture(5, max_iter=500, random_state=0).fit(X)
    >>> np.sort(model.weights_).round(1)
    array([0. , 0. , 0. , 0.3, 0.7])
    """

    _parameter_constraints = (
        STARTED_MIXTURE
        | EXACT_OPTIMISATION
        | EXACT_STOPPING
        | EXACT_RUNTIME
        | {
            "covariance_type": [StrOptions(set(COVARIANCES))],
            "reg_covar": [Interval(Real, 0, None, closed="left")],
            "weight_concentration_prior_type": [StrOptions(set(WEIGHT_PRIORS))],
            "weight_concentration_prior": [POSITIVE, None],
            "mean_precision_prior": [POSITIVE, None],
            "mean_prior": ["array-like", None],
            "degrees_of_freedom_prior": [POSITIVE, None],
            "covariance_prior": [POSITIVE, "array-like", None],
            # A draw of the labels is no posterior.
            "solver": [StrOptions(set(EM_SOLVERS) - {"mcem"})],
            "verbose_interval": [Interval(Integral, 1, None, closed="left")],
        }
    )

    def __init__(
        self,
        n_components=1,
        *,
        # model
        covariance_type="full",
        reg_covar=1e-6,
        weight_concentration_prior_type="dirichlet_process",
        weight_concentration_prior=None,
        mean_precision_prior=None,
        mean_prior=None,
        degrees_of_freedom_prior=None,
        covariance_prior=None,
        # start
        init_params="kmeans",
        whiten_init="auto",
        n_init=1,
        # optimisation
        solver="em",
        batch_size=1024,
        gradient_method="lbfgs",
        learning_rate=0.01,
        learning_decay=0.7,
        learning_offset=10.0,
        total_samples=1e6,
        max_iter=100,
        # stopping
        tol=1e-3,
        warm_start=False,
        # runtime
        device="cpu",
        random_state=None,
        verbose=0,
        verbose_interval=10,
    ):
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.reg_covar = reg_covar
        self.weight_concentration_prior_type = weight_concentration_prior_type
        self.weight_concentration_prior = weight_concentration_prior
        self.mean_precision_prior = mean_precision_prior
        self.mean_prior = mean_prior
        self.degrees_of_freedom_prior = degrees_of_freedom_prior
        self.covariance_prior = covariance_prior
        self.init_params = init_params
        self.whiten_init = whiten_init
        self.n_init = n_init
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
        self.verbose_interval = verbose_interval

    _fixed_parameters = ("n_components", "covariance_type", "weight_concentration_prior_type")

    # -- assembly ---------------------------------------------------------------------------------------------------

    def _decide(self, data, moments):
        super()._decide(data, moments)
        self._covariance_type = self.covariance_type
        self._weights_prior = self.weight_concentration_prior_type
        given = self.weight_concentration_prior
        self.weight_concentration_prior_ = 1 / self.n_components if given is None else float(given)
        self._prior = normal_wishart(
            self,
            data,
            moments,
            mean_precision=self.mean_precision_prior,
            mean=self.mean_prior,
            degrees_of_freedom=self.degrees_of_freedom_prior,
            covariance=self.covariance_prior,
        )

    def _build_model(self, n_features):
        return model_of(
            self._covariance,
            self._prior,
            self.center_,
            self.n_components_,
            WEIGHT_PRIORS[self._weights_prior](self.weight_concentration_prior_),
            self.reg_covar,
            self._device_in_use(),
        )

    def fit(self, X, y=None, *, sample_weight=None):
        """Find the posterior by raising the lower bound on the evidence.

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
        return super().fit(X, y, sample_weight=sample_weight)

    # -- fitted parameters ------------------------------------------------------------------------------------------

    @property
    def weights_(self):
        """Expected weights of the components, (n_components,)."""
        prior = WEIGHT_PRIORS[self._weights_prior](self.weight_concentration_prior_)
        weights = prior.expected(torch.tensor(self.parameters_["weight_concentration"])).numpy()
        return self._cast(weights / weights.sum())

    @property
    def weight_concentration_(self):
        """Parameters of the posterior of the weights."""
        values = self.parameters_["weight_concentration"]
        return self._cast(values) if values.ndim == 1 else tuple(self._cast(row) for row in values)

    @property
    def mean_precision_(self):
        """Numbers of rows that the posteriors of the means count for, (n_components,)."""
        return self._cast(self.parameters_["mean_precision"])

    @property
    def degrees_of_freedom_(self):
        """Degrees of freedom of the posteriors of the precisions, (n_components,) or one number."""
        values = self.parameters_["degrees_of_freedom"]
        return float(values[0]) if self._covariance.tied else self._cast(values)

    @property
    def mean_precision_prior_(self):
        """Number of rows that the prior on a mean counts for."""
        return self._prior["mean_precision"]

    @property
    def degrees_of_freedom_prior_(self):
        """Degrees of freedom of the prior on precisions."""
        return self._prior["degrees_of_freedom"]

    @property
    def mean_prior_(self):
        """Expected mean a priori, (n_features,)."""
        return self._cast(self._prior["mean"])

    @property
    def covariance_prior_(self):
        """Inverse of the scale matrix of the prior on precisions, in the shape that ``covariance_type`` says."""
        values = self._prior["covariance"]
        return float(values[0]) if self._covariance.pooled else self._cast(values)

    # -- use --------------------------------------------------------------------------------------------------------

    def score_samples(self, X):
        """Log-density of each row given the training rows.

        It is that of a mixture of Student's t distributions: the mean of the mixture's density over the variational
        posterior of its parameters, exactly. A Dirichlet process is taken to draw from its first ``n_components``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows; of those with missing entries (NaN), the density of the observed ones.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            Nats per row, all constants included.
        """
        return self._map_rows(X, lambda posterior, tile: [posterior.predictive_log_prob(tile)])[0]
