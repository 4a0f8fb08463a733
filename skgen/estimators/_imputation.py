"""Missing entries of rows, filled in by a latent-variable model with an approximate posterior."""

import functools

import numpy as np

from skgen._spec import check_choice, check_count
from skgen.distributions.normal import sobol_normal
from skgen.estimators._sklearn import _num_samples, _safe_indexing
from skgen.models.imputation import conditional_draws, conditional_mean

BLOCK = 64
"""Draws of z that are held at once."""


def drawn_tables(draw, X, n_imputations):
    """Tables that ``draw`` fills in, (n_imputations, n_samples, n_features); each row has draws of its own in them."""
    check_count(n_imputations, "n_imputations")
    # Copies of a row lie together, so that what is computed for its pattern serves all of them.
    drawn = draw(_safe_indexing(X, np.repeat(np.arange(_num_samples(X)), n_imputations)))
    return np.ascontiguousarray(drawn.reshape(-1, n_imputations, drawn.shape[1]).swapaxes(0, 1))


class Imputation:
    """Mixin of the estimators of latent-variable models."""

    def impute(self, X, *, method="mean", n_imputations=None, n_draws=1024, random_state=None):
        """Fill in missing entries from their distribution given the observed ones, by importance weights.

        Latent variables are drawn from the posterior that the encoder gives, and weighed by the density of the observed
        entries (Mattei and Frellsen 2019, https://arxiv.org/abs/1812.02633). The model need not have seen missing
        entries in ``fit``; one that has weighs its draws more evenly, and so is more exact with as many.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, NaN where an entry is missing.
        method : {"mean", "sample"}, default="mean"
            Conditional means (of categories the most probable), or draws from the conditional distribution.
        n_imputations : int, default=None
            Number of tables to draw, for multiple imputation, whatever the method; None gives a single one.
        n_draws : int, default=1024
            Draws of the latent variables for each row. Means use the same scrambled Sobol points for all rows.
        random_state : int, RandomState instance or None, default=None
            Source of the draws; None uses the estimator's own.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features) or (n_imputations, n_samples, n_features)
            The rows, their observed entries unchanged. Where ``sample`` gives data frames, one or a list of them.
        """
        check_choice(method, ("mean", "sample"), "method")
        check_count(n_draws, "n_draws")
        if n_imputations is not None:
            check_count(n_imputations, "n_imputations")
        X = self._check_input(X)
        if self._n_conditions:
            raise ValueError(
                "impute is for models without classes, and this one has some, classes_: fit a VariationalAutoencoder "
                "with conditional=False. A class that is known may be a column of its X."
            )
        index = np.flatnonzero(np.isnan(X).any(axis=1))
        filled = np.repeat(X[np.newaxis], n_imputations or 1, axis=0)
        if len(index):
            if method == "mean" and n_imputations is None:
                values = self._conditional_means(X[index], n_draws)
            else:
                values = self._conditional_draws(X[index], len(filled), n_draws, random_state)
            filled[:, index] = np.where(np.isnan(X[index]), values, X[index])
        if n_imputations is None:
            return self._decode_rows(filled[0])
        tables = [self._decode_rows(rows) for rows in filled]
        return np.stack(tables) if isinstance(tables[0], np.ndarray) else tables

    def _conditional_means(self, X, n_draws):
        """Conditional means of rows, (1, n_samples, n_features)."""
        model = self._module(X.dtype)
        noise = sobol_normal(n_draws, model.posterior.n_noise, self._score_seed).to(model.scale).unsqueeze(1)

        def means(model, x):
            mean = conditional_mean(model, self._posterior_parameters(model, x), x, noise.split(BLOCK))
            return [model.unstandardize(mean)]

        return self._map_rows(X, means, BLOCK)[0][np.newaxis]

    def _conditional_draws(self, X, n_imputations, n_draws, random_state):
        """Draws of rows from their conditional distribution, (n_imputations, n_samples, n_features)."""
        generator = self._generator(random_state, self._module(X.dtype).scale.device)
        draw = functools.partial(
            conditional_draws, n_imputations=n_imputations, n_draws=n_draws, generator=generator, block=BLOCK
        )

        def draws(model, x):
            drawn = draw(model, self._posterior_parameters(model, x), x)
            return [model.unstandardize(drawn).transpose(0, 1)]

        return self._map_rows(X, draws, max(BLOCK, n_imputations))[0].swapaxes(0, 1)
