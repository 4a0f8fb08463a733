"""Rows with labels: what estimators of models that are given classes share."""

import numpy as np
import torch

from skgen.estimators._amortized import AmortizedEstimator
from skgen.estimators._arrays import as_tensor
from skgen.estimators._labelled_rows import LabelledRows
from skgen.models.labelled import ConditionalModel, one_hot


class ClassConditionalEstimator(LabelledRows, AmortizedEstimator):
    """Base of the estimators that may learn the distribution of rows given a class."""

    _continued = AmortizedEstimator._continued | {"conditional": "conditional"}

    # -- assembly -----------------------------------------------------------------------------------------------------

    def _network_sizes(self):
        return super()._network_sizes() | {"conditional": self._asks_labels}

    @property
    def _n_conditions(self):
        """How many numbers tell the decoder of a row's class."""
        return len(self.classes_) if self._architecture["conditional"] else 0

    def _assembled(self, networks, *parts):
        if not self._n_conditions:
            return super()._assembled(networks, *parts)
        return ConditionalModel(*networks, *parts, n_classes=self._n_conditions, missing=self._missing)

    def _prepared_model(self, X, weight, random_state, *, fresh, partial):
        model = super()._prepared_model(X, weight, random_state, fresh=fresh, partial=partial)
        if self._n_conditions:
            model.class_prior.copy_(torch.from_numpy(self.class_prior_))
        return model

    def _loss(self, model, batches, generator):
        loss = super()._loss(model, batches, generator)
        if self._n_conditions:
            loss.condition = lambda codes: one_hot(codes, model.n_classes, model.scale)
        return loss

    def _validation_values(self, model, x, generator, *target, shared=False):
        condition = [one_hot(codes, model.n_classes, x) for codes in target]
        return super()._validation_values(model, x, generator, *condition, shared=shared)

    # -- labels in use ------------------------------------------------------------------------------------------------

    def _map_given(self, X, y, function, n_draws):
        if not self._labels_given(y):
            return super()._map_given(X, None, function, n_draws)
        codes, columns = self._codes(y, len(X)), []
        for code in np.unique(codes):

            def given(model, x, code=code):
                return function(model, x, one_hot(torch.full((len(x),), code, device=x.device), model.n_classes, x))

            rows = codes == code
            values = self._map_rows(X[rows], given, n_draws)
            columns = columns or [np.empty((len(X), *value.shape[1:]), value.dtype) for value in values]
            for column, value in zip(columns, values, strict=True):
                column[rows] = value
        return columns

    def _conditions_of_draws(self, model, y, n_samples, generator):
        if not self._labels_given(y) and not self._conditional:
            return None, None
        if y is None:
            codes = model.draw_classes(n_samples, generator)
        else:
            codes = as_tensor(self._codes(y, n_samples)).to(model.scale.device)
        return self.classes_[codes.cpu().numpy()], one_hot(codes, model.n_classes, model.scale)

    def _scored_rows(self, X, y):
        return self.score_samples(X, y) if self._conditional else super()._scored_rows(X, y)

    def inverse_transform(self, X, y=None):
        """Decode latent rows to the mean of p(x | z), or of p(x | z, y), in the units of the training rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Latent rows.
        y : array-like of shape (n_samples,), or a label for all rows, default=None
            Classes, where the model has some; None stands for the mean over ``class_prior_``.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            Decoded rows.
        """
        if not self._labels_given(y):
            return super().inverse_transform(X)
        codes = as_tensor(self._codes(y, len(X)))
        return self._decode_rows(self._decoded(X, one_hot(codes, len(self.classes_), torch.ones(()))))
