"""Mutual information of two sets of columns, by a critic."""

import math
from numbers import Integral, Real

from skgen.estimators._data import weighted_rows
from skgen.estimators._pair_rows import PairEstimator, check_enough
from skgen.estimators._pairs import CRITICS
from skgen.estimators._params import FIRST_ORDER, NETWORKS, OPTIMISATION, RUNTIME, STOPPING
from skgen.estimators._sklearn import Interval, StrOptions, _fit_context
from skgen.estimators._warnings import warn_user
from skgen.objectives.pair_bounds import PAIR_BOUNDS


class MutualInformation(PairEstimator):
    r"""Mutual information of X and Y, in nats, by a network that tells pairs from parts drawn apart.

    .. math:: I(X; Y) = E_{p(x, y)} \log \frac{p(x, y)}{p(x) \, p(y)}

    A critic T(x, y) learns to score pairs higher than pairs of which the y belongs to another row. Its scores give a
    bound from below, which is evaluated on pairs that the critic has not learnt from: it is at most the truth, but for
    the error of a sample, and how far below depends on what the critic has learnt. No density is modelled.

    Parameters
    ----------
    bound : {"infonce", "donsker-varadhan", "nwj", "smile"}, default="infonce"
        What the critic learns by, and what is reported. "infonce" (van den Oord et al. 2018) has the least variance,
        but never exceeds the logarithm of the number of pairs that it is evaluated on, which is warned of from two nats
        below. "donsker-varadhan" is MINE (Belghazi et al. 2018), with the moving average that corrects its gradient in
        batches, and "nwj" the bound of Nguyen et al. (2010); their variance grows exponentially with the information.
        "smile" (Song and Ermon 2020) clips it away and is an **estimate, not a bound**: it may be above the truth.
        These three are warned of above the same logarithm, and where few rows make up their denominator.
    clip : float, default=5.0
        Largest absolute score of parts drawn apart, for "smile", which is too high above it.
    critic : {"separable", "concatenated"}, default="separable"
        f(x) . g(y) + a(x) + b(y) with two networks, or one network of both parts, which costs a pass for each of the
        ``batch_size ** 2`` pairs of a step.
    n_components : int, default=32
        Outputs of f and of g, for "separable".
    hidden_layer_sizes : int or array-like of int, default=(256, 256)
        Hidden layers of each network.
    activation : {"relu", "leaky_relu", "tanh", "sigmoid", "silu", "elu", "gated", "identity"}, default="elu"
        Activation of hidden layers.
    solver : {"adam", "adamw", "sgd"}, default="adam"
        Optimiser.
    learning_rate : float, default=3e-4
        Step size.
    learning_rate_schedule : {"constant", "linear", "cosine"}, default="constant"
        Factor of the step size over ``max_iter`` epochs; the last two fall to zero.
    momentum : float, default=0.9
        Momentum of "sgd".
    weight_decay : float, default=0.0
        L2 penalty on weight matrices ("adamw": decoupled).
    max_grad_norm : float, default=1.0
        Largest norm of a gradient; longer ones are shortened to it. None: any.
    batch_size : int, default=512
        Pairs per step, at least 2, of which each x is scored with each y. Data of at most this many pairs are trained
        as one batch in row order and in the dtype of X, so that integer weights equal repeated rows.
    max_iter : int, default=100
        Largest number of epochs.
    tol : float, default=1e-4
        Smallest rise of the bound, in nats, that counts as progress.
    n_iter_no_change : int or inf, default=5
        Epochs without progress after which training stops. Without validation pairs, progress is that of the mean over
        the last 10 epochs.
    early_stopping : bool, default=True
        Measure progress on validation pairs and keep the weights of the best epoch. Without it a critic learns its
        pairs by heart.
    validation_fraction : float, default=0.1
        Share of pairs held out when no ``X_val`` is given.
    warm_start : bool, default=False
        Whether ``fit`` continues from the fitted weights for another ``max_iter`` epochs.
    device : str, default="cpu"
        "cpu", "cuda", "cuda:1", "mps" or "auto" (the best that is present).
    precision : {"float32", "float64", "bfloat16"}, default="float32"
        Arithmetic of training; "bfloat16" is used in matrix products alone, and is slow on processors that emulate it.
        Evaluation is in the dtype of X and y.
    random_state : int, RandomState instance or None, default=None
        Source of initial weights, of batches and of the choice of validation pairs.
    verbose : int or bool, default=0
        Report every so many epochs.

    Attributes
    ----------
    estimate_ : float
        The bound on the validation pairs, in nats; NaN where there are fewer than two. They have chosen the epoch,
        for which it is a little too high; ``score`` on other pairs is not.
    interval_ : tuple of float
        Interval of 95 per cent around it, for the error of a sample of pairs. It says nothing of how far the bound is
        below the truth.
    classes_ : ndarray of shape (n_classes,) or None
        Classes, where y holds text.
    weights_ : dict of str to ndarray
        Parameters and standardisation of the critic.
    history_ : dict of str to list of float
        Per epoch: ``mutual_information``, the bound on batches, which "infonce" caps at the logarithm of their size;
        ``validation_mutual_information`` where there are validation pairs; ``learning_rate``.
    n_iter_ : int
        Epochs run.
    best_iter_ : int
        Epoch with the best monitored value.
    converged_ : bool
        Whether training stopped for lack of progress.
    n_samples_seen_ : int
        Pairs that the critic was fitted on.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of X, when it has string names.

    See Also
    --------
    VariationalAutoencoder : Its ``mutual_information_weight`` has such a critic in training.

    Notes
    -----
    Numbers in y are numbers, integers included: mutual information does not depend on how values are coded, but what a
    critic learns from few pairs does. Text stands for classes, each with an indicator of its own; pass
    ``y.astype(str)`` where integers are classes.

    References
    ----------
    Belghazi et al. (2018), Mutual information neural estimation, https://arxiv.org/abs/1801.04062.
    Nguyen, Wainwright and Jordan (2010), Estimating divergence functionals and the likelihood ratio by convex risk
    minimization, https://doi.org/10.1109/TIT.2010.2068870.
    van den Oord, Li and Vinyals (2018), Representation learning with contrastive predictive coding,
    https://arxiv.org/abs/1807.03748.
    Song and Ermon (2020), Understanding the limitations of variational mutual information estimators,
    https://arxiv.org/abs/1910.06222.
    McAllester and Stratos (2020), Formal limitations on the measurement of mutual information,
    https://arxiv.org/abs/1811.04251.

    Examples
    --------
    >>> import numpy as np
    >>> from skgen import MutualInformation
    >>> source = np.random.RandomState(0)
    >>> x, noise = source.normal(size=(2, 4000))
    >>> y = 0.8 * x + 0.6 * noise
    >>> truth = -0.5 * np.log(1 - 0.8**2)
    >>> estimator = MutualInformation(hidden_layer_sizes=(32,), learning_rate=3e-3, max_iter=100, random_state=0)
    >>> estimator = estimator.fit(x[:2000, None], y[:2000])
    >>> print(f"{truth:.1f} {estimator.score(x[2000:, None], y[2000:]):.1f}")
    0.5 0.5
    """

    _parameter_constraints: dict = {
        "bound": [StrOptions(set(PAIR_BOUNDS))],
        "clip": [Interval(Real, 0, None, closed="neither")],
        "critic": [StrOptions(set(CRITICS))],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": NETWORKS["hidden_layer_sizes"],
        "activation": NETWORKS["activation"],
        **OPTIMISATION,
        "solver": [StrOptions(FIRST_ORDER)],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        **STOPPING,
        **RUNTIME,
    }

    def __init__(
        self,
        bound="infonce",
        *,
        # objective
        clip=5.0,
        # networks
        critic="separable",
        n_components=32,
        hidden_layer_sizes=(256, 256),
        activation="elu",
        # optimisation
        solver="adam",
        learning_rate=3e-4,
        learning_rate_schedule="constant",
        momentum=0.9,
        weight_decay=0.0,
        max_grad_norm=1.0,
        batch_size=512,
        max_iter=100,
        # stopping
        tol=1e-4,
        n_iter_no_change=5,
        early_stopping=True,
        validation_fraction=0.1,
        warm_start=False,
        # runtime
        device="cpu",
        precision="float32",
        random_state=None,
        verbose=0,
    ):
        self.bound = bound
        self.clip = clip
        self.critic = critic
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
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

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, *, sample_weight=None, X_val=None, y_val=None):
        """Train the critic.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            One part of each pair.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            The other part: numbers, or one column of text for classes.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of pairs; a zero weight leaves a pair out.
        X_val, y_val : array-like, default=None
            Validation pairs, in place of ``validation_fraction``; recorded in ``history_`` also without
            ``early_stopping``.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        return self._fit(X, y, {"y": y, "sample_weight": sample_weight, "X_val": X_val, "y_val": y_val})

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, *, sample_weight=None):
        """Continue with one pass over a chunk of pairs, of any size.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            One part of each pair.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            The other part, as in ``fit``. The classes of text are those of the first chunk.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of pairs within the chunk.

        Returns
        -------
        self : object
            The updated estimator, whose ``estimate_`` is NaN: a chunk holds no pairs out.
        """
        return self._partial_fit(X, {"y": y, "sample_weight": sample_weight, "X_val": None, "y_val": None})

    # -- use --------------------------------------------------------------------------------------------------

    def estimate(self, X, y, *, sample_weight=None):
        """The bound on pairs, and its interval.

        Every x is scored with every y in one pass; nothing of the estimator changes. A value or an interval that these
        pairs cannot vouch for is warned of.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            One part of each pair, of at least two.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            The other part.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of pairs.

        Returns
        -------
        estimate : float
            In nats.
        interval : tuple of float
            Lower and upper end of an interval of 95 per cent, for the error of a sample of pairs.

        Raises
        ------
        FloatingPointError
            Where scores of pairs overflow.
        """
        X = self._check_input(X)
        pairs, weight = weighted_rows(self._pairs(X, y, "y"), sample_weight)
        check_enough(len(pairs), "An estimate")
        value, interval, doubts = self._held_out(self._module(pairs.dtype), pairs, weight).estimate()
        if not math.isfinite(value):
            raise FloatingPointError(
                f"The estimate is {value}, since scores of pairs are beyond {pairs.dtype}. Check X and y for values "
                "far from those that the critic was fitted to, or lower learning_rate and fit again."
            )
        for doubt in doubts:
            warn_user(doubt)
        return value, interval

    def score(self, X, y, sample_weight=None):
        """The bound on pairs that the critic has not learnt from.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            One part of each pair, of at least two.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            The other part.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of pairs.

        Returns
        -------
        score : float
            In nats; below 0 where the critic has learnt nothing that holds.
        """
        return self.estimate(X, y, sample_weight=sample_weight)[0]
