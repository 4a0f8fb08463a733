"""Tests of skgen.inspection._base, and of what all Displays promise."""

import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from sklearn.datasets import load_iris

import skgen.inspection
from skgen import GaussianMixture
from skgen.inspection import _base

ROWS = np.random.RandomState(0).normal(size=(12, 4))
DISPLAYS = {
    "CalibrationDisplay": lambda cls: cls(np.linspace(0, 1, 7), 10),
    "FilterDisplay": lambda cls: cls(ROWS),
    "LatentSpaceDisplay": lambda cls: cls(ROWS[:, :2]),
    "LatentTraversalDisplay": lambda cls: cls(ROWS.reshape(2, 6, 4), ROWS.reshape(2, 6, 4), ["z0", "z1"]),
    "LossCurveDisplay": lambda cls: cls({"loss": [3.0, 2.0]}),
    "PosteriorPlaneDisplay": lambda cls: cls(np.arange(3), np.arange(3), np.full((3, 3, 2), 0.5)),
    "ReconstructionDisplay": lambda cls: cls(ROWS, ROWS / 2),
    "SamplesDisplay": lambda cls: cls(ROWS),
}


def display(name):
    return DISPLAYS[name](getattr(skgen.inspection, name))


def test_every_display_is_public_and_named_here():
    assert sorted(DISPLAYS) == skgen.inspection.__all__


@pytest.mark.parametrize("name", DISPLAYS)
def test_a_display_draws_on_the_axes_given_and_else_on_a_figure_of_its_own(name):
    _, ax = plt.subplots()
    drawn = display(name)
    assert drawn.plot(ax=ax) is drawn
    assert drawn.ax_ is ax
    assert drawn.figure_ is ax.figure
    own = display(name).plot()
    assert own.figure_ is not ax.figure
    assert ax.has_data()
    assert own.ax_.has_data()


@pytest.mark.parametrize("name", DISPLAYS)
def test_drawing_without_matplotlib_names_the_extra_that_brings_it(name, monkeypatch):
    drawn = display(name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=rf"{name}.plot needs matplotlib: pip install 'skgen\[plot\]'"):
        drawn.plot()


def test_matplotlib_is_not_imported_before_something_is_drawn():
    code = "import sys, skgen.inspection as i; i.SamplesDisplay([[0, 1]]); assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("n", [1, 3, 8, 9, 10, 11, 20, 21, 60])
def test_colours_can_be_told_apart(n):
    assert len({tuple(colour) for colour in _base.colours(n)}) == n


def test_few_labels_have_a_colour_each_and_the_bar_names_them():
    _, ax = plt.subplots()
    y = np.array(["b", "a", "c", "a"])
    drawn = _base.scatter_labels(ax, ROWS[:4, :2], y, "letter")
    ax.figure.canvas.draw()
    colours = drawn.get_facecolors()
    expected = [to_rgba(colour) for colour in _base.colours(3)[[1, 0, 2, 0]]]
    np.testing.assert_allclose(colours, expected)
    (bar,) = ax.child_axes
    assert [label.get_text() for label in bar.get_yticklabels()] == ["a", "b", "c"]
    assert bar.get_ylabel() == "letter"


def test_quantities_have_a_continuous_scale():
    _, ax = plt.subplots()
    drawn = _base.scatter_labels(ax, ROWS[:, :2], ROWS[:, 2], "height")
    np.testing.assert_array_equal(drawn.get_array(), ROWS[:, 2])
    assert [bar.get_ylabel() for bar in ax.child_axes] == ["height"]


def test_ellipses_of_components_are_at_one_and_two_standard_deviations():
    _, ax = plt.subplots()
    covariances = np.array([[[4.0, 0], [0, 1]], [[1, 0.5], [0.5, 1]]])
    mixture = GaussianMixture.from_parameters([0.5, 0.5], [[0, 0], [1, 2]], covariances)
    for n, drawn in zip((1, 2), _base.draw_components(ax, mixture, "k"), strict=True):
        for outline, mean, covariance in zip(drawn.get_segments(), mixture.means_, covariances, strict=True):
            deviations = outline - mean
            distance = np.einsum("ni,ij,nj->n", deviations, np.linalg.inv(covariance), deviations)
            np.testing.assert_allclose(distance, n**2)


@pytest.mark.parametrize("columns", [(0, 0), (0, 4), (-1, 0), (0,), (0, 1, 2), 0, ("a", "b"), (True, False), ()])
def test_columns_that_are_not_two_different_numbers_are_refused(columns):
    with pytest.raises(ValueError, match="columns must be 2 different numbers from 0 to 3, got"):
        _base.checked_columns(columns, 4)


def test_names_of_columns_are_those_that_the_estimator_was_fitted_on():
    frame = load_iris(as_frame=True).data
    assert _base.names_of(GaussianMixture().fit(frame), 4) == list(frame.columns)
    assert _base.names_of(GaussianMixture().fit(frame.to_numpy()), 2) == ["column 0", "column 1"]


def test_labels_have_to_be_one_for_each_row():
    with pytest.raises(ValueError, match=r"y must have one label for each of the 3 rows, got an array of shape \(2,\)"):
        _base.checked_labels([0, 1], 3)


def test_a_missing_method_is_named():
    with pytest.raises(TypeError, match="GaussianMixture has no fly, which travel needs"):
        _base.method_of(GaussianMixture(), "fly", "travel")


def test_more_names_than_colours_of_a_palette_are_told_apart_still():
    y = np.array([f"name {i}" for i in range(30)])
    classes, index = _base.classes_of(y)
    assert (len(classes), len(index)) == (30, 30)
    assert _base.classes_of(np.arange(30)) is None


@pytest.mark.parametrize("y", [[1.0, np.nan], np.array(["a", None])])
def test_a_missing_label_is_refused(y):
    with pytest.raises(ValueError, match="y must have a label for each row, but some are missing"):
        _base.checked_labels(y, 2)
