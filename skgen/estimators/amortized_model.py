"""Latent-variable model of generative units, learnt by variational EM."""

from numbers import Integral, Real

from skgen.estimators._amortization import UnitsEstimator
from skgen.estimators._inference import INFERENCES
from skgen.estimators._params import NETWORKS, OPTIMISATION, RUNTIME, STOPPING
from skgen.estimators._sklearn import Interval, Options, StrOptions
from skgen.estimators._unit_networks import DECODERS, ENCODERS
from skgen.estimators._variational_fit import GENERATORS
from skgen.likelihoods import LIKELIHOODS, LikelihoodSpec
from skgen.models.chains import KERNELS
from skgen.priors import PriorSpec
from skgen.training.optimizers import SOLVERS


class AmortizedLatentModel(UnitsEstimator):
    r"""Generative units, a latent generator and a decoder, learnt by variational expectation-maximisation.

    .. math::

        z \sim p(z), \quad x \mid z \sim p\Big(x; b + \sum_i f_i(z_i)\Big), \quad
        q(z \mid x) = \prod_i N\big(z_i; m_i(x), \mathrm{diag}\, s_i^2(x)\big)

    Unit i has its own parameters: an encoder that gives the posterior of its block :math:`z_i`, and a decoder
    :math:`f_i` that adds what the block explains. An E-step improves the posteriors with the model as it is, an M-step
    improves decoder and latent generator with the posteriors as they are (Neal and Hinton 1998). Which solver takes
    each step, and whether posteriors come from an encoder, from a search for each row, from modes or from Markov
    chains, is chosen freely; so is the latent generator. Every log-likelihood is in nats per row, in the units of X.

    Parameters
    ----------
    n_units : int, default=8
        Number of units.
    unit_size : int, default=2
        Latent variables of each unit.
    latent_generator : {"mixture", "normal", "vamp", "flow", "uniform", "categorical"} or PriorSpec, default="mixture"
        Distribution of the latent variables, see :mod:`skgen.priors`. "normal" has means and variances that are learnt,
        in closed form; a mixture is learnt by a step of EM on the draws of the posteriors, others by gradients. With
        "mixture" there are clusters: ``predict``, ``predict_proba`` and ``sample(n, component=k)``.
    likelihood : str, LikelihoodSpec or list of (name, likelihood, columns), default="gaussian"
        Distribution of a row given its latent variables, see :mod:`skgen.likelihoods`; a list has one for each column,
        and "auto" chooses one for each.
    inference : {"amortized", "semi_amortized", "local", "laplace", "mcmc"}, default="amortized"
        Where the posterior of a row comes from. "amortized": the encoder; "semi_amortized": the encoder, and a search
        for the row from there; "local": a search for the row alone, without an encoder; "laplace": the mode of
        p(z | x) and the curvature there; "mcmc": Markov chains from the encoder's posterior to p(z | x), of whose draws
        a normal distribution has the moments. All but the first are per row, in float64, and independent of other rows.
    encoder : {"mlp", "conv"}, default="mlp"
        Network of each unit.
    decoder : {"additive", "mlp", "conv"}, default="additive"
        Units whose contributions to the likelihood's parameters add up, each a network of the encoder's kind, or one
        network of all latent variables.
    image_shape : tuple of int, default=None
        (height, width) or (channels, height, width) of a row, for "conv". None is a square where the number of columns
        is one, else a single line.
    hidden_layer_sizes : int or array-like of int, default=None
        Hidden layers of each unit's encoder, empty for a linear one; of "conv" the channels of its stages. None is
        (32,), of "conv" (4, 8).
    decoder_hidden_layer_sizes : int or array-like of int, default=None
        Hidden layers of each unit's decoder, or of a decoder of all units. None mirrors the encoder's, or what None
        stands for there where the networks are of different kinds; a decoder of all units is then as wide as those of
        the units together.
    activation : {"relu", "leaky_relu", "tanh", "sigmoid", "silu", "elu", "gated", "identity"}, default="relu"
        Activation of hidden layers.
    n_draws : int, default=1
        Posterior draws per row and step. Line searches, and searches for each row, take at least twice as many as there
        are latent variables.
    e_schedule : {"fixed", "aggressive"}, default="fixed"
        Whether an E-step has ``n_e_steps`` updates of the encoder, or goes on in blocks of so many until the mutual
        information of rows and latent variables has ceased to rise (He et al. 2019).
    e_solver, m_solver : {"adam", "adamw", "sgd", "lbfgs", "bfgs", "cg", "newton-cg"}, default="adam"
        Optimisers of the E- and the M-step. The last four search along lines: with one of them a fit works on all rows
        in float64, with noise that stays the same. With two of them the bound cannot fall while posteriors are found by
        an encoder or a search. "bfgs" holds a matrix and takes at most 5000 parameters. In a search for each row
        "adamw" is "adam"; of rows of a fitted model "lbfgs" stands in for solvers without line search.
    n_e_steps, n_m_steps : int, default=1
        Updates of the encoder in an E-step, and of the decoder in an M-step.
    learning_rate : float, default=3e-3
        Step size of the solvers without line search.
    max_grad_norm : float, default=None
        Largest norm of a gradient; longer ones are shortened to it.
    batch_size : int or None, default=128
        Rows per step; None stands for all. Line searches take all rows in any case.
    max_iter : int, default=200
        Largest number of EM iterations; with batches, of passes over the rows, with an E- and an M-step on each batch.
    tol : float, default=1e-4
        Smallest rise, in nats per row, that counts as progress.
    n_iter_no_change : int or inf, default=20
        Iterations without progress after which learning stops.
    early_stopping : bool, default=False
        Measure progress on validation rows and keep the weights of the best iteration.
    validation_fraction : float, default=0.1
        Share of rows held out for early stopping when no ``X_val`` is given.
    warm_start : bool, default=False
        Whether ``fit`` continues from the fitted weights for another ``max_iter`` iterations.
    n_score_draws : int, default=64
        Size of the block of scrambled Sobol noise in ``score_samples``, a power of two.
    refine_steps : int, default=20
        Steps of the search for the posterior of a row, or of its Markov chains, in an E-step and in every use.
    kernel : {"hmc", "langevin"}, default="hmc"
        Of Markov chains.
    device : str, default="cpu"
        "cpu", "cuda", "cuda:1", "mps" or "auto" (the best that is present).
    precision : {"float32", "float64", "bfloat16"}, default="float32"
        Arithmetic of learning; "bfloat16" is used in matrix products alone. Inference is in the dtype of X.
    random_state : int, RandomState instance or None, default=None
        Source of initial weights, batches and noise.
    verbose : int or bool, default=0
        Report every so many iterations.

    Attributes
    ----------
    weights_ : dict of str to ndarray
        Parameters and standardisation of the model.
    kl_per_component_ : ndarray of shape (n_components,) or None
        Mean KL of each latent variable over the training rows, in nats, where there is a closed form.
    active_units_ : ndarray of shape (n_components,), dtype bool
        Latent variables whose posterior mean has a variance above 0.01 over the training rows.
    n_active_units_ : int
        Number of them.
    mutual_information_, aggregated_kl_ : float or None
        Nats that the latent variables tell of a row, at most log 500, and KL from the aggregated posterior to the
        latent generator, over at most 500 training rows.
    noise_variance_ : ndarray of shape (n_features,) or None
        Noise variance of a Gaussian likelihood in squared units of X, where it is the same for all rows.
    history_ : dict of str to list of float
        Per iteration: ``elbo``, ``reconstruction`` and ``kl`` in nats per row, after it, or before it where one pass
        gives the gradients of both steps, as by default; ``elbo_std``, the standard error of the first by noise and
        batches, ``elbo_fell``, 1 where it fell by more than that, ``n_e_steps`` where it is not fixed,
        ``learning_rate``, and ``validation_elbo`` where there are validation rows.
    n_iter_ : int
        Iterations run.
    best_iter_ : int
        Iteration with the best monitored value.
    converged_ : bool
        Whether learning stopped for lack of progress.
    prior_, likelihood_ : specs
        The specs of latent generator and likelihood that were fitted.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, when X has string names.

    See Also
    --------
    VariationalAutoencoder : Encoder and decoder learnt together.

    References
    ----------
    Neal and Hinton (1998), A view of the EM algorithm that justifies incremental, sparse, and other variants.
    Kim et al. (2018), Semi-amortized variational autoencoders, https://arxiv.org/abs/1802.02550.
    He et al. (2019), Lagging inference networks and posterior collapse, https://arxiv.org/abs/1901.05534.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skgen import AmortizedLatentModel
    >>> X = load_iris().data
    >>> model = AmortizedLatentModel(2, unit_size=1, max_iter=50, random_state=0).fit(X)
    >>> model.transform(X).shape
    (150, 2)
    >>> model.unit_contributions(X).shape
    (150, 2, 4)
    """

    _parameter_constraints: dict = {
        "n_units": [Interval(Integral, 1, None, closed="left")],
        "unit_size": [Interval(Integral, 1, None, closed="left")],
        "latent_generator": [StrOptions(set(GENERATORS)), PriorSpec],
        "likelihood": [StrOptions({"auto", *LIKELIHOODS}), LikelihoodSpec, list, tuple],
        "inference": [StrOptions(set(INFERENCES))],
        "encoder": [StrOptions(set(ENCODERS))],
        "decoder": [StrOptions({name for name, _ in DECODERS})],
        "image_shape": ["array-like", None],
        "hidden_layer_sizes": [*NETWORKS["hidden_layer_sizes"], None],
        "decoder_hidden_layer_sizes": NETWORKS["decoder_hidden_layer_sizes"],
        "activation": NETWORKS["activation"],
        "n_draws": [Interval(Integral, 1, None, closed="left")],
        "e_schedule": [StrOptions({"fixed", "aggressive"})],
        "e_solver": [StrOptions(set(SOLVERS))],
        "m_solver": [StrOptions(set(SOLVERS))],
        "n_e_steps": [Interval(Integral, 1, None, closed="left")],
        "n_m_steps": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="left")],
        "max_grad_norm": OPTIMISATION["max_grad_norm"],
        "batch_size": [*OPTIMISATION["batch_size"], None],
        "max_iter": OPTIMISATION["max_iter"],
        **STOPPING,
        "n_score_draws": [Options(Integral, {2**k for k in range(21)})],
        "refine_steps": [Interval(Integral, 1, None, closed="left")],
        "kernel": [StrOptions(set(KERNELS))],
        **RUNTIME,
    }

    def __init__(
        self,
        n_units=8,
        *,
        # model
        unit_size=2,
        latent_generator="mixture",
        likelihood="gaussian",
        inference="amortized",
        # networks
        encoder="mlp",
        decoder="additive",
        image_shape=None,
        hidden_layer_sizes=None,
        decoder_hidden_layer_sizes=None,
        activation="relu",
        # objective
        n_draws=1,
        e_schedule="fixed",
        # optimisation
        e_solver="adam",
        m_solver="adam",
        n_e_steps=1,
        n_m_steps=1,
        learning_rate=3e-3,
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
        refine_steps=20,
        kernel="hmc",
        device="cpu",
        precision="float32",
        random_state=None,
        verbose=0,
    ):
        self.n_units = n_units
        self.unit_size = unit_size
        self.latent_generator = latent_generator
        self.likelihood = likelihood
        self.inference = inference
        self.encoder = encoder
        self.decoder = decoder
        self.image_shape = image_shape
        self.hidden_layer_sizes = hidden_layer_sizes
        self.decoder_hidden_layer_sizes = decoder_hidden_layer_sizes
        self.activation = activation
        self.n_draws = n_draws
        self.e_schedule = e_schedule
        self.e_solver = e_solver
        self.m_solver = m_solver
        self.n_e_steps = n_e_steps
        self.n_m_steps = n_m_steps
        self.learning_rate = learning_rate
        self.max_grad_norm = max_grad_norm
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.warm_start = warm_start
        self.n_score_draws = n_score_draws
        self.refine_steps = refine_steps
        self.kernel = kernel
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose
