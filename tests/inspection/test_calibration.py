"""Tests of skgen.inspection.calibration."""

import numpy as np
import pytest
from scipy.stats import ks_1samp, ks_2samp, uniform
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.neighbors import KernelDensity
from sklearn.neural_network import BernoulliRBM

from skgen import RBM, GaussianMixture
from skgen.inspection import CalibrationDisplay

N, M, REPEATS = 100, 200, 400


def scores(mean, scale, n, source):
    """Log-densities under a standard normal distribution of draws of another."""
    return -0.5 * (mean + scale * source.normal(size=n)) ** 2


@pytest.mark.parametrize("digits", [None, 0], ids=["continuous", "with ties"])
def test_ranks_are_uniform_if_rows_come_from_the_model(digits):
    source = np.random.RandomState(0)
    ranks, rejected = [], 0
    for _ in range(REPEATS):
        rows, drawn = (scores(0, 1, n, source) for n in (N, M))
        if digits is not None:
            rows, drawn = rows.round(digits), drawn.round(digits)
        display = CalibrationDisplay.from_scores(rows, drawn, random_state=source, ax=FakeAxes())
        ranks.append(source.choice(display.ranks))
        rejected += display.p_value < 0.05
    # One rank of each repeat, as those of a repeat share its draws.
    assert ks_1samp(ranks, uniform.cdf).pvalue > 0.01
    assert rejected / REPEATS < 0.05 + 3 * np.sqrt(0.05 * 0.95 / REPEATS)


class FakeAxes:
    """Takes whatever is drawn, for tests that repeat what is computed many times."""

    lines, collections, figure = (), (), None

    def __getattr__(self, name):
        return lambda *args, **kwargs: [self]


@pytest.mark.parametrize(
    ("mean", "scale", "above"), [(0, 3, True), (3, 1, True), (0, 0.3, False)], ids=["wide", "shifted", "narrow"]
)
def test_rows_that_are_less_likely_than_draws_lie_above_the_diagonal_and_likelier_ones_below(mean, scale, above):
    source = np.random.RandomState(0)
    display = CalibrationDisplay.from_scores(scores(mean, scale, N, source), scores(0, 1, M, source), random_state=0)
    assert display.p_value < 1e-4
    x, y = display.line_.get_data()
    assert ((y - x)[1:-1].mean() > 0) == above


def test_the_statistic_is_that_of_two_samples_up_to_what_breaks_ties():
    source = np.random.RandomState(0)
    rows, drawn = scores(1, 1, N, source), scores(0, 1, M, source)
    display = CalibrationDisplay.from_scores(rows, drawn, random_state=0)
    assert abs(display.statistic - ks_2samp(rows, drawn).statistic) <= 1 / N + 1 / M


def test_the_curve_is_the_share_of_rows_up_to_each_rank_and_the_band_has_the_width_of_the_test():
    display = CalibrationDisplay([0.5, 0.1, 0.7], 10, name="m").plot()
    x, y = display.line_.get_data()
    np.testing.assert_allclose(x, [0, 0.1, 0.5, 0.7, 1])
    np.testing.assert_allclose(y, [0, 1 / 3, 2 / 3, 1, 1])
    assert display.statistic == pytest.approx(max(0.7 - 2 / 3, 1 - 0.7, 0.5 - 1 / 3, 2 / 3 - 0.5, 1 / 3 - 0.1))
    display = CalibrationDisplay(np.linspace(0, 1, 400), 400).plot()
    vertices = display.band_.get_paths()[0].vertices
    half = np.ptp(vertices[np.isclose(vertices[:, 0], 0.5)][:, 1]) / 2
    assert half == pytest.approx(1.3581 * np.sqrt(2 / 400), rel=1e-4)
    assert display.ax_.get_aspect() == 1


def test_models_with_as_many_rows_and_draws_share_a_band():
    first = CalibrationDisplay([0.2, 0.8], 10, name="a").plot()
    second = CalibrationDisplay([0.4, 0.6], 10, name="b").plot(first.ax_)
    third = CalibrationDisplay([0.4, 0.6], 20, name="c").plot(first.ax_)
    assert second.band_ is first.band_
    assert third.band_ is not first.band_
    assert [text.get_text()[:1] for text in first.ax_.get_legend().get_texts()] == ["a", "b", "c"]


def test_a_model_that_rows_come_from_is_calibrated_and_one_with_spikes_is_too_sure_of_itself():
    X = np.random.RandomState(0).standard_t(5, size=(400, 3))
    truth = GaussianMixture.from_parameters([1.0], [[0.0, 1.0]], [[[2.0, 0.5], [0.5, 1.0]]])
    rows = truth.sample(300, random_state=1)[0]
    assert CalibrationDisplay.from_estimator(truth, rows, random_state=2).p_value > 0.01
    spiky = KernelDensity(bandwidth=0.05).fit(X[:200])
    display = CalibrationDisplay.from_estimator(spiky, X[200:], random_state=0)
    assert display.p_value < 1e-10
    assert display.name == "KernelDensity"


def test_ties_of_binary_rows_and_densities_of_scikit_learn_are_taken():
    X = load_digits().data[:200, 10:16]
    rbm = RBM(n_components=4, max_iter=100, random_state=0).fit(X > 8)
    display = CalibrationDisplay.from_estimator(rbm, X > 8, n_draws=300, random_state=0)
    assert ((display.ranks > 0) & (display.ranks < 1)).all()
    assert CalibrationDisplay.from_estimator(PCA(2).fit(X), X, n_draws=50, random_state=0).n_draws == 50


def test_draws_need_no_names_where_the_rows_have_some():
    frame = load_iris(as_frame=True).data
    assert len(CalibrationDisplay.from_estimator(GaussianMixture(3, random_state=0).fit(frame), frame).ranks) == 150


def test_the_same_seed_gives_the_same_ranks():
    X = np.random.RandomState(0).normal(size=(50, 2))
    mixture = GaussianMixture(2, random_state=0).fit(X)
    first, second = (CalibrationDisplay.from_estimator(mixture, X, random_state=3).ranks for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_what_cannot_draw_or_score_is_refused():
    X = (np.random.RandomState(0).normal(size=(50, 2)) > 0).astype(float)
    with pytest.raises(TypeError, match="BernoulliRBM has no sample"):
        CalibrationDisplay.from_estimator(BernoulliRBM(2).fit(X), X)
    with pytest.raises(ValueError, match="n_draws must be an integer of at least 1, got 0"):
        CalibrationDisplay.from_estimator(GaussianMixture().fit(X), X, n_draws=0)
    with pytest.raises(ValueError, match="draw_scores contains NaN"):
        CalibrationDisplay.from_scores([0.0], [np.nan])


@pytest.mark.parametrize("ranks", [[np.nan], [], [-0.1], [1.1], [[0.5]]])
def test_what_is_no_rank_is_refused(ranks):
    with pytest.raises(ValueError, match="ranks must be numbers between 0 and 1"):
        CalibrationDisplay(ranks, 10)
