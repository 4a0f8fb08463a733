"""
Adapting a model to other rows
==============================

A model of the digits 0 to 4 is adapted to a few images of the digits 5 to 9. ``fine_tune`` learns some parts of it
and leaves the others as they are, bit for bit. Which parts must move, and what does the model forget?
"""

import copy
import warnings

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skgen import AmortizedLatentModel
from skgen.inspection import SamplesDisplay
from skgen.likelihoods import DiscretizedLogistic

warnings.filterwarnings("ignore", message="Constant column")  # corners that are always white
X, y = load_digits(return_X_y=True)
old, old_test = train_test_split(X[y < 5], test_size=200, random_state=0)
new, new_test = train_test_split(X[y >= 5], train_size=400, random_state=0)
model = AmortizedLatentModel(likelihood=DiscretizedLogistic(17), learning_rate=3e-3, max_iter=80, random_state=0).fit(
    old
)

# %%
# Parts
# -----
#
# Bounds of images that were held out, with standard errors. Gains are differences image by image, so that their errors
# are smaller than those of the bounds.

parts = {
    "as it was": None,
    "decoder": ("decoder",),
    "encoder": ("encoder",),
    "latent generator": ("latent_generator",),
    "all": ("encoder", "decoder", "latent_generator"),
}
adapted, scores = {}, {}
for name, some in parts.items():
    adapted[name] = copy.deepcopy(model)
    if some:
        adapted[name].fine_tune(new, parts=some, max_iter=20, learning_rate=1e-3)
    scores[name] = [adapted[name].score_samples(rows) for rows in (new_test, old_test)]
    gain = scores[name][0] - scores["as it was"][0]
    error = gain.std() / len(gain) ** 0.5
    new_mean, old_mean = (values.mean() for values in scores[name])
    print(f"{name:16s} new {new_mean:7.2f}, gain {gain.mean():6.2f} +- {error:.2f}; old {old_mean:7.2f}")

# %%
# Draws
# -----
#
# All parts together gain most, the decoder alone two thirds of it: the encoder still finds posteriors for what it has
# never seen. The encoder alone forgets nearly nothing and gains little, since the decoder draws old digits only. All
# that moves the decoder or the latent generator pays with the old digits. Draws of the adapted model are new digits;
# with the decoder alone they are old ones, bent.

figure, axes = plt.subplots(len(parts), figsize=(8, 5), layout="constrained")
for ax, (name, one) in zip(axes, adapted.items(), strict=True):
    SamplesDisplay(one.sample(12, random_state=0), image_shape=(8, 8)).plot(ax=ax, n_columns=12)
    ax.set_title(name, size=9)
plt.show()
