"""Measures of generative models: functions of arrays that return a number, or several by name.

Nothing is downloaded, and no global random state is used. Distances are Euclidean in the units of the columns, so
columns of different units are scaled first.
"""

from skgen.metrics.fidelity import frechet_distance, kernel_distance, precision_recall_density_coverage
from skgen.metrics.latent import cluster_accuracy, mutual_information_gap
from skgen.metrics.reconstruction import mean_squared_reconstruction, perceptual_distance, structural_similarity
from skgen.metrics.synthetic import memorization_test, train_on_synthetic_score
from skgen.metrics.two_sample import classifier_two_sample_test, mmd_test

__all__ = [
    "classifier_two_sample_test",
    "cluster_accuracy",
    "frechet_distance",
    "kernel_distance",
    "mean_squared_reconstruction",
    "memorization_test",
    "mmd_test",
    "mutual_information_gap",
    "perceptual_distance",
    "precision_recall_density_coverage",
    "structural_similarity",
    "train_on_synthetic_score",
]
