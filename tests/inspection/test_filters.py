"""Tests of skgen.inspection.filters."""

import numpy as np
import pytest
import sklearn.decomposition
from sklearn.datasets import load_digits, load_wine
from sklearn.neighbors import KernelDensity
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgen import RBM, FactorAnalysis, MixtureOfFactorAnalyzers, ProbabilisticPCA, RBMStack
from skgen.inspection import FilterDisplay
from skgen.inspection._images import sheet

DIGITS = load_digits().data > 8
WINE = load_wine(as_frame=True).data


@pytest.mark.parametrize("family", [RBM, BernoulliRBM])
def test_filters_are_the_weights_of_the_hidden_units(family):
    machine = family(n_components=6, random_state=0).set_params(
        **{"n_iter" if family is BernoulliRBM else "max_iter": 2}
    )
    machine.fit(DIGITS)
    display = FilterDisplay.from_estimator(machine, image_shape=(8, 8), n_columns=4)
    expected = sheet(machine.components_.reshape(-1, 8, 8), 4)
    np.testing.assert_array_equal(display.image_.get_array().filled(np.nan), expected)
    bound = np.abs(machine.components_).max()
    np.testing.assert_allclose(display.image_.get_clim(), (-bound, bound))
    assert display.colorbar_.ax.get_ylabel() == "weight"
    assert FilterDisplay.from_estimator(machine, image_shape=(8, 8), colorbar=False).colorbar_ is None


def test_the_largest_filters_can_be_chosen():
    filters = np.eye(4, 13) * [[1.0], [-3.0], [2.0], [0.5]]
    model = sklearn.decomposition.PCA().fit(WINE)
    model.components_ = filters
    display = FilterDisplay.from_estimator(model, n_filters=2)
    np.testing.assert_array_equal(display.filters, filters[[1, 2]])


def test_filters_of_an_upper_layer_are_products_of_weights():
    stack = RBMStack(hidden_layer_sizes=(5, 4, 3), max_iter=1, random_state=0).fit(DIGITS)
    weights = [machine.components_ for machine in stack.rbms_]
    display = FilterDisplay.from_estimator(stack, layer=3, image_shape=(8, 8))
    np.testing.assert_array_equal(display.filters, weights[2] @ (weights[1] @ weights[0]))
    np.testing.assert_array_equal(FilterDisplay.from_estimator(stack).filters, weights[0])
    with pytest.raises(ValueError, match="layer=4 names none of the 3 fitted layers"):
        FilterDisplay.from_estimator(stack, layer=4)


@pytest.mark.parametrize("model", [ProbabilisticPCA(2), FactorAnalysis(2), sklearn.decomposition.PCA(2)])
def test_loadings_of_a_table_have_a_line_each_and_the_names_of_the_columns(model):
    display = FilterDisplay.from_estimator(model.fit(WINE))
    np.testing.assert_array_equal(display.image_.get_array(), model.components_)
    assert [label.get_text() for label in display.ax_.get_xticklabels()] == list(WINE.columns)
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == ["0", "1"]


def test_factors_of_all_components_of_a_mixture_are_shown():
    model = MixtureOfFactorAnalyzers(2, n_factors=2, random_state=0).fit(WINE)
    np.testing.assert_array_equal(FilterDisplay.from_estimator(model).filters, model.components_.reshape(4, 13))


def test_of_a_pipeline_the_last_step_is_shown():
    model = make_pipeline(StandardScaler(), ProbabilisticPCA(2)).fit(WINE)
    np.testing.assert_array_equal(FilterDisplay.from_estimator(model).filters, model[-1].components_)


def test_what_has_no_filters_is_refused():
    with pytest.raises(TypeError, match="KernelDensity has neither components_ nor rbms_"):
        FilterDisplay.from_estimator(KernelDensity(bandwidth=5).fit(WINE))
    with pytest.raises(ValueError, match="layer=2 names none of the layers of PCA, which has one"):
        FilterDisplay.from_estimator(sklearn.decomposition.PCA().fit(WINE), layer=2)
    with pytest.raises(ValueError, match=r"image_shape must have one channel, as weights have signs, got \(3, 2, 2\)"):
        FilterDisplay(np.ones((2, 12)), image_shape=(3, 2, 2)).plot()
