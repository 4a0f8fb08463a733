"""How a generator and a critic are made from parameters, and learn from rows."""

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from skgen.estimators._adversarial import AdversarialLoss, turns
from skgen.estimators._adversarial_fitted import FittedAdversary
from skgen.estimators._adversarial_score import (
    MOST_COMPARED,
    MOST_DRAWN,
    N_BANDWIDTHS,
    EpochDistance,
    bandwidths_of,
    compared_rows,
    coverage_of,
)
from skgen.estimators._arrays import as_array, as_tensor
from skgen.estimators._data import numbered, shares
from skgen.estimators._labelled_rows import LabelledRows
from skgen.estimators._network_kinds import NETWORK_KINDS, ChosenNetworks, networks
from skgen.estimators._rejection import fit_rejection
from skgen.estimators._warnings import warn_user
from skgen.models.adversarial import AdversarialModel
from skgen.networks import RandomFeatureMLP
from skgen.objectives.adversarial import GAMES

FEWEST_VALIDATED = 50
"""Rows held out for validation below which a discrepancy tells little."""
N_RATIOS, RATIO_SIZES = 4, (128, 128)
"""For ``rejection``: classifiers, whose mean decides, and their hidden layers."""
COLLAPSED = 0.5
"""Coverage below which a warning says so."""


class AdversarialEstimator(LabelledRows, ChosenNetworks, FittedAdversary):
    """Base of the estimators that learn by a game; the parameters are those of a subclass."""

    _standardization_names = ("shift", "scale")
    _continued = {
        "n_components": "n_components",
        "network": "network",
        "image_shape": "image_shape",
        "encoder_sizes": "hidden_layer_sizes",
        "decoder_sizes": "generator_hidden_layer_sizes",
        "activation": "activation",
        "encoder": "encoder",
        "bounded": "bounded",
        "jumps": "jumps",
        "conditional": "conditional",
        "rejection": "rejection",
    }
    _usual_sizes = NETWORK_KINDS | {"mlp": (128, 128)}
    _constants_become = "generated as that constant"
    dropout = 0.0

    # -- assembly ---------------------------------------------------------------------------------------------

    @property
    def _asks_labels(self):
        return self.conditional

    @property
    def _solvers(self):
        return {"solver": "adam"}

    def _decoder_sizes(self):
        return self.generator_hidden_layer_sizes, "generator_hidden_layer_sizes"

    def _decide(self):
        if self.conditional and len(self.classes_) < 2:
            raise ValueError(
                f"y has one class, {self.classes_.tolist()[0]!r}, and conditional=True learns what tells classes "
                "apart: pass rows of two classes or more, name all in the first call of partial_fit, or set "
                "conditional=False."
            )
        if GAMES[self.loss].between and self.gradient_penalty == 0:
            raise ValueError(
                f"loss={self.loss!r} has no bound with gradient_penalty=0: choose a positive one, or another loss."
            )
        self._architecture = self._network_sizes() | {
            "conditional": bool(self.conditional),
            "encoder": bool(self.encoder),
            "bounded": bool(self.bounded),
            "jumps": bool(self.jumps),
            "rejection": bool(self.rejection),
        }

    def _build_model(self, n_features):
        a, n_classes = self._architecture, len(self.classes_) if self._architecture["conditional"] else 0
        widths = (n_features, 1 + n_classes), ((1 + a["jumps"]) * a["n_components"] + n_classes, n_features)
        critic, generator = networks(a, *widths)
        encoder = networks(a, (n_features, a["n_components"]), widths[1])[0] if a["encoder"] else None
        n_ratios = N_RATIOS if a["rejection"] else 0
        ratios = [RandomFeatureMLP(n_features, RATIO_SIZES, 1 + n_classes, N_BANDWIDTHS) for _ in range(n_ratios)]
        options = {"bounded": a["bounded"], "jumps": a["jumps"]}
        return AdversarialModel(critic, generator, networks(a, *widths)[1], encoder, ratios, **options)

    def _column_moments(self, moments):
        """What a model is standardised by.

        Of bounded columns that is their range: deviations of pixels that hardly ever vary would be no unit.
        """
        parts = moments.mean, moments.scale, moments.low, moments.high
        mean, scale, low, high = (torch.from_numpy(part) for part in parts)
        common = self._architecture["network"] == "conv"
        if self._architecture["bounded"] and not common:
            mean, scale = (low + high) / 2, ((high - low) / 2).where(scale > 0, 0.0)
        return (mean, scale, low, high), {"common": common}

    def _start_model(self, model, moments, generator, *, partial):
        columns, options = self._column_moments(moments)
        model.reset(generator)
        model.initialize(*columns, **options)

    def _move_model(self, model, moments, old):
        columns, options = self._column_moments(moments)
        model.restandardize(*columns, **options)

    def _prepared_model(self, X, weight, random_state, *, fresh, partial):
        most = fresh or self.n_samples_seen_ < min(len(X), MOST_COMPARED)
        model = super()._prepared_model(X, weight, random_state, fresh=fresh, partial=partial)
        if most:  # a small chunk tells less of them than the rows before it
            self.bandwidths_ = bandwidths_of(self._standardized(model, X[compared_rows(len(X))]))
        model.forget_ratios(torch.from_numpy(self.bandwidths_), torch.Generator().manual_seed(self._score_seed))
        return model

    def _standardized(self, model, rows):
        """Rows of an array as the model takes them."""
        shift, scale = (self._standardization[name].astype(rows.dtype) for name in self._standardization_names)
        return as_tensor((rows - shift) / scale).to(model.scale)

    # -- training ---------------------------------------------------------------------------------------------

    def _split(self, data, random_state, *, partial):
        X, weight, X_val, *targets = data
        few = self._too_few_validated(X, X_val) if self.early_stopping and not partial else ""
        if not few:
            return super()._split(data, random_state, partial=partial)
        warn_user(
            f"{few} leaves too few rows to validate on: training goes on without early stopping. Pass more rows, or "
            "set early_stopping=False.",
            ConvergenceWarning,
        )
        return X, weight, None, *targets[:1]

    def _too_few_validated(self, X, X_val):
        """What leaves too few rows to validate on, if anything does."""
        if X_val is not None:
            return f"X_val with n_samples = {len(X_val)}" if len(X_val) < 2 else ""
        if self._n_distinct(X) * self.validation_fraction >= FEWEST_VALIDATED:
            return ""
        return f"n_samples = {len(X)} with validation_fraction={self.validation_fraction}"

    def _n_distinct(self, X):
        """Number of rows; of those of a single batch each counts once, so that weights mean repetition."""
        return len(X) if len(X) > self.batch_size else int(numbered(X).max()) + 1

    def _loss(self, model, batches, generator):
        game, penalty_weight, n_drawn = GAMES[self.loss](), self.gradient_penalty, None
        if batches.full:  # however large a batch may be, more rows than there are tell little more
            n_drawn = min(self.batch_size, max(MOST_DRAWN, self._n_distinct(as_array(batches.rows))))
        loss = AdversarialLoss(
            model,
            game,
            self._drawing(model),
            self.bandwidths_,
            penalty_weight=game.penalty_weight if penalty_weight is None else penalty_weight,
            discrepancy_weight=self.discrepancy_weight,
            n_drawn=n_drawn,
        )
        loss.codes = batches.target
        return loss

    def _schedule(self, loss, *, warm_up):
        if warm_up and not loss.game.between:
            loss.annealing_epochs = self._epochs(self.penalty_annealing)

    def _step(self, model, parameters, loss):
        n_critic_steps = loss.game.n_critic_steps if self.n_critic_steps is None else self.n_critic_steps
        return turns(model, parameters, loss, self, n_critic_steps=n_critic_steps, ema_decay=self.ema_decay)

    def _measures(self, loss, data, validation, model, *, shared, seed):
        (X, weight, *codes), name = (data, "score") if validation is None else (validation, "validation_score")
        if validation is None and loss.codes is not None:
            codes = [as_array(loss.codes)]
        some = compared_rows(len(X))
        share = shares(None if weight is None else weight[some], len(some)).to(model.scale)
        condition = loss.drawing.condition(as_tensor(codes[0][some]).to(share.device)) if codes else None
        return EpochDistance(
            name,
            model,
            self._standardized(model, X[some]),
            share,
            condition,
            loss.drawing,
            self.bandwidths_,
            sample=validation is not None,
            seed=seed,
        )

    def _conclude(self, run, data):
        self._learn_rejection(run)
        super()._conclude(run, data)

    def _learn_rejection(self, run):
        """Learn which draws to accept, from the rows that the run trains on and is validated on."""
        held = run.measures
        if not (self.rejection and run.keep and len(held.rows) >= FEWEST_VALIDATED):
            return
        parts = run.batches, (held.rows, held.share, held.condition)
        try:
            fit_rejection(run.model, run.loss.drawing, *parts, n_drawn=run.loss.n_drawn, seed=self._score_seed)
        except KeyboardInterrupt:
            run.interrupted = True
            run.model.accept_all()
            warn_user(
                "fit was interrupted while it learnt which draws to accept; the model accepts all.", ConvergenceWarning
            )

    def _learnt(self, run):
        return super()._learnt(run) | {"acceptance_": float(run.model.accepted)}

    def _salvaged(self, run, data):
        if run.best is None:
            return {}
        run.keep_best()
        self._learn_rejection(run)
        self._store(run)
        self._describe_data(data)
        del self.training_state_  # it is that of the weights which diverged
        return vars(self).copy()

    def _describe(self, model, X, weight):
        rows = np.unique(X[compared_rows(len(X))], axis=0)
        self.coverage_ = float("nan")
        if len(rows) > FEWEST_VALIDATED:
            generator = torch.Generator(model.scale.device).manual_seed(self._score_seed)
            with torch.inference_mode():
                drawn = self._drawing(model).rows(model, MOST_DRAWN, generator)[0]
            self.coverage_ = coverage_of(as_array(self._standardized(model, rows)), as_array(drawn))

    def _doubts(self, run):
        yield from super()._doubts(run)
        if self.coverage_ < COLLAPSED:
            yield (
                f"Drawn rows come near only {100 * self.coverage_:.0f} % of the training rows: the generator has "
                "collapsed to few modes, or has not learnt enough. Raise max_iter, gradient_penalty or n_critic_steps, "
                "or try another loss."
            )
