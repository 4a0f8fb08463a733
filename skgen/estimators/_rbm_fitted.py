"""What a fitted Boltzmann machine offers its users."""

import functools

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted, validate_data

from skgen._spec import check_choice, check_count
from skgen.estimators._arrays import as_array, as_tensor, tiles
from skgen.estimators._base import GradientEstimator
from skgen.estimators._density import DensityEstimator
from skgen.estimators._fitted import FittedModule
from skgen.estimators._imputation import drawn_tables
from skgen.estimators._sparse import as_rows
from skgen.estimators._warnings import warn_user
from skgen.models.enumeration import MOST_STATES
from skgen.models.partition import has_exact_log_partition, log_partition
from skgen.models.pseudo_likelihood import pseudo_log_likelihood
from skgen.models.real_machine import is_linear, linear_root
from skgen.samplers import gibbs

SETTLING = 1000
"""Gibbs steps to states at which reverse chains start."""
WIDEST_BRACKET = 1.0
"""Nats between two estimates of log Z above which a score is not to be trusted."""


class FittedMachine(DensityEstimator, FittedModule, GradientEstimator):
    """Base that owns what a fitted :class:`~skgen.models.energy.RestrictedBoltzmannMachine` answers."""

    # -- parameters in the units of X ---------------------------------------------------------------------------------

    def _in_units(self):
        """Weights, hidden and visible biases of the same machine on rows in the units of X."""
        check_is_fitted(self)
        weights = {name: value.astype(np.float64) for name, value in self.weights_.items()}
        W, b, a = (weights[name] for name in ("weight", "hidden_bias", "visible_bias"))
        shift, scale = weights["shift"], weights["scale"]
        if "log_scale" in weights:
            W = W / (scale * np.exp(weights["log_scale"]))
            b, a = b - W @ shift, a * scale + shift
        return [np.array(part, dtype=self._dtype, order="C") for part in (W, b, a)]

    @property
    def components_(self):
        """Weights, (n_components, n_features); one column per category for categorical units."""
        return self._in_units()[0]

    @property
    def intercept_hidden_(self):
        """Biases of the hidden units, (n_components,)."""
        return self._in_units()[1]

    @property
    def intercept_visible_(self):
        """Biases of the visible units, (n_features,); means given h = 0 for Gaussian units."""
        return self._in_units()[2]

    @property
    def noise_variance_(self):
        """Variance of each column given h, (n_features,), for Gaussian visible units."""
        check_is_fitted(self)
        if "log_scale" not in self.weights_:
            raise AttributeError(f"noise_variance_ is there with visible='gaussian', not visible={self.visible!r}.")
        scale = self.weights_["scale"] * np.exp(self.weights_["log_scale"].astype(np.float64))
        return np.array(scale**2, dtype=self._dtype)

    # -- features -----------------------------------------------------------------------------------------------------

    def transform(self, X):
        """Expected hidden units, of binary ones the probabilities P(h = 1 | v); no chain is run.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        H : ndarray of shape (n_samples, n_components)
            Means of p(h | v), the same for a row in any batch.
        """
        X = self._check_input(X)
        return self._map_rows(X, lambda model, v: [model.hidden_mean(v)])[0]

    # -- chains -------------------------------------------------------------------------------------------------------

    def sample(self, n_samples=1, random_state=None, *, n_steps=1000):
        """Draw rows by Gibbs sampling.

        Each row is the end of its own chain. Chains start at those that training has left, where it left some, and
        else at a draw of the visible units alone. They have the machine's law after many steps; before that they look
        like what training saw. A machine whose units are all linear is drawn from without chains.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        random_state : int, RandomState instance or None, default=None
            Source of the draws; None uses the estimator's own, whose integer value repeats its draws.
        n_steps : int, default=1000
            Gibbs steps of each chain.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Draws of p(v), in the units of the training rows.
        """
        check_is_fitted(self)
        check_count(n_samples, "n_samples")
        check_count(n_steps, "n_steps")
        model = self._module(np.dtype(self._dtype))
        generator = self._generator(random_state, model.scale.device)
        parts = []
        with torch.inference_mode():
            for tile in tiles(n_samples, model.width):
                index = np.arange(tile.start, tile.stop)
                parts.append(as_array(self._restore(model, self._drawn(model, index, n_steps, generator))))
        return np.concatenate(parts)

    def _drawn(self, model, index, n_steps, generator):
        """Visible states at the ends of chains with some numbers."""
        if is_linear(model):
            mean, root = linear_root(model)
            noise = torch.empty((len(index), len(mean)), dtype=mean.dtype, device=mean.device)
            return mean + noise.normal_(generator=generator) @ root
        if self.chains_ is None:
            h = model.draw_hidden(model.draw_visible_alone(len(index), generator), generator)
        else:
            h = torch.tensor(self.chains_[index % len(self.chains_)]).to(model.weight)
        return gibbs.walk(model, h, n_steps, generator)

    def gibbs(self, v, n_steps=1, random_state=None):
        """Gibbs steps from rows.

        Parameters
        ----------
        v : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to start from.
        n_steps : int, default=1
            Number of steps, each a draw of the hidden units and one of the visible ones.
        random_state : int, RandomState instance or None, default=None
            Source of the draws; None uses the estimator's own.

        Returns
        -------
        v_new : ndarray of shape (n_samples, n_features)
            Rows after the last step.
        """
        v = self._check_input(v)
        check_count(n_steps, "n_steps")
        generator = self._generator(random_state, self._module(v.dtype).scale.device)

        def walked(model, v):
            v = gibbs.walk(model, model.draw_hidden(v, generator), n_steps, generator)
            return [self._restore(model, v)]

        return self._map_rows(v, walked)[0]

    def impute(self, X, *, method="mean", n_imputations=None, n_steps=200, random_state=None):
        """Fill in missing entries from their distribution given the observed ones, by Gibbs sampling.

        Observed cells are held fast, missing ones are free units.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, NaN where an entry is missing.
        method : {"mean", "sample"}, default="mean"
            Conditional means, averaged over the second half of the steps (of categories the most probable), or draws
            from the conditional distribution.
        n_imputations : int, default=None
            Number of tables to draw, for multiple imputation, whatever the method; None gives a single one.
        n_steps : int, default=200
            Gibbs steps of the chain of each row.
        random_state : int, RandomState instance or None, default=None
            Source of the draws; None uses the estimator's own.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features) or (n_imputations, n_samples, n_features)
            The rows, their observed entries unchanged.
        """
        check_choice(method, ("mean", "sample"), "method")
        check_count(n_steps, "n_steps")
        check_is_fitted(self)
        if n_imputations is not None:
            draw = functools.partial(self.impute, method="sample", n_steps=n_steps, random_state=random_state)
            return drawn_tables(draw, X, n_imputations)
        checks = self._row_checks | {"ensure_all_finite": "allow-nan"}
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32], **checks)
        rows = as_rows(self._in_support(X, training=False))[:]
        model = self._module(X.dtype)
        generator = self._generator(random_state, model.scale.device)
        filled = np.empty_like(rows)
        with torch.inference_mode():
            for tile in tiles(len(rows), 2 * model.width, rows.itemsize):
                values = as_tensor(rows[tile]).to(model.scale.device)
                filled[tile] = as_array(self._filled(model, values, method, n_steps, generator))
        return np.where(np.isnan(rows), filled, as_rows(X)[:])

    def _filled(self, model, rows, method, n_steps, generator):
        known = self._kind.clamp(~rows.isnan())
        v = self._standardize(model, rows.nan_to_num())
        start = model.draw_visible_alone(len(v), generator)
        state = gibbs.init(model, torch.where(known, v, start), generator)
        total, n_first = torch.zeros_like(v), n_steps // 2
        for i in range(n_steps):
            if i >= n_first and method == "mean":
                total += model.visible_mean(state.h)
            state = gibbs.step(model, state, generator, known)
        return self._restore(model, total / (n_steps - n_first) if method == "mean" else state.v)

    # -- likelihood ---------------------------------------------------------------------------------------------------

    def free_energy(self, X):
        """Free energy of each row, minus the logarithm of its unnormalised density.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        free_energy : ndarray of shape (n_samples,)
            Nats, in the units of X: the log-likelihood is minus this minus the value of :meth:`log_partition`.
        """
        return self._free_energy(self._check_input(X))

    def _free_energy(self, X):
        return self._map_rows(X, lambda model, v: [model.free_energy(v) - model.log_jacobian])[0]

    def pseudo_log_likelihood(self, X):
        """Sum over columns of the log-likelihood of each given the others: exact, and no log-likelihood.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        pseudo_log_likelihood : ndarray of shape (n_samples,)
            Nats per row, in the units of X.
        """
        X = self._check_input(X)
        return self._map_rows(X, lambda model, v: [self._pseudo(model, v)])[0]

    @staticmethod
    def _pseudo(model, v):
        return pseudo_log_likelihood(model, v) + model.log_jacobian

    def log_partition(self, method="auto", *, X=None, n_temperatures=1000, n_chains=100, random_state=None):
        """Logarithm of the normaliser Z of the density, with an interval.

        Parameters
        ----------
        method : {"auto", "exact", "ais"}, default="auto"
            Exact where the states of one layer can be enumerated or all units are linear, else annealed importance
            sampling.
        X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            Rows at which the chains of the reverse estimate start. None takes draws of :meth:`sample`.
        n_temperatures : int, default=1000
            Steps from independent units, which have the means of the training rows, to the machine.
        n_chains : int, default=100
            Annealed chains.
        random_state : int, RandomState instance or None, default=None
            Source of the draws; None uses the estimator's own.

        Returns
        -------
        log_partition : LogPartition
            ``value``, ``lower`` and ``upper`` in nats, ``reverse``, the estimate of chains that run back, and the
            ``method`` in use; see :class:`skgen.models.partition.LogPartition`.
        """
        check_is_fitted(self)
        check_count(n_temperatures, "n_temperatures", least=2)
        check_count(n_chains, "n_chains")
        X = None if X is None else self._check_input(X)
        with torch.inference_mode():
            model = self._module(np.float64)
            if method == "exact" or (method == "auto" and has_exact_log_partition(model)):
                return log_partition(model, "exact")
            model = self._module(np.float32)  # its chains need no more, and weights are added in float64
            generator = self._generator(random_state, model.scale.device)
            return log_partition(
                model,
                method,
                rows=self._typical(model, X, n_chains, generator),
                base_bias=model.visible.initial_bias(self._kind.center(self._running_moments["mean"]).to(model.weight)),
                betas=n_temperatures,
                n_chains=n_chains,
                generator=generator,
            )

    def _typical(self, model, X, n_chains, generator):
        """Visible states like those of the machine: of rows, or at the ends of chains."""
        if X is None:
            return self._drawn(model, np.arange(n_chains), SETTLING, generator)
        rows = as_tensor(as_rows(X)[:]).to(model.scale.device)
        return self._standardize(model, rows).to(model.weight)

    @property
    def _normalizer(self):
        """log Z of the density, computed once after a fit and kept with what was fitted."""
        if self._log_partition is None:
            found = self.log_partition(random_state=self._score_seed)
            self._log_partition = float(found.value)
            if found.reverse is not None and abs(found.reverse - found.value) > WIDEST_BRACKET:
                warn_user(
                    f"Two estimates of the log-partition function differ by {abs(found.reverse - found.value):.3g} "
                    "nats, and so may the scores be wrong. Call log_partition with more temperatures, or set "
                    "score_method='pseudo'."
                )
        return self._log_partition

    @property
    def score_kind(self):
        """What a score is: "exact", "estimate" where log Z is one, or "pseudo"."""
        if self.score_method == "pseudo":
            return "pseudo"
        if self.__sklearn_is_fitted__():
            exact = has_exact_log_partition(self._module(np.float64))
        else:
            exact = self._all_linear() or (self.hidden == "bernoulli" and 2**self.n_components <= MOST_STATES)
        return "exact" if exact else "estimate"

    def score_samples(self, X):
        """Log-likelihood of each row, or its pseudo-log-likelihood, as ``score_method`` says.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        score : ndarray of shape (n_samples,)
            Nats per row, in the units of X. The log-partition function is computed at the first call, see
            :meth:`log_partition`.
        """
        if self.score_method == "pseudo":
            return self.pseudo_log_likelihood(X)
        X = self._check_input(X)
        return (-self._free_energy(X) - self._normalizer).astype(X.dtype)
