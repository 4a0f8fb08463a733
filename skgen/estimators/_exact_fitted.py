"""What every estimator with an exact posterior offers its users, once its parameters are there."""

import functools
from abc import abstractmethod

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from skgen._rows import Rows
from skgen._spec import check_choice
from skgen.estimators._arrays import as_tensor, resolve_device
from skgen.estimators._density import DensityEstimator
from skgen.estimators._imputation import drawn_tables
from skgen.estimators._iterative import IterativeEstimator
from skgen.estimators._warnings import warn_user


class FittedExact(ClassNamePrefixFeaturesOutMixin, TransformerMixin, DensityEstimator, IterativeEstimator):
    """Base that owns the fitted state of an :class:`~skgen._exact_model.ExactModel`, and what follows from it.

    The fitted state is ``parameters_``, the model's parameters as float64 arrays, and ``center_``, which rows are taken
    relative to. What users read, such as ``means_``, is derived from them, in the dtype of the training rows.
    """

    score_kind = "exact"

    @abstractmethod
    def _build_model(self, n_features):
        """The model of the chosen sizes and options."""

    # -- from rows and parameters to a posterior --------------------------------------------------------------------

    def _check_rows(self, X, *, reset=False):
        return validate_data(self, X, reset=reset, dtype=[np.float64, np.float32], ensure_all_finite="allow-nan")

    def _rows(self, X, weight, device, model, *, single=False, scanned=True):
        """Rows in tiles, on the device that computes."""
        center = torch.from_numpy(self.center_).to(device) if self.center_.any() else None
        weight = None if weight is None else torch.from_numpy(weight).to(device)
        return Rows(
            as_tensor(X).to(device), weight, center, tile_rows=model.tile_rows(), single=single, scanned=scanned
        )

    def _training_device(self):
        device = resolve_device(self.device)
        if device.type == "mps":
            raise ValueError("device='mps' has no float64, which exact models need: choose another device.")
        return device

    def _tensors(self, device):
        return {name: torch.tensor(value).to(device) for name, value in self.parameters_.items()}

    def _device_in_use(self, *, warn=False):
        """The device that computes: a fitted model whose own is absent goes on on the CPU."""
        try:
            return self._training_device()
        except ValueError as error:
            if warn:
                warn_user(f"{error} Using the CPU.")
            return torch.device("cpu")

    def _fitted(self):
        """The fitted model, its posterior and the device that they are on."""
        check_is_fitted(self)
        if "exact" not in self._runtime.models:
            device = self._device_in_use(warn=True)
            model = self._build_model(self.n_features_in_)
            self._runtime.models["exact"] = model, model.bind(model.refreshed(self._tensors(device))), device
        return self._runtime.models["exact"]

    def _cast(self, array):
        """An array in the dtype of the training rows."""
        return np.asarray(array, dtype=self._dtype, order="C")

    def _map_rows(self, X, function):
        """Apply a function of the posterior and a tile to all rows; arrays in X's dtype with an entry per row."""
        X = self._check_input(X)
        model, posterior, device = self._fitted()
        rows = self._rows(X, None, device, model)
        columns = []
        with torch.no_grad():
            for tile, place in zip(rows, rows.places(), strict=True):
                values = [value.cpu().numpy() for value in function(posterior, tile)]
                columns = columns or [np.empty((len(X), *value.shape[1:]), X.dtype) for value in values]
                place = place.cpu().numpy() if isinstance(place, torch.Tensor) else place
                for column, value in zip(columns, values, strict=True):
                    column[place] = value
        return columns

    def _check_input(self, X):
        check_is_fitted(self)
        return self._check_rows(X)

    # -- use --------------------------------------------------------------------------------------------------------

    def score_samples(self, X):
        """Log-likelihood of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows; of those with missing entries (NaN), the likelihood of the observed ones.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)
            Nats per row, exact, all constants included.
        """
        values = self._map_rows(X, lambda posterior, tile: [posterior.log_prob(tile)])[0]
        # Squares beyond float64 may leave no number.
        return np.where(np.isnan(values), -np.inf, values).astype(values.dtype)

    def impute(self, X, *, method="mean", n_imputations=None, random_state=None):
        """Fill in missing entries from their distribution given the observed ones.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, NaN where an entry is missing.
        method : {"mean", "sample"}, default="mean"
            Conditional means, or draws from the conditional distribution.
        n_imputations : int, default=None
            Number of tables to draw, for multiple imputation, whatever the method; None gives a single one.
        random_state : int, RandomState instance or None, default=None
            Source of the draws; None uses the estimator's own.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features) or (n_imputations, n_samples, n_features)
            The rows, their observed entries unchanged.
        """
        check_choice(method, ("mean", "sample"), "method")
        check_is_fitted(self)
        if n_imputations is not None:
            draw = functools.partial(self.impute, method="sample", random_state=random_state)
            return drawn_tables(draw, X, n_imputations)
        generator = self._generator(random_state, self._fitted()[2]) if method == "sample" else None
        center = torch.from_numpy(self.center_).to(self._fitted()[2])

        def filled(posterior, tile):
            return [tile.x + center if tile.observed is None else posterior.impute(tile, generator) + center]

        values = self._map_rows(X, filled)[0]
        X = self._check_input(X)
        return np.where(np.isnan(X), values, X)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
