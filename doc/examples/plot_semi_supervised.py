"""
Few labels and many rows
========================

:class:`skgen.VariationalClassifier` learns from images of digits of which 100 have a label. The others teach what
digits look like, whatever they are. The same model then draws digits of the class that is asked for.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skgen import VariationalClassifier

X, y = load_digits(return_X_y=True)
train, test, y_train, y_test = train_test_split(X / 16, y, test_size=400, stratify=y, random_state=0)
seen = train.std(axis=0) > 0
train, test = train[:, seen], test[:, seen]

known = np.random.RandomState(0).permutation(len(train))[:100]
some = np.full(len(train), -1)
some[known] = y_train[known]

# %%
# With and without the rows that have no label
# --------------------------------------------
#
# ``unlabelled=-1`` says which label stands for none. Beside it stands the same model, fitted to the 100 labelled images
# alone, for about as many steps.

parameters = {"likelihood": "bernoulli", "hidden_layer_sizes": (128,), "random_state": 0}
both = VariationalClassifier(unlabelled=-1, max_iter=100, **parameters).fit(train, some)
varied = train[known].std(axis=0) > 0
alone = VariationalClassifier(max_iter=1000, **parameters).fit(train[known][:, varied], y_train[known])
print(f"accuracy with all images {both.score(test, y_test):.3f}")
print(f"accuracy with 100 images {alone.score(test[:, varied], y_test):.3f}")
print(f"log p(x) at least {both.score_samples(test).mean():.1f} nats per image")
print(f"log p(x | y) at least {both.score_samples(test, y_test).mean():.1f} nats per image")

# %%
# Digits on demand
# ----------------
#
# Each column has one draw of the latent variables, the style, and each row one class.

styles = np.random.default_rng(0).normal(size=(12, 10))
figure, axes = plt.subplots(10, 12, figsize=(6, 5.2), layout="constrained")
for digit, row in enumerate(axes):
    images = np.zeros((12, 64))
    images[:, seen] = both.inverse_transform(styles, y=digit)
    for ax, image in zip(row, images, strict=True):
        ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
