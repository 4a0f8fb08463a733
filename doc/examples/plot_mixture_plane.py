"""
The posterior of a mixture over the plane
=========================================

A mixture says two things about every point of its space: how dense rows are there, and which component a row found
there would come from. With two columns both can be painted. With more columns they can be painted too, without any
approximation, on whatever plane the rows are projected to.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.linalg import eigh
from scipy.special import entr
from sklearn.datasets import load_digits, load_wine
from sklearn.decomposition import PCA

from skgen import GaussianMixture

# %%
# Two columns
# -----------
#
# Two measurements of 178 wines, and a mixture of three normal distributions with full covariances. The cultivar of a
# wine is not used; it gives the markers their shapes below.

wine = load_wine(as_frame=True)
X = wine.data[["flavanoids", "color_intensity"]]
mixture = GaussianMixture(3, random_state=0).fit(X)
print(f"{mixture.score(X):.2f} nats per row, after {mixture.n_iter_} iterations")

# %%
# A point gets the mean of the components' colours, weighted by their responsibilities, which ``predict_proba``
# returns. The exponential of the responsibilities' entropy tells among how many components the point is undecided; it
# is painted that much fainter. Ellipses are where the Mahalanobis distance to a component's mean is 1 and 2, so that
# they hold 39 and 86 per cent of its rows.


def posterior_image(mixture, grid, colours):
    """The colour of each point of a grid (rows, columns, 2)."""
    responsibilities = mixture.predict_proba(grid.reshape(-1, 2))
    blended = responsibilities @ colours
    n_candidates = np.exp(entr(responsibilities).sum(axis=1, keepdims=True))
    return (1 - 0.6 / n_candidates**1.5 * (1 - blended)).reshape(*grid.shape[:2], 3)


def draw_ellipses(ax, mixture, colours):
    """One and two standard deviations around each mean."""
    angle = np.linspace(0, 2 * np.pi, 200)
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    for mean, covariance, colour in zip(mixture.means_, mixture.covariances_, colours, strict=True):
        values, vectors = np.linalg.eigh(covariance)
        for n_deviations, width in ((1, 2.0), (2, 1.0)):
            outline = mean + n_deviations * (circle * np.sqrt(values)) @ vectors.T
            ax.plot(*outline.T, color=0.75 * colour, linewidth=width)


def grid_over(ax, rows, n=400):
    """A grid over the rows with a margin, which the axes then show."""
    low, high = rows.min(axis=0), rows.max(axis=0)
    low, high = low - 0.08 * (high - low), high + 0.08 * (high - low)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    return np.stack(np.meshgrid(*np.linspace(low, high, n).T), axis=-1), [low[0], high[0], low[1], high[1]]


colours = np.array(plt.get_cmap("Dark2").colors[:3])
plane = GaussianMixture.from_parameters(mixture.weights_, mixture.means_, mixture.covariances_)

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.6), sharex=True, sharey=True, layout="constrained")
grid, extent = grid_over(left, X.to_numpy())
left.imshow(posterior_image(plane, grid, colours), origin="lower", extent=extent, aspect="auto")
draw_ellipses(left, plane, colours)
for cultivar, marker in enumerate("os^"):
    rows = X[wine.target == cultivar]
    owner = colours[mixture.predict(rows)]
    left.scatter(*rows.to_numpy().T, c=owner, marker=marker, s=22, edgecolor="black", linewidth=0.5)
    left.plot([], [], marker, color="none", markeredgecolor="black", label=f"cultivar {cultivar}")
left.legend(loc="upper right")
left.set(title="Which component?", xlabel="flavanoids", ylabel="color intensity")

log_density = plane.score_samples(grid.reshape(-1, 2)).reshape(grid.shape[:2])
levels = np.arange(-12, 0)
filled = right.contourf(grid[..., 0], grid[..., 1], log_density, levels=levels, cmap="Greys", extend="both")
draw_ellipses(right, plane, colours)
right.set(title="How dense?", xlabel="flavanoids")
figure.colorbar(filled, ax=right, label="log-density in nats")

# %%
# Sixty-four columns
# ------------------
#
# The marginal distribution of a linear map :math:`A x` of a mixture's rows is a mixture too, with weights
# :math:`\pi_k`, means :math:`A \mu_k` and covariances :math:`A \Sigma_k A^\top`. So the density in a projection is
# exact, and so is the probability of a component given the projection alone.
#
# Here are the handwritten digits, reduced to their 20 leading principal components, and ten components that share a
# covariance. Of all planes the one is shown in which the means lie apart most, in units of the shared covariance
# :math:`\Sigma`: it is spanned by the leading solutions of :math:`B v = \lambda \Sigma v`, where :math:`B` is the
# covariance of the means.

pixels, digits = load_digits(return_X_y=True)
scores = PCA(20).fit_transform(pixels)
mixture = GaussianMixture(10, covariance_type="tied", n_init=10, max_iter=300, random_state=0).fit(scores)

deviations = mixture.means_ - mixture.weights_ @ mixture.means_
between = (deviations.T * mixture.weights_) @ deviations
A = eigh(between, mixture.covariances_)[1][:, :-3:-1].T
plane = GaussianMixture.from_parameters(
    mixture.weights_, mixture.means_ @ A.T, np.broadcast_to(A @ mixture.covariances_ @ A.T, (10, 2, 2))
)

# %%
# In these directions the shared covariance is the identity, and ellipses are circles. Numbers are the digits that the
# images show; no label was used to learn. Their colours are those of the components that all 20 columns give them, and
# the ground has the colours that the plane alone would give.

colours = np.array(plt.get_cmap("tab10").colors)
rows = scores @ A.T
figure, ax = plt.subplots(figsize=(8.5, 6.8), layout="constrained")
grid, extent = grid_over(ax, rows)
ax.imshow(posterior_image(plane, grid, colours), origin="lower", extent=extent)
draw_ellipses(ax, plane, colours)
for (x, y), digit, component in zip(rows[::3], digits[::3], mixture.predict(scores)[::3], strict=True):
    ax.text(x, y, digit, color=0.65 * colours[component], size=8, weight="bold", ha="center", va="center")
ax.set(title="Digits where their components lie apart most", xlabel="first direction", ylabel="second direction")

agree = np.mean(plane.predict(rows) == mixture.predict(scores))
print(f"The plane alone gives {agree:.0%} of the images the component that all 20 columns give them.")
plt.show()
