"""Anomaly detection on the 15 tables of SKGEN_DATA/adbench, by density models that have seen normal rows only.

Protocol: rows are shuffled by ``default_rng(seed)``; half of the normal ones train, all others are tested; columns are
standardised by the training rows; no label is used but for the area under the ROC curve, the figure shown. Training
rows beyond ``--max-rows`` are left out, the same for all sides. Sides:

* ``selector``: ``GenerativeOutlierDetector(DensitySelector(...))``. The families are those of ``families``, fixed
  before any figure was seen: normal distributions with few parameters, mixtures from coarse to as fine as kernels, all
  with variances of at least 1e-2 of the standardised ones, since a smaller floor rewards spikes on columns of few
  values. The choice is by the likelihood of training rows in folds.
* ``GMM(5)``: scikit-learn's ``GaussianMixture(5)`` with its defaults.
* ``kNN(5)``: the distance to the fifth neighbour among the training rows; ``kNN(5) mean``: the mean of five.
* ``PPCA``: probabilistic PCA with 90 % of the variance.
* ``VAE``: ``GenerativeOutlierDetector(VariationalAutoencoder(...))``, its score a bound on the likelihood.
* ``norm``: minus the squared length of the standardised row, which needs no model. A side at its level has learnt
  nothing but means and variances.

Differences are paired by table; their standard errors are over tables, and in parentheses over seeds. ``--only`` picks
tables by a regular expression. Results are kept in the folder ``--state``, and a rerun does what is missing.
"""

import argparse
import json
import os
import re
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from _timing import machine
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture as PeerMixture
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from skgen import (
    BayesianGaussianMixture,
    GaussianMixture,
    MixtureOfFactorAnalyzers,
    ProbabilisticPCA,
    VariationalAutoencoder,
)
from skgen.likelihoods import Gaussian
from skgen.meta import DensitySelector, GenerativeOutlierDetector

FLOOR = 1e-2
"""Smallest variance, as a share of that of a standardised column."""
ROWS_PER_COMPONENT = 5
N_FOLDS = 3
SIDES = ("selector", "GMM(5)", "kNN(5)", "kNN(5) mean", "PPCA", "VAE", "norm")
PAIRS = (("selector", "GMM(5)"), ("selector", "kNN(5)"), ("VAE", "PPCA"), ("selector", "norm"), ("VAE", "norm"))


# -- rows -------------------------------------------------------------------------------------------------------------


def tables():
    folder = Path(os.environ.get("SKGEN_DATA", "")) / "adbench"
    return sorted(folder.glob("*.npz"), key=lambda path: int(path.stem.split("_")[0]))


def split(path, seed, max_rows):
    """Standardised training rows, test rows, and which of these are anomalies."""
    with np.load(path) as file:
        X, y = file["X"].astype(np.float64), file["y"].astype(bool)
    order = np.random.default_rng(seed).permutation(len(X))
    X, y = X[order], y[order]
    normal = np.flatnonzero(~y)
    half = normal[: len(normal) // 2]
    train = X[half[:max_rows]]
    tested = np.ones(len(X), dtype=bool)
    tested[half] = False
    scaler = StandardScaler().fit(train)
    return scaler.transform(train), scaler.transform(X[tested]), y[tested]


# -- sides ------------------------------------------------------------------------------------------------------------


def families(n_rows, n_features, seed):
    """Names and estimators for any table, as far as its rows and columns allow."""
    settings = {"reg_covar": FLOOR, "random_state": seed}
    sized = [("full", (1, 2, 5, 10, 20)), ("diag", (10, 30, 100)), ("tied", (10, 30)), ("spherical", (30, 100))]
    sized += [("tied_spherical", (100, 300))]
    found = [
        (f"mixture-{structure}-{k}", GaussianMixture(k, covariance_type=structure, **settings))
        for structure, counts in sized
        for k in counts
        if k == 1 or k * ROWS_PER_COMPONENT <= n_rows
    ]
    # One component with a bound on its noise is probabilistic PCA and factor analysis.
    analysers = [(1, q, noise) for q in (2, 5, 10, 20) for noise in ("isotropic", "diagonal")]
    analysers += [(k, q, "diagonal") for k in (5, 10, 20) for q in (2, 5)]
    found += [
        (f"factors-{noise}-{k}x{q}", MixtureOfFactorAnalyzers(k, n_factors=q, noise=noise, **settings))
        for k, q, noise in analysers
        if q < n_features and k * ROWS_PER_COMPONENT <= n_rows
    ]
    bayesian = [(f"bayesian-{k}", BayesianGaussianMixture(k, **settings)) for k in (5, 20)]
    return found + [each for each in bayesian if each[1].n_components * ROWS_PER_COMPONENT <= n_rows]


def detector(estimator, seed):
    # Where the line is drawn does not move the area under the curve; a share costs no further fits.
    return GenerativeOutlierDetector(estimator, contamination=0.1, random_state=seed)


def autoencoder(n_features, seed):
    return VariationalAutoencoder(
        min(10, n_features - 1),
        hidden_layer_sizes=(64, 64),
        likelihood=Gaussian(min_variance=FLOOR),
        max_iter=500,
        early_stopping=True,
        random_state=seed,
    )


def side(name, train, test, seed):
    """Scores of test rows, lower for anomalies, and what there is to tell of the fit."""
    if name == "norm":
        return -np.square(test).sum(axis=1), ""
    if name.startswith("kNN"):
        distance = NearestNeighbors(n_neighbors=5).fit(train).kneighbors(test)[0]
        return -(distance.mean(axis=1) if name.endswith("mean") else distance[:, -1]), ""
    if name == "GMM(5)":
        return PeerMixture(5, random_state=seed).fit(train).score_samples(test), ""
    estimators = {
        "PPCA": lambda: ProbabilisticPCA(0.9, random_state=seed),
        "VAE": lambda: autoencoder(train.shape[1], seed),
        "selector": lambda: DensitySelector(families(*train.shape, seed), cv=N_FOLDS, random_state=seed),
    }
    fitted = detector(estimators[name](), seed).fit(train)
    return fitted.score_samples(test), getattr(fitted.estimator_, "best_name_", "")


def measured(path, seed, args):
    """Areas and notes of all sides on a table with a seed, from the state where they are there."""
    kept = args.state / f"{path.stem}-{seed}-{args.max_rows}.json" if args.state else None
    if kept and kept.exists():
        return json.loads(kept.read_text())
    train, test, anomaly = split(path, seed, args.max_rows)
    result = {"rows": len(train), "columns": train.shape[1]}
    for name in SIDES:
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores, note = side(name, train, test, seed)
        # A density may underflow to nothing for some rows, which are the least likely ones.
        area = roc_auc_score(~anomaly, np.nan_to_num(scores, nan=-np.inf, neginf=np.finfo(np.float64).min))
        result[name] = {"area": area, "note": note, "seconds": time.process_time() - start}
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(result))
    return result


# -- report -----------------------------------------------------------------------------------------------------------


def line(title, areas, notes):
    print(f"{title:16}" + "".join(f"{area:12.4f}" for area in areas) + f"  {notes}", flush=True)


def report(found):
    """Means over tables and paired differences; ``found`` is (tables, seeds, sides)."""
    print("-" * (16 + 12 * len(SIDES)))
    line("mean", found.mean(axis=(0, 1)), "")
    for one, other in PAIRS:
        difference = found[:, :, SIDES.index(one)] - found[:, :, SIDES.index(other)]
        by_table, by_seed = difference.mean(axis=1), difference.mean(axis=0)
        errors = [x.std(ddof=1) / np.sqrt(len(x)) if len(x) > 1 else np.nan for x in (by_table, by_seed)]
        print(f"{one} - {other}: {by_table.mean():+.4f} +- {errors[0]:.4f} ({errors[1]:.4f})")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="regular expression that names of tables contain")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--max-rows", type=int, default=5000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--state", type=Path, default=None)
    args = parser.parse_args()
    paths = [path for path in tables() if re.search(args.only, path.stem)]
    if not paths:
        raise SystemExit("There are no such tables in SKGEN_DATA/adbench.")
    torch.set_num_threads(args.threads)
    print(machine())
    print(f"{len(paths)} tables, {args.seeds} seeds, at most {args.max_rows} training rows: area under the ROC curve")
    print(f"{'':16}" + "".join(f"{name:>12}" for name in SIDES) + "  chosen; rows x columns; CPU seconds")
    found = []
    for path in paths:
        results = [measured(path, seed, args) for seed in range(args.seeds)]
        found.append([[each[name]["area"] for name in SIDES] for each in results])
        chosen = ", ".join(each["selector"]["note"] for each in results)
        seconds = sum(each[name]["seconds"] for each in results for name in SIDES)
        notes = f"{chosen}; {results[0]['rows']} x {results[0]['columns']}; {seconds:.0f}"
        line(path.stem, np.mean(found[-1], axis=0), notes)
    report(np.array(found))


if __name__ == "__main__":
    main()
