"""
Missing values: learn, fill in, predict
=======================================

A row with missing entries still says something about a mixture: its likelihood is the density of what was observed.
``GaussianMixture`` learns from such rows as they are, fills in what is missing, by its mean or by draws, and gives the
distribution of some columns given others.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_iris
from sklearn.impute import SimpleImputer
from sklearn.model_selection import ShuffleSplit
from sklearn.pipeline import make_pipeline

from skgen import GaussianMixture

# sphinx_gallery_thumbnail_number = 3

# %%
# Learning from incomplete rows
# -----------------------------
#
# A share of the entries of scikit-learn's irises is hidden at random. The same mixture of three components learns from
# the incomplete rows, from rows whose gaps were filled by the mean of the column, and from the complete rows alone. All
# are scored on 50 complete rows that none of them has seen, in six splits with holes of their own.

iris = load_iris().data
shares = np.array([0.1, 0.2, 0.3])


def with_holes(rows, share, seed):
    """A copy with a share of the entries missing."""
    return np.where(np.random.RandomState(seed).uniform(size=rows.shape) < share, np.nan, rows)


def mixture():
    """Three components that share a covariance."""
    return GaussianMixture(3, covariance_type="tied", max_iter=500, random_state=0)


scores = {"incomplete rows as they are": [], "gaps filled by column means": [], "complete rows only": []}
for seed, (train, test) in enumerate(ShuffleSplit(6, test_size=50, random_state=0).split(iris)):
    for share in shares:
        rows, unseen = with_holes(iris[train], share, seed), iris[test]
        scores["incomplete rows as they are"].append(mixture().fit(rows).score(unseen))
        scores["gaps filled by column means"].append(make_pipeline(SimpleImputer(), mixture()).fit(rows).score(unseen))
        scores["complete rows only"].append(mixture().fit(rows[~np.isnan(rows).any(axis=1)]).score(unseen))

figure, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
for name, marker in zip(scores, "os^", strict=True):
    values = np.reshape(scores[name], (-1, len(shares)))
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    ax.errorbar(100 * shares, values.mean(axis=0), error, marker=marker, capsize=3, label=name)
ax.set(xticks=100 * shares, xlabel="missing entries in per cent", ylabel="held-out nats per row")
ax.legend()

# %%
# Filling in
# ----------
#
# Now the petal length is hidden in four rows of ten, and there is only the sepal length to go by.

complete = iris[:, [0, 2]]
hidden = np.random.RandomState(0).uniform(size=len(complete)) < 0.4
rows = complete.copy()
rows[hidden, 1] = np.nan
pair = GaussianMixture(3, max_iter=500, random_state=0).fit(rows)

filled = {
    "conditional means": pair.impute(rows),
    "draws": pair.impute(rows, method="sample", random_state=0),
}

# %%
# A mean is the best single guess, and the best guess need not look like any flower: where the sepals do not tell the
# species, it lies between them. Draws have the distribution of the missing values. So means make relations look tighter
# than they are, and draws do not.


for name, values in {"the truth": complete, **filled}.items():
    print(f"{name:<18} correlation {np.corrcoef(values.T)[0, 1]:.3f}")

figure, axes = plt.subplots(1, 2, figsize=(10, 4.4), sharex=True, sharey=True, layout="constrained")
for ax, (name, values) in zip(axes, filled.items(), strict=True):
    ax.scatter(*values[~hidden].T, s=18, color="0.65", label="observed")
    ax.scatter(*values[hidden].T, s=30, marker="x", color="C3", label=f"filled in by {name}")
    ax.set(xlabel="sepal length in cm", title=name.capitalize())
    ax.legend(loc="lower right")
axes[0].set_ylabel("petal length in cm")

# %%
# Several completed tables, each with draws of its own, show how much a result depends on what is missing: the spread
# of the results is the missing values' share of its uncertainty.

draws = [pair.impute(rows, method="sample", random_state=seed) for seed in range(20)]
means = [each[:, 1].mean() for each in draws]
truth = complete[:, 1].mean()
print(f"Mean petal length: {np.mean(means):.2f} +- {np.std(means, ddof=1):.2f}, in truth {truth:.2f}")

# %%
# What can be said, given the rest
# --------------------------------
#
# ``conditional`` gives the distribution of the other columns as a mixture of its own: it scores, samples and
# conditions further. One value gives one mixture, several rows of values give a list. Columns go by number, or by name
# where the training rows were a data frame.

values = np.linspace(4.2, 8.0, 100)
lengths = np.linspace(0.5, 8, 300)
conditionals = pair.conditional([0], values[:, None])
density = np.exp([each.score_samples(lengths[:, None]) for each in conditionals]).T

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained", width_ratios=[3, 2])
filled = left.contourf(values, lengths, density, levels=np.arange(0.1, 2.8, 0.2), cmap="Blues")
expected = [each.weights_ @ each.means_[:, 0] for each in conditionals]
left.plot(values, expected, color="C3", label="conditional mean")
left.scatter(*complete.T, s=8, color="black", label="all rows, hidden ones too")
left.set(xlabel="sepal length in cm", ylabel="petal length in cm", title="Density given the sepal length")
left.legend(loc="lower right")
figure.colorbar(filled, ax=left, label="density per cm", format="%.1f")
for value, colour in ((4.6, "C0"), (5.5, "C1"), (6.8, "C2")):
    one = pair.conditional([0], [value])
    right.plot(lengths, np.exp(one.score_samples(lengths[:, None])), color=colour, label=f"sepal length {value} cm")
right.set(xlabel="petal length in cm", ylabel="density per cm", title="Three of them")
right.legend()
plt.show()
