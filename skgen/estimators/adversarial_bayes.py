"""Adversarial variational Bayes."""

from numbers import Integral, Real

from skgen.estimators._adversarial_bayes import AdversarialBayesEstimator
from skgen.estimators._network_kinds import CHOSEN_NETWORKS
from skgen.estimators._params import OPTIMISATION, RUNTIME, STOPPING
from skgen.estimators._prior_components import PriorComponents
from skgen.estimators._sklearn import Interval, Options, RealNotInt, StrOptions
from skgen.likelihoods import LIKELIHOODS, LikelihoodSpec
from skgen.priors import PRIORS, PriorSpec
from skgen.training.schedules import KL_SCHEDULES

PROPOSALS = ("diagonal", "full")


class AdversarialVariationalBayes(PriorComponents, AdversarialBayesEstimator):
    r"""Adversarial variational Bayes: a latent-variable model whose posteriors have any shape.

    .. math::

        z \sim p(z), \quad x \mid z \sim p(x; f_\theta(z)), \quad q(z \mid x): z = h_\phi(x, \epsilon), \;
        \epsilon \sim N(0, I)

    The posterior is a network that turns noise into draws, so that it can bend and have several modes where that of
    a :class:`VariationalAutoencoder` is normal. Its density is not known: an adversary, which learns to tell draws of
    q(z | x) from those of a normal distribution r(z | x) with their moments, estimates what the logarithm of the
    density is beyond that of r (Mescheder et al. 2017). Model and adversary take turns. The bound with this estimate,
    ``pseudo`` in ``history_`` and ``pseudo_elbo_``, is one only for the best adversary; no score is made of it. Scores
    are importance-sampled with r, in nats per row and in the units of X as those of every other estimator.

    Parameters
    ----------
    n_components : int, default=2
        Number of latent variables.
    prior : {"normal", "mixture", "vamp", "flow", "uniform"} or PriorSpec, default="normal"
        Distribution of the latent variables, see :mod:`skgen.priors`. "normal" and "uniform" stay as they are, the
        others, and ``priors.Normal(learned=True)``, are learnt with the networks. With "mixture" the model has
        clusters: ``predict``, ``predict_proba`` and ``sample(n, component=k)``. The VampPrior mixes normal
        distributions with the moments of q(z | x).
    likelihood : str, LikelihoodSpec or list of (name, likelihood, columns), default="gaussian"
        Distribution of a row given its latent variables, see :mod:`skgen.likelihoods`; a list has one for each column,
        and "auto" chooses one for each.
    proposal : {"diagonal", "full"}, default="full"
        Family of r(z | x): independent normal variables, or correlated ones. The adversary has to learn what r lacks,
        and scores are drawn from it. With many latent variables "diagonal" is faster.
    network : {"mlp", "conv"}, callable or pair of callables, default="mlp"
        Encoder and decoder: multilayer perceptrons, or convolutional networks for images. A callable
        ``factory(n_inputs, n_outputs)`` returns a torch module of your own, that of a pair the encoder and the decoder.
    image_shape : tuple of int, default=None
        (height, width) or (channels, height, width) of a row, for "conv". None is a square where the number of columns
        is one, else a single line.
    hidden_layer_sizes : int or array-like of int, default=None
        Hidden layers of the encoder, empty for a linear one; of "conv" the channels of its stages. None is (256, 256),
        of "conv" (32, 64).
    decoder_hidden_layer_sizes : int or array-like of int, default=None
        Hidden layers of the decoder; None mirrors the encoder's.
    activation : {"relu", "tanh", "sigmoid", "silu", "elu", "gated", "identity"}, default="relu"
        Activation of hidden layers of encoder and decoder.
    n_noise : int, default=None
        Noise variables of a draw, at least ``n_components``, which is what None stands for.
    jumps : bool, default=True
        Whether draws may jump where noise changes its sign, so that posteriors can have modes with nothing between
        them. Without, draws are smooth functions of the noise.
    sampler_hidden_layer_sizes : int or array-like of int, default=(32, 32)
        Hidden layers of the network that bends the noise, with a code of the row, into the shape of q(z | x).
    adversary_hidden_layer_sizes : int or array-like of int, default=(64, 64)
        Hidden layers of the adversary, which sees a draw relative to r, and the code of its row.
    n_draws : int, default=1
        Posterior draws per row and step of the model.
    kl_schedule : {"linear", "cyclical", "annealed", "constant"}, default="linear"
        How the weight of the KL comes to 1 over ``kl_warmup`` epochs: it rises once, or it rises and falls back four
        times, or it falls from 10, or it is 1 from the first epoch on. While it is low, posteriors shrink to points,
        and one that should have two modes may be left with one. While it is high, they are wide; "annealed" finds the
        modes of the posteriors of a decoder that is known, but one that is learnt may lose latent variables to it.
    kl_warmup : float or int, default=0
        Epochs of ``kl_schedule``: a fraction of ``max_iter`` (float) or a number (int).
    shape_warmup : float or int, default=0
        Epochs at the start in which posteriors are normal with independent components, as those of a
        VariationalAutoencoder, and no adversary learns: a fraction of ``max_iter`` (float) or a number (int). With many
        latent variables shapes are learnt better afterwards. A posterior that should have two modes may keep only one.
    learning_rate : float, default=1e-3
        Step size of the model, by Adam.
    learning_rate_schedule : {"constant", "linear", "cosine"}, default="constant"
        Factor of the step sizes over ``max_iter`` epochs; the last two fall to zero.
    adversary_learning_rate : float, default=None
        Step size of the adversary. None is twice ``learning_rate``.
    n_adversary_steps : int, default=2
        Steps of the adversary for one of the model. The higher they are, and the lower ``learning_rate`` is beside that
        of the adversary, the closer ``pseudo`` is to the evidence lower bound.
    weight_decay : float, default=0.0
        L2 penalty on weight matrices.
    max_grad_norm : float, default=None
        Largest norm of a gradient; longer ones are shortened to it.
    batch_size : int, default=128
        Rows per step. Data of at most this many rows are trained as one batch in row order and in the dtype of X,
        with noise that rows share, so that integer weights equal repeated rows.
    max_iter : int, default=200
        Largest number of epochs.
    tol : float, default=1e-4
        Smallest rise of ``bound``, in nats per row, that counts as progress.
    n_iter_no_change : int or inf, default=20
        Epochs without progress after which training stops; those of ``kl_warmup`` and ``shape_warmup`` do not count.
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
    precision : {"float32", "float64"}, default="float32"
        Arithmetic of training. Inference is in the dtype of X.
    random_state : int, RandomState instance or None, default=None
        Source of initial weights, batches and noise.
    verbose : int or bool, default=0
        Report every so many epochs.

    Attributes
    ----------
    weights_ : dict of str to ndarray
        Parameters and standardisation of the model, adversary included.
    pseudo_elbo_ : float
        Mean of the adversarial bound over at most 2000 training rows, in nats: above the evidence lower bound by as
        much as the adversary has not learnt, and possibly above the log-likelihood.
    kl_per_component_ : ndarray of shape (n_components,) or None
        Mean KL of r(z | x) in each latent variable over the training rows, in nats, where there is a closed form.
    active_units_ : ndarray of shape (n_components,), dtype bool
        Latent variables whose posterior mean has a variance above 0.01 over the training rows.
    n_active_units_ : int
        Number of them.
    mutual_information_, aggregated_kl_ : float
        Nats that draws of r(z | x) tell of a row, at most log 500, and KL from the aggregate of r to the prior, over
        at most 500 training rows.
    noise_variance_ : ndarray of shape (n_features,) or None
        Noise variance of a Gaussian likelihood in squared units of X, where it is the same for all rows.
    history_ : dict of str to list of float
        Per epoch: ``pseudo``, the adversarial bound, with its parts ``reconstruction`` and ``kl``, an estimate too, in
        nats per row at weight 1; ``adversary``, its loss, at most log 2 where it is of use; ``kl_weight``;
        ``learning_rate``; ``bound``, which measures progress: the importance-weighted bound of 16 draws of r on at most
        128 training rows; and ``validation_bound`` where there are validation rows.
    n_iter_ : int
        Epochs run.
    best_iter_ : int
        Epoch with the best monitored value.
    converged_ : bool
        Whether training stopped for lack of progress.
    prior_, likelihood_ : specs
        The specs that were fitted.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, when X has string names.

    See Also
    --------
    VariationalAutoencoder : The same model with posteriors that have a density.

    References
    ----------
    Mescheder, Nowozin and Geiger (2017), Adversarial variational Bayes: unifying variational autoencoders and
    generative adversarial networks, https://arxiv.org/abs/1701.04722.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skgen import AdversarialVariationalBayes
    >>> X = load_iris().data
    >>> model = AdversarialVariationalBayes(2, hidden_layer_sizes=(32,), max_iter=20, random_state=0).fit(X)
    >>> model.transform(X).shape
    (150, 2)
    >>> model.sample_posterior(X, n_draws=10).shape
    (10, 150, 2)
    """

    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "prior": [StrOptions(set(PRIORS)), PriorSpec],
        "likelihood": [StrOptions({"auto", *LIKELIHOODS}), LikelihoodSpec, list, tuple],
        "proposal": [StrOptions(set(PROPOSALS))],
        **{name: constraint for name, constraint in CHOSEN_NETWORKS.items() if name != "dropout"},
        "n_noise": [Interval(Integral, 1, None, closed="left"), None],
        "jumps": ["boolean"],
        "sampler_hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "adversary_hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "n_draws": [Interval(Integral, 1, None, closed="left")],
        "kl_schedule": [StrOptions(set(KL_SCHEDULES))],
        "kl_warmup": [Interval(Integral, 0, None, closed="left"), Interval(RealNotInt, 0, 1, closed="both")],
        "shape_warmup": [Interval(Integral, 0, None, closed="left"), Interval(RealNotInt, 0, 1, closed="both")],
        **{name: constraint for name, constraint in OPTIMISATION.items() if name not in ("solver", "momentum")},
        "adversary_learning_rate": [Interval(Real, 0, None, closed="left"), None],
        "n_adversary_steps": [Interval(Integral, 1, None, closed="left")],
        **STOPPING,
        "n_score_draws": [Options(Integral, {2**k for k in range(21)})],
        **RUNTIME,
        "precision": [StrOptions({"float32", "float64"})],
    }

    def __init__(
        self,
        n_components=2,
        *,
        # model
        prior="normal",
        likelihood="gaussian",
        proposal="full",
        # networks
        network="mlp",
        image_shape=None,
        hidden_layer_sizes=None,
        decoder_hidden_layer_sizes=None,
        activation="relu",
        n_noise=None,
        jumps=True,
        sampler_hidden_layer_sizes=(32, 32),
        adversary_hidden_layer_sizes=(64, 64),
        # objective
        n_draws=1,
        kl_schedule="linear",
        kl_warmup=0,
        shape_warmup=0,
        # optimisation
        learning_rate=1e-3,
        learning_rate_schedule="constant",
        adversary_learning_rate=None,
        n_adversary_steps=2,
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
        self.proposal = proposal
        self.network = network
        self.image_shape = image_shape
        self.hidden_layer_sizes = hidden_layer_sizes
        self.decoder_hidden_layer_sizes = decoder_hidden_layer_sizes
        self.activation = activation
        self.n_noise = n_noise
        self.jumps = jumps
        self.sampler_hidden_layer_sizes = sampler_hidden_layer_sizes
        self.adversary_hidden_layer_sizes = adversary_hidden_layer_sizes
        self.n_draws = n_draws
        self.kl_schedule = kl_schedule
        self.kl_warmup = kl_warmup
        self.shape_warmup = shape_warmup
        self.learning_rate = learning_rate
        self.learning_rate_schedule = learning_rate_schedule
        self.adversary_learning_rate = adversary_learning_rate
        self.n_adversary_steps = n_adversary_steps
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
