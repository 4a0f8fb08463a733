"""What a model makes of its latent variables: which it uses, what they tell, and how far it can be trusted."""

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from skgen.distributions.streams import Streams, row_keys
from skgen.estimators._arrays import RunningMoments, as_array, as_tensor
from skgen.estimators._data import shares
from skgen.estimators._likelihood_estimates import heavy_tails
from skgen.estimators._sparse import as_rows
from skgen.models.information import information

ACTIVE_VARIANCE = 0.01
"""Variance of a posterior mean over the rows above which a latent variable is active (Burda et al. 2016)."""
FIT_ROWS, REPORT_ROWS = 500, 2000
"""Rows whose posteriors are mixed at most, after a fit and in a report: the cost grows with their square."""
MOST_DRAWS = 64
REPORT_DRAWS = 1000
"""Importance weights of a row in a report."""
REMEDIES = {
    "max_iter": "raise max_iter",
    "likelihood": "lower the noise variance",
    "beta": "lower beta",
    "kl_warmup": "lengthen a kl_warmup that lets the weight of the KL rise",
    "free_bits": "set free_bits",
}
"""What may help against a collapse, by the parameter that an estimator must have for it."""


class Report(dict):
    """Diagnostics by name; ``print`` shows them as a table."""

    def __str__(self):
        width = max(len(name) for name in self)
        lines = [f"{name:<{width}}  {_shown(value)}" for name, value in self.items() if name != "warnings"]
        return "\n".join(lines + [f"warning: {text}" for text in self["warnings"]])


def _shown(value):
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        value = [f"{entry:.3g}" for entry in value]
        return " ".join(value if len(value) <= 10 else [*value[:10], f"... ({len(value)} in all)"])
    if isinstance(value, np.ndarray):
        return " ".join(str(i) for i in np.flatnonzero(value)) or "none"
    return str(value)


class LatentDiagnostics:
    """Mixin of the estimators of latent-variable models: attributes after a fit, and ``report``."""

    def _describe(self, model, X, weight):
        found = self._latent_use(model, X, weight)
        self.kl_per_component_ = found["kl_per_component"]
        self.active_units_ = found["active_units"]
        self.n_active_units_ = found["n_active_units"]
        self.mutual_information_, self.aggregated_kl_ = self._information(model, X, weight, FIT_ROWS)
        variance = model.likelihood.noise_variance()
        self.noise_variance_ = None if variance is None else as_array(variance * model.scale.square())

    def _latent_use(self, model, X, weight):
        """KL of each latent variable, and which of them vary with the rows."""
        closed_kl = model.has_closed_kl()

        def moments(model, x):
            parameters = self._posterior_parameters(model, x)
            mean, _ = model.posterior.mean_and_scale(parameters)
            return (mean, model.kl_given(parameters)) if closed_kl else (mean,)

        mean, *kl = self._map_rows(X, moments)
        spread = RunningMoments.empty(mean.shape[1]).updated(mean, weight).scale
        # A categorical variable has several columns, and is active where one of them is.
        active = (spread**2 > ACTIVE_VARIANCE).reshape(model.prior.n_components, -1).any(axis=1)
        return {
            "kl_per_component": np.average(kl[0].astype(np.float64), axis=0, weights=weight) if kl else None,
            "active_units": active,
            "n_active_units": int(active.sum()),
        }

    def _information(self, model, X, weight, most_rows):
        """Mutual information and KL of the aggregated posterior, over some rows; None without densities at points."""
        n_pairs = most_rows**2 * 4 // model.posterior.density_width
        X, share = spread_rows(X, weight, max(1, int(n_pairs**0.5)))
        n_draws = max(1, min(MOST_DRAWS, n_pairs // len(X) ** 2))
        with torch.inference_mode():
            rows = as_tensor(X)
            x = self._standardize(model, rows.to(model.scale.device))
            parameters = self._posterior_parameters(model, x)
            # Keys of rows as they came: standardised ones may differ by a rounding between equal fits.
            noise = Streams(row_keys(rows, self._score_seed)).normal_draws(n_draws, model.posterior.n_noise, x)
            try:
                found = information(model.posterior, model.prior, parameters, noise, share.to(x.device))
            except NotImplementedError:  # a family that knows densities at its own draws only
                return None, None
        return tuple(float(value) for value in found)

    def report(self, X=None, *, random_state=None):
        """Diagnostics of the model: of its last fit, or of rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), default=None
            Rows to diagnose the model on, such as held-out ones. None gives what is known from the fit alone.
        random_state : int, RandomState instance or None, default=None
            Source of the importance weights; None uses the estimator's own.

        Returns
        -------
        report : dict
            In nats per row: ``elbo``, ``reconstruction``, ``kl``, ``kl_per_component``, ``mutual_information`` and
            ``aggregated_kl``, with ``active_units`` (mask), ``n_active_units``, ``collapsed``, ``noise_variance`` and
            ``warnings``; without rows what ``history_`` has of the first three. With rows also ``score``, the mean of
            ``log_likelihood`` with 1000 draws, its Monte Carlo standard error ``score_std``, the median effective
            sample size ``ess`` and ``pareto_k_share``, the share of rows whose weights have too heavy a tail. ``print``
            shows a table.
        """
        check_is_fitted(self)
        found = self._fitted_report() if X is None else self._rows_report(X, random_state)
        found["collapsed"] = found["n_active_units"] == 0
        found["noise_variance"] = self.noise_variance_
        found["warnings"] = list(self._warnings(found, len(found["active_units"])))
        return Report(found)

    def _fitted_report(self):
        best, names = self.best_iter_ - 1, ("elbo", "reconstruction", "kl")
        # A fit that was interrupted in its first epoch has no history.
        bound = {name: self.history_[name][best] for name in names if self.history_.get(name)}
        names = ("kl_per_component", "active_units", "n_active_units", "mutual_information", "aggregated_kl")
        return bound | {name: getattr(self, f"{name}_") for name in names}

    def _rows_report(self, given, random_state):
        X = self._check_input(given)
        model, rows = self._module(X.dtype), as_rows(X)
        value, std, ess, shape = self._importance(X, None, REPORT_DRAWS, self._seed(random_state))
        found = {name: float(np.mean(values, dtype=np.float64)) for name, values in self.elbo(given).items()}
        found |= self._latent_use(model, rows, None)
        found["mutual_information"], found["aggregated_kl"] = self._information(model, rows, None, REPORT_ROWS)
        return found | {
            "score": float(np.mean(value, dtype=np.float64)),
            "score_std": float(np.sqrt(np.square(std, dtype=np.float64).sum()) / len(std)),
            "ess": float(np.median(ess)),
            "pareto_k_share": float(heavy_tails(shape, ess, REPORT_DRAWS).mean()),
        }

    def _warnings(self, found, n_components):
        """What is doubtful about the model, from its report."""
        if found["collapsed"]:
            yield self._collapse()
        elif found["n_active_units"] < n_components:
            yield f"{n_components - found['n_active_units']} of {n_components} latent variables are not in use."
        kl, gap = found.get("kl"), found["aggregated_kl"]
        if kl is not None and gap is not None and gap > 0.5 * kl and gap > 1:
            yield (
                f"The encoded rows are far from the prior: {gap:.3g} of {kl:.3g} nats of the KL. Drawn rows may look "
                "like none: choose a more flexible prior, such as 'mixture' or 'vamp'."
            )
        if found.get("pareto_k_share", 0) > 0:
            yield (
                f"Importance weights have too heavy a tail in {found['pareto_k_share']:.1%} of the rows: do not trust "
                "the score there. Use log_likelihood with method='ais', or a more flexible posterior."
            )

    def _collapse(self):
        """What a user is told of a model none of whose latent variables is in use."""
        known = self.get_params(deep=False)
        remedies = ", ".join(text for name, text in REMEDIES.items() if name in known)
        return (
            "Posterior collapse: no latent variable depends on the rows, so transform is uninformative. What may help: "
            f"{remedies}."
        )


def spread_rows(X, weight, n_most):
    """All rows with their shares, or so many drawn by weight as evenly as can be, with equal ones."""
    share = shares(weight, len(X))
    if len(X) <= n_most:
        return X[:], share
    heights = (torch.arange(n_most, dtype=torch.float64) + 0.5) / n_most
    index = torch.searchsorted(torch.cumsum(share, 0), heights).clamp_max(len(X) - 1)
    return X[as_array(index)], torch.full((n_most,), 1 / n_most, dtype=torch.float64)
