"""Mixture of normal distributions, fitted by EM."""

from numbers import Integral, Real

from skgen.distributions.covariance import COVARIANCES
from skgen.estimators import _mixture_parameters
from skgen.estimators._conjugate_prior import conjugate_terms, prior_terms
from skgen.estimators._mixture import MixtureEstimator
from skgen.estimators._mixture_algebra import DerivedMixtures
from skgen.estimators._normal_attributes import NormalComponents
from skgen.estimators._params import EXACT_OPTIMISATION, EXACT_RUNTIME, EXACT_STOPPING, MIXTURE
from skgen.estimators._sklearn import Interval, StrOptions
from skgen.models.mixture import GaussianMixtureModel
from skgen.priors import PRIORS_ON_PARAMETERS, Conjugate


class GaussianMixture(DerivedMixtures, NormalComponents, MixtureEstimator):
    """Mixture of normal distributions, fitted by expectation maximisation.

    The parameters, attributes and methods of :class:`sklearn.mixture.GaussianMixture` are here with the same meaning,
    several times faster, and with weights of rows, missing values, learning chunk by chunk, priors, conditional and
    marginal distributions.

    Parameters
    ----------
    n_components : int, default=1
        Number of components.
    covariance_type : {"full", "tied", "diag", "spherical", "tied_diag", "tied_spherical"}, default="full"
        Structure of the covariances; those called tied are shared by all components.
    reg_covar : float, default=1e-6
        Added to the variances after each M-step. With 0 the bound never falls; a ``prior`` is the better remedy for
        singular covariances.
    prior : None, "conjugate" or :class:`~skgen.priors.Conjugate`, default=None
        Prior on the parameters, whose posterior mode is then found in place of the maximum of the likelihood.
    on_degenerate : {"reinit", "prune", "raise"}, default="reinit"
        What happens to a component without rows or with a singular covariance: it starts again at the row that is
        explained worst, is left out, or raises a ValueError. ``events_`` tells.
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}, default="kmeans"
        How the start is found, on at most a few thousand rows that stand for all.
    whiten_init : bool or "auto", default="auto"
        Whether the start is found in whitened coordinates, so that no scaling or turning of the rows changes it. "auto"
        tries both these and X's own, and takes what EM makes more of.
    n_init : int, default=1
        Number of candidates for the start, and at least one for each kind of coordinates, three where there are many
        rows. Each goes through a few iterations on some thousand rows, fewer where the model is large, and the one with
        the highest bound is fitted to all.
    weights_init : array-like of shape (n_components,), default=None
        Weights to start from.
    means_init : array-like of shape (n_components, n_features), default=None
        Means to start from.
    precisions_init : array-like or float, default=None
        Inverses of the covariances to start from, in the shape of ``covariances_``.
    solver : {"em", "em-accelerated", "incremental", "online", "gradient", "mcem"}, default="em"
        EM over all rows; SQUAREM, for components that overlap; EM block by block; from batches in random order;
        gradients of the likelihood; draws in place of expectations.
    batch_size : int, default=1024
        Different rows in a batch of ``solver="online"``.
    gradient_method : {"lbfgs", "bfgs", "cg", "newton-cg", "adam", "adamw", "sgd"}, default="lbfgs"
        Optimiser of ``solver="gradient"``.
    learning_rate : float, default=0.01
        Step size of a ``gradient_method`` without a line search.
    learning_decay, learning_offset : float, default=0.7, 10.0
        Batch t of online EM has the weight ``(learning_offset + t) ** -learning_decay``.
    total_samples : float, default=1e6
        Number of rows that ``partial_fit`` will see, against which a prior is weighed.
    max_iter : int, default=100
        Largest number of iterations.
    tol : float, default=1e-3
        Rise of the bound, in nats per row, below which a fit has converged; 0 goes on to ``max_iter``.
    warm_start : bool, default=False
        Whether ``fit`` goes on from the fit before.
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
        Weights.
    means_ : ndarray of shape (n_components, n_features)
        Means.
    covariances_ : ndarray
        (n_components, n_features, n_features), (n_features, n_features), (n_components, n_features),
        (n_components,), (n_features,) or (), in the order of ``covariance_type``'s choices.
    precisions_, precisions_cholesky_ : ndarray
        Inverses of the covariances, and their Cholesky factors.
    lower_bound_ : float
        Log-likelihood of the training rows, and log-prior if there is one, at the fitted parameters, in nats per row.
    lower_bounds_ : list of float
        The same at the start of each iteration.
    converged_ : bool
        Whether the bound had ceased to rise.
    n_iter_ : int
        Number of iterations.
    n_components_ : int
        Number of components left.
    events_ : list of dict
        Degenerate components: "iteration", "component" and "action".
    history_ : dict of str to list of float
        What ``lower_bounds_`` holds, for callbacks.
    parameters_ : dict of str to ndarray
        The parameters in float64, relative to ``center_``.

    References
    ----------
    Dempster, Laird and Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm.
    Ghahramani and Jordan (1994), Supervised learning from incomplete data via an EM approach.

    Examples
    --------
    >>> import numpy as np
    >>> from skgen import GaussianMixture
    >>> X = np.array([[1.0, 2.0], [1.0, 4.0], [1.0, 0.0], [10.0, 2.0], [10.0, np.nan], [10.0, 0.0]])
    >>> model = GaussianMixture(n_components=2, covariance_type="tied_diag", random_state=0).fit(X)
    >>> model.predict([[0, 0], [np.nan, 3], [12, 3]]).shape
    (3,)
    >>> np.sort(model.means_[:, 0]).round(6)
    array([ 1., 10.])
    """

    _parameter_constraints = (
        MIXTURE
        | EXACT_OPTIMISATION
        | EXACT_STOPPING
        | EXACT_RUNTIME
        | {
            "covariance_type": [StrOptions(set(COVARIANCES))],
            "reg_covar": [Interval(Real, 0, None, closed="left")],
            "prior": [StrOptions(set(PRIORS_ON_PARAMETERS)), Conjugate, None],
            "weights_init": ["array-like", None],
            "means_init": ["array-like", None],
            "precisions_init": ["array-like", Real, None],
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
        prior=None,
        on_degenerate="reinit",
        # start
        init_params="kmeans",
        whiten_init="auto",
        n_init=1,
        weights_init=None,
        means_init=None,
        precisions_init=None,
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
        self.prior = prior
        self.on_degenerate = on_degenerate
        self.init_params = init_params
        self.whiten_init = whiten_init
        self.n_init = n_init
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
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

    _fixed_parameters = ("n_components", "covariance_type")

    # -- assembly ---------------------------------------------------------------------------------------------------

    def _decide(self, data, moments):
        super()._decide(data, moments)
        if any(value is not None for value in (self.weights_init, self.means_init, self.precisions_init)):
            self.n_components_ = self.n_components
        self._covariance_type = self.covariance_type
        self._prior_terms = prior_terms(self.prior, self._covariance, self.n_components_, data, moments, self.center_)

    def _build_model(self, n_features):
        return GaussianMixtureModel(
            self._covariance,
            self.n_components_,
            n_features,
            reg_covar=self.reg_covar,
            prior=conjugate_terms(self._prior_terms, self._device_in_use()),
        )

    def _initial_parameters(self, model, rows, random_state):
        given = _mixture_parameters.start(self, model)
        if len(given) == 3:
            return given
        return super()._initial_parameters(model, rows, random_state) | given
