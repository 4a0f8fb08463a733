"""
Files that can be trusted, and fits that survive
================================================

A fitted estimator is written to a file that runs no code when it is read, and a fit that was stopped in the middle goes
on from a checkpoint as if nothing had happened.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import skops.io
from sklearn.datasets import load_wine
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgen import VariationalAutoencoder
from skgen.callbacks import Checkpoint, TimeBudget

X = load_wine().data
folder = Path(tempfile.mkdtemp())

# %%
# A fit in pieces
# ---------------
#
# ``Checkpoint`` saves the state of training. A budget of a tenth of a second stands for whatever ends a process; the
# same ``fit`` again goes on after the last epoch saved, until it is done. The curve is that of a fit that was never
# stopped, to the last bit.

scaled = StandardScaler().fit_transform(X)
options = {"hidden_layer_sizes": (32,), "max_iter": 200, "kl_warmup": 0, "random_state": 0}
whole = VariationalAutoencoder(**options).fit(scaled)

pieces = VariationalAutoencoder(**options).set_callbacks(Checkpoint(folder), TimeBudget(0.1))
stops = []
while not stops or stops[-1] < whole.n_iter_:
    stops.append(pieces.fit(scaled).n_iter_)
print(f"{len(stops)} pieces; equal: {pieces.history_ == whole.history_}")

figure, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
ax.plot(1 + np.arange(whole.n_iter_), whole.history_["elbo"], color="0.7", linewidth=5, label="in one go")
for begin, end in zip([0, *stops[:-1]], stops, strict=True):
    ax.plot(np.arange(begin, end) + 1, pieces.history_["elbo"][begin:end])
ax.set(xlabel="epoch", ylabel="bound in nats", title=f"{len(stops)} pieces in colours")
ax.legend()

# %%
# A pipeline in a file
# --------------------
#
# skops writes a pipeline as a description and arrays. Reading it builds only what is known to be harmless or what the
# reader names: the list of what the file asks for is to be read by a person, and not to be handed back unread.

pipeline = make_pipeline(StandardScaler(), VariationalAutoencoder(**options)).fit(X)
path = folder / "pipeline.skops"
skops.io.dump(pipeline, path)
print(f"{path.stat().st_size / 1024:.0f} KiB; it asks for")
for name in skops.io.get_untrusted_types(file=path):
    print("   ", name)

# %%
# These are the estimator and its parts, all of skgen, and so they may be trusted.

allowed = [
    "skgen.estimators.vae.VariationalAutoencoder",
    "skgen.likelihoods.gaussian.Gaussian",
    "skgen.posteriors.diagonal.Diagonal",
    "skgen.priors.normal.Normal",
]
again = skops.io.load(path, trusted=allowed)
print("equal scores:", np.array_equal(again.score_samples(X), pipeline.score_samples(X)))
plt.show()
