"""Display of whether rows are as likely, under a model, as the model's own draws."""

import numpy as np
from scipy.stats import kstwobign
from sklearn.utils import check_random_state

from skgen._spec import check_count
from skgen.estimators._density_adapter import draw, unwrapped
from skgen.inspection._base import checked_rows, method_of, on_axes, unnamed

CONFIDENCE = 0.95
"""Probability that the curve of a model that is right stays within its band."""


class CalibrationDisplay:
    """Ranks of rows' likelihoods among those of a model's own draws.

    If rows come from the model, a row is as likely as the model's draws are: the share of draws that are less likely,
    its rank, is uniform between 0 and 1, whatever the dimension. Ties, as between binary rows, are broken at random.
    The curve is the share of rows up to each rank. Above the diagonal, rows are less likely than draws: the model is
    too sure of itself, or misses some of them. Below, the model spreads more than the rows do.

    Ranks need no normalised density. Bounds, estimates and pseudo-likelihoods serve as well, as rows and draws are
    scored alike; what has to be right is how the model draws.

    Parameters
    ----------
    ranks : ndarray of shape (n_samples,)
        Between 0 and 1.
    n_draws : int
        Number of draws behind them.
    name : str, default=None
        Name of the model, for the legend.

    Attributes
    ----------
    statistic : float
        Largest distance of the curve from the diagonal.
    p_value : float
        Its probability or that of a larger one if rows came from the model, by Kolmogorov and Smirnov's test of two
        samples.
    line_, band_ : matplotlib Line2D and PolyCollection
        The curve, and where it lies as a whole in 95 of 100 cases if rows come from the model.
    ax_, figure_ : matplotlib Axes and Figure
        Where they were drawn.

    References
    ----------
    Talts, Betancourt, Simpson, Vehtari and Gelman (2018), Validating Bayesian inference algorithms with
    simulation-based calibration, https://arxiv.org/abs/1804.06788.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skgen import GaussianMixture
    >>> from skgen.inspection import CalibrationDisplay
    >>> X = load_iris().data
    >>> mixture = GaussianMixture(3, random_state=0).fit(X)
    >>> display = CalibrationDisplay.from_estimator(mixture, X, random_state=0)
    >>> display.ranks.shape
    (150,)
    """

    def __init__(self, ranks, n_draws, *, name=None):
        check_count(n_draws, "n_draws")
        self.ranks = np.sort(np.asarray(ranks, dtype=float))
        if self.ranks.ndim != 1 or not len(self.ranks) or not ((self.ranks >= 0) & (self.ranks <= 1)).all():
            raise ValueError(f"ranks must be numbers between 0 and 1, one for each row, got {ranks!r}.")
        self.n_draws = n_draws
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, X, *, n_draws=1000, random_state=None, name=None, ax=None, **kwargs):
        """Draw rows from a fitted estimator, score them and X, and draw the curve.

        Parameters
        ----------
        estimator : object
            Fitted, with ``score_samples`` and a way to draw rows.
        X : array-like of shape (n_samples, n_features)
            Rows, as a rule held out.
        n_draws : int, default=1000
            Number of draws.
        random_state : int, RandomState instance or None, default=None
            Source of the draws, and of what breaks ties.
        name : str, default=None
            Name for the legend; None takes that of the class.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            Passed to ``ax.plot``.

        Returns
        -------
        display : CalibrationDisplay
            Drawn.
        """
        check_count(n_draws, "n_draws")
        score = method_of(estimator, "score_samples", "CalibrationDisplay")
        source = check_random_state(random_state)
        with unnamed():
            drawn = score(draw(estimator, n_draws, source))
        name = type(unwrapped(estimator)).__name__ if name is None else name
        return cls.from_scores(score(X), drawn, random_state=source, name=name, ax=ax, **kwargs)

    @classmethod
    def from_scores(cls, scores, draw_scores, *, random_state=None, name=None, ax=None, **kwargs):
        """Draw the curve for scores that are known.

        Parameters
        ----------
        scores : array-like of shape (n_samples,)
            Of rows.
        draw_scores : array-like of shape (n_draws,)
            Of the model's draws, by the same function.
        random_state : int, RandomState instance or None, default=None
            Source of what breaks ties.
        name : str, default=None
            Name for the legend.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            Passed to ``ax.plot``.

        Returns
        -------
        display : CalibrationDisplay
            Drawn.
        """
        scores = checked_rows(np.reshape(scores, (-1, 1)), "scores")[:, 0]
        drawn = np.sort(checked_rows(np.reshape(draw_scores, (-1, 1)), "draw_scores")[:, 0])
        low, high = (np.searchsorted(drawn, scores, side=side) for side in ("left", "right"))
        uniform = check_random_state(random_state).uniform(size=len(scores))
        ranks = (low + uniform * (high - low + 1)) / (len(drawn) + 1)
        return cls(ranks, len(drawn), name=name).plot(ax, **kwargs)

    @property
    def _spread(self):
        """Scale of the largest distance under the null hypothesis."""
        return np.sqrt(1 / len(self.ranks) + 1 / self.n_draws)

    @property
    def statistic(self):
        """Largest distance of the curve from the diagonal."""
        steps = np.arange(len(self.ranks) + 1) / len(self.ranks)
        return float(np.max([steps[1:] - self.ranks, self.ranks - steps[:-1]]))

    @property
    def p_value(self):
        """Probability of such a distance, or a larger one, if rows came from the model."""
        return float(kstwobign.sf(self.statistic / self._spread))

    def plot(self, ax=None, *, name=None, **kwargs):
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure. Several models may share Axes.
        name : str, default=None
            Name for the legend; None takes the Display's.
        **kwargs : dict
            Passed to ``ax.plot``.

        Returns
        -------
        display : CalibrationDisplay
            Itself.
        """
        ax = on_axes(self, ax, (5, 5))
        name = self.name if name is None else name
        self.band_ = self._drawn_band(ax)
        label = f"{name}, p = {self.p_value:.2g}" if name else f"p = {self.p_value:.2g}"
        x = np.concatenate([[0], self.ranks, [1]])
        y = np.concatenate([[0], np.arange(1, len(self.ranks) + 1) / len(self.ranks), [1]])
        (self.line_,) = ax.plot(x, y, **{"label": label, "drawstyle": "steps-post"} | kwargs)
        ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        ax.set(xlabel="rank: share of the model's draws that are less likely", ylabel="share of rows up to the rank")
        ax.legend(loc="lower right")
        return self

    def _drawn_band(self, ax):
        """The diagonal and the band around it; models with as many rows and draws share one."""
        half = kstwobign.isf(1 - CONFIDENCE) * self._spread
        mark = f"band of half width {half:.12g}"
        for drawn in ax.collections:
            if drawn.get_gid() == mark:
                return drawn
        diagonal = np.linspace(0, 1, 101)
        ax.plot(diagonal, diagonal, color="0.5", linewidth=1, linestyle="--")
        edges = (diagonal - half).clip(0), (diagonal + half).clip(None, 1)
        return ax.fill_between(diagonal, *edges, color="0.5", alpha=0.15, linewidth=0, gid=mark)
