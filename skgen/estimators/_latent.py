"""What every estimator of a latent-variable model with an approximate posterior offers its users."""

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from skgen._spec import check_count
from skgen.distributions.normal import sobol_normal
from skgen.estimators._arrays import as_array, tiles
from skgen.estimators._cells import check_cells
from skgen.estimators._density import DensityEstimator
from skgen.estimators._diagnostics import LatentDiagnostics
from skgen.estimators._imputation import Imputation
from skgen.estimators._labels import refuse_labels
from skgen.estimators._likelihood_estimates import LikelihoodEstimates
from skgen.estimators._loss import KLSchedule
from skgen.estimators._networks import NetworkEstimator
from skgen.estimators._refinement import refined
from skgen.objectives import ELBO


class LatentVariableEstimator(Imputation, LikelihoodEstimates, LatentDiagnostics, DensityEstimator, NetworkEstimator):
    """Base of the estimators whose model is a :class:`~skgen.models.LatentVariableModel`.

    A subclass has the parameters ``beta``, ``kl_schedule``, ``kl_warmup``, ``n_score_draws`` and ``refine_steps``.
    """

    score_kind = "bound"
    _constants_become = "reproduced as that constant, with the smallest variance that the likelihood allows"
    _n_conditions = 0
    """How many numbers the decoder sees beside the latent variables."""

    def _warm_up_epochs(self):
        """Epochs over which the weight of the KL comes to ``beta`` when training starts from nothing."""
        return 0.0 if self.kl_schedule == "constant" else self._epochs(self.kl_warmup)

    def _pretraining_epochs(self):
        """Epochs before the KL counts at all, when training starts from nothing."""
        return round(self._epochs(self.prior_.pretraining))

    def _schedule(self, loss, *, warm_up):
        lengths = (self._warm_up_epochs(), self._pretraining_epochs()) if warm_up else (0.0, 0)
        loss.kl_schedule = KLSchedule(self.beta, *lengths, self.kl_schedule)

    def _doubts(self, run):
        schedule = run.loss.kl_schedule
        if not schedule.settled(run.epoch):
            yield (
                f"Training stopped after {run.epoch} epochs, before the warm-up of the KL ended "
                f"({schedule.delay + schedule.length:g} epochs): the model was never trained at its full weight. Raise "
                "max_iter or lower kl_warmup."
            )
        yield from super()._doubts(run)
        if self.n_active_units_ == 0:
            yield self._collapse()

    @property
    def _sums(self):
        """Whether sums over the states of z take the place of draws."""
        return self.prior_.has_exact_sums(self._architecture["n_components"])

    @property
    def _n_features_out(self):
        return self.prior_.n_latent(self._architecture["n_components"])

    # -- use --------------------------------------------------------------------------------------------------

    def _posterior_parameters(self, model, x, condition=None):
        """Parameters of q(z | x) of standardised rows: every use of a fitted model takes them from here."""
        parameters = model.encode(x)
        if not self.refine_steps:
            return parameters
        check_cells(self, "refinement")  # it may have been set after the fit
        return refined(model, x, parameters, self._shared_noise(model), condition, n_steps=self.refine_steps)

    def _latent_moments(self, model, x):
        """Mean and standard deviation of the latent variables of standardised rows."""
        return model.posterior.mean_and_scale(self._posterior_parameters(model, x))

    def transform(self, X):
        """Posterior mean of the latent variables.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            Means of q(z | x), the same for a row in any batch. Of a categorical prior, the probabilities of the
            categories, variable by variable, (n_samples, n_components * n_categories).
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
        mean, std = self._map_rows(X, self._latent_moments)
        return (mean, std) if return_std else mean

    def sample(self, n_samples=1, random_state=None, *, y=None, component=None, return_labels=False):
        """Draw rows from the model.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        random_state : int, RandomState instance or None, default=None
            Source of the draws; None uses the estimator's own, whose integer value repeats its draws.
        y : array-like of shape (n_samples,), or a label for all rows, default=None
            Classes to draw rows of, where the model has some; None draws them by ``class_prior_``.
        component : int, default=None
            Component of a mixture prior, or category of a single categorical variable, to draw from; None draws them
            by their weights.
        return_labels : bool, default=False
            Whether to return the classes too, where the model has some, else the components of a mixture prior.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Independent draws of p(x), or p(x | y), in the units of the training rows.
        labels : ndarray of shape (n_samples,)
            Class, or component, of each draw, with ``return_labels=True``.
        """
        check_is_fitted(self)
        check_count(n_samples, "n_samples")
        model = self._module(np.dtype(self._dtype))
        generator = self._generator(random_state, model.scale.device)
        classes, condition = self._conditions_of_draws(model, y, n_samples, generator)
        if component is not None or (return_labels and classes is None):
            self._check_component(model.prior, component)
        parts, labels = [], []
        with torch.inference_mode():
            for tile in tiles(n_samples, model.width):
                z, label = self._draw_latent(model, tile.stop - tile.start, component, generator)
                outputs = model.outputs(z, None if condition is None else condition[tile])
                x = model.likelihood.sample(outputs, generator=generator)
                parts.append(as_array(model.unstandardize(x)))
                labels.append(label)
        X = self._decode_rows(np.concatenate(parts))
        if not return_labels:
            return X
        return X, as_array(torch.cat(labels)) if classes is None else classes

    def _conditions_of_draws(self, model, y, n_samples, generator):
        """Labels of rows to draw and the conditions that they stand for; None where the model has no classes."""
        self._labels_given(y)
        return None, None

    def _labels_given(self, y):
        """Whether there are labels of rows; refuses them where the model has no classes."""
        refuse_labels(y)
        return False

    def _map_given(self, X, y, function, n_draws):
        """:meth:`_map_rows` of a function of the model, rows and their condition, None where there are no labels."""
        self._labels_given(y)
        return self._map_rows(X, lambda model, x: function(model, x, None), n_draws)

    def _check_component(self, prior, component):
        """Refuse what only priors that are mixtures have, and components that there are not."""
        if not prior.n_clusters:
            raise ValueError(
                "component and return_labels need a prior with components, prior='mixture', or 'categorical' with "
                f"n_components=1, got {self.prior_} with n_components={prior.n_components}."
            )
        if component is not None:
            check_count(component, "component", least=0)
            if component >= prior.n_clusters:
                raise ValueError(f"component must be below {prior.n_clusters}, got {component!r}.")

    @staticmethod
    def _draw_latent(model, n_draws, component, generator):
        """Draws of the prior and their components, None where there are none."""
        prior = model.prior
        if not prior.n_clusters:
            return prior.sample(n_draws, generator=generator, like=model.scale), None
        labels = prior.draw_labels(n_draws, generator=generator)
        labels = labels if component is None else torch.full_like(labels, component)
        return prior.sample_given(labels, generator=generator), labels

    def _score_noise(self, dtype):
        """The noise block that rows share, (n_score_draws, 1, n_noise)."""
        return self._shared_noise(self._module(dtype))

    def _shared_noise(self, model):
        # Sums over the states of z need no draws.
        n_draws = self.n_score_draws if model.prior.states() is None else 1
        block = sobol_normal(n_draws, model.posterior.n_noise, self._score_seed)
        return block.to(model.scale).unsqueeze(1)

    def _score_terms(self, X, y, function):
        """Apply a function of the terms at the shared noise block, tile by tile; one value per row."""
        X = self._check_input(X)
        noise = self._score_noise(X.dtype)

        def values(model, x, condition):
            parameters = self._posterior_parameters(model, x, condition)
            terms = model.terms_given(parameters, x, noise, condition)
            return function(terms, model.log_jacobian_of(x), x)

        return self._map_given(X, y, values, len(noise))

    def score_samples(self, X, y=None):
        """Importance-sampled lower bound on the log-likelihood of each row.

        The mean of ``n_score_draws`` importance weights under a block of scrambled Sobol noise that all rows share:
        deterministic, the same for a row in any batch, and in expectation below log p(x). For figures to publish use
        :meth:`log_likelihood`. With a categorical prior of few states it is log p(x) itself, summed over them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,), or a label for all rows, default=None
            Classes, where the model has some: the bound is then on log p(x | y); without them on log p(x).

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)
            Nats per row, all constants included, in the units of X.
        """

        def bound(terms, log_jacobian, x):
            value = torch.logsumexp(terms.log_weight, 0) - np.log(terms.n_draws) + log_jacobian
            return [value.masked_fill(x.isnan().all(-1), 0)]  # that nothing was seen is certain

        return self._score_terms(X, y, bound)[0]

    def elbo(self, X, y=None):
        """Evidence lower bound of each row and its terms, at weight 1 and with the noise of ``score_samples``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,), or a label for all rows, default=None
            Classes, where the model has some: the bound is then on log p(x | y); without them on log p(x).

        Returns
        -------
        terms : dict of str to ndarray of shape (n_samples,)
            ``elbo``, ``reconstruction`` and ``kl`` in nats per row; the first is the second minus the third.
        """

        def parts(terms, log_jacobian, x):
            report = ELBO().report(terms)
            return [report[n] + (0 if n == "kl" else log_jacobian) for n in ("elbo", "reconstruction", "kl")]

        return dict(zip(("elbo", "reconstruction", "kl"), self._score_terms(X, y, parts), strict=True))
