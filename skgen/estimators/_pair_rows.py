"""X and Y as one table, whose rows are pairs: how an estimator of the dependence between them is put together."""

import math

import numpy as np
import torch
from sklearn.utils import check_array, check_consistent_length

from skgen.distributions.normal import positive_scale
from skgen.estimators._arrays import as_tensor
from skgen.estimators._base import GradientEstimator
from skgen.estimators._data import column_names, weighted_rows
from skgen.estimators._labels import checked_labels, numbers_of
from skgen.estimators._pairs import CRITICS, FEWEST_PAIRS, HeldOut, PairLoss
from skgen.estimators._params import layer_sizes
from skgen.estimators._warnings import warn_user
from skgen.models.critic import StandardizedCritic
from skgen.objectives.pair_bounds import PAIR_BOUNDS


def holds_text(array):
    """Whether an array has text in it, and so stands for classes."""
    return array.dtype.kind in "US" or (array.dtype.kind == "O" and any(isinstance(each, str) for each in array.flat))


def check_enough(n_pairs, purpose):
    """Refuse fewer pairs than a comparison needs."""
    if n_pairs < FEWEST_PAIRS:
        raise ValueError(f"{purpose} needs at least {FEWEST_PAIRS} pairs, got n_samples = {n_pairs}. Pass more rows.")


class PairEstimator(GradientEstimator):
    """Base of the estimators of a critic of pairs; its subclass names and documents the parameters."""

    def _in_support(self, X, *, training):
        return X

    def _prepare(self, X, metadata, *, fresh):
        y, y_val = metadata.pop("y"), metadata.pop("y_val")
        X, metadata, (_, _, X_val) = super()._prepare(X, metadata, fresh=fresh)
        pairs, weight = weighted_rows(self._pairs(X, y, "y", fresh=fresh), metadata["sample_weight"])
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val are the two parts of validation pairs: pass both, or none.")
        if X_val is None:
            return X, metadata, (pairs, weight, None)
        check_enough(len(X_val), "Validation")
        return X, metadata, (pairs, weight, self._pairs(X_val, y_val, "y_val"))

    # -- both parts ---------------------------------------------------------------------------------------------------

    def _pairs(self, X, y, name, *, fresh=False):
        """Rows that hold both parts of each pair, in a dtype that holds either."""
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires {name} to be passed, but the target {name} is None. "
                "Pass the partner of each row."
            )
        Y = self._columns(y, name, len(X), fresh=fresh)
        check_consistent_length(X, Y)
        if fresh:
            self._n_targets = Y.shape[1]
        elif Y.shape[1] != self._n_targets:
            raise ValueError(
                f"{name} has {Y.shape[1]} columns, but {type(self).__name__} was fitted to a y with {self._n_targets}."
            )
        return np.hstack([X, Y.astype(X.dtype) if self.classes_ is not None else Y])

    def _columns(self, y, name, n_rows, *, fresh):
        """Columns of numbers: those of y, or an indicator of each class of its labels."""
        text = holds_text(np.asarray(y))
        if fresh:
            self.classes_ = np.unique(checked_labels(y, name, n_rows)) if text else None
        if text != (self.classes_ is not None):
            kinds = ("text", "numbers") if text else ("numbers", "text")
            raise ValueError(f"{name} holds {kinds[0]}, but {type(self).__name__} was fitted to a y of {kinds[1]}.")
        if text:
            codes = numbers_of(checked_labels(y, name, n_rows), self.classes_, name)
            return np.eye(len(self.classes_))[codes]
        Y = check_array(y, dtype=[np.float64, np.float32], ensure_2d=False, input_name=name)
        return Y.reshape(len(Y), -1)

    # -- moments ------------------------------------------------------------------------------------------------------

    def _moments(self, before, X, weight):
        moments = super()._moments(before, X, weight)
        bad = ~np.isfinite(moments.scale[self.n_features_in_ :])
        if bad.any():
            raise ValueError(
                f"The variance of column(s) {self._target_names(bad)} of y is beyond float64. Divide them by a "
                "constant."
            )
        return moments

    @staticmethod
    def _target_names(mask):
        return ", ".join(map(str, np.flatnonzero(mask)[:10]))

    def _warn_of_constants(self, moments):
        of_x, of_y = np.split(moments.constant, [self.n_features_in_])
        for mask, names, part in ((of_x, column_names(self, of_x), "X"), (of_y, self._target_names(of_y), "y")):
            if mask.any():
                warn_user(f"Constant column(s) {names} of {part} carry no information.")

    # -- assembly -----------------------------------------------------------------------------------------------------

    _continued = {
        "n_targets": "y",
        "critic": "critic",
        "n_components": "n_components",
        "sizes": "hidden_layer_sizes",
        "activation": "activation",
    }

    def _decide(self):
        self._architecture = {
            "n_targets": int(self._n_targets),
            "critic": self.critic,
            "n_components": int(self.n_components),
            "sizes": layer_sizes(self.hidden_layer_sizes, "hidden_layer_sizes"),
            "activation": self.activation,
        }

    def _build_model(self, n_features):
        a = self._architecture
        sizes = n_features, a["n_targets"]
        critic = CRITICS[a["critic"]](*sizes, a["sizes"], a["n_components"], a["activation"])
        return StandardizedCritic(critic, *sizes)

    def _start_model(self, model, moments, generator, *, partial):
        model.reset(generator)
        self._move_model(model, moments, None)

    def _move_model(self, model, moments, old):
        mean, scale = torch.from_numpy(moments.mean), positive_scale(torch.from_numpy(moments.scale))
        if old is not None:
            model.restandardize(mean, scale)
        else:
            model.shift.copy_(mean)
            model.scale.copy_(scale)

    def _bound(self):
        return PAIR_BOUNDS[self.bound](self.clip)

    def _loss(self, model, batches, generator):
        low_precision = self.precision == "bfloat16" and not batches.full
        return PairLoss(model, self._bound(), whole=batches.full, low_precision=low_precision)

    def _held_out(self, model, pairs, weight, *, whole=False):
        standardized = self._standardize(model, as_tensor(pairs).to(model.scale.device)).to(model.scale)
        return HeldOut(model, self._bound(), standardized, weight, whole=whole)

    def _measures(self, loss, data, validation, model, *, shared, seed):
        return None if validation is None else self._held_out(model, *validation, whole=shared)

    def _describe(self, model, X, weight):
        """Nothing beyond the common attributes."""

    def _learnt(self, run):
        value, interval = (math.nan, (math.nan, math.nan)) if run.measures is None else run.measures.estimate()
        return super()._learnt(run) | {"estimate_": value, "interval_": interval}

    def _doubts(self, run):
        yield from super()._doubts(run)
        doubt = None if run.measures is None else run.measures.doubt(self.estimate_)
        if doubt is not None:
            yield doubt

    @property
    def score_kind(self):
        """What scores are: "bound", or "estimate" where they may be above the truth in expectation."""
        return self._bound().kind

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        return tags
