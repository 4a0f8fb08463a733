"""
The posterior of a mixture over the plane
=========================================

A mixture says two things about every point of its space: how dense rows are there, and which component a row found
there would come from. With two columns both can be painted. With more columns they can be painted too, without any
approximation, on whatever plane the rows are projected to.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits, load_wine
from sklearn.decomposition import PCA

from skgen import GaussianMixture
from skgen.inspection import PosteriorPlaneDisplay

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

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.6), sharex=True, sharey=True, layout="constrained")
display = PosteriorPlaneDisplay.from_estimator(mixture, X, wine.target, ax=left)
left.set_title("Which component?")
left.legend(title="cultivar", loc="upper right")
display.plot(right, kind="density", show_rows=False)
right.set_title("How dense?")
right.label_outer()

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

# %%
# In these directions the shared covariance is the identity, and ellipses are circles. Numbers are the digits that the
# images show; no label was used to learn. Their colours are those of the components that all 20 columns give them, and
# the ground has the colours that the plane alone would give.

some = slice(None, None, 3)
display = PosteriorPlaneDisplay.from_estimator(mixture, scores[some], digits[some], plane="discriminant")
display.ax_.set(title="Digits where their components lie apart most", aspect="equal")
display.figure_.set_size_inches(8.5, 6.8)

agree = np.mean(display.mixture.predict(display.rows) == display.labels)
print(f"The plane alone gives {agree:.0%} of these images the component that all 20 columns give them.")
plt.show()
