"""Clusters and codes of latent-variable models whose prior is a mixture or categorical."""

import numpy as np
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skgen.estimators._arrays import as_array
from skgen.estimators.gaussian_mixture import GaussianMixture
from skgen.priors import PRIORS, Mixture


def _given(estimator):
    return getattr(estimator, estimator._prior_parameter)


def _are_in(prior, estimator):
    spec = PRIORS.get(prior) if isinstance(prior, str) else type(prior)
    if not getattr(spec, "has_components", False):
        raise AttributeError(
            f"Only mixture and categorical priors have clusters, this {type(estimator).__name__} has {prior!r}."
        )
    return True


def _has_components(estimator):
    return _are_in(getattr(estimator, "prior_", _given(estimator)), estimator)


def _will_have_components(estimator):
    return _are_in(_given(estimator), estimator)


class PriorComponents:
    """Mixin of the estimators with a parameter for their prior: what they can do if it is a mixture or categorical."""

    _prior_parameter = "prior"
    """Name of the parameter, of which ``prior_`` is the fitted spec."""

    @available_if(_has_components)
    def predict_proba(self, X):
        r"""Probability of each component of a mixture prior given a row.

        .. math:: E_{q(z \mid x)}\, p(k \mid z)

        the estimate of p(k | x) of Jiang et al. (2017), over the noise of :meth:`score_samples`: deterministic, and the
        same for a row in any batch. Of a categorical prior the probabilities of the categories, as ``transform``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        responsibilities : ndarray of shape (n_samples, n_prior_components)
            They add up to 1 in each row. Of several categorical variables those of each, side by side.
        """
        check_is_fitted(self)
        if self.prior_.has_categories:
            return self.transform(X)
        X = self._check_input(X)
        noise = self._score_noise(X.dtype)

        def shares(model, x):
            z = model.posterior.draw(self._posterior_parameters(model, x), noise).z
            return [model.prior.responsibilities(z).mean(0)]

        return self._map_rows(X, shares, self.n_score_draws)[0]

    @available_if(_has_components)
    def predict(self, X):
        """Most probable component of a mixture prior for each row; of a categorical one its codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Numbers of components. Of several categorical variables the most probable category of each, of shape
            (n_samples, n_components).
        """
        probabilities = self.predict_proba(X)
        n_variables = self._architecture["n_components"] if self.prior_.has_categories else 1
        codes = probabilities.reshape(len(probabilities), n_variables, -1).argmax(axis=2)
        return codes[:, 0] if codes.shape[1] == 1 else codes

    @available_if(_will_have_components)
    def fit_predict(self, X, y=None, *, sample_weight=None):
        """Fit, and give what :meth:`predict` gives.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,), default=None
            Classes of a conditional model. Clusters are those of the rows whatever their classes; else it is ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,) or (n_samples, n_components)
            Numbers of components.
        """
        return self.fit(X, y, sample_weight=sample_weight).predict(X)

    @property
    def prior_mixture_(self):
        """Fitted mixture prior, as a :class:`skgen.GaussianMixture` of what ``transform`` gives."""
        check_is_fitted(self)
        if not isinstance(self.prior_, Mixture):
            raise AttributeError(f"Only a mixture prior is a GaussianMixture, this is {self.prior_!r}.")
        prior = self._module(np.dtype(np.float64)).prior
        return GaussianMixture.from_parameters(*map(as_array, prior.components()), covariance_type="diag")
