"""P-values from statistics of a sample and of its random rearrangements."""

import numpy as np

ROUNDING = 1e-12
"""Statistics closer than this are equal, as those of one arrangement summed in different orders are."""


def permutation_pvalue(statistic, others):
    """Chance of a statistic at least as large, where the sample is one arrangement among equally likely ones.

    Valid in the sense that P(p <= alpha) <= alpha for any number of rearrangements, since the sample itself counts.
    """
    return (1 + int((np.asarray(others) >= statistic - ROUNDING).sum())) / (1 + len(others))
