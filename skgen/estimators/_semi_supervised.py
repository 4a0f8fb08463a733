"""What a semi-supervised classifier is made of and what it says: an autoencoder with the class as a latent variable."""

import functools

import numpy as np
import torch
from scipy.special import logsumexp
from sklearn.base import ClassifierMixin

from skgen.estimators._class_probabilities import ClassProbabilities
from skgen.estimators._labelled import ClassConditionalEstimator
from skgen.estimators._labelled_loss import LabelledLoss
from skgen.estimators._labels import UNKNOWN
from skgen.models.labelled import LabelledModel, one_hot
from skgen.networks import MLP
from skgen.objectives.labelled import LabelledTerms, SemiSupervised


class SemiSupervisedEstimator(ClassProbabilities, ClassifierMixin, ClassConditionalEstimator):
    """Base of the classifiers whose model is a :class:`~skgen.models.labelled.LabelledModel`.

    A subclass has the parameters ``unlabelled`` and ``classification_weight``.
    """

    # What a VariationalAutoencoder leaves to its user.
    network, image_shape, n_init, prior_fit, refine_steps = "mlp", None, 1, "joint", 0
    kl_schedule, target_kl, mutual_information_weight, reconstruction = "linear", None, 0.0, None
    _asks_labels = True

    # -- assembly -----------------------------------------------------------------------------------------------------

    def _networks(self, n_inputs, n_code, n_latent, n_outputs):
        return super()._networks(n_inputs + self._n_conditions, n_code, n_latent, n_outputs)

    def _assembled(self, networks, *parts):
        a, (encoder, decoder) = self._architecture, networks
        n_inputs = encoder.n_inputs - self._n_conditions
        classifier = MLP(n_inputs, a["encoder_sizes"], self._n_conditions, a["activation"], a["dropout"])
        return LabelledModel(encoder, decoder, classifier, *parts, missing=self._missing)

    def _initial_model(self, moments, old, seed, *, partial):
        if old is not None and moments.incomplete and not self._missing:
            raise ValueError(
                "X contains missing values, of which the rows so far had none. Begin with rows that have some, or fill "
                "them in."
            )
        return super()._initial_model(moments, old, seed, partial=partial)

    def _share(self, model):
        super()._share(model)
        model.classifier.shared_masks = True

    def _semi_supervised(self, model, objective):
        return SemiSupervised(objective, model.log_class_prior, self.classification_weight, self._rows_per_label)

    def _terms_loss(self, model, batches, objective, noise, n_draws=1, **options):
        known = (batches.target != UNKNOWN).to(model.scale)
        weight = torch.ones_like(known) if batches.weight is None else batches.weight.to(known)
        self._rows_per_label = float(weight.sum() / (weight @ known)) if bool(known.any()) else 1.0
        low_precision = self.precision == "bfloat16" and not batches.full
        label_trace = model.label_tracer(low_precision=low_precision)
        kind = functools.partial(LabelledLoss, label_trace=label_trace, complete=bool(known.all()))
        objective = self._semi_supervised(model, objective)
        return super()._terms_loss(model, batches, objective, noise, n_draws, kind=kind, **options)

    def _validation_values(self, model, x, generator, target, *, shared=False):
        objective = self._objective(model)
        noise = self._validation_noise(model, objective, x, generator, shared=shared)
        pairs = model.class_terms(x, noise)
        terms = LabelledTerms(pairs, model.log_proba(x), one_hot(target, model.n_classes, x))
        bound = self._semi_supervised(model, objective)
        return bound.report(terms)[bound.monitor] + model.log_jacobian_of(x)

    # -- classes ------------------------------------------------------------------------------------------------------

    def predict_log_proba(self, X):
        """Logarithms of the probabilities q(y | x) of the classes, finite where these underflow.

        Those of Bayes' rule are proportional to ``class_prior_`` times the exponential of ``score_samples(X, y)``; the
        network gives q in one pass.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``, the same for a row in any batch.
        """
        X = self._check_input(X)
        return self._map_rows(X, lambda model, x: [model.log_proba(x)])[0]

    # -- density ------------------------------------------------------------------------------------------------------

    def _posterior_parameters(self, model, x, condition=None):
        return model.encode(x, condition)

    def _latent_moments(self, model, x):
        return model.latent_moments(x)

    def score_samples(self, X, y=None):
        r"""Lower bound on the log-likelihood of each row, log p(x), or with classes log p(x | y).

        .. math:: \log p(x) \ge \log \sum_y p(y) \, e^{L(x, y)}

        :math:`L(x, y)` is the mean of ``n_score_draws`` importance weights of q(z | x, y) under noise that all rows
        share: deterministic, the same for a row in any batch, and in expectation below log p(x | y).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,), or a label for all rows, default=None
            Classes; None sums over them by ``class_prior_``.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)
            Nats per row, all constants included, in the units of X.
        """
        if self._labels_given(y):
            return super().score_samples(X, y)
        given = np.stack(
            [super(SemiSupervisedEstimator, self).score_samples(X, label) for label in self.classes_], axis=1
        )
        return logsumexp(given, axis=1, b=self.class_prior_).astype(given.dtype)

    def elbo(self, X, y=None):
        """Evidence lower bound of each row and its terms, at weight 1 and with the noise of ``score_samples``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,), or a label for all rows, default=None
            Classes: the bound is then on log p(x | y). None: on log p(x), the mean over q(y | x), whose divergence from
            ``class_prior_`` is part of the KL.

        Returns
        -------
        terms : dict of str to ndarray of shape (n_samples,)
            ``elbo``, ``reconstruction`` and ``kl`` in nats per row; the first is the second minus the third.
        """
        if self._labels_given(y):
            return super().elbo(X, y)
        log_proba = self.predict_log_proba(X)
        proba = np.exp(log_proba)
        parts = [super(SemiSupervisedEstimator, self).elbo(X, label) for label in self.classes_]
        terms = {
            name: (proba * np.stack([part[name] for part in parts], axis=1)).sum(axis=1)
            for name in ("reconstruction", "kl")
        }
        log_prior = np.log(np.maximum(self.class_prior_, np.finfo(proba.dtype).tiny)).astype(proba.dtype)
        terms["kl"] += (proba * (log_proba - log_prior)).sum(axis=1)
        return {"elbo": terms["reconstruction"] - terms["kl"]} | terms
