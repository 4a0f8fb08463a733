"""Solvers of the E- and M-steps of AmortizedLatentModel: the bound against evaluations of the loss and seconds.

scikit-learn's digits without columns that are nearly always blank, dequantised; fewer than 2000 parameters. The model
"linear" has eight units of one latent variable, linear encoders and decoders and one variance, so that its optimum is
known: that of probabilistic PCA. "tanh" has two units with layers of 4 and a variance for each column; there every side
has an optimum of its own. The latent generator is normal. Every side has all rows in each step,
except "adam, batches". An evaluation is that of a loss with its gradient on all rows (on a part of them, that part of
one); a product of newton-cg with the Hessian is two. The bound is that of the training rows at one block of noise that
no side has seen, and the time that it takes does not count. Adam stands for the best of three learning rates by the
last bound; which it is is said. All sides start from the same weights and have the same number of seconds of a
processor, on one thread.
"""

import argparse
import math
import time
import warnings

import numpy as np
import torch
from _timing import machine
from sklearn.datasets import load_digits

from skgen import AmortizedLatentModel, ProbabilisticPCA
from skgen.distributions.normal import antithetic_normal
from skgen.estimators._variational_em import CompleteLoss, VariationalLoss
from skgen.likelihoods import Gaussian

RATES = (1e-3, 3e-3, 1e-2)
SIDES = {f"adam, all rows, {rate:g}": {"learning_rate": rate, "batch_size": None} for rate in RATES}
SIDES |= {f"adam, batches, {rate:g}": {"learning_rate": rate, "batch_size": 128} for rate in RATES}
SIDES |= {
    solver: {"e_solver": solver, "m_solver": solver, "n_e_steps": 5, "n_m_steps": 5}
    for solver in ("cg", "newton-cg", "bfgs", "lbfgs")
}
NOISE = 64
"""Draws in the block that bounds are compared at."""


class Counted:
    """Counts evaluations of losses, in passes over all rows."""

    def __init__(self, n_rows):
        self.n_rows, self.passes, self.wrapped = n_rows, 0.0, {}

    def __enter__(self):
        for kind in (VariationalLoss, CompleteLoss):
            self.wrapped[kind] = kind.__call__
            kind.__call__ = self._counting(kind.__call__)
        return self

    def _counting(self, call):
        def counting(loss, batch, generator):
            self.passes += len(batch.x) / self.n_rows
            return call(loss, batch, generator)

        return counting

    def __exit__(self, *error):
        for kind, call in self.wrapped.items():
            kind.__call__ = call


class Curve:
    """A callback that takes the bound after every so many seconds of a fit, and ends it when its time is over."""

    def __init__(self, X, counted, seconds):
        self.X, self.counted, self.seconds = X, counted, seconds
        self.begun, self.measuring, self.points = None, 0.0, []

    def setup(self, estimator, context):
        """Nothing."""

    def teardown(self, estimator, context):
        """Nothing."""

    def on_fit_task_begin(self, estimator, context, **hooks):
        """Start the clock when there is a model."""
        if self.begun is None and context.task_name == "epoch":
            self.begun = time.process_time()

    def on_fit_task_end(self, estimator, context, **hooks):
        """Take a point, and say whether the time is over."""
        if context.task_name != "epoch":
            return False
        now = time.process_time()
        elapsed = now - self.begun - self.measuring
        if not self.points or elapsed > 1.05 * self.points[-1][1]:
            run = estimator._runtime.run
            self.points.append((self.counted.passes, elapsed, self._bound(run.model)))
            self.measuring += time.process_time() - now
        return elapsed > self.seconds

    def _bound(self, model):
        with torch.no_grad():
            x = model.standardize(torch.from_numpy(self.X).to(model.scale))
            block = antithetic_normal(NOISE, model.posterior.n_noise, torch.Generator().manual_seed(999))
            terms = model.terms(x, block.to(x).unsqueeze(1))
            rows = terms.mean_log_likelihood() - terms.kl_per_row()
            return float(rows.mean() + model.log_jacobian)


def digits():
    X = load_digits().data
    X = (X + np.random.default_rng(0).random(X.shape)) / 17
    return X[:, X.std(0) > 1 / 17]  # columns that are nearly always blank are noise


MODELS = {
    "linear": {"n_units": 8, "hidden_layer_sizes": (), "likelihood": Gaussian("shared")},
    "tanh": {"n_units": 2, "hidden_layer_sizes": 4},
}


def curve(X, options, parameters, seed):
    """Points (passes, seconds, bound) of a side, and its number of parameters."""
    model = AmortizedLatentModel(
        **MODELS[options.model],
        unit_size=1,
        latent_generator="normal",
        activation="tanh",
        precision="float64",
        max_iter=10**6,
        tol=0.0,
        n_iter_no_change=math.inf,
        random_state=seed,
        **parameters,
    )
    with Counted(len(X)) as counted:
        taken = Curve(X, counted, options.seconds)
        model.set_callbacks(taken).fit(X)
    standardisation = ("shift", "scale", "input_scale", "input_ratio", "fill")
    n_parameters = sum(value.size for name, value in model.weights_.items() if name not in standardisation)
    return taken.points, n_parameters


def first(points, bound, column):
    """Passes or seconds after which a bound was first reached."""
    return next((point[column] for point in points if point[2] >= bound), math.inf)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="linear")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    X = digits()
    torch.set_num_threads(1)
    print(machine(), flush=True)
    for seed in options.seeds:
        found = {}
        for name in options.sides:
            parameters = SIDES[name]
            found[name], n_parameters = curve(X, options, parameters, seed)
        best = max(points[-1][2] for points in found.values())
        if options.model == "linear":
            print(f"\nprobabilistic PCA: {ProbabilisticPCA(8).fit(X).score(X):.4f}")
        levels = [best - gap for gap in (1.0, 0.1, 0.01, 0.001)]
        print(
            f"\n{options.model}, seed {seed}, {X.shape}, {n_parameters} parameters, {options.seconds:g} CPU s each; "
            f"best bound {best:.4f}"
        )
        head = " | ".join(f"within {best - level:g}" for level in levels)
        print(f"| side | last bound | passes | passes and seconds to {head} |")
        print("|---|---|---|" + "---|" * len(levels))
        for name, points in found.items():
            reached = " | ".join(f"{first(points, b, 0):.0f}, {first(points, b, 1):.1f}" for b in levels)
            print(f"| {name} | {points[-1][2]:.4f} | {points[-1][0]:.0f} | {reached} |", flush=True)


if __name__ == "__main__":
    main()
