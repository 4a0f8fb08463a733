"""What tables drawn by a variational autoencoder are good for: classifiers learn from them and are scored on real rows.

For each table five splits, half of the rows for training, by class. A classifier (gradient-boosted trees, and logistic
regression on standardised columns) learns from drawn rows, as many of each class as there are real ones, and is scored
by the balanced accuracy on the other half, so that a rare class counts as much as a frequent one. Beside the drawn
rows stand the brackets: the real training rows, rows interpolated between neighbours of a class as SMOTE does, rows
whose columns are drawn independently in each class, and rows of a Gaussian mixture fitted to each class. The
autoencoder is fitted once, to all classes, and draws given the class; nothing of it is chosen by the score.

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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="+")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    warnings.filterwarnings("ignore", category=UserWarning)  # categories that a half of the rows lacks
    for name, X, y in tables():
        if options.only and name not in options.only:
            continue
        scores, seconds = {}, []
        for seed in range(options.seeds):
            train, test = train_test_split(np.arange(len(X)), test_size=0.5, random_state=seed, stratify=y)
            test = test[known(X[train], X[test])]
            data = X[train], y[train], X[test], y[test]
            densities = {"vae": estimator(X[train], seed), "mixture": GaussianMixture(5, random_state=seed)}
            for kind, density in densities.items():
                for classifier, learner in CLASSIFIERS.items():
                    start = time.process_time()
                    found = train_on_synthetic_score(
                        density, *data, classifier=learner, scoring="balanced_accuracy", n_repeats=2, random_state=seed
                    )
                    seconds += [time.process_time() - start] * (kind == "vae")
                    sides = {kind: found.synthetic} | (
                        {side: found[side] for side in ("real", "interpolation", "independent")}
                        if kind == "vae"
                        else {}
                    )
                    for side, values in sides.items():
                        scores.setdefault((classifier, side), []).append(values.mean())
        for classifier in CLASSIFIERS:
            line = {
                side: (np.mean(v), np.std(v, ddof=1) / np.sqrt(len(v)))
                for (c, side), v in scores.items()
                if c == classifier
            }
            shown = ", ".join(f"{side} {mean:.4f} ({error:.4f})" for side, (mean, error) in line.items())
            print(f"{name:14} {classifier:9} {shown}; {np.mean(seconds):.1f} CPU s a fit and its draws", flush=True)


def known(train, test):
    """Rows without a category that training rows lack: which density such rows have nobody can say."""
    few = [i for i, column in enumerate(train.T) if len(np.unique(column)) <= MOST_CATEGORIES]
    return np.all([np.isin(test[:, i], train[:, i]) for i in few], axis=0) if few else np.ones(len(test), bool)


if __name__ == "__main__":
    sys.exit(main())
