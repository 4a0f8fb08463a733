"""AmortizedLatentModel beside the variational autoencoder of networks of the same widths, at equal time.

Digits (scikit-learn's, dequantised, without columns that are nearly always blank, Gaussian) and MNIST (dynamic
binarisation, Bernoulli). Eight units of two latent variables, one hidden layer of 32 in each encoder and a decoder of
all units with 256; the autoencoder has 256 in both and 16 latent variables, with a normal prior and with the same
mixture; "one unit" has the networks of the autoencoder. Every side stops after the same time or when validation rows
say so, and keeps the weights of the best validation epoch. The bound is importance-sampled on held-out rows. Samples,
as many as there are held-out rows, are compared with these by the discrepancy test (MMD) and by a classifier that is to
tell them apart: its AUC is 0.5 where it cannot. It sees the 20 leading principal components of the training rows, since
in the pixels themselves the noise of any of these likelihoods gives itself away. Means over seeds with standard errors
of the paired difference.
"""

import argparse
import json
import math
import time
import warnings
from pathlib import Path

import _mnist
import numpy as np
from _timing import machine
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from skgen import AmortizedLatentModel, VariationalAutoencoder
from skgen.callbacks import TimeBudget
from skgen.likelihoods import Bernoulli
from skgen.metrics import classifier_two_sample_test, mmd_test
from skgen.priors import Mixture

SIDES = ("amortized", "amortized, one unit", "amortized, additive", "vae", "vae, mixture")
OURS = SIDES[0]
ONE_UNIT = {"n_units": 1, "unit_size": 16, "hidden_layer_sizes": 256}
N_LEADING = 20
"""Principal components that the classifier sees."""


def digits(seed):
    """Rows to learn from, to validate on and to report on."""
    X = load_digits().data
    rng = np.random.default_rng(seed)
    X = (X + rng.random(X.shape)) / 17
    X = rng.permutation(X[:, X.std(0) > 1 / 17])
    return X[:1100], X[1100:1300], X[1300:]


def mnist(seed, n_rows=10_000):
    """Probabilities to redraw in every epoch, and rows binarised once."""
    data, rng = _mnist.load(), np.random.default_rng(seed)
    train = _mnist.training_rows(data)[rng.permutation(_mnist.N_TRAIN)[:n_rows]]
    return train, _mnist.validation_rows(data)[:1000], _mnist.test_rows(data)[:1000]


def estimator(side, options, seed):
    images = options.data == "mnist"
    common = {
        "likelihood": Bernoulli(binarize="dynamic") if images else "gaussian",
        "max_iter": 100_000,
        "early_stopping": True,
        "n_iter_no_change": 50,
        "learning_rate": options.rate,
        "random_state": seed,
    }
    mixture = Mixture(options.clusters, pretraining=2)
    if side.startswith("amortized"):
        units = ONE_UNIT if "one unit" in side else {"n_units": 8, "unit_size": 2}
        decoder = "additive" if "additive" in side else "mlp"
        return AmortizedLatentModel(**units, latent_generator=mixture, decoder=decoder, **common)
    prior = mixture if "mixture" in side else "normal"
    return VariationalAutoencoder(16, prior=prior, hidden_layer_sizes=256, kl_warmup=5, **common)


def measured(side, options, seed):
    X, X_val, X_test = (mnist if options.data == "mnist" else digits)(seed)
    model = estimator(side, options, seed).set_callbacks(TimeBudget(options.seconds))
    start, start_cpu = time.perf_counter(), time.process_time()
    model.fit(X, X_val=X_val)
    spent = time.perf_counter() - start, time.process_time() - start_cpu
    drawn = model.sample(len(X_test), random_state=seed + 1)
    leading = PCA(N_LEADING, random_state=0).fit(X)
    auc_rows = [leading.transform(rows) for rows in (X_test, drawn)]
    discrepancy = mmd_test(X_test, drawn, random_state=0)
    return {
        "bound": float(model.log_likelihood(X_test, n_draws=500, random_state=0).mean(dtype=np.float64)),
        "mmd": float(discrepancy.statistic),
        "pvalue": float(discrepancy.pvalue),
        "auc": float(classifier_two_sample_test(*auc_rows, random_state=0).auc),
        "epochs": model.n_iter_,
        "wall_seconds": spent[0],
        "cpu_seconds": spent[1],
    }


def report(found, options):
    print(f"\n{options.data}, {options.seconds:g} s, learning rate {options.rate:g}, {options.clusters} components")
    print("| side | bound | MMD^2 x 1000 | MMD p-values | AUC | epochs | CPU s |")
    print("|---|---|---|---|---|---|---|")
    ours = {r["seed"]: r for r in found if r["side"] == OURS}
    for side in SIDES:
        rows = [r for r in found if r["side"] == side]
        if not rows:
            continue
        cells = [_compared(rows, ours, "bound", 1), _compared(rows, ours, "mmd", 1000)]
        cells.append(", ".join(f"{r['pvalue']:.3f}" for r in rows))
        cells += [_compared(rows, ours, "auc", 1)]
        cells += [f"{np.mean([r[name] for r in rows]):.0f}" for name in ("epochs", "cpu_seconds")]
        print(f"| {side} | {' | '.join(cells)} |", flush=True)


def _compared(rows, ours, name, factor):
    """Mean, and our mean minus it with the standard error over seeds."""
    values = np.array([factor * r[name] for r in rows])
    gaps = np.array([factor * (ours[r["seed"]][name] - r[name]) for r in rows if r["seed"] in ours])
    text = f"{values.mean():.3f}"
    if rows[0]["side"] == OURS or len(gaps) < 2:
        return text
    return f"{text} (ours {gaps.mean():+.3f}, se {gaps.std(ddof=1) / math.sqrt(len(gaps)):.3f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=("digits", "mnist"), default="digits")
    parser.add_argument("--seconds", type=float, help="of each fit; 30 for digits, 120 for MNIST")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--clusters", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--state", type=Path, default=Path(__file__).parent / "state" / "vem_vae.jsonl")
    options = parser.parse_args()
    if options.seconds is None:
        options.seconds = 30.0 if options.data == "digits" else 120.0
    warnings.simplefilter("ignore")
    options.state.parent.mkdir(parents=True, exist_ok=True)
    key = {name: getattr(options, name) for name in ("data", "seconds", "rate", "clusters")}
    print(machine(), flush=True)
    for seed in options.seeds:
        for side in options.sides:
            wanted = key | {"seed": seed, "side": side}
            if not any(all(r[n] == v for n, v in wanted.items()) for r in records(options.state)):
                record = wanted | measured(side, options, seed)
                with options.state.open("a") as file:
                    file.write(json.dumps(record) + "\n")
        report([r for r in records(options.state) if all(r[n] == v for n, v in key.items())], options)


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


if __name__ == "__main__":
    main()
