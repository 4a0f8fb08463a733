"""Clusters of latent-variable models whose prior is a mixture."""

import numpy as np
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skgen.estimators._arrays import as_array
from skgen.estimators.gaussian_mixture import GaussianMixture
from skgen.priors import PRIORS


def _are_in(prior, estimator):
    spec = PRIORS.get(prior) if isinstance(prior, str) else type(prior)
    if not getattr(spec, "has_components", False):
        raise AttributeError(f"Only a mixture prior has clusters, this {type(estimator).__name__} has {prior!r}.")
    return True


def _has_components(estimator):
    return _are_in(getattr(estimator, "prior_", estimator.prior), estimator)


def _will_have_components(estimator):
    return _are_in(estimator.prior, estimator)


class PriorComponents:
    """Mixin of the estimators with the parameter ``prior``: what they can do if it is a mixture."""

    @available_if(_has_components)
    def predict_proba(self, X):
        r"""Probability of each component of a mixture prior given a row.

        .. math:: E_{q(z \mid x)}\, p(k \mid z)

        the estimate of p(k | x) of Jiang et al. (2017), over the noise of :meth:`score_samples`: deterministic, and the
        same for a row in any batch.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        responsibilities : ndarray of shape (n_samples, n_prior_components)
            They add up to 1 in each row.
        """
        X = self._check_input(X)
        noise = self._score_noise(X.dtype)

        def shares(model, x):
            z = model.posterior.draw(self._posterior_parameters(model, x), noise).z
            return [model.prior.responsibilities(z).mean(0)]

        return self._map_rows(X, shares, self.n_score_draws)[0]

    @available_if(_has_components)
    def predict(self, X):
        """Most probable component of a mixture prior for each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Numbers of components.
        """
        return self.predict_proba(X).argmax(axis=1)

    @available_if(_will_have_components)
    def fit_predict(self, X, y=None, *, sample_weight=None):
        """Fit, and give the most probable component of a mixture prior for each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows.
        y : Ignored
            Present for API consistency: clusters never depend on labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Numbers of components.
        """
        return self.fit(X, sample_weight=sample_weight).predict(X)

    @property
    def prior_mixture_(self):
        """Fitted mixture prior, as a :class:`skgen.GaussianMixture` of what ``transform`` gives."""
        check_is_fitted(self)
        _has_components(self)
        prior = self._module(np.dtype(np.float64)).prior
        return GaussianMixture.from_parameters(*map(as_array, prior.components()), covariance_type="diag")
