"""Test log-likelihood of a VAE on MNIST, and its learning curve beside a plain torch loop of the same model.

Dynamic binarisation, gated layers 2 x 300, 40 latent variables, Adam with step 5e-4, batches of 100, and a KL
weight that rises over the first ninth of the epochs, at most 100: the recipe of the published -84.45 +- 0.12 nats
(Exemplar VAE, 2020, https://arxiv.org/abs/2004.04795, where training ends after about 900 epochs). Weights are those
of the best validation epoch, patience is 50 epochs. log p(x) is importance-sampled with 5000 draws, by the same
estimator for both sides. On a CUDA device the default is that schedule in full; on a CPU it is a short one, which
shows nats against epochs and not the published figure.

The plain loop has the same layers, initial distribution, batch size, warm-up and stopping, and uses nn.Linear,
autograd and torch.optim.Adam. Trained models, results and the estimator's checkpoints are kept in the folder
``--state``: a rerun with the same options skips what is finished and continues what is not.
"""

import argparse
import copy
import json
import math
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import _mnist
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from skgen import VariationalAutoencoder
from skgen.callbacks import Checkpoint
from skgen.likelihoods import Bernoulli

PUBLISHED = "-84.45 +- 0.12 (about 900 epochs)"
N_LATENT, WIDTH, BATCH, RATE = 40, 300, 100, 5e-4
PATIENCE = 50
SHOWN = (1, 2, 3, 5, 7, 10, 15, 20, 30, 45, 70, 100, 150, 200, 300, 500, 700, 1000, 1500, 2000)


@dataclass(frozen=True)
class Settings:
    """What a result depends on; results of other settings are never mixed."""

    epochs: int
    warm_up: int
    device: str
    threads: int
    rows_train: int


@dataclass
class Trained:
    """A trained model: weights as the estimator names them, and for each epoch its validation ELBO and times."""

    weights: dict[str, np.ndarray]
    curve: list[float]
    seconds: list[float]
    cpu_seconds: list[float]


# -- the estimator -------------------------------------------------------------------------------------------


class Clock:
    """Times of epochs, validation included: seconds, and seconds of processor time, which others cannot lengthen."""

    def __init__(self):
        self.seconds, self.cpu_seconds = [], []
        self.begin()

    def begin(self):
        """Start the first epoch."""
        self._last = time.perf_counter(), time.process_time()

    def tick(self):
        """End an epoch and start the next."""
        before = self._last
        self.begin()
        self.seconds.append(self._last[0] - before[0])
        self.cpu_seconds.append(self._last[1] - before[1])

    def setup(self, estimator, context):
        """Nothing to prepare."""

    def teardown(self, estimator, context):
        """Nothing to clean."""

    def on_fit_task_begin(self, estimator, context):
        """Start with the fit."""
        if context.task_name != "epoch":
            self.begin()

    def on_fit_task_end(self, estimator, context):
        """Take the time of an epoch."""
        if context.task_name == "epoch":
            self.tick()


def estimator(settings, seed, **changes):
    return VariationalAutoencoder(
        N_LATENT,
        likelihood=Bernoulli(binarize="dynamic"),
        hidden_layer_sizes=(WIDTH, WIDTH),
        activation="gated",
        kl_warmup=settings.warm_up,
        learning_rate=RATE,
        batch_size=BATCH,
        max_iter=settings.epochs,
        tol=0.0,
        n_iter_no_change=PATIENCE,
        early_stopping=True,
        device=settings.device,
        random_state=seed,
    ).set_params(**changes)


def train_ours(settings, seed, X, X_val, folder):
    clock = Clock()
    checkpoint = Checkpoint(folder / "checkpoints", every=10)
    vae = estimator(settings, seed).set_callbacks(clock, checkpoint).fit(X, X_val=X_val)
    return Trained(vae.weights_, vae.history_["validation_elbo"], clock.seconds, clock.cpu_seconds)


def with_weights(weights, settings):
    """An estimator that has the given weights: fitted for a moment, then its weights replaced."""
    few = np.random.default_rng(0).random((BATCH, 784), dtype=np.float32)
    vae = estimator(settings, 0, max_iter=1, kl_warmup=0, early_stopping=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Posterior collapse")
        vae.fit(few)
    vae.weights_ = {name: np.ascontiguousarray(weights.get(name, value)) for name, value in vae.weights_.items()}
    return copy.deepcopy(vae)  # a copy holds no module built from other weights


# -- the plain loop ------------------------------------------------------------------------------------------


class GatedLinear(nn.Module):
    """A linear map times the sigmoid of another."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.value = nn.Linear(n_inputs, n_outputs)
        self.gate = nn.Linear(n_inputs, n_outputs)

    def forward(self, x):
        """The product."""
        return self.value(x) * torch.sigmoid(self.gate(x))


def perceptron(n_inputs, n_outputs):
    return nn.Sequential(GatedLinear(n_inputs, WIDTH), GatedLinear(WIDTH, WIDTH), nn.Linear(WIDTH, n_outputs))


class PlainVAE(nn.Module):
    """The same model as anybody would write it."""

    def __init__(self, mean):
        super().__init__()
        self.encoder = perceptron(784, 2 * N_LATENT)
        self.decoder = perceptron(N_LATENT, 784)
        with torch.no_grad():
            self.decoder[-1].bias.copy_(torch.logit(mean.clamp(1e-3, 1 - 1e-3)))

    def forward(self, x, noise):
        """Reconstruction and KL of each row."""
        mean, log_variance = self.encoder(x).chunk(2, -1)
        logits = self.decoder(mean + torch.exp(0.5 * log_variance) * noise)
        reconstruction = -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(-1)
        return reconstruction, kl

    def weights(self):
        """Weights under the names and in the layout of the estimator."""
        named = {}
        for part in ("encoder", "decoder"):
            for i, layer in enumerate(getattr(self, part)):
                halves = [layer.value, layer.gate] if isinstance(layer, GatedLinear) else [layer]
                weight, bias = (torch.cat([getattr(half, name) for half in halves]) for name in ("weight", "bias"))
                named[f"{part}.layers.{i}.weight"] = weight.detach().t().cpu().numpy().copy()
                named[f"{part}.layers.{i}.bias"] = bias.detach().cpu().numpy().copy()
        return named


def plain_epoch(model, optimizer, X, beta):
    for index in torch.randperm(len(X), device=X.device).split(BATCH):
        x = torch.bernoulli(X[index])
        optimizer.zero_grad()
        reconstruction, kl = model(x, torch.randn(len(x), N_LATENT, device=x.device))
        (beta * kl - reconstruction).mean().backward()
        optimizer.step()


@torch.no_grad()
def plain_elbo(model, X, noise):
    total = 0.0
    for x, e in zip(X.split(1000), noise.split(1000), strict=True):
        reconstruction, kl = model(x, e)
        total += float((reconstruction - kl).double().sum())
    return total / len(X)


def train_plain(settings, seed, X, X_val, folder):
    torch.manual_seed(seed)
    X, X_val = (torch.from_numpy(rows).to(settings.device) for rows in (X, X_val))
    noise = torch.randn(len(X_val), N_LATENT, device=X.device)
    model = PlainVAE(X.mean(0).cpu()).to(X.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    curve, weights, clock = [], {}, Clock()
    for epoch in range(settings.epochs):
        plain_epoch(model, optimizer, X, min(1.0, (epoch + 1) / settings.warm_up))
        curve.append(plain_elbo(model, X_val, noise))
        best = int(np.argmax(curve))
        weights = model.weights() if best == epoch else weights
        clock.tick()
        if epoch - max(best, settings.warm_up - 1) >= PATIENCE:
            break
    return Trained(weights, curve, clock.seconds, clock.cpu_seconds)


TRAIN = {"ours": train_ours, "plain": train_plain}


# -- results kept between runs -------------------------------------------------------------------------------


def trained_model(side, settings, seed, folder, X, X_val):
    """The trained model of a side and seed, from the folder where it is there."""
    key = "-".join(str(value).replace(":", "") for value in (side, seed, *asdict(settings).values()))
    path = folder / f"{key}.npz"
    lists = ("curve", "seconds", "cpu_seconds")
    if not path.exists():
        trained = TRAIN[side](settings, seed, X, X_val, folder)
        new = path.with_suffix(".new.npz")
        np.savez(new, **{name: getattr(trained, name) for name in lists}, **trained.weights)
        new.rename(path)
        print(f"seed {seed}, {side}: validation ELBO {max(trained.curve):.2f}", flush=True)
    with np.load(path) as data:
        weights = {name: data[name] for name in data.files}
    return Trained(**{name: weights.pop(name).tolist() for name in lists}, weights=weights)


def read_records(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def measure(side, seed, trained, settings, options, X_test):
    """The record of a side and seed: read, or evaluated and appended to the file of results."""
    key = asdict(settings) | {"side": side, "seed": seed, "rows_test": len(X_test), "draws": options.draws}
    path = options.state / "results.jsonl"
    for record in read_records(path):
        if all(record[name] == value for name, value in key.items()):
            return record
    start = time.perf_counter()
    vae = with_weights(trained.weights, settings)
    rows = vae.log_likelihood(X_test, n_draws=options.draws, random_state=seed).astype(np.float64)
    record = key | {
        "log_likelihood": rows.mean(),
        "rows_standard_error": rows.std() / math.sqrt(len(rows)),
        "evaluation_seconds": time.perf_counter() - start,
        "best_epoch": int(np.argmax(trained.curve)) + 1,
        "curve": trained.curve,
        "seconds": trained.seconds,
        "cpu_seconds": trained.cpu_seconds,
        "torch": torch.__version__,
    }
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")
    print(f"seed {seed}, {side}: test log-likelihood {record['log_likelihood']:.2f}", flush=True)
    return record


# -- report --------------------------------------------------------------------------------------------------


def mean_and_error(values):
    """Mean over seeds and its standard error, nan for a single seed."""
    spread = np.std(values, ddof=1) if len(values) > 1 else math.nan
    return np.mean(values), spread / math.sqrt(len(values))


def report_curves(sides):
    n_epochs = min(len(one.curve) for many in sides.values() for one in many)
    curves = {side: np.array([one.curve[:n_epochs] for one in many]) for side, many in sides.items()}
    both = len(curves) == len(TRAIN)
    print("\nvalidation ELBO, nats per row, mean over seeds")
    print("epoch" + "".join(f"{side:>10}" for side in curves) + "   ours - plain (standard error)" * both)
    for epoch in [epoch for epoch in SHOWN if epoch < n_epochs] + [n_epochs]:
        line = f"{epoch:5d}" + "".join(f"{curve[:, epoch - 1].mean():10.2f}" for curve in curves.values())
        if both:
            mean, error = mean_and_error((curves["ours"] - curves["plain"])[:, epoch - 1])
            line += f"   {mean:+.3f} ({error:.3f})"
        print(line)
    if both:
        mean, error = mean_and_error((curves["ours"] - curves["plain"]).mean(1))
        print(f"ours - plain, mean over all {n_epochs} epochs: {mean:+.3f} ({error:.3f})")
    print("\nside   s/epoch   CPU s/epoch (medians)   epochs run")
    for side, many in sides.items():
        wall, cpu = (np.median(np.concatenate([getattr(one, n) for one in many])) for n in ("seconds", "cpu_seconds"))
        print(
            f"{side:6} {wall:7.2f} {cpu:13.2f} {'':21} {', '.join(str(len(one.curve)) for one in many)}",
            flush=True,
        )


def report_likelihood(sides):
    print("\nside   test log-likelihood: mean, sd over seeds; each seed (best epoch)")
    for side, records in sides.items():
        values = [record["log_likelihood"] for record in records]
        mean, error = mean_and_error(values)
        each = ", ".join(f"{record['log_likelihood']:.2f} ({record['best_epoch']})" for record in records)
        print(f"{side:6} {mean:.2f}, {error * math.sqrt(len(values)):.2f}; {each}")
    if len(sides) == len(TRAIN):
        pairs = zip(sides["ours"], sides["plain"], strict=True)
        mean, error = mean_and_error([a["log_likelihood"] - b["log_likelihood"] for a, b in pairs])
        print(f"ours - plain: {mean:+.3f} ({error:.3f})")
    first = next(iter(sides.values()))[0]
    print(
        f"on the first {first['rows_test']} test rows with {first['draws']} draws; the rows' own standard error is "
        f"{first['rows_standard_error']:.2f}; published, on all rows: {PUBLISHED}"
    )


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--epochs", type=int, help="most epochs (2000 on CUDA, 27 on a CPU)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--sides", nargs="+", choices=TRAIN, default=list(TRAIN))
    parser.add_argument("--draws", type=int, default=5000)
    parser.add_argument("--rows-train", type=int, default=_mnist.N_TRAIN, help="fewer for a trial")
    parser.add_argument("--rows-test", type=int, help="first test rows to evaluate (10000 on CUDA, 2000 on a CPU)")
    parser.add_argument("--state", type=Path, default=Path(__file__).parent / "state" / "vae_likelihood")
    options = parser.parse_args()
    options.epochs = options.epochs or (27 if options.device == "cpu" else 2000)
    options.rows_test = options.rows_test or (2000 if options.device == "cpu" else 10_000)
    return options


def main():
    options = parse()
    warnings.filterwarnings("ignore", message="Constant column")  # the border of every image
    warnings.filterwarnings("ignore", message="The best epoch is the last")  # what a short schedule means
    mnist = _mnist.load()
    X, X_val = _mnist.training_rows(mnist)[: options.rows_train], _mnist.validation_rows(mnist)
    X_test = _mnist.test_rows(mnist)[: options.rows_test]
    warm_up = max(1, min(100, round(options.epochs / 9)))
    settings = Settings(options.epochs, warm_up, options.device, torch.get_num_threads(), len(X))
    print(settings, flush=True)
    options.state.mkdir(parents=True, exist_ok=True)
    trained = {side: [] for side in options.sides}
    for seed in options.seeds:
        for side in options.sides:
            trained[side].append(trained_model(side, settings, seed, options.state, X, X_val))
    report_curves(trained)
    measured = {side: [] for side in options.sides}
    for i, seed in enumerate(options.seeds):
        for side in options.sides:
            measured[side].append(measure(side, seed, trained[side][i], settings, options, X_test))
    report_likelihood(measured)


if __name__ == "__main__":
    main()
