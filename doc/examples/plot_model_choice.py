"""
Choosing a model by likelihood
==============================

Which density fits a table best: one normal distribution, a few, one for every row, or a network? Nats per row of rows
that a fit has not seen compare all of them, without labels and in one table.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import entropy
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgen import (
    BayesianGaussianMixture,
    GaussianMixture,
    MixtureOfFactorAnalyzers,
    ProbabilisticPCA,
    VariationalAutoencoder,
)
from skgen.inspection import CalibrationDisplay
from skgen.meta import DensitySelector

# %%
# Families side by side
# ---------------------
#
# 569 rows of 30 measurements, a quarter of which is put aside for the end. Models that depend on units stand behind a
# scaler; their log-densities are returned to the units of the table by the scaler's Jacobian, so that they compare with
# the others. What is chosen is among these settings, fixed beforehand: any number of them may be entered, and each
# comparison has its error.

X = load_breast_cancer().data
train, test = train_test_split(X, random_state=0)


def scaled(estimator):
    """Behind a scaler."""
    return make_pipeline(StandardScaler(), estimator)


vae = VariationalAutoencoder(5, hidden_layer_sizes=(64,), learning_rate=0.01, max_iter=150, random_state=0)
candidates = {
    "one normal distribution": GaussianMixture(1),
    "probabilistic PCA, 10": scaled(ProbabilisticPCA(10)),
    "mixture, diagonal, 10": scaled(GaussianMixture(10, covariance_type="diag", reg_covar=1e-2, random_state=0)),
    "mixture, tied, 5": GaussianMixture(5, covariance_type="tied", max_iter=500, random_state=0),
    "Bayesian mixture, 5": BayesianGaussianMixture(5, max_iter=500, random_state=0),
    "factor analyzers, 5 x 6": MixtureOfFactorAnalyzers(5, n_factors=6, max_iter=500, random_state=0),
    "kernels": scaled(KernelDensity(bandwidth=0.5)),
    "autoencoder, 5": scaled(vae),
}
selector = DensitySelector(list(candidates.items()), cv=3, random_state=0).fit(train)

table = selector.results_
order = np.argsort(table["score"])[::-1]
print(f"{'candidate':<26}{'nats':>8}  {'behind the best':>16}  kind")
for i in order:
    behind = f"{table['difference'][i]:.2f} +- {table['difference_error'][i]:.2f}"
    print(f"{table['name'][i]:<26}{table['score'][i]:8.2f}  {behind:>16}  {table['score_kind'][i]}")

# %%
# Errors are those of differences between paired rows, which are smaller than those of the scores: a row that one model
# finds hard, the others find hard too. Where a difference is within two errors, take the simpler model.

figure, ax = plt.subplots(figsize=(7.5, 3.8), layout="constrained")
ax.errorbar(
    table["difference"][order], range(len(order)), xerr=2 * table["difference_error"][order], fmt="o", capsize=3
)
ax.axvline(0, color="0.7", linewidth=1)
ax.set(yticks=range(len(order)), yticklabels=table["name"][order], xlabel="nats per row behind the best, and 2 errors")
ax.invert_yaxis()

# %%
# The winner of a table is best among its candidates. Whether it is any good is another question: would its own draws
# score as new rows do? They would if the curve followed the diagonal. And its score is for new rows that nobody has
# chosen by, those put aside.

print(f"Chosen: {selector.best_name_}, {selector.score(test):.2f} nats per row of those put aside")
figure, ax = plt.subplots(figsize=(5.2, 5.2), layout="constrained")
for name in dict.fromkeys([selector.best_name_, "one normal distribution"]):
    fitted = selector.best_estimator_ if name == selector.best_name_ else candidates[name].fit(train)
    CalibrationDisplay.from_estimator(fitted, test, random_state=0, name=name, ax=ax)

# %%
# Where nats lie
# --------------
#
# A density of *rounded* values has no upper limit: it can put a narrow peak on each of them, and new rows have the same
# values. Below, the bandwidth of kernels is lowered on one pixel of scikit-learn's digits, an integer from 0 to 16, and
# on the same pixel with uniform noise that fills the gaps. The first curve never ends, and says nothing but how narrow
# the peaks are. The second has a maximum, and it is the one to choose by. It cannot exceed minus the entropy of the
# integers: the noise has taken away what was not known anyway.

pixel = load_digits().data[:, [20]]
filled = pixel + np.random.RandomState(0).uniform(size=pixel.shape)
shares = np.bincount(pixel[:, 0].astype(int)) / len(pixel)
bandwidths = np.geomspace(1e-3, 3, 15)
figure, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
for name, rows, marker in (("integers", pixel, "o"), ("gaps filled by noise", filled, "s")):
    learnt, unseen = train_test_split(rows, random_state=0)
    nats = [KernelDensity(bandwidth=each).fit(learnt).score(unseen) / len(unseen) for each in bandwidths]
    ax.semilogx(bandwidths, nats, marker=marker, markersize=4, label=name)
ax.axhline(-entropy(shares), color="0.6", linestyle="--", label="minus the entropy of the integers")
ax.set(xlabel="bandwidth, in units of a pixel", ylabel="held-out nats per row", ylim=(-5, 4))
ax.legend()
plt.show()
