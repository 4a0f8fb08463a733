"""What generative models are used for, as estimators around an estimator of a density.

They work with every such estimator of the package and with scikit-learn's own.
"""

from skgen.meta.outlier import GenerativeOutlierDetector
from skgen.meta.selector import DensitySelector

__all__ = ["DensitySelector", "GenerativeOutlierDetector"]
