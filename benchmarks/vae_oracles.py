"""What the estimator says beside what is known exactly, in nats per row.

1. A linear encoder and decoder on unscaled iris and wine: the optimum is probabilistic PCA ("shared" variance) or
   factor analysis ("feature"). Exact: PCA from eigenvalues; factor analysis as the best value found by maximising its
   profile likelihood over the noise variances from several starts. scikit-learn's FactorAnalysis, whose EM ends some
   thousandths of a nat short where a noise variance tends to zero (iris), is shown beside it.
2. One latent variable and a nonlinear decoder: elbo <= iwae(5) <= iwae(50) <= log p(x), with log p(x) by quadrature.
3. The error of the Sobol blocks behind ``score_samples`` against their size, beside as many independent draws per row.
"""

import copy
import time
import warnings

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.datasets import load_iris, load_wine
from sklearn.decomposition import FactorAnalysis

from skgen import VariationalAutoencoder
from skgen.likelihoods import Gaussian

N_COMPONENTS = 2
FA_STARTS = 20
MIN_VARIANCE = 1e-4
SOLVERS = {
    "lbfgs": {"max_iter": 3000, "tol": 1e-7, "n_iter_no_change": 50},
    "adam": {
        "max_iter": 30_000,
        "learning_rate": 0.01,
        "learning_rate_schedule": "cosine",
        "kl_warmup": 0,
        "batch_size": 256,
        "n_iter_no_change": np.inf,
    },
}
N_SEEDS = 50
N_BLOCKS = 20
LOG_2PI = np.log(2 * np.pi)


# -- 1: linear models -------------------------------------------------------------------------------------------------


def ppca_optimum(X, n_components):
    """Mean log-likelihood of probabilistic PCA (Tipping and Bishop 1999) from the eigenvalues of the covariance."""
    eigenvalues = np.linalg.eigvalsh(np.cov(X.T, bias=True))[::-1]
    kept, noise = eigenvalues[:n_components], eigenvalues[n_components:].mean()
    n_features = X.shape[1]
    n_discarded = n_features - n_components
    return -0.5 * (n_features * LOG_2PI + np.log(kept).sum() + n_discarded * np.log(noise) + n_features)


def profile_loss(log_noise, correlation, n_components):
    """Minus the log-likelihood of factor analysis at its best loadings, and its gradient (Joreskog 1967)."""
    scale = np.exp(-0.5 * log_noise)
    values, vectors = np.linalg.eigh(correlation * np.outer(scale, scale))
    explained = (values > 1) & (np.arange(len(values)) >= len(values) - n_components)
    fit = np.where(explained, np.log(np.maximum(values, 1)) + 1, values).sum()
    gradient = 1 - vectors**2 @ np.where(explained, 1, values)
    return 0.5 * (log_noise.sum() + fit + len(values) * LOG_2PI), 0.5 * gradient


def factor_analysis_optimum(X, n_components):
    """Largest mean log-likelihood of factor analysis, the best of several starts."""
    generator = np.random.default_rng(0)
    correlation = np.corrcoef(X.T)
    bounds = [(np.log(1e-9), np.log(2))] * X.shape[1]
    options = {"maxiter": 10_000, "maxfun": 100_000, "ftol": 1e-15, "gtol": 1e-10}
    best = min(
        minimize(
            profile_loss,
            generator.uniform(np.log(0.05), 0, X.shape[1]),
            (correlation, n_components),
            method="L-BFGS-B",
            jac=True,
            bounds=bounds,
            options=options,
        ).fun
        for _ in range(FA_STARTS)
    )
    return -best - np.log(X.std(axis=0)).sum()


def factor_analysis_peer(X, n_components):
    """The value of scikit-learn's FactorAnalysis on standardised columns, where its EM is fastest."""
    scale = X.std(axis=0)
    Z = (X - X.mean(axis=0)) / scale
    peer = FactorAnalysis(n_components, tol=1e-10, max_iter=100_000, svd_method="lapack").fit(Z)
    return peer.score(Z) - np.log(scale).sum()


def linear_models():
    print(
        f"1. linear VAE, {N_COMPONENTS} components, nats per row: exact optimum, and how far below it (negative: above)"
    )
    print("data   variance       exact   FactorAnalysis   solver       score       gap   epochs   seconds")
    for name, X in (("iris", load_iris().data), ("wine", load_wine().data)):
        for variance in ("shared", "feature"):
            exact = (ppca_optimum if variance == "shared" else factor_analysis_optimum)(X, N_COMPONENTS)
            peer = f"{factor_analysis_peer(X, N_COMPONENTS):.4f}" if variance == "feature" else "-"
            for solver, schedule in SOLVERS.items():
                start = time.perf_counter()
                likelihood = Gaussian(variance=variance, min_variance=MIN_VARIANCE)
                vae = VariationalAutoencoder(
                    N_COMPONENTS,
                    likelihood=likelihood,
                    hidden_layer_sizes=(),
                    solver=solver,
                    random_state=0,
                    **schedule,
                ).fit(X)
                score = vae.score(X)
                print(
                    f"{name:6} {variance:9} {exact:10.4f} {peer:>16}   {solver:6} {score:11.4f} {exact - score:9.5f} "
                    f"{vae.n_iter_:8d} {time.perf_counter() - start:9.1f}",
                    flush=True,
                )
    described = [f"{solver} {schedule}" for solver, schedule in SOLVERS.items()]
    print(f"   min_variance {MIN_VARIANCE:g} of the scale; " + "; ".join(described))


# -- 2: one latent variable ------------------------------------------------------------------------------------------


def curved_model():
    """A model of wine with one latent variable and a nonlinear decoder, and the rows."""
    X = load_wine().data
    vae = VariationalAutoencoder(
        1,
        hidden_layer_sizes=(32,),
        activation="tanh",
        batch_size=32,
        learning_rate_schedule="linear",
        max_iter=1000,
        n_iter_no_change=1000,
        random_state=0,
    )
    return vae.fit(X), X


def quadrature(vae, X, n_points):
    """log p(x) of each row by the trapezoidal rule over z in [-9, 9], in float64, from the public decoder and noise."""
    z = np.linspace(-9, 9, n_points)
    mean, variance = vae.inverse_transform(z[:, None]), vae.noise_variance_
    log_prior = -0.5 * (z**2 + LOG_2PI) + np.log(z[1] - z[0])
    normalizer = (np.log(variance) + LOG_2PI).sum()
    rows = [logsumexp(log_prior - 0.5 * (((x - mean) ** 2 / variance).sum(1) + normalizer)) for x in X]
    return np.array(rows)


def mean_and_error(values):
    """Mean and standard error over the first axis."""
    return np.mean(values, axis=0), np.std(values, axis=0, ddof=1) / np.sqrt(len(values))


def bounds(vae, X, exact):
    print(f"\n2. one latent variable, tanh decoder, wine: bounds by independent draws, {N_SEEDS} seeds")
    print("bound          mean   standard error   rise over the one above (in standard errors)")
    last = None
    for name, n_draws in (("elbo", 1), ("iwae(5)", 5), ("iwae(50)", 50)):
        scores = [
            vae.log_likelihood(X, n_draws=n_draws, random_state=1000 * n_draws + seed).mean() for seed in range(N_SEEDS)
        ]
        mean, error = mean_and_error(scores)
        rise = "" if last is None else f"   {mean - last[0]:.5f} ({(mean - last[0]) / np.hypot(error, last[1]):.1f})"
        print(f"{name:9} {mean:9.5f} {error:16.5f}{rise}")
        last = mean, error
    rise = exact.mean() - last[0]
    print(f"exact     {exact.mean():9.5f} {'':16}   {rise:.5f} ({rise / last[1]:.1f})")


# -- 3: Sobol blocks ---------------------------------------------------------------------------------------------------


def with_block(vae, n_draws, seed):
    """A copy that scores with another scrambled block; the block of a fit is otherwise fixed by its random_state."""
    other = copy.deepcopy(vae).set_params(n_score_draws=n_draws)
    other._score_seed = seed
    return other


def sobol_errors(vae, X, exact):
    print(f"\n3. the same model: error of score_samples against 2^k draws, {N_BLOCKS} scrambled blocks in float64")
    print(
        "           mean over rows: bias (standard error), root mean square          one row: root mean square, median"
    )
    print("  k draws   Sobol block                  independent draws                 Sobol block        independent")
    for k in range(0, 13, 2):
        n_draws = 2**k
        found = (
            [with_block(vae, n_draws, seed).score_samples(X) - exact for seed in range(N_BLOCKS)],
            [vae.log_likelihood(X, n_draws=n_draws, random_state=seed) - exact for seed in range(N_BLOCKS)],
        )
        line = f"{k:3d} {n_draws:5d}"
        for errors in found:
            bias, error = mean_and_error(np.mean(errors, axis=1))
            line += f"   {bias:+.1e} ({error:.1e}) {np.sqrt(np.mean(np.mean(errors, axis=1) ** 2)):.1e}"
        for errors in found:
            line += f"   {np.sqrt(np.mean(np.square(errors))):8.1e} {np.median(np.abs(errors)):.1e}"
        print(line, flush=True)


def main():
    warnings.filterwarnings("ignore", message="FactorAnalysis did not converge")  # iris, as said at the top
    torch.set_num_threads(1)
    linear_models()
    vae, X = curved_model()
    exact = quadrature(vae, X, 20_001)
    print(f"\nquadrature: {abs(exact - quadrature(vae, X, 10_001)).max():.0e} nats from half as many points")
    bounds(vae, X, exact)
    sobol_errors(vae, X, exact)


if __name__ == "__main__":
    main()
