"""
Clusters in a latent space
==========================

A variational autoencoder whose prior is a Gaussian mixture finds groups while it learns to describe the rows. It is
fitted to digits without their labels; afterwards the labels tell what the groups are.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score

from skgen import GaussianMixture, VariationalAutoencoder
from skgen.inspection import LatentSpaceDisplay
from skgen.priors import Mixture

warnings.filterwarnings("ignore", message="Constant column")  # corners that are always white
X, y = load_digits(return_X_y=True)
X = X / 16

# %%
# Learn clusters
# --------------
#
# Training begins without the mixture, then a mixture is fitted to the encoded rows, and from there all is learnt
# together. Clusters depend on the start, so the fit is made a few times and the one with the best bound is kept: no
# label is looked at.

vae = VariationalAutoencoder(
    2,
    prior=Mixture(10, pretraining=0.3),
    likelihood="bernoulli",
    hidden_layer_sizes=(256, 128),
    learning_rate=2e-3,
    learning_rate_schedule="cosine",
    max_iter=80,
    n_iter_no_change=80,
    n_init=2,
    random_state=0,
)
clusters = vae.fit_predict(X)
print("bounds of the starts:", np.round(vae.init_scores_, 2))

# %%
# The latent space
# ----------------
#
# Points are rows, by their digit; ellipses are the components of the prior at one and two standard deviations.

figure, axes = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
LatentSpaceDisplay.from_estimator(vae, X, y, n_ellipses=0, mixture=vae.prior_mixture_, ax=axes[0])
axes[0].set_title("rows by digit, and the components of the prior")
table = np.array([[np.sum((clusters == k) & (y == digit)) for digit in range(10)] for k in range(10)])
order = np.argsort(table.argmax(axis=1))
axes[1].imshow(table[order], cmap="Blues")
axes[1].set(xlabel="digit", ylabel="cluster", title="rows of each digit in each cluster", xticks=range(10))
axes[1].set_yticks(range(10), order)
for (row, column), count in np.ndenumerate(table[order]):
    if count:
        axes[1].text(column, row, count, ha="center", va="center", color="white" if count > 90 else "black", size=8)

# %%
# What a cluster looks like
# -------------------------
#
# The mean of each component, decoded; ``sample(component=k)`` would draw from one. Two latent variables are few for
# ten digits: some share a cluster, and a mixture of the pixels themselves finds the digits as well. More variables
# tell more of them apart than a picture can show.

figure, axes = plt.subplots(1, 10, figsize=(11, 1.6), layout="constrained")
for k, ax in zip(order, axes, strict=True):
    mean = vae.inverse_transform(vae.prior_mixture_.means_[[k]])[0]
    ax.imshow(mean.reshape(8, 8), cmap="gray_r")
    ax.set_title(f"cluster {k}", size=8)
    ax.axis("off")
pixels = GaussianMixture(10, covariance_type="diag", reg_covar=1e-3, random_state=0).fit_predict(X)
print(
    f"adjusted Rand index: latent {adjusted_rand_score(y, clusters):.2f}, pixels {adjusted_rand_score(y, pixels):.2f}"
)
plt.show()
