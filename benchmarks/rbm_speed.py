"""Time an epoch of a restricted Boltzmann machine beside scikit-learn's and learnergy's.

The machine is 784 x 500 on the binarised training rows of MNIST, in batches of 100, by persistent chains and one Gibbs
step. Every side runs in every round of one process: a whole ``fit`` of a few epochs, over their number, with
everything that a fit does besides. skgen fits at its defaults (centring, momentum, weight decay, the exact
pseudo-likelihood of some rows after each epoch) but for the sizes, the learning rate, which is that of all sides, and
its schedule, which is constant since the others have none. learnergy knows only chains that start at the rows (CD-1);
its pseudo-likelihood in every step, an extra, is left out. The floor is the matrix products of a step alone.

What the sides have learnt after as many epochs is printed too: the log-likelihood of test rows, with log Z by
annealed importance sampling, and their exact pseudo-log-likelihood.

``--only PATTERN`` picks sides whose name a regular expression finds, besides skgen. The row of bfloat16 is there only
where the processor multiplies in it.
"""

import argparse
import re
import warnings
from functools import partial
from importlib.util import find_spec

import numpy as np
import torch
from _em_peers import Fit
from _mnist import load
from _timing import machine, rounds, table, timed
from sklearn.neural_network import BernoulliRBM

from skgen import RBM
from skgen.models.energy import RestrictedBoltzmannMachine
from skgen.models.partition import log_partition
from skgen.models.pseudo_likelihood import pseudo_log_likelihood
from skgen.units import BernoulliUnits

OURS, FLOOR = "skgen", "matrix products alone"
N_HIDDEN, BATCH = 500, 100
PSEUDO_ROWS = 200


# -- sides ---------------------------------------------------------------------------------------------------------


def ours(args, **parameters):
    """An estimator of skgen for as many epochs."""
    settings = {"learning_rate": args.learning_rate, "learning_rate_schedule": "constant", "random_state": 0}
    return RBM(N_HIDDEN, batch_size=BATCH, n_chains=BATCH, max_iter=args.epochs, **settings | parameters)


def peer(args):
    """scikit-learn's estimator."""
    return BernoulliRBM(
        N_HIDDEN, learning_rate=args.learning_rate, batch_size=BATCH, n_iter=args.epochs, random_state=0
    )


class Learnergy:
    """learnergy's machine, without the pseudo-likelihood that it computes in each step for its log."""

    def __init__(self, args):
        from learnergy.models.bernoulli import RBM as Machine

        torch.manual_seed(0)
        self.args = args
        self.machine = Machine(784, N_HIDDEN, learning_rate=args.learning_rate)
        self.machine.pseudo_likelihood = lambda samples: torch.zeros(())

    def fit(self, X):
        """Learn from rows by its own loop."""
        data = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.zeros(len(X)))
        self.machine.fit(data, batch_size=BATCH, epochs=self.args.epochs)
        return self


def products_epoch(n_rows, n_features):
    """The matrix products of an epoch alone: one for v, one for h given rows and chains, one for the gradient."""
    h, both = torch.rand(BATCH, N_HIDDEN), torch.rand(2 * BATCH, n_features)
    means, weight = torch.rand(2 * BATCH, N_HIDDEN), torch.randn(N_HIDDEN, n_features)
    v, fields, gradient = torch.empty(BATCH, n_features), torch.empty_like(means), torch.empty_like(weight)

    def epoch():
        for _ in range(-(-n_rows // BATCH)):
            torch.mm(h, weight, out=v)
            torch.mm(both, weight.t(), out=fields)
            torch.mm(means.t(), both, out=gradient)

    return epoch


def multiplies_bfloat16():
    """Whether the processor has instructions for products in bfloat16."""
    with open("/proc/cpuinfo") as file:
        return re.search(r"\b(avx512_bf16|amx_bf16|bf16|svebf16)\b", file.read()) is not None


def all_sides(args, X):
    """Functions that return the seconds of an epoch, by name."""
    fits = {
        OURS: Fit(partial(ours, args), X),
        "skgen, plain gradient": Fit(partial(ours, args, center=False, momentum=0.0, weight_decay=0.0), X),
        "skgen, CD-1": Fit(partial(ours, args, method="cd"), X),
        "scikit-learn, float64": Fit(partial(peer, args), X.astype(np.float64)),
        "scikit-learn, float32": Fit(partial(peer, args), X),
    }
    if multiplies_bfloat16():
        fits["skgen, bfloat16"] = Fit(partial(ours, args, precision="bfloat16"), X)
    if find_spec("learnergy"):
        fits["learnergy, CD-1"] = Fit(partial(Learnergy, args), X)
    floor = {FLOOR: timed(products_epoch(*X.shape), args.epochs)}
    chosen = {name: side for name, side in (fits | floor).items() if name == OURS or re.search(args.only, name)}
    return chosen, {name: side for name, side in fits.items() if name in chosen}


def per_epoch(side, n_epochs):
    """A side that counts a fit's seconds over its epochs."""
    return lambda: side() / n_epochs


# -- what they have learnt -----------------------------------------------------------------------------------------


def parameters_of(fitted):
    """Weights (n_hidden, n_visible), hidden and visible biases of a fitted model of any package."""
    if isinstance(fitted, Learnergy):
        rbm = fitted.machine
        return rbm.W.detach().t(), rbm.b.detach(), rbm.a.detach()
    arrays = fitted.components_, fitted.intercept_hidden_, fitted.intercept_visible_
    return tuple(torch.as_tensor(np.asarray(array), dtype=torch.float32) for array in arrays)


@torch.no_grad()
def learnt(fitted, X, base_bias, n_temperatures):
    """Log-likelihood and pseudo-log-likelihood of rows, nats per row, and the gap of the two estimates of log Z."""
    weight, hidden_bias, visible_bias = parameters_of(fitted)
    rbm = RestrictedBoltzmannMachine(BernoulliUnits(weight.shape[1]), BernoulliUnits(weight.shape[0]))
    for own, value in ((rbm.weight, weight), (rbm.hidden_bias, hidden_bias), (rbm.visible_bias, visible_bias)):
        own.copy_(value)
    generator = torch.Generator().manual_seed(0)
    log_z = log_partition(rbm, "ais", rows=X, base_bias=base_bias, betas=n_temperatures, generator=generator)
    free_energy = float(rbm.free_energy(X).double().mean())
    pseudo = float(pseudo_log_likelihood(rbm, X[:PSEUDO_ROWS]).double().mean())
    return -free_energy - log_z.value, pseudo, log_z.reverse - log_z.value


def print_learnt(fits, X, X_test, args):
    mean = torch.from_numpy(X.mean(axis=0))
    base_bias = torch.logit(mean.clamp(1e-3, 1 - 1e-3))
    print(f"\nafter {args.epochs} epochs at learning rate {args.learning_rate}, {len(X_test)} test rows, nats per row")
    print(f"{'side':34s} {'log-likelihood':>14s} {'pseudo':>9s}  reverse minus forward log Z")
    for name, side in fits.items():
        value, pseudo, gap = learnt(side.fitted, torch.from_numpy(X_test), base_bias, args.temperatures)
        print(f"{name:34s} {value:14.2f} {pseudo:9.2f}  {gap:+.2f}", flush=True)


# -- all of it -----------------------------------------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="PATTERN", default="", help="sides whose name this regular expression finds")
    parser.add_argument("--rows", type=int, default=60000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument("--temperatures", type=int, default=1000, help="of annealed importance sampling")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.simplefilter("ignore")
    print(machine())
    data = load()
    X, X_test = ((part > 127).astype(np.float32) for part in data)
    X = X[: args.rows]
    sides, fits = all_sides(args, X)
    seconds = rounds(
        {name: per_epoch(side, args.epochs) if name in fits else side for name, side in sides.items()}, args.rounds
    )
    table(f"RBM 784 x {N_HIDDEN}, PCD-1, {len(X)} rows of MNIST, batch {BATCH}, {args.epochs} epochs", seconds, OURS)
    if FLOOR in seconds:
        operations = 10 * X.size * N_HIDDEN
        rate = operations / np.median(seconds[FLOOR]) / 1e9
        print(f"products: {operations / 1e9:.0f} GFLOP at {rate:.0f} GFLOP/s")
    print_learnt(fits, X, X_test, args)


if __name__ == "__main__":
    main()
