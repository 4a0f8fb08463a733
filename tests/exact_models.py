"""Two small latent-variable models with closed EM, to test solvers on; entries may be missing in both."""

import math

import torch

from skgen._exact_model import ExactModel, Posterior
from skgen._rows import Rows
from tests.parts import normal

LOG_2PI = math.log(2 * math.pi)


def observed(tile):
    """1 where an entry is observed, (rows, features)."""
    return torch.ones_like(tile.x) if tile.observed is None else tile.observed.mask.to(tile.x.dtype)


def weights(tile):
    return torch.ones_like(tile.x[:, 0]) if tile.weight is None else tile.weight


class DiagonalMixture(ExactModel):
    """Normal components with diagonal covariances, a Dirichlet prior on weights and inverse gammas on variances."""

    def __init__(self, n_components, n_features, *, concentration=1.0, shape=0.0, scale=0.0):
        self.n_components, self.n_features = n_components, n_features
        self.concentration, self.shape, self.scale = concentration, shape, scale

    def bind(self, parameters):
        return MixturePosterior(parameters)

    def m_step(self, statistics, parameters):
        prior = int(self.shape > 0)
        count = statistics["weight"] + self.concentration - 1
        means = statistics["first"] / statistics["seen"]
        spread = statistics["second"] - statistics["seen"] * means**2
        return {
            "log_weights": torch.log(count / count.sum()),
            "means": means,
            "variances": (spread + 2 * self.scale) / (statistics["seen"] + 2 * prior * (self.shape + 1)),
        }

    def log_prior(self, parameters):
        if not self.shape:
            return (self.concentration - 1) * parameters["log_weights"].sum()
        variances = parameters["variances"]
        tails = (self.shape + 1) * torch.log(variances) + self.scale / variances
        return (self.concentration - 1) * parameters["log_weights"].sum() - tails.sum()

    def expected_log_joint(self, statistics, parameters):
        """Expected log p(x, component) of statistics, in nats."""
        log_weights, means, variances = (parameters[name] for name in ("log_weights", "means", "variances"))
        seen, first, second = (statistics[name] for name in ("seen", "first", "second"))
        squares = second - 2 * means * first + seen * means**2
        inside = torch.log(variances) + LOG_2PI
        return statistics["weight"] @ log_weights - 0.5 * (squares / variances + seen * inside).sum()

    def unconstrain(self, parameters):
        log_weights = parameters["log_weights"]
        rest = [parameters["means"].flatten(), torch.log(parameters["variances"]).flatten()]
        return torch.cat([log_weights[1:] - log_weights[0], *rest])

    def constrain(self, vector):
        k, d = self.n_components, self.n_features
        log_weights, means, log_variances = vector.split([k - 1, k * d, k * d])
        return {
            "log_weights": torch.log_softmax(torch.cat([log_weights.new_zeros(1), log_weights]), 0),
            "means": means.view(k, d),
            "variances": torch.exp(log_variances).view(k, d),
        }


class MixturePosterior(Posterior):
    def __init__(self, parameters):
        self.log_weights, self.means, self.variances = (
            parameters[name] for name in ("log_weights", "means", "variances")
        )

    def joint(self, tile):
        each = (tile.x.unsqueeze(1) - self.means) ** 2 / self.variances + torch.log(self.variances) + LOG_2PI
        return self.log_weights - 0.5 * (each * observed(tile).unsqueeze(1)).sum(2)

    def log_prob(self, tile):
        return torch.logsumexp(self.joint(tile), 1)

    def of(self, tile, responsibilities):
        r = (responsibilities * weights(tile).unsqueeze(1)).T
        mask = observed(tile)
        return {"weight": r.sum(1), "seen": r @ mask, "first": r @ tile.x, "second": r @ tile.x**2}

    def expect(self, tile):
        joint = self.joint(tile)
        return self.of(tile, torch.softmax(joint, 1)), torch.logsumexp(joint, 1) @ weights(tile)

    def draw(self, tile, generator):
        joint = self.joint(tile)
        labels = torch.multinomial(torch.softmax(joint, 1), 1, generator=generator)
        return self.of(tile, torch.zeros_like(joint).scatter_(1, labels, 1.0))


class DoublingPosterior(MixturePosterior):
    def of(self, tile, responsibilities):
        return super().of(tile._replace(x=tile.x.double()), responsibilities)


class SingleMixture(DiagonalMixture):
    """Takes rows in float32 as they are, and finds in an M-step of its choice that they are not enough."""

    takes_single = True
    n_calls = 0

    def __init__(self, *sizes, last):
        super().__init__(*sizes)
        self.last, self.dtypes = last, []

    def bind(self, parameters):
        posterior, dtypes = DoublingPosterior(parameters), self.dtypes
        joint = posterior.joint

        def noted(tile):
            dtypes.append(tile.x.dtype)
            return joint(tile._replace(x=tile.x.double()))

        posterior.joint = noted
        return posterior

    def survives_single(self, parameters):
        self.n_calls += 1
        return self.n_calls != self.last


class OneFactor(ExactModel):
    """x = mean + z + e, with one normal z for all features of a row; complete rows are summed up in their moments."""

    summarized = True

    def __init__(self, n_features):
        self.n_features = n_features

    def bind(self, parameters):
        return FactorPosterior(parameters)

    def moments(self, tile):
        weighted = tile.x * weights(tile).unsqueeze(1)
        return {"n": weights(tile).sum(), "x": weighted.sum(0), "xx": weighted.T @ tile.x}

    def m_step(self, statistics, parameters):
        mean = (statistics["first"] - statistics["factor"]) / statistics["seen"]
        squares = statistics["square"] - 2 * mean * (statistics["first"] - statistics["factor"])
        squares = squares + statistics["seen"] * mean**2 - 2 * statistics["cross"] + statistics["factor_square"]
        return {
            "mean": mean,
            "spread": statistics["spread"] / statistics["weight"],
            "noise": squares.sum() / statistics["seen"].sum(),
        }

    def unconstrain(self, parameters):
        return torch.cat([parameters["mean"], torch.stack([parameters["spread"], parameters["noise"]]).log()])

    def constrain(self, vector):
        mean, logs = vector.split([self.n_features, 2])
        return {"mean": mean, "spread": logs[0].exp(), "noise": logs[1].exp()}


class FactorPosterior(Posterior):
    def __init__(self, parameters):
        self.mean, self.spread, self.noise = (parameters[name] for name in ("mean", "spread", "noise"))

    def conditional(self, tile):
        """Mean and variance of z given each row."""
        mask = observed(tile)
        variance = 1 / (1 / self.spread + mask.sum(1) / self.noise)
        return variance * ((tile.x - self.mean) * mask).sum(1) / self.noise, variance

    def log_prob(self, tile):
        mask = observed(tile)
        mean, variance = self.conditional(tile)
        squares = ((tile.x - self.mean) ** 2 * mask).sum(1) / self.noise - mean**2 / variance
        log_det = mask.sum(1) * torch.log(self.noise) + torch.log(self.spread) - torch.log(variance)
        return -0.5 * (squares + log_det + mask.sum(1) * LOG_2PI)

    def of(self, tile, mean, variance):
        w, mask = weights(tile), observed(tile)
        square = w * (mean**2 + variance)
        return {
            "weight": w.sum(),
            "spread": square.sum(),
            "seen": w @ mask,
            "first": w @ tile.x,
            "square": w @ tile.x**2,
            "factor": (w * mean) @ mask,
            "cross": (w * mean) @ tile.x,
            "factor_square": square @ mask,
        }

    def expect(self, tile):
        if tile.observed is None:
            return {}, 0.0
        return self.of(tile, *self.conditional(tile)), self.log_prob(tile) @ weights(tile)

    def expect_moments(self, moments):
        n, x, xx = moments["n"], moments["x"], moments["xx"]
        d = len(x)
        variance = 1 / (1 / self.spread + d / self.noise)
        gain = variance / self.noise
        total, shift = x.sum(), self.mean.sum()
        squares = xx.sum() - 2 * shift * total + n * shift**2
        spread = n * variance + gain**2 * squares
        factor = gain * (total - n * shift)
        deviations = xx.diagonal().sum() - 2 * self.mean @ x + n * self.mean @ self.mean
        quadratic = deviations / self.noise - gain**2 * squares / variance
        log_det = d * torch.log(self.noise) + torch.log(self.spread) - torch.log(variance)
        statistics = {
            "weight": n,
            "spread": spread,
            "seen": n.expand(d),
            "first": x,
            "square": xx.diagonal(),
            "factor": factor.expand(d),
            "cross": gain * (xx.sum(0) - shift * x),
            "factor_square": spread.expand(d),
        }
        return statistics, -0.5 * (quadratic + n * (log_det + d * LOG_2PI))

    def draw(self, tile, generator):
        mean, variance = self.conditional(tile)
        return self.complete(tile, (mean + variance**0.5 * normal(len(mean), generator=generator)).unsqueeze(1))

    def latent(self, tile):
        return torch.zeros_like(tile.x[:, :1])

    def log_joint(self, tile, z):
        residual = (tile.x - self.mean - z) ** 2 * observed(tile)
        return -0.5 * (residual.sum(1) / self.noise + z.squeeze(1) ** 2 / self.spread)

    def complete(self, tile, z):
        return self.of(tile, z.squeeze(1), torch.zeros_like(z.squeeze(1)))


class Problem:
    """A model, rows drawn from it with a few entries missing, and parameters to start from."""

    def __init__(self, model, x, start, *, weight=None, tile_rows=64):
        self.model, self.x, self.start, self.weight, self.tile_rows = model, x, start, weight, tile_rows

    def rows(self):
        return Rows(self.x, self.weight, tile_rows=self.tile_rows, incomplete_tile_rows=32)

    def solver(self, solver_class, *, seed=0, start=None, **options):
        start = self.start if start is None else start
        return solver_class(self.model, self.rows(), start, generator=torch.Generator().manual_seed(seed), **options)


def with_holes(x, generator, share=0.1):
    """Rows of which some miss entries, none all."""
    holes = torch.rand(x.shape, generator=generator) < share
    holes[:, 0] = False
    return x.masked_fill(holes, torch.nan)


def mixture_problem(*, n_rows=160, distance=2.0, missing=True, weighted=True, seed=5, **options):
    """Two components whose means lie ``distance`` standard deviations apart in each of two features."""
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(n_rows, generator=generator) < 0.4).double()
    x = normal(n_rows, 2, generator=generator) + distance * labels.unsqueeze(1)
    x = with_holes(x, generator) if missing else x
    weight = 0.5 + torch.rand(n_rows, generator=generator, dtype=torch.float64) if weighted else None
    start = {
        "log_weights": torch.tensor([0.5, 0.5]).double().log(),
        "means": torch.tensor([[0.0, 0.3], [1.5, 1.2]]).double(),
        "variances": torch.ones(2, 2).double(),
    }
    return Problem(DiagonalMixture(2, 2, **options), x, start, weight=weight)


def factor_problem(*, n_rows=160, missing=True, seed=6):
    """Three features with one common factor."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.tensor([1.0, -2.0, 0.5]) + 1.3 * normal(n_rows, 1, generator=generator)
    x = x + 0.8 * normal(n_rows, 3, generator=generator)
    x = with_holes(x, generator) if missing else x
    start = {
        "mean": torch.zeros(3).double(),
        "spread": torch.tensor(1.0).double(),
        "noise": torch.tensor(1.0).double(),
    }
    weight = 0.5 + torch.rand(n_rows, generator=generator, dtype=torch.float64)
    return Problem(OneFactor(3), x, start, weight=weight)


PROBLEMS = {
    "mixture": mixture_problem,
    "penalised": lambda: mixture_problem(concentration=1.5, shape=1.0, scale=0.3),
    "factor": factor_problem,
    "complete": lambda: factor_problem(missing=False),
}
