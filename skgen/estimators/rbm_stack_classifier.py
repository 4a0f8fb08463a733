"""Classifier that is a network pretrained by a stack of Boltzmann machines."""

from numbers import Real

from sklearn.base import ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skgen.estimators._arrays import seed_from
from skgen.estimators._class_probabilities import ClassProbabilities
from skgen.estimators._params import NETWORKS, OPTIMISATION, RUNTIME, STOPPING
from skgen.estimators._sklearn import _fit_context
from skgen.estimators._stack_classifier_fit import StackClassifierLearner
from skgen.estimators.rbm_stack import RBMStack


class RBMStackClassifier(ClassProbabilities, ClassifierMixin, StackClassifierLearner):
    r"""Classifier whose network starts from a stack of Boltzmann machines.

    .. math:: p(y = k \mid x) \propto \exp(c_k + u_k^T h_L), \quad h_l = \sigma(b_l + W_l h_{l-1}), \quad h_0 = x

    The stack learns the weights :math:`W_l, b_l` from all rows without their labels. Back-propagation then adapts
    them, with a softmax on top, to the rows that have one. Pretraining pays where labels are few and rows are many.

    Parameters
    ----------
    stack : RBMStack or FrozenEstimator, default=None
        The stack to fit first; None stands for ``RBMStack()``. A fitted one in a
        :class:`~sklearn.frozen.FrozenEstimator` is taken as it is, by every fit and every clone, see also
        :meth:`pretrain`. A stack without a ``random_state`` of its own has it from this estimator's.
    unlabelled : int, float or str, default=None
        Label of the rows that have none, such as -1: they are used for pretraining alone. None: every label is a class.
    pretrained : bool, default=True
        Whether the network starts from the stack. False starts from random weights, for a comparison.
    dropout : float, default=0.0
        Share of hidden units dropped in training.
    solver : {"adam", "adamw", "sgd", "lbfgs", "bfgs", "cg", "newton-cg"}, default="adam"
        Optimiser of the network. The last four search along lines: they work on all rows in float64.
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
    batch_size : int, default=50
        Rows per step. Data of at most this many labelled rows are one batch, in row order and in the dtype of X.
    max_iter : int, default=200
        Largest number of epochs.
    tol : float, default=1e-4
        Smallest rise of the log-likelihood, in nats per row, that counts as progress.
    n_iter_no_change : int or inf, default=10
        Epochs without progress after which training stops. Without validation rows, progress is that of the mean
        over the last 10 epochs.
    early_stopping : bool, default=False
        Measure progress on validation rows, held out of those with a label, and keep the weights of the best epoch.
        The stack sees them, without their labels.
    validation_fraction : float, default=0.1
        Share of the rows with a label that is held out.
    warm_start : bool, default=False
        Whether ``fit`` continues from the fitted network for another ``max_iter`` epochs, without pretraining.
    device : str, default="cpu"
        "cpu", "cuda", "cuda:1", "mps" or "auto" (the best that is present).
    precision : {"float32", "float64", "bfloat16"}, default="float32"
        Arithmetic of training; "bfloat16" is used in matrix products alone. Inference is in the dtype of X.
    random_state : int, RandomState instance or None, default=None
        Source of initial weights and batches.
    verbose : int or bool, default=0
        Report every so many epochs.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels of the classes.
    stack_ : RBMStack or None
        The fitted stack, as pretraining left it; None where there was none.
    weights_ : dict of str to ndarray
        Parameters and standardisation of the network.
    history_ : dict of str to list of float
        Per epoch of the network: ``log_likelihood`` (mean log p(y | x) in nats), ``learning_rate``, and
        ``validation_log_likelihood`` with early stopping.
    n_iter_ : int
        Epochs of the network.
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
    RBMStack : The stack, a density and a transformer.

    Notes
    -----
    A stack with Bernoulli visible units clips values to [0, 1], with a warning. The network sees them as they are.

    References
    ----------
    Hinton and Salakhutdinov (2006), Reducing the dimensionality of data with neural networks,
    https://doi.org/10.1126/science.1127647.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from skgen import RBMStack, RBMStackClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> some = np.where(np.arange(len(y)) < 300, y, -1)
    >>> stack = RBMStack(hidden_layer_sizes=(100,), max_iter=10)
    >>> classifier = RBMStackClassifier(stack, unlabelled=-1, max_iter=20, random_state=0).fit(X / 16, some)
    >>> classifier.predict_proba(X[300:] / 16).shape
    (1497, 10)
    """

    _parameter_constraints: dict = {
        "stack": [RBMStack, FrozenEstimator, None],
        "unlabelled": [str, Real, None],
        "pretrained": ["boolean"],
        "dropout": NETWORKS["dropout"],
        **OPTIMISATION,
        **STOPPING,
        **RUNTIME,
    }

    def __init__(
        self,
        stack=None,
        *,
        # model
        unlabelled=None,
        pretrained=True,
        # networks
        dropout=0.0,
        # optimisation
        solver="adam",
        learning_rate=1e-3,
        learning_rate_schedule="constant",
        momentum=0.9,
        weight_decay=0.0,
        max_grad_norm=None,
        batch_size=50,
        max_iter=200,
        # stopping
        tol=1e-4,
        n_iter_no_change=10,
        early_stopping=False,
        validation_fraction=0.1,
        warm_start=False,
        # runtime
        device="cpu",
        precision="float32",
        random_state=None,
        verbose=0,
    ):
        self.stack = stack
        self.unlabelled = unlabelled
        self.pretrained = pretrained
        self.dropout = dropout
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

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, *, sample_weight=None):
        """Fit the stack to all rows, and then the network to those with a label.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,)
            Labels; those equal to ``unlabelled`` are none.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of rows, in both parts; a zero weight leaves a row out.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        return self._fit(X, y, {"sample_weight": sample_weight, "y": y})

    @_fit_context(prefer_skip_nested_validation=False)
    def pretrain(self, X, y=None, *, sample_weight=None):
        """Fit the stack and set it, frozen, as the parameter ``stack``: each later fit starts from its weights.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, no labels needed.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of rows.

        Returns
        -------
        self : object
            The estimator, not fitted by this.
        """
        stack = self._new_stack(seed_from(check_random_state(self.random_state)))
        self.stack = FrozenEstimator(stack.fit(X, sample_weight=sample_weight))
        return self

    # -- use ----------------------------------------------------------------------------------------------------------

    def predict_log_proba(self, X):
        """Logarithms of the probabilities of the classes, finite where these underflow.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``.
        """
        check_is_fitted(self)
        X = self._check_input(X)
        return self._map_rows(X, lambda model, x: [model.log_proba(x)])[0]

    def decision_function(self, X):
        """What the softmax is of: outputs of the network, or of two classes the difference of theirs.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        decision : ndarray of shape (n_samples, n_classes) or (n_samples,)
            Log-probabilities of the classes; of two classes the log-odds of the second.
        """
        log_proba = self.predict_log_proba(X)
        return log_proba[:, 1] - log_proba[:, 0] if len(self.classes_) == 2 else log_proba
