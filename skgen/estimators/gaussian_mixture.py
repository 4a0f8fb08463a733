"""Mixture of normal distributions, fitted by EM."""

from numbers import Integral, Real

import numpy as np
import torch
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from skgen.distributions.covariance import COVARIANCES
from skgen.estimators import _given
from skgen.estimators._arrays import as_array
from skgen.estimators._exact_estimator import EXACT_OPTIMISATION, EXACT_RUNTIME, EXACT_STOPPING
from skgen.estimators._iterative import Runtime
from skgen.estimators._mixture import MIXTURE, MixtureEstimator
from skgen.estimators._prior import PRIORS_ON_PARAMETERS, conjugate_terms, prior_terms
from skgen.estimators._sklearn import Interval, StrOptions
from skgen.models.conditioning import conditional, marginal
from skgen.models.conjugate import ConjugatePrior
from skgen.models.mixture import GaussianMixtureModel


class GaussianMixture(MixtureEstimator):
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
    prior : None, "conjugate" or ConjugatePrior, default=None
        Prior on the parameters, whose posterior mode is then found in place of the maximum of the likelihood.
    on_degenerate : {"reinit", "prune", "raise"}, default="reinit"
        What happens to a component without rows or with a singular covariance: it starts again at the row that is
        explained worst, is left out, or raises a ValueError. ``events_`` tells.
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}, default="kmeans"
        How the start is found, on at most a few thousand rows that stand for all.
    whiten_init : bool, default=True
        Whether the start is found in whitened coordinates, so that no scaling or turning of the rows changes it.
    n_init : int, default=1
        Number of candidates for the start, three at least. Each goes through a few iterations on the rows of the
        start, and the one with the highest bound is fitted to all rows.
    weights_init : array-like of shape (n_components,), default=None
        Weights to start from.
    means_init : array-like of shape (n_components, n_features), default=None
        Means to start from.
    precisions_init : array-like, default=None
        Inverses of the covariances to start from, in the shape of ``covariances_``.
    solver : {"em", "em-accelerated", "incremental", "online", "gradient", "mcem"}, default="em"
        EM over all rows; SQUAREM, for components that overlap; EM block by block; from batches in random order;
        gradients of the likelihood; draws in place of expectations.
    batch_size : int, default=1024
        Rows in a batch of ``solver="online"``.
    gradient_method : {"lbfgs", "cg", "newton-cg", "adam", "adamw", "sgd"}, default="lbfgs"
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
            "prior": [StrOptions(set(PRIORS_ON_PARAMETERS)), ConjugatePrior, None],
            "weights_init": ["array-like", None],
            "means_init": ["array-like", None],
            "precisions_init": ["array-like", None],
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
        whiten_init=True,
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

    # -- assembly ---------------------------------------------------------------------------------------------------

    @property
    def _covariance(self):
        return COVARIANCES[self._covariance_type]

    def _decide(self, data, moments):
        super()._decide(data, moments)
        self._covariance_type = self.covariance_type
        self._prior_terms = prior_terms(self.prior, self._covariance, self.n_components, data, moments, self.center_)

    def _build_model(self, n_features):
        return GaussianMixtureModel(
            self._covariance,
            self.n_components_,
            n_features,
            reg_covar=self.reg_covar,
            prior=conjugate_terms(self._prior_terms),
        )

    def _initial_parameters(self, model, rows, random_state):
        given = _given.start(self, model)
        if len(given) == 3:
            return given
        return super()._initial_parameters(model, rows, random_state) | given

    # -- fitted parameters ------------------------------------------------------------------------------------------

    @property
    def covariances_(self):
        """Covariances, in the shape that ``covariance_type`` says."""
        return self._cast(_given.shown(self._covariance, self.parameters_["covariances"]))

    @property
    def precisions_(self):
        """Inverses of the covariances."""
        precision = self._covariance.precision(torch.tensor(self.parameters_["covariances"]))[0]
        return self._cast(_given.shown(self._covariance, precision.numpy()))

    @property
    def precisions_cholesky_(self):
        """Upper triangular factors of the precisions, or their square roots where they are variances."""
        covariances = torch.tensor(self.parameters_["covariances"])
        return self._cast(_given.shown(self._covariance, self._covariance.whitening(covariances).numpy()))

    def inverse_transform(self, X):
        """Mean of p(x) given responsibilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Responsibilities.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Means of the components, weighted by them.
        """
        check_is_fitted(self)
        return _given.responsibilities(X, self.n_components_) @ self.means_

    # -- mixtures from and to elsewhere -----------------------------------------------------------------------------

    @classmethod
    def from_parameters(cls, weights, means, covariances, *, covariance_type="full", **params):
        """A fitted mixture with known parameters.

        Parameters
        ----------
        weights : array-like of shape (n_components,)
            Weights, which add up to 1.
        means : array-like of shape (n_components, n_features)
            Means.
        covariances : array-like
            Covariances in the shape of ``covariances_``.
        covariance_type : str, default="full"
            Structure of the covariances.
        **params : dict
            Other parameters of the estimator.

        Returns
        -------
        mixture : GaussianMixture
            It scores, samples and conditions as if it had been fitted.
        """
        k, d = np.shape(means) if np.ndim(means) == 2 else (0, 0)
        if k == 0:
            raise ValueError(f"means must have shape (n_components, n_features), got {np.shape(means)}.")
        mixture = cls(k, covariance_type=covariance_type, **params)
        covariance = COVARIANCES[covariance_type]
        weights = _given.checked(weights, "weights", covariance_type, k, d)
        means = _given.checked(means, "means", covariance_type, k, d)
        covariances = _given.checked(covariances, "covariances", covariance_type, k, d)
        return mixture._with(
            {
                "log_weights": torch.tensor(weights).clamp_min(np.finfo(np.float64).tiny).log(),
                "means": torch.tensor(means),
                "covariances": _given.in_groups(covariance, covariances, d, "covariances"),
            },
            np.zeros(d),
        )

    def _with(self, parameters, center, dtype="float64"):
        """The estimator with parameters in place of a fit."""
        self.parameters_ = {name: as_array(value) for name, value in parameters.items()}
        self.n_components_, self.n_features_in_ = self.parameters_["means"].shape
        self.center_, self._dtype = center, dtype
        self._covariance_type, self._prior_terms = self.covariance_type, None
        self.n_iter_, self.converged_, self.history_, self.events_ = 0, True, {"lower_bound": []}, []
        self.lower_bound_ = np.nan
        self._runtime = Runtime()
        return self

    @classmethod
    def from_sklearn(cls, mixture, **params):
        """A fitted mixture with the parameters of one of scikit-learn's.

        Parameters
        ----------
        mixture : sklearn.mixture.GaussianMixture
            Fitted.
        **params : dict
            Other parameters of the estimator.

        Returns
        -------
        mixture : GaussianMixture
            Of the same density.
        """
        check_is_fitted(mixture)
        kind = mixture.covariance_type
        return cls.from_parameters(
            mixture.weights_, mixture.means_, mixture.covariances_, covariance_type=kind, **params
        )

    def to_sklearn(self):
        """A fitted mixture of scikit-learn's with the same density.

        Returns
        -------
        mixture : sklearn.mixture.GaussianMixture
            Covariances that scikit-learn has no structure for become "tied".
        """
        check_is_fitted(self)
        return _given.to_sklearn(self, self._covariance, self._tensors("cpu"))

    def marginal(self, columns):
        """The mixture of some columns.

        Parameters
        ----------
        columns : array-like of int or str
            Numbers, or names where the training rows had some.

        Returns
        -------
        mixture : GaussianMixture
            Fitted, of these columns in this order.
        """
        kept = torch.tensor(self._places(columns))
        parameters = marginal(self._covariance, self._tensors("cpu"), kept)
        return self._derived(parameters, self.center_[kept.numpy()], kept.numpy())

    def conditional(self, columns, values):
        """The mixture of the other columns, given some.

        Parameters
        ----------
        columns : array-like of int or str
            Numbers, or names where the training rows had some, of what is known.
        values : array-like of shape (n_known,) or (n_rows, n_known)
            What it is.

        Returns
        -------
        mixture : GaussianMixture or list of GaussianMixture
            Fitted; one for each row of ``values`` where it has rows.
        """
        known = self._places(columns)
        rows = check_array(np.atleast_2d(values), dtype=np.float64, input_name="values")
        if rows.shape[1] != len(known):
            raise ValueError(f"values must have {len(known)} numbers in a row, as columns has, got {rows.shape[1]}.")
        given = np.zeros(self.n_features_in_, dtype=bool)
        given[known] = True
        if given.all():
            raise ValueError("columns must leave at least one column that is not given.")
        rows = torch.tensor((rows - self.center_[known])[:, np.argsort(known)])
        log_weights, means, covariances = conditional(self._covariance, self._tensors("cpu"), torch.tensor(given), rows)
        mixtures = [
            self._derived(
                {"log_weights": weight, "means": mean, "covariances": covariances}, self.center_[~given], ~given
            )
            for weight, mean in zip(log_weights, means, strict=True)
        ]
        return mixtures[0] if np.ndim(values) == 1 else mixtures

    def _places(self, columns):
        """Numbers of columns that are given by number or name."""
        check_is_fitted(self)
        names = list(getattr(self, "feature_names_in_", ()))
        columns = np.atleast_1d(np.asarray(columns))
        found = [names.index(c) if c in names else c for c in columns.tolist()]
        if not found or len(set(found)) < len(found) or not all(c in range(self.n_features_in_) for c in found):
            allowed = f"numbers from 0 to {self.n_features_in_ - 1}" + (f" or names among {names}" if names else "")
            raise ValueError(f"columns must be different {allowed}, got {columns.tolist()}.")
        return np.array(found, dtype=int)

    def _derived(self, parameters, center, columns):
        """A fitted mixture of some of the columns."""
        mixture = GaussianMixture(
            self.n_components_, covariance_type=self._covariance_type, random_state=self.random_state
        )._with(parameters, center, self._dtype)
        if hasattr(self, "feature_names_in_"):
            mixture.feature_names_in_ = self.feature_names_in_[columns]
        return mixture
