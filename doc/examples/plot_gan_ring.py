"""
Eight modes from a critic
=========================

A generator learns eight small groups of rows on a ring from a critic alone. Such rows are a test of whether a
generator forgets some of the groups, and of when it has learnt enough, which its losses do not tell.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skgen import GenerativeAdversarialNetwork
from skgen.metrics import precision_recall_density_coverage

warnings.filterwarnings("ignore", category=ConvergenceWarning)  # training is short here
random = np.random.RandomState(0)
angles = np.pi / 4 * np.arange(8)
CENTERS = 2 * np.column_stack([np.cos(angles), np.sin(angles)])


def draw(n_rows):
    """Rows around centers that are drawn with equal chances."""
    return CENTERS[random.randint(8, size=n_rows)] + 0.1 * random.normal(size=(n_rows, 2))


X = draw(3000)

# %%
# Learn
# -----
#
# After each epoch drawn rows are compared with rows held out. The weights of the best epoch are kept. Then classifiers
# learn which draws there are too many of, and some of these are refused.

model = GenerativeAdversarialNetwork(hidden_layer_sizes=(64, 64), learning_rate=2e-3, max_iter=150, random_state=0)
model.fit(X)
print(f"best epoch {model.best_iter_} of {model.n_iter_}, coverage {model.coverage_:.2f}")
print(f"share of the draws that is accepted: {model.acceptance_:.2f}")

# %%
# Look
# ----
#
# The losses of the game wander about a level; the discrepancy shows that draws have become like the rows.

drawn, fresh = model.sample(3000), draw(3000)
nearest = np.linalg.norm(drawn[:, None] - CENTERS, axis=2).argmin(axis=1)
print("share of each mode:", np.round(np.bincount(nearest, minlength=8) / len(drawn), 2))
print(precision_recall_density_coverage(fresh, drawn))

fig, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
for ax, rows, title in ((axes[0], X, "rows"), (axes[1], drawn, "draws")):
    ax.scatter(*rows.T, s=1)
    ax.set(title=title, xlim=(-3, 3), ylim=(-3, 3), aspect="equal")
for name in ("critic", "generator"):
    axes[2].plot(model.history_[name], label=name)
axes[2].plot(10 * np.abs(model.history_["validation_score"]), label="10 x discrepancy")
axes[2].set(title="progress", xlabel="epoch")
axes[2].legend()
plt.show()
