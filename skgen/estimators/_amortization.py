"""What an encoder costs, what each unit explains, and how a fitted model is adapted to new rows."""

import copy
from collections.abc import Iterable
from numbers import Integral

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skgen._spec import check_count, check_number
from skgen.distributions.streams import Streams, row_keys
from skgen.estimators._arrays import as_array, tiles
from skgen.estimators._cells import check_cells
from skgen.estimators._data import weighted_rows
from skgen.estimators._inference import SemiAmortized
from skgen.estimators._sparse import as_rows
from skgen.estimators._variational_fit import VariationalEstimator
from skgen.estimators._variational_steps import PARTS

GAP_DRAWS = 1000
"""Draws of each row that gaps are estimated from."""


def _error(values):
    """Standard error of the mean of values (draws, batch) over the draws, (batch,)."""
    return values.std(0) / len(values) ** 0.5


def _difference(refined, encoded):
    """Mean of the differences of log-weights (draws, batch), and its standard error."""
    difference = refined - encoded
    return difference.mean(0), _error(difference)


def _looseness(refined, encoded):
    """Log of the mean weight minus the mean log-weight, and its standard error (delta method)."""
    largest = refined.amax(0)
    weight = torch.exp(refined - largest)
    share = weight / weight.mean(0)
    return weight.mean(0).log() + largest - refined.mean(0), _error(share - refined)


class UnitsEstimator(VariationalEstimator):
    """Base of the estimator of units: costs and shares of the parts of a model, and their adaptation."""

    # -- gaps ---------------------------------------------------------------------------------------------------------

    def amortization_gap(self, X, *, n_draws=GAP_DRAWS, random_state=None, return_std=False):
        """What each row loses because an encoder shared by all rows gives its posterior.

        The evidence lower bound at the posterior of the same family that a search finds for the row alone, beginning at
        that of the encoder and with at most ``refine_steps`` steps, minus the bound at that of the encoder (Cremer, Li
        and Duvenaud 2018, https://arxiv.org/abs/1801.03558). The noise of the search is not that of the estimate, so
        that the gap is not optimistic; it is negative at most by its error.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        n_draws : int, default=1000
            Independent draws of each row; both bounds share their noise.
        random_state : int, RandomState instance or None, default=None
            Source of the draws; None uses the estimator's own.
        return_std : bool, default=False
            Whether to return standard errors too.

        Returns
        -------
        gap : ndarray of shape (n_samples,)
            Nats per row.
        std : ndarray of shape (n_samples,)
            Standard errors, with ``return_std=True``.
        """
        self._check_encoder()
        return self._gap(X, n_draws, random_state, return_std, _difference)

    def approximation_gap(self, X, *, n_draws=GAP_DRAWS, random_state=None, return_std=False):
        """What each row loses because no posterior of the family is the exact one.

        The importance-sampled log-likelihood minus the evidence lower bound, both at the posterior that a search finds
        for the row. Parameters and results are those of :meth:`amortization_gap`; the mean of the weights is below the
        likelihood in expectation, and so the gap is too small rather than too large.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        n_draws : int, default=1000
            Independent draws of each row.
        random_state : int, RandomState instance or None, default=None
            Source of the draws; None uses the estimator's own.
        return_std : bool, default=False
            Whether to return standard errors too.

        Returns
        -------
        gap : ndarray of shape (n_samples,)
            Nats per row.
        std : ndarray of shape (n_samples,)
            Standard errors, with ``return_std=True``.
        """
        return self._gap(X, n_draws, random_state, return_std, _looseness)

    def _check_encoder(self):
        check_is_fitted(self)
        if self._architecture["encoder"] == "none":
            raise ValueError(
                "The model was fitted without an encoder, and so there is nothing that one costs: fit with "
                f"inference='amortized', 'semi_amortized' or 'mcmc', got inference={self.inference!r}."
            )

    def _gap(self, X, n_draws, random_state, return_std, function):
        X = self._check_input(X)
        check_count(n_draws, "n_draws", least=2)
        if self.prior_.has_categories:
            raise ValueError(
                f"Gaps are what a search for each row gains, and posteriors of categories have no path for one, got "
                f"latent_generator={self.latent_generator!r}: compare elbo(X)['elbo'] with score_samples(X)."
            )
        seed, wide = self._seed(random_state), self._module(np.float64)
        refining = self._refining_kind()

        def gaps(model, x):
            with torch.inference_mode(False), torch.no_grad():
                x = x.clone().to(wide.scale)
                refined = refining.parameters(wide, x, self._score_seed)
                encoded = wide.encode(x)
                streams, n_noise, parts = Streams(row_keys(x, seed)), wide.posterior.n_noise, []
                for tile in tiles(n_draws, 2 * len(x) * wide.width):
                    noise = streams.normal_draws(tile.stop - tile.start, n_noise, x)
                    parts.append([wide.terms_given(some, x, noise).log_weight for some in (refined, encoded)])
                return function(*(torch.cat(part) for part in zip(*parts, strict=True)))

        gap, std = (column.astype(X.dtype) for column in self._map_rows(X, gaps, max(1, n_draws // 32)))
        return (gap, std) if return_std else gap

    def _refining_kind(self):
        """What finds the best posterior of the family for each row."""
        kind = self._kind()
        return kind if self._architecture["encoder"] == "none" else SemiAmortized(kind.search._replace(solver="lbfgs"))

    # -- units --------------------------------------------------------------------------------------------------------

    def unit_contributions(self, X):
        """What each unit of an additive decoder adds to the parameters of p(x | z), at the posterior mean of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        contributions : ndarray of shape (n_samples, n_units, n_outputs)
            They and the decoder's bias add up to the parameters of the likelihood, such as logits or standardised
            means.
        """
        check_is_fitted(self)
        if self._architecture["decoder"] != "additive":
            raise ValueError(
                f"unit_contributions needs a decoder whose units add up, decoder='additive', got {self.decoder!r}."
            )
        X = self._check_input(X)

        def contributions(model, x):
            return [model.decoder.contributions(self._latent_moments(model, x)[0])]

        return self._map_rows(X, contributions, self._architecture["n_units"])[0]

    # -- adaptation ---------------------------------------------------------------------------------------------------

    def fine_tune(self, X, *, parts=("decoder",), max_iter=50, learning_rate=None, sample_weight=None):
        """Adapt some parts of a fitted model to new rows; the others stay as they are, bit for bit.

        Scales of columns stay too. Solvers, batches and all else are those of the estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to adapt to.
        parts : tuple of {"encoder", "decoder", "latent_generator"} or of int, default=("decoder",)
            What is learnt: parts of the model, the likelihood's parameters being the decoder's; or numbers of units,
            whose encoders, and decoders where they are additive, are learnt.
        max_iter : int, default=50
            Largest number of epochs.
        learning_rate : float, default=None
            None is that of the estimator.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of rows.

        Returns
        -------
        self : object
            The adapted estimator; ``fine_tuning_history_`` tells how it went, in the entries of ``history_``.
        """
        check_is_fitted(self)
        check_count(max_iter, "max_iter")
        tuner = copy.copy(self)
        tuner._tuned = self._checked_parts(parts)
        tuner.max_iter, tuner.early_stopping, tuner._runtime = max_iter, False, type(self._runtime)()
        if learning_rate is not None:
            check_number(learning_rate, "learning_rate", least=0)
            tuner.learning_rate = learning_rate
        tuner._validate_params()  # parameters may have been set after the fit
        check_cells(tuner)
        run = tuner._tuning_run(X, sample_weight)
        run.complete()
        self.weights_ = tuner._merged(run)
        self.fine_tuning_history_ = {name: list(values) for name, values in run.history.items()}
        self._runtime.models.clear()
        return self

    def _checked_parts(self, parts):
        n_units = self._architecture["n_units"]
        given = tuple(parts) if isinstance(parts, Iterable) and not isinstance(parts, str) else (parts,)
        units = all(isinstance(part, Integral) and not isinstance(part, bool) and 0 <= part < n_units for part in given)
        if not given or not (units or all(part in PARTS for part in given)):
            raise ValueError(
                f"parts must be some of {PARTS}, or numbers of units from 0 to {n_units - 1}, got {parts!r}."
            )
        has_encoder = self._architecture["encoder"] != "none"
        if not has_encoder and (given == ("encoder",) or (units and self._architecture["decoder"] != "additive")):
            raise ValueError(f"inference={self.inference!r} has no encoder to learn: name another part.")
        return tuple(int(part) for part in given) if units else given

    def _tuning_run(self, X, sample_weight):
        """A run of the fitted model as it is."""
        rows, weight = weighted_rows(as_rows(self._check_rows(X, training=False)), sample_weight)
        if not self._missing and self._moments(None, rows, weight).incomplete:
            raise ValueError(
                "X contains missing values, of which the rows that the model was fitted to had none: fill them in, or "
                "go on with partial_fit."
            )
        split, random_state = (rows, weight, None), check_random_state(self.random_state)
        return self._run_of(self._fitted_model(), split, random_state, n_epochs=self.max_iter, warm_up=False)

    def _merged(self, run):
        """The weights of a run, with the very numbers of the parameters that were not learnt."""
        weights, masks = dict(self.weights_), self._learnt_masks(run.model)
        for name, value in run.model.state_dict().items():
            mask = masks.get(name, False)
            if mask is True:
                weights[name] = as_array(value)
            elif mask is not False:
                weights[name] = np.where(as_array(mask) != 0, as_array(value), weights[name])
        return weights

    def _learnt_masks(self, model):
        """What was learnt of each of the model's weights: True for all, or a mask."""
        modules = {"encoder": ["encoder"], "decoder": ["decoder", "likelihood"], "latent_generator": ["prior"]}
        found = {}
        for part in (part for part in PARTS if self._learns(part)):
            for module in modules[part]:
                masks = dict.fromkeys(getattr(model, module).state_dict(), True)
                if self._tuned_units:
                    masks = getattr(model, module).unit_masks(self._tuned_units) if module == part else {}
                found |= {f"{module}.{name}": mask for name, mask in masks.items()}
        return found
