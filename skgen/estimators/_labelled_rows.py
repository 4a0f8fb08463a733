"""Labels in a fit: what estimators share whose models may have classes, whatever the models are."""

from abc import abstractmethod

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skgen.estimators._data import weighted_rows
from skgen.estimators._labels import (
    UNKNOWN,
    check_same_classes,
    checked_labels,
    classes_of,
    labelled_mask,
    numbers_of,
    refuse_labels,
)
from skgen.estimators._sklearn import _fit_context


class LabelledRows:
    """Mixin of estimators by gradients that may learn the distribution of rows given a class.

    It hands the numbers of classes to a run, as targets of the rows. The fitted ``_architecture`` has an entry
    ``conditional``.

    Attributes
    ----------
    unlabelled : str, float or None
        Label of the rows that have none.
    """

    unlabelled = None

    @property
    @abstractmethod
    def _asks_labels(self):
        """Whether the parameters say that rows are modelled given their class."""

    @property
    def _conditional(self):
        """Whether the fitted model has classes."""
        check_is_fitted(self)
        return self._architecture["conditional"]

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, sample_weight=None, X_val=None, y_val=None):
        """Fit the model.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows. Read-only float32 memory maps are used without a copy, unless rows are held out of them.
        y : array-like of shape (n_samples,), default=None
            Classes of the rows, numbers or strings. Ignored by a model without classes.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of rows in the objective and in the scaling; a zero weight leaves a row out.
        X_val : array-like of shape (n_validation_samples, n_features), default=None
            Validation rows, in place of ``validation_fraction``; recorded in ``history_`` also without
            ``early_stopping``. They must be scaled as X is: in a Pipeline use
            ``Pipeline(..., transform_input=["X_val"])`` with metadata routing and ``set_fit_request(X_val=True)``.
            Given as ``step__X_val`` they arrive unscaled, and GridSearchCV cuts an ``X_val`` that has as many rows
            as X into folds.
        y_val : array-like of shape (n_validation_samples,), default=None
            Classes of the validation rows; ``X_val`` needs them where the model has classes.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        metadata = {"sample_weight": sample_weight, "X_val": X_val, "y_val": y_val}
        return self._fit(X, y, metadata | {"y": y, "classes": None, "partial": False})

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, *, classes=None, sample_weight=None):
        """Continue with one pass over a chunk of rows, of any size.

        Scales come from running moments; when they move, what was learnt is compensated, so that it is unchanged in
        the units of X. Nothing is warmed up.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            A chunk of training rows.
        y : array-like of shape (n_samples,), default=None
            Classes of the rows. Ignored by a model without classes.
        classes : array-like of shape (n_classes,), default=None
            All classes that any chunk will have, for the first call; None: those of the first chunk.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of rows within the chunk.

        Returns
        -------
        self : object
            The updated estimator.
        """
        metadata = {"sample_weight": sample_weight, "X_val": None, "y_val": None}
        return self._partial_fit(X, metadata | {"y": y, "classes": classes, "partial": True})

    # -- labels in training -------------------------------------------------------------------------------------------

    def _prepare(self, X, metadata, *, fresh):
        given = {name: metadata.pop(name) for name in ("y", "classes", "partial")}
        X, metadata, data = super()._prepare(X, metadata, fresh=fresh)
        if fresh:
            for name in ("classes_", "class_count_"):
                vars(self).pop(name, None)
        if not self._asks_labels:
            return X, metadata, data
        if given["y"] is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y is None. Pass the "
                "class of each row."
            )
        n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
        y, known = checked_labels(given["y"], "y", n_rows), labelled_mask(given["y"], self.unlabelled)
        kept, weight = weighted_rows(np.arange(n_rows), metadata["sample_weight"])
        y, known = y[kept], known[kept]
        self._find_classes(y, known, given["classes"], partial=given["partial"])
        codes = numbers_of(y, self.classes_, "y", known)
        self._count_classes(codes, weight, add=given["partial"])
        X_val = data[2]
        if X_val is None:
            return X, metadata, (*data, codes)
        return X, metadata, (*data, codes, self._validation_codes(metadata["y_val"], len(X_val)))

    def _find_classes(self, y, known, classes, *, partial):
        """Set the classes, or check that they are those of the fit that is continued."""
        if classes is None and not known.any() and not (partial and hasattr(self, "classes_")):
            raise ValueError(f"y has no class but unlabelled={self.unlabelled!r}: at least one row needs a label.")
        found = classes_of(y, known) if classes is None else np.unique(np.asarray(classes))
        if not hasattr(self, "classes_"):
            self.classes_ = found
        elif classes is not None or not partial:
            check_same_classes(found, self.classes_)

    def _count_classes(self, codes, weight, *, add):
        """Count the rows of each class, by weight."""
        some = codes != UNKNOWN
        count = np.bincount(codes[some], None if weight is None else weight[some], len(self.classes_)).astype(float)
        self.class_count_ = count + (getattr(self, "class_count_", 0.0) if add else 0.0)

    def _validation_codes(self, y_val, n_rows):
        if y_val is None:
            raise ValueError("X_val needs y_val, the classes of its rows, where the model has classes.")
        y = checked_labels(y_val, "y_val", n_rows)
        return numbers_of(y, self.classes_, "y_val", labelled_mask(y_val, self.unlabelled))

    @property
    def class_prior_(self):
        """Share of each class of ``classes_`` in the training rows, by weight, (n_classes,)."""
        total = self.class_count_.sum()
        return self.class_count_ / total if total > 0 else np.full(len(self.classes_), 1 / len(self.classes_))

    # -- labels in use ------------------------------------------------------------------------------------------------

    def _labels_given(self, y):
        """Whether there are labels of rows; refuses them where the model has no classes."""
        if not self._conditional:
            refuse_labels(y)
        return y is not None

    def _codes(self, y, n_rows):
        """Numbers of the classes of so many rows from their labels, or from one label for all."""
        if isinstance(y, str) or np.ndim(y) == 0:
            y = np.full(n_rows, y)
        return numbers_of(checked_labels(y, "y", n_rows), self.classes_, "y")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self._asks_labels
        return tags
