"""Test log-likelihood of restricted Boltzmann machines: exact on digits beside scikit-learn's, annealed on MNIST.

``digits``: scikit-learn's digits above one half, 16 hidden units, log Z by enumeration. Both sides choose among equally
many settings by the exact log-likelihood of a quarter of the training rows; settings whose fit takes more than 5 s of
processor time are out. Then 5 seeds on all training rows, the test rows once. The same with all bits flipped, at the
same settings.

``mnist``: 500 hidden units, persistent contrastive divergence, training rows 0 to 49999 redrawn from their grey levels
in every epoch, the learning rate falling linearly to zero; test rows binarised once (see _mnist.py). log Z by annealed
importance sampling with 10000 temperatures and 500 chains from units with the means of the data, and by the reverse
from chains that start at rows of the data. A figure is void where the two differ by more than 1 nat; the conservative
end is that of the larger log Z. Training is kept in the folder ``--state`` and goes on where it was stopped; a rerun
evaluates only what it has not. Published, in another protocol: -86.34 (Salakhutdinov and Murray 2008, CD-25,
https://doi.org/10.1145/1390156.1390266).
"""

import argparse
import itertools
import json
import pickle
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import _mnist
import numpy as np
from _timing import machine
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import BernoulliRBM

from skgen import RBM

# -- digits --------------------------------------------------------------------------------------------------

N_HIDDEN = 16
MOST_SECONDS = 5.0
RATES = {"skgen": (0.05, 0.1, 0.2), "scikit-learn": (0.005, 0.01, 0.02)}
LENGTHS = {
    "skgen": ((100, 10), (100, 20), (200, 20), (300, 50)),
    "scikit-learn": ((100, 10), (300, 10), (300, 20), (400, 10)),
}
"""Epochs and rows per batch."""


def candidates(side):
    """Settings of a side to choose from, its defaults first."""
    plain = RBM(N_HIDDEN) if side == "skgen" else BernoulliRBM(n_components=N_HIDDEN)
    epochs = "max_iter" if side == "skgen" else "n_iter"
    grid = itertools.product(RATES[side], LENGTHS[side])
    return [plain] + [
        clone(plain).set_params(**{"learning_rate": rate, epochs: n, "batch_size": size}) for rate, (n, size) in grid
    ]


def hidden_states(n_hidden):
    return (np.arange(2**n_hidden)[:, None] >> np.arange(n_hidden) & 1).astype(np.float64)


def exact_log_likelihood(rbm, X):
    """Mean log-likelihood of rows by enumeration of the hidden units, in plain NumPy for both sides."""
    W, b, a = (
        np.asarray(part, np.float64) for part in (rbm.components_, rbm.intercept_hidden_, rbm.intercept_visible_)
    )
    log_z = [logsumexp(h @ b + np.logaddexp(0, a + h @ W).sum(1)) for h in np.split(hidden_states(len(b)), 64)]
    return float(np.mean(X @ a + np.logaddexp(0, b + X @ W.T).sum(1)) - logsumexp(log_z))


def fitted(rbm, X, seed):
    """A fitted copy, and the seconds it took: of processor time, and by the clock."""
    rbm = clone(rbm).set_params(random_state=seed)
    start = time.process_time(), time.perf_counter()
    rbm.fit(X)
    return rbm, time.process_time() - start[0], time.perf_counter() - start[1]


def settings_of(rbm):
    """The settings that differ from the class's defaults."""
    default = type(rbm)().get_params()
    return ", ".join(f"{k}={v}" for k, v in rbm.get_params().items() if v != default[k] and k != "n_components")


def search(side, X):
    """The candidate with the best log-likelihood of validation rows."""
    train, validation = train_test_split(X, test_size=0.25, random_state=1)
    best = None, -np.inf
    for rbm in candidates(side):
        one, cpu, _ = fitted(rbm, train, 0)
        value = exact_log_likelihood(one, validation)
        in_time = cpu * 4 / 3 <= MOST_SECONDS  # the final fit has 4 / 3 as many rows
        note = "" if in_time else "   too slow"
        print(f"  {side:12} {settings_of(rbm) or 'defaults':50} {value:8.3f} {cpu:6.2f} s CPU{note}", flush=True)
        if in_time:
            best = max(best, (rbm, value), key=lambda pair: pair[1])
    if best[0] is None:
        raise SystemExit(f"No setting of {side} fits in {MOST_SECONDS} s here. With OMP_NUM_THREADS=1 no time is lost.")
    return best[0]


def report_digits(options):
    X = (load_digits().data / 16 > 0.5).astype(np.float64)
    train, test = train_test_split(X, test_size=0.2, random_state=0)
    print("validation log-likelihood of the candidates, trained on three quarters of the training rows")
    chosen = {side: search(side, train) for side in RATES}
    print(f"\ndigits, 16 hidden units: exact test log-likelihood, mean and sd of {options.seeds} seeds")
    for side, rbm in chosen.items():
        for label, one in ((settings_of(rbm), rbm), ("defaults", candidates(side)[0])):
            for bits, rows, held_out in (("", train, test), (", bits flipped", 1 - train, 1 - test)):
                runs = [fitted(one, rows, seed) for seed in range(options.seeds)]
                values = [exact_log_likelihood(run[0], held_out) for run in runs]
                cpu, wall = (np.median([run[i] for run in runs]) for i in (1, 2))
                print(
                    f"{side:12} {np.mean(values):8.3f} ({np.std(values, ddof=1):.3f})  {cpu:5.2f} s CPU, {wall:5.2f} s"
                    f"  {label}{bits}",
                    flush=True,
                )


# -- MNIST ---------------------------------------------------------------------------------------------------

SHOWN = (1, 2, 3, 5, 10, 20, 30, 50, 70, 100, 150, 200, 300, 400, 500, 700, 1000)
WIDEST = 1.0


@dataclass(frozen=True)
class Settings:
    """What training depends on; runs of other settings are kept apart."""

    epochs: int
    learning_rate: float
    momentum: float
    n_chains: int
    n_gibbs: int
    batch_size: int
    weight_decay: float
    seed: int
    n_components: int = 500

    @property
    def folder(self):
        """Name of the folder of a run."""
        return "-".join(str(value) for value in asdict(self).values())


def new_machine(settings, device):
    names = ("momentum", "n_chains", "n_gibbs", "batch_size", "weight_decay")
    return RBM(
        settings.n_components,
        method="pcd",
        learning_rate_schedule="constant",
        device=device,
        random_state=settings.seed,
        **{name: getattr(settings, name) for name in names},
    )


def save(path, content):
    """Write a file that is whole or not there."""
    new = path.with_suffix(".new")
    new.write_bytes(pickle.dumps(content))
    new.rename(path)


def begun(path, settings, device):
    """What a run has come to: the estimator, its epochs, and their seconds by the clock and of processor time."""
    if path.exists():
        return pickle.loads(path.read_bytes())
    return {"rbm": new_machine(settings, device), "epoch": 0, "seconds": 0.0, "cpu_seconds": 0.0}


def train(settings, folder, probabilities, options):
    """Train for as long as there is time; snapshots of the epochs shown are kept in the folder."""
    path, start = folder / "now.pickle", time.perf_counter()
    run = begun(path, settings, options.device)
    saved = time.perf_counter()
    while run["epoch"] < settings.epochs and time.perf_counter() - start < 60 * options.minutes:
        one_epoch(run, settings, probabilities)
        shown = run["epoch"] in SHOWN or run["epoch"] == settings.epochs
        if shown:
            save(folder / f"epoch-{run['epoch']:05d}.pickle", run)
        if shown or time.perf_counter() - saved > 60:
            save(path, run)
            saved = time.perf_counter()
            seconds, cpu_seconds = (run[name] / run["epoch"] for name in ("seconds", "cpu_seconds"))
            gap = run["rbm"].history_["energy_gap"][-1]
            print(
                f"epoch {run['epoch']}: {seconds:.2f} s, {cpu_seconds:.2f} s CPU per epoch; energy gap {gap:+.2f}",
                flush=True,
            )
    if run["epoch"]:
        save(path, run)


def one_epoch(run, settings, probabilities):
    """Train on one binarisation of the rows, at the learning rate of the epoch."""
    rows = np.random.default_rng([settings.seed, run["epoch"]]).random(probabilities.shape, np.float32) < probabilities
    run["rbm"].set_params(learning_rate=settings.learning_rate * (1 - run["epoch"] / settings.epochs))
    start = time.perf_counter(), time.process_time()
    run["rbm"].partial_fit(rows.astype(np.float32))
    run["seconds"] += time.perf_counter() - start[0]
    run["cpu_seconds"] += time.process_time() - start[1]
    run["epoch"] += 1


def evaluated(path, rows, options):
    """The record of a snapshot: log-likelihoods of rows by forward annealing, and on test rows the worst of both."""
    run = pickle.loads(path.read_bytes())
    rbm, start = run["rbm"], time.perf_counter()
    effort = {"n_temperatures": options.temperatures, "n_chains": options.ais_chains}
    found = rbm.log_partition("ais", X=rows["train"], random_state=run["epoch"], **effort)
    free = {name: float(rbm.free_energy(X).astype(np.float64).mean()) for name, X in rows.items()}
    return {
        **{name: run[name] for name in ("epoch", "seconds", "cpu_seconds")},
        **effort,
        "log_z": found.value,
        "log_z_upper": found.upper,
        "log_z_reverse": found.reverse,
        "effective_sample_size": found.effective_sample_size,
        **{name: -value - found.value for name, value in free.items()},
        "test_conservative": -free["test"] - max(found.upper, found.reverse),
        "evaluation_seconds": time.perf_counter() - start,
    }


def of_this_effort(path, options):
    """The records of as many temperatures and chains as asked for."""
    records = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    effort = (options.temperatures, options.ais_chains)
    return [record for record in records if (record["n_temperatures"], record["n_chains"]) == effort]


def report_mnist(options):
    mnist = _mnist.load()
    settings = Settings(
        options.epochs,
        options.learning_rate,
        options.momentum,
        options.chains,
        options.gibbs,
        options.batch,
        options.weight_decay,
        options.seed,
    )
    folder = options.state / settings.folder
    folder.mkdir(parents=True, exist_ok=True)
    print(settings, flush=True)
    probabilities = _mnist.training_rows(mnist)
    train(settings, folder, probabilities, options)
    rows = {
        "train": _mnist.binarised(mnist.train[:10_000], seed=2),
        "validation": _mnist.validation_rows(mnist),
        "test": _mnist.test_rows(mnist),
    }
    results = folder / "results.jsonl"
    for path in sorted(folder.glob("epoch-*.pickle")):
        epoch = int(path.stem.removeprefix("epoch-"))
        if epoch not in [record["epoch"] for record in of_this_effort(results, options)]:
            with results.open("a") as file:
                file.write(json.dumps(evaluated(path, rows, options)) + "\n")
    show_curve(of_this_effort(results, options))


def show_curve(records):
    print("\nnats per row; log Z by forward annealing, 'conservative' by the largest of its upper end and the reverse")
    print("epoch  CPU min    train  validation     test  conservative  reverse - forward log Z  effective sample size")
    for r in sorted(records, key=lambda record: record["epoch"]):
        gap = r["log_z_reverse"] - r["log_z"]
        print(
            f"{r['epoch']:5d} {r['cpu_seconds'] / 60:8.1f} {r['train']:8.2f} {r['validation']:11.2f} {r['test']:8.2f}"
            f" {r['test_conservative']:13.2f} {gap:+24.2f} {r['effective_sample_size']:22.1f}"
            + "   void"
            * (abs(gap) > WIDEST),
            flush=True,
        )


PARTS = {"digits": report_digits, "mnist": report_mnist}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=[], help=f"of {', '.join(PARTS)}; both when none is named")
    parser.add_argument("--seeds", type=int, default=5, help="of digits")
    mnist = parser.add_argument_group("mnist")
    mnist.add_argument("--device", default="cpu")
    mnist.add_argument("--minutes", type=float, default=60.0, help="of training in this run")
    mnist.add_argument("--epochs", type=int, default=500)
    mnist.add_argument("--learning-rate", type=float, default=0.05)
    mnist.add_argument("--momentum", type=float, default=0.0)
    mnist.add_argument("--chains", type=int, default=100)
    mnist.add_argument("--gibbs", type=int, default=1)
    mnist.add_argument("--batch", type=int, default=100)
    mnist.add_argument("--weight-decay", type=float, default=0.0)
    mnist.add_argument("--seed", type=int, default=0)
    mnist.add_argument("--temperatures", type=int, default=10_000, help="of annealing")
    mnist.add_argument("--ais-chains", type=int, default=500, help="of annealing, each way")
    mnist.add_argument("--state", type=Path, default=Path(__file__).parent / "state" / "rbm_likelihood")
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"parts are {', '.join(PARTS)}, got {', '.join(sorted(unknown))}")
    return options


def main():
    options = parse()
    warnings.filterwarnings("ignore", message="Constant column")
    print(machine(), flush=True)
    for part in options.parts or PARTS:
        PARTS[part](options)


if __name__ == "__main__":
    main()
