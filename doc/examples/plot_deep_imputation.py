"""
Missing pixels
==============

A variational autoencoder learns from rows with holes, and fills them in from what it has learnt: by the mean of what
may stand there, or by draws that differ where the rest of a row leaves it open.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.model_selection import train_test_split

from skgen import VariationalAutoencoder

warnings.filterwarnings("ignore", message="Constant column")  # corners that are always white
X = load_digits().data / 16
X_train, X_test = train_test_split(X, test_size=300, random_state=0)
random = np.random.default_rng(0)

# %%
# Learn from rows with holes
# --------------------------
#
# Half of all pixels are missing at random, in the training rows too; no complete image is ever seen. The likelihood
# is that of the pixels that are there, and the encoder is told which ones these are.

holes_train, holes_test = (random.random(rows.shape) < 0.5 for rows in (X_train, X_test))
holes_test[:8] = np.arange(64) % 8 < 4  # the left half of some test images
train, test = np.where(holes_train, np.nan, X_train), np.where(holes_test, np.nan, X_test)

vae = VariationalAutoencoder(
    16, likelihood="continuous_bernoulli", objective="iwae", n_draws=5, max_iter=60, learning_rate=2e-3, random_state=0
).fit(train)

# %%
# Fill in
# -------
#
# The mean is the best guess of each pixel by itself, which blurs what could be one of two digits. Draws are whole
# images; the spread between them says what the half that is there does not decide.

filled = vae.impute(test)
draws = vae.impute(test[:8], n_imputations=3, random_state=0)
peers = {"column means": SimpleImputer(), "nearest neighbours": KNNImputer()}
errors = {name: imputer.fit(train).transform(test) for name, imputer in peers.items()} | {"autoencoder": filled}
for name, rows in errors.items():
    print(f"{name:20s} root mean squared error {np.sqrt(np.mean((rows - X_test)[holes_test] ** 2)):.3f}")

lines = {"truth": X_test[:8], "seen": test[:8], "mean": filled[:8]}
lines |= {f"draw {i}": rows for i, rows in enumerate(draws, start=1)}
figure, axes = plt.subplots(len(lines), 8, figsize=(7, 5.5), layout="constrained")
for (name, rows), axes_of_line in zip(lines.items(), axes, strict=True):
    for row, ax in zip(rows, axes_of_line, strict=True):
        ax.imshow(row.reshape(8, 8), cmap=plt.get_cmap("gray_r").with_extremes(bad="tab:orange"), vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
    axes_of_line[0].set_ylabel(name)
plt.show()
