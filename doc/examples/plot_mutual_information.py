"""
Dependence that correlation does not see
========================================

Mutual information is 0 only where two variables are independent. A critic estimates it from pairs, whatever the form of
the dependence, and in the same unit for all.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skgen import MutualInformation

# %%
# Four clouds of points
# ---------------------
#
# The bound is evaluated on pairs that the critic has not seen, and the interval is that of a sample of so many.

source = np.random.RandomState(0)
x, noise = source.normal(size=(2, 3000))
angle = source.uniform(0, 2 * np.pi, 3000)
clouds = {
    "independent": (x, noise),
    "line": (x, 0.8 * x + 0.6 * noise),
    "parabola": (x, x**2 + 0.5 * noise),
    "circle": (np.cos(angle) + 0.1 * x, np.sin(angle) + 0.1 * noise),
}
figure, axes = plt.subplots(1, 4, figsize=(11, 3.2), layout="constrained")
for ax, (name, (first, second)) in zip(axes, clouds.items(), strict=True):
    X = first[:, None]
    estimator = MutualInformation(hidden_layer_sizes=(64,), learning_rate=3e-3, batch_size=200, random_state=0)
    value, (low, high) = estimator.fit(X[:2000], second[:2000]).estimate(X[2000:], second[2000:])
    correlation = np.corrcoef(first, second)[0, 1]
    print(f"{name:<12} correlation {correlation:5.2f}, information {value:5.2f} nats ({low:.2f} to {high:.2f})")
    ax.plot(first, second, ".", color="0.5", markersize=2)
    ax.set(title=f"{name}\nr = {correlation:.2f}, I = {value:.2f} nats", xticks=[], yticks=[])

# %%
# What a part of an image says about its class
# --------------------------------------------
#
# Text in y stands for classes. Ten equally frequent digits have log 10 = 2.3 nats, and the upper rows of an image have
# a part of that. Columns are standardised, and the few images that light a pixel which is nearly always dark would lie
# dozens of standard deviations out: such pixels are left out.

X, y = load_digits(return_X_y=True)
order = source.permutation(len(X))
train, test = order[:1200], order[1200:]
varies = (X[train] > 0).mean(axis=0) > 0.05
for n_rows in (1, 2, 4, 8):
    part = X[:, : 8 * n_rows][:, varies[: 8 * n_rows]]
    estimator = MutualInformation(hidden_layer_sizes=(64,), learning_rate=3e-3, batch_size=200, random_state=0)
    estimator.fit(part[train], y[train].astype(str))
    print(f"upper {n_rows} rows of pixels: {estimator.score(part[test], y[test].astype(str)):.2f} nats")
plt.show()
