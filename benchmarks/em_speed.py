"""Time exact models beside scikit-learn's and pomegranate's: an iteration of EM, closed forms, memory, small tables.

Every side runs in every round of one process. Iterations are timed inside ``fit``, from the end of the first to the end
of the last, all sides from the same start, with tol=0 and as many iterations; how far the log-likelihoods of an
iteration are apart is printed. scikit-learn runs with all threads and with one, which often suits it better; its ratio
is that of the better. The floor is the matrix products of an iteration alone, on numbers that stay in cache.

``--only PATTERN`` picks rows whose title a regular expression finds; ``--device cuda`` adds a GPU to the iterations.
"""

import argparse
import json
import re
import statistics
import warnings
from functools import partial

import numpy as np
import torch
from _em_data import factor_rows, mixture_rows, mixture_start
from _em_peers import Fit, TimedPeerMixture, TimedPomegranate, cross_product, products_iteration
from _memory import MB, reset_peak, status, watched
from _timing import machine, rounds, table, timed
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.decomposition import FactorAnalysis as PeerFactorAnalysis
from sklearn.mixture import GaussianMixture as PeerMixture

from skgen import FactorAnalysis, GaussianMixture, ProbabilisticPCA

OURS = "skgen"
ONE, ALL = "scikit-learn, 1 thread", "scikit-learn, all threads"
BEST = "scikit-learn, the better"
POMEGRANATE = "pomegranate, float32"
ITERATIONS = [(100_000, 32, 16), (100_000, 50, 20)]
LARGE = (1_000_000, 10, 10)
EXTRA_MEMORY = 100
"""Aim for the peak over the data, in MB."""


def measured(title, sides, args, **options):
    """Run all sides in rounds and print their table, with the better of scikit-learn's two settings as a row."""
    seconds = rounds(sides, args.rounds, warm_up=not args.quick)
    peers = [seconds[name] for name in (ONE, ALL) if name in seconds]
    if len(peers) == 2:
        seconds[BEST] = min(peers, key=statistics.median)
    table(title, seconds, OURS, **options)
    return seconds


def peer_sides(make, X, args, **options):
    """scikit-learn with all threads and with one."""
    return {ALL: Fit(make, X, threads=args.threads, **options), ONE: Fit(make, X, threads=1, **options)}


def relative(a, b):
    """Largest relative difference of two lists of numbers."""
    a, b = np.array(a), np.array(b)
    return float(np.max(np.abs(a - b) / np.abs(b)))


# -- iterations of EM ----------------------------------------------------------------------------------------------


def iteration(args, n_rows, n_features, n_components, kind, *, pomegranate=False):
    """An iteration of a Gaussian mixture."""
    X = mixture_rows(n_rows // args.shrink, n_features, n_components)
    start = mixture_start(X, n_components, kind)
    settings = {"covariance_type": kind, "tol": 0, "max_iter": args.iterations, **start}
    timing = {"per_iteration": True}
    sides = {
        OURS: Fit(partial(GaussianMixture, n_components, **settings), X, **timing),
        "skgen, float32 rows": Fit(partial(GaussianMixture, n_components, **settings), X.astype(np.float32), **timing),
        **peer_sides(partial(TimedPeerMixture, n_components, **settings), X, args, **timing),
    }
    if pomegranate:
        sides[POMEGRANATE] = Fit(partial(TimedPomegranate, start, args.iterations), X.astype(np.float32), **timing)
    if args.device != "cpu":
        sides[f"skgen, {args.device}"] = Fit(
            partial(GaussianMixture, n_components, device=args.device, **settings), X, **timing
        )
    products, operations = products_iteration(len(X), n_features, n_components, kind)
    sides["matrix products alone"] = timed(products)
    title = f"EM iteration, {len(X)} x {n_features}, K={n_components}, {kind}, float64, {args.iterations} iterations"
    seconds = measured(title, sides, args, unit_name="ms/iteration")
    rate = operations / statistics.median(seconds["matrix products alone"]) / 1e9
    print(f"products: {operations / 1e9:.2f} GFLOP at {rate:.0f} GFLOP/s")
    whole = {name: statistics.median(side.totals) for name, side in sides.items() if isinstance(side, Fit)}
    print("whole fit, s: " + ", ".join(f"{name} {value:.3f}" for name, value in whole.items()))
    compare(sides, X)


def compare(sides, X):
    """Print how far the log-likelihoods of each side are from skgen's: in every iteration, and after the last."""
    fitted = {name: side.fitted for name, side in sides.items() if isinstance(side, Fit)}
    ours = fitted[OURS]
    for name, model in fitted.items():
        if name == OURS:
            continue
        last = relative(model.score(X), ours.score(X))
        curve = relative(model.lower_bounds_, ours.lower_bounds_) if hasattr(model, "lower_bounds_") else last
        print(f"log-likelihood, relative difference to skgen: {name}: {max(curve, last):.1e}")


def subnormal(args):
    """The same iterations on components that overlap, and on ones whose responsibilities underflow."""
    n_rows, d, k = 100_000 // args.shrink, 32, 16
    rng = np.random.default_rng(0)
    labels, noise = rng.integers(k, size=n_rows), rng.standard_normal((n_rows, d))
    sides = {}
    # Of two components at a distance of sqrt(2 s) the log-responsibilities differ by s, give or take sqrt(2 s).
    for name, s in (("skgen", 0.25), ("subnormal in float32", 95.0), ("subnormal in float64", 726.0)):
        means = np.sqrt(s) * np.eye(k, d)
        X = means[labels] + noise
        start = {"weights_init": np.full(k, 1 / k), "means_init": means, "precisions_init": np.ones((k, d))}
        settings = {"covariance_type": "diag", "tol": 0, "max_iter": args.iterations, **start}
        for kind, dtype in (("", np.float64), (", float32 rows", np.float32)):
            rows = X.astype(dtype)
            make = partial(GaussianMixture, k, **settings)
            sides[name + kind] = Fit(make, rows, per_iteration=True)
    title = f"subnormal responsibilities, {n_rows} x {d}, K={k}, diag; 'skgen': components that overlap"
    measured(title, sides, args, unit_name="ms/iteration")


def far_from_zero(args):
    """Variances of float32 rows far from 0 against those of the same rows in float64."""
    X = (5000 + 0.3 * np.random.default_rng(0).standard_normal((1000, 2))).astype(np.float32)
    exact = X.astype(np.float64).var(axis=0)
    print(f"\nfloat32 rows 5000 + 0.3 N(0, 1): largest relative error of a variance of {exact[0]:.4f}")
    for kind in ("full", "tied", "diag", "spherical"):
        truth = exact.mean() if kind == "spherical" else exact
        makers = {OURS: GaussianMixture, "scikit-learn": PeerMixture}
        errors = {name: variance_error(make(covariance_type=kind), X, truth) for name, make in makers.items()}
        print(f"{kind:10s} " + "   ".join(f"{name} {error}" for name, error in errors.items()))


def variance_error(model, X, truth):
    """Largest relative error of the variances of one component, as text."""
    try:
        covariance = np.float64(model.fit(X).covariances_)
    except ValueError as error:
        return f"fails ({str(error).split('(')[0].strip()})"
    variance = np.diagonal(covariance.reshape(2, 2)) if covariance.size == 4 else covariance
    return f"{np.max(np.abs(variance - model.reg_covar - truth) / truth):.1e}"


# -- memory --------------------------------------------------------------------------------------------------------


def memory(args):
    """Peak memory of a fit over that of imports and data, each side in a process of its own."""
    n_rows, d, k = LARGE
    print(f"\npeak memory, {n_rows // args.shrink} x {d}, K={k}, full, float64, 3 iterations")
    print(f"{'side':34s} {'imports':>8s} {'data':>8s} {'peak':>8s} {'over':>8s} {'anonymous':>10s}   MB")
    print(f"{'aim':34s} {'':26s} {EXTRA_MEMORY:8d}")
    for side in (OURS, "scikit-learn", POMEGRANATE):
        found = watched(__file__, {"side": side, "n_rows": n_rows // args.shrink, "threads": args.threads})
        over = found["peak"] - found["imports"] - found["data"]
        figures = (found["imports"], found["data"], found["peak"], over)
        print(f"{side:34s} " + " ".join(f"{x:8.0f}" for x in figures) + f" {found['anonymous']:10.0f}")


def fit_for_memory(side, n_rows, threads):
    """Fit in this process and print sizes as JSON."""
    _, d, k = LARGE
    torch.set_num_threads(threads)
    few = mixture_rows(2000, d, k)

    def fit(X):
        start = mixture_start(X, k, "full")
        settings = {"covariance_type": "full", "tol": 0, "max_iter": 3, **start}
        makers = {
            OURS: partial(GaussianMixture, k, **settings),
            "scikit-learn": partial(PeerMixture, k, **settings),
            POMEGRANATE: partial(TimedPomegranate, start, 3),
        }
        makers[side]().fit(X)

    fit(few.astype(np.float32) if side == POMEGRANATE else few)  # loads what is loaded late
    reset_peak()
    imports = status("VmRSS")
    print(json.dumps({"stage": "imported"}), flush=True)
    X = np.random.default_rng(0).standard_normal((n_rows, d), dtype=np.float32 if side == POMEGRANATE else np.float64)
    fit(X)
    print(json.dumps({"imports": imports, "data": X.nbytes / MB, "peak": status("VmHWM")}))


# -- small tables --------------------------------------------------------------------------------------------------


def small(args, X, n_components, name):
    """A fit with defaults, start included, of a table so small that calls are all that counts."""
    for kind in ("full", "diag"):
        settings = {"covariance_type": kind, "random_state": 0}
        sides = {
            OURS: Fit(partial(GaussianMixture, n_components, **settings), X),
            **peer_sides(partial(PeerMixture, n_components, **settings), X, args),
        }
        measured(f"small table, {name}, K={n_components}, {kind}, default fit", sides, args, unit_name="ms/fit")
        models = [side.fitted for side in sides.values()]
        print(
            f"iterations {models[0].n_iter_} and {models[1].n_iter_}; nats per row {models[0].score(X):.4f} and "
            f"{models[1].score(X):.4f}"
        )


# -- linear Gaussian models ----------------------------------------------------------------------------------------


def normal_log_likelihood(X, covariance):
    """Mean log-likelihood of rows under a normal distribution about their mean, nats per row."""
    log_det = np.linalg.slogdet(covariance)[1]
    distance = np.trace(np.linalg.solve(covariance, np.cov(X, rowvar=False, bias=True)))
    return -0.5 * (X.shape[1] * np.log(2 * np.pi) + log_det + distance)


def factor_analysis(args, n_rows, n_features, n_factors):
    """A fit of factor analysis with defaults."""
    X = factor_rows(n_rows // args.shrink, n_features, n_factors)
    sides = {
        OURS: Fit(partial(FactorAnalysis, n_factors), X),
        "skgen, float32 rows": Fit(partial(FactorAnalysis, n_factors), X.astype(np.float32)),
        **peer_sides(partial(PeerFactorAnalysis, n_factors, random_state=0), X, args),
        "X'X alone": timed(cross_product(X)),
    }
    measured(f"factor analysis, {len(X)} x {n_features}, q={n_factors}, fit", sides, args, unit_name="ms/fit")
    found = {name: side.fitted for name, side in sides.items() if isinstance(side, Fit)}
    values = {name: normal_log_likelihood(X, np.float64(model.get_covariance())) for name, model in found.items()}
    for name, value in values.items():
        print(f"{name:34s} {value:.9f} nats per row ({value - values[OURS]:+.1e}), {found[name].n_iter_} iterations")


def probabilistic_pca(args, n_rows, n_features, n_factors):
    """Closed form and log-likelihoods of probabilistic PCA."""
    X = factor_rows(n_rows // args.shrink, n_features, n_factors)
    shape = f"{len(X)} x {n_features}, q={n_factors}"
    for dtype in (np.float64, np.float32):
        rows = X.astype(dtype)
        sides = {
            OURS: Fit(partial(ProbabilisticPCA, n_factors), rows),
            **peer_sides(partial(PCA, n_factors), rows, args),
            "X'X alone": timed(cross_product(rows)),
        }
        measured(f"probabilistic PCA, {shape}, fit, {np.dtype(dtype)}", sides, args, unit_name="ms/fit")
        ours, peer = sides[OURS].fitted, sides[ALL].fitted
        scores = {OURS: timed(partial(ours.score, rows)), "scikit-learn": timed(partial(peer.score, rows))}
        measured(f"probabilistic PCA, {shape}, score, {np.dtype(dtype)}", scores, args, unit_name="ms")
        values = [normal_log_likelihood(X, np.float64(model.get_covariance())) for model in (ours, peer)]
        print(f"nats per row {values[0]:.9f}, scikit-learn {values[1] - values[0]:+.1e}; score {ours.score(rows):.9f}")


# -- all of it -----------------------------------------------------------------------------------------------------


def cases(args):
    """Titles of rows, and functions that measure and print them."""
    for n, d, k in ITERATIONS:
        for kind in ("diag", "full", "tied"):
            yield f"iteration {n}x{d} K={k} {kind}", partial(iteration, args, n, d, k, kind)
    n, d, k = LARGE
    yield f"iteration {n}x{d} K={k} full", partial(iteration, args, n, d, k, "full", pomegranate=True)
    yield "memory", partial(memory, args)
    yield "subnormal", partial(subnormal, args)
    yield "far from zero", partial(far_from_zero, args)
    yield "small 150x4", partial(small, args, load_iris().data, 3, "iris 150 x 4")
    yield "small 1000x10", partial(small, args, mixture_rows(1000, 10, 5), 5, "1000 x 10")
    for n, d, q in ((100_000, 100, 10), (100_000, 500, 20)):
        yield f"factor analysis {n}x{d} q={q}", partial(factor_analysis, args, n, d, q)
    yield "probabilistic pca 100000x500 q=20", partial(probabilistic_pca, args, 100_000, 500, 20)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="PATTERN", default="", help="rows whose title this regular expression finds")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the rows, one round: does it run?")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--list", action="store_true", help="print the titles")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    if args.case:
        fit_for_memory(**json.loads(args.case))
        return
    args.shrink = 20 if args.quick else 1
    if args.quick:
        args.rounds, args.iterations = 1, min(args.iterations, 3)
    torch.set_num_threads(args.threads)
    print(machine())
    for title, run in cases(args):
        if re.search(args.only, title):
            print(title) if args.list else run()


if __name__ == "__main__":
    main()
