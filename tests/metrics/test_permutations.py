import numpy as np
import pytest

from skgen.metrics._permutations import permutation_pvalue


def test_the_sample_itself_counts():
    assert permutation_pvalue(3.0, [1.0, 2.0, 2.5]) == 1 / 4
    assert permutation_pvalue(0.0, [1.0, 2.0, 2.5]) == 1


def test_a_rearrangement_that_differs_by_rounding_alone_is_a_tie():
    assert permutation_pvalue(0.1 + 0.2, [0.3, 0.3]) == 1


@pytest.mark.parametrize("n_values", [2, 1000])
def test_small_p_values_are_no_more_frequent_than_they_say(n_values):
    statistics = np.random.RandomState(0).randint(n_values, size=(4000, 20))
    pvalues = np.array([permutation_pvalue(first, others) for first, *others in statistics])
    for level in (0.05, 0.1, 0.25, 0.5):
        # Five standard errors of a share of 4000.
        assert (pvalues <= level).mean() <= level + 5 * np.sqrt(level * (1 - level) / 4000)
