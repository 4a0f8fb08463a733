"""Fill gaps in tables with a variational autoencoder, and with scikit-learn's imputers.

Half of the entries of complete, standardised tables are hidden at random; the error is that of the hidden entries of
the rows that were learnt from, in squared standard deviations. It is the protocol of Mattei and Frellsen (2019), whose
notebook gives 0.287 for breast-cancer after 500 epochs: latent dimension 10, two layers of 128 units, Student's t
likelihood, 20 draws in the bound and 10000 for imputation.

Nothing is chosen on hidden entries. ``--choose`` hides a tenth of the observed entries besides, fits each of the
CANDIDATES to the rest, and prints their errors there. SETTINGS are what it chose for the first two tables; digits, with
its many rows, takes fewer epochs of the same.

    python benchmarks/vae_imputation.py [--data breast_cancer wine digits] [--masks 5] [--choose]
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 IterativeImputer needs it
from sklearn.impute import IterativeImputer, KNNImputer
from sklearn.preprocessing import StandardScaler

from skgen import VariationalAutoencoder

DATA = {"breast_cancer": load_breast_cancer, "wine": load_wine, "digits": load_digits}
HIDDEN, CHECKED = 0.5, 0.1
DRAWS = 10000
COMMON = {
    "n_components": 10,
    "hidden_layer_sizes": (128, 128),
    "objective": "iwae",
    "n_draws": 20,
    "batch_size": 64,
    "learning_rate_schedule": "cosine",
    "n_iter_no_change": np.inf,
    "random_state": 0,
}
CANDIDATES = {
    "student_t, 150 epochs": {"likelihood": "student_t", "max_iter": 150},
    "student_t, 300 epochs": {"likelihood": "student_t", "max_iter": 300},
    "gaussian, 150 epochs": {"likelihood": "gaussian", "max_iter": 150},
    "gaussian, 300 epochs": {"likelihood": "gaussian", "max_iter": 300},
}
SETTINGS = {
    "breast_cancer": "student_t, 300 epochs",
    "wine": "student_t, 300 epochs",
    "digits": "student_t, 150 epochs",
}


def table(name, seed):
    """A standardised table, which entries are hidden, and a generator to go on with."""
    X = StandardScaler().fit_transform(DATA[name]().data)
    random = np.random.default_rng(seed)
    return X, random.random(X.shape) < HIDDEN, random


def error(filled, X, where):
    return float(((filled - X)[where] ** 2).mean())


def by_autoencoder(rows, candidate, n_draws):
    rows = rows.astype(np.float32)
    model = VariationalAutoencoder(**COMMON | CANDIDATES[candidate]).fit(rows)
    return model.impute(rows, n_draws=n_draws)


def imputers(candidate):
    return {
        "VariationalAutoencoder": lambda rows: by_autoencoder(rows, candidate, DRAWS),
        "IterativeImputer": lambda rows: IterativeImputer(random_state=0, keep_empty_features=True).fit_transform(rows),
        "KNNImputer": lambda rows: KNNImputer(keep_empty_features=True).fit_transform(rows),
    }


def choose(name, n_masks):
    for candidate in CANDIDATES:
        errors = []
        for seed in range(n_masks):
            X, hidden, random = table(name, seed)
            checked = ~hidden & (random.random(X.shape) < CHECKED)
            errors.append(error(by_autoencoder(np.where(hidden | checked, np.nan, X), candidate, 500), X, checked))
        print(f"{name:<14} {candidate:<24} {np.mean(errors):.4f} on checked entries", flush=True)


def compare(name, n_masks):
    found = {imputer: [] for imputer in imputers(None)}
    for seed in range(n_masks):
        X, hidden, _ = table(name, seed)
        for imputer, fill in imputers(SETTINGS[name]).items():
            start, wall = time.process_time(), time.perf_counter()
            mse = error(fill(np.where(hidden, np.nan, X)), X, hidden)
            seconds = time.process_time() - start, time.perf_counter() - wall
            found[imputer].append((mse, *seconds))
            print(
                f"{name:<14} mask {seed} {imputer:<24} {mse:.4f}, {seconds[0]:.1f} s of processor time, "
                f"{seconds[1]:.1f} s",
                flush=True,
            )
    for imputer, values in found.items():
        mse, seconds, _ = np.array(values).T
        spread = f"({mse.std(ddof=1):.4f})" if n_masks > 1 else ""
        print(f"{name:<14} mean   {imputer:<24} {mse.mean():.4f} {spread}, {seconds.mean():.1f} s", flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=list(DATA))
    parser.add_argument("--masks", type=int, default=5)
    parser.add_argument("--choose", action="store_true")
    arguments = parser.parse_args()
    for each in arguments.data:
        (choose if arguments.choose else compare)(each, arguments.masks)
