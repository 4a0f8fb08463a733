"""Variational autoencoder."""

from numbers import Integral, Real

import numpy as np
import torch
from sklearn.base import DensityMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skgen._spec import resolve
from skgen.distributions.normal import sobol_normal
from skgen.estimators._arrays import RunningMoments, as_array, seed_from, tiles
from skgen.estimators._base import NetworkEstimator
from skgen.estimators._loss import TermsLoss, training_noise
from skgen.estimators._params import NETWORKS, OPTIMISATION, RUNTIME, STOPPING
from skgen.estimators._sklearn import Interval, Options, RealNotInt, StrOptions
from skgen.likelihoods import LIKELIHOODS, LikelihoodSpec
from skgen.models import LatentVariableModel
from skgen.objectives import ELBO, OBJECTIVES
from skgen.posteriors import POSTERIORS, PosteriorSpec
from skgen.priors import PRIORS, PriorSpec
from skgen.training.optimizers import SOLVERS
from skgen.training.schedules import warm_up_epochs

ACTIVE_VARIANCE = 0.01
SHARED_DRAWS = 16
"""Fewest draws that validation rows share in the fit of a single batch under the ELBO."""


class VariationalAutoencoder(DensityMixin, NetworkEstimator):
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
    prior : {"normal"} or PriorSpec, default="normal"
        Distribution of the latent variables.
    likelihood : {"gaussian", "bernoulli"} or LikelihoodSpec, default="gaussian"
        Distribution of a row given its latent variables, see :mod:`skgen.likelihoods`.
    posterior : {"diagonal"} or PosteriorSpec, default="diagonal"
        Family of the approximate posterior.
    hidden_layer_sizes : int or array-like of int, default=(256, 256)
        Hidden layers of the encoder; empty for a linear encoder.
    decoder_hidden_layer_sizes : int or array-like of int, default=None
        Hidden layers of the decoder; None mirrors the encoder's.
    activation : {"relu", "tanh", "silu", "elu", "gated", "identity"}, default="relu"
        Activation of hidden layers.
    dropout : float, default=0.0
        Share of hidden units dropped in training.
    objective : {"elbo", "iwae"}, default="elbo"
        Bound to maximise.
    n_draws : int, default=1
        Posterior draws per row and step. "iwae" is a tighter bound with more; with "elbo" more draws only lower
        the noise of the gradient.
    beta : float, default=1.0
        Final weight of the KL in training. Scores, history and early stopping always use weight 1.
    kl_warmup : float or int, default=0.1
        Epochs over which the weight of the KL rises linearly to ``beta``: a fraction of ``max_iter`` (float) or
        a number of epochs (int).
    free_bits : float, default=0.0
        Nats per latent variable and row below which the KL is not penalised in training.
    solver : {"adam", "adamw", "sgd", "lbfgs"}, default="adam"
        Optimiser. "lbfgs" works on all rows in float64 with frozen noise and no warm-up, and suits small models.
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
    tol : float, default=1e-4
        Smallest rise, in nats per row, that counts as progress.
    n_iter_no_change : int or inf, default=20
        Epochs without progress after which training stops; epochs of the KL's warm-up do not count.
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
    weights_ : dict of str to ndarray
        Parameters and standardisation of the model.
    kl_per_component_ : ndarray of shape (n_components,)
        Mean KL of each latent variable over the training rows, in nats.
    n_active_units_ : int
        Latent variables whose posterior mean varies over the training rows by more than 0.01.
    noise_variance_ : ndarray of shape (n_features,) or None
        Noise variance of a Gaussian likelihood in squared units of X, where it is the same for all rows.
    history_ : dict of str to list of float
        Per epoch: ``elbo``, ``reconstruction``, ``kl`` (and ``iwae``) in nats per row at weight 1, ``kl_weight``,
        ``learning_rate``, and ``validation_elbo`` (``validation_iwae``) where there are validation rows.
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

    score_kind = "bound"

    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "prior": [StrOptions(set(PRIORS)), PriorSpec],
        "likelihood": [StrOptions(set(LIKELIHOODS)), LikelihoodSpec],
        "posterior": [StrOptions(set(POSTERIORS)), PosteriorSpec],
        **NETWORKS,
        "objective": [StrOptions(set(OBJECTIVES))],
        "n_draws": [Interval(Integral, 1, None, closed="left")],
        "beta": [Interval(Real, 0, None, closed="left")],
        "kl_warmup": [Interval(Integral, 0, None, closed="left"), Interval(RealNotInt, 0, 1, closed="both")],
        "free_bits": [Interval(Real, 0, None, closed="left")],
        **OPTIMISATION,
        **STOPPING,
        "n_score_draws": [Options(Integral, {2**k for k in range(21)})],
        **RUNTIME,
    }

    def __init__(
        self,
        n_components=2,
        *,
        # model
        prior="normal",
        likelihood="gaussian",
        posterior="diagonal",
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
        self.hidden_layer_sizes = hidden_layer_sizes
        self.decoder_hidden_layer_sizes = decoder_hidden_layer_sizes
        self.activation = activation
        self.dropout = dropout
        self.objective = objective
        self.n_draws = n_draws
        self.beta = beta
        self.kl_warmup = kl_warmup
        self.free_bits = free_bits
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

    @property
    def score_measure(self):
        """What scores are relative to: "density" or "mass"; nats compare only within one."""
        return self._likelihood_spec().build(1).measure

    def _likelihood_spec(self):
        return resolve(self.likelihood, LIKELIHOODS, LikelihoodSpec, "likelihood")

    # -- assembly ---------------------------------------------------------------------------------------------

    def _decide(self):
        self.prior_ = resolve(self.prior, PRIORS, PriorSpec, "prior")
        self.likelihood_ = self._likelihood_spec()
        self.posterior_ = resolve(self.posterior, POSTERIORS, PosteriorSpec, "posterior")
        self._architecture = self._network_sizes()

    def _build_model(self, n_features):
        n_components = self._architecture["n_components"]
        prior, posterior = self.prior_.build(n_components), self.posterior_.build(n_components)
        likelihood = self.likelihood_.build(n_features)
        networks = self._networks(n_features, posterior.n_parameters, n_components, likelihood.n_outputs)
        return LatentVariableModel(*networks, prior, posterior, likelihood)

    def _objective(self):
        if self.objective == "elbo":
            return ELBO(self.free_bits)
        objective = OBJECTIVES[self.objective]()
        if objective.final_weight_one and self.beta != 1:
            raise ValueError(f"objective={self.objective!r} is a bound only for beta=1, got beta={self.beta!r}.")
        if self.free_bits:
            raise ValueError(f"free_bits needs objective='elbo', got objective={self.objective!r}.")
        return objective

    def _loss(self, model, batches, generator):
        objective = self._objective()
        closed_kl = not objective.needs_log_weights and model.has_closed_kl()
        if self.free_bits and not closed_kl:
            raise ValueError("free_bits needs a prior and posterior with a closed-form KL.")
        noise, n_draws = training_noise(
            self.n_draws,
            self._n_features_out,
            model.scale,
            generator,
            line_search=SOLVERS[self.solver].line_search,
            shared=batches.full,
            any_draws=not objective.needs_log_weights,
        )
        low_precision = self.precision == "bfloat16" and not batches.full
        return TermsLoss(
            model.tracer(closed_kl=closed_kl, low_precision=low_precision),
            objective,
            noise,
            offset=float(model.log_jacobian),
            dropout=self.dropout > 0,
            tile=tiles(len(batches.rows), n_draws * model.width, model.scale.itemsize)[0].stop,
        )

    def _n_validation_draws(self):
        return max(self.n_draws, SHARED_DRAWS)

    def _validation_values(self, model, x, generator, *, shared=False):
        objective, n_rows, n_draws = self._objective(), len(x), self.n_draws
        if shared:
            n_rows, n_draws = 1, n_draws if objective.needs_log_weights else self._n_validation_draws()
        shape = (n_draws, n_rows, self._n_features_out)
        noise = torch.empty(shape, dtype=x.dtype, device=x.device).normal_(generator=generator)
        return objective.report(model.terms(x, noise))[objective.monitor] + model.log_jacobian

    def _warm_up_epochs(self):
        length = int(self.kl_warmup) if isinstance(self.kl_warmup, Integral) else float(self.kl_warmup)
        return 0.0 if SOLVERS[self.solver].line_search else warm_up_epochs(length, self.max_iter)

    def _describe(self, model, X, weight):
        def moments(model, x):
            mean, scale = model.posterior.mean_and_scale(model.encode(x))
            kl = model.prior.normal_kl(mean, torch.log(scale))
            return mean, torch.zeros_like(mean) if kl is None else kl

        mean, kl = self._map_rows(X, moments, model.width)
        self.kl_per_component_ = np.average(kl.astype(np.float64), axis=0, weights=weight)
        spread = RunningMoments.empty(mean.shape[1]).updated(mean, weight).scale
        self.n_active_units_ = int((spread**2 > ACTIVE_VARIANCE).sum())
        variance = model.likelihood.noise_variance()
        self.noise_variance_ = None if variance is None else as_array(variance * model.scale.square())

    def _doubts(self, run):
        yield from super()._doubts(run)
        if self.n_active_units_ == 0:
            yield (
                "Posterior collapse: no latent variable depends on the rows, so transform is uninformative. Lower "
                "beta or the noise variance, lengthen kl_warmup, or set free_bits."
            )

    # -- use --------------------------------------------------------------------------------------------------

    def transform(self, X):
        """Posterior mean of the latent variables.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            Means of q(z | x), the same for a row in any batch.
        """
        return self.encode(X)

    def encode(self, X, *, return_std=False):
        """Mean and, if asked for, standard deviation of q(z | x).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        return_std : bool, default=False
            Whether to return the standard deviations too.

        Returns
        -------
        mean : ndarray of shape (n_samples, n_components)
            Posterior means.
        std : ndarray of shape (n_samples, n_components)
            Posterior standard deviations, with ``return_std=True``.
        """
        X = self._check_input(X)
        width = self._module(X.dtype).width
        mean, std = self._map_rows(X, lambda m, x: m.posterior.mean_and_scale(m.encode(x)), width)
        return (mean, std) if return_std else mean

    def sample(self, n_samples=1, random_state=None):
        """Draw rows from the model.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        random_state : int, RandomState instance or None, default=None
            Source of the draws; None uses the estimator's own, whose integer value repeats its draws.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Independent draws of p(x), in the units of the training rows.
        """
        check_is_fitted(self)
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(f"n_samples must be an integer of at least 1, got {n_samples!r}.")
        model = self._module(np.dtype(self._dtype))
        generator = self._generator(random_state, model)
        parts = []
        with torch.inference_mode():
            for tile in tiles(n_samples, model.width):
                z = model.prior.sample(tile.stop - tile.start, generator=generator, like=model.scale)
                x = model.likelihood.sample(model.decoder(z), generator=generator)
                parts.append(as_array(model.unstandardize(x)))
        return np.concatenate(parts)

    def _generator(self, random_state, model):
        source = check_random_state(self.random_state if random_state is None else random_state)
        return torch.Generator(model.scale.device).manual_seed(seed_from(source))

    def _score_terms(self, X, function):
        """Apply a function of the terms at the shared noise block, tile by tile; one value per row."""
        X = self._check_input(X)
        model = self._module(X.dtype)
        block = sobol_normal(self.n_score_draws, self._n_features_out, self._score_seed)
        noise = block.to(model.scale).unsqueeze(1)
        return self._map_rows(X, lambda m, x: function(m.terms(x, noise), m), self.n_score_draws * model.width)

    def score_samples(self, X):
        """Importance-sampled lower bound on the log-likelihood of each row.

        The mean of ``n_score_draws`` importance weights under a block of scrambled Sobol noise that all rows share:
        deterministic, the same for a row in any batch, and in expectation below log p(x). For figures to publish use
        :meth:`log_likelihood`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)
            Nats per row, all constants included, in the units of X.
        """

        def bound(terms, model):
            return [torch.logsumexp(terms.log_weight, 0) - np.log(terms.n_draws) + model.log_jacobian]

        return self._score_terms(X, bound)[0]

    def score(self, X, y=None, sample_weight=None):
        """Mean of :meth:`score_samples`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of rows in the mean.

        Returns
        -------
        score : float
            Nats per row, higher is better.
        """
        return self._mean_score(X, sample_weight)

    def elbo(self, X):
        """Evidence lower bound of each row and its terms, at weight 1 and with the noise of ``score_samples``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        terms : dict of str to ndarray of shape (n_samples,)
            ``elbo``, ``reconstruction`` and ``kl`` in nats per row; the first is the second minus the third.
        """

        def parts(terms, model):
            report = ELBO().report(terms)
            return [report[n] + (0 if n == "kl" else model.log_jacobian) for n in ("elbo", "reconstruction", "kl")]

        return dict(zip(("elbo", "reconstruction", "kl"), self._score_terms(X, parts), strict=True))

    def log_likelihood(self, X, *, n_draws=5000, random_state=None, return_std=False):
        """Log-likelihood of each row by importance sampling with independent draws.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        n_draws : int, default=5000
            Posterior draws per row.
        random_state : int, RandomState instance or None, default=None
            Source of the draws; None uses the estimator's own.
        return_std : bool, default=False
            Whether to return standard errors too.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)
            Nats per row; its expectation is a lower bound on log p(x).
        std : ndarray of shape (n_samples,)
            Standard errors from the spread of the weights (delta method), with ``return_std=True``.
        """
        X = self._check_input(X)
        if not isinstance(n_draws, Integral) or n_draws < 1:
            raise ValueError(f"n_draws must be an integer of at least 1, got {n_draws!r}.")
        if return_std and n_draws < 2:
            raise ValueError(f"return_std=True needs n_draws >= 2, got n_draws={n_draws}.")
        generator = self._generator(random_state, self._module(X.dtype))

        def estimate(model, x):
            parameters = model.encode(x)
            first = second = torch.full((len(x),), -np.inf, dtype=torch.float64, device=x.device)
            for part in tiles(n_draws, len(x) * model.width, x.itemsize):
                shape = (part.stop - part.start, len(x), self._n_features_out)
                noise = torch.empty(shape, dtype=x.dtype, device=x.device).normal_(generator=generator)
                log_weight = model.terms_given(parameters, x, noise).log_weight.double()
                first = torch.logaddexp(first, torch.logsumexp(log_weight, 0))
                second = torch.logaddexp(second, torch.logsumexp(2 * log_weight, 0))
            ratio = torch.exp(second - 2 * first) * n_draws - 1
            std = torch.sqrt(ratio.clamp_min(0) / max(1, n_draws - 1))
            return first - np.log(n_draws) + model.log_jacobian, std

        value, std = self._map_rows(X, estimate, max(1, n_draws // 64) * self._module(X.dtype).width)
        return (value, std) if return_std else value
