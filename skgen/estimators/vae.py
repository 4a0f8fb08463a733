"""Variational autoencoder."""

from numbers import Integral, Real

from skgen.estimators._labelled import ClassConditionalEstimator
from skgen.estimators._network_kinds import CHOSEN_NETWORKS
from skgen.estimators._params import OPTIMISATION, RUNTIME, STOPPING
from skgen.estimators._prior_components import PriorComponents
from skgen.estimators._sklearn import Interval, Options, RealNotInt, StrOptions
from skgen.likelihoods import LIKELIHOODS, LikelihoodSpec
from skgen.objectives import OBJECTIVES
from skgen.posteriors import POSTERIORS, PosteriorSpec
from skgen.priors import PRIORS, PriorSpec
from skgen.training.schedules import KL_SCHEDULES


class VariationalAutoencoder(PriorComponents, ClassConditionalEstimator):
    r"""Variational autoencoder: a latent-variable model with an amortised posterior.

    .. math::

        z \sim p(z), \quad x \mid z \sim p(x; f_\theta(z)), \quad
        \log p(x) \ge E_{q_\phi(z \mid x)}[\log p(x \mid z)] - KL(q_\phi(z \mid x) \,\|\, p(z))

    Prior, likelihood, posterior and objective are chosen independently. Every log-likelihood is in nats per row, in
    the units of X, with all constants, so that scores compare with those of PCA or GaussianMixture.

    Parameters
    ----------
    n_components : int, default=2
        Number of latent variables.
    prior : {"normal", "mixture", "vamp", "flow", "uniform", "categorical"} or PriorSpec, default="normal"
        Distribution of the latent variables, see :mod:`skgen.priors`. With "mixture" the model has clusters:
        ``predict``, ``predict_proba`` and ``sample(n, component=k)``.
    prior_fit : {"joint", "aggregate"}, default="joint"
        Whether the prior is learnt with the networks, or after them: they are trained with a standard normal prior, in
        whose place comes ``prior`` fitted to draws of the posteriors of the training rows.
    likelihood : str, LikelihoodSpec or list of (name, likelihood, columns), default="gaussian"
        Distribution of a row given its latent variables, see :mod:`skgen.likelihoods`: "gaussian", "student_t",
        "bernoulli", "continuous_bernoulli", "poisson", "negative_binomial", "discretized_logistic" or "categorical"; a
        list has one for each column, and "auto" chooses one for each.
    posterior : {"diagonal", "full", "flow"} or PosteriorSpec, default="diagonal"
        Family of the approximate posterior, see :mod:`skgen.posteriors`: independent normal variables, correlated
        ones, or any smooth density.
    conditional : bool, default=False
        Whether ``fit(X, y)`` learns p(x | y) for classes y, ``classes_``, with shares ``class_prior_`` in the training
        rows. The encoder sees x alone; methods without y are about p(x).
    network : {"mlp", "conv"}, callable or pair of callables, default="mlp"
        Multilayer perceptrons, or convolutional networks for images. A callable ``factory(n_inputs, n_outputs)``
        returns a torch module of your own, that of a pair the encoder and the decoder.
    image_shape : tuple of int, default=None
        (height, width) or (channels, height, width) of a row, where images are asked for. None is a square where the
        number of columns is one, else a single line.
    hidden_layer_sizes : int or array-like of int, default=None
        Hidden layers of the encoder, empty for a linear encoder; of "conv" the channels of its stages. None is
        (256, 256), of "conv" (32, 64).
    decoder_hidden_layer_sizes : int or array-like of int, default=None
        Hidden layers of the decoder; None mirrors the encoder's.
    activation : {"relu", "leaky_relu", "tanh", "sigmoid", "silu", "elu", "gated", "identity"}, default="relu"
        Activation of hidden layers.
    dropout : float, default=0.0
        Share of hidden units dropped in training.
    objective : {"elbo", "iwae", "dreg"} or callable, default="elbo"
        Bound to maximise. "dreg" is "iwae" with less noise in the encoder's gradient. A callable maps log-weights, a
        tensor (draws, batch) in nats and the units of X, to values (batch,) that torch can differentiate; it need not
        be a bound, and scores never depend on it.
    n_draws : int, default=1
        Posterior draws per row and step. "iwae" and "dreg" are a tighter bound with more; with "elbo" more draws only
        lower the noise of the gradient.
    beta : float, default=1.0
        Final weight of the KL in training. Scores, history and early stopping always use weight 1.
    kl_schedule : {"linear", "cyclical", "annealed", "constant"}, default="linear"
        How the weight of the KL comes to ``beta`` over ``kl_warmup`` epochs: it rises once, or it rises and falls back
        four times, or it falls from ten times ``beta``, or it is ``beta`` from the first epoch on.
    kl_warmup : float or int, default=0.1
        Epochs of ``kl_schedule``: a fraction of ``max_iter`` (float) or a number of epochs (int).
    target_kl : float, default=None
        Nats per row at which the KL is held: training subtracts ``beta`` times the distance from them instead of the
        KL. The target rises from 0 by ``kl_schedule``, "linear" or "cyclical".
    free_bits : float, default=0.0
        Nats per latent variable and row below which the KL is not penalised in training; for a row as a whole where
        prior and posterior have no closed form.
    mutual_information_weight : float, default=0.0
        Weight, in training, of a bound on the information between rows and latent variables, from a critic that is
        trained with the model.
    reconstruction : {"ssim"} or callable, default=None
        What training maximises in place of log p(x | z), **no likelihood**: the structural similarity of the mean of
        p(x | z) and the row as images, or their likeness in the features of a network, a callable from images
        (n, channels, height, width) to a tensor or a list of tensors (n, channels, ...). Scores stay those of the
        likelihood, which is then untrained, and ``score_kind`` is "pseudo".
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
        Rows per step. Data of at most this many rows are trained as one batch in row order and in the dtype of X,
        with noise that rows share, so that integer weights equal repeated rows.
    max_iter : int, default=200
        Largest number of epochs.
    n_init : int, default=1
        Fits from different seeds, of which the one with the best bound is kept, on validation rows where there are
        any. Labels have no say.
    tol : float, default=1e-4
        Smallest rise, in nats per row, that counts as progress.
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
    refine_steps : int, default=0
        Steps by which the posterior of each row is raised from what the encoder gives, in every use of the fitted
        model: closer bounds, for more time.
    device : str, default="cpu"
        "cpu", "cuda", "cuda:1", "mps" or "auto" (the best that is present).
    precision : {"float32", "float64", "bfloat16"}, default="float32"
        Arithmetic of training; "bfloat16" is used in matrix products alone, and is slow on processors that emulate
        it. Inference is in the dtype of X.
    random_state : int, RandomState instance or None, default=None
        Source of initial weights, batches and noise.
    verbose : int or bool, default=0
        Report every so many epochs.

    Attributes
    ----------
    weights_ : dict of str to ndarray
        Parameters and standardisation of the model.
    kl_per_component_ : ndarray of shape (n_components,) or None
        Mean KL of each latent variable over the training rows, in nats, where prior and posterior have a closed form.
    active_units_ : ndarray of shape (n_components,), dtype bool
        Latent variables whose posterior mean has a variance above 0.01 over the training rows.
    n_active_units_ : int
        Number of them.
    mutual_information_, aggregated_kl_ : float or None
        Nats that the latent variables tell of a row, at most log 500, and KL from the aggregated posterior to the
        prior, over at most 500 training rows; None where the posterior has no density at points that it did not draw.
    noise_variance_ : ndarray of shape (n_features,) or None
        Noise variance of a Gaussian likelihood in squared units of X, where it is the same for all rows.
    history_ : dict of str to list of float
        Per epoch: ``elbo``, ``reconstruction``, ``kl`` (and ``iwae``, or a callable's ``objective``) in nats per row at
        weight 1, ``kl_weight``, ``target_kl`` and ``mutual_information_bound`` if they are asked for,
        ``learning_rate``, and the monitored entry as ``validation_elbo`` (``validation_iwae``) where there are
        validation rows.
    n_iter_ : int
        Epochs run.
    best_iter_ : int
        Epoch with the best monitored value.
    init_scores_ : ndarray of shape (n_init,)
        What each of the fits came to, of which the best is this one: nats per row of the monitored bound.
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
    Autoencoder : The same networks without noise.

    References
    ----------
    Kingma and Welling (2014), Auto-encoding variational Bayes, https://arxiv.org/abs/1312.6114.
    Burda, Grosse and Salakhutdinov (2016), Importance weighted autoencoders, https://arxiv.org/abs/1509.00519.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skgen import VariationalAutoencoder
    >>> X = load_iris().data
    >>> vae = VariationalAutoencoder(n_components=2, hidden_layer_sizes=(32,), max_iter=50, random_state=0).fit(X)
    >>> vae.transform(X).shape
    (150, 2)
    >>> vae.sample(5, random_state=0).shape
    (5, 4)
    """

    @property
    def _asks_labels(self):
        return self.conditional

    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "prior": [StrOptions(set(PRIORS)), PriorSpec],
        "prior_fit": [StrOptions({"joint", "aggregate"})],
        "likelihood": [StrOptions({"auto", *LIKELIHOODS}), LikelihoodSpec, list, tuple],
        "posterior": [StrOptions(set(POSTERIORS)), PosteriorSpec],
        "conditional": ["boolean"],
        **CHOSEN_NETWORKS,
        "objective": [StrOptions(set(OBJECTIVES)), callable],
        "n_draws": [Interval(Integral, 1, None, closed="left")],
        "beta": [Interval(Real, 0, None, closed="left")],
        "kl_schedule": [StrOptions(set(KL_SCHEDULES))],
        "kl_warmup": [Interval(Integral, 0, None, closed="left"), Interval(RealNotInt, 0, 1, closed="both")],
        "target_kl": [Interval(Real, 0, None, closed="left"), None],
        "free_bits": [Interval(Real, 0, None, closed="left")],
        "mutual_information_weight": [Interval(Real, 0, None, closed="left")],
        "reconstruction": [StrOptions({"ssim"}), callable, None],
        **OPTIMISATION,
        "n_init": [Interval(Integral, 1, None, closed="left")],
        **STOPPING,
        "n_score_draws": [Options(Integral, {2**k for k in range(21)})],
        "refine_steps": [Interval(Integral, 0, None, closed="left")],
        **RUNTIME,
    }

    def __init__(
        self,
        n_components=2,
        *,
        # model
        prior="normal",
        prior_fit="joint",
        likelihood="gaussian",
        posterior="diagonal",
        conditional=False,
        # networks
        network="mlp",
        image_shape=None,
        hidden_layer_sizes=None,
        decoder_hidden_layer_sizes=None,
        activation="relu",
        dropout=0.0,
        # objective
        objective="elbo",
        n_draws=1,
        beta=1.0,
        kl_schedule="linear",
        kl_warmup=0.1,
        target_kl=None,
        free_bits=0.0,
        mutual_information_weight=0.0,
        reconstruction=None,
        # optimisation
        solver="adam",
        learning_rate=1e-3,
        learning_rate_schedule="constant",
        momentum=0.9,
        weight_decay=0.0,
        max_grad_norm=None,
        batch_size=128,
        max_iter=200,
        n_init=1,
        # stopping
        tol=1e-4,
        n_iter_no_change=20,
        early_stopping=False,
        validation_fraction=0.1,
        warm_start=False,
        # runtime
        n_score_draws=64,
        refine_steps=0,
        device="cpu",
        precision="float32",
        random_state=None,
        verbose=0,
    ):
        self.n_components = n_components
        self.prior = prior
        self.prior_fit = prior_fit
        self.likelihood = likelihood
        self.posterior = posterior
        self.conditional = conditional
        self.network = network
        self.image_shape = image_shape
        self.hidden_layer_sizes = hidden_layer_sizes
        self.decoder_hidden_layer_sizes = decoder_hidden_layer_sizes
        self.activation = activation
        self.dropout = dropout
        self.objective = objective
        self.n_draws = n_draws
        self.beta = beta
        self.kl_schedule = kl_schedule
        self.kl_warmup = kl_warmup
        self.target_kl = target_kl
        self.free_bits = free_bits
        self.mutual_information_weight = mutual_information_weight
        self.reconstruction = reconstruction
        self.solver = solver
        self.learning_rate = learning_rate
        self.learning_rate_schedule = learning_rate_schedule
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.max_grad_norm = max_grad_norm
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.n_init = n_init
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.warm_start = warm_start
        self.n_score_draws = n_score_draws
        self.refine_steps = refine_steps
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose
