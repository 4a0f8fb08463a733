"""skgen.meta._labelled"""

import numpy as np
import pytest
from sklearn.neighbors import KernelDensity

from skgen import GaussianMixture
from skgen.meta import GenerativeClassifier
from skgen.meta._labelled import checked, fitted_class


def test_rows_may_have_missing_entries_where_the_estimator_inside_takes_them():
    X, y = np.array([[0.0, np.nan], [1.0, 2.0]]), np.array([0, 1])
    rows, _ = checked(GenerativeClassifier(), X, y, GaussianMixture(), reset=True)
    np.testing.assert_array_equal(rows, X)
    with pytest.raises(ValueError, match="contains NaN"):
        checked(GenerativeClassifier(), X, y, KernelDensity(), reset=True)


@pytest.mark.parametrize("name", ["rare", np.str_("rare")])
def test_an_error_of_a_class_names_it_and_its_number_of_rows(name):
    with pytest.raises(ValueError, match=r"class 'rare', of n_samples = 2:.*n_components"):
        fitted_class(GaussianMixture(5), np.eye(2), None, name)


def test_weights_reach_the_estimator_inside():
    X = np.array([[0.0], [1.0], [7.0]])
    fitted = fitted_class(GaussianMixture(1), X, np.array([1.0, 3.0, 0.0]), np.int64(1))
    np.testing.assert_allclose(fitted.means_, [[0.75]])
