"""
Clusters without labels
=======================

A mixture finds groups of any elliptic shape, says how sure it is of each row, and, unlike distances to centers, does
not depend on the units of the columns. Its likelihood helps to choose the number of groups. Labels are used at the end
only, to see what was found.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_wine
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgen import BayesianGaussianMixture, GaussianMixture
from skgen.inspection import PosteriorPlaneDisplay
from skgen.metrics import cluster_accuracy

# %%
# How many?
# ---------
#
# Thirteen measurements of 178 wines. With full covariances a component has 104 numbers to learn, more than the rows can
# bear; components that share one covariance have 13 each. BIC says how many such components the rows support. Of fits
# from ten starts the best is kept. The rows support more components than there are cultivars: a kind of wine need not
# be an ellipse, and a second one at its edge is no mistake of the density.

wine = load_wine(as_frame=True)
X, cultivar = wine.data, wine.target
numbers = range(1, 7)
mixtures = [
    make_pipeline(StandardScaler(), GaussianMixture(k, covariance_type="tied", n_init=10, max_iter=500, random_state=0))
    for k in numbers
]
scaled = StandardScaler().fit_transform(X)
bic = [mixture.fit(X)[-1].bic(scaled) for mixture in mixtures]
print("BIC:", dict(zip(numbers, np.round(bic).astype(int).tolist(), strict=True)))
chosen = mixtures[int(np.argmin(bic))]

# %%
# What was found?
# ---------------
#
# The plane in which the components lie apart most, with the probabilities of the components that this plane alone would
# give. Markers are the cultivars.

print(f"{chosen[-1].n_components} clusters of {np.bincount(chosen.predict(X))} wines")
PosteriorPlaneDisplay.from_estimator(chosen, X, cultivar, plane="discriminant")

# %%
# Beside others
# -------------
#
# Accuracy is the share of wines in the cluster of their cultivar, with clusters and cultivars matched as well as
# possible; the adjusted Rand index is 0 for clusters at random. Three clusters for all, a number that is known only
# because there are labels. In the units of the table k-means sees one column, proline, which has the largest numbers.

ways = {
    "k-means, units of the table": KMeans(3, n_init=10, random_state=0),
    "k-means, standardised": make_pipeline(StandardScaler(), KMeans(3, n_init=10, random_state=0)),
    "mixture, spherical": make_pipeline(
        StandardScaler(), GaussianMixture(3, covariance_type="spherical", n_init=10, random_state=0)
    ),
    "mixture, diagonal": GaussianMixture(3, covariance_type="diag", n_init=10, random_state=0),
    "mixture, tied": GaussianMixture(3, covariance_type="tied", n_init=10, max_iter=500, random_state=0),
    "mixture, full": GaussianMixture(3, n_init=10, random_state=0),
    "Bayesian mixture, at most 10": BayesianGaussianMixture(10, max_iter=1000, random_state=0),
}
for name, way in ways.items():
    labels = way.fit(X).predict(X)
    accuracy, rand = cluster_accuracy(cultivar, labels), adjusted_rand_score(cultivar, labels)
    print(f"{name:<30}accuracy {accuracy:.2f}, adjusted Rand index {rand:.2f}, {len(set(labels))} clusters")

# %%
# How sure?
# ---------
#
# ``predict_proba`` says how a wine is divided among the clusters. Those that the mixture is least sure of are where its
# mistakes are.

chance = chosen.predict_proba(X).max(axis=1)
doubtful = np.argsort(chance)[:10]
print("least sure:", chance[doubtful].round(2))
plt.show()
