"""From logarithms of the probabilities of classes to all that a classifier is asked for."""

import numpy as np


class ClassProbabilities:
    """Mixin of classifiers with ``classes_`` and ``predict_log_proba``."""

    def predict_proba(self, X):
        """Probabilities of the classes, the exponentials of :meth:`predict_log_proba`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, of any kind that :meth:`predict_log_proba` takes.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``, the same for a row in any batch.
        """
        return np.exp(self.predict_log_proba(X))

    def predict(self, X):
        """The most probable class of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, of any kind that :meth:`predict_log_proba` takes.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Labels.
        """
        best = self.predict_log_proba(X).argmax(axis=1)
        return self.classes_[best]
