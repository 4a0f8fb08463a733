"""What pretraining by Boltzmann machines does for classification: digits, and MNIST with few labels and with all.

``digits``: the example of scikit-learn's gallery (digits and their four shifts by a pixel, logistic regression on
features of 100 hidden units), with a tolerance at which the solver runs at all: the published one ends before its first
step. Raw pixels and scikit-learn's BernoulliRBM beside.

``few``: MNIST with 100 and 1000 labels, balanced over the classes, drawn by ``default_rng(seed)`` from the training
rows. The same network and the same labels with weights from a stack, which has seen all 60000 training rows without a
label, and with random weights; both choose a learning rate from one grid by 3-fold cross-validation within the labelled
rows. The machines of the stack are not centred and have sparse units: centred ones have the better likelihoods, but
units that are on in half of the rows tell less about classes. The stack is learnt once; seeds draw the labels and what
is random in the network. Accuracy on the 10000 test rows. Reported by another package, of another machine: 81.70 (76.02
from random weights) and 93.65 % (88.71).

``all``: MNIST with all labels, both starts, a stated number of epochs with a step size that falls linearly to zero.

The stack and each result are kept in the folder ``--state``: a rerun does what is missing.
"""

import argparse
import hashlib
import json
import pickle
import time
import warnings
from pathlib import Path

import _mnist
import numpy as np
import torch
from _timing import machine
from scipy.ndimage import shift
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from sklearn.neural_network import BernoulliRBM

from skgen import RBM, RBMStack, RBMStackClassifier

MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))
GRID = {"learning_rate": (1e-4, 3e-4, 1e-3, 3e-3)}
EXAMPLE = {
    "learning_rate": 0.06,
    "learning_rate_schedule": "constant",
    "momentum": 0.0,
    "weight_decay": 0.0,
    "batch_size": 10,
    "max_iter": 10,
}
"""What scikit-learn's example learns its features with."""
ARMS = {"pretrained": True, "random": False}

# -- digits --------------------------------------------------------------------------------------------------


def shifted_digits():
    """Digits and their shifts by a pixel, columns scaled to [0, 1], split at random as in the example."""
    X, y = load_digits(return_X_y=True)
    images = X.reshape(-1, 8, 8)
    moved = [images] + [np.stack([shift(image, move, order=0) for image in images]) for move in MOVES]
    X = np.concatenate(moved).reshape(-1, 64).astype(np.float32)
    X = (X - X.min(axis=0)) / (X.max(axis=0) - X.min(axis=0) + np.float32(1e-4))
    return train_test_split(X, np.tile(y, len(moved)), test_size=0.2, random_state=0)


def regression(C):
    return LogisticRegression(C=C, solver="newton-cg", tol=1e-4, max_iter=1000)


def digits(options):
    X, X_test, y, y_test = shifted_digits()
    sides = {
        "skgen.RBM, the example's": RBM(100, **EXAMPLE, center=False, random_state=0),
        "skgen.RBM, the same, centred": RBM(100, **EXAMPLE, random_state=0),
        "sklearn.BernoulliRBM, the example's": BernoulliRBM(100, learning_rate=0.06, n_iter=10, random_state=0),
    }
    print(f"\nshifted digits, {len(X)} training and {len(X_test)} test rows: accuracy, seconds of the features' fit")
    for name, features in sides.items():
        start = time.process_time()
        features.fit(X)
        seconds = time.process_time() - start
        model = regression(6000).fit(features.transform(X), y)
        print(f"{name:38s} {model.score(features.transform(X_test), y_test):.4f} {seconds:8.1f} (CPU)", flush=True)
    print(f"{'raw pixels':38s} {regression(100).fit(X, y).score(X_test, y_test):.4f}", flush=True)


# -- MNIST ---------------------------------------------------------------------------------------------------


def balanced(labels, n_rows, seed):
    """Numbers of rows with as many of each class, drawn at random."""
    random = np.random.default_rng(seed)
    each = [random.choice(np.flatnonzero(labels == k), n_rows // 10, replace=False) for k in range(10)]
    return np.concatenate(each)


def pretrained(options, X):
    """The stack of the options, from the folder of results where it is there."""
    settings = {
        "hidden_layer_sizes": tuple(options.sizes),
        "max_iter": options.epochs,
        "learning_rate": options.rate,
        "batch_size": 100,
        "center": False,
        "sparsity_target": 0.1,
        "random_state": 0,
    }
    path = options.state / f"stack-{digest(settings)}.pickle"
    if path.exists():
        with path.open("rb") as file:
            return settings, *pickle.load(file)
    start, cpu = time.perf_counter(), time.process_time()
    stack = RBMStack(**settings, device=options.device).fit(X)
    seconds = time.perf_counter() - start, time.process_time() - cpu
    with path.open("wb") as file:
        pickle.dump((stack, seconds), file)
    return settings, stack, seconds


def digest(value):
    return hashlib.sha256(repr(value).encode()).hexdigest()[:12]


def recorded(options, key, compute):
    """A result from the file of results, or computed and added to it."""
    path = options.state / "results.jsonl"
    for line in path.read_text().splitlines() if path.exists() else ():
        record = json.loads(line)
        if record["key"] == key:
            return record
    record = {"key": key} | compute()
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")
    return record


def chosen(stack, arm, seed, X, y):
    """The classifier that cross-validation within its labels chooses."""
    model = RBMStackClassifier(
        FrozenEstimator(stack),
        pretrained=ARMS[arm],
        batch_size=10 if len(X) < 1000 else 50,
        max_iter=30,
        learning_rate_schedule="linear",
        n_iter_no_change=np.inf,
        random_state=seed,
    )
    folds = StratifiedKFold(3, shuffle=True, random_state=seed)
    return GridSearchCV(model, GRID, cv=folds, scoring="neg_log_loss").fit(X, y)


def few(options):
    labels, X, X_test = rows()
    settings, stack, seconds = pretrained(options, X)
    print(f"\nstack {settings}: {seconds[0]:.0f} s, {seconds[1]:.0f} s of CPU", flush=True)
    for n_labels in options.labels:
        found = {arm: [] for arm in ARMS}
        for seed in range(options.seeds):
            index = balanced(labels[0], n_labels, seed)
            for arm in ARMS:

                def compute(arm=arm, index=index, seed=seed):
                    search = chosen(stack, arm, seed, X[index], labels[0][index])
                    return {"accuracy": search.best_estimator_.score(X_test, labels[1]), "chosen": search.best_params_}

                record = recorded(options, ["few", repr(settings), n_labels, seed, arm], compute)
                found[arm].append(100 * record["accuracy"])
                print(f"{n_labels} labels, seed {seed}, {arm}: {found[arm][-1]:.2f} {record['chosen']}", flush=True)
        report(f"{n_labels} labels", found)


def report(title, found):
    print(f"{title}: accuracy on the test rows, %: mean (sd over seeds)")
    for arm, values in found.items():
        spread = np.std(values, ddof=1) if len(values) > 1 else float("nan")
        print(f"  {arm:12s} {np.mean(values):6.2f} ({spread:.2f})", flush=True)


def every(options):
    """All labels."""
    labels, X, X_test = rows()
    settings, stack, seconds = pretrained(options, X)
    print(f"\nstack {settings}: {seconds[0]:.0f} s, {seconds[1]:.0f} s of CPU", flush=True)
    schedule = {"max_iter": options.tuning_epochs, "learning_rate": options.tuning_rate, "batch_size": 100}
    for arm in ARMS:

        def compute(arm=arm):
            model = RBMStackClassifier(
                FrozenEstimator(stack),
                pretrained=ARMS[arm],
                learning_rate_schedule="linear",
                n_iter_no_change=np.inf,
                dropout=options.dropout,
                device=options.device,
                random_state=0,
                **schedule,
            )
            start, cpu = time.perf_counter(), time.process_time()
            model.fit(X, labels[0])
            times = time.perf_counter() - start, time.process_time() - cpu
            return {"accuracy": model.score(X_test, labels[1]), "seconds": times}

        record = recorded(options, ["all", repr(settings), repr(schedule), options.dropout, arm], compute)
        wall, cpu = record["seconds"]
        error = 100 * (1 - record["accuracy"])
        print(f"all labels, {schedule}, {arm}: error {error:.2f} % ({wall:.0f} s, {cpu:.0f} s of CPU)", flush=True)


def rows():
    """Labels of MNIST, and its training and test rows scaled to [0, 1]."""
    return _mnist.labels(), *(part.astype(np.float32) / np.float32(255) for part in _mnist.load())


PARTS = {"digits": digits, "few": few, "all": every}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--sizes", type=int, nargs="+", default=[500, 500])
    parser.add_argument("--epochs", type=int, default=10, help="of each machine of the stack")
    parser.add_argument("--rate", type=float, default=0.1, help="learning rate of the stack")
    parser.add_argument("--labels", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tuning-epochs", type=int, default=30, help="of the network with all labels")
    parser.add_argument("--tuning-rate", type=float, default=1e-3)
    parser.add_argument("--dropout", type=float, default=0.0, help="with all labels")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--state", type=Path, default=Path(__file__).parent / "state" / "rbm_classification")
    return parser.parse_args()


def main():
    options = parse()
    options.state.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    print(machine(), flush=True)
    for part in options.parts:
        PARTS[part](options)


if __name__ == "__main__":
    main()
