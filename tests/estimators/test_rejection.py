"""Which draws of a generator are accepted."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from skgen.estimators import _arrays, _rejection
from skgen.estimators._adversarial import MOST_CANDIDATES, Drawing
from skgen.estimators._rejection import N_DESCRIBED, HeldOut, set_ceilings
from skgen.models.adversarial import AdversarialModel
from skgen.networks import MLP, RandomFeatureMLP
from tests.estimators.configurations import gan
from tests.parts import normal

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


LEARNT = {"max_iter": 30, "learning_rate": 1e-2, "ema_decay": 0.9, "batch_size": 100}
"""A fit that leaves draws about where rows are."""


class KnownRatio(RandomFeatureMLP):
    """A log-ratio that is given."""

    def __init__(self, function):
        super().__init__(1, (), 1, 1)
        self.function = function

    def forward(self, x, generator=None):
        return self.function(x)


def known(function, n_classes=0):
    """A model whose draws are standard normal numbers, with the logarithm of a ratio, and how it draws."""
    critic, networks = MLP(1, (), 1 + n_classes), [MLP(1 + n_classes, (), 1) for _ in range(2)]
    model = AdversarialModel(critic, *networks, ratios=[KnownRatio(function)]).double()
    for network in networks:
        for parameter, value in zip(network.parameters(), (1.0, 0.0), strict=True):
            nn.init.zeros_(parameter)
            parameter.data[:1] = value
    model.slope.fill_(1)
    prior = None if n_classes == 0 else torch.full((n_classes,), 1 / n_classes, dtype=torch.float64)
    return model.requires_grad_(False), Drawing(1, prior, model.scale)


def lopsided(n_rows, seed=0):
    """Two groups, one of which has nine tenths of the rows."""
    random = np.random.default_rng(seed)
    return 2.0 * (random.random(n_rows) < 0.9)[:, np.newaxis] + 0.2 * random.normal(size=(n_rows, 2))


def test_accepted_draws_have_the_density_of_the_draws_times_the_ratio(generator):
    # N(0, 1) times exp(-x^2 / 2) is N(0, 1/2) up to a constant, and the ratio is at most 1.
    model, drawing = known(lambda x: -0.5 * x.square())
    rows = drawing.rows(model, 20000, generator)[0]
    assert abs(float(rows.mean())) < 5 * (0.5 / 20000) ** 0.5
    assert abs(float(rows.var()) - 0.5) < 5 * 0.5 * (2 / 20000) ** 0.5


def test_a_ratio_above_the_ceiling_counts_as_one_at_it(generator):
    model, drawing = known(lambda x: 2.0 * (x > 0))
    shares = []
    for ceiling in (2.0, 1.0, 0.0):
        model.ceilings.fill_(ceiling)
        shares.append(float((drawing.rows(model, 20000, generator)[0] > 0).double().mean()))
    for share, odds in zip(shares, (np.exp(2.0), np.exp(1.0), 1.0), strict=True):
        assert abs(share - odds / (1 + odds)) < 5 * 0.5 / 20000**0.5


def test_rows_of_a_class_are_drawn_again_as_rows_of_that_class(generator):
    # The first class has positive rows only, the second negative ones.
    model, drawing = known(lambda x: torch.cat([0 * x, 40.0 * (x > 0), 40.0 * (x < 0)], -1), n_classes=2)
    model.ceilings.fill_(40.0)
    condition = torch.eye(2, dtype=torch.float64)[torch.arange(400) % 2]
    rows, same = drawing.rows(model, 400, generator, condition)
    assert same is condition
    assert torch.equal(rows[:, 0] > 0, condition[:, 0] == 1)


def test_a_row_that_is_never_accepted_is_the_last_candidate(generator):
    model, drawing = known(lambda x: torch.full_like(x, -1e9))
    rows = drawing.rows(model, 5, torch.Generator().manual_seed(2))[0]
    again = torch.Generator().manual_seed(2)
    for _ in range(MOST_CANDIDATES):
        last = drawing.latent(5, generator=again)
        torch.empty(5, dtype=torch.float64).uniform_(generator=again)
    torch.testing.assert_close(rows, last)


@pytest.mark.parametrize(("factor", "slope"), [(1.0, 1.0), (2.0, 0.5), (0.0, 0.0), (-1.0, 0.0), (0.5, 1.0)])
def test_the_slope_takes_log_ratios_that_are_too_sure_back_and_leaves_others(factor, slope, generator):
    # Rows are N(1, 1) where draws are N(0, 1): the logarithm of the ratio is x - 1/2.
    model, drawing = known(lambda x: factor * (x - 0.5))
    rows = 1 + normal(20000, 1, generator=generator)
    share = torch.full((20000,), 1 / 20000, dtype=torch.float64)
    held = HeldOut(model, drawing, rows, share, None, generator)
    # The coefficient of 20000 rows and 80000 draws has a standard error of 0.01 at factor 1.
    assert held.slope() == pytest.approx(slope, abs=5 * 0.01 / max(factor, 1))


@pytest.mark.parametrize("size", [1e30, np.inf])
def test_log_ratios_that_are_of_no_use_give_no_slope_and_no_warning(size, generator):
    model, drawing = known(lambda x: size * x)
    share = torch.full((50,), 1 / 50, dtype=torch.float64)
    held = HeldOut(model, drawing, normal(50, 1, generator=generator), share, None, generator)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert held.slope() == pytest.approx(0, abs=1e-20)


def test_candidates_are_judged_in_tiles(generator, monkeypatch):
    sizes = []
    model, drawing = known(lambda x: sizes.append(len(x)) or -x.square())
    monkeypatch.setattr(_arrays, "TILE_BYTES", 10 * 8 * model.width)
    assert len(drawing.rows(model, 95, generator)[0]) == 95
    assert sizes[:10] == 9 * [10] + [5]
    assert max(sizes) == 10


def test_the_share_accepted_is_the_mean_acceptance_below_the_ceiling(generator):
    # E exp(-x^2 / 2) of a normal number is 1 / sqrt(2), with a deviation of (1 / sqrt(3) - 1 / 2)^(1/2) = 0.28. The
    # 0.99 quantile of -x^2 / 2 is -0.0001.
    model, drawing = known(lambda x: -0.5 * x.square())
    set_ceilings(model, drawing, generator)
    assert abs(float(model.accepted) - 0.5**0.5) < 5 * 0.28 / N_DESCRIBED**0.5


def test_all_draws_are_accepted_where_the_ratio_would_leave_fewer_than_a_tenth(generator):
    model, drawing = known(lambda x: -500 * x.square())  # E exp(-500 x^2) = 0.03
    set_ceilings(model, drawing, generator)
    assert model.accepts_all
    assert float(model.accepted) == 1


def test_rejection_brings_draws_nearer_to_the_rows():
    X, fresh = lopsided(2000), lopsided(4000, seed=1)
    options = LEARNT | {"n_score_draws": 4000}
    accepting, plain = gan(**options).fit(X), gan(rejection=False, **options).fit(X)
    assert 0.1 <= accepting.acceptance_ < 1
    assert plain.acceptance_ == 1
    assert accepting.score(fresh) > plain.score(fresh)
    for name in ("average.layers.0.weight", "generator.layers.1.bias"):
        np.testing.assert_array_equal(accepting.weights_[name], plain.weights_[name])


def test_a_classifier_that_diverges_goes_back_to_its_best(monkeypatch):
    class Diverging(_rejection.RatioLoss):
        def __call__(self, batch, generator):
            _, loss = super().__call__(batch, generator)
            return lambda: {"ratio": torch.tensor(float("nan"))}, loss

    monkeypatch.setattr(_rejection, "RatioLoss", Diverging)
    model = gan(max_iter=2).fit(lopsided(600))
    assert np.isfinite(model.sample(20)).all()
    assert all(np.isfinite(values).all() for values in model.weights_.values())


def test_ctrl_c_while_learning_what_to_accept_keeps_the_fit(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    X, options = lopsided(600), {"max_iter": 2}
    plain = gan(rejection=False, **options).fit(X)
    monkeypatch.setattr(_rejection, "set_ceilings", interrupt)
    with pytest.warns(UserWarning, match="interrupted while it learnt which draws to accept"):
        model = gan(**options).fit(X)
    assert model.acceptance_ == 1
    np.testing.assert_array_equal(model.sample(20), plain.sample(20))


def test_validation_rows_that_are_far_away_have_all_draws_accepted():
    X = lopsided(600)
    model = gan(max_iter=2).fit(X, X_val=np.full((60, 2), 1e38))
    assert model.acceptance_ == 1
    assert np.isfinite(model.sample(20)).all()


def test_draws_are_the_same_after_pickling_and_refitting():
    X = lopsided(600)
    model = gan(**LEARNT).fit(X)
    assert model.acceptance_ < 1
    drawn = model.sample(50)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).sample(50), drawn)
    np.testing.assert_array_equal(model.fit(X).sample(50), drawn)


def test_classes_keep_their_shares_and_are_drawn_as_asked():
    X = lopsided(900)
    y = np.where(X[:, 0] > 1, "many", "few")
    model = gan(conditional=True, **LEARNT).fit(X, y)
    assert model.acceptance_ < 1
    labels = model.sample(4000, return_labels=True)[1]
    share = model.class_prior_[list(model.classes_).index("many")]
    assert abs((labels == "many").mean() - share) < 5 * (share * (1 - share) / 4000) ** 0.5
    asked = np.array(["few", "many"])[np.arange(30) % 2]
    np.testing.assert_array_equal(model.sample(30, y=asked, return_labels=True)[1], asked)


def test_without_enough_validation_rows_and_after_partial_fit_all_draws_are_accepted():
    X = lopsided(600)
    for model in (
        gan(max_iter=2, early_stopping=False).fit(X),
        gan(max_iter=2).fit(X[:200]),
        gan(max_iter=2).fit(X, X_val=X[:20]),
        gan(max_iter=2).fit(X).partial_fit(X[:100]),
    ):
        assert model.acceptance_ == 1
        assert np.isfinite(model.sample(10)).all()


def test_where_rows_and_draws_hardly_overlap_all_draws_are_accepted():
    angles = np.linspace(0, 2 * np.pi, 1200)
    circle = np.column_stack([np.cos(angles), np.sin(angles)])
    assert gan(max_iter=1, learning_rate=1e-6).fit(circle).acceptance_ == 1
