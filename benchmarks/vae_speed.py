"""Time an epoch of a variational autoencoder beside a plain torch loop and pythae.

Two workloads: an MLP 784-400-20-400-784 on 60000 binary rows, bound by matrix products, and a table of 10000 x 30 with
64 hidden units and 5 latent ones, bound by the cost of calling kernels. Every side runs in every round of one process.
skgen is timed inside ``fit``, from the end of one epoch to the end of a later one.
"""

import argparse
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from _timing import machine, rounds, table, timed
from _vae_peers import plain_epoch, products_epoch, pythae_epoch, skgen_epoch

from skgen import VariationalAutoencoder
from skgen.likelihoods import Gaussian

BATCH = 128


def images(n_rows):
    """Binary rows: MNIST above half, or random ones with as many dead columns where it is absent."""
    folder = os.environ.get("SKGEN_DATA")
    if folder and (Path(folder) / "mnist.npz").exists():
        with np.load(Path(folder) / "mnist.npz") as data:
            return (data["X_train"][:n_rows] > 127).astype(np.float32), "MNIST"
    rng = np.random.default_rng(0)
    rate = np.where(rng.random(784) < 0.1, 0.0, rng.random(784) * 0.3)
    return (rng.random((n_rows, 784)) < rate).astype(np.float32), "random"


def small_table(n_rows, binary):
    """Rows of a linear factor model with 8 factors, or their signs."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, 8)) @ rng.standard_normal((8, 30)) + 0.3 * rng.standard_normal((n_rows, 30))
    return ((X > 0) if binary else X / X.std(axis=0)).astype(np.float32)


def estimator(n_hidden, n_latent, likelihood, n_epochs, **parameters):
    """An estimator that runs ``n_epochs`` more at each fit."""
    named = likelihood if likelihood == "bernoulli" else Gaussian(likelihood)
    return VariationalAutoencoder(
        n_latent, likelihood=named, hidden_layer_sizes=(n_hidden,), batch_size=BATCH, max_iter=n_epochs, **parameters
    )


def large(args, folder):
    """The workload of matrix products."""
    X, name = images(args.rows)
    sides = {
        "skgen": skgen_epoch(estimator(400, 20, "bernoulli", args.epochs + 1, random_state=0), X),
        "skgen bfloat16": skgen_epoch(
            estimator(400, 20, "bernoulli", args.epochs + 1, random_state=0, precision="bfloat16"), X
        ),
        "plain torch loop": timed(plain_epoch(X, 400, 20, "bernoulli", BATCH), args.epochs),
        "pythae": timed(pythae_epoch(X, 400, 20, "bernoulli", BATCH, folder), args.epochs),
        "matrix products alone": timed(products_epoch(len(X), 784, 400, 40, 20, BATCH), args.epochs),
    }
    if not args.bfloat16:
        del sides["skgen bfloat16"]
    table(f"784-400-20-400-784, Bernoulli, {len(X)} rows ({name}), batch {BATCH}", rounds(sides, args.rounds), "skgen")


def small(args, folder):
    """The workload of kernel calls: normal prior with each likelihood and objective."""
    n = args.small_epochs
    for likelihood in ("feature", "bernoulli"):
        X = small_table(10000, likelihood == "bernoulli")
        sides = {
            "skgen": skgen_epoch(estimator(64, 5, likelihood, n + 1, random_state=0), X),
            "plain torch loop": timed(plain_epoch(X, 64, 5, likelihood, BATCH), n),
            "pythae": timed(pythae_epoch(X, 64, 5, likelihood, BATCH, folder), n),
            "matrix products alone": timed(products_epoch(len(X), 30, 64, 10, 5, BATCH), n),
        }
        table(f"table 10000 x 30, hidden 64, latent 5, {likelihood}", rounds(sides, args.rounds), "skgen")
    cells = [(lik, obj) for lik in ("feature", "shared", "fixed", "network", "bernoulli") for obj in ("elbo", "iwae")]
    for likelihood, objective in cells[1:-2] + cells[-1:]:
        X = small_table(10000, likelihood == "bernoulli")
        n_draws = 5 if objective == "iwae" else 1
        parameters = {"objective": objective, "n_draws": n_draws, "random_state": 0}
        plain = plain_epoch(X, 64, 5, likelihood, BATCH, n_draws=n_draws, iwae=objective == "iwae")
        sides = {
            "skgen": skgen_epoch(estimator(64, 5, likelihood, n + 1, **parameters), X),
            "plain torch loop": timed(plain, n),
        }
        table(f"table 10000 x 30, {likelihood}, {objective} ({n_draws} draws)", rounds(sides, args.rounds), "skgen")


def cuda(args):
    """Both workloads on a GPU."""
    for rows, sizes, likelihood in ((60000, (400, 20), "bernoulli"), (10000, (64, 5), "feature")):
        X = images(rows)[0] if likelihood == "bernoulli" else small_table(rows, False)
        sides = {
            "skgen": skgen_epoch(estimator(*sizes, likelihood, 6, random_state=0, device="cuda"), X),
            "plain torch loop": timed(plain_epoch(X, *sizes, likelihood, BATCH, device="cuda"), 2),
        }
        seconds = rounds(sides, args.rounds)
        table(f"CUDA: {X.shape}, hidden and latent {sizes}, {likelihood}", seconds, "skgen")
        print(f"microseconds per step: {np.median(seconds['skgen']) / (-(-rows // BATCH)) * 1e6:.1f}")


def main():
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=60000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--small-epochs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=("large", "small", "cuda"))
    parser.add_argument("--bfloat16", action="store_true", help="add bfloat16, slow where the processor has none")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.simplefilter("ignore")
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        if args.only in (None, "large"):
            large(args, folder)
        if args.only in (None, "small"):
            small(args, folder)
    if torch.cuda.is_available() and args.only in (None, "cuda"):
        cuda(args)


if __name__ == "__main__":
    main()
