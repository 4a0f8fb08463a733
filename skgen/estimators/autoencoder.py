"""Deterministic autoencoder."""

import math
from copy import deepcopy
from numbers import Integral

import torch

from skgen.estimators._cells import check_cells
from skgen.estimators._loss import no_noise
from skgen.estimators._network_kinds import CHOSEN_NETWORKS
from skgen.estimators._networks import NetworkEstimator
from skgen.estimators._params import OPTIMISATION, RUNTIME, STOPPING
from skgen.estimators._sklearn import Interval, StrOptions
from skgen.likelihoods import Bernoulli, Gaussian, Poisson
from skgen.models import AutoencoderModel
from skgen.objectives import Reconstruction

LOSSES = {"squared_error": Gaussian(variance="fixed"), "cross_entropy": Bernoulli(), "poisson": Poisson()}
"""For each loss, the likelihood whose log-density is minus it, up to a factor and a constant.

The variance is a share of the columns', so that the units of X change nothing but the units of the loss."""


class Autoencoder(NetworkEstimator):
    r"""Autoencoder: a code of a row from which a network reconstructs the row.

    .. math:: z = f_\phi(x), \quad \hat x = g_\theta(z), \quad \min_{\phi, \theta} \sum_n \ell(x_n, \hat x_n)

    With linear networks (``activation="identity"`` or no hidden layers) and the squared error, the optimum spans the
    principal subspace (Baldi and Hornik 1989). It has no density: ``score`` is minus the reconstruction error. For
    likelihoods and samples use :class:`~skgen.VariationalAutoencoder`.

    Parameters
    ----------
    n_components : int, default=2
        Size of the code.
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
    loss : {"squared_error", "cross_entropy", "poisson"}, default="squared_error"
        Reconstruction error, summed over columns: squared in the units of X, binary cross-entropy in nats for values
        in [0, 1], or minus the log-probability of a Poisson distribution for counts.
    solver : {"adam", "adamw", "sgd", "lbfgs", "bfgs", "cg", "newton-cg"}, default="adam"
        Optimiser. The last four search along lines: they work on all rows in float64 and suit small models.
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
        so that integer weights equal repeated rows.
    max_iter : int, default=200
        Largest number of epochs.
    tol : float, default=1e-4
        Smallest fall of the loss per row that counts as progress; of the squared error, as a share of the mean
        variance of a column.
    n_iter_no_change : int or inf, default=20
        Epochs without progress after which training stops. Without validation rows, progress is that of the mean
        over the last 10 epochs.
    early_stopping : bool, default=False
        Measure progress on validation rows and keep the weights of the best epoch.
    validation_fraction : float, default=0.1
        Share of rows held out for early stopping when no ``X_val`` is given.
    warm_start : bool, default=False
        Whether ``fit`` continues from the fitted weights for another ``max_iter`` epochs.
    device : str, default="cpu"
        "cpu", "cuda", "cuda:1", "mps" or "auto" (the best that is present).
    precision : {"float32", "float64", "bfloat16"}, default="float32"
        Arithmetic of training; "bfloat16" is used in matrix products alone, and is slow on processors that emulate
        it. Inference is in the dtype of X.
    random_state : int, RandomState instance or None, default=None
        Source of initial weights and batches.
    verbose : int or bool, default=0
        Report every so many epochs.

    Attributes
    ----------
    weights_ : dict of str to ndarray
        Parameters and standardisation of the model.
    history_ : dict of str to list of float
        Per epoch: ``reconstruction`` (minus the loss per row), ``learning_rate``, ``kl_weight`` (always 1), and
        ``validation_reconstruction`` where there are validation rows.
    n_iter_ : int
        Epochs run.
    best_iter_ : int
        Epoch with the best monitored value.
    converged_ : bool
        Whether training stopped for lack of progress.
    likelihood_ : LikelihoodSpec
        The likelihood that the loss stands for.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, when X has string names.

    See Also
    --------
    VariationalAutoencoder : A probabilistic model with the same networks.

    References
    ----------
    Baldi and Hornik (1989), Neural networks and principal component analysis,
    https://doi.org/10.1016/0893-6080(89)90014-2.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skgen import Autoencoder
    >>> X = load_iris().data
    >>> Autoencoder(n_components=2, hidden_layer_sizes=(32,), max_iter=50, random_state=0).fit_transform(X).shape
    (150, 2)
    """

    score_kind = "pseudo"

    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        **CHOSEN_NETWORKS,
        "loss": [StrOptions(set(LOSSES))],
        **OPTIMISATION,
        **STOPPING,
        **RUNTIME,
    }

    def __init__(
        self,
        n_components=2,
        *,
        # networks
        network="mlp",
        image_shape=None,
        hidden_layer_sizes=None,
        decoder_hidden_layer_sizes=None,
        activation="relu",
        dropout=0.0,
        # objective
        loss="squared_error",
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
        device="cpu",
        precision="float32",
        random_state=None,
        verbose=0,
    ):
        self.n_components = n_components
        self.network = network
        self.image_shape = image_shape
        self.hidden_layer_sizes = hidden_layer_sizes
        self.decoder_hidden_layer_sizes = decoder_hidden_layer_sizes
        self.activation = activation
        self.dropout = dropout
        self.loss = loss
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
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    # -- assembly ---------------------------------------------------------------------------------------------

    def _likelihood_spec(self):
        return deepcopy(LOSSES[self.loss])

    def _decide(self):
        self.likelihood_ = self._likelihood_spec()
        self._architecture = self._network_sizes()
        check_cells(self)

    def _build_model(self, n_features):
        n_components, likelihood = self._architecture["n_components"], self.likelihood_.build(n_features)
        n_inputs = likelihood.n_inputs + self._missing * n_features
        networks = self._networks(n_inputs, n_components, n_components, likelihood.n_outputs)
        return AutoencoderModel(*networks, likelihood, missing=self._missing)

    def _units(self, model):
        variance = model.likelihood.noise_variance()
        if variance is None:
            return super()._units(model)
        factor = 2 * float(variance[0]) * float(model.scale[0]) ** 2
        return factor, 0.5 * torch.log(2 * math.pi * variance)

    def _progress_unit(self, model):
        return float(model.scale[0]) ** 2

    def _loss(self, model, batches, generator):
        return self._terms_loss(model, batches, Reconstruction(), no_noise)

    def _validation_values(self, model, x, generator, *, shared=False):
        factor, offsets = self._units(model)
        offset = (~x.isnan()).to(offsets) @ offsets
        # A loss is not negative; the offset is rounded.
        return (model.terms(x).log_likelihood[0] + offset).clamp(max=0) * factor

    def _describe(self, model, X, weight):
        """Nothing beyond the common attributes."""

    # -- use --------------------------------------------------------------------------------------------------

    def transform(self, X):
        """Codes of rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            Codes, the same for a row in any batch.
        """
        X = self._check_input(X)
        return self._map_rows(X, lambda model, x: [model.encode(x)])[0]

    def score_samples(self, X):
        """Minus the reconstruction error of each row; no likelihood.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        score : ndarray of shape (n_samples,)
            Minus the loss, summed over columns: squared units of X, or nats.
        """
        X = self._check_input(X)
        return self._map_rows(X, lambda model, x: [self._validation_values(model, x, None)])[0]
