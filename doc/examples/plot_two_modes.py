"""
A posterior with two modes
==========================

Rows are squares with a little noise. Whatever the square, its root has two signs that are equally likely, so that the
posterior of the root has two modes. That of an autoencoder is normal and has to take one of them or to cover what lies
between; adversarial variational Bayes draws from a posterior of any shape. With one latent variable the exact posterior
is known on a grid.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm
from torch import nn

from skgen import AdversarialVariationalBayes, VariationalAutoencoder

source = np.random.default_rng(0)
t = source.normal(size=3000)
X = (t**2 + 0.2 * source.normal(size=3000))[:, None]

# %%
# Learn the posterior of a decoder that is known
# ----------------------------------------------
#
# A pair of callables gives the networks. The decoder has nothing to learn here, and works in standardised units; the
# variance of the noise is learnt. With ``kl_schedule="annealed"`` posteriors are wide at first, and divide later; what
# they leave to the noise in the meantime takes long to come back.


class Square(nn.Module):
    """The square of z, standardised as the rows are."""

    def forward(self, z):
        """Means of rows for latent variables (..., 1)."""
        return (z**2 - X.mean()) / X.std()


def encoder(n_inputs, n_outputs):
    """An ordinary network."""
    return nn.Sequential(nn.Linear(n_inputs, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, n_outputs))


options = {
    "network": (encoder, lambda n_inputs, n_outputs: Square()),
    "learning_rate": 2e-3,
    "learning_rate_schedule": "cosine",
    "max_iter": 200,
    "n_iter_no_change": np.inf,
    "random_state": 0,
}
vae = VariationalAutoencoder(1, **options).fit(X)
avb = AdversarialVariationalBayes(
    1, n_noise=2, kl_schedule="annealed", kl_warmup=0.5, n_adversary_steps=4, **options
).fit(X)
for model in (vae, avb):
    print(f"{type(model).__name__}: variance of the noise {model.noise_variance_[0]:.3f}, 0.04 in the rows")

# %%
# Look at the posteriors of some rows
# -----------------------------------
#
# Each panel has the exact posterior, given the variance that was learnt, in grey, and what the model takes for it.


def exact(model, x, z):
    """Density of p(z | x) at points of a grid."""
    mean = model.inverse_transform(z[:, None])[:, 0]
    density = norm.pdf(x, mean, np.sqrt(model.noise_variance_[0])) * norm.pdf(z)
    return density / (density.sum() * (z[1] - z[0]))


z = np.linspace(-3, 3, 601)
squares = [0.3, 1.0, 3.0]
figure, axes = plt.subplots(2, len(squares), figsize=(9, 4.5), layout="constrained", sharex=True)
for column, square in zip(axes.T, squares, strict=True):
    x = np.array([[square]])
    mean, std = (float(part[0, 0]) for part in vae.encode(x, return_std=True))
    draws = avb.sample_posterior(x, 20_000, random_state=0).ravel()
    for ax, model in zip(column, (vae, avb), strict=True):
        ax.fill_between(z, exact(model, square, z), color="0.8", label="exact")
        ax.set(yticks=[])
    column[0].plot(z, norm.pdf(z, mean, std), label="normal")
    column[1].hist(draws, z[::5], density=True, histtype="step", label="draws")
    column[0].set(title=f"square {square}")
    column[1].set(xlabel="root")
for ax, name in zip(axes[:, 0], ("autoencoder", "adversarial"), strict=True):
    ax.set(ylabel=name)
    ax.legend(loc="upper left", fontsize="small")
plt.show()
