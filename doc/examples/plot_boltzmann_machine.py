"""
A Boltzmann machine of digits: samples, filters, hidden halves
===============================================================

A restricted Boltzmann machine has a density of its rows that is known up to a constant, and a chain that draws from
it. The chain starts somewhere and forgets where. This example shows how long that takes, what the hidden units look
for, and how missing pixels are filled in.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import BernoulliRBM

from skgen import RBM
from skgen.inspection import FilterDisplay, SamplesDisplay

# sphinx_gallery_thumbnail_number = 1

X = (load_digits().data / 16 > 0.5).astype(np.float32)
train, test = train_test_split(X, test_size=0.2, random_state=0)
rbm = RBM(n_components=64, max_iter=200, random_state=0).fit(train)


def show(ax, rows, n_columns):
    """Binary images, beside and below each other."""
    SamplesDisplay(rows, image_shape=(8, 8)).plot(ax, n_columns=n_columns, vmin=0, vmax=1)


# %%
# Samples after 1, 10, 100 and 10000 steps
# ----------------------------------------
#
# A machine can draw well for as many steps as it was trained with and drift away later. So one looks twice: at chains
# that start from held-out rows, which have to move, and for long, when only the machine's own law is left. Here each
# picture shows the same 40 chains. After one step they still resemble the rows that they started from. After 10000
# nothing of these is left, and they are still digits.

figure, axes = plt.subplots(1, 5, figsize=(12, 5), layout="constrained")
show(axes[0], test[:40], 5)
axes[0].set_title("held-out rows")
for ax, n_steps in zip(axes[1:], (1, 10, 100, 10000), strict=True):
    show(ax, rbm.gibbs(test[:40], n_steps=n_steps, random_state=0), 5)
    ax.set_title(f"{n_steps} step{'s' * (n_steps > 1)}")

# %%
# Their free energies say the same in numbers. In nats, a chain at the machine's law has on average the free energy that
# long runs have. Held-out rows should have it too, as far as the machine knows what digits are.

print(f"held-out rows {rbm.free_energy(test).mean():8.2f}")
for n_steps in (1, 10, 100, 10000):
    chains = rbm.gibbs(test[:200], n_steps=n_steps, random_state=0)
    print(f"{n_steps:6d} steps  {rbm.free_energy(chains).mean():8.2f}")

# %%
# A likelihood with an interval
# -----------------------------
#
# The constant is estimated by annealed importance sampling. Two estimates that err to different sides, forwards from
# independent units and backwards from rows, should agree. Then ``score`` is a log-likelihood that compares with those
# of other models: of independent pixels, say.

found = rbm.log_partition(X=train, random_state=0)
print(f"log Z = {found.value:.2f}, between {found.lower:.2f} and {found.upper:.2f}; backwards {found.reverse:.2f}")

share = np.clip(train.mean(axis=0), 1e-3, 1 - 1e-3)
independent = (test * np.log(share) + (1 - test) * np.log(1 - share)).sum(axis=1).mean()
print(f"held-out log-likelihood: {rbm.score(test):.2f} nats per row, independent pixels {independent:.2f}")

# %%
# Filters
# -------
#
# Each hidden unit has a weight for each pixel. Red raises its probability, blue lowers it. Units look for strokes, and
# for ends of strokes that are not there. scikit-learn's machine, with its own defaults and as many units, is beside it.

theirs = BernoulliRBM(n_components=64, random_state=0).fit(train)
figure, axes = plt.subplots(1, 2, figsize=(10, 4.8), layout="constrained")
for ax, name, machine in zip(axes, ("RBM", "scikit-learn's BernoulliRBM"), (rbm, theirs), strict=True):
    FilterDisplay.from_estimator(machine, image_shape=(8, 8), n_columns=8, ax=ax)
    ax.set_title(name)

# %%
# Half of each digit
# ------------------
#
# ``impute`` holds known pixels fast and lets the others follow the machine. The mean is the best guess of each pixel by
# itself; draws are whole digits, and different draws are different ways to complete the picture.

half = test[:10].copy()
half.reshape(-1, 8, 8)[:, 4:] = np.nan

rows = {
    "the truth": test[:10],
    "what is known": half,
    "mean": rbm.impute(half, random_state=0),
    "a draw": rbm.impute(half, method="sample", random_state=0),
    "another draw": rbm.impute(half, method="sample", random_state=1),
}
figure, axes = plt.subplots(len(rows), 1, figsize=(8, 4.6), layout="constrained")
for ax, (name, images) in zip(axes, rows.items(), strict=True):
    show(ax, images, 10)
    ax.set_ylabel(name, rotation=0, ha="right", va="center")

# %%
# Over all held-out digits the mean is closer to the truth than the mean of the column is.

half = test.copy()
half.reshape(-1, 8, 8)[:, 4:] = np.nan
hidden = np.isnan(half)
mean = np.broadcast_to(train.mean(axis=0), half.shape)
for name, values in (("the machine", rbm.impute(half, random_state=0)), ("means of columns", mean)):
    print(f"squared error per hidden pixel, {name}: {np.mean((values - test)[hidden] ** 2):.3f}")
plt.show()
