"""What a fitted pair of generator and critic offers: codes of rows, draws, and a score that is no likelihood."""

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from skgen._spec import check_count
from skgen.estimators._adversarial import Drawing
from skgen.estimators._adversarial_score import Distance, with_classes
from skgen.estimators._arrays import as_array, as_tensor, tiles
from skgen.estimators._base import GradientEstimator
from skgen.estimators._data import shares, weighted_rows
from skgen.estimators._density import Drawer
from skgen.estimators._fitted import FittedModule
from skgen.estimators._inversion import Inversion
from skgen.models.labelled import one_hot


class FittedAdversary(Drawer, FittedModule, GradientEstimator):
    """Base of the estimators whose model is an :class:`~skgen.models.adversarial.AdversarialModel`.

    A subclass has the parameters ``inversion_steps`` and ``n_score_draws``, labels as
    :class:`~skgen.estimators._labelled_rows.LabelledRows` has them, and a fitted ``bandwidths_``.
    """

    score_kind = "pseudo"

    def _in_support(self, X, *, training):
        return X

    def _class_shares(self, model):
        """Probabilities of the classes, None where there are none."""
        if not self._architecture["conditional"]:
            return None
        return torch.from_numpy(self.class_prior_).to(model.scale)

    def _drawing(self, model, class_prior=None):
        """What rows are drawn by, with such probabilities of the classes, or else those of the training rows."""
        return Drawing(model.n_latent, self._class_shares(model) if class_prior is None else class_prior, model.scale)

    def _decode(self, model, z, *condition):
        return self._within_bounds(model, super()._decode(model, z, *condition))

    def _within_bounds(self, model, rows):
        """Rows in the user's units, within the range of their columns where they are bounded."""
        if not model.bounded:
            return rows
        # Back from standardised rows, bounds are those of the columns but for rounding.
        low, high = (torch.from_numpy(self._running_moments[name]).to(rows) for name in ("low", "high"))
        return rows.clamp(low, high)

    def _condition(self, model, y, n_rows):
        """Conditions that labels of rows stand for; None without classes."""
        if not self._conditional:
            return None
        return one_hot(as_tensor(self._codes(y, n_rows)).to(model.scale.device), len(self.classes_), model.scale)

    # -- codes ----------------------------------------------------------------------------------------------------

    def transform(self, X, y=None):
        """Latent rows from which the generator draws rows closest to those given.

        With ``encoder=True`` the encoder's answer. Otherwise the mode of z given x, for normal noise of a tenth of a
        column's standard deviation, found in float64 by ``inversion_steps`` quasi-Newton steps of each row by itself,
        from the best of 512 latent rows that all share.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,), or a label for all rows, default=None
            Classes, where the model has some; None takes for each row the class that fits it best. An encoder goes
            by the row alone.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            The same for a row in any batch.
        """
        X = self._check_input(X)
        codes = as_tensor(self._codes(y, len(X))) if self._labels_given(y) else None
        if self._architecture["encoder"]:
            return self._map_rows(X, lambda model, x: [model.encoder(x)])[0]
        model = self._module(np.float64)
        find = Inversion(model, len(self.classes_) if self._conditional else 0, self.inversion_steps, self._score_seed)
        Z = np.empty((len(X), self._n_features_out), X.dtype)
        for start in range(0, len(X), find.n_rows):
            numbers = np.arange(start, start + find.n_rows).clip(max=len(X) - 1)
            x = model.standardize(as_tensor(X[numbers]).to(model.scale))
            found = find(x, None if codes is None else codes[as_tensor(numbers)].to(x.device))
            Z[start : start + find.n_rows] = as_array(found)[: len(X) - start]
        return Z

    def inverse_transform(self, X, y=None):
        """The generator's rows for latent ones.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Latent rows.
        y : array-like of shape (n_samples,), or a label for all rows, default=None
            Classes, where the model has some; None stands for the mean over ``class_prior_``.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            Rows in the units of the training rows.
        """
        check_is_fitted(self)
        if not self._conditional:
            self._labels_given(y)
            return self._decoded(X)
        if y is not None:
            return self._decoded(X, self._condition(self._module(np.float64), y, len(X)))
        of_class = [self._decoded(X, row.expand(len(X), -1)) for row in torch.eye(len(self.classes_))]
        return sum(share * rows for share, rows in zip(self.class_prior_.tolist(), of_class, strict=True))

    # -- draws ----------------------------------------------------------------------------------------------------

    def sample(self, n_samples=1, random_state=None, *, y=None, return_labels=False):
        """Draw rows from the generator.

        With ``rejection=True`` a draw that is refused is replaced by another of its class, until one is accepted. The
        100th is taken whatever it is.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        random_state : int, RandomState instance or None, default=None
            Source of the draws; None uses the estimator's own, whose integer value repeats its draws.
        y : array-like of shape (n_samples,), or a label for all rows, default=None
            Classes to draw rows of, where the model has some; None draws them by ``class_prior_``.
        return_labels : bool, default=False
            Whether to return the classes too.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Independent draws, in the units of the training rows.
        labels : ndarray of shape (n_samples,)
            Class of each draw, with ``return_labels=True``.
        """
        check_is_fitted(self)
        check_count(n_samples, "n_samples")
        model = self._module(np.dtype(self._dtype))
        generator = self._generator(random_state, model.scale.device)
        drawing = self._drawing(model)
        given = self._condition(model, y, n_samples) if self._labels_given(y) else None
        parts, labels = [], []
        with torch.inference_mode():
            for tile in tiles(n_samples, model.width):
                some = None if given is None else given[tile]
                rows, condition = drawing.rows(model, tile.stop - tile.start, generator, some)
                parts.append(as_array(self._within_bounds(model, model.unstandardize(rows))))
                labels.append(None if condition is None else self.classes_[as_array(condition.argmax(1))])
        if not return_labels:
            return np.concatenate(parts)
        if not self._conditional:
            raise ValueError("return_labels=True needs a model with classes: fit it with conditional=True.")
        return np.concatenate(parts), np.concatenate(labels)

    # -- score ----------------------------------------------------------------------------------------------------

    def score(self, X, y=None, sample_weight=None):
        """Minus the squared maximum mean discrepancy between rows and draws: higher is better, and no likelihood.

        The kernel is the mean of :math:`(1 + |x - y|^2 / 2 h^2)^{-1}` over the bandwidths h, ``bandwidths_``, on
        columns divided by their standard deviations; its values are between 0 and 1, and the estimate is unbiased.
        ``n_score_draws`` rows are drawn with noise that is the same at every call, and accepted or refused as those of
        ``sample``. Scores compare between models of the same training rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,), default=None
            Classes, where the model has some: the discrepancy is then that of pairs of a row and its class. Ignored by
            a model without classes.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of rows.

        Returns
        -------
        score : float
            From -2 to a little above 0. Of a single row its distance as that of a distribution with one value.
        """
        X = self._check_input(X)
        model = self._module(X.dtype)
        kept, weight = weighted_rows(np.arange(len(X)), sample_weight)
        share = shares(weight, len(kept)).to(model.scale)
        condition = None if y is None else self._condition(model, y, len(X))
        if len(kept) < len(X):
            X, condition = X[kept], None if condition is None else condition[as_tensor(kept)]
        generator = torch.Generator(model.scale.device).manual_seed(self._score_seed)
        with torch.inference_mode():
            drawing = self._drawing(model, None if condition is None else share @ condition)
            drawn, of_drawn = drawing.rows(model, self.n_score_draws, generator)
            x = model.standardize(as_tensor(X).to(model.scale))
            if condition is not None:
                x, drawn = (
                    with_classes(rows, given, self.bandwidths_) for rows, given in ((x, condition), (drawn, of_drawn))
                )
            return -float(Distance(x, share, self.bandwidths_, sample=True)(drawn))
