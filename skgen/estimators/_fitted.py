"""From fitted arrays to modules, and rows through them: what estimators of modules do after training."""

from abc import abstractmethod

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from skgen.estimators._arrays import as_array, as_tensor, resolve_device, tiles
from skgen.estimators._density import RowScores
from skgen.estimators._iterative import IterativeEstimator
from skgen.estimators._sparse import as_rows
from skgen.estimators._warnings import warn_user


class ModuleHolder(IterativeEstimator):
    """Base that owns the fitted state: ``weights_`` and the modules built from it when they are needed.

    A module has buffers ``shift`` and ``scale``, a method ``standardize``, and a ``width``: the most numbers that it
    holds per row at once.
    """

    _table = None
    """What the columns of training rows are, where they are not all numbers to the model."""
    _row_checks: dict = {}
    """What ``check_array`` is to accept of rows, besides their dtypes; tags say the same of sparse ones."""

    @abstractmethod
    def _build_model(self, n_features):
        """The untrained model, from what ``_decide`` stored."""

    @abstractmethod
    def _in_support(self, X, *, training):
        """Rows that the model takes: values clipped where it has bounds, refused where it cannot take them.

        ``training`` says that they are rows to learn from, which the parameters describe; rows to infer on are
        described by what was fitted.
        """

    def _encode_rows(self, X, *, training=False, reset=False, input_name="X"):
        """Rows as numbers, where columns may be something else; the very X where there is nothing to do.

        Otherwise names and number of the columns have been checked. ``training`` and ``reset`` say that the rows are
        to learn from, and that no fit is continued.
        """
        return X

    def _decode_rows(self, rows):
        """Rows that the model gives as those that the user has given."""
        return rows

    def _check_rows(self, X, *, training, reset=False):
        numbers, checks = self._encode_rows(X, training=training, reset=reset), {"dtype": [np.float64, np.float32]}
        if numbers is X:
            numbers = validate_data(self, X, reset=reset, **checks, **self._row_checks)
        else:
            numbers = check_array(numbers, input_name="X", estimator=self, **checks, **self._row_checks)
        return self._in_support(numbers, training=training)

    def _check_input(self, X):
        """Rows to infer on."""
        check_is_fitted(self)
        return self._check_rows(X, training=False)

    def _standardize(self, model, rows):
        """Rows in the user's units, as a model takes them."""
        return model.standardize(rows)

    def _decode(self, model, z, *condition):
        """Latent rows to rows in the user's units."""
        return model.decode(z, *condition)

    def _fitted_model(self):
        model = self._build_model(self.n_features_in_).double()
        model.load_state_dict({name: torch.tensor(value) for name, value in self.weights_.items()})
        return model

    def _module(self, dtype):
        """The fitted model for inference, in the dtype of the rows, on the estimator's device."""
        dtype = torch.float32 if dtype == np.float32 else torch.float64
        if dtype not in self._runtime.models:
            device = self._inference_device(dtype)
            self._runtime.models[dtype] = self._fitted_model().to(device, dtype).requires_grad_(False)
        return self._runtime.models[dtype]

    def _inference_device(self, dtype):
        try:
            device = resolve_device(self.device)
        except ValueError as error:
            warn_user(f"{error} Using the CPU.")
            return torch.device("cpu")
        return torch.device("cpu") if device.type == "mps" and dtype == torch.float64 else device

    def _map_rows(self, X, function, n_draws=1):
        """Apply a function of standardised rows tile by tile; arrays with one entry per row of X.

        ``n_draws`` is how many times as much as the model's width it holds per row.
        """
        model, X = self._module(X.dtype), as_rows(X)
        columns = []
        with torch.inference_mode():
            for tile in tiles(len(X), n_draws * model.width, X.dtype.itemsize):
                x = self._standardize(model, as_tensor(X[tile]).to(model.scale.device))
                values = [value.cpu().numpy() for value in function(model, x)]
                # Filled in place: small arrays kept from each tile would pin the heap that its large ones leave.
                columns = columns or [np.empty((len(X), *value.shape[1:]), value.dtype) for value in values]
                for column, value in zip(columns, values, strict=True):
                    column[tile] = value
        return columns

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = "accept_sparse" in self._row_checks
        tags.input_tags.allow_nan = self._row_checks.get("ensure_all_finite") == "allow-nan"
        return tags


class FittedModule(ClassNamePrefixFeaturesOutMixin, TransformerMixin, RowScores, ModuleHolder):
    """Base of the estimators whose module has latent variables, which rows are transformed to and decoded from."""

    def inverse_transform(self, X):
        """Decode latent rows to the mean of p(x | z), in the units of the training rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Latent rows.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            Decoded rows.
        """
        return self._decode_rows(self._decoded(X))

    def _decoded(self, X, *condition):
        """Latent rows, and what else the model may decode them with, as rows that the model gives."""
        check_is_fitted(self)
        Z = check_array(X, dtype=[np.float64, np.float32], input_name="X")
        if Z.shape[1] != self._n_features_out:
            raise ValueError(
                f"X has {Z.shape[1]} columns, but {type(self).__name__} has n_components="
                f"{self._architecture['n_components']} and so latent rows of {self._n_features_out}."
            )
        model = self._module(Z.dtype)
        latent = as_tensor(Z)
        with torch.inference_mode():
            parts = tiles(len(Z), model.width, Z.itemsize)
            inputs = [[each[part].to(model.scale) for each in (latent, *condition)] for part in parts]
            return np.concatenate([as_array(self._decode(model, *some)) for some in inputs])

    @property
    def _n_features_out(self):
        return self._architecture["n_components"]

    # -- scikit-learn ---------------------------------------------------------------------------------------------

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
