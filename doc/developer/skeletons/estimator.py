"""Skeleton of an estimator: copy to ``skgen/estimators/<name>.py`` and rename.

It works as it stands and passes scikit-learn's checks. It shows what an estimator is: a choice of parts.
"""

from numbers import Integral

from torch.distributions import LowRankMultivariateNormal

from skgen.estimators._density import DensityEstimator
from skgen.estimators._loss import training_noise
from skgen.estimators._networks import NetworkEstimator
from skgen.estimators._params import OPTIMISATION, RUNTIME, STOPPING
from skgen.estimators._sklearn import Interval
from skgen.likelihoods import Gaussian
from skgen.models import LatentVariableModel
from skgen.networks import MLP
from skgen.objectives import ELBO
from skgen.posteriors import Diagonal
from skgen.priors import Normal
from skgen.training.optimizers import SOLVERS


class GradientFactorAnalysis(DensityEstimator, NetworkEstimator):
    r"""Factor analysis fitted by stochastic gradients.

    .. math:: z \sim N(0, I), \quad x \mid z \sim N(W z + b, \operatorname{diag}(v))

    The posterior is amortised by a linear encoder; the likelihood of a row is exact.

    Parameters
    ----------
    n_components : int, default=2
        Number of factors.
    solver : {"adam", "adamw", "sgd", "lbfgs", "bfgs", "cg", "newton-cg"}, default="adam"
        Optimiser.
    learning_rate : float, default=1e-2
        Step size.
    learning_rate_schedule : {"constant", "linear", "cosine"}, default="linear"
        Factor of the step size over ``max_iter`` epochs.
    momentum : float, default=0.9
        Momentum of "sgd".
    weight_decay : float, default=0.0
        L2 penalty on weight matrices.
    max_grad_norm : float, default=None
        Largest norm of a gradient.
    batch_size : int, default=128
        Rows per step.
    max_iter : int, default=200
        Largest number of epochs.
    tol : float, default=1e-4
        Smallest rise, in nats per row, that counts as progress.
    n_iter_no_change : int or inf, default=20
        Epochs without progress after which training stops.
    early_stopping : bool, default=False
        Measure progress on validation rows and keep the weights of the best epoch.
    validation_fraction : float, default=0.1
        Share of rows held out for early stopping.
    warm_start : bool, default=False
        Whether ``fit`` continues from the fitted weights.
    device : str, default="cpu"
        Where to compute.
    precision : {"float32", "float64", "bfloat16"}, default="float32"
        Arithmetic of training.
    random_state : int, RandomState instance or None, default=None
        Source of initial weights, batches and noise.
    verbose : int or bool, default=0
        Report every so many epochs.

    Attributes
    ----------
    weights_ : dict of str to ndarray
        Parameters and standardisation of the model.
    noise_variance_ : ndarray of shape (n_features,)
        Noise variance of each column, in squared units of X.
    """

    score_kind = "exact"
    _row_checks: dict = {}  # rows with missing entries are refused: the encoder below has no input that tells of them

    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        **OPTIMISATION,
        **STOPPING,
        **RUNTIME,
    }

    def __init__(
        self,
        n_components=2,
        *,
        # optimisation
        solver="adam",
        learning_rate=1e-2,
        learning_rate_schedule="linear",
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

    # -- assembly --------------------------------------------------------------------------------------------

    def _likelihood_spec(self):
        return Gaussian(variance="feature")

    def _decide(self):
        # What the model is rebuilt from, as plain values: set_params must not change a fitted model.
        self.likelihood_ = self._likelihood_spec()
        self._architecture = {"n_components": int(self.n_components)}

    def _build_model(self, n_features):
        n_components, likelihood = self._n_features_out, self.likelihood_.build(n_features)
        prior, posterior = Normal().build(n_components), Diagonal().build(n_components)
        encoder = MLP(n_features, (), posterior.n_parameters)
        decoder = MLP(n_components, (), likelihood.n_outputs)
        return LatentVariableModel(encoder, decoder, prior, posterior, likelihood)

    def _loss(self, model, batches, generator):
        noise, n_draws = training_noise(
            1,
            self._n_features_out,
            model.scale,
            generator,
            line_search=SOLVERS[self.solver].line_search,
            shared=batches.full,
            any_draws=True,
        )
        return self._terms_loss(model, batches, ELBO(), noise, n_draws, closed_kl=True)

    def _validation_values(self, model, x, generator, *, shared=False):
        weight, bias = model.decoder.head
        marginal = LowRankMultivariateNormal(bias, weight.T, model.likelihood.noise_variance())
        return marginal.log_prob(x) + model.log_jacobian

    def _describe(self, model, X, weight):
        self.noise_variance_ = (model.likelihood.noise_variance() * model.scale.square()).cpu().numpy().copy()

    # -- use -------------------------------------------------------------------------------------------------

    def transform(self, X):
        """Factors of rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            Means of q(z | x).
        """
        X = self._check_input(X)
        return self._map_rows(X, lambda m, x: m.posterior.mean_and_scale(m.encode(x))[:1])[0]

    def score_samples(self, X):
        """Exact log-likelihood of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)
            Nats per row, in the units of X.
        """
        X = self._check_input(X)
        return self._map_rows(X, lambda m, x: [self._validation_values(m, x, None)])[0]
