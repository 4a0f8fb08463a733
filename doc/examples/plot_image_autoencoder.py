"""
Images
======

A table of images is a table like any other, until a network is to know which pixels are neighbours. With
``network="conv"`` encoder and decoder are convolutional: one small set of weights looks at every place of an image.
Here they learn images of rings, of which the true latent variables are known: where the ring is, and how large. The
encoder must find them, the decoder must draw a ring from them, and the way between two rings must be rings.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import PolynomialFeatures

from skgen import VariationalAutoencoder
from skgen.inspection import ReconstructionDisplay, SamplesDisplay

# %%
# Rings
# -----
#
# Every image has 16 x 16 grey levels between 0 and 1. Centre and radius are drawn at random.

random = np.random.RandomState(0)
n_images, side = 2000, 16
truth = np.column_stack([random.uniform(5, 10, (n_images, 2)), random.uniform(2, 5, n_images)])
row, column = np.mgrid[:side, :side].reshape(2, -1)
distance = np.hypot(row - truth[:, :1], column - truth[:, 1:2])
X = np.exp(-((distance - truth[:, 2:]) ** 2))
X_train, X_test, truth_train, truth_test = train_test_split(X, truth, test_size=200, random_state=0)
print(f"{len(X_train)} training images, {X.shape[1]} columns")

# %%
# Two networks
# ------------
#
# ``hidden_layer_sizes`` are layers of units for the perceptron, and channels for the convolutional network: each of its
# stages has half the resolution of the one before. The number of columns is a square, so that
# ``image_shape=(16, 16)`` could have been left out. Grey levels have a continuous Bernoulli distribution. The
# convolutional network holds a quarter of the numbers.

parameters = {
    "n_components": 3,
    "likelihood": "continuous_bernoulli",
    "max_iter": 15,
    "learning_rate": 3e-3,
    "batch_size": 64,
    "random_state": 0,
}
perceptron = VariationalAutoencoder(**parameters, hidden_layer_sizes=(256, 256)).fit(X_train)
conv = VariationalAutoencoder(**parameters, network="conv", image_shape=(16, 16), hidden_layer_sizes=(8, 16, 32)).fit(
    X_train
)
for name, vae in (("perceptron", perceptron), ("convolutional", conv)):
    n_numbers = sum(value.size for value in vae.weights_.values())
    print(f"{name:13s} {n_numbers:6d} numbers, {vae.score(X_test):.0f} nats per test image")

# %%
# Reconstructions
# ---------------
#
# Test images, and below each what the decoder makes of its three latent variables.

figure, axes = plt.subplots(2, figsize=(8, 3.2), layout="constrained")
for ax, (name, vae) in zip(axes, (("Perceptron", perceptron), ("Convolutional", conv)), strict=True):
    ReconstructionDisplay.from_estimator(vae, X_test, image_shape=(16, 16), n_images=12, ax=ax)
    ax.set_title(name)

# %%
# Between two images
# ------------------
#
# A straight line between the codes of two images passes through codes of other images. Between the images themselves
# it passes through mixtures of both.

ends = X_test[[0, 3]]
share = np.linspace(0, 1, 10)[:, None]
codes = conv.transform(ends)
lines = {
    "Between codes": conv.inverse_transform((1 - share) * codes[:1] + share * codes[1:]),
    "Between images": (1 - share) * ends[:1] + share * ends[1:],
}
figure, axes = plt.subplots(2, figsize=(8, 2.4), layout="constrained")
for ax, (name, images) in zip(axes, lines.items(), strict=True):
    SamplesDisplay(images, image_shape=(16, 16)).plot(ax=ax, n_columns=10)
    ax.set_title(name)

# %%
# What the code holds
# -------------------
#
# Three numbers make a ring, and three latent variables are what the model has. They need not be the same three, but a
# smooth function takes one to the other: here a polynomial of degree 3, fitted on training images.

features = PolynomialFeatures(3)
regression = LinearRegression().fit(features.fit_transform(conv.transform(X_train)), truth_train)
predicted = regression.predict(features.transform(conv.transform(X_test)))
for i, name in enumerate(("row of the centre", "column of the centre", "radius")):
    correlation = np.corrcoef(predicted[:, i], truth_test[:, i])[0, 1]
    print(f"{name:20s} correlation with its prediction from the code: {correlation:.3f}")
