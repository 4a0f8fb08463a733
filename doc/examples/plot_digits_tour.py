"""
A tour with the digits
======================

A variational autoencoder learns how rows of data come about: latent variables are drawn, and a network turns
them into a row. In skgen it is a scikit-learn estimator. This tour uses it on scikit-learn's handwritten
digits in the three ways that scikit-learn's users know: as a step of a tuned pipeline, as a density, and as a
source of features when labels are few. It ends with pictures.
"""

from pathlib import Path

import numpy as np
from sklearn.callback import ProgressBar
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, StratifiedShuffleSplit, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skgen import VariationalAutoencoder
from skgen.inspection import LatentSpaceDisplay, ReconstructionDisplay, SamplesDisplay
from skgen.likelihoods import Gaussian

# %%
# The data
# --------
#
# A pixel is an integer from 0 to 16. A density of integers has no upper limit: a model that puts a narrow
# peak on each of them scores as high as it likes. So every pixel gets uniform noise that fills the gap to the
# next integer. Columns that never vary in the training rows say nothing and are left out.

pixels, digits = load_digits(return_X_y=True)
noise = np.random.RandomState(0).uniform(size=pixels.shape)
X = (pixels + noise) / 17
X_train, X_test, y_train, y_test, pixels_train, pixels_test = train_test_split(
    X, digits, pixels, test_size=360, stratify=digits, random_state=0
)
varies = pixels_train.min(axis=0) < pixels_train.max(axis=0)
X_train, X_test = X_train[:, varies], X_test[:, varies]
print(f"{len(X_train)} training rows, {len(X_test)} test rows, {X_train.shape[1]} columns")

# %%
# A tuned pipeline
# ----------------
#
# The autoencoder is a transformer, so it stands between a scaler and a classifier, and ``GridSearchCV`` tunes
# it together with them. The progress bars are scikit-learn's own: one for the search, below it one for each
# pipeline, and below that one for each step, which counts the epochs of the autoencoder.

pipeline = Pipeline(
    [
        ("scaler", StandardScaler()),
        ("vae", VariationalAutoencoder(max_iter=40, learning_rate=2e-3, batch_size=64, random_state=0)),
        ("classifier", LogisticRegression(max_iter=500)),
    ]
)
search = GridSearchCV(pipeline, {"vae__n_components": [4, 16]}, cv=3, n_jobs=2)
search.set_callbacks(ProgressBar(max_propagation_depth=2))
search.fit(X_train, y_train)

for n_components, accuracy in zip([4, 16], search.cv_results_["mean_test_score"], strict=True):
    print(f"{n_components:2d} latent variables: accuracy {accuracy:.3f} in cross-validation")
print(f"Accuracy of the best pipeline on the test rows: {search.score(X_test, y_test):.3f}")

# %%
# A density
# ---------
#
# ``score_samples`` is the log-likelihood of each row in nats, with all constants, so different models can be
# compared. Here are probabilistic PCA, a mixture of Gaussians and the autoencoder. Each has its own ways of
# holding back from the training rows, and each has them chosen by cross-validation on the training rows. The
# noise of a pixel depends on the digit: near the border it is nearly always blank. So the autoencoder's
# network gives variances too.

vae = VariationalAutoencoder(
    likelihood=Gaussian(variance="network"),
    batch_size=64,
    max_iter=100,
    learning_rate=2e-3,
    learning_rate_schedule="cosine",
    random_state=0,
)
candidates = {
    "PCA": (PCA(), {"n_components": [10, 20, 30, 40, 50, 55, 59]}),
    "GaussianMixture": (
        GaussianMixture(n_init=2, max_iter=300, random_state=0),
        [
            {"covariance_type": ["full"], "n_components": [3, 5, 8], "reg_covar": [1e-4, 3e-4, 1e-3]},
            {"covariance_type": ["diag"], "n_components": [30, 60, 90], "reg_covar": [1e-4, 3e-4, 1e-3]},
        ],
    ),
    "VariationalAutoencoder": (vae, {"n_components": [8, 12], "dropout": [0.0, 0.05, 0.1]}),
}
densities = {}
for name, (estimator, grid) in candidates.items():
    search = GridSearchCV(estimator, grid, cv=3, n_jobs=2).fit(X_train)
    densities[name] = search.best_estimator_
    print(f"{name}: {search.best_params_}, {search.best_score_:.2f} nats in cross-validation")

# %%
# Only now are the test rows scored. PCA and the mixture give their exact likelihood. The autoencoder's is an
# integral over the latent variables, and its score is a lower bound: that of 1024 draws for each row.


def describe(values):
    """Mean and standard error."""
    return f"{values.mean():6.2f} +- {values.std(ddof=1) / np.sqrt(len(values)):.2f}"


vae = densities["VariationalAutoencoder"]
vae.set_params(n_score_draws=1024)
nats = {name: density.score_samples(X_test) for name, density in densities.items()}

print("Held-out nats per row, mean and standard error (higher is better)")
for name, values in nats.items():
    print(f"  {name:<24}{describe(values)}")
for name in ("PCA", "GaussianMixture"):
    print(f"  gain over {name:<24}{describe(nats['VariationalAutoencoder'] - nats[name])}")

# %%
# Few labels
# ----------
#
# Rows without labels are cheap, labels are not. The autoencoder learns from all training rows, none of them
# labelled; a classifier then learns from 100 labelled rows. It sees the latent variables, or the pixels as
# the autoencoder rebuilds them, or, for comparison, the pixels themselves. The penalty of each classifier is
# chosen by cross-validation within its 100 rows; the settings of the autoencoder come from a few trials with
# the labels of training rows, more than 100 of them. One noise variance that all pixels share makes the latent
# variables describe the large strokes, and not the faint pixels at the border.

encoder = VariationalAutoencoder(
    n_components=16,
    likelihood=Gaussian(variance="shared"),
    dropout=0.3,
    batch_size=64,
    max_iter=60,
    learning_rate=2e-3,
    learning_rate_schedule="cosine",
    random_state=0,
).fit(X_train)


def views(rows):
    """What each classifier sees."""
    latent = encoder.transform(rows)
    rebuilt = encoder.inverse_transform(latent)
    return {"latent variables": latent, "rebuilt pixels": rebuilt, "raw pixels": rows}


train = views((pixels_train[:, varies] + 0.5) / 17)
test = views((pixels_test[:, varies] + 0.5) / 17)
accuracy = {name: [] for name in train}
draws = StratifiedShuffleSplit(n_splits=10, train_size=100, random_state=0)
for labelled, _ in draws.split(X_train, y_train):
    for name in train:
        classifier = GridSearchCV(LogisticRegression(max_iter=1000), {"C": [0.1, 1, 10, 100]}, cv=3)
        classifier.fit(train[name][labelled], y_train[labelled])
        accuracy[name].append(100 * classifier.score(test[name], y_test))

accuracy = {name: np.array(values) for name, values in accuracy.items()}
print("Test accuracy with 100 labels in per cent, mean and standard error over 10 draws of the labels")
for name, values in accuracy.items():
    print(f"  {name:<20}{describe(values)}")
for name in ("latent variables", "rebuilt pixels"):
    print(f"  gain of {name:<20}{describe(accuracy[name] - accuracy['raw pixels'])}")

# %%
# Small pictures like these are an easy case for a linear classifier of pixels. A code of 16 numbers does not
# beat it, and the rebuilt pixels are level with it, within the standard error.

# %%
# Pictures
# --------
#
# The pictures are also written to the folder ``demo_output``. First, digits that the tuned density draws.

folder = Path("demo_output")
folder.mkdir(exist_ok=True)


def images(rows):
    """Rows with the columns that were left out."""
    full = np.zeros((len(rows), 64))
    full[:, varies] = rows
    return full


display = SamplesDisplay(images(vae.sample(60, random_state=1)), image_shape=(8, 8))
display.plot(n_columns=12, vmin=0, vmax=1).ax_.set_title("Digits drawn from the model")
display.figure_.savefig(folder / "samples.png", dpi=150)

# %%
# Test rows and what is left of each after it has passed through the latent variables.

rows = X_test[[np.flatnonzero(y_test == digit)[0] for digit in range(10)]]
rebuilt = vae.inverse_transform(vae.transform(rows))
display = ReconstructionDisplay(images(rows), images(rebuilt), image_shape=(8, 8)).plot(vmin=0, vmax=1)
display.ax_.set_title(f"Test rows, rebuilt from {vae.n_components} numbers")
display.figure_.savefig(folder / "reconstructions.png", dpi=150)

# %%
# With two latent variables the whole space can be seen. Nothing here has seen a label; colours were added
# afterwards. Ellipses show how sure the model is of where some of the rows are.

plane = VariationalAutoencoder(
    n_components=2,
    likelihood=Gaussian(variance="shared"),
    batch_size=64,
    max_iter=120,
    learning_rate=2e-3,
    learning_rate_schedule="cosine",
    random_state=0,
).fit(X_train)

display = LatentSpaceDisplay.from_estimator(plane, X_train, y_train, y_name="digit", s=8)
display.ax_.set_title("Training rows in the latent space")
display.figure_.savefig(folder / "latent_space.png", dpi=150)

print(f"Wrote samples.png, reconstructions.png and latent_space.png to {folder}/")
