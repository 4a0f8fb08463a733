"""
A search in several processes
=============================

``GridSearchCV`` hands its fits to joblib, and joblib to whatever runs them: processes on this machine, or a cluster of
dask or ray. This example uses processes and keeps the learning curve of every fit, also of those that the search throws
away.
"""

import tempfile
from pathlib import Path

import joblib
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgen import VariationalAutoencoder
from skgen.callbacks import LossMonitor

# %%
# Fits that record themselves
# ---------------------------
#
# A fit is in another process, and its copy of the estimator is gone when the search ends. ``LossMonitor(path)`` appends
# every epoch to a file that all processes share.

X = load_breast_cancer().data
path = Path(tempfile.mkdtemp()) / "losses.jsonl"
vae = VariationalAutoencoder(hidden_layer_sizes=(64,), max_iter=60, batch_size=64, random_state=0).set_callbacks(
    LossMonitor(path)
)
grid = {
    "variationalautoencoder__n_components": [2, 8],
    "variationalautoencoder__learning_rate": [1e-3, 1e-2],
}
search = GridSearchCV(make_pipeline(StandardScaler(), vae), grid, cv=3, refit=False)

# %%
# Where they run
# --------------
#
# The backend is named around the call, and nothing in the search or in the estimator changes. Two processes with one
# thread each use two cores without quarrelling; small networks gain nothing from more threads. With
# ``backend="dask"`` in this line, and a client of a cluster made before it, the fits run there.

with joblib.parallel_config(backend="loky", n_jobs=2, inner_max_num_threads=1):
    search.fit(X)

results = search.cv_results_
for place in np.argsort(results["rank_test_score"]):
    values = {name.partition("__")[2]: value for name, value in results["params"][place].items()}
    score, spread = results["mean_test_score"][place], results["std_test_score"][place]
    print(f"{score:7.2f} +- {spread / np.sqrt(3):.2f} nats per row in units of the scaler, {values}")

# %%
# What they recorded
# ------------------
#
# Twelve fits, in the order in which they began. The names and numbers of the tasks that lead to a fit are in its
# ``task``; the search numbers its fits, fold after fold of the first candidate, then of the second. Curves that still
# rise at the end ask for more epochs.

logs = LossMonitor(path).get_logs()
print(f"{len(logs)} fits; the tasks of the first one: {logs[0]['task']}")

figure, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
for log in sorted(logs, key=lambda log: log["task"][2][2]):
    candidate, fold = divmod(log["task"][2][2], 3)
    values = results["params"][candidate].values()
    label = "learning rate {}, {} latent variables".format(*values) if fold == 0 else None
    curve = log["history"]["elbo"]
    ax.plot(1 + np.arange(len(curve)), curve, color=f"C{candidate}", linewidth=1, label=label)
ax.set(xlabel="epoch", ylabel="bound on training rows, in nats")
ax.legend()
plt.show()
