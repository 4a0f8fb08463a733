"""Display of how learning went."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skgen.estimators._density_adapter import last_step
from skgen.inspection._base import on_axes

SETTINGS = ("stage", "learning_rate", "kl_weight")
"""Entries of a history that say how training was set, not how it went."""
NATS = ("elbo", "iwae", "kl", "lower_bound", "log_likelihood", "pseudo_log_likelihood", "energy_gap", "free_energy_gap")
"""Entries in nats per row."""
MAXIMISED = ("iwae", "elbo", "pseudo_log_likelihood", "log_likelihood", "lower_bound")
"""Entries that measure progress; what comes first here is shown first."""
PEERS = {"loss_curve_": "loss", "validation_scores_": "validation_score", "lower_bounds_": "lower_bound"}
"""Where estimators of scikit-learn keep their curves, and what these are called here."""
VALIDATION = "validation_"


class LossCurveDisplay:
    """Curves of a fit: its history, epoch by epoch or iteration by iteration.

    Parameters
    ----------
    history : dict of str to list of float
        One value per epoch in each entry, such as an estimator's ``history_`` or the ``history`` of a log of
        :class:`~skgen.callbacks.LossMonitor`.
    unit : str, default="epoch"
        What one value is for.
    best : int, default=None
        Number, from 1, of the epoch that the final weights are from.

    Attributes
    ----------
    lines_ : dict of str to matplotlib Line2D
        The curves drawn.
    best_line_ : matplotlib Line2D or None
        Where the best epoch is, if it is not the last.
    ax_, figure_ : matplotlib Axes and Figure
        Where they were drawn.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skgen import GaussianMixture
    >>> from skgen.inspection import LossCurveDisplay
    >>> mixture = GaussianMixture(3, random_state=0).fit(load_iris().data)
    >>> display = LossCurveDisplay.from_estimator(mixture)
    >>> list(display.lines_)
    ['lower_bound']
    """

    def __init__(self, history, *, unit="epoch", best=None):
        if not history:
            raise ValueError("history must have at least one entry, such as 'loss': [2.0, 1.5], got none.")
        self.history = history
        self.unit = unit
        self.best = best

    @classmethod
    def from_estimator(cls, estimator, *, entries=None, ax=None, **kwargs):
        """Draw the curves of a fitted estimator.

        Parameters
        ----------
        estimator : object
            Fitted, with ``history_``; or one of scikit-learn's with ``loss_curve_`` or ``lower_bounds_``; or a
            Pipeline that ends with one.
        entries : str or list of str, default=None
            As in :meth:`plot`.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            Passed to ``ax.plot``.

        Returns
        -------
        display : LossCurveDisplay
            Drawn.
        """
        check_is_fitted(estimator)
        fitted = last_step(estimator)
        history = getattr(fitted, "history_", None)
        if history is None:
            curves = {entry: getattr(fitted, name, None) for name, entry in PEERS.items()}
            history = {entry: list(values) for entry, values in curves.items() if values is not None}
        if not history:
            raise TypeError(
                f"{type(fitted).__name__} keeps no history. Pass an estimator of skgen, which has history_, or one "
                f"with {', '.join(PEERS)}."
            )
        unit = getattr(fitted, "_task_name", "iteration")
        display = cls(history, unit=unit, best=getattr(fitted, "best_iter_", None))
        return display.plot(ax, entries=entries, **kwargs)

    def plot(self, ax=None, *, entries=None, **kwargs):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        entries : str or list of str, default=None
            Which of the history. None takes those of validation rows and what goes with them, or else what is
            maximised.
        **kwargs : dict
            Passed to ``ax.plot``.

        Returns
        -------
        display : LossCurveDisplay
            Itself.
        """
        entries = self._chosen(entries)
        new, ax = ax is None, on_axes(self, ax, (6, 4))
        self.lines_ = {}
        for entry in entries:
            values = np.asarray(self.history[entry], dtype=float)
            marker = "." if np.isfinite(values).sum() < 2 else None
            options = {"label": entry.replace("_", " "), "marker": marker} | kwargs
            # The line breaks where a stage ends, as what follows is another machine's.
            x = np.insert(1.0 + np.arange(len(values)), self._breaks, np.nan)
            (self.lines_[entry],) = ax.plot(x, np.insert(values, self._breaks, np.nan), **options)
        self._mark(ax)
        if new:
            ax.locator_params(axis="x", integer=True)
        ax.set(xlabel=self.unit, ylabel=self._quantity(entries))
        if len(entries) > 1 or self.best_line_ is not None:
            ax.legend()
        return self

    def _chosen(self, entries):
        if isinstance(entries, str):
            entries = [entries]
        if entries is None:
            validated = [entry for entry in self.history if entry.startswith(VALIDATION)]
            pairs = [[entry.removeprefix(VALIDATION), entry] for entry in validated]
            told = [entry for entry in (*MAXIMISED, *self.history) if entry in self.history and entry not in SETTINGS]
            entries = [each for pair in pairs for each in pair if each in self.history] or told[:1]
        unknown = [entry for entry in entries if entry not in self.history]
        if unknown:
            raise ValueError(f"entries must be among {sorted(self.history)}, got {unknown}.")
        return list(entries)

    @property
    def _breaks(self):
        """Numbers of epochs after which a stage ends."""
        return 1 + np.flatnonzero(np.diff(self.history.get("stage", [])))

    def _mark(self, ax):
        """Lines where a stage ends and where the best epoch is."""
        n_epochs = max(map(len, self.history.values()))
        for place in self._breaks:
            ax.axvline(place + 0.5, color="0.8", linewidth=0.8, zorder=0)
        self.best_line_ = None
        if self.best is not None and 0 < self.best < n_epochs:
            self.best_line_ = ax.axvline(self.best, color="0.4", linestyle=":", label=f"best {self.unit}")

    def _quantity(self, entries):
        """What the curves share, and its unit where it is known."""
        stems = list(dict.fromkeys(entry.removeprefix(VALIDATION) for entry in entries))
        nats = all(stem in NATS or (stem == "reconstruction" and "elbo" in self.history) for stem in stems)
        name = stems[0].replace("_", " ") if len(stems) == 1 else ""
        return f"{name}{', ' * bool(name)}nats per row" if nats else name
