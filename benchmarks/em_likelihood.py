"""Likelihoods that fits of exact models reach with default starts, and the time they take, beside scikit-learn's.

1. Fits to convergence, ten components on each side, full covariances, standardised rows, ten seeds: the difference of
   the mean log-likelihoods of the training rows with its standard error, and the ratio of the times.
2. Time to within 1e-4 nats per row of the best likelihood that any run of any side found, start included: the time of
   all runs divided by the number of those that got there, which is what restarting until one does takes in the mean.
   Also the time to within 1e-4 of what the run itself ended with. scikit-learn has one thread, its better setting.
3. MNIST as a density, (grey level + uniform noise) / 256: a mixture of factor analysers against our mixture of full
   covariances, with the same noise floor, at the same number of iterations: held-out likelihood and time.

Tables are read from the folder ``SKGEN_DATA``; ``--only PATTERN`` picks rows whose title a regular expression finds.
A line is printed after each seed, and ``--budget SECONDS`` ends a row before the seed that would exceed it.
"""

import argparse
import re
import statistics
import time
import warnings
from functools import partial

import numpy as np
import torch
from _em_data import grey_levels, mixture_rows, tabular
from _em_peers import Fit, TimedPeerMixture
from _timing import machine

from skgen import GaussianMixture, MixtureOfFactorAnalyzers

TABLES = ("shuttle", "pendigits", "satellite", "vowels", "optdigits")
SIMULATED = {"simulated, 10 columns": (100_000, 10, 10, 1.5), "simulated, 20 columns": (100_000, 20, 10, 0.5)}
N_COMPONENTS, REG_COVAR = 10, 1e-2
NEAR = 1e-4
"""Nats per row from the best that count as having got there."""
OURS, ACCELERATED = "skgen", "skgen, accelerated"
ALL, ONE = "scikit-learn, all threads", "scikit-learn, 1 thread"


def rows_of(name, args):
    """Standardised rows of a table, or None where it is absent."""
    if name in SIMULATED:
        n, d, k, spread = SIMULATED[name]
        X = mixture_rows(n // args.shrink, d, k, spread=spread)
        return (X - X.mean(axis=0)) / X.std(axis=0)
    X = tabular(name)
    if X is None:
        print(f"\n{name}: skipped, there is no such table in the folder SKGEN_DATA/adbench")
        return None
    return X[:: args.shrink]


def sides_of(X, seed, args, **settings):
    """One fit of each side with a seed."""
    settings = {"reg_covar": REG_COVAR, "random_state": seed, **settings}
    return {
        OURS: Fit(partial(GaussianMixture, N_COMPONENTS, **settings), X),
        ALL: Fit(partial(TimedPeerMixture, N_COMPONENTS, **settings), X, threads=args.threads),
        ONE: Fit(partial(TimedPeerMixture, N_COMPONENTS, **settings), X, threads=1),
    }


# -- to convergence ------------------------------------------------------------------------------------------------


def affordable(args):
    """Numbers of the seeds that there is time for, and at least one."""
    start, longest = time.perf_counter(), 0.0
    for seed in range(args.seeds):
        begun = time.perf_counter()
        if seed and begun - start + longest > args.budget:
            print(f"the budget of {args.budget:g} s ends the row after {seed} seeds")
            return
        yield seed
        longest = max(longest, time.perf_counter() - begun)


def report(seed, sides, values):
    """Print what the fits of a seed reached, and the seconds they took."""
    parts = [f"{side} {values[side]:.5f} in {fit.totals[-1]:.3f} s" for side, fit in sides.items()]
    print(f"seed {seed}: " + ", ".join(parts), flush=True)


def converged(args, name):
    """Default fits from many seeds: likelihoods and times."""
    X = rows_of(name, args)
    if X is None:
        return
    print(f"\nfit to convergence, {name} {len(X)} x {X.shape[1]}, K={N_COMPONENTS}, defaults", flush=True)
    sides_of(X, 0, args)[OURS]()  # loads what is loaded late
    seconds, reached, iterations = ({side: [] for side in (OURS, ALL, ONE)} for _ in range(3))
    for seed in affordable(args):
        sides = sides_of(X, seed, args)
        for side, fit in sides.items():
            seconds[side].append(fit())
            reached[side].append(fit.fitted.score(X))
            iterations[side].append(fit.fitted.n_iter_)
        report(seed, sides, {side: values[-1] for side, values in reached.items()})
    difference = np.subtract(reached[OURS], reached[ALL])
    error = difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else np.nan
    peer = min((ALL, ONE), key=lambda side: statistics.median(seconds[side]))
    ratio = statistics.median(b / a for a, b in zip(seconds[OURS], seconds[peer], strict=True))
    print(f"{len(difference)} seeds")
    for side, values in reached.items():
        print(
            f"{side:28s} mean {np.mean(values):10.5f}  best {np.max(values):10.5f} nats per row, "
            f"{np.mean(iterations[side]):6.1f} iterations"
        )
    print(f"difference {difference.mean():+.5f}, standard error {error:.5f}" + verdict(difference.mean(), error))
    medians = ", ".join(f"{side} {statistics.median(values):.3f}" for side, values in seconds.items())
    print(f"seconds, medians: {medians}; {peer} / skgen {ratio:.2f}", flush=True)


def verdict(difference, error):
    """Whether the mean is below by more than chance explains."""
    return "   LOWER by more than 2 standard errors" if difference < -2 * error else ""


# -- to the best known likelihood ----------------------------------------------------------------------------------


def first_near(times, values, target):
    """Seconds at which a curve first comes near a target, or None."""
    near = np.flatnonzero(values >= target - NEAR)
    return float(times[near[0]]) if len(near) else None


def to_the_best(args, name):
    """Time to within a little of the best known likelihood, restarts included."""
    X = rows_of(name, args)
    if X is None:
        return
    settings = {"tol": args.best_tol, "max_iter": args.best_iterations}
    print(f"\ntime to {NEAR} nats from the best known, {name} {len(X)} x {X.shape[1]}, K={N_COMPONENTS}", flush=True)
    sides_of(X, 0, args)[OURS]()  # loads what is loaded late
    runs = {OURS: [], ACCELERATED: [], ONE: []}
    for seed in affordable(args):
        sides = sides_of(X, seed, args, **settings)
        accelerated = {"reg_covar": REG_COVAR, "random_state": seed, "solver": "em-accelerated", **settings}
        sides[ACCELERATED] = Fit(partial(GaussianMixture, N_COMPONENTS, **accelerated), X)
        sides = {side: sides[side] for side in runs}
        for side, found in runs.items():
            sides[side]()
            found.append((*sides[side].curve(), sides[side].totals[-1]))
        report(seed, sides, {side: found[-1][1].max() for side, found in runs.items()})
    best = max(values.max() for found in runs.values() for _, values, _ in found)
    print(f"the best known: {best:.5f}")
    print(f"{'side':28s} {'runs that get there':>20s} {'seconds for one':>16s} {'to its own end':>15s}   best, nats")
    for side, found in runs.items():
        moments = [first_near(times, values, best) for times, values, _ in found]
        n_there = sum(moment is not None for moment in moments)
        spent = sum(total if moment is None else moment for moment, (_, _, total) in zip(moments, found, strict=True))
        own = statistics.median(first_near(times, values, values.max()) for times, values, _ in found)
        per_one = f"{spent / n_there:16.3f}" if n_there else f"{'none':>16s}"
        top = max(values.max() for _, values, _ in found)
        print(f"{side:28s} {n_there:>13d} of {len(found):3d} {per_one} {own:15.3f}   {top:.5f}", flush=True)


# -- MNIST as a density --------------------------------------------------------------------------------------------


def factor_analyzers(args, floor):
    """Mixtures of factor analysers beside a mixture of full covariances on MNIST."""
    X, held_out = grey_levels(args.mnist_rows)
    if args.quick:
        X, held_out = X[:, ::16].copy(), held_out[::10, ::16].copy()
    factors = min(args.mnist_factors, X.shape[1] - 1)
    settings = {"reg_covar": floor, "tol": 0, "max_iter": args.mnist_iterations, "random_state": 0}
    ours = partial(MixtureOfFactorAnalyzers, N_COMPONENTS, n_factors=factors, **settings)
    sides = {
        "factor analysers": Fit(ours, X),
        "factor analysers, float32 rows": Fit(ours, X.astype(np.float32)),
        "full covariances": Fit(partial(GaussianMixture, N_COMPONENTS, **settings), X),
        "full covariances, float32 rows": Fit(partial(GaussianMixture, N_COMPONENTS, **settings), X.astype(np.float32)),
    }
    if not args.mnist_full_float32:
        del sides["full covariances, float32 rows"]
    print(
        f"\nMNIST density, {len(X)} x {X.shape[1]}, K={N_COMPONENTS}, q={factors}, floor {floor:g}, "
        f"{args.mnist_iterations} iterations"
    )
    print(f"{'side':34s} {'fit, s':>9s} {'s/iteration':>12s} {'training':>12s} {'held out':>12s} nats per row")
    for name, side in sides.items():
        total = side()
        iteration = (side.times[-1] - side.times[0]) / max(1, len(side.times) - 1)
        scores = [side.fitted.score(rows.astype(side.X.dtype)) for rows in (X, held_out)]
        print(f"{name:34s} {total:9.2f} {iteration:12.3f} {scores[0]:12.3f} {scores[1]:12.3f}", flush=True)


# -- all of it -----------------------------------------------------------------------------------------------------


def cases(args):
    """Titles of rows, and functions that measure and print them."""
    names = (*TABLES, *SIMULATED)
    for name in names:
        yield f"converged {name}", partial(converged, args, name)
    for name in names:
        yield f"best {name}", partial(to_the_best, args, name)
    for floor in (1e-4, 1e-2):
        yield f"mnist {floor:g}", partial(factor_analyzers, args, floor)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="PATTERN", default="", help="rows whose title this regular expression finds")
    parser.add_argument("--list", action="store_true", help="print the titles")
    parser.add_argument("--quick", action="store_true", help="few rows, seeds and columns: does it run?")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--budget", type=float, default=np.inf, help="seconds for a row of many seeds")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--best-tol", type=float, default=1e-6, help="tolerance of the runs for the best likelihood")
    parser.add_argument("--best-iterations", type=int, default=500)
    parser.add_argument("--mnist-rows", type=int, default=20_000)
    parser.add_argument(
        "--mnist-factors", type=int, default=10, help="factors of each component, such as 10, 50 or 100"
    )
    parser.add_argument("--mnist-iterations", type=int, default=20)
    parser.add_argument("--mnist-full-float32", action="store_true", help="full covariances of float32 rows as well")
    args = parser.parse_args()
    args.shrink = 10 if args.quick else 1
    if args.quick:
        args.seeds, args.mnist_rows, args.mnist_iterations, args.best_iterations = 2, 2000, 3, 30
    torch.set_num_threads(args.threads)
    warnings.simplefilter("ignore")
    print(machine())
    for title, run in cases(args):
        if re.search(args.only, title):
            print(title) if args.list else run()


if __name__ == "__main__":
    main()
