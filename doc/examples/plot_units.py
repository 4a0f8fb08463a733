"""
What each unit explains
=======================

A model of units describes a row by blocks of latent variables. Each block has an encoder and a decoder of its own, and
what the decoders give is added up. So one can look at what each unit contributes to a row, here to images of digits.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skgen import AmortizedLatentModel
from skgen.likelihoods import Gaussian

warnings.filterwarnings("ignore", message="Constant column")  # corners that are always white
X, y = load_digits(return_X_y=True)
X_train, X_test, _, y_test = train_test_split(X / 16, y, test_size=360, random_state=0)

# %%
# Six units
# ---------
#
# Grey levels are normal, with one variance for all pixels. The decoders add up to standardised means.

model = AmortizedLatentModel(6, likelihood=Gaussian("shared"), learning_rate=3e-3, max_iter=80, random_state=0)
model.fit(X_train)
print(f"{model.score(X_test):.2f} nats per test image, {model.n_active_units_} of 12 latent variables in use")

# %%
# An image as a sum
# -----------------
#
# Contributions less their means over the images: red is ink that the unit adds to the mean image, blue is ink that it
# takes away. The last column is the sum of all, in grey levels. An image is put together from a few strong strokes,
# such as the open middle of the zero and the foot of the two, and units that have nothing to add stay pale.

contributions = model.unit_contributions(X_test)
contributions -= contributions.mean(axis=0)
examples = [np.flatnonzero(y_test == digit)[0] for digit in range(0, 10, 2)]
figure, axes = plt.subplots(len(examples), 8, figsize=(10, 6.4), layout="constrained")
decoded = model.inverse_transform(model.transform(X_test))
for row, i in zip(axes, examples, strict=True):
    for ax, image in zip(row, (X_test[i], *contributions[i], decoded[i]), strict=True):
        grey = ax in (row[0], row[-1])
        colours = {"cmap": "gray_r", "vmin": 0, "vmax": 1} if grey else {"cmap": "RdBu_r", "vmin": -2, "vmax": 2}
        ax.imshow(image.reshape(8, 8), **colours)
        ax.set(xticks=[], yticks=[])
for ax, title in zip(axes[0], ("image", *(f"unit {i}" for i in range(6)), "decoded"), strict=True):
    ax.set_title(title, size=9)

# %%
# How much each unit explains
# ---------------------------
#
# Units may oppose each other where they overlap. The share of a unit is the covariance of its contributions with the
# sum of all, so that shares add up to 1.

share = np.einsum("nuj,nvj->u", contributions, contributions) / (contributions.sum(axis=1) ** 2).sum()
reach = contributions.std(axis=0)
figure, axes = plt.subplots(1, 6, figsize=(10, 2.1), layout="constrained")
for i, ax in enumerate(axes):
    ax.imshow(reach[i].reshape(8, 8), cmap="viridis", vmin=0, vmax=reach.max())
    ax.set(title=f"unit {i}: {share[i]:.0%}", xticks=[], yticks=[])
figure.suptitle("standard deviation of each unit's contribution to a pixel, and its share of the variance", size=9)
plt.show()
