"""What generative models are used for, as estimators around an estimator of a density.

They work with every such estimator of the package and with scikit-learn's own.
"""

from skgen.meta.classifier import GenerativeClassifier
from skgen.meta.imputer import GenerativeImputer
from skgen.meta.outlier import GenerativeOutlierDetector
from skgen.meta.regressor import GenerativeRegressor
from skgen.meta.sampler import GenerativeOverSampler
from skgen.meta.selector import DensitySelector

__all__ = [
    "DensitySelector",
    "GenerativeClassifier",
    "GenerativeImputer",
    "GenerativeOutlierDetector",
    "GenerativeOverSampler",
    "GenerativeRegressor",
]
