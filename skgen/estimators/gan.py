"""Generative adversarial network."""

from numbers import Integral, Real

from skgen.estimators._adversarial_fit import AdversarialEstimator
from skgen.estimators._network_kinds import CHOSEN_NETWORKS
from skgen.estimators._params import OPTIMISATION, RUNTIME, STOPPING
from skgen.estimators._sklearn import Interval, RealNotInt, StrOptions
from skgen.objectives.adversarial import GAMES

PARTS = {
    group: {name: constraint for name, constraint in constraints.items() if name not in left_out}
    for group, constraints, left_out in (
        ("networks", CHOSEN_NETWORKS, ("decoder_hidden_layer_sizes", "dropout")),
        ("optimisation", OPTIMISATION, ("solver", "momentum")),
    )
}


class GenerativeAdversarialNetwork(AdversarialEstimator):
    r"""Generative adversarial network: a generator of rows, learnt from a critic that tells them from real ones.

    .. math:: z \sim N(0, I), \quad x = g(z, \text{sign } z), \quad T: x \mapsto \text{how real } x \text{ looks}

    Critic and generator take turns: the critic learns to score real rows high and drawn ones low, the generator to be
    scored high (Goodfellow et al. 2014), and to draw rows with a small maximum mean discrepancy from real ones. What
    draws in the end is a moving average of the generator's weights. The losses of the two say nothing about how good
    draws are, so that progress is measured by the discrepancy between draws and rows held out: it stops training, and
    decides which weights are kept.

    There is no density, and so no ``score_samples``; ``score`` is minus that discrepancy. For likelihoods use
    :class:`~skgen.VariationalAutoencoder`.

    Parameters
    ----------
    n_components : int, default=16
        Number of latent variables.
    conditional : bool, default=False
        Whether to learn the distribution of rows given their class, ``fit(X, y)`` and ``sample(n, y=...)``.
    bounded : bool, default=False
        Whether drawn rows stay between the smallest and the largest value of each column, as pixels should. Half of
        that range then is the unit of a column, unless ``network="conv"``, and not its standard deviation.
    jumps : bool, default=True
        Whether the generator sees the signs of z beside z, so that rows may lie in groups with nothing between them
        (Tanielian et al. 2020). Without, rows change smoothly with z, and groups are joined by bridges.
    rejection : bool, default=True
        Whether ``sample`` and ``score`` refuse some draws, of which there are too many, as between groups of rows
        (Azadi et al. 2019). Classifiers that learn after training to tell rows from draws decide which. It needs at
        least 50 validation rows. No draw is refused without them, after ``partial_fit``, or where fewer than a tenth
        of the draws of any class would be accepted, as with images.
    network : {"mlp", "conv"}, callable or pair of callables, default="mlp"
        Multilayer perceptrons, or convolutional networks for images, whose columns then share one scale. A callable
        ``factory(n_inputs, n_outputs)`` returns a torch module of your own; the first of a pair makes the critic, and
        the encoder where there is one, the second the generator.
    image_shape : tuple of int, default=None
        (height, width) or (channels, height, width) of a row, where images are asked for. None is a square where the
        number of columns is one, else a single line.
    hidden_layer_sizes : int or array-like of int, default=None
        Hidden layers of the critic; of "conv" the channels of its stages. None is (128, 128), of "conv" (32, 64).
    generator_hidden_layer_sizes : int or array-like of int, default=None
        Hidden layers of the generator; None mirrors the critic's.
    activation : {"relu", "leaky_relu", "tanh", "sigmoid", "silu", "elu", "gated", "identity"}, default="leaky_relu"
        Activation of hidden layers.
    encoder : bool, default=False
        Whether to learn a network that finds z of a row, for ``transform``, which searches otherwise.
    loss : {"nonsaturating", "wasserstein-gp", "hinge", "least-squares"}, default="nonsaturating"
        What critic and generator minimise.
    gradient_penalty : float, default=None
        Weight of the penalty on the critic's gradient by a row in standard deviations of the columns: on its squared
        norm, of "wasserstein-gp" on the square of the norm minus 1. None is the usual one of the loss, 0.01 or 1.
    penalty_annealing : float or int, default=0.25
        Epochs over which the weight of a penalty on the squared norm falls from ten times its final value, so that the
        critic is smooth until draws are where rows are: a fraction of ``max_iter`` (float) or a number (int).
    discrepancy_weight : float, default=1.0
        Weight, in the generator's loss, of the squared maximum mean discrepancy between drawn rows and those of a
        batch, at most 1000 of them (Li et al. 2015). It shapes what is smaller than the critic can see. 0 leaves the
        game alone.
    n_critic_steps : int, default=None
        Steps of the critic for one of the generator. None is 1, of "wasserstein-gp" 5.
    ema_decay : float, default=0.999
        Share of the generator's average that a step keeps; 0 takes the weights as they are.
    n_score_draws : int, default=2000
        Rows that ``score`` draws.
    inversion_steps : int, default=50
        Steps of the search for z in ``transform``.
    learning_rate : float, default=1e-3
        Step size of Adam, which has no momentum here.
    learning_rate_schedule : {"constant", "linear", "cosine"}, default="cosine"
        Factor of the step size over ``max_iter`` epochs; the last two fall to zero.
    weight_decay : float, default=0.0
        L2 penalty on weight matrices.
    max_grad_norm : float, default=None
        Largest norm of a gradient; longer ones are shortened to it.
    batch_size : int, default=128
        Rows per step, real ones and as many drawn ones. Data of at most this many rows are trained as one batch, so
        that integer weights equal repeated rows, beside ``batch_size`` drawn ones, up to 1000 or the number of rows.
    max_iter : int, default=400
        Largest number of epochs.
    tol : float, default=1e-5
        Smallest fall of the discrepancy that counts as progress.
    n_iter_no_change : int or inf, default=200
        Epochs without progress after which training stops; those of ``penalty_annealing`` do not count.
    early_stopping : bool, default=True
        Measure progress on validation rows and keep the weights of the best epoch. Where these would be fewer than 50,
        training goes on without, with a warning.
    validation_fraction : float, default=0.1
        Share of rows held out for early stopping when no ``X_val`` is given.
    warm_start : bool, default=False
        Whether ``fit`` continues from the fitted weights for another ``max_iter`` epochs.
    device : str, default="cpu"
        "cpu", "cuda", "cuda:1", "mps" or "auto" (the best that is present).
    precision : {"float32", "float64"}, default="float32"
        Arithmetic of training. Inference is in the dtype of X, the search of ``transform`` in float64.
    random_state : int, RandomState instance or None, default=None
        Source of initial weights, batches and noise.
    verbose : int or bool, default=0
        Report every so many epochs.

    Attributes
    ----------
    weights_ : dict of str to ndarray
        Parameters of critic, generator, its average, the encoder and the classifiers of ``rejection`` where there are
        some, with what they accept, and the standardisation.
    history_ : dict of str to list of float
        Per epoch: ``critic`` (its loss without the penalty), ``gradient_penalty`` (without its weight), ``generator``
        (without the discrepancy), ``encoder`` where there is one, ``learning_rate``, and minus the discrepancy as
        ``validation_score``, or as ``score``, from training rows, where there are no validation rows.
    coverage_ : float
        Share of the training rows with a draw nearer than their fifth nearest other row, near 1 for a good model
        (Naeem et al. 2020). It is that of 1000 rows where there are more; NaN for 50 distinct rows or fewer.
    acceptance_ : float
        Share of the generator's draws that ``sample`` and ``score`` accept: 1 where none is refused.
    bandwidths_ : ndarray of shape (5,)
        Bandwidths of the discrepancy's kernels, in standard deviations of the columns. They are those of the first
        chunk, or of a later one that has more rows than all before it.
    n_iter_ : int
        Epochs run.
    best_iter_ : int
        Epoch with the best monitored value.
    converged_ : bool
        Whether training stopped for lack of progress.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, when X has string names.

    See Also
    --------
    VariationalAutoencoder : A model with a likelihood.
    skgen.metrics.mmd_test : A test of whether draws can be told from rows.

    Notes
    -----
    A critic that diverges ends ``fit`` with a FloatingPointError that names the epoch. Where validation rows were
    there, the estimator is left with the best weights so far. Global random states are neither read nor changed.

    References
    ----------
    Goodfellow et al. (2014), Generative adversarial nets, https://arxiv.org/abs/1406.2661.

    Mescheder, Geiger and Nowozin (2018), Which training methods for GANs do actually converge?,
    https://arxiv.org/abs/1801.04406.

    Gretton et al. (2012), A kernel two-sample test, https://jmlr.org/papers/v13/gretton12a.html.

    Li, Swersky and Zemel (2015), Generative moment matching networks, https://arxiv.org/abs/1502.02761.

    Tanielian et al. (2020), Learning disconnected manifolds: a no GAN's land, https://arxiv.org/abs/2006.04596.

    Azadi et al. (2019), Discriminator rejection sampling, https://arxiv.org/abs/1810.06758.

    Naeem et al. (2020), Reliable fidelity and diversity metrics for generative models,
    https://arxiv.org/abs/2002.09797.

    Examples
    --------
    >>> import numpy as np
    >>> from skgen import GenerativeAdversarialNetwork
    >>> angles = np.random.RandomState(0).uniform(0, 2 * np.pi, 2000)
    >>> X = np.column_stack([np.cos(angles), np.sin(angles)])
    >>> model = GenerativeAdversarialNetwork(
    ...     2, hidden_layer_sizes=(32, 32), early_stopping=False, max_iter=100, random_state=0
    ... ).fit(X)
    >>> bool(abs(np.linalg.norm(model.sample(1000), axis=1).mean() - 1) < 0.1)
    True
    """

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "conditional": ["boolean"],
        "bounded": ["boolean"],
        "jumps": ["boolean"],
        "rejection": ["boolean"],
        **PARTS["networks"],
        "generator_hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left"), None],
        "encoder": ["boolean"],
        "loss": [StrOptions(set(GAMES))],
        "gradient_penalty": [Interval(Real, 0, None, closed="left"), None],
        "penalty_annealing": [Interval(Integral, 0, None, closed="left"), Interval(RealNotInt, 0, 1, closed="both")],
        "discrepancy_weight": [Interval(Real, 0, None, closed="left")],
        "n_critic_steps": [Interval(Integral, 1, None, closed="left"), None],
        "ema_decay": [Interval(Real, 0, 1, closed="left")],
        "n_score_draws": [Interval(Integral, 2, None, closed="left")],
        "inversion_steps": [Interval(Integral, 1, None, closed="left")],
        **PARTS["optimisation"],
        **STOPPING,
        **RUNTIME,
        "precision": [StrOptions({"float32", "float64"})],
    }

    def __init__(
        self,
        n_components=16,
        *,
        # model
        conditional=False,
        bounded=False,
        jumps=True,
        rejection=True,
        # networks
        network="mlp",
        image_shape=None,
        hidden_layer_sizes=None,
        generator_hidden_layer_sizes=None,
        activation="leaky_relu",
        encoder=False,
        # objective
        loss="nonsaturating",
        gradient_penalty=None,
        penalty_annealing=0.25,
        discrepancy_weight=1.0,
        n_critic_steps=None,
        ema_decay=0.999,
        n_score_draws=2000,
        inversion_steps=50,
        # optimisation
        learning_rate=1e-3,
        learning_rate_schedule="cosine",
        weight_decay=0.0,
        max_grad_norm=None,
        batch_size=128,
        max_iter=400,
        # stopping
        tol=1e-5,
        n_iter_no_change=200,
        early_stopping=True,
        validation_fraction=0.1,
        warm_start=False,
        # runtime
        device="cpu",
        precision="float32",
        random_state=None,
        verbose=0,
    ):
        self.n_components = n_components
        self.conditional = conditional
        self.bounded = bounded
        self.jumps = jumps
        self.rejection = rejection
        self.network = network
        self.image_shape = image_shape
        self.hidden_layer_sizes = hidden_layer_sizes
        self.generator_hidden_layer_sizes = generator_hidden_layer_sizes
        self.activation = activation
        self.encoder = encoder
        self.loss = loss
        self.gradient_penalty = gradient_penalty
        self.penalty_annealing = penalty_annealing
        self.discrepancy_weight = discrepancy_weight
        self.n_critic_steps = n_critic_steps
        self.ema_decay = ema_decay
        self.n_score_draws = n_score_draws
        self.inversion_steps = inversion_steps
        self.learning_rate = learning_rate
        self.learning_rate_schedule = learning_rate_schedule
        self.weight_decay = weight_decay
        self.max_grad_norm = max_grad_norm
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.warm_start = warm_start
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose
