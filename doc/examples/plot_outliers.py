"""
Outliers by likelihood
======================

A model learns what rows are like from rows that are in order, and calls those outliers that it finds improbable. Here
nine of the ten digits are in order, and the tenth is what must be found. Labels are used to set the task and to measure
the result, never to learn.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors

from skgen import BayesianGaussianMixture, MixtureOfFactorAnalyzers, ProbabilisticPCA
from skgen.meta import GenerativeOutlierDetector

# sphinx_gallery_thumbnail_number = 2

# %%
# The protocol
# ------------
#
# Results of this kind are easily flattered. Three rules keep them honest: rows are shuffled and split before anything
# else, so that no test row, nor a copy of one, was learnt from; settings are fixed beforehand, since there are no
# labels to choose them by; and beside every detector stands the squared norm of the standardised row, which needs no
# model at all.
#
# A pixel is an integer from 0 to 16. Noise fills the gaps between integers: a density of integers is free to put narrow
# peaks on them, and then its height says which values are common in the rounding, not which rows are odd.

pixels, digits = load_digits(return_X_y=True)
X = (pixels + np.random.RandomState(0).uniform(size=pixels.shape)) / 17


def task(odd):
    """Training rows in order, and test rows with whether each is odd."""
    normal, outliers = X[digits != odd], X[digits == odd]
    train, normal = train_test_split(normal, test_size=0.3, random_state=0)
    return train, np.concatenate([normal, outliers]), np.repeat([False, True], [len(normal), len(outliers)])


# %%
# One digit
# ---------
#
# A mixture of factor analyzers fits images: every component has a few directions of its own, and noise in the others.
# ``contamination="auto"``, the default, draws the line where one in twenty of *new* rows of the same kind would fall
# below it, by scores of fits that have not seen the row.

train, test, is_odd = task(odd=4)
density = MixtureOfFactorAnalyzers(10, n_factors=6, reg_covar=1e-4, random_state=0)
detector = GenerativeOutlierDetector(density, random_state=0).fit(train)

scores = detector.score_samples(test)
called = detector.predict(test) == -1
print(f"AUC {roc_auc_score(is_odd, -scores):.3f}")
print(f"called outliers: {called[is_odd].mean():.0%} of the fours, {called[~is_odd].mean():.0%} of the other digits")

figure, ax = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
bins = np.linspace(np.quantile(scores, 0.005), scores.max(), 45)
for name, rows in (("other digits", ~is_odd), ("fours", is_odd)):
    ax.hist(scores[rows].clip(bins[0]), bins, alpha=0.6, label=name)
ax.axvline(detector.offset_, color="black", linestyle="--", label="offset_")
ax.set(xlabel="log-density in nats", ylabel="test rows")
ax.legend()

# %%
# The rows that the line separates worst are worth a look: they tell what the model takes for improbable.

order = np.argsort(scores)
shown = {
    "lowest density among the other digits": order[~is_odd[order]][:12],
    "highest density among the fours": order[is_odd[order]][::-1][:12],
}
figure, axes = plt.subplots(2, 1, figsize=(8, 2.4), layout="constrained")
for ax, (name, rows) in zip(axes, shown.items(), strict=True):
    ax.imshow(np.hstack(np.pad(test[rows].reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))), cmap="gray_r")
    ax.set_title(name, size=10)
    ax.axis("off")

# %%
# Every digit in turn
# -------------------
#
# One task says little. Here each digit is the odd one once. ``contamination`` as a number draws the line through the
# training scores, so that nothing is fitted twice; the area under the curve does not depend on it.

detectors = {
    "squared norm": None,
    "5 nearest neighbours": NearestNeighbors(n_neighbors=5),
    "probabilistic PCA": ProbabilisticPCA(20),
    "Bayesian mixture": BayesianGaussianMixture(5, random_state=0),
    "factor analyzers": density,
}


def outlier_scores(detector, train, test):
    """Higher for rows that are odder."""
    if detector is None:
        scale = train.std(axis=0)
        return (((test - train.mean(axis=0)) / scale) ** 2).sum(axis=1)
    if isinstance(detector, NearestNeighbors):
        return detector.fit(train).kneighbors(test)[0].mean(axis=1)
    return -GenerativeOutlierDetector(detector, contamination=0.05).fit(train).score_samples(test)


areas = {name: [] for name in detectors}
for odd in range(10):
    train, test, is_odd = task(odd)
    for name, each in detectors.items():
        areas[name].append(roc_auc_score(is_odd, outlier_scores(each, train, test)))

figure, ax = plt.subplots(figsize=(7.5, 4), layout="constrained")
for name, values in areas.items():
    error = np.std(np.subtract(values, areas["5 nearest neighbours"]), ddof=1) / np.sqrt(10)
    print(f"{name:<22} mean AUC {np.mean(values):.3f}, error of the difference from neighbours {error:.3f}")
    ax.plot(values, marker="o", markersize=5, linewidth=0.7, label=name)
ax.axhline(0.5, color="0.7", linewidth=1)
ax.set(xticks=range(10), xlabel="the odd digit", ylabel="area under the ROC curve")
figure.legend(loc="outside right upper")

# %%
# On images like these the distance to neighbours stays ahead of every density here, and no setting was tried out to
# change that. A likely reason is the border: pixels that hardly ever change have the smallest variances, and so the
# most to say about a density, though they say little about which digit it is. A high likelihood of new rows is no
# promise either: it rewards what most rows have in common. On tables of measurements densities and neighbours are about
# equal, and the two are worth comparing wherever there are some labels to do it by.
plt.show()
