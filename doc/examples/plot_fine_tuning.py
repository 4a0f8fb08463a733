"""
Fine-tuning a pretrained model
==============================

What has been learnt from many rows without labels can start what is learnt from few. scikit-learn's ``FrozenEstimator``
keeps a fitted model as it is through ``clone`` and searches; ``warm_start`` goes on from the weights that are there.
"""

import pickle

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgen import RBMStack, RBMStackClassifier, VariationalAutoencoder
from skgen.likelihoods import Gaussian

# %%
# A network that starts from a stack
# ----------------------------------
#
# A stack of Boltzmann machines learns from all training images, once. Then a classifier starts from it for several
# numbers of labels and draws of them. Since the stack is frozen, every fit takes it as it is. Beside it stand the same
# network from random weights, and logistic regression on what the frozen stack makes of the images.

X, y = load_digits(return_X_y=True)
train, test, y_train, y_test = train_test_split(X / 16, y, test_size=400, stratify=y, random_state=0)
stack = FrozenEstimator(RBMStack((100,), max_iter=20, random_state=0).fit(train))

numbers = (50, 200)
ways = {
    "network from the stack": RBMStackClassifier(stack, unlabelled=-1, max_iter=1000, random_state=0),
    "network from random weights": RBMStackClassifier(
        stack, unlabelled=-1, pretrained=False, max_iter=1000, random_state=0
    ),
    "logistic regression on the stack": make_pipeline(stack, StandardScaler(), LogisticRegression(max_iter=1000)),
}
accuracy = {name: np.zeros((3, len(numbers))) for name in ways}
for seed in range(3):
    order = np.random.RandomState(seed).permutation(len(train))
    for i, number in enumerate(numbers):
        known = order[:number]
        for name, way in ways.items():
            learner = clone(way)
            if isinstance(learner, RBMStackClassifier):
                labels = np.full(len(train), -1)
                labels[known] = y_train[known]
                learner.fit(train, labels)
            else:
                learner.fit(train[known], y_train[known])
            accuracy[name][seed, i] = learner.score(test, y_test)

figure, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
for (name, values), marker in zip(accuracy.items(), "os^", strict=True):
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    print(
        f"{name:<34}", *(f"{mean:.3f} +- {spread:.3f}" for mean, spread in zip(values.mean(axis=0), error, strict=True))
    )
    ax.errorbar(numbers, values.mean(axis=0), error, marker=marker, capsize=3, label=name)
ax.set(xscale="log", xticks=numbers, xticklabels=numbers, xlabel="labels", ylabel="accuracy on test images")
ax.minorticks_off()
ax.legend()

# %%
# Pretraining gains nothing here: 1397 images are few for a stack, and a network of one layer learns them as well
# from random weights. The labels have moved the network far from the features of the stack, which by themselves do
# worse. So compare with ``pretrained=False`` before believing in it.
#
# A density for a new kind of rows
# --------------------------------
#
# An autoencoder has learnt the digits from 0 to 7 and is to learn eights, of which there are a few dozen. With
# ``warm_start`` another ``fit`` goes on from its weights, on a copy, so that the model of the other digits stays.
# Beside it stands the same network from random weights, for as many epochs, and the old model as it is.

rows = (X + np.random.RandomState(0).uniform(size=X.shape)) / 17
eights, others = rows[y == 8], rows[y < 8]
known, unseen = eights[:60], eights[60:]
options = {"n_components": 8, "hidden_layer_sizes": (128,), "batch_size": 64, "random_state": 0}
options["likelihood"] = Gaussian(variance="shared")
pretrained = VariationalAutoencoder(max_iter=80, learning_rate=2e-3, warm_start=True, **options).fit(others)

epochs = (10, 100, 1000)
held_out = {"from the other digits": [], "from random weights": []}
for number in epochs:
    tuned = pickle.loads(pickle.dumps(pretrained)).set_params(max_iter=number, kl_warmup=0, learning_rate=5e-4)
    held_out["from the other digits"].append(tuned.fit(known).score(unseen))
    fresh = VariationalAutoencoder(max_iter=number, kl_warmup=0, learning_rate=2e-3, **options)
    held_out["from random weights"].append(fresh.fit(known).score(unseen))

figure, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
for (name, values), marker in zip(held_out.items(), "os", strict=True):
    print(f"{name:<24}", np.round(values, 1))
    ax.semilogx(epochs, values, marker=marker, label=name)
ax.axhline(pretrained.score(unseen), color="0.5", linestyle="--", label="the model of the other digits, as it is")
ax.set(xticks=epochs, xticklabels=epochs, xlabel="epochs on 60 eights", ylabel="nats per row of other eights")
ax.minorticks_off()
ax.legend()
plt.show()
