"""
Oversampling a rare class
=========================

Few rows of a class can be made more by drawing from a density fitted to them. Does it help a classifier? This example
measures it beside interpolation between neighbours, as SMOTE does it, beside weights of classes, and beside doing
nothing.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgen import ProbabilisticPCA
from skgen.inspection import SamplesDisplay
from skgen.meta import GenerativeOverSampler

# sphinx_gallery_thumbnail_number = 2

# %%
# The task
# --------
#
# Tumours, of which the malignant ones are made rare: ten of them are left among some two hundred training rows. Test
# rows are untouched. What is drawn goes into training rows only, after the split; an oversampled test set, or a split
# after oversampling, would measure how well copies are recognised.

X, benign = load_breast_cancer(return_X_y=True)
y = 1 - benign


def thinned(train, random):
    """Training rows with ten of the rare class left."""
    rare = train[y[train] == 1]
    return np.concatenate([train[y[train] == 0], random.permutation(rare)[:10]])


# %%
# With ten rows of 30 columns only a modest density can be learnt: probabilistic PCA with two directions, of
# standardised columns. In imbalanced-learn's pipelines the sampler is a step like any other.

density = make_pipeline(StandardScaler(), ProbabilisticPCA(2))
train, test = next(StratifiedShuffleSplit(1, test_size=0.4, random_state=0).split(X, y))
rows = thinned(train, np.random.RandomState(0))
sampler = GenerativeOverSampler(density, random_state=0)
X_more, y_more = sampler.fit_resample(X[rows], y[rows])
print(f"{np.bincount(y[rows])} rows of the two classes become {np.bincount(y_more)}")

drawn, rare = X_more[len(rows) :], X[rows][y[rows] == 1]
names = list(load_breast_cancer().feature_names)
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
ax.plot(*X[rows][y[rows] == 0][:, [7, 21]].T, ".", color="C1", markersize=4, label="common class")
SamplesDisplay(drawn, columns=(7, 21), feature_names=names).plot(ax, s=12, label="draws of the rare class")
ax.plot(*rare[:, [7, 21]].T, "kX", label="the ten rows")
ax.legend()

# %%
# Does it help?
# -------------
#
# Average precision on untouched test rows, over ten splits, for a linear classifier and for boosted trees.


def interpolated(X, y, random):
    """Points between rows of the rare class and their neighbours."""
    rare = X[y == 1]
    n_new = (y == 0).sum() - len(rare)
    neighbours = NearestNeighbors(n_neighbors=5).fit(rare).kneighbors(return_distance=False)
    start = random.randint(len(rare), size=n_new)
    end = neighbours[start, random.randint(5, size=n_new)]
    new = rare[start] + random.uniform(size=(n_new, 1)) * (rare[end] - rare[start])
    return np.concatenate([X, new]), np.concatenate([y, np.ones(n_new, dtype=int)])


classifiers = {
    "linear": make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
    "boosted trees": HistGradientBoostingClassifier(max_iter=40, random_state=0),
}
balanced = {"linear": "logisticregression__class_weight", "boosted trees": "class_weight"}
ways = ("as it is", "class weights", "interpolation", "density")
scores = {name: {way: [] for way in ways} for name in classifiers}
for seed, (train, test) in enumerate(StratifiedShuffleSplit(10, test_size=0.4, random_state=0).split(X, y)):
    random = np.random.RandomState(seed)
    rows = thinned(train, random)
    tables = {
        "as it is": (X[rows], y[rows]),
        "class weights": (X[rows], y[rows]),
        "interpolation": interpolated(X[rows], y[rows], random),
        "density": GenerativeOverSampler(density, random_state=seed).fit_resample(X[rows], y[rows]),
    }
    for name, classifier in classifiers.items():
        for way, table in tables.items():
            learner = clone(classifier)
            if way == "class weights":
                learner.set_params(**{balanced[name]: "balanced"})
            chance = learner.fit(*table).predict_proba(X[test])[:, 1]
            scores[name][way].append(average_precision_score(y[test], chance))

figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharex=True, sharey=True, layout="constrained")
for ax, (name, by_way) in zip(axes, scores.items(), strict=True):
    for place, (way, values) in enumerate(by_way.items()):
        error = np.std(values, ddof=1) / np.sqrt(len(values))
        print(f"{name:<15}{way:<15}{np.mean(values):.3f} +- {error:.3f}")
        ax.plot(values, np.full(len(values), place), "o", alpha=0.5)
        ax.plot(np.mean(values), place, "|", color="black", markersize=16)
    ax.set(title=name, yticks=range(len(ways)), yticklabels=ways, xlabel="average precision")
axes[0].invert_yaxis()

# %%
# Little is gained, and it depends on the classifier. Trees, which see a row or two at a time in a rare class, learn a
# little more from draws; the linear classifier needs none of it, and draws from a density of ten rows do it harm. That
# is the rule rather than the exception: try it, measure it beside doing nothing, and expect little.
plt.show()
