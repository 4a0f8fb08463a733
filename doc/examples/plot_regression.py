"""
Regression by a joint density
=============================

A density of rows and targets together gives the density of the target given the row, and with it a mean, a standard
deviation that depends on the row, and an answer where some of the row is missing.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgen import GaussianMixture
from skgen.meta import GenerativeRegressor

# %%
# A bent relation with noise that grows
# -------------------------------------
#
# Each component of a mixture is a linear regression with noise of its own; components take turns along x as their
# probabilities given x change.

source = np.random.RandomState(0)
x = source.uniform(0, 10, size=600)
y = np.sin(x) + 0.3 * x + source.standard_normal(600) * (0.05 + 0.06 * x)
regressor = GenerativeRegressor(GaussianMixture(8, random_state=0, max_iter=500)).fit(x[:, None], y)

grid = np.linspace(0, 10, 300)
mean, deviation = regressor.predict(grid[:, None], return_std=True)
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.plot(x, y, ".", color="0.6", markersize=4)
ax.plot(grid, mean, color="C3", label="mean of y given x")
ax.fill_between(grid, mean - 2 * deviation, mean + 2 * deviation, color="C3", alpha=0.2, label="two deviations")
ax.plot(grid, np.sin(grid) + 0.3 * grid, color="black", linestyle="--", linewidth=1, label="the truth")
ax.set(xlabel="x", ylabel="y")
ax.legend()

# %%
# Several answers
# ---------------
#
# Turned around, the relation has several x for one y. The mean lies between them, where there are hardly any rows. The
# deviation is large then and says that the mean is not to be trusted; the conditional density, a mixture again, says
# why.

turned = GaussianMixture(8, random_state=0, max_iter=500).fit(np.column_stack([y, x]))
value = 2.2
given = turned.conditional([0], [value])
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
left.plot(y, x, ".", color="0.6", markersize=4)
left.axvline(value, color="C0", linewidth=1)
left.plot(value, given.weights_ @ given.means_[:, 0], "o", color="C3", label="mean of x given y")
left.set(xlabel="y", ylabel="x")
left.legend()
right.plot(grid, np.exp(given.score_samples(grid[:, None])))
right.axvline(given.weights_ @ given.means_[:, 0], color="C3")
right.set(xlabel="x", ylabel="density", title=f"Density of x given y = {value}")

# %%
# A real table, with gaps
# -----------------------
#
# Ten measurements of patients, and how their diabetes went on. The number of components and the floor under the
# variances are chosen by cross-validation of the training rows; a single component would be linear regression. With
# complete rows there is little between the joint density and ridge regression: the relation holds no more. What the
# joint density adds is that rows may be incomplete, with no imputation before it. Ridge regression has to be given
# something, and gets column means.

X, y = load_diabetes(return_X_y=True, scaled=False)
train, test, y_train, y_test = train_test_split(X, y, random_state=0)
joint = make_pipeline(StandardScaler(), GaussianMixture(max_iter=500, random_state=0))
options = {"n_components": [1, 2, 4], "reg_covar": [1e-2, 1e-1]}
grid = {f"estimator__gaussianmixture__{name}": values for name, values in options.items()}
search = GridSearchCV(GenerativeRegressor(joint), grid).fit(train, y_train)
print({name.rpartition("__")[2]: value for name, value in search.best_params_.items()})

ridge = make_pipeline(StandardScaler(), RidgeCV()).fit(train, y_train)
shares = np.array([0, 10, 20, 40, 60])
scores = {"joint density": [], "ridge regression, gaps filled by means": []}
for share in shares:
    holes = np.random.RandomState(1).uniform(size=test.shape) < share / 100
    rows = np.where(holes, np.nan, test)
    scores["joint density"].append(search.score(rows, y_test))
    filled = np.where(holes, train.mean(axis=0), test)
    scores["ridge regression, gaps filled by means"].append(ridge.score(filled, y_test))

figure, ax = plt.subplots(figsize=(6, 3.8), layout="constrained")
for (name, values), marker in zip(scores.items(), "os", strict=True):
    print(f"{name:<40}", np.round(values, 3))
    ax.plot(shares, values, marker=marker, label=name)
ax.set(xlabel="entries of test rows missing, in per cent", ylabel="coefficient of determination", xticks=shares)
ax.legend()
plt.show()
