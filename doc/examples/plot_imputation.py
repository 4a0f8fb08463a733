"""
Intervals for what is missing
=============================

Filling in a table gives one value where there was none, and hides that it was guessed. Draws show how far the guess can
be trusted: this example hides entries that are known, and looks how often they lie in the intervals of the draws.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 IterativeImputer needs it
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgen import GaussianMixture, ProbabilisticPCA
from skgen.meta import GenerativeImputer

# %%
# How near are the guesses?
# -------------------------
#
# Three entries in ten are hidden, in training and in test rows, at random and in columns of different kinds. The error
# is that of hidden entries of test rows, in standard deviations of their columns.

table = load_diabetes(as_frame=True, scaled=False).data
complete = table.to_numpy()
hidden = np.random.RandomState(0).uniform(size=complete.shape) < 0.3
rows = np.where(hidden, np.nan, complete)
train, test, _, truth, _, unknown = train_test_split(rows, complete, hidden, test_size=0.4, random_state=0)
scale = np.nanstd(train, axis=0)

imputers = {
    "column means": SimpleImputer(),
    "5 nearest neighbours": make_pipeline(StandardScaler(), KNNImputer()),
    "columns in turns": IterativeImputer(max_iter=30, tol=1e-2, random_state=0),
    "probabilistic PCA": GenerativeImputer(make_pipeline(StandardScaler(), ProbabilisticPCA(4, max_iter=1000))),
    "one normal distribution": GenerativeImputer(),
    "mixture of three": GenerativeImputer(
        make_pipeline(StandardScaler(), GaussianMixture(3, reg_covar=1e-2, max_iter=500, random_state=0))
    ),
}
for name, imputer in imputers.items():
    start = time.process_time()
    filled = imputer.fit(train).transform(test)
    seconds = time.process_time() - start
    if name == "5 nearest neighbours":
        filled = imputer[0].inverse_transform(filled)
    error = np.sqrt(np.mean((((filled - truth) / scale)[unknown]) ** 2))
    print(f"{name:<26}error {error:.3f}, {1000 * seconds:6.0f} ms")

# %%
# How sure are they?
# ------------------
#
# ``draw`` gives whole tables, each a possible one. Of every hidden entry the quantiles of its draws are an interval; if
# the density is right, ninety in a hundred entries lie in the interval of ninety per cent. Overall about as many do, in
# single columns not always. Each has some fifty hidden entries, so that its share has an error of four points; beyond
# that, the columns are none of them normally distributed, and sex has two values only.

imputer = imputers["one normal distribution"]
draws = imputer.draw(test, 300)
levels = np.linspace(0.05, 0.95, 19)
shares = []
for level in levels:
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
    shares.append(((low <= truth) & (truth <= high))[unknown].mean())
low, high = np.quantile(draws, [0.05, 0.95], axis=0)
inside = (low <= truth) & (truth <= high)
print(f"in the interval of 90 per cent: {inside[unknown].mean():.1%}")

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", width_ratios=[2, 3])
left.plot([0, 1], [0, 1], color="0.7", linewidth=1)
left.plot(levels, shares, marker="o", markersize=4)
left.set(xlabel="level of the interval", ylabel="share of hidden entries in it", title="All columns")
each = [inside[:, column][unknown[:, column]].mean() for column in range(len(table.columns))]
right.bar(table.columns, each)
right.axhline(0.9, color="black", linewidth=1, linestyle="--")
right.set(ylim=(0.5, 1), title="Interval of 90 per cent, column by column")

# %%
# A single table that has been filled in by means is too regular, and one that has been filled in by draws is as
# irregular as the truth. Correlations show it.

tables = {
    "truth": truth,
    "means": imputer.transform(test),
    "one draw": draws[0],
}
pair = [table.columns.get_loc(name) for name in ("bmi", "bp")]
figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), sharex=True, sharey=True, layout="constrained")
for ax, (name, values) in zip(axes, tables.items(), strict=True):
    x, y = values[:, pair].T
    guessed = unknown[:, pair].any(axis=1)
    ax.plot(x[~guessed], y[~guessed], ".", color="0.6", markersize=5)
    ax.plot(x[guessed], y[guessed], "x", color="C3", markersize=4)
    ax.set(title=f"{name}: correlation {np.corrcoef(x, y)[0, 1]:.2f}", xlabel="body mass index")
axes[0].set_ylabel("blood pressure")
plt.show()
