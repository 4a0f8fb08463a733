"""Pictures of fitted models, as Displays that work as scikit-learn's do.

``from_estimator`` computes and draws; ``plot`` draws again. Both take ``ax``. matplotlib, which the extra ``plot``
installs, is imported only when something is drawn. The Displays work with the estimators of this package and with
scikit-learn's, wherever these have the methods that a picture needs.
"""

from skgen.inspection.calibration import CalibrationDisplay
from skgen.inspection.filters import FilterDisplay
from skgen.inspection.latent import LatentSpaceDisplay
from skgen.inspection.loss_curve import LossCurveDisplay
from skgen.inspection.plane import PosteriorPlaneDisplay
from skgen.inspection.reconstruction import ReconstructionDisplay
from skgen.inspection.samples import SamplesDisplay
from skgen.inspection.traversal import LatentTraversalDisplay

__all__ = [
    "CalibrationDisplay",
    "FilterDisplay",
    "LatentSpaceDisplay",
    "LatentTraversalDisplay",
    "LossCurveDisplay",
    "PosteriorPlaneDisplay",
    "ReconstructionDisplay",
    "SamplesDisplay",
]
