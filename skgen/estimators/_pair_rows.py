"""X and Y as one table, whose rows are pairs: how an estimator of the dependence between them is put together."""

import numpy as np
import torch
from sklearn.utils import check_array

from skgen.distributions.normal import positive_scale
from skgen.estimators._arrays import as_tensor
from skgen.estimators._base import GradientEstimator
from skgen.estimators._data import column_names, weighted_rows
from skgen.estimators._labels import numbers_of
from skgen.estimators._pairs import CRITICS, FEWEST_PAIRS, NO_ESTIMATE, HeldOut, PairLoss
from skgen.estimators._params import layer_sizes
from skgen.estimators._warnings import warn_user
from skgen.models.critic import StandardizedCritic
from skgen.objectives.pair_bounds import PAIR_BOUNDS


def holds_text(array):
    """Whether an array has text in it, and so stands for classes."""
    return array.dtype.kind in "US" or (array.dtype.kind == "O" and any(isinstance(each, str) for each in array.flat))


def text_labels(labels, name):
    """One column of text, whose values are classes; a ValueError says what it is instead."""
    if labels.shape[1:] == (1,):
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise ValueError(
            f"{name} holds text, which stands for classes, in an array of shape {labels.shape}, but one column of it "
            f"is allowed. Pass one column of {name}, or numbers."
        )
    strange = [each for each in labels if not isinstance(each, (str, bytes))]
    if strange:
        raise ValueError(
            f"{name} holds text, which stands for classes, and also {strange[0]!r}, which is none. Leave out rows "
            f"without a class, or pass {name}.astype(str)."
        )
    return labels


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
        Y = self._columns(y, name, fresh=fresh)
        if len(X) != len(Y):
            raise ValueError(
                f"{name} and the rows that it belongs to have inconsistent numbers of samples: {len(Y)} and {len(X)}. "
                f"Pass one row of {name} for each of them."
            )
        if fresh:
            self._n_targets = Y.shape[1]
        elif Y.shape[1] != self._n_targets:
            raise ValueError(
                f"{name} has {Y.shape[1]} columns, but {type(self).__name__} was fitted to a y with {self._n_targets}. "
                f"Pass as many, or call fit with warm_start=False to start afresh."
            )
        return np.hstack([X, Y.astype(X.dtype) if self.classes_ is not None else Y])

    def _columns(self, y, name, *, fresh):
        """Columns of numbers: those of y, or an indicator of each class of its labels."""
        array = np.asarray(y)
        if array.ndim > 2 or 0 in array.shape[1:]:
            raise ValueError(
                f"{name} must have the shape (n_samples,) or (n_samples, n_targets), got {array.shape}. Pass a number, "
                "or a row of numbers, for each row of X."
            )
        text = holds_text(array)
        labels = text_labels(array, name) if text else None
        if fresh:
            self.classes_ = np.unique(labels) if text else None
        if text != (self.classes_ is not None):
            kinds = ("text", "numbers") if text else ("numbers", "text")
            raise ValueError(
                f"{name} holds {kinds[0]}, but {type(self).__name__} was fitted to a y of {kinds[1]}. "
                f"Pass {kinds[1]}, or call fit with warm_start=False to start afresh."
            )
        if text:
            return np.eye(len(self.classes_))[numbers_of(labels, self.classes_, name)]
        Y = check_array(y, dtype=[np.float64, np.float32], ensure_2d=False, input_name=name)
        return Y.reshape(len(Y), -1)

    # -- moments ------------------------------------------------------------------------------------------------------

    def _moments(self, before, X, weight):
        moments = super()._moments(before, X, weight)
        bad = ~np.isfinite(moments.scale[self.n_features_in_ :])
        if bad.any():
            raise ValueError(
                f"The variance of column(s) {column_names(None, bad)} of y is beyond float64. Divide them by a "
                "constant."
            )
        return moments

    def _warn_of_constants(self, moments):
        of_x, of_y = np.split(moments.constant, [self.n_features_in_])
        for mask, named, part in ((of_x, self, "X"), (of_y, None, "y")):  # columns of y have numbers alone
            if mask.any():
                warn_user(f"Constant column(s) {column_names(named, mask)} of {part} carry no information.")

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
        # What a constant column would say if it changed is not learnt, and has no part in scores of other pairs.
        varies = torch.from_numpy(np.where(moments.constant, 0.0, 1.0))
        model.critic.absorb(model.split(varies), model.split(torch.zeros_like(varies)))

    def _move_model(self, model, moments, old):
        mean, scale = torch.from_numpy(moments.mean), positive_scale(torch.from_numpy(moments.scale))
        if old is not None:
            model.restandardize(mean, scale)
        else:
            model.shift.copy_(mean)
            model.scale.copy_(scale)

    def _split(self, data, random_state, *, partial):
        split = super()._split(data, random_state, partial=partial)
        n_pairs = len(split[0])
        if not partial:
            check_enough(n_pairs, "Training, beside validation,")
        elif n_pairs < FEWEST_PAIRS:
            warn_user("A chunk of a single pair teaches nothing, since its parts are apart from no others. Pass more.")
        return split

    def _bound(self):
        self._validate_params()  # parameters may have been set after the fit
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
        value, interval, _ = NO_ESTIMATE if run.measures is None else run.measures.estimate()
        return super()._learnt(run) | {"estimate_": value, "interval_": interval}

    def _doubts(self, run):
        yield from super()._doubts(run)
        if run.measures is not None:
            yield from run.measures.estimate().doubts

    @property
    def score_kind(self):
        """What scores are: "bound", or "estimate" where they may be above the truth in expectation."""
        return self._bound().kind

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        return tags
