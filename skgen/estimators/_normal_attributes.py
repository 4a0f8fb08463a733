"""What estimators with normal components of any structure of covariances show of them."""

import torch
from sklearn.utils.validation import check_is_fitted

from skgen.distributions.covariance import COVARIANCES
from skgen.estimators import _mixture_parameters


class NormalComponents:
    """Mixin of the mixtures whose parameters hold ``covariances`` of the structure named by ``_covariance_type``."""

    @property
    def _covariance(self):
        return COVARIANCES[self._covariance_type]

    @property
    def covariances_(self):
        """Covariances, in the shape that ``covariance_type`` says."""
        return self._cast(_mixture_parameters.shown(self._covariance, self.parameters_["covariances"]))

    @property
    def precisions_(self):
        """Inverses of the covariances."""
        precision = self._covariance.precision(torch.tensor(self.parameters_["covariances"]))[0]
        return self._cast(_mixture_parameters.shown(self._covariance, precision.numpy()))

    @property
    def precisions_cholesky_(self):
        """Upper triangular factors of the precisions, or their square roots where they are variances."""
        covariances = torch.tensor(self.parameters_["covariances"])
        return self._cast(_mixture_parameters.shown(self._covariance, self._covariance.whitening(covariances).numpy()))

    def inverse_transform(self, X):
        """Mean of p(x) given responsibilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Responsibilities.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Means of the components, weighted by them.
        """
        check_is_fitted(self)
        shares = _mixture_parameters.responsibilities(X, self.n_components_)
        return (shares @ (self.parameters_["means"] + self.center_)).astype(shares.dtype)

    def _message_interval(self):
        return self.verbose_interval
