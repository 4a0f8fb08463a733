"""Restricted Boltzmann machine."""

from numbers import Integral, Real

import numpy as np

from skgen.estimators._negative_phases import NEGATIVE_PHASES
from skgen.estimators._params import FIRST_ORDER, OPTIMISATION, RUNTIME, STOPPING
from skgen.estimators._rbm_training import TrainedMachine
from skgen.estimators._sklearn import Interval, StrOptions
from skgen.units import HIDDEN_UNITS, VISIBLE_UNITS


class RBM(TrainedMachine):
    r"""Restricted Boltzmann machine: a layer of visible and a layer of hidden units with a bilinear coupling.

    .. math::

        p(v, h) = \frac{1}{Z} \exp(a \cdot v + b \cdot h + h \cdot W v), \quad
        P(h_j = 1 \mid v) = \sigma(b_j + W_j \cdot v)

    Parameters, attributes and methods of scikit-learn's BernoulliRBM have the same names here; ``max_iter`` is its
    ``n_iter``. Beyond it there are real and categorical columns, likelihoods, samples and imputation. Learning follows
    the gradient of the log-likelihood, in which expectations under the machine come from chains of Gibbs steps.

    Parameters
    ----------
    n_components : int, default=256
        Number of hidden units.
    visible : {"bernoulli", "gaussian", "categorical"}, default="bernoulli"
        Visible units: for numbers in [0, 1], best 0 and 1; for real numbers, which are standardised inside; for codes
        of categories, each column with its own.
    hidden : {"bernoulli", "gaussian", "relu"}, default="bernoulli"
        Hidden units: binary, linear, or normal ones cut off at 0. With real visible units, weights of the last two are
        kept where the density has an integral.
    variance : {"feature", "shared", "fixed"}, default="feature"
        With ``visible="gaussian"``: the variance of columns given the hidden units is learnt for each, is a common
        share of all columns' variances, or is the columns' variance.
    categories : "auto" or list or tuple of array-like, default="auto"
        With ``visible="categorical"``: the codes of each column; "auto" takes those of the rows that are fitted first.
    method : {"auto", "cd", "pcd", "tempering", "exact"}, default="auto"
        Where the machine's states come from: chains of ``n_gibbs`` steps from the rows of the batch (contrastive
        divergence), ``n_chains`` chains that go on from batch to batch (persistent), the same with replicas of each at
        higher temperatures, which exchange their states (tempering), or the exact moments of a machine whose units are
        all linear. "auto" is "exact" where that can be, else "pcd".
    n_gibbs : int, default=1
        Gibbs steps for each gradient.
    n_chains : int, default=100
        Number of chains, whatever the size of a batch; of "cd" only where all rows are one batch.
    center : bool, default=True
        Whether the gradient is centred on the means of both layers, which makes learning independent of which value
        of a binary column is called 1.
    sparsity_target : float, default=None
        Wanted mean of the hidden units, which must be binary.
    sparsity_cost : float, default=0.1
        Weight of the Kullback-Leibler divergence from that target, per hidden unit and row.
    solver : {"sgd", "adam", "adamw"}, default="sgd"
        Optimiser.
    learning_rate : float, default=0.2
        Step size.
    learning_rate_schedule : {"constant", "linear", "cosine"}, default="linear"
        Factor of the step size over ``max_iter`` epochs; the last two fall to zero. With ``warm_start`` a fit goes on
        as the second part of one long fit: its factor is that of the share of all epochs that are done.
        ``partial_fit`` has the factor 1.
    momentum : float, default=0.5
        Momentum of "sgd".
    weight_decay : float, default=1e-4
        L2 penalty on the weights, not on biases.
    max_grad_norm : float, None or "auto", default="auto"
        Largest norm of a gradient; longer ones are shortened to it. "auto" is 1 where the units of one layer are
        unbounded, 0.1 where those of both are, whose weights have norms below 1, and else None.
    batch_size : int, default=50
        Rows per step. Data of at most this many rows are trained as one batch in the dtype of X; integer weights then
        equal repeated rows, since chains start from the weighted distribution of the rows.
    max_iter : int, default=200
        Largest number of epochs.
    tol : float, default=1e-4
        Smallest rise of the pseudo-log-likelihood, in nats per row, that counts as progress.
    n_iter_no_change : int or inf, default=inf
        Epochs without progress after which training stops.
    early_stopping : bool, default=False
        Measure progress on validation rows and keep the weights of the best epoch.
    validation_fraction : float, default=0.1
        Share of rows held out for early stopping when no ``X_val`` is given.
    warm_start : bool, default=False
        Whether ``fit`` continues from the fitted weights and chains for another ``max_iter`` epochs.
    score_method : {"likelihood", "pseudo"}, default="likelihood"
        What ``score_samples`` and ``score`` are. The likelihood needs log Z, which is computed at the first score and
        kept: exact where one layer has at most 20 binary units or both are linear, else an estimate by annealed
        importance sampling, with a warning where it cannot be trusted to a nat. "pseudo" is exact and no likelihood.
    device : str, default="cpu"
        "cpu", "cuda", "cuda:1", "mps" or "auto" (the best that is present).
    precision : {"float32", "float64", "bfloat16"}, default="float32"
        Arithmetic of training; "bfloat16" is used in matrix products alone, and is slow on processors that emulate
        it. Inference is in the dtype of X.
    random_state : int, RandomState instance or None, default=None
        Source of initial weights, batches, chains and the estimate of log Z.
    verbose : int or bool, default=0
        Report every so many epochs.

    Attributes
    ----------
    weights_ : dict of str to ndarray
        Parameters and standardisation of the machine.
    components_ : ndarray of shape (n_components, n_features)
        Weights in the units of X, so that ``X @ components_.T + intercept_hidden_`` are the fields of the hidden units;
        for categorical units with one column per category.
    intercept_hidden_ : ndarray of shape (n_components,)
        Biases of the hidden units.
    intercept_visible_ : ndarray of shape (n_features,)
        Biases of the visible units; of real ones their means where h is 0.
    chains_ : ndarray of shape (n_chains, n_components) or None
        Hidden states of the persistent chains, from which ``sample`` starts.
    history_ : dict of str to list of float
        Per epoch: ``pseudo_log_likelihood``, the progress, exact on rows that stay the same, in nats per row;
        ``energy_gap``, the free energy of rows minus that of the chains, which stays near 0 where chains follow;
        ``reconstruction_error``, squared and in the units of X, which is no measure of progress; ``learning_rate``;
        with validation rows ``validation_pseudo_log_likelihood`` and ``free_energy_gap``, their free energy minus that
        of training rows, which rises as the machine learns rows by heart.
    n_iter_ : int
        Epochs run.
    best_iter_ : int
        Epoch with the best monitored value.
    converged_ : bool
        Whether training stopped for lack of progress.
    n_samples_seen_ : int
        Rows that the machine was fitted on.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, when X has string names.

    See Also
    --------
    VariationalAutoencoder : A directed model with as many latent variables as one likes.

    Notes
    -----
    A machine that is fitted in chunks from the start by ``partial_fit`` differs from one that ``fit`` has made: its
    learning rate is constant, and an epoch is one pass over a chunk. Chains are part of the fitted state, so that
    storing a machine in between changes nothing.

    References
    ----------
    Hinton (2002), Training products of experts by minimizing contrastive divergence,
    https://doi.org/10.1162/089976602760128018.
    Tieleman (2008), Training restricted Boltzmann machines using approximations to the likelihood gradient,
    https://doi.org/10.1145/1390156.1390290.
    Melchior, Fischer and Wiskott (2016), How to center deep Boltzmann machines,
    https://jmlr.org/papers/v17/14-237.html.
    Salakhutdinov and Murray (2008), On the quantitative analysis of deep belief networks,
    https://doi.org/10.1145/1390156.1390266.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skgen import RBM
    >>> X = load_digits().data > 7.5
    >>> rbm = RBM(n_components=16, max_iter=10, random_state=0).fit(X)
    >>> rbm.transform(X).shape
    (1797, 16)
    >>> rbm.sample(5, random_state=0).shape
    (5, 64)
    """

    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "visible": [StrOptions(set(VISIBLE_UNITS))],
        "hidden": [StrOptions(set(HIDDEN_UNITS))],
        "variance": [StrOptions({"feature", "shared", "fixed"})],
        "categories": [StrOptions({"auto"}), list, tuple],
        "method": [StrOptions({"auto", *NEGATIVE_PHASES})],
        "n_gibbs": [Interval(Integral, 1, None, closed="left")],
        "n_chains": [Interval(Integral, 1, None, closed="left")],
        "center": ["boolean"],
        "sparsity_target": [Interval(Real, 0, 1, closed="neither"), None],
        "sparsity_cost": [Interval(Real, 0, None, closed="left")],
        **OPTIMISATION,
        "solver": [StrOptions(FIRST_ORDER)],
        "max_grad_norm": [StrOptions({"auto"}), *OPTIMISATION["max_grad_norm"]],
        **STOPPING,
        "score_method": [StrOptions({"likelihood", "pseudo"})],
        **RUNTIME,
    }

    def __init__(
        self,
        n_components=256,
        *,
        # model
        visible="bernoulli",
        hidden="bernoulli",
        variance="feature",
        categories="auto",
        # objective
        method="auto",
        n_gibbs=1,
        n_chains=100,
        center=True,
        sparsity_target=None,
        sparsity_cost=0.1,
        # optimisation
        solver="sgd",
        learning_rate=0.2,
        learning_rate_schedule="linear",
        momentum=0.5,
        weight_decay=1e-4,
        max_grad_norm="auto",
        batch_size=50,
        max_iter=200,
        # stopping
        tol=1e-4,
        n_iter_no_change=np.inf,
        early_stopping=False,
        validation_fraction=0.1,
        warm_start=False,
        # runtime
        score_method="likelihood",
        device="cpu",
        precision="float32",
        random_state=None,
        verbose=0,
    ):
        self.n_components = n_components
        self.visible = visible
        self.hidden = hidden
        self.variance = variance
        self.categories = categories
        self.method = method
        self.n_gibbs = n_gibbs
        self.n_chains = n_chains
        self.center = center
        self.sparsity_target = sparsity_target
        self.sparsity_cost = sparsity_cost
        self.solver = solver
        self.learning_rate = learning_rate
        self.learning_rate_schedule = learning_rate_schedule
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.max_grad_norm = max_grad_norm
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.warm_start = warm_start
        self.score_method = score_method
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose
