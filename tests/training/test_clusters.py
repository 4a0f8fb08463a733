import itertools

import numpy as np
import pytest
import torch
from scipy.stats import chi2
from sklearn.cluster import KMeans

from skgen.training import representatives as tiles
from skgen.training.clusters import INITS, centred, coordinates, kmeans_plus_plus, lloyd, start, whitened
from tests.oracles import process_state

NAN = float("nan")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def blobs(n_rows=300, n_features=3, n_blobs=4, seed=1, spread=4.0):
    generator = seeded(seed)
    centres = spread * torch.randn(n_blobs, n_features, generator=generator, dtype=torch.float64)
    label = torch.randint(n_blobs, (n_rows,), generator=generator)
    return centres[label] + torch.randn(n_rows, n_features, generator=generator, dtype=torch.float64)


def with_holes(x):
    return torch.where(torch.rand(x.shape, generator=seeded(2)) < 0.1, NAN, x)


def begin(x, weight=None, n_clusters=4, *, init="kmeans", n_restarts=3, n_rows=1000, n_iter=20, seed=0, **options):
    """A start on the rows that stand for all."""
    generator = seeded(seed)
    x, weight = tiles.representatives(x, weight, n_rows, generator=generator)
    return start(x, weight, n_clusters, init=init, n_restarts=n_restarts, n_iter=n_iter, generator=generator, **options)


def inertia(y, weight, responsibilities):
    """Row by row and cluster by cluster, from the means of the clusters."""
    values = []
    for candidate in responsibilities:
        total = 0.0
        for column in candidate.T:
            part = weight * column
            if part.sum() > 0:
                mean = (part @ y) / part.sum()
                total += float(part @ (y - mean).square().sum(1))
        values.append(total)
    return torch.tensor(values, dtype=torch.float64)


ROWS = {
    "blobs": blobs(),
    "missing": with_holes(blobs()),
    "integers": torch.randint(0, 3, (300, 3), generator=seeded(1)).double(),
    "more columns than rows": blobs().T.contiguous(),
    "constant column": torch.cat([blobs(), torch.full((300, 1), 0.1, dtype=torch.float64)], 1),
    "repeated column": blobs()[:, [0, 0, 1]],
    "far from the origin": blobs() + 1e6,
}
every_rows = pytest.mark.parametrize("x", ROWS.values(), ids=ROWS)
every_init = pytest.mark.parametrize("init", INITS)


def weights_of(x):
    return torch.randint(1, 4, (len(x),), generator=seeded(4)).double()


def assert_same_start(one, other):
    assert torch.equal(one.x.nan_to_num(1e9), other.x.nan_to_num(1e9))
    torch.testing.assert_close(one.weight, other.weight, rtol=1e-12, atol=0)
    assert torch.equal(one.responsibilities, other.responsibilities)


@pytest.mark.parametrize("whiten", [True, False], ids=["whitened", "as they are"])
@pytest.mark.parametrize("n_rows", [40, 1000], ids=["sample", "all"])
@every_init
@every_rows
class TestTheWeightedEmpiricalDistributionIsAllThatCounts:
    def test_rows_in_another_order(self, x, init, n_rows, whiten):
        weight, order = weights_of(x), torch.randperm(len(x), generator=seeded(5))
        expected = begin(x, weight, init=init, n_rows=n_rows, whiten=whiten)
        assert_same_start(begin(x[order], weight[order], init=init, n_rows=n_rows, whiten=whiten), expected)

    def test_rows_repeated_for_their_weights(self, x, init, n_rows, whiten):
        weight = weights_of(x)
        repeated = x.repeat_interleave(weight.long(), 0)
        repeated = repeated[torch.randperm(len(repeated), generator=seeded(5))]
        expected = begin(x, weight, init=init, n_rows=n_rows, whiten=whiten)
        assert_same_start(begin(repeated, init=init, n_rows=n_rows, whiten=whiten), expected)

    def test_rows_of_weight_zero(self, x, init, n_rows, whiten):
        weight = weights_of(x) * (torch.arange(len(x)) % 3 > 0)
        expected = begin(x[weight > 0], weight[weight > 0], init=init, n_rows=n_rows, whiten=whiten)
        assert_same_start(begin(x, weight, init=init, n_rows=n_rows, whiten=whiten), expected)


@every_init
@pytest.mark.parametrize("name", ["blobs", "constant column", "far from the origin"])
def test_whitened_starts_are_the_same_after_an_affine_map(name, init):
    x, weight = ROWS[name], weights_of(ROWS[name])
    matrix = torch.randn(x.shape[1], x.shape[1], generator=seeded(6), dtype=torch.float64)
    offset = torch.randn(x.shape[1], generator=seeded(7), dtype=torch.float64)
    one, other = begin(x, weight, init=init), begin(x @ matrix + offset, weight, init=init)
    # Rounding is that of the largest number, which a covariance then enlarges.
    torch.testing.assert_close(other.x, one.x @ matrix + offset, rtol=1e-9, atol=1e-8)
    assert torch.equal(one.responsibilities, other.responsibilities)


def test_starts_as_they_are_are_the_same_after_a_turn_and_a_shift():
    x, weight = ROWS["blobs"], weights_of(ROWS["blobs"])
    turn = torch.linalg.qr(torch.randn(3, 3, generator=seeded(6), dtype=torch.float64))[0]
    one, other = begin(x, weight, whiten=False), begin(x @ turn + 5, weight, whiten=False)
    assert torch.equal(one.responsibilities, other.responsibilities)


@every_init
@every_rows
@pytest.mark.parametrize("n_clusters", [1, 3, 400], ids=lambda n: f"K={n}")
def test_responsibilities_of_each_row_add_up_to_one_and_the_best_candidate_comes_first(x, init, n_clusters):
    found = begin(x, weights_of(x), n_clusters, init=init, n_rows=50)
    assert found.responsibilities.shape == (3, len(found.x), n_clusters)
    assert bool((found.responsibilities >= 0).all())
    assert float((found.responsibilities.sum(2) - 1).abs().max()) < 1e-14
    y = coordinates(found.x, found.weight, whiten=True)
    values = inertia(y, found.weight, found.responsibilities)
    scale = float(found.weight @ y.square().sum(1))
    assert bool((values.diff() >= -1e-8 * scale).all())


@every_init
def test_with_as_many_clusters_as_distinct_rows_hard_starts_give_each_row_its_own(init):
    x = blobs(12)
    found = begin(x.repeat(3, 1), None, 12, init=init)
    assert len(found.x) == 12
    if init != "random":
        assert found.responsibilities.sum(1).tolist() == [[1.0] * 12] * 3


@pytest.mark.parametrize("init", ["kmeans", "k-means++", "random_from_data"])
def test_with_more_clusters_than_distinct_rows_equal_rows_stay_together(init):
    found = begin(blobs(5).repeat(4, 1), None, 9, init=init)
    assert (found.responsibilities.sum(1) > 0).sum(1).tolist() == [5, 5, 5]


@every_init
def test_one_row_and_equal_rows_have_a_start(init):
    for x in (blobs(1), torch.ones(6, 2, dtype=torch.float64), torch.full((2, 2), NAN, dtype=torch.float64)):
        found = begin(x, None, 3, init=init)
        assert found.responsibilities.shape == (3, 1, 3)
        assert bool(found.responsibilities.isfinite().all())


@every_rows
def test_whitened_rows_have_mean_zero_and_covariance_identity(x):
    weight = weights_of(x)
    y = whitened(x, weight)
    share = weight / weight.sum()
    assert float((share @ y).abs().max()) < 1e-8
    torch.testing.assert_close((y.T * share) @ y, torch.eye(y.shape[1]).double(), rtol=0, atol=1e-8)


def test_whitening_keeps_as_many_directions_as_the_rows_have():
    for name, rank in [("blobs", 3), ("constant column", 3), ("repeated column", 2), ("more columns than rows", 2)]:
        assert whitened(ROWS[name], weights_of(ROWS[name])).shape[1] == rank
    assert torch.equal(whitened(torch.ones(4, 2).double(), torch.ones(4).double()), torch.zeros(4, 1).double())


def test_units_do_not_hide_directions_from_whitening():
    assert whitened(blobs() * torch.tensor([1e-12, 1.0, 1e12]), torch.ones(300).double()).shape[1] == 3


def test_centred_rows_have_mean_zero_and_missing_entries_there():
    x = ROWS["missing"]
    weight = weights_of(x)
    y = centred(x, weight)
    assert float((weight @ y).abs().max()) < 1e-10
    assert bool((y[x.isnan()] == 0).all())


def pair_law(y, weight, n_trials):
    """Probabilities of ordered pairs of k-means++ centres, from all outcomes of the draws, (rows, rows)."""
    square = (y[:, None] - y).square().sum(2)
    law = torch.zeros_like(square)
    for first in range(len(y)):
        second = weight * square[first]
        second = second / second.sum()
        for draws in itertools.product(range(len(y)), repeat=n_trials):
            left = [float(weight @ torch.minimum(square[first], square[draw])) for draw in draws]
            law[first, draws[int(np.argmin(left))]] += weight[first] / weight.sum() * second[list(draws)].prod()
    return law


@pytest.mark.parametrize("n_trials", [1, 2])
def test_centres_of_kmeans_plus_plus_obey_their_exact_law(n_trials):
    y = blobs(6, 2)
    y = y - y.mean(0)
    weight = torch.tensor([1.0, 2.0, 0.5, 0.0, 1.0, 3.0], dtype=torch.float64)
    centres = kmeans_plus_plus(y, weight, 2, n_restarts=50000, generator=seeded(), n_trials=n_trials)
    rows = (centres[:, :, None] == y).all(3).int().argmax(2)
    count = torch.bincount(rows[:, 0] * 6 + rows[:, 1], minlength=36).double()
    expected = 50000 * pair_law(y, weight, n_trials).flatten()
    assert bool((count[expected == 0] == 0).all())
    possible = expected > 0
    statistic = ((count - expected)[possible].square() / expected[possible]).sum()
    # A right sampler fails for one seed in 10000; the seed is fixed.
    assert float(statistic) < chi2.isf(1e-4, int(possible.sum()) - 1)


def test_third_centres_are_drawn_by_the_distance_to_the_nearest_of_the_first_two():
    y = torch.tensor([[-6.0], [-5.0], [0.0], [3.0], [8.0]], dtype=torch.float64)
    weight = torch.ones(5, dtype=torch.float64)
    centres = kmeans_plus_plus(y, weight, 3, n_restarts=50000, generator=seeded(), n_trials=1)
    rows = (centres == y.flatten()).int().argmax(2)
    third = rows[(rows[:, 0] == 0) & (rows[:, 1] == 4), 2]
    expected = torch.tensor([0.0, 1.0, 36.0, 25.0, 0.0], dtype=torch.float64)
    expected = expected / expected.sum() * len(third)
    count = torch.bincount(third, minlength=5).double()
    assert count[[0, 4]].tolist() == [0, 0]
    statistic = ((count - expected)[1:4].square() / expected[1:4]).sum()
    assert float(statistic) < chi2.isf(1e-4, 2)


@every_rows
def test_restarts_of_kmeans_are_what_each_is_alone(x):
    y = centred(x, weights_of(x))
    centres = torch.randn(4, 5, y.shape[1], generator=seeded(), dtype=torch.float64) * y.std(0)
    labels, values = lloyd(y, weights_of(x), centres, 7)
    for place in range(4):
        label, value = lloyd(y, weights_of(x), centres[place : place + 1], 7)
        assert torch.equal(label[0], labels[place])
        torch.testing.assert_close(value[0], values[place], rtol=1e-12, atol=0)


@every_rows
def test_an_iteration_of_kmeans_never_raises_the_inertia(x, monkeypatch):
    monkeypatch.setattr(tiles, "TILE_ENTRIES", 6000)
    weight = weights_of(x) * (torch.arange(len(x)) % 3 > 0)
    y = centred(x, weight)
    # Most of these centres have no row at first.
    centres = 5 * y.std(0) * torch.randn(6, 10, y.shape[1], generator=seeded(), dtype=torch.float64)
    values = torch.stack([lloyd(y, weight, centres, n_iter)[1] for n_iter in range(15)])
    # Decisions between equal distances cost up to 1e-12 of the sum of squares for each cluster.
    allowed = 10 * 1e-12 * float(weight @ y.square().sum(1))
    assert bool((values.diff(dim=0) <= allowed).all())


@every_rows
def test_the_inertia_of_kmeans_is_the_sum_of_squared_distances_to_the_centres(x):
    weight = weights_of(x)
    y = centred(x, weight)
    centres = y[torch.tensor([[0, 1], [1, 2], [2, 0]])]
    labels, values = lloyd(y, weight, centres, 0)
    for given, label, value in zip(centres, labels, values, strict=True):
        square = (y[:, None] - given).square().sum(2)
        assert bool((square.gather(1, label[:, None])[:, 0] <= square.amin(1) * (1 + 1e-9) + 1e-9).all())
        torch.testing.assert_close(value, weight @ square.amin(1), rtol=1e-9, atol=1e-9)


def test_empty_clusters_are_moved_until_there_is_one_for_every_distinct_row():
    y = blobs(8)
    y = y - y.mean(0)
    centres = torch.full((2, 8, 3), 1e3, dtype=torch.float64)
    labels, values = lloyd(y, torch.ones(8).double(), centres, 20)
    assert [len(set(label)) for label in labels.tolist()] == [8, 8]
    assert float(values.max()) == 0


def test_rows_of_weight_zero_take_no_cluster():
    y = torch.tensor([[-1.0], [1.0], [50.0]], dtype=torch.float64)
    weight = torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
    labels, values = lloyd(y, weight, torch.tensor([[[0.0], [90.0]]], dtype=torch.float64), 10)
    assert len(set(labels[0, :2].tolist())) == 2
    assert float(values) == 0


def test_kmeans_reaches_the_fixed_point_of_scikit_learn_from_the_same_centres():
    x = blobs(spread=1.5)
    y = x - x.mean(0)
    for seed in range(10):
        centres = kmeans_plus_plus(y, torch.ones(300).double(), 5, n_restarts=1, generator=seeded(seed))
        reference = KMeans(5, init=centres[0].numpy(), n_init=1, tol=0, max_iter=300).fit(y.numpy())
        labels, value = lloyd(y, torch.ones(300).double(), centres, 300)
        assert labels[0].tolist() == reference.labels_.tolist()
        assert abs(float(value) - reference.inertia_) < 1e-9 * reference.inertia_


def test_clusters_are_as_good_as_those_of_scikit_learn():
    differences = []
    for seed in range(40):
        y = blobs(400, 4, 12, seed=seed, spread=2.0)
        y = y - y.mean(0)
        weight = torch.ones(400, dtype=torch.float64)
        centres = kmeans_plus_plus(y, weight, 12, n_restarts=1, generator=seeded(seed))
        value = float(lloyd(y, weight, centres, 300)[1])
        reference = KMeans(12, n_init=1, tol=0, random_state=seed).fit(y.numpy()).inertia_
        differences.append(value / reference - 1)
    differences = np.array(differences)
    assert differences.mean() <= 3 * differences.std(ddof=1) / len(differences) ** 0.5


def test_more_iterations_and_restarts_of_kmeans_give_a_smaller_inertia():
    x = blobs(spread=2.0)
    found = {}
    for name, n_restarts, n_iter in [("one", 1, 0), ("moved", 1, 20), ("restarts", 10, 20)]:
        values = []
        for seed in range(20):
            begun = begin(x, None, 6, n_restarts=n_restarts, n_iter=n_iter, seed=seed, whiten=False)
            values.append(float(inertia(begun.x, begun.weight, begun.responsibilities[:1])))
        found[name] = sum(values)
    assert found["restarts"] < found["moved"] < found["one"]


def test_a_start_touches_no_global_state_and_not_its_rows():
    x, weight = ROWS["missing"].clone(), weights_of(ROWS["missing"])
    before = process_state()
    begin(x, weight)
    assert process_state() == before
    assert torch.equal(x.nan_to_num(1e9), ROWS["missing"].nan_to_num(1e9))
