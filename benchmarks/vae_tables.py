"""What tables drawn by a variational autoencoder are good for: classifiers learn from them and are scored on real rows.

For each table five splits, half of the rows for training, by class. A classifier (gradient-boosted trees, and logistic
regression on standardised columns) learns from drawn rows, as many of each class as there are real ones, and is scored
by the balanced accuracy on the other half, so that a rare class counts as much as a frequent one. Beside the drawn
rows stand the brackets: the real training rows, rows interpolated between neighbours of a class as SMOTE does, rows
whose columns are drawn independently in each class, and rows of a Gaussian mixture fitted to each class. One
autoencoder is fitted to all classes and draws given the class; others are fitted to each class by itself. Nothing of
them is chosen by the score.

Tables: wine and breast cancer of scikit-learn, and of ADBench breastw (nine columns of ten levels, taken as
categories), Pima (counts beside real numbers) and cardio (real numbers, and columns of few values that are taken as
categories; a class of 10 %).
"""

import argparse
import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgen import GaussianMixture, VariationalAutoencoder
from skgen.metrics import train_on_synthetic_score

CLASSIFIERS = {
    "trees": HistGradientBoostingClassifier(random_state=0),
    "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
}
ADBENCH = {"breastw": "4_breastw.npz", "pima": "29_Pima.npz", "cardio": "6_cardio.npz"}
MOST_CATEGORIES = 10
"""Distinct values up to which a column of ADBench is taken as categories."""


def tables():
    """Rows and classes of each table that is at hand."""
    yield "wine", *load_wine(return_X_y=True)
    yield "breast-cancer", *load_breast_cancer(return_X_y=True)
    folder = Path(os.environ.get("SKGEN_DATA", ".")) / "adbench"
    for name, file in ADBENCH.items():
        if not (folder / file).is_file():
            print(f"Skipped: there is no {folder / file}; set SKGEN_DATA to the folder of the data.")
            continue
        with np.load(folder / file) as data:
            yield name, data["X"].astype(np.float64), data["y"].astype(int)


def likelihood(X):
    """Categories for columns of few values, and what fits the numbers for the others."""
    few = np.array([len(np.unique(column)) <= MOST_CATEGORIES for column in X.T])
    if not few.any():
        return "gaussian"
    parts = [("few", "categorical", np.flatnonzero(few).tolist())]
    counts = ~few & (X >= 0).all(axis=0) & (np.rint(X) == X).all(axis=0)
    for name, kind, columns in (("counts", "negative_binomial", counts), ("real", "gaussian", ~few & ~counts)):
        if columns.any():
            parts.append((name, kind, np.flatnonzero(columns).tolist()))
    return parts


def estimator(X, seed):
    return VariationalAutoencoder(
        8,
        conditional=True,
        likelihood=likelihood(X),
        hidden_layer_sizes=(128, 128),
        batch_size=64,
        max_iter=400,
        learning_rate_schedule="cosine",
        random_state=seed,
    )


def densities(X, seed):
    """What draws rows: one model given the class, one for each class, and a mixture for each class."""
    given = estimator(X, seed)
    return {
        "given class": given,
        "per class": clone(given).set_params(conditional=False),
        "mixture per class": GaussianMixture(5, random_state=seed),
    }


def scored(X, y, seed):
    """Balanced accuracy of each classifier on real rows by what it has learnt from, and CPU seconds of each density."""
    train, test = train_test_split(np.arange(len(X)), test_size=0.5, random_state=seed, stratify=y)
    test = test[known(X[train], X[test])]
    scores, seconds = {}, {}
    for side, density in densities(X[train], seed).items():
        for classifier, learner in CLASSIFIERS.items():
            start = time.process_time()
            found = train_on_synthetic_score(
                density,
                X[train],
                y[train],
                X[test],
                y[test],
                classifier=learner,
                scoring="balanced_accuracy",
                n_repeats=2,
                random_state=seed,
            )
            seconds[side] = time.process_time() - start
            for name, values in found.items():
                scores[classifier, side if name == "synthetic" else name] = values.mean()
    return scores, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="+")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    warnings.filterwarnings("ignore", category=UserWarning)  # constant columns of a class
    for name, X, y in tables():
        if options.only and name not in options.only:
            continue
        runs = [scored(X, y, seed) for seed in range(options.seeds)]
        for classifier, side in runs[0][0]:
            values = np.array([scores[classifier, side] for scores, _ in runs])
            error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
            print(f"{name:14} {classifier:9} {side:18} {values.mean():.4f} ({error:.4f})", flush=True)
        seconds = {side: np.mean([run[1][side] for run in runs]) for side in runs[0][1]}
        print(f"{name:14} CPU seconds: " + ", ".join(f"{side} {s:.1f}" for side, s in seconds.items()), flush=True)


def known(train, test):
    """Rows without a category that training rows lack: which density such rows have nobody can say."""
    few = [i for i, column in enumerate(train.T) if len(np.unique(column)) <= MOST_CATEGORIES]
    return np.all([np.isin(test[:, i], train[:, i]) for i in few], axis=0) if few else np.ones(len(test), bool)


if __name__ == "__main__":
    sys.exit(main())
