"""Rows drawn by a generative adversarial network: modes on a plane, and digits beside an autoencoder.

Modes: 8 normal groups on a ring of radius 2 with standard deviation 0.02, and 25 on a grid of spacing 2 with 0.05, as
in Metz et al. (2017, https://arxiv.org/abs/1611.02163) and Srivastava et al. (2017, https://arxiv.org/abs/1705.07761).
10000 rows train the estimator at its default parameters. Of 10000 draws: the least share of a mode, in fair shares,
counting draws within 3 standard deviations of its center; the share of draws that near to any; the standard deviation
within modes, in true ones; and a permutation test of the mean discrepancy from fresh rows with a bandwidth of one
standard deviation of a mode. The same test is taken of what it ought to reject: the centers as points, and one normal
distribution.

MNIST (``--only mnist``): a classifier learns digits from half of the training rows; its last hidden layer has the
features of the Frechet distance. Others learn to tell test rows from draws, by these features or by pixels. Grey levels
are rounded to whole ones. A variational autoencoder with a normal prior, whose decoder has the generator's size, stands
beside it, with three epochs for one, which take about as long.

Results are appended to a file in the folder ``--state``; a rerun with the same options skips what is there.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import _mnist
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from skgen import GenerativeAdversarialNetwork, VariationalAutoencoder
from skgen.metrics import classifier_two_sample_test, frechet_distance, mmd_test

ANGLES = np.pi / 4 * np.arange(8)
GRID = np.arange(-4.0, 5.0, 2.0)
MODES = {
    "ring": (2 * np.column_stack([np.cos(ANGLES), np.sin(ANGLES)]), 0.02),
    "grid": (np.column_stack([part.ravel() for part in np.meshgrid(GRID, GRID)]), 0.05),
}
"""Centers and standard deviation of the modes."""
EPOCHS_FOR_ONE = 3
"""Epochs of the autoencoder that take the time of one of the generator and its critic."""


def rows_of(name, n_rows, random):
    """Rows around centers with equal chances."""
    centers, deviation = MODES[name]
    return centers[random.integers(len(centers), size=n_rows)] + deviation * random.normal(size=(n_rows, 2))


def figures(name, drawn):
    """What draws make of the modes."""
    centers, deviation = MODES[name]
    distance = np.linalg.norm(drawn[:, None] - centers, axis=2)
    nearest, near = distance.argmin(axis=1), distance.min(axis=1) < 3 * deviation
    counts = np.bincount(nearest[near], minlength=len(centers))
    inner = distance.min(axis=1) < 5 * deviation
    spread = [
        float(np.sqrt(((drawn[inner & (nearest == k)] - centers[k]) ** 2).mean()) / deviation)
        for k in range(len(centers))
        if (inner & (nearest == k)).sum() > 1
    ]
    return {
        "least_share": float(counts.min() / len(drawn) * len(centers)),
        "within": float(near.mean()),
        "least_deviation": min(spread, default=float("nan")),
        "largest_deviation": max(spread, default=float("nan")),
    }


def tested(name, drawn, seed, n_tested):
    """P-values of draws and of what ought to be rejected, against fresh rows."""
    random = np.random.default_rng(1000 + seed)
    fresh = rows_of(name, n_tested, random)
    centers, deviation = MODES[name]
    others = {
        "pvalue": drawn[:n_tested],
        "pvalue_points": centers[random.integers(len(centers), size=n_tested)],
        "pvalue_normal": random.multivariate_normal(fresh.mean(axis=0), np.cov(fresh.T), size=n_tested),
    }
    return {
        key: mmd_test(fresh, rows, bandwidth=deviation, n_permutations=200, random_state=seed).pvalue
        for key, rows in others.items()
    }


def modes(name, seed, options):
    """The record of a fit to modes."""
    X = rows_of(name, 10000, np.random.default_rng(seed))
    given = {} if options.epochs is None else {"max_iter": options.epochs}
    start = time.process_time()
    model = GenerativeAdversarialNetwork(random_state=seed, **given).fit(X)
    minutes = (time.process_time() - start) / 60
    drawn = model.sample(10000)
    found = figures(name, drawn) | tested(name, drawn, seed, options.tested)
    return found | {"cpu_minutes": minutes, "epochs": model.n_iter_, "best_epoch": model.best_iter_}


def features(classifier):
    """The last hidden layer of a classifier, as a function of rows."""

    def of_rows(rows):
        for weight, bias in zip(classifier.coefs_[:-1], classifier.intercepts_[:-1], strict=True):
            rows = np.maximum(rows @ weight + bias, 0)
        return rows

    return of_rows


def digits_models(options):
    """Both sides, with decoder and generator of one size, and about the same time."""
    sizes, n_epochs = {"hidden_layer_sizes": (512, 512), "batch_size": 256}, options.digits_epochs
    return {
        "gan": GenerativeAdversarialNetwork(64, bounded=True, max_iter=n_epochs, **sizes),
        "vae": VariationalAutoencoder(
            64, likelihood="bernoulli", early_stopping=True, max_iter=EPOCHS_FOR_ONE * n_epochs, **sizes
        ),
    }


def digits(name, seed, options):
    """The record of a fit to MNIST."""
    (train, test), y = (part / 255 for part in _mnist.load()), _mnist.labels()[0]
    half = len(train) // 2
    classifier = MLPClassifier((256, 64), early_stopping=True, max_iter=20, random_state=0).fit(train[:half], y[:half])
    model = digits_models(options)[name].set_params(random_state=seed)
    start = time.process_time()
    model.fit(train)
    minutes = (time.process_time() - start) / 60
    drawn = model.sample(len(test)) if name == "gan" else means_of(model, len(test), seed)
    drawn = np.rint(255 * drawn) / 255
    of_rows = features(classifier)
    found = {
        "auc": classifier_two_sample_test(of_rows(test), of_rows(drawn), random_state=seed).auc,
        "auc_of_pixels": classifier_two_sample_test(test, drawn, random_state=seed).auc,
        "frechet": frechet_distance(test, drawn, feature_map=of_rows),
        "frechet_of_rows": frechet_distance(test, train[half : half + len(test)], feature_map=of_rows),
    }
    return found | {"cpu_minutes": minutes, "epochs": model.n_iter_}


def means_of(model, n_rows, seed):
    """Grey levels of an autoencoder: means given draws of its normal prior, since its draws are black and white."""
    return model.inverse_transform(np.random.default_rng(seed).normal(size=(n_rows, 64)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["modes", "mnist"], help="what to run; default: modes")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, help="of modes; default: that of the estimator")
    parser.add_argument("--digits-epochs", type=int, default=50)
    parser.add_argument("--tested", type=int, default=2000, help="rows of each sample in the tests of modes")
    parser.add_argument("--state", type=Path, default=Path("state"), help="folder for finished cells")
    options = parser.parse_args()
    options.state.mkdir(parents=True, exist_ok=True)
    path = options.state / "gan.jsonl"
    known = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.filterwarnings("ignore", message="Constant column")
    run, names = (digits, ("gan", "vae")) if options.only == "mnist" else (modes, MODES)
    setting = options.digits_epochs if options.only == "mnist" else [options.epochs, options.tested]
    for seed in range(options.seeds):
        for name in names:
            cell = {"cell": name, "seed": seed, "setting": setting}
            found = next((each for each in known if cell.items() <= each.items()), None)
            if found is None:
                found = cell | run(name, seed, options)
                with path.open("a") as file:
                    file.write(json.dumps(found) + "\n")
            print({key: round(value, 4) if isinstance(value, float) else value for key, value in found.items()})


if __name__ == "__main__":
    main()
