"""Mutual information of correlated normal numbers, where the truth is known.

X and Y have d columns each, and column k of Y has the same correlation with column k of X for all k, such that there
are 1, 4 or 8 nats; 0 nats are independent columns. 20000 training and 5000 held-out pairs are drawn for each seed. All
parameters are the defaults, the same in every cell; only ``bound`` differs. Shown are the mean over seeds of ``score``
on the held-out pairs, its standard deviation over seeds, and CPU seconds of a fit. "infonce" cannot exceed
log 5000 = 8.5 nats, and "smile" is an estimate and no bound.

Finished cells are kept in the folder ``--state``; a rerun skips what is there.
"""

import argparse
import json
import math
import time
import warnings
from pathlib import Path

import numpy as np
import torch

import skgen
from skgen import MutualInformation

BOUNDS = ("infonce", "donsker-varadhan", "nwj", "smile")
SIZES, TRUTHS = (2, 10, 20), (0, 1, 4, 8)
N_TRAINING, N_HELD_OUT = 20_000, 5000


def pairs(n, d, nats, random):
    """Rows and partners, in float32, of so many nats."""
    rho = math.sqrt(-math.expm1(-2 * nats / d))
    X, noise = random.normal(size=(2, n, d))
    return X.astype(np.float32), (rho * X + math.sqrt(1 - rho**2) * noise).astype(np.float32)


def measured(bound, d, nats, seed):
    """The record of a cell, as plain values."""
    random = np.random.default_rng([seed, d, nats])
    X, Y = pairs(N_TRAINING, d, nats, random)
    start, start_cpu = time.perf_counter(), time.process_time()
    estimator = MutualInformation(bound, random_state=seed).fit(X, Y)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
    value, interval = estimator.estimate(*pairs(N_HELD_OUT, d, nats, random))
    return {
        "score": value,
        "interval": interval,
        "estimate": estimator.estimate_,
        "epochs": estimator.n_iter_,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "skgen": skgen.__version__,
        "torch": torch.__version__,
    }


def report(records, options):
    """A table with a line for each cell and a column for each bound."""
    print("| d | truth, nats | " + " | ".join(options.only) + " |")
    print("|---" * (2 + len(options.only)) + "|")
    for d in SIZES:
        for nats in TRUTHS:
            cells = [summary(records, bound, d, nats, options.seeds) for bound in options.only]
            print(f"| {d} | {nats} | " + " | ".join(cells) + " |")
    for bound in options.only:
        seconds = [r["cpu_seconds"] for (b, *_, seed), r in records.items() if b == bound and seed in options.seeds]
        if seconds:
            print(f"{bound}: {np.median(seconds):.1f} CPU seconds for a fit, {min(seconds):.1f} to {max(seconds):.1f}")


def summary(records, bound, d, nats, seeds):
    """Mean and standard deviation over seeds of a cell, and its error where there is a truth to divide by."""
    values = [records[key]["score"] for seed in seeds if (key := (bound, d, nats, seed)) in records]
    if not values:
        return ""
    error = f" ({100 * (np.mean(values) / nats - 1):+.0f} %)" if nats else ""
    spread = f" +- {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}{error}"


def kept(path):
    """Records of a file by bound, size, truth and seed."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {tuple(cell): record for cell, record in map(json.loads, lines)}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--only", nargs="+", choices=BOUNDS, default=list(BOUNDS))
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--state", type=Path, default=Path(__file__).parent / "state" / "mutual_information")
    return parser.parse_args()


def main():
    options = parse()
    warnings.filterwarnings("ignore", message="The (denominator of the )?estimate of")  # the table shows how far off
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    options.state.mkdir(parents=True, exist_ok=True)
    path = options.state / "results.jsonl"
    records = kept(path)
    for seed in options.seeds:
        for bound in options.only:
            for d in SIZES:
                for nats in TRUTHS:
                    cell = bound, d, nats, seed
                    if cell not in records:
                        records[cell] = measured(*cell)
                        print(cell, f"{records[cell]['score']:.3f}", flush=True)
                        with path.open("a") as file:
                            file.write(json.dumps([cell, records[cell]]) + "\n")
    report(records, options)


if __name__ == "__main__":
    main()
