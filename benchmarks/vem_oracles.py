"""What AmortizedLatentModel reaches beside exact answers, in nats per row.

1. A linear encoder and decoder with one variance on unscaled iris: the optimum is probabilistic PCA. Each kind of
   inference, and each solver in either step; full batch.
2. A mixture as latent generator, one latent variable and a linear decoder: ``score`` with 2048 draws beside the
   likelihood of the same fitted model by the trapezoidal rule, which is exact to rounding here.
3. What amortisation costs: the gaps of a model of the digits with nonlinear networks, with standard errors, and what is
   left of the amortisation gap where inference refines the encoder's answer.
"""

import argparse
import time
import warnings

import numpy as np
import torch
from _timing import machine
from sklearn.datasets import load_digits, load_iris

from skgen import AmortizedLatentModel, ProbabilisticPCA
from skgen.likelihoods import Gaussian
from skgen.priors import Mixture

LINE_SEARCHES = "cg", "newton-cg", "bfgs", "lbfgs"
PAIRS = [("amortized", solver, solver) for solver in ("adam", "sgd", *LINE_SEARCHES)]
PAIRS += [(inference, "lbfgs", "lbfgs") for inference in ("semi_amortized", "local", "laplace")]
PAIRS += [("semi_amortized", "adam", "adam"), ("local", "newton-cg", "cg"), ("laplace", "bfgs", "newton-cg")]
REACH, N_NODES = 12.0, 6001


def linear(n_units, inference, e_solver, m_solver, **parameters):
    """A model with linear networks."""
    first_order = not {e_solver, m_solver} <= set(LINE_SEARCHES)
    options = {
        "max_iter": 3000 if first_order else 150,
        "learning_rate": 0.01,
        "n_iter_no_change": np.inf if first_order else 10,
        "n_e_steps": 3,
        "n_m_steps": 3,
        "refine_steps": 5,
        "tol": 1e-7,
    }
    return AmortizedLatentModel(
        n_units,
        unit_size=1,
        likelihood=Gaussian("shared"),
        hidden_layer_sizes=(),
        batch_size=None,
        precision="float64",
        inference=inference,
        e_solver=e_solver,
        m_solver=m_solver,
        random_state=0,
        **options | parameters,
    )


def planes():
    X = load_iris().data
    exact = ProbabilisticPCA(2).fit(X).score(X)
    print(f"1. iris, two units of one variable; probabilistic PCA {exact:.4f}")
    print("| inference | e_solver | m_solver | below the optimum | CPU s |\n|---|---|---|---|---|")
    for pair in PAIRS:
        start = time.process_time()
        model = linear(2, *pair, latent_generator="normal").fit(X)
        seconds = time.process_time() - start
        gap = exact - model.set_params(refine_steps=20).score(X)
        print(f"| {' | '.join(pair)} | {gap:.1e} | {seconds:.1f} |", flush=True)


def quadrature(model, X):
    """Log-likelihoods of rows by the trapezoidal rule over the one latent variable."""
    module = model._module(np.float64)
    z = torch.linspace(-REACH, REACH, N_NODES, dtype=torch.float64)[:, None, None]
    with torch.no_grad():
        joint = module.log_prob_given(module.decoder(z), module.standardize(torch.from_numpy(X)))
        values = torch.logsumexp(joint + module.prior.log_prob(z), 0) + module.log_jacobian
    return values.numpy() + np.log(2 * REACH / (N_NODES - 1))


def clusters():
    random = np.random.default_rng(0)
    z = random.choice([-3.0, 0.0, 2.5], 300) + 0.4 * random.normal(size=300)
    X = z[:, np.newaxis] * [1.0, -0.5, 0.7] + 0.5 * random.normal(size=(300, 3))
    print("\n2. three groups along a line, a mixture of three components")
    print("| inference | score | less quadrature |\n|---|---|---|")
    for inference in ("amortized", "semi_amortized", "local", "laplace", "mcmc"):
        solver = "adam" if inference == "mcmc" else "lbfgs"
        options = {"latent_generator": Mixture(3), "max_iter": 60, "n_iter_no_change": np.inf, "n_score_draws": 2048}
        model = linear(1, inference, solver, solver, **options | {"refine_steps": 10}).fit(X)
        score = model.score(X)
        print(f"| {inference} | {score:.4f} | {score - quadrature(model, X).mean():+.1e} |", flush=True)


def gaps():
    X = load_digits().data
    X = (X + np.random.default_rng(0).random(X.shape)) / 17
    X = X[:, X.std(0) > 1 / 17]
    some = X[::6]
    print(
        "\n3. digits, eight units of two variables, 60 iterations; 300 training rows, standard errors of the estimates"
    )
    print("| inference | amortisation gap | rows below -3 errors | approximation gap |\n|---|---|---|---|")
    for inference in ("amortized", "semi_amortized"):
        model = AmortizedLatentModel(inference=inference, max_iter=60, n_iter_no_change=np.inf, random_state=0).fit(X)
        amortized, error = model.amortization_gap(some, return_std=True)
        below = (amortized < -3 * error).sum()
        print(
            f"| {inference} | {stated(amortized, error)} | {below} | "
            f"{stated(*model.approximation_gap(some, return_std=True))} |",
            flush=True,
        )


def stated(values, errors):
    """The mean over rows with its standard error."""
    return f"{values.mean():.3f} ({np.sqrt((errors**2).sum()) / len(values):.3f})"


PARTS = {"planes": planes, "clusters": clusters, "gaps": gaps}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", nargs="+", choices=["planes", "clusters", "gaps"], default=["planes", "clusters", "gaps"]
    )
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print(machine(), flush=True)
    for name in options.only:
        PARTS[name]()


if __name__ == "__main__":
    main()
