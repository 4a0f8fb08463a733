"""Which draws of a generator to accept: classifiers learn it after training, and validation rows calibrate them."""

import warnings
from contextlib import suppress

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from skgen.estimators._adversarial import Mixed, drawn_rows, judged_rows, shares_of
from skgen.estimators._arrays import as_array
from skgen.objectives.adversarial import NonSaturating
from skgen.training.flat import FlatParameters
from skgen.training.loop import annealed_epochs
from skgen.training.optimizers import SOLVERS
from skgen.training.steps import GradientStep

MOST_SEEN, MOST_EPOCHS = 200_000, 50
"""Rows seen after which a classifier ends its epoch and stops, and most epochs."""
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 0.01
"""The first is for 128 rows in a step, and grows with the root of their number."""
MOST_VALIDATED = 20
"""Times that a classifier is validated, the best of which counts."""
N_HELD = 4
"""Draws for each row that the classifier is validated on."""
N_DESCRIBED = 5000
"""Draws of each class that ceilings are taken from."""
HIGHEST, LEAST_ACCEPTED = 0.99, 0.1
"""Share of the draws below a ceiling, and the share accepted below which all are."""


class RatioLoss:
    """What a classifier of rows and of draws of the averaged generator loses on a batch, with its gradient."""

    def __init__(self, model, ratio, drawing, n_drawn):
        self.model, self.drawing, self.n_drawn = model, drawing, n_drawn
        self.game, self.judge = NonSaturating(), ratio.tracer(input_gradient=False)

    def __call__(self, batch, generator):
        of_real = self.drawing.condition(batch.target)
        z, of_drawn = self.drawing.for_batch(batch, self.n_drawn, generator)
        drawn = self.model.drawn(z, of_drawn)
        mixed = Mixed.of(batch.x, of_real, shares_of(batch), drawn, of_drawn)
        values = judged_rows(self.judge, self.model, self.game, mixed)
        return lambda: {"ratio": values @ mixed.share}, lambda: values @ mixed.share


class HeldOut:
    """Rows and draws that classifiers do not learn from.

    Parameters
    ----------
    model : AdversarialModel
    drawing : Drawing
    rows, share, condition : Tensor
        Standardised rows, shares that add up to 1, and conditions or None.
    generator : torch.Generator
    """

    def __init__(self, model, drawing, rows, share, condition, generator):
        self.model = model
        of_drawn = None if condition is None else condition.repeat(N_HELD, 1)
        drawn = drawn_rows(model, drawing.latent(N_HELD * len(rows), generator=generator), of_drawn)
        self.mixed = Mixed.of(rows, condition, share, drawn, of_drawn)

    def loss(self, ratio):
        """What a classifier loses on them."""
        scores = self.model.scored(ratio(self.mixed.rows), self.mixed.condition)
        return float(self.mixed.losses(NonSaturating(), scores) @ self.mixed.share)

    def slope(self):
        """What to multiply log-ratios with: 1 where they are right, less where they are too sure, 0 at worst.

        Platt's scaling (Turner et al. 2019, https://arxiv.org/abs/1811.11357), which takes a classifier that has
        learnt its rows by heart back to what holds for others.
        """
        rows, condition, share, n_real = self.mixed
        real, weight = np.arange(len(rows)) < n_real, len(rows) / 2 * as_array(share)
        log_ratios = as_array(self.model.log_ratios(rows, condition)).astype(np.float64)
        if not np.isfinite(log_ratios).all():  # of rows so far away that classifiers tell nothing of them
            return 0.0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # log-ratios may be huge, and are then of no use
            calibrated = LogisticRegression().fit(log_ratios[:, np.newaxis], real, sample_weight=weight)
        return float(calibrated.coef_[0, 0].clip(0, 1))


def fit_rejection(model, drawing, batches, held, *, n_drawn, seed):
    """Learn which draws of a model in training to accept.

    Sets the ratios of the model, which learn one by one from the same rows, their slope and the ceilings. ``held`` are
    rows that are not among those of the batches, with shares and conditions.
    """
    generator = torch.Generator(model.scale.device).manual_seed(seed)
    order = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        held = HeldOut(model, drawing, *held, generator)
        for ratio in model.ratios:
            _fit_ratio(model, ratio, drawing, batches, held, n_drawn, order, generator)
        model.slope.fill_(1.0)
        model.slope.fill_(held.slope())
        set_ceilings(model, drawing, generator)


def _fit_ratio(model, ratio, drawing, batches, held, n_drawn, order, generator):
    """Train one of the ratios, and leave it with the parameters that are best on rows held out."""
    parameters = FlatParameters(ratio)
    optimizer = SOLVERS["adamw"](parameters, weight_decay=WEIGHT_DECAY)
    first_rate = LEARNING_RATE * (min(batches.batch_size, batches.n_rows) / 128) ** 0.5
    step = GradientStep(RatioLoss(model, ratio, drawing, n_drawn), optimizer, first_rate)
    last = min(MOST_EPOCHS, -(-MOST_SEEN // batches.n_rows))
    stride = -(-last // MOST_VALIDATED)
    best, values = np.inf, parameters.value.clone()
    loop = annealed_epochs(step, batches, last, order=order, generator=generator)
    with suppress(FloatingPointError):  # what has diverged goes back to its best
        for epoch, _ in enumerate(loop):
            if epoch % stride == (last - 1) % stride and (loss := held.loss(ratio)) < best:
                best, values = loss, parameters.value.clone()
    parameters.value.copy_(values)


def set_ceilings(model, drawing, generator):
    """Set the ceilings of a model, and how many draws it accepts: all, where its ratios would accept too few.

    Rows and draws then overlap too little for a ratio of their densities to say which draws are better.
    """
    classes = [None] if drawing.class_prior is None else list(torch.eye(len(drawing.class_prior)).to(model.scale))
    shares = model.scale.new_ones(len(classes))
    for k, row in enumerate(classes):
        condition = None if row is None else row.expand(N_DESCRIBED, -1)
        rows = drawn_rows(model, drawing.latent(N_DESCRIBED, generator=generator), condition)
        log_ratios = model.log_ratios(rows, condition)
        model.ceilings[k] = log_ratios.quantile(HIGHEST)
        shares[k] = model.acceptance(rows, condition).mean()
    if shares.min() < LEAST_ACCEPTED:
        model.accept_all()
    else:
        model.accepted.copy_(shares.mean() if drawing.class_prior is None else shares @ drawing.class_prior)
