"""
How many components?
====================

The likelihood of the training rows rises with every component, so it cannot choose their number. Three criteria can:
the likelihood of held-out rows, BIC and ICL. They answer different questions.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_blobs
from sklearn.model_selection import GridSearchCV

from skgen import GaussianMixture
from skgen.inspection import LatentSpaceDisplay

# sphinx_gallery_thumbnail_number = 2

# %%
# Three groups of rows with long tails, those of Student's t with three degrees of freedom. No normal distribution has
# them.

centers = np.array([[-5, 0], [5, 0], [0, 6]])
X, group = make_blobs(600, centers=centers, random_state=0)
spread = np.sqrt(3 / np.random.RandomState(0).chisquare(3, size=(600, 1)))
X = centers[group] + (X - centers[group]) * spread

# %%
# **Held-out nats.** ``score`` is the log-likelihood in nats per row, so that ``GridSearchCV`` finds the number of
# components, or the structure of their covariances, without labels. The question is which density is nearest to that of
# new rows.
#
# **BIC** (Schwarz 1978), :math:`-2 \log p(X) + m \log n` for :math:`m` parameters and :math:`n` rows, approximates the
# evidence of each number of components from a single fit. The question is which of the models the rows came from.
#
# **ICL** (Biernacki, Celeux and Govaert 2000) adds twice the entropy of the responsibilities. Components pay for
# overlapping, and the question is how many groups there are that can be told apart.
#
# BIC and ICL are better when lower. Divided by :math:`-2n` they are in nats per row, and better when higher.

numbers = np.arange(1, 9)
search = GridSearchCV(GaussianMixture(max_iter=1000, random_state=0), {"n_components": numbers}, cv=5).fit(X)
fitted = [GaussianMixture(k, max_iter=1000, random_state=0).fit(X) for k in numbers]
curves = {
    "held-out rows": search.cv_results_["mean_test_score"],
    "BIC / -2n": [-each.bic(X) / (2 * len(X)) for each in fitted],
    "ICL / -2n": [-each.icl(X) / (2 * len(X)) for each in fitted],
}
best = {name: int(np.argmax(curve)) for name, curve in curves.items()}
for name, index in best.items():
    print(f"{name:<14}{numbers[index]} components")

figure, ax = plt.subplots(figsize=(7, 4.3), layout="constrained")
ax.plot(numbers, [each.score(X) for each in fitted], color="0.6", label="training rows")
for (name, curve), marker in zip(curves.items(), "os^", strict=True):
    ax.plot(numbers, curve, marker=marker, markersize=4, label=name)
    ax.plot(numbers[best[name]], curve[best[name]], marker, markersize=11, color=ax.lines[-1].get_color())
ax.set(xlabel="number of components", ylabel="nats per row", xticks=numbers, title="The best of each curve is large")
ax.legend()

# %%
# For BIC a wide component under the narrow ones takes care of the tails. It overlaps with all of them, so ICL does
# without it. Both are right: use BIC or held-out rows for a density, ICL for groups. Ellipses are at one and two
# standard deviations.

figure, axes = plt.subplots(1, 2, figsize=(10, 4.6), sharex=True, sharey=True, layout="constrained")
for ax, name in zip(axes, ["BIC / -2n", "ICL / -2n"], strict=True):
    mixture = fitted[best[name]]
    LatentSpaceDisplay.from_estimator(mixture, X, ax=ax, s=8)
    ax.set(title=f"{name.split()[0]}: {mixture.n_components_} components", xlim=(-14, 14), ylim=(-10, 16))
    ax.label_outer()
plt.show()
