"""skgen.io._loaded: parts of an estimator that do not fit together."""

import numpy as np
import pytest
from sklearn.base import clone

from skgen.io import ModelFileError
from skgen.io._loaded import checked
from tests.estimators.configurations import CONFIGURATIONS, rows

X = rows()


@pytest.mark.parametrize("name", ["vae", "rbm", "stack"])
def test_sizes_beyond_the_file_are_refused(name):
    model = clone(CONFIGURATIONS[name]).fit(X)
    model.n_features_in_ = 5000
    with pytest.raises(ModelFileError, match="n_features_in_ is 5000, more than a file of 20000 bytes"):
        checked(model, 20000)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", ["mixture-full", "pca-two", "factor-analysis-two", "bayesian-mixture-full"])
def test_parameters_of_exact_models_are_tried_on_a_row(name):
    model = clone(CONFIGURATIONS[name]).fit(X)
    assert checked(model, 2**14) is model
    largest = max(model.parameters_, key=lambda key: np.size(model.parameters_[key]))
    model.parameters_[largest] = np.zeros((1, 2, 3, 4, 5))
    model.__setstate__(model.__getstate__())
    with pytest.raises(Exception):  # noqa: B017, PT011 whatever it raises, a reader of files makes one error of it
        checked(model, 2**14)
