"""skgen.io._loaded: parts of an estimator that do not fit together."""

import numpy as np
import pytest
from sklearn.base import clone

from skgen.io import ModelFileError, load_model, save_model
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


NEW = [
    "vae-columns",
    "vae-auto",
    "vae-discrete",
    "vae-discrete-drawn",
    "vae-conv",
    "vae-full",
    "vae-flow",
    "vae-aggregate",
]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", [*NEW, "vae-vamp", "vae-information", "vae-restarts"])
def test_files_give_back_every_kind_of_autoencoder(name, tmp_path):
    model = clone(CONFIGURATIONS[name]).fit(X)
    save_model(model, tmp_path, "m")
    np.testing.assert_array_equal(load_model(tmp_path, "m").score_samples(X), model.score_samples(X))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_files_give_back_columns_of_categories(tmp_path):
    rows = np.round(X[:, :3])
    model = clone(CONFIGURATIONS["vae"]).set_params(likelihood="categorical").fit(rows)
    save_model(model, tmp_path, "m")
    np.testing.assert_array_equal(load_model(tmp_path, "m").score_samples(rows), model.score_samples(rows))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_layers_of_flows_beyond_the_file_are_refused():
    model = clone(CONFIGURATIONS["vae-flow"]).fit(X)
    model.posterior_.hidden_layer_sizes = (1000,) * 9
    with pytest.raises(ModelFileError, match=r"posterior_ has layers of .* units, of which a file of 2000000 bytes"):
        checked(model, 2000000)
