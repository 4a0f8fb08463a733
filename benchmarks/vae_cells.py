"""Test log-likelihood on MNIST of objectives and priors of the VAE, all else equal.

Dynamic binarisation, gated layers 2 x 300, 40 latent variables, batches of 100: the networks of the published figures,
which are of about 900 epochs each (Tomczak and Welling 2018, https://arxiv.org/abs/1705.07120; Tucker et al. 2019,
https://arxiv.org/abs/1810.04152). On a CUDA device the default is 900 epochs with Adam at 5e-4 and the weights of the
best validation epoch. On a CPU it is a **short schedule**: the same number of epochs for each cell, Adam at 1e-3 that
falls to zero along a cosine, and the last weights. It shows which cell is ahead at equal epochs, not the published
figures. Test rows are scored once, by importance sampling.

Results are appended to a file in the folder ``--state``; a rerun with the same options skips what is there, and an
interrupted fit goes on from its checkpoint.
"""

import argparse
import json
import math
import time
import warnings
from pathlib import Path

import _mnist
import numpy as np
import torch

from skgen import VariationalAutoencoder
from skgen.callbacks import Checkpoint
from skgen.likelihoods import Bernoulli
from skgen.priors import Vamp

CELLS = {
    "vae": ({}, "-84.45"),
    "iwae-5": ({"objective": "iwae", "n_draws": 5}, "-83.37"),
    "vamp-500": ({"prior": Vamp(500)}, "-82.29"),
    "vamp-500-iwae-5": ({"prior": Vamp(500), "objective": "iwae", "n_draws": 5}, "none"),
    "iwae-50": ({"objective": "iwae", "n_draws": 50}, "-82.88"),
}
"""Parameters of each cell, and the published figure after about 900 epochs."""


def estimator(cell, seed, options):
    short = options.device == "cpu"
    return VariationalAutoencoder(
        40,
        likelihood=Bernoulli(binarize="dynamic"),
        hidden_layer_sizes=(300, 300),
        activation="gated",
        learning_rate=1e-3 if short else 5e-4,
        learning_rate_schedule="cosine" if short else "constant",
        kl_warmup=max(1, options.epochs // 9),
        batch_size=100,
        max_iter=options.epochs,
        tol=0.0,
        n_iter_no_change=options.epochs if short else 50,
        early_stopping=not short,
        device=options.device,
        random_state=seed,
        **CELLS[cell][0],
    )


def measured(cell, seed, options, data):
    """The record of a cell and seed, as plain values."""
    X, X_val, X_test = data
    checkpoint = Checkpoint(options.state / "checkpoints" / f"{cell}-{seed}", every=1)
    start, start_cpu = time.perf_counter(), time.process_time()
    vae = estimator(cell, seed, options).set_callbacks(checkpoint).fit(X, X_val=X_val)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
    rows = vae.log_likelihood(X_test, n_draws=options.draws, random_state=seed).astype(np.float64)
    return {
        "log_likelihood": float(rows.mean()),
        "rows_standard_error": float(rows.std() / math.sqrt(len(rows))),
        "elbo": float(vae.elbo(X_test)["elbo"].mean()),
        "n_active_units": vae.n_active_units_,
        "history": {name: values for name, values in vae.history_.items() if name != "learning_rate"},
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "torch": torch.__version__,
    }


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def report(path, options):
    """A line for each cell: mean over seeds, their standard deviation, and each."""
    print(f"\n{'cell':18} {'mean':>8} {'sd':>6}  published  each seed (ELBO, CPU minutes)")
    for cell, (_, published) in CELLS.items():
        found = [r for r in records(path) if r["cell"] == cell and all(r[n] == v for n, v in key(options).items())]
        if not found:
            continue
        values = [r["log_likelihood"] for r in found]
        spread = np.std(values, ddof=1) if len(values) > 1 else math.nan
        each = ", ".join(f"{r['log_likelihood']:.2f} ({r['elbo']:.2f}, {r['cpu_seconds'] / 60:.0f})" for r in found)
        print(f"{cell:18} {np.mean(values):8.2f} {spread:6.2f}  {published:>9}  {each}", flush=True)


def key(options):
    """What a record depends on besides cell and seed."""
    names = ("epochs", "device", "rows_train", "rows_test", "draws")
    return {name: getattr(options, name) for name in names}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--epochs", type=int, help="900 on CUDA, 10 on a CPU")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument("--draws", type=int, help="5000 on CUDA, 1000 on a CPU")
    parser.add_argument("--rows-train", type=int, default=_mnist.N_TRAIN)
    parser.add_argument("--rows-test", type=int, help="10000 on CUDA, 2000 on a CPU")
    parser.add_argument("--state", type=Path, default=Path(__file__).parent / "state" / "vae_cells")
    options = parser.parse_args()
    on_cpu = options.device == "cpu"
    for name, (short, full) in {"epochs": (10, 900), "draws": (1000, 5000), "rows_test": (2000, 10_000)}.items():
        if getattr(options, name) is None:
            setattr(options, name, short if on_cpu else full)
    return options


def main():
    options = parse()
    warnings.filterwarnings("ignore", message="Constant column")  # the border of every image
    mnist = _mnist.load()
    X_val = None if options.device == "cpu" else _mnist.validation_rows(mnist)
    data = _mnist.training_rows(mnist)[: options.rows_train], X_val, _mnist.test_rows(mnist)[: options.rows_test]
    options.state.mkdir(parents=True, exist_ok=True)
    path = options.state / "results.jsonl"
    print(f"{key(options)}, torch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
    for seed in options.seeds:
        for cell in options.cells:
            wanted = key(options) | {"cell": cell, "seed": seed}
            if not any(all(r[n] == v for n, v in wanted.items()) for r in records(path)):
                record = wanted | measured(cell, seed, options, data)
                with path.open("a") as file:
                    file.write(json.dumps(record) + "\n")
        report(path, options)


if __name__ == "__main__":
    main()
