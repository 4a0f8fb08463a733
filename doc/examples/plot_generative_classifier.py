"""
A classifier of densities
=========================

One density for each class and Bayes' rule make a classifier. It is often as good as one that was trained to classify,
and knows two things that such a one does not: what to do when some of a row is missing, and when a row is of no class
at all.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skgen import GaussianMixture
from skgen.meta import GenerativeClassifier

# %%
# A density for each digit
# ------------------------
#
# The floor under the variances is what matters most, since a digit has fewer images than its covariances have entries.
# Floor and number of components are chosen by cross-validation of the training images.

X, y = load_digits(return_X_y=True)
X = (X + np.random.RandomState(0).uniform(size=X.shape)) / 17  # noise as wide as the rounding of the pixels
train, test, y_train, y_test = train_test_split(X, y, test_size=600, stratify=y, random_state=0)

classifier = GenerativeClassifier(GaussianMixture(max_iter=300, random_state=0))
grid = {"estimator__n_components": [1, 3], "estimator__reg_covar": [1e-2, 3e-2]}
search = GridSearchCV(classifier, grid, cv=3).fit(train, y_train)
print(search.best_params_)

svc = make_pipeline(StandardScaler(), SVC()).fit(train, y_train)
for name, each in (("densities", search), ("support vectors", svc)):
    print(f"{name:<16}accuracy {each.score(test, y_test):.3f} on test images")

# %%
# Pixels are missing
# ------------------
#
# A density of some of the columns follows from that of all of them, so that a row with gaps is classified by what is
# there, and nothing is fitted again. The other classifier has to be given something; it gets the means of the columns.

shares = np.array([0, 20, 40, 60, 80])
accuracy = {"densities": [], "support vectors, gaps filled by means": []}
for share in shares:
    gaps = np.random.RandomState(0).uniform(size=test.shape) < share / 100
    accuracy["densities"].append(search.score(np.where(gaps, np.nan, test), y_test))
    filled = np.where(gaps, train.mean(axis=0), test)
    accuracy["support vectors, gaps filled by means"].append(svc.score(filled, y_test))

figure, ax = plt.subplots(figsize=(6, 3.8), layout="constrained")
for (name, values), marker in zip(accuracy.items(), "os", strict=True):
    print(f"{name:<40}", np.round(values, 3))
    ax.plot(shares, values, marker=marker, label=name)
ax.set(xlabel="pixels missing, in per cent", ylabel="accuracy on test images", xticks=shares, ylim=(0, 1.02))
ax.legend()

# %%
# Of no class at all
# ------------------
#
# Probabilities of classes add up to 1 whatever the image. The density behind them, ``predict_joint_log_proba`` added up
# over the classes, is low where there is no such digit: here for test images that are upside down. Zeros, ones and
# eights look alike both ways, and sixes and nines are each other; so the two histograms overlap.

turned = test.reshape(-1, 8, 8)[:, ::-1, ::-1].reshape(-1, 64)
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
for name, rows in (("as written", test), ("upside down", turned)):
    joint = search.best_estimator_.predict_joint_log_proba(rows)
    left.hist(np.logaddexp.reduce(joint, axis=1), np.linspace(-60, 50, 40), alpha=0.6, label=name)
    right.hist(search.predict_proba(rows).max(axis=1), np.linspace(0, 1, 40), alpha=0.6, label=name)
left.set(xlabel="log-density in nats", ylabel="images")
right.set(xlabel="probability of the most probable class", yscale="log")
left.legend()
plt.show()
