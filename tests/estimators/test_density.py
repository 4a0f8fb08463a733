"""What density estimators share."""

import numpy as np
import pytest
import torch

from skgen.estimators._density import DensityEstimator, RowScores

SCORES = np.array([-3.0, 0.5, 2.0, -1.25], dtype=np.float32)


class Scored(DensityEstimator):
    random_state = 7

    def score_samples(self, X):
        return SCORES[: len(X)]


def test_the_score_is_the_mean_of_the_rows_scores_in_float64():
    score = Scored().score(np.zeros((4, 1)))
    assert type(score) is float
    assert score == SCORES.astype(np.float64).mean()


def test_a_weight_means_repetition_and_a_zero_absence_even_of_an_impossible_row():
    class Impossible(Scored):
        def score_samples(self, X):
            return np.where(np.arange(len(X)) == 1, -np.inf, np.arange(len(X)))

    times = np.array([2, 0, 1, 3])
    assert Impossible().score(np.zeros((4, 1)), sample_weight=times) == pytest.approx(11 / 6, rel=1e-15)
    # Weights near the largest number do not overflow.
    assert Scored().score(np.zeros((4, 1)), sample_weight=np.full(4, 1e308)) == pytest.approx(SCORES.mean(), rel=1e-6)
    with pytest.raises(ValueError, match="weight"):
        Scored().score(np.zeros((4, 1)), sample_weight=[1, -1, 1, 1])


def test_draws_follow_the_argument_or_else_the_estimators_own_random_state():
    def draw(random_state):
        return torch.rand(3, generator=Scored()._generator(random_state, "cpu")).tolist()

    assert draw(None) == draw(None) == draw(7) == draw(np.random.RandomState(7))
    assert draw(8) != draw(7)
    own = Scored()
    own.random_state = np.random.RandomState(7)
    first, second = (torch.rand(3, generator=own._generator(None, "cpu")).tolist() for _ in range(2))
    assert first == draw(7)
    assert first != second


def test_only_an_estimator_of_a_density_is_tagged_as_one():
    from skgen import Autoencoder, VariationalAutoencoder

    assert issubclass(Autoencoder, RowScores)
    assert Autoencoder().__sklearn_tags__().estimator_type is None
    assert VariationalAutoencoder().__sklearn_tags__().estimator_type == "density_estimator"
    assert (Autoencoder().score_kind, VariationalAutoencoder().score_kind) == ("pseudo", "bound")
    assert VariationalAutoencoder(likelihood="bernoulli").score_measure == "mass"
