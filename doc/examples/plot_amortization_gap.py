"""
What an encoder costs
=====================

An encoder gives the posteriors of all rows by one function, and so none of them is as good as what a search for the row
alone would find. The amortisation gap is what the bound of a row loses by it. What remains is the approximation gap:
the family of the posterior has no member that is the exact one. Both are estimated here for images that the model has
not seen, with standard errors, against the steps of the search.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skgen import AmortizedLatentModel
from skgen.likelihoods import Gaussian

warnings.filterwarnings("ignore", message="Constant column")  # corners that are always white
X_train, X_test = train_test_split(load_digits().data / 16, test_size=100, random_state=0)
model = AmortizedLatentModel(6, likelihood=Gaussian("shared"), learning_rate=3e-3, max_iter=60, random_state=0).fit(
    X_train
)


def mean(values):
    """Mean over rows, and its standard error: that of the rows, which holds that of the draws."""
    return values.mean(), values.std(ddof=1) / len(values) ** 0.5


# %%
# The gap against the steps of the search
# ---------------------------------------
#
# ``refine_steps`` is no part of what was learnt and can be set on a fitted model. Draws of a row are the same at every
# number of steps, so that the curve shows the search and not the draws. They are others than those that the search
# raises the bound at: a gap that came of fitting the draws would not count.
#
# Most of what the encoder costs is found in a few steps, and after sixteen nothing is left to find: what remains is the
# family's. Here the encoder costs several times as much as the family.

steps = [1, 2, 4, 8, 16, 32]
gaps = {}
for n_steps in steps:
    model.set_params(refine_steps=n_steps)
    gaps[n_steps] = [mean(gap(X_test, n_draws=500)) for gap in (model.amortization_gap, model.approximation_gap)]
    (amortised, error), (family, family_error) = gaps[n_steps]
    print(f"{n_steps:3d} steps: {amortised:.3f} +- {error:.3f}, left {family:.3f} +- {family_error:.3f} nats")

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for k, name in enumerate(("amortisation: raised by the search", "approximation: left after it")):
    values, errors = np.transpose([gaps[n][k] for n in steps])
    ax.errorbar(steps, values, 2 * errors, marker="o", capsize=3, label=name)
ax.set(xlabel="steps of the search", ylabel="nats per row, two standard errors", xscale="log", ylim=(0, None))
ax.legend()
plt.show()
