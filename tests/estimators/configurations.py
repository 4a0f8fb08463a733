"""Every public estimator in several configurations, small enough that a fit takes a moment."""

import numpy as np
from sklearn.base import BaseEstimator, clone

import skgen
from skgen import Autoencoder, VariationalAutoencoder
from skgen.likelihoods import Bernoulli, Gaussian

SMALL = {"hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0}


def vae(n_components=2, **parameters):
    return VariationalAutoencoder(n_components, **SMALL | parameters)


def autoencoder(n_components=2, **parameters):
    return Autoencoder(n_components, **SMALL | parameters)


CONFIGURATIONS = {
    "vae": vae(),
    "vae-shared": vae(likelihood=Gaussian("shared")),
    "vae-fixed": vae(likelihood=Gaussian("fixed")),
    "vae-network": vae(likelihood=Gaussian("network")),
    "vae-bernoulli": vae(likelihood="bernoulli"),
    "vae-dynamic": vae(likelihood=Bernoulli("dynamic")),
    "vae-iwae": vae(objective="iwae", n_draws=5),
    "vae-linear-lbfgs": vae(hidden_layer_sizes=(), solver="lbfgs"),
    "vae-gated-dropout": vae(activation="gated", dropout=0.2),
    "vae-early-stopping": vae(early_stopping=True, validation_fraction=0.2),
    "vae-free-bits": vae(free_bits=0.1),
    "vae-float64": vae(precision="float64"),
    "vae-bfloat16": vae(precision="bfloat16"),
    "vae-sgd": vae(solver="sgd", learning_rate=0.01, max_grad_norm=1.0, learning_rate_schedule="cosine"),
    "autoencoder": autoencoder(),
    "autoencoder-cross-entropy": autoencoder(loss="cross_entropy"),
    "autoencoder-linear": autoencoder(hidden_layer_sizes=()),
    "autoencoder-lbfgs": autoencoder(solver="lbfgs"),
}

ESTIMATORS = [
    value
    for value in (getattr(skgen, name) for name in skgen.__all__)
    if isinstance(value, type) and issubclass(value, BaseEstimator)
]


def configured(name, **parameters):
    """A new estimator of a configuration, with other parameters where given."""
    return clone(CONFIGURATIONS[name]).set_params(**parameters)


def rows(n_rows=40, n_features=5, *, seed=0, dtype=np.float64):
    """Rows in [0, 1], so that every configuration takes them, around a plane."""
    random = np.random.default_rng(seed)
    latent = random.normal(size=(n_rows, 2)) @ random.normal(size=(2, n_features))
    return (1 / (1 + np.exp(-latent - 0.3 * random.normal(size=latent.shape)))).astype(dtype)
