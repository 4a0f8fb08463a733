"""The game of a critic and a generator: their losses, and the steps in which they take turns."""

from typing import NamedTuple

import torch

from skgen._trace import autograd_trace
from skgen.distributions.normal import standard_normal
from skgen.estimators._adversarial_score import MOST_COMPARED, distance_by_draws, kernel_of, with_classes
from skgen.estimators._arrays import tiles
from skgen.estimators._loss import Loss
from skgen.models.labelled import one_hot
from skgen.training.optimizers import Playing
from skgen.training.schedules import annealed
from skgen.training.steps import Alternate, GradientStep, Repeated, Step

STEP = 1e-2
"""Length, in standard deviations of a column, over which slopes of the critic are taken."""
MOST_CANDIDATES = 100
"""Draws that are tried for a row, the last of which is taken whatever it is."""
SHARED_DRAWS = 8
"""Drawn rows that each row of a single batch is mixed with, where the critic is penalised between them."""


def drawn_rows(model, z, condition):
    """Standardised rows that a model draws for latent ones, decoded in tiles."""
    return _in_tiles(model, model.drawn, z, condition)


def _in_tiles(model, function, rows, condition):
    """A function of rows and their conditions that is one of a model's methods."""
    parts = tiles(len(rows), model.width, rows.element_size())
    return torch.cat([function(rows[part], None if condition is None else condition[part]) for part in parts])


class Drawing:
    """Latent rows and the classes that rows are drawn of.

    Parameters
    ----------
    n_components : int
    class_prior : Tensor of shape (n_classes,) or None
        Probabilities of the classes, where there are some.
    like : Tensor
        Of the dtype and on the device of the latent rows.
    """

    def __init__(self, n_components, class_prior, like):
        self.n_components, self.class_prior, self.like = n_components, class_prior, like

    def condition(self, codes):
        """Rows of 0 and 1 for numbers of classes, None where there are none."""
        return None if self.class_prior is None else one_hot(codes, len(self.class_prior), self.like)

    def latent(self, *shape, generator):
        """Standard normal rows."""
        return standard_normal(self.like.new_empty(*shape, self.n_components), generator)

    def __call__(self, n_rows, generator):
        """So many latent rows, and conditions drawn with the probabilities of the classes."""
        z = self.latent(n_rows, generator=generator)
        if self.class_prior is None:
            return z, None
        codes = torch.multinomial(self.class_prior, n_rows, replacement=True, generator=generator)
        return z, self.condition(codes)

    def for_batch(self, batch, n_drawn, generator):
        """Latent rows and conditions: ``n_drawn`` of them, or, where None, one for each row of a batch."""
        if n_drawn is not None:
            return self(n_drawn, generator)
        return self.latent(len(batch.x), generator=generator), self.condition(batch.target)

    def rows(self, model, n_rows, generator, condition=None):
        """So many accepted standardised rows, and their conditions: those given, or else drawn ones."""
        z, drawn = self(n_rows, generator)
        condition = drawn if condition is None else condition
        rows = drawn_rows(model, z, condition)
        if model.accepts_all:
            return rows, condition
        waiting, given = torch.arange(n_rows, device=rows.device), condition
        for _ in range(MOST_CANDIDATES - 1):
            chance = _in_tiles(model, model.acceptance, rows[waiting], given)
            refused = chance.new_empty(len(waiting)).uniform_(generator=generator) >= chance
            waiting, given = waiting[refused], None if given is None else given[refused]
            if len(waiting) == 0:
                break
            rows[waiting] = drawn_rows(model, self.latent(len(waiting), generator=generator), given)
        return rows, condition


class Mixed(NamedTuple):
    """Real rows and drawn ones behind them, their conditions or None, and what each counts for.

    Shares of a kind add up to 1, those of a batch of weighted rows in the mean over batches.
    """

    rows: torch.Tensor
    condition: torch.Tensor | None
    share: torch.Tensor
    n_real: int

    @classmethod
    def of(cls, real, of_real, share, drawn, of_drawn):
        """Of real rows with shares, and drawn ones that count alike."""
        condition = None if of_real is None else torch.cat([of_real, of_drawn])
        of_draws = share.new_full((len(drawn),), 1 / len(drawn))
        return cls(torch.cat([real, drawn]), condition, torch.cat([share, of_draws]), len(real))

    def losses(self, game, scores):
        """A critic's losses, by its scores of these rows."""
        return torch.cat([game.real(scores[: self.n_real]), game.drawn(scores[self.n_real :])])


def judged_rows(judge, model, game, mixed):
    """Losses of a critic on mixed rows; their gradient is added by ``judge``, its tracer."""
    outputs, pull_critic = judge(mixed.rows)
    (values,), pullback = autograd_trace(lambda leaf: mixed.losses(game, model.scored(leaf, mixed.condition)), outputs)
    pull_critic(*pullback(mixed.share))
    return values


def shares_of(batch):
    """What each row of a batch counts for."""
    n_rows = len(batch.x)
    return batch.x.new_full((n_rows,), 1 / n_rows) if batch.weight is None else batch.weight / n_rows


class AdversarialLoss(Loss):
    """What critic, generator and encoder minimise on a batch. Each part adds to its own gradient only.

    Parameters
    ----------
    model : AdversarialModel
    game : Game
    drawing : Drawing
    bandwidths : array of shape (n_bandwidths,)
        Of the discrepancy.
    penalty_weight : float
        Weight of the penalty on the critic's gradient, which is higher for the first ``annealing_epochs``.
    discrepancy_weight : float
        Weight, beside the game, of the squared mean discrepancy of drawn rows from real ones (Li et al. 2015,
        https://arxiv.org/abs/1502.02761, Dziugaite et al. 2015, https://arxiv.org/abs/1505.03906).
    n_drawn : int or None
        Rows drawn for each batch; None: as many as it has. Data of one batch, ``full``, are mixed with rows that they
        share, so that a row's weight means its repetition.
    """

    monitor = "score"

    def __init__(self, model, game, drawing, bandwidths, *, penalty_weight, discrepancy_weight, n_drawn=None):
        self.model, self.game, self.drawing, self.bandwidths = model, game, drawing, bandwidths
        self.penalty_weight, self.discrepancy_weight = penalty_weight, discrepancy_weight
        self.n_drawn, self.annealing_epochs, self.annealing = n_drawn, 0.0, 1.0
        self.judge = model.critic.tracer(input_gradient=False)
        self.judge_draws = model.critic.tracer(parameter_gradient=False)
        self.generate = model.generator.tracer(input_gradient=False)
        self.encode = None if model.encoder is None else model.encoder.tracer(input_gradient=False)

    def begin(self, epoch):
        self.annealing = annealed(epoch, self.annealing_epochs)

    def settled(self, epoch):
        return epoch >= self.annealing_epochs

    def __call__(self, batch, generator):
        """The loss of the critic, which is the first to learn from a batch."""
        return self.critic(batch, generator)

    def _drawn(self, network, z, condition):
        return self.model.shaped(network(self.model.latent_inputs(z, condition)))

    def critic(self, batch, generator):
        """Add the gradient of the critic."""
        real, of_real = batch.x, self.drawing.condition(batch.target)
        z, of_drawn = self.drawing.for_batch(batch, self.n_drawn, generator)
        drawn = self.model.shaped(self.generate(self.model.latent_inputs(z, of_drawn))[0])
        mixed = Mixed.of(real, of_real, shares_of(batch), drawn, of_drawn)
        if self.game.between:
            penalty = self._slope_between(real, of_real, mixed.share[: len(real)], drawn, generator)
            values = judged_rows(self.judge, self.model, self.game, mixed)
        else:
            values, penalty = self._judged_with_slopes(mixed, generator)
        return lambda: {"critic": values @ mixed.share, "gradient_penalty": penalty()}, lambda: values @ mixed.share

    def _judged_with_slopes(self, mixed, generator):
        """The same with the penalty of the slopes at the rows, from differences along random directions.

        The mean square of the slope along a normal vector is the squared norm of the gradient, and costs one pass
        forward and one back where a gradient of a gradient costs four (Lin et al. 2025).
        """
        rows, condition, share, _ = mixed
        direction = rows.new_empty(1 if self.n_drawn else len(rows), rows.shape[1])
        moved = rows + STEP * standard_normal(direction, generator)
        outputs, pull_critic = self.judge(torch.cat([rows, moved]))

        def losses(outputs):
            scores = self.model.scored(outputs, None if condition is None else condition.repeat(2, 1))
            slopes = (scores[len(rows) :] - scores[: len(rows)]) / STEP
            return mixed.losses(self.game, scores[: len(rows)]), slopes.square()

        (values, squares), pullback = autograd_trace(losses, outputs)
        pull_critic(*pullback(share, self.annealing * self.penalty_weight * share))
        return values, lambda: squares @ share

    def _slope_between(self, real, condition, share, drawn, generator):
        """Add the gradient of the penalty of the norm of gradients between real and drawn rows; its mean."""
        points = self._between(real, condition, drawn, generator)

        def penalties():
            leaf = points.requires_grad_()
            (gradient,) = torch.autograd.grad(self.model.scores(leaf, condition).sum(), leaf, create_graph=True)
            return self.game.penalty(gradient)

        (values,), pullback = autograd_trace(penalties)
        part = share / (values.numel() / len(share))
        pullback(self.penalty_weight * part)
        return lambda: (values * part).sum()

    def _between(self, real, condition, drawn, generator):
        """Points between real and drawn rows, (batch, features), or (shared draws, batch, features)."""
        if self.n_drawn is None:
            return torch.lerp(drawn, real, real.new_empty(len(real), 1).uniform_(generator=generator))
        z = self.drawing.latent(SHARED_DRAWS, 1, generator=generator).expand(-1, len(real), -1)
        part = real.new_empty(SHARED_DRAWS, 1, 1).uniform_(generator=generator)
        return torch.lerp(self._drawn(self.model.generator, z, condition), real, part)

    def generator(self, batch, generator):
        """Add the gradient of the generator."""
        z, condition = self.drawing.for_batch(batch, self.n_drawn, generator)
        outputs, pull_generator = self.generate(self.model.latent_inputs(z, condition))
        (drawn,), pull_shape = autograd_trace(self.model.shaped, outputs)
        judged, pull_critic = self.judge_draws(drawn)
        (values,), pull_game = autograd_trace(lambda o: self.game.generator(self.model.scored(o, condition)), judged)
        (cotangent,) = pull_game(torch.full_like(values, 1 / len(values)))
        to_drawn = pull_critic(cotangent)
        if self.discrepancy_weight:
            to_drawn = self._with_nearness(to_drawn, batch, drawn, condition)
        pull_generator(*pull_shape(to_drawn))
        return lambda: {"generator": values.mean()}, values.mean

    def _with_nearness(self, to_drawn, batch, drawn, condition):
        """A gradient by drawn rows with that of the discrepancy added, by those that memory holds all pairs of."""
        compared, others = slice(MOST_COMPARED), slice(MOST_COMPARED, None)
        nearer = self._to_nearer(batch, drawn[compared], None if condition is None else condition[compared])
        return torch.cat([to_drawn[compared] + nearer, to_drawn[others]])

    def _to_nearer(self, batch, drawn, condition):
        """The gradient, by drawn rows, of their discrepancy from the rows of a batch."""
        if self.n_drawn is None:  # rows in random order
            batch = next(batch.tiles(MOST_COMPARED))[1]
        rows = with_classes(batch.x, self.drawing.condition(batch.target), self.bandwidths)
        # Shares need not add up to 1 in a batch: they do in the mean, which is what the gradient is linear in.
        kernel, share = kernel_of(self.bandwidths), shares_of(batch)

        def discrepancy(drawn):
            return distance_by_draws(rows, share, with_classes(drawn, condition, self.bandwidths), kernel)

        (value,), pullback = autograd_trace(discrepancy, drawn)
        return pullback(torch.ones_like(value) * self.discrepancy_weight)[0]

    def encoder(self, batch, generator):
        """Add the gradient of the encoder, which learns where rows that the averaged generator draws come from."""
        z, condition = self.drawing.for_batch(batch, self.n_drawn, generator)
        code, pullback = self.encode(self._drawn(self.model.average, z, condition))
        error = code - z
        pullback(error * (2 / error.numel()))
        value = error.square().mean()
        return lambda: {"encoder": value}, lambda: value


class Averaging(Step):
    """Moves an average of parameters towards them.

    The decay grows to its final value over the first steps, so that the average forgets where it began.

    Parameters
    ----------
    average, parameters : Tensor
        Flat vectors of one length.
    decay : float
    """

    learning_rate = 0.0

    def __init__(self, average, parameters, decay):
        self.average, self.parameters, self.decay = average, parameters, decay
        self.n_steps = torch.zeros((), dtype=torch.int64)

    def __call__(self, batch, generator, *, report=True):
        self.n_steps += 1
        n_steps = int(self.n_steps)
        self.average.lerp_(self.parameters, 1 - min(self.decay, n_steps / (9 + n_steps)))
        return {}

    def state(self):
        return {"n_steps": self.n_steps}

    def load(self, state):
        self.n_steps.copy_(state["n_steps"])


def turns(model, parameters, loss, settings, *, n_critic_steps, ema_decay):
    """The step of a game: the critic's, the generator's, that of its average, and the encoder's where there is one."""

    def learning(network, part):
        optimizer = Playing(
            parameters.part(network), weight_decay=settings.weight_decay, max_grad_norm=settings.max_grad_norm
        )
        return GradientStep(part, optimizer, settings.learning_rate)

    average, generator = parameters.part(model.average), parameters.part(model.generator)
    parts = [
        ("critic", Repeated(learning(model.critic, loss.critic), n_critic_steps)),
        ("generator", learning(model.generator, loss.generator)),
        ("average", Averaging(average.value, generator.value, ema_decay)),
    ]
    if model.encoder is not None:
        parts.append(("encoder", learning(model.encoder, loss.encoder)))
    return Alternate(*parts)
