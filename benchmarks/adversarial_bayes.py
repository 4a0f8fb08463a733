"""Posteriors of AdversarialVariationalBayes beside the exact ones, and its bound on MNIST beside a VAE's.

``conjugate``: 4 columns of a linear model with 2 latent variables, of whose entries 30 % are missing at random. With a
linear decoder the exact posterior of a row, given the decoder that was learnt, is normal, and correlated by what is
missing. ``two-modes``: rows t^2 - 1 with noise of 0.2, so that t is known but for its sign; one latent variable, and
the decoder z^2 - 1 is given, but not the noise. ``two-modes-learnt``: rows (t, t^2 - 1) with that noise, half of which
lack the first column, and a decoder that is learnt too. The KL divergence from q(z | x) to the exact posterior is that
of the masses of cells of a grid, from 200000 draws, less the mean error of such an estimate, (cells with draws - 1) / 2
per draw. Beside it stands the least KL that a normal distribution with independent components has for the same exact
posterior: in closed form, or by a search on the grid. Models are fitted to 4000 rows; rows to report on are others.

``mnist``: 32 latent variables, binarised anew in every epoch, networks of 300 and 300 units, step sizes that fall along
a cosine. Posteriors have shapes of their own in the second half of the epochs. The log-likelihood of test rows is
annealed from a normal distribution, by the same estimator for both models. The schedule is short beside the published
one of about 6000 epochs, and what it is is printed.

Finished cells are kept in the folder ``--state``, and a rerun skips them.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
from scipy.stats import norm
from torch import nn

from skgen import AdversarialVariationalBayes, VariationalAutoencoder
from skgen.likelihoods import Bernoulli

N_TRAIN, N_DRAWS = 4000, 200_000
REACH, CELLS_1D, CELLS_2D = 6.0, 600, 60
COMMON = {"hidden_layer_sizes": (64, 64), "learning_rate": 2e-3, "learning_rate_schedule": "cosine"}


def linear_rows(n_rows, source):
    """Rows of a linear model with 2 latent variables, 30 % of whose entries are missing."""
    loading = np.array([[1.0, 0.8, 0.0, -0.5], [0.0, 0.6, 1.0, 0.7]])
    X = source.normal(size=(n_rows, 2)) @ loading + 0.5 * source.normal(size=(n_rows, 4))
    X[source.random(X.shape) < 0.3] = np.nan
    return X[~np.isnan(X).all(axis=1)]


def squared_rows(n_rows, source):
    """Rows t^2 - 1 with noise."""
    return (source.normal(size=n_rows) ** 2 - 1 + 0.2 * source.normal(size=n_rows))[:, None]


class Square(nn.Module):
    """The decoder z^2 - 1, in standardised units."""

    def __init__(self, shift, scale):
        super().__init__()
        self.shift, self.scale = shift, scale

    def forward(self, z):
        """Means of rows for latent variables (..., 1)."""
        return (z**2 - 1 - self.shift) / self.scale


def known_decoder(X):
    """Networks whose decoder is given, for training rows X."""

    def encoder(n_inputs, n_outputs):
        layers = nn.Linear(n_inputs, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, n_outputs)
        return nn.Sequential(*layers)

    return {"network": (encoder, lambda n_inputs, n_outputs: Square(X.mean(), X.std())), "hidden_layer_sizes": None}


def curved_rows(n_rows, source):
    """Rows (t, t^2 - 1) with noise, half of which lack the first column."""
    t = source.normal(size=n_rows)
    X = np.column_stack([t, t**2 - 1]) + 0.2 * source.normal(size=(n_rows, 2))
    X[source.random(n_rows) < 0.5, 0] = np.nan
    return X


def divergence(counts, log_mass):
    """KL from a sample's shares of cells to the masses of the cells, less the mean error of the estimate."""
    n, hit = counts.sum(), counts > 0
    share = counts[hit] / n
    return float(share @ (np.log(share) - log_mass[hit]) - (hit.sum() - 1) / (2 * n))


# -- exact posteriors -------------------------------------------------------------------------------------------------


def normal_posterior(model, x):
    """Mean and precision of p(z | x) of a row under a linear decoder, entries that are NaN left out."""
    seen, d = ~np.isnan(x), model.n_components
    bias, *ends = model.inverse_transform(np.vstack([np.zeros(d), np.eye(d)]))
    loading, noise = (np.array(ends) - bias)[:, seen], model.noise_variance_[seen]
    precision = np.eye(d) + loading / noise @ loading.T
    return np.linalg.solve(precision, loading @ ((x - bias)[seen] / noise)), precision


def conjugate_row(model, x, z):
    """KL of draws z (draws, 2) of a row, and the least of a normal distribution with independent components."""
    mean, precision = normal_posterior(model, x)
    standard = (z - mean) @ np.linalg.cholesky(precision)  # N(0, I) if the draws are exact
    edges = np.concatenate([[-np.inf], np.linspace(-REACH, REACH, CELLS_2D + 1)[1:-1], [np.inf]])
    counts = np.histogram2d(*standard.T, bins=[edges, edges])[0]
    log_mass = np.log(np.diff(norm.cdf(edges)))
    least = 0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1])
    return divergence(counts.ravel(), (log_mass[:, None] + log_mass).ravel()), float(least)


def log_masses(model, x, z):
    """Logarithms of the masses of p(z | x) in cells about the points z (cells,) of one latent variable."""
    seen = ~np.isnan(x)
    mean = model.inverse_transform(z[:, None])[:, seen]
    log_joint = norm.logpdf(x[seen], mean, np.sqrt(model.noise_variance_[seen])).sum(1) + norm.logpdf(z)
    return log_joint - np.logaddexp.reduce(log_joint)


def two_modes_row(model, x, z):
    """As :func:`conjugate_row`, for one latent variable."""
    edges = np.linspace(-REACH, REACH, CELLS_1D + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    log_mass = log_masses(model, x, centres)
    counts = np.histogram(z[:, 0].clip(-REACH, REACH), edges)[0]
    return divergence(counts, log_mass), _least_normal(edges, log_mass)


def _least_normal(edges, log_mass):
    """Least KL of a normal distribution to masses of cells, over means and deviations on a grid."""
    best = np.inf
    for deviation in np.geomspace(0.02, 2, 60):
        for mean in np.linspace(-3, 3, 121):
            mass = np.diff(norm.cdf(edges, mean, deviation))
            hit = mass > 0
            best = min(best, float(mass[hit] @ (np.log(mass[hit]) - log_mass[hit])))
    return best


# -- cells ------------------------------------------------------------------------------------------------------------

CURVE = {"n_components": 1, "n_noise": 2}
ANNEALED = {"kl_schedule": "annealed", "kl_warmup": 0.5, "n_adversary_steps": 4}
PROBLEMS = {
    "conjugate": (linear_rows, conjugate_row, {"n_components": 2, "decoder_hidden_layer_sizes": ()}),
    "two-modes": (squared_rows, two_modes_row, CURVE | ANNEALED),
    "two-modes-learnt": (curved_rows, two_modes_row, CURVE),
}


def posterior_cell(name, seed, epochs, n_rows):
    """A fit, and the KL of the posteriors of some rows that it has not seen."""
    make, compare, options = PROBLEMS[name]
    source = np.random.default_rng(1000 + seed)
    options = {**COMMON, **options, "max_iter": epochs, "n_iter_no_change": np.inf, "random_state": seed}
    train = make(N_TRAIN, source)
    if name == "two-modes":
        options |= known_decoder(train)
    start = time.process_time()
    model = AdversarialVariationalBayes(**options).fit(train)
    seconds = time.process_time() - start
    X = make(40 * n_rows, source)
    if name != "conjugate":  # with a sign that is not known
        X = X[(np.isnan(X[:, 0]) | (X.shape[1] == 1)) & (X[:, -1] > 0)]
    found = []
    for x in X[:n_rows]:
        z = model.sample_posterior(x[None], N_DRAWS, random_state=0)[:, 0]
        found.append(compare(model, x, z.astype(np.float64)))
    kl, least = np.array(found).T
    score = model.score(make(2000, source))
    return {
        "kl": list(kl),
        "normal": list(least),
        "pseudo": model.pseudo_elbo_,
        "score": score,
        "cpu_seconds": seconds,
    }


def mnist_cell(name, seed, epochs, n_rows):
    """A fit to MNIST, and annealed log-likelihoods of test rows."""
    import _mnist

    mnist = _mnist.load()
    options = {
        "n_components": 32,
        "likelihood": Bernoulli(binarize="dynamic"),
        "hidden_layer_sizes": (300, 300),
        "max_iter": epochs,
        "n_iter_no_change": np.inf,
        "learning_rate": 5e-4,
        "learning_rate_schedule": "cosine",
        "random_state": seed,
    }
    if name == "avb":
        model = AdversarialVariationalBayes(**options, shape_warmup=0.5)
    else:
        model = VariationalAutoencoder(**options)
    start = time.process_time()
    model.fit(_mnist.training_rows(mnist))
    seconds = time.process_time() - start
    rows = _mnist.test_rows(mnist)[:n_rows]
    annealed, std = model.log_likelihood(rows, method="ais", n_temperatures=500, random_state=0, return_std=True)
    return {
        "ais": float(annealed.mean()),
        "rows": annealed.tolist(),
        "error": float(annealed.std(ddof=1) / len(rows) ** 0.5),
        "annealing_error": float(np.sqrt(np.square(std).sum()) / len(rows)),
        "score": model.score(rows),
        "training": model.pseudo_elbo_ if name == "avb" else model.history_["elbo"][-1],
        "cpu_seconds": seconds,
    }


class State:
    """Results of finished cells, in a file."""

    def __init__(self, folder):
        self.path = Path(folder) / "adversarial_bayes.json"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.cells = json.loads(self.path.read_text()) if self.path.exists() else {}

    def __call__(self, function, *arguments):
        """What a function gives, from the file where it is there."""
        key = json.dumps([function.__name__, *arguments])
        if key not in self.cells:
            self.cells[key] = function(*arguments)
            self.path.write_text(json.dumps(self.cells))
        return self.cells[key]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[*PROBLEMS, "mnist"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--rows", type=int, default=20, help="rows to report on; of mnist 10 times as many")
    parser.add_argument("--state", default="adversarial_bayes_state")
    options = parser.parse_args()
    state = State(options.state)
    warnings.filterwarnings("ignore", category=UserWarning)
    for name in PROBLEMS if options.only is None else [options.only]:
        for seed in options.seeds:
            if name == "mnist":
                rows = {}
                for side in ("vae", "avb"):
                    cell = dict(state(mnist_cell, side, seed, options.epochs, 10 * options.rows))
                    rows[side] = cell.pop("rows")
                    print(f"mnist {side} seed {seed}, {options.epochs} epochs: {cell}", flush=True)
                above = np.subtract(rows["avb"], rows["vae"])
                print(f"difference {above.mean():.3f}, standard error {above.std(ddof=1) / len(above) ** 0.5:.3f}")
                continue
            cell = state(posterior_cell, name, seed, options.epochs, options.rows)
            kl, normal = np.array(cell["kl"]), np.array(cell["normal"])
            print(
                f"{name} seed {seed}, {options.epochs} epochs: KL {kl.mean():.4f} (largest {kl.max():.4f}), least of a "
                f"normal {normal.mean():.4f}; score {cell['score']:.3f}, pseudo {cell['pseudo']:.3f}, "
                f"{cell['cpu_seconds']:.0f} s of processor time",
                flush=True,
            )


if __name__ == "__main__":
    main()
