"""Stack of restricted Boltzmann machines: a deep belief network."""

from numbers import Integral, Real

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skgen.distributions.normal import sobol_uniform
from skgen.estimators._arrays import as_array, as_tensor, seed_from, tiles
from skgen.estimators._params import NETWORKS
from skgen.estimators._sklearn import Interval, Options, StrOptions
from skgen.estimators._stack_fit import SHARED, StackLearner
from skgen.estimators.rbm import RBM
from skgen.models.enumeration import MOST_STATES
from skgen.units import VISIBLE_UNITS


class RBMStack(StackLearner):
    r"""Deep belief network: restricted Boltzmann machines learnt one on top of the other.

    .. math:: p(v, h_1, \dots, h_L) = p(v \mid h_1) \cdots p(h_{L-2} \mid h_{L-1}) \, p(h_{L-1}, h_L)

    Each machine learns from the means of the hidden units of the one below. The two layers on top are a Boltzmann
    machine, the layers below are drawn from the top downwards. Up-down fine-tuning then learns all layers together,
    with downward weights that go apart from the upward ones. For classes use :class:`~skgen.RBMStackClassifier`.

    Parameters
    ----------
    hidden_layer_sizes : int or array-like of int, default=(500, 500)
        Hidden units of each machine, bottom to top.
    visible : {"bernoulli", "gaussian"}, default="bernoulli"
        Visible units of the lowest machine: for values in [0, 1], taken as probabilities, or for real numbers.
    variance : {"feature", "shared", "fixed"}, default="feature"
        Variance of real visible units, see :class:`~skgen.RBM`.
    output_layer : int, default=-1
        Layer whose hidden units ``transform`` gives: 1 is the lowest, -1 the top.
    method : {"auto", "cd", "pcd", "tempering"}, default="auto"
        How machines learn, see :class:`~skgen.RBM`; "auto" is "pcd".
    n_gibbs : int, default=1
        Gibbs steps per gradient.
    n_chains : int, default=100
        Persistent chains.
    center : bool, default=True
        Whether gradients are centred.
    sparsity_target : float, default=None
        Wanted mean of the hidden units.
    sparsity_cost : float, default=0.1
        Weight of the divergence from it.
    fine_tuning : {"up-down"}, default=None
        What is done when all machines are learnt: nothing, or the wake-sleep algorithm for ``fine_tuning_max_iter``
        epochs.
    fine_tuning_learning_rate : float, default=0.01
        Step size of fine-tuning.
    fine_tuning_max_iter : int, default=20
        Epochs of fine-tuning.
    solver : {"adam", "adamw", "sgd"}, default="sgd"
        Optimiser.
    learning_rate : float, default=0.2
        Step size.
    learning_rate_schedule : {"constant", "linear", "cosine"}, default="linear"
        Factor of the step size over the epochs of each machine and of fine-tuning; the last two fall to zero.
    momentum : float, default=0.5
        Momentum of "sgd".
    weight_decay : float, default=1e-4
        L2 penalty on the weights, not on biases.
    max_grad_norm : float, None or "auto", default="auto"
        Largest norm of a gradient; longer ones are shortened to it. "auto" is 1 for a machine with real visible units
        and no limit for others.
    batch_size : int, default=50
        Rows per step. Data of at most this many rows are one batch, so that integer weights equal repeated rows.
    max_iter : int, default=100
        Largest number of epochs of each machine.
    tol : float, default=1e-4
        Smallest rise of the pseudo-log-likelihood, in nats per row, that counts as progress.
    n_iter_no_change : int or inf, default=inf
        Epochs without progress after which a machine is learnt.
    early_stopping : bool, default=False
        Measure progress on validation rows and keep the weights of each machine's best epoch.
    validation_fraction : float, default=0.1
        Share of rows held out for early stopping.
    warm_start : bool, default=False
        Whether ``fit`` continues from the fitted weights: of every machine, or where they are fine-tuned, with
        fine-tuning alone.
    n_score_draws : int, default=16
        Draws of the hidden units per row in scores, a power of two.
    device : str, default="cpu"
        "cpu", "cuda", "cuda:1", "mps" or "auto" (the best that is present).
    precision : {"float32", "float64", "bfloat16"}, default="float32"
        Arithmetic of training; "bfloat16" is used in matrix products alone. Inference is in the dtype of X.
    random_state : int, RandomState instance or None, default=None
        Source of initial weights, batches and chains.
    verbose : int or bool, default=0
        Report every so many epochs.

    Attributes
    ----------
    rbms_ : list of RBM
        The machines, bottom to top, as greedy learning left them. With ``components_`` and biases of each.
    weights_ : dict of str to ndarray
        Parameters of the whole network: of ``recognition`` (upwards) and ``generation`` (downwards) of each lower
        layer, and of the ``top``.
    history_ : dict of str to list of float
        Per epoch: ``stage`` (1 for the lowest machine) and the entries of each machine's own ``history_``; with
        fine-tuning ``wake`` and ``sleep``, the mean log-likelihoods of what either phase learns. Entries that a stage
        does not have are nan.
    n_iter_ : int
        Epochs run, over all stages.
    best_iter_ : int
        Epoch that the last stage's weights are from.
    converged_ : bool
        Whether every stage ended for lack of progress.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, when X has string names.

    See Also
    --------
    RBM : A single machine.
    RBMStackClassifier : A classifier that starts from a stack.

    References
    ----------
    Hinton, Osindero and Teh (2006), A fast learning algorithm for deep belief nets,
    https://doi.org/10.1162/neco.2006.18.7.1527.
    Salakhutdinov and Murray (2008), On the quantitative analysis of deep belief networks,
    https://doi.org/10.1145/1390156.1390266.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skgen import RBMStack
    >>> X = load_digits().data / 16 > 0.5
    >>> stack = RBMStack(hidden_layer_sizes=(32, 16), max_iter=5, random_state=0).fit(X)
    >>> stack.transform(X).shape
    (1797, 16)
    >>> stack.sample(3, random_state=0).shape
    (3, 64)
    """

    _parameter_constraints: dict = {
        "hidden_layer_sizes": NETWORKS["hidden_layer_sizes"],
        "visible": [StrOptions({"bernoulli", "gaussian"})],
        "output_layer": [Interval(Integral, None, -1, closed="right"), Interval(Integral, 1, None, closed="left")],
        "fine_tuning": [StrOptions({"up-down"}), None],
        "fine_tuning_learning_rate": [Interval(Real, 0, None, closed="left")],
        "fine_tuning_max_iter": [Interval(Integral, 1, None, closed="left")],
        "n_score_draws": [Options(Integral, {2**k for k in range(21)})],
        **{name: RBM._parameter_constraints[name] for name in (*SHARED, "variance", "random_state", "verbose")},
        "method": [StrOptions({"auto", "cd", "pcd", "tempering"})],
    }

    def __init__(
        self,
        hidden_layer_sizes=(500, 500),
        *,
        # model
        visible="bernoulli",
        variance="feature",
        output_layer=-1,
        # objective
        method="auto",
        n_gibbs=1,
        n_chains=100,
        center=True,
        sparsity_target=None,
        sparsity_cost=0.1,
        fine_tuning=None,
        fine_tuning_learning_rate=0.01,
        fine_tuning_max_iter=20,
        # optimisation
        solver="sgd",
        learning_rate=0.2,
        learning_rate_schedule="linear",
        momentum=0.5,
        weight_decay=1e-4,
        max_grad_norm="auto",
        batch_size=50,
        max_iter=100,
        # stopping
        tol=1e-4,
        n_iter_no_change=np.inf,
        early_stopping=False,
        validation_fraction=0.1,
        warm_start=False,
        # runtime
        n_score_draws=16,
        device="cpu",
        precision="float32",
        random_state=None,
        verbose=0,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.visible = visible
        self.variance = variance
        self.output_layer = output_layer
        self.method = method
        self.n_gibbs = n_gibbs
        self.n_chains = n_chains
        self.center = center
        self.sparsity_target = sparsity_target
        self.sparsity_cost = sparsity_cost
        self.fine_tuning = fine_tuning
        self.fine_tuning_learning_rate = fine_tuning_learning_rate
        self.fine_tuning_max_iter = fine_tuning_max_iter
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

    # -- use ----------------------------------------------------------------------------------------------------------

    @property
    def _output(self):
        """Number of the layer whose units are the output, from 1."""
        n_layers = len(self.rbms_)
        number = self.output_layer + (n_layers + 1 if self.output_layer < 0 else 0)
        if not 1 <= number <= n_layers:
            raise ValueError(f"output_layer={self.output_layer} names none of the {n_layers} fitted layers.")
        return number

    @property
    def _n_features_out(self):
        return self.rbms_[self._output - 1]._n_features_out

    def transform(self, X):
        """Means of the hidden units of a layer, each given the means of the layer below; no chain is run.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        H : ndarray of shape (n_samples, n_units)
            Means of the units of the layer ``output_layer``, the same for a row in any batch.
        """
        X = self._check_input(X)
        n_layers = self._output
        return self._map_rows(X, lambda network, v: [network.encode(v, n_layers)])[0]

    def _decode(self, model, z):
        return model.restore(model.decode(z, self._output))

    def sample(self, n_samples=1, random_state=None, *, n_steps=1000):
        """Draw rows: Gibbs sampling of the two layers on top, then one pass downwards.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows, each from a chain of its own.
        random_state : int, RandomState instance or None, default=None
            Source of the draws; None uses the estimator's own, whose integer value repeats its draws.
        n_steps : int, default=1000
            Gibbs steps of each chain, which starts as those of :meth:`RBM.sample <skgen.RBM.sample>` do.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Draws of p(v), in the units of the training rows.
        """
        check_is_fitted(self)
        source = check_random_state(self.random_state if random_state is None else random_state)
        states = self._top.sample(n_samples, seed_from(source), n_steps=n_steps)
        model = self._module(np.dtype(self._dtype))
        if not model.n_drawn:
            return states
        generator = self._generator(source, model.scale.device)
        rows = np.empty((n_samples, self.n_features_in_), dtype=self._dtype)
        with torch.inference_mode():
            for tile in tiles(n_samples, model.width):
                h = as_tensor(states[tile]).to(model.scale)
                rows[tile] = as_array(model.restore(model.descend(h, generator)[0]))
        return rows

    # -- scores -------------------------------------------------------------------------------------------------------

    @property
    def score_measure(self):
        """What scores are relative to: "density", or "mass" for binary units."""
        return self.rbms_[0].score_measure if self.__sklearn_is_fitted__() else VISIBLE_UNITS[self.visible].measure

    @property
    def score_kind(self):
        """What a score is: "bound", or "estimate" (of a bound) where the top is too large for an exact log Z."""
        if self.__sklearn_is_fitted__():
            exact = self._top.score_kind == "exact"
        else:
            exact = min(np.atleast_1d(self.hidden_layer_sizes)[-2:]) <= np.log2(MOST_STATES)
        return "bound" if exact else "estimate"

    def score_samples(self, X):
        """Variational lower bound on the log-likelihood of each row.

        The mean of log p(v, h) - log q(h | v) over draws of the lower hidden layers, which all rows draw from one
        block of scrambled Sobol points: deterministic, and the same for a row in any batch. log Z of the top is exact
        where one of its layers has at most 20 units. Else it is an estimate by annealed importance sampling, which on
        average is too low, so that the score is an estimate of the bound and no longer one: see
        :meth:`log_partition`. ``score_kind`` says which.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        bound : ndarray of shape (n_samples,)
            Nats per row, in the units of X.
        """
        X = self._check_input(X)
        uniforms, log_z = self._uniforms(self._module(X.dtype)), self._top._normalizer

        def bound(network, v):
            return [network.log_weights(v, uniforms).double().mean(0) - log_z + network.log_jacobian]

        return self._map_rows(X, bound, self.n_score_draws)[0].astype(X.dtype, copy=False)

    def _uniforms(self, model):
        """What the units of each layer that is drawn are compared with, the same for all rows."""
        if not model.n_drawn:
            return []
        points = sobol_uniform(self.n_score_draws, sum(model.n_drawn), self._score_seed)
        return [part.unsqueeze(1).to(model.scale) for part in points.split(model.n_drawn, 1)]

    def log_partition(self, method="auto", *, random_state=None, **options):
        """Logarithm of the normaliser of the machine on top, with an interval.

        Parameters
        ----------
        method : {"auto", "exact", "ais"}, default="auto"
            As in :meth:`RBM.log_partition <skgen.RBM.log_partition>`.
        random_state : int, RandomState instance or None, default=None
            Source of the draws; None uses the estimator's own.
        **options
            As there.

        Returns
        -------
        log_partition : NamedTuple
            ``value``, ``lower`` and ``upper`` in nats, and more.
        """
        check_is_fitted(self)
        random_state = self.random_state if random_state is None else random_state
        return self._top.log_partition(method, random_state=random_state, **options)
