"""skgen.meta._labelled"""

import numpy as np
import pytest

from skgen import GaussianMixture
from skgen.meta._labelled import fitted_class


@pytest.mark.parametrize("name", ["rare", np.str_("rare")])
def test_an_error_of_a_class_names_it_and_its_number_of_rows(name):
    with pytest.raises(ValueError, match=r"class 'rare', of n_samples = 2:.*n_components"):
        fitted_class(GaussianMixture(5), np.eye(2), None, name)


def test_weights_reach_the_estimator_inside():
    X = np.array([[0.0], [1.0], [7.0]])
    fitted = fitted_class(GaussianMixture(1), X, np.array([1.0, 3.0, 0.0]), np.int64(1))
    np.testing.assert_allclose(fitted.means_, [[0.75]])
