"""
Pictures of models
==================

``skgen.inspection`` draws what one looks at first after a fit. Its Displays work as scikit-learn's do:
``from_estimator`` computes and draws, ``plot`` draws again, both take ``ax``, and the arrays behind the picture are
attributes. They take the package's estimators and scikit-learn's, wherever these have the methods that a picture needs.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgen import RBM, FactorAnalysis, GaussianMixture, ProbabilisticPCA, VariationalAutoencoder
from skgen.inspection import (
    CalibrationDisplay,
    FilterDisplay,
    LatentSpaceDisplay,
    LatentTraversalDisplay,
    LossCurveDisplay,
    PosteriorPlaneDisplay,
    ReconstructionDisplay,
    SamplesDisplay,
)
from skgen.likelihoods import Gaussian

# sphinx_gallery_thumbnail_number = 2

pixels, digits = load_digits(return_X_y=True)
# A pixel is an integer from 0 to 16. Noise fills the gaps, so that a density has no peaks to put there.
X = (pixels + np.random.RandomState(0).uniform(size=pixels.shape)) / 17
train, test, y_train, y_test = train_test_split(X, digits, test_size=360, stratify=digits, random_state=0)

# %%
# How did learning go?
# --------------------
#
# A variational autoencoder with two latent variables, and its bound on training and on validation rows. The final
# weights are those of the best epoch.

vae = VariationalAutoencoder(
    2,
    likelihood=Gaussian(variance="shared"),
    batch_size=64,
    max_iter=200,
    learning_rate=2e-3,
    early_stopping=True,
    n_iter_no_change=20,
    random_state=0,
).fit(train)
LossCurveDisplay.from_estimator(vae)

# %%
# Where are the rows?
# -------------------
#
# Held-out rows in its latent space; colours are labels, which it never saw. The ellipses are one standard deviation of
# the posterior of 100 of the rows. A mixture that was fitted to the latent variables can be drawn on top.

groups = GaussianMixture(10, n_init=5, random_state=0).fit(vae.transform(train))
LatentSpaceDisplay.from_estimator(vae, test, y_test, n_ellipses=100, mixture=groups, y_name="digit")

# %%
# What do they mean?
# ------------------
#
# What the plane of the latent variables decodes to, from the 2.5 to the 97.5 per cent quantile of either.

LatentTraversalDisplay.from_estimator(vae, train, plane=True, n_steps=15, image_shape=(8, 8), vmin=0, vmax=1)

# %%
# With more latent variables there is one line of images for each. Probabilistic PCA adds or takes away a pattern.

pca = ProbabilisticPCA(16).fit(train)
LatentTraversalDisplay.from_estimator(
    pca, train, start=test[0], components=range(4), image_shape=(8, 8), vmin=0, vmax=1
)

# %%
# Of a table, the change of each column is shown from the beginning to the end of a line, in standard deviations.

wine = load_wine(as_frame=True).data
factors = make_pipeline(StandardScaler().set_output(transform="pandas"), FactorAnalysis(3, rotation="varimax"))
LatentTraversalDisplay.from_estimator(factors.fit(wine), wine)

# %%
# What is left of a row?
# ----------------------
#
# Rows and what is rebuilt from sixteen numbers; and of a table the error of each column, as a share of its variance.

ReconstructionDisplay.from_estimator(pca, test, image_shape=(8, 8), n_images=14, vmin=0, vmax=1)
ReconstructionDisplay.from_estimator(factors, wine)

# %%
# What does it draw?
# ------------------
#
# Held-out rows and draws of a Boltzmann machine of black and white pixels; and, in the plane of two columns, rows and
# draws of a mixture of the wines.

rbm = RBM(n_components=64, max_iter=100, random_state=0).fit((train > 0.5).astype(np.float32))
density = make_pipeline(StandardScaler(), SklearnGaussianMixture(3, random_state=0)).fit(wine.to_numpy())
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
SamplesDisplay.from_estimator(rbm, test[:36] > 0.5, n_samples=36, image_shape=(8, 8), n_columns=12, ax=left)
SamplesDisplay.from_estimator(density, wine.to_numpy(), columns=(6, 9), random_state=0, ax=right)
right.set(xlabel=wine.columns[6], ylabel=wine.columns[9])

# %%
# What does it look for?
# ----------------------
#
# The weights of the 48 hidden units that have the largest.

FilterDisplay.from_estimator(rbm, n_filters=48, image_shape=(8, 8), n_columns=12)

# %%
# Which component?
# ----------------
#
# A mixture of the wines in all 13 columns, in the plane where its components lie apart most, by posterior and by
# density. Markers are the cultivars.

cultivar = load_wine().target
mixture = make_pipeline(StandardScaler(), GaussianMixture(3, covariance_type="tied", random_state=0)).fit(wine)
figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True, layout="constrained")
for ax, kind in zip(axes, ("posterior", "density"), strict=True):
    PosteriorPlaneDisplay.from_estimator(mixture, wine, cultivar, plane="discriminant", kind=kind, ax=ax)
    ax.label_outer()

# %%
# Is it as sure as it may be?
# ---------------------------
#
# If rows came from a model, its own draws would be as likely as rows are. So the ranks of held-out rows among draws, by
# log-likelihood, tell whether they could have: they are uniform then, and the curve stays within the band in 95 of 100
# cases. Above the diagonal, rows are less likely than what the model draws: that is what spikes do, which a mixture
# with too many components and no floor under its variances puts on the training rows. A single normal distribution is
# wrong in another way: it is as if rows were all of middling likelihood, since the model has a center that no digit is
# near to, and tails that none is in.

codes = PCA(12, random_state=0).fit(train)
candidates = {
    "5 components": GaussianMixture(5, random_state=0),
    "40 components": GaussianMixture(40, random_state=0),
    "one normal distribution": GaussianMixture(1),
}
figure, ax = plt.subplots(figsize=(5.5, 5.5), layout="constrained")
for name, candidate in candidates.items():
    candidate.fit(codes.transform(train))
    CalibrationDisplay.from_estimator(candidate, codes.transform(test), random_state=0, name=name, ax=ax)
plt.show()
