"""Classifier that learns from rows with and without labels by a generative model."""

from numbers import Integral, Real

from skgen.estimators._params import NETWORKS, OPTIMISATION, RUNTIME, STOPPING
from skgen.estimators._semi_supervised import SemiSupervisedEstimator
from skgen.estimators._sklearn import Interval, Options, RealNotInt, StrOptions
from skgen.likelihoods import LIKELIHOODS, LikelihoodSpec
from skgen.posteriors import POSTERIORS, PosteriorSpec
from skgen.priors import PRIORS, PriorSpec

BOUNDS = ("elbo", "iwae")
"""Objectives whose gradients are those of a bound, which classes are averaged over."""


class VariationalClassifier(SemiSupervisedEstimator):
    r"""Semi-supervised classifier: a variational autoencoder with the class as a second latent variable.

    .. math::

        p(x, y, z) = p(y) \, p(z) \, p(x \mid y, z), \quad q(y, z \mid x) = q(y \mid x) \, q(z \mid x, y)

    Rows without a label teach what rows look like, summed over the classes that they may have; rows with one teach
    which class is which (Kingma et al. 2014, the model M2). It is meant for many rows of which few have a label.

    Parameters
    ----------
    n_components : int, default=10
        Number of latent variables beside the class.
    prior : str or PriorSpec, default="normal"
        Distribution of the latent variables, the same for all classes, see :mod:`skgen.priors`.
    likelihood : str or LikelihoodSpec, default="gaussian"
        Distribution of a row given its class and latent variables, see :mod:`skgen.likelihoods`.
    posterior : str or PosteriorSpec, default="diagonal"
        Family of the approximate posterior of the latent variables, see :mod:`skgen.posteriors`.
    unlabelled : int, float or str, default=None
        Label of the rows that have none, such as -1. None: every label is a class.
    hidden_layer_sizes : int or array-like of int, default=(256, 256)
        Hidden layers of the encoder and of the network of q(y | x); empty for linear ones.
    decoder_hidden_layer_sizes : int or array-like of int, default=None
        Hidden layers of the decoder; None mirrors the encoder's.
    activation : {"relu", "leaky_relu", "tanh", "sigmoid", "silu", "elu", "gated", "identity"}, default="relu"
        Activation of hidden layers.
    dropout : float, default=0.0
        Share of hidden units dropped in training.
    objective : {"elbo", "iwae"}, default="elbo"
        Bound on log p(x | y) to maximise.
    n_draws : int, default=1
        Posterior draws per row, class and step.
    beta : float, default=1.0
        Final weight of the KL of the latent variables in training. Scores and history always use weight 1.
    kl_warmup : float or int, default=0.1
        Epochs over which the weight of the KL rises linearly to ``beta``: a fraction of ``max_iter`` (float) or
        a number of epochs (int).
    free_bits : float, default=0.0
        Nats per latent variable and row below which the KL is not penalised in training.
    classification_weight : float, default=1.0
        Weight of the mean of log q(y | x) over the rows with a label, beside the mean bound of all rows. The bound of a
        row with a label does not depend on q(y | x), so that 0 learns classes from the other rows alone.
    solver : {"adam", "adamw", "sgd", "lbfgs", "bfgs", "cg", "newton-cg"}, default="adam"
        Optimiser. The last four search along lines: they work on all rows in float64 with frozen noise and no
        warm-up, and suit small models.
    learning_rate : float, default=1e-3
        Step size of the first three solvers.
    learning_rate_schedule : {"constant", "linear", "cosine"}, default="constant"
        Factor of the step size over ``max_iter`` epochs; the last two fall to zero.
    momentum : float, default=0.9
        Momentum of "sgd".
    weight_decay : float, default=0.0
        L2 penalty on weight matrices ("adamw": decoupled).
    max_grad_norm : float, default=None
        Largest norm of a gradient; longer ones are shortened to it.
    batch_size : int, default=128
        Rows per step. Data of at most this many rows are trained as one batch in row order and in the dtype of X.
    max_iter : int, default=200
        Largest number of epochs.
    tol : float, default=1e-4
        Smallest rise of the objective, in nats per row, that counts as progress.
    n_iter_no_change : int or inf, default=20
        Epochs without progress after which training stops; epochs of the KL's warm-up do not count. Without
        validation rows, progress is that of the mean over the last 10 epochs.
    early_stopping : bool, default=False
        Measure progress on validation rows and keep the weights of the best epoch.
    validation_fraction : float, default=0.1
        Share of rows held out for early stopping when no ``X_val`` is given.
    warm_start : bool, default=False
        Whether ``fit`` continues from the fitted weights for another ``max_iter`` epochs.
    n_score_draws : int, default=64
        Size of the block of scrambled Sobol noise in ``score_samples``, a power of two.
    device : str, default="cpu"
        "cpu", "cuda", "cuda:1", "mps" or "auto" (the best that is present).
    precision : {"float32", "float64", "bfloat16"}, default="float32"
        Arithmetic of training; "bfloat16" is used in matrix products alone. Inference is in the dtype of X.
    random_state : int, RandomState instance or None, default=None
        Source of initial weights, batches and noise.
    verbose : int or bool, default=0
        Report every so many epochs.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels of the classes.
    class_prior_ : ndarray of shape (n_classes,)
        Share of each class in the rows with a label, by weight: p(y).
    weights_ : dict of str to ndarray
        Parameters and standardisation of the model.
    history_ : dict of str to list of float
        Per epoch: ``elbo``, ``reconstruction``, ``kl`` (and ``iwae``) in nats per row at weight 1, of log p(x, y) where
        there is a label and of log p(x) elsewhere; ``log_proba``, the mean of log q(y | x) over rows with a label;
        ``objective``, the bound plus ``classification_weight`` times that, which progress is measured by;
        ``kl_weight``, ``learning_rate``, and ``validation_objective`` where there are validation rows.
    n_iter_ : int
        Epochs run.
    best_iter_ : int
        Epoch with the best monitored value.
    converged_ : bool
        Whether training stopped for lack of progress.
    prior_, likelihood_, posterior_ : specs
        The specs that were fitted.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, when X has string names.

    See Also
    --------
    VariationalAutoencoder : With ``conditional=True`` a model of rows given their classes, all known.
    RBMStackClassifier : A network that starts from what rows without labels teach.

    References
    ----------
    Kingma, Rezende, Mohamed and Welling (2014), Semi-supervised learning with deep generative models,
    https://arxiv.org/abs/1406.5298.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skgen import VariationalClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> some = np.where(np.arange(len(y)) % 10 == 0, y, -1)
    >>> classifier = VariationalClassifier(
    ...     2, unlabelled=-1, hidden_layer_sizes=(32,), learning_rate=0.01, max_iter=100, random_state=0
    ... ).fit(X, some)
    >>> classifier.predict_proba(X).shape
    (150, 3)
    >>> classifier.sample(2, y=1, random_state=0).shape
    (2, 4)
    """

    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "prior": [StrOptions(set(PRIORS)), PriorSpec],
        "likelihood": [StrOptions(set(LIKELIHOODS)), LikelihoodSpec],
        "posterior": [StrOptions(set(POSTERIORS)), PosteriorSpec],
        "unlabelled": [str, Real, None],
        **NETWORKS,
        "objective": [StrOptions(set(BOUNDS))],
        "n_draws": [Interval(Integral, 1, None, closed="left")],
        "beta": [Interval(Real, 0, None, closed="left")],
        "kl_warmup": [Interval(Integral, 0, None, closed="left"), Interval(RealNotInt, 0, 1, closed="both")],
        "free_bits": [Interval(Real, 0, None, closed="left")],
        "classification_weight": [Interval(Real, 0, None, closed="left")],
        **OPTIMISATION,
        **STOPPING,
        "n_score_draws": [Options(Integral, {2**k for k in range(21)})],
        **RUNTIME,
    }

    def __init__(
        self,
        n_components=10,
        *,
        # model
        prior="normal",
        likelihood="gaussian",
        posterior="diagonal",
        unlabelled=None,
        # networks
        hidden_layer_sizes=(256, 256),
        decoder_hidden_layer_sizes=None,
        activation="relu",
        dropout=0.0,
        # objective
        objective="elbo",
        n_draws=1,
        beta=1.0,
        kl_warmup=0.1,
        free_bits=0.0,
        classification_weight=1.0,
        # optimisation
        solver="adam",
        learning_rate=1e-3,
        learning_rate_schedule="constant",
        momentum=0.9,
        weight_decay=0.0,
        max_grad_norm=None,
        batch_size=128,
        max_iter=200,
        # stopping
        tol=1e-4,
        n_iter_no_change=20,
        early_stopping=False,
        validation_fraction=0.1,
        warm_start=False,
        # runtime
        n_score_draws=64,
        device="cpu",
        precision="float32",
        random_state=None,
        verbose=0,
    ):
        self.n_components = n_components
        self.prior = prior
        self.likelihood = likelihood
        self.posterior = posterior
        self.unlabelled = unlabelled
        self.hidden_layer_sizes = hidden_layer_sizes
        self.decoder_hidden_layer_sizes = decoder_hidden_layer_sizes
        self.activation = activation
        self.dropout = dropout
        self.objective = objective
        self.n_draws = n_draws
        self.beta = beta
        self.kl_warmup = kl_warmup
        self.free_bits = free_bits
        self.classification_weight = classification_weight
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
        self.n_score_draws = n_score_draws
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose
