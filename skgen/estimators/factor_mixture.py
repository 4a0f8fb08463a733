"""Mixture of factor analysers, fitted by EM."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from skgen.estimators._mixture import MixtureEstimator
from skgen.estimators._params import EXACT_OPTIMISATION, EXACT_RUNTIME, EXACT_STOPPING, MIXTURE
from skgen.estimators._sklearn import Interval, StrOptions
from skgen.models.factor_mixture import NOISES, SMALLEST_NOISE, FactorMixture


class MixtureOfFactorAnalyzers(MixtureEstimator):
    r"""Mixture of factor analysers: normal components whose covariances are of low rank plus diagonal.

    .. math:: p(x) = \sum_k \pi_k N(x; \mu_k, W_k W_k' + \Psi_k)

    Within a component a row is :math:`\mu_k + W_k z` plus independent noise, with few standard normal factors z. It is
    a density for many columns: time and memory grow as ``n_features * n_factors``, where those of a mixture of full
    covariances grow as ``n_features ** 2``, and so does what has to be learnt. With isotropic noise and
    ``n_factors = n_features - 1`` it is the mixture of full covariances. Densities are exact.

    Parameters
    ----------
    n_components : int, default=1
        Number of components.
    n_factors : int, default=1
        Number of factors of each component, at most ``n_features``.
    noise : {"diagonal", "isotropic", "shared"}, default="diagonal"
        Noise variances: one for each column in each component (factor analysis), one for each component (probabilistic
        PCA), or one for each column, shared by all components.
    reg_covar : float, default=1e-6
        Smallest noise variance. Unlike a variance that is added, it is a bound under which the likelihood is maximised,
        and EM never lowers it.
    on_degenerate : {"reinit", "prune", "raise"}, default="reinit"
        What happens to a component without rows, or without noise: it starts again at the row that is explained
        worst, is left out, or raises a ValueError. ``events_`` tells.
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}, default="kmeans"
        How clusters are found, on at most a few thousand rows that stand for all. Each component starts at the
        principal components of its cluster.
    whiten_init : bool or "auto", default=False
        Whether clusters are found in whitened coordinates, so that no scaling or turning of the rows changes them. In
        many columns this makes noise as loud as everything else. "auto" tries both these and X's own, and takes what
        EM makes more of.
    n_init : int, default=1
        Number of candidates for the start, and at least one for each kind of coordinates. Each goes through a few
        iterations on some thousand rows, and the one with the highest bound is fitted to all.
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
        Number of rows that ``partial_fit`` will see.
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
        Report every so many iterations.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        Weights.
    means_ : ndarray of shape (n_components, n_features)
        Means.
    components_ : ndarray of shape (n_components, n_factors, n_features)
        Loadings: a row of each for a unit of a factor. Factors may be rotated at will.
    noise_variance_ : ndarray of shape (n_components, n_features), (n_components,) or (n_features,)
        Noise variances, in the order of ``noise``'s choices.
    lower_bound_ : float
        Log-likelihood of the training rows at the fitted parameters, in nats per row.
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

    See Also
    --------
    GaussianMixture : Other structures of covariances.
    FactorAnalysis, ProbabilisticPCA : A single component.

    References
    ----------
    Ghahramani and Hinton (1997), The EM algorithm for mixtures of factor analyzers,
    https://mlg.eng.cam.ac.uk/zoubin/papers/tr-96-1.pdf.
    Tipping and Bishop (1999), Mixtures of probabilistic principal component analyzers,
    https://doi.org/10.1162/089976699300016728.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skgen import MixtureOfFactorAnalyzers
    >>> X = load_digits().data[:, 1:32]
    >>> model = MixtureOfFactorAnalyzers(5, n_factors=3, reg_covar=0.1, random_state=0).fit(X)
    >>> model.transform(X).shape
    (1797, 15)
    >>> model.sample(2, random_state=0)[0].shape
    (2, 31)
    """

    _parameter_constraints = (
        MIXTURE
        | EXACT_OPTIMISATION
        | EXACT_STOPPING
        | EXACT_RUNTIME
        | {
            "n_factors": [Interval(Integral, 1, None, closed="left")],
            "noise": [StrOptions(set(NOISES))],
            "reg_covar": [Interval(Real, 0, None, closed="left")],
        }
    )

    def __init__(
        self,
        n_components=1,
        *,
        # model
        n_factors=1,
        noise="diagonal",
        reg_covar=1e-6,
        on_degenerate="reinit",
        # start
        init_params="kmeans",
        whiten_init=False,
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
    ):
        self.n_components = n_components
        self.n_factors = n_factors
        self.noise = noise
        self.reg_covar = reg_covar
        self.on_degenerate = on_degenerate
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

    _fixed_parameters = ("n_components", "n_factors", "noise")

    # -- assembly ---------------------------------------------------------------------------------------------------

    def _decide(self, data, moments):
        super()._decide(data, moments)
        if self.n_factors > self.n_features_in_:
            raise ValueError(
                f"n_factors={self.n_factors} is more than n_features = {self.n_features_in_}. Lower n_factors; a full "
                "covariance has at most n_features - 1 and isotropic noise."
            )
        variance = moments.scale**2
        smallest = variance[variance > 0].min(initial=np.inf)
        self._options_of_model = {
            "n_factors": int(self.n_factors),
            "noise": self.noise,
            "reg_covar": float(self.reg_covar),
            "min_noise": SMALLEST_NOISE * (float(smallest) if np.isfinite(smallest) else 1.0),
        }

    def _build_model(self, n_features):
        return FactorMixture(n_features, self.n_components_, **self._options_of_model)

    def _rows(self, X, weight, device, model, **options):
        rows = super()._rows(X, weight, device, model, **options)
        rows.incomplete_tile_rows = model.incomplete_tile_rows()
        return rows

    # -- fitted parameters ------------------------------------------------------------------------------------------

    @property
    def components_(self):
        """Loadings, (n_components, n_factors, n_features)."""
        return self._cast(self.parameters_["loadings"].transpose(0, 2, 1))

    @property
    def noise_variance_(self):
        """Noise variances, in the shape that ``noise`` says."""
        axes = NOISES[self._options_of_model["noise"]]
        return self._cast(self.parameters_["noise"].squeeze(axes) if axes else self.parameters_["noise"])

    def get_covariance(self, k=None):
        """Covariance of a component.

        Parameters
        ----------
        k : int, default=None
            Its number; None gives those of all.

        Returns
        -------
        covariance : ndarray of shape (n_features, n_features) or (n_components, n_features, n_features)
            Loadings times their transpose, plus the noise.
        """
        check_is_fitted(self)
        loadings = self.parameters_["loadings"]
        noise = np.broadcast_to(self.parameters_["noise"], loadings.shape[:2])
        if k is not None:
            loadings, noise = loadings[k], noise[k]
        covariance = loadings @ loadings.swapaxes(-1, -2)
        diagonal = np.arange(loadings.shape[-2])
        covariance[..., diagonal, diagonal] += noise
        return self._cast(covariance)

    # -- use --------------------------------------------------------------------------------------------------------

    @property
    def _n_features_out(self):
        return self.n_components_ * self._options_of_model["n_factors"]

    def posterior(self, X):
        """Distribution of the latent variables given rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, NaN where an entry is missing.

        Returns
        -------
        responsibilities : ndarray of shape (n_samples, n_components)
            Probability of each component.
        means : ndarray of shape (n_samples, n_components, n_factors)
            Means of the factors of each component, if the row is from it.
        """
        responsibilities, means = self._map_rows(X, lambda posterior, tile: posterior.factors(tile))
        return responsibilities, means

    def transform(self, X):
        """Posterior means of the factors, each component's times its responsibility.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, NaN where an entry is missing.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components * n_factors)
            The factors of the first component come first.
        """

        def weighted(posterior, tile):
            responsibilities, means = posterior.factors(tile)
            return [(responsibilities.unsqueeze(2) * means).flatten(1)]

        return self._map_rows(X, weighted)[0]

    def inverse_transform(self, X):
        """Mean of p(x) given factors times responsibilities.

        Responsibilities are read off the squared lengths of the components' factors: this is exact where a row is from
        one component for certain.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components * n_factors)
            What :meth:`transform` gives.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Rows.
        """
        check_is_fitted(self)
        Z = check_array(X, dtype=[np.float64, np.float32], input_name="X")
        if Z.shape[1] != self._n_features_out:
            raise ValueError(f"X has {Z.shape[1]} columns, expected n_components * n_factors = {self._n_features_out}.")
        lengths = np.square(Z.reshape(len(Z), self.n_components_, -1), dtype=np.float64).sum(axis=2)
        total = lengths.sum(axis=1, keepdims=True)
        shares = np.where(total > 0, lengths / np.where(total > 0, total, 1), self.weights_)
        mean = shares @ (self.parameters_["means"] + self.center_)
        return (mean + Z @ self.parameters_["loadings"].swapaxes(1, 2).reshape(Z.shape[1], -1)).astype(Z.dtype)
