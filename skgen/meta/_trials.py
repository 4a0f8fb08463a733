"""Fits of candidates to parts of the rows, and what they say of the others."""

import time
import warnings
from typing import NamedTuple

import numpy as np
import torch
from sklearn.exceptions import FitFailedWarning
from sklearn.utils.parallel import Parallel, delayed

from skgen.estimators._density_adapter import kind, last_step, log_density, measure, through
from skgen.estimators._scalers import check_steps
from skgen.meta._inner import fitted_clone, some_rows

REFUSED = "Nats compare only within one measure, and only likelihoods do."


class Trial(NamedTuple):
    """One fit: log-densities of rows or one criterion, what they are, the seconds taken, and why there are none."""

    values: np.ndarray
    kind: str
    seconds: float
    failure: str = ""


def check_comparable(names, estimators):
    """ValueError where scores are no likelihoods or of several measures, TypeError where no scale is known."""
    for each in estimators:
        check_steps(each)
    pseudo = [name for name, each in zip(names, estimators, strict=True) if kind(each) == "pseudo"]
    if pseudo:
        raise ValueError(f"{REFUSED} Candidates whose scores are pseudo-likelihoods, to be left out: {pseudo}.")
    measures = {name: measure(each) for name, each in zip(names, estimators, strict=True)}
    if len(set(measures.values())) > 1:
        raise ValueError(f"{REFUSED} Keep candidates of one measure only, got {measures}.")


def held_out(names, estimators, X, weight, splits, n_jobs):
    """Trials of each candidate, one for each split: log-densities of the test rows."""
    check_comparable(names, estimators)
    tasks = [(each, train, test) for each in estimators for train, test in splits]
    trials = Parallel(n_jobs=n_jobs)(delayed(_held_out)(each, X, weight, *split) for each, *split in tasks)
    n = len(splits)
    return [_together(name, trials[i * n : (i + 1) * n]) for i, name in enumerate(names)]


def by_bic(names, estimators, X, weight, n_jobs):
    """One trial of each candidate: minus half its Bayesian information criterion, per row."""
    check_comparable(names, estimators)
    without = [name for name, each in zip(names, estimators, strict=True) if not hasattr(last_step(each), "bic")]
    if without:
        raise ValueError(
            f"criterion='bic' needs candidates with a method bic, as mixtures have; {without} have none. Leave them "
            "out, or use criterion='held_out'."
        )
    trials = Parallel(n_jobs=n_jobs)(delayed(_by_bic)(each, X, weight) for each in estimators)
    return [_together(name, [trial]) for name, trial in zip(names, trials, strict=True)]


def table(names, trials, weight):
    """The results as columns by name; ``weight`` is that of the tested rows."""
    tested = max(len(trial.values) for trial in trials)
    values = np.array([trial.values if len(trial.values) else np.full(tested, np.nan) for trial in trials])
    weight = np.ones(tested) if weight is None else weight
    with np.errstate(invalid="ignore"):
        score, error = _mean_and_error(values, weight)
        if np.isnan(score).all():
            raise ValueError("No candidate could be fitted: " + "; ".join(sorted({t.failure for t in trials})))
        if not (score > -np.inf).any():
            raise ValueError(
                "Some unseen rows are impossible under each of the candidates that could be fitted. Add one whose "
                "density is positive everywhere."
            )
        difference, difference_error = _mean_and_error(values - values[np.nanargmax(score)], weight)
    return {
        "name": np.array(names, dtype=object),
        "score_kind": np.array([trial.kind for trial in trials], dtype=object),
        "score": score,
        "standard_error": error,
        "difference": difference,
        "difference_error": difference_error,
        "seconds": np.array([trial.seconds for trial in trials]),
    }


def _mean_and_error(values, weight):
    """Weighted means of the rows of a matrix, and their standard errors; weights count repetitions."""
    total = weight.sum()
    mean = values @ weight / total
    if total <= 1 or values.shape[1] == 1:
        return mean, np.full(len(values), np.nan)
    return mean, np.sqrt((values - mean[:, None]) ** 2 @ weight / (total - 1) / total)


def _held_out(estimator, X, weight, train, test):
    def scored(fitted):
        return log_density(fitted, some_rows(X, test)).astype(np.float64)

    return _tried(estimator, some_rows(X, train), None if weight is None else weight[train], scored)


def _by_bic(estimator, X, weight):
    total = len(X) if weight is None else weight.sum()

    def scored(fitted):
        rows, jacobian = through(fitted, X)
        given = {} if weight is None else {"sample_weight": weight}
        jacobian = np.average(np.broadcast_to(jacobian, len(X)), weights=weight)
        return np.array([jacobian - last_step(fitted).bic(rows, **given) / (2 * total)])

    return _tried(estimator, X, weight, scored)


def _tried(estimator, X, weight, scored):
    start = time.perf_counter()
    try:
        fitted = fitted_clone(estimator, X, None, weight)
        values = scored(fitted)
    # What rows that do not allow a fit lead to; anything else is a fault in a program.
    except (ValueError, ArithmeticError, torch.linalg.LinAlgError) as error:
        return Trial(np.empty(0), kind(estimator), time.perf_counter() - start, f"{type(error).__name__}: {error}")
    return Trial(values, kind(fitted), time.perf_counter() - start)


def _together(name, trials):
    """One trial of several; a failure in one of them is that of all."""
    failures = [trial.failure for trial in trials if trial.failure]
    seconds = sum(trial.seconds for trial in trials)
    if failures:
        warnings.warn(f"Candidate {name!r} is left out: {failures[0]}", FitFailedWarning, stacklevel=4)
        return Trial(np.empty(0), trials[0].kind, seconds, failures[0])
    return Trial(np.concatenate([trial.values for trial in trials]), trials[0].kind, seconds)
