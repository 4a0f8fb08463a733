"""
Synthetic tables and how to judge them
======================================

A density draws rows that look like those of a table. How good are they? One number does not tell, and some popular
numbers tell nothing at all. This example draws a table from three models of rising quality and asks five questions of
each.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgen import BayesianGaussianMixture, GaussianMixture
from skgen.inspection import SamplesDisplay
from skgen.metrics import (
    classifier_two_sample_test,
    memorization_test,
    mmd_test,
    precision_recall_density_coverage,
    train_on_synthetic_score,
)

# %%
# Three models
# ------------
#
# Independent columns, one normal distribution, and a mixture. Half of the real rows are put aside before anything is
# fitted: drawn rows are compared with rows that the model has not seen, or else a model that repeats its training rows
# would win.

table = load_breast_cancer(as_frame=True)
X, y = table.data.to_numpy(), table.target.to_numpy()
train, real, y_train, y_real = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)
scaler = StandardScaler().fit(train)

models = {
    "independent columns": GaussianMixture(1, covariance_type="diag"),
    "one normal": GaussianMixture(1),
    "Bayesian mixture": BayesianGaussianMixture(5, random_state=0),
}
drawn = {name: model.fit(train).sample(len(real), random_state=1)[0] for name, model in models.items()}

# %%
# The columns of the first two have the same means and variances, and each on its own looks the same. Two columns at a
# time do not.

figure, axes = plt.subplots(1, 3, figsize=(11, 3.8), sharex=True, sharey=True, layout="constrained")
for ax, (name, rows) in zip(axes, drawn.items(), strict=True):
    SamplesDisplay(rows, real, columns=(0, 6), feature_names=list(table.feature_names)).plot(ax, s=10)
    ax.set_title(name)

# %%
# Five questions
# --------------
#
# *Can a linear classifier tell draws from real rows?* It sees a difference of means and nothing else, so that
# independent columns pass. It stands here as a warning.
#
# *Can boosted trees?* They see dependences too. The area under the curve is 0.5 where they cannot, and the p-value is
# that of the held-out rows.
#
# *Do kernel means differ?* The maximum mean discrepancy with a bandwidth of the rows' own scale, and a p-value by
# permutation. Distances are Euclidean, so columns are scaled first.
#
# *Are draws where real rows are, and everywhere where they are?* Density and coverage, 1 for a perfect copy of the
# distribution.
#
# *Are they copies?* The share of draws whose nearest real row is a training row, which should be a half here.

linear = make_pipeline(StandardScaler(), LogisticRegression())
print(f"{'':<20}{'linear':>8}{'trees':>8}{'p':>8}{'MMD p':>8}{'density':>9}{'cover':>7}{'copies':>8}{'p':>7}")
for name, rows in (drawn | {"training rows": train}).items():
    by_line = classifier_two_sample_test(real, rows, estimator=linear, random_state=0)
    by_trees = classifier_two_sample_test(real, rows, random_state=0)
    by_kernel = mmd_test(scaler.transform(real), scaler.transform(rows), random_state=0)
    support = precision_recall_density_coverage(scaler.transform(real), scaler.transform(rows))
    copies = memorization_test(*map(scaler.transform, (train, real, rows)), random_state=0)
    print(
        f"{name:<20}{by_line.auc:8.2f}{by_trees.auc:8.2f}{by_trees.pvalue:8.3f}{by_kernel.pvalue:8.3f}"
        f"{support.density:9.2f}{support.coverage:7.2f}{copies.share_closer_to_train:8.2f}{copies.pvalue:7.3f}"
    )

# %%
# The last line is what to be afraid of: the training rows themselves pass every test of quality, as they should, and
# only the test for copies tells that nothing was generated. It belongs beside every other number.
#
# What are they good for?
# -----------------------
#
# A classifier learns from drawn rows and is scored on real ones. Scores mean something between brackets: those of real
# training rows; of columns drawn independently within each class; and of rows interpolated between neighbours, which
# costs nothing and is hard to beat.

figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
brackets = {}
for name in ("one normal", "Bayesian mixture"):
    result = train_on_synthetic_score(
        models[name], train, y_train, real, y_real, classifier=linear, scoring="roc_auc", random_state=0
    )
    brackets |= {key: result[key] for key in ("real", "interpolation", "independent")} | {name: result.synthetic}
for place, (name, scores) in enumerate(brackets.items()):
    print(f"{name:<20}{scores.mean():.4f} +- {scores.std(ddof=1) / np.sqrt(len(scores)):.4f}")
    ax.plot(scores, np.full(len(scores), place), "o", alpha=0.6)
ax.set(yticks=range(len(brackets)), yticklabels=brackets, xlabel="area under the ROC curve on real rows")
ax.invert_yaxis()
plt.show()
