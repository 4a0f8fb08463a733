"""From the parameters of an estimator that learns by variational EM to its model, its loss and its steps."""

import numpy as np
import torch

from skgen._spec import resolve
from skgen.distributions.normal import standard_normal
from skgen.estimators._arrays import tile_size
from skgen.estimators._cells import check_cells
from skgen.estimators._columns import ColumnsEstimator
from skgen.estimators._inference import INFERENCES, Search, search_noise
from skgen.estimators._latent import LatentVariableEstimator
from skgen.estimators._loss import training_noise
from skgen.estimators._params import layer_sizes
from skgen.estimators._prior_components import PriorComponents
from skgen.estimators._prior_fit import AggregatedPosterior
from skgen.estimators._sklearn import validate_parameter_constraints
from skgen.estimators._training import gradient_step
from skgen.estimators._variational_em import (
    CompleteLoss,
    ExpectationStep,
    GeneratorStep,
    InferenceStep,
    JointStep,
    NoiseStep,
    ReportStep,
    VariationalLoss,
    drawn_seed,
)
from skgen.models import LatentVariableModel
from skgen.networks import (
    MLP,
    ConstantNetwork,
    ConvDecoder,
    UnitConvDecoder,
    UnitConvEncoder,
    UnitDecoder,
    UnitEncoder,
)
from skgen.objectives import ELBO
from skgen.objectives.importance import elbo_parts
from skgen.posteriors import POSTERIORS
from skgen.priors import PRIORS, Normal, PriorSpec
from skgen.training.loop import report_stride
from skgen.training.schedules import warm_up_epochs
from skgen.training.steps import Alternate, Repeated

GENERATORS = {**PRIORS, "normal": lambda: Normal(learned=True)}
"""Names of latent generators: the priors, of which the normal one is learnt."""
ENCODERS = {"mlp": (32,), "conv": (4, 8)}
"""Names of encoders -> hidden layer sizes, or channels, of a unit where None are given."""
DECODERS = {
    ("additive", False): UnitDecoder,
    ("additive", True): UnitConvDecoder,
    ("mlp", False): MLP,
    ("conv", True): ConvDecoder,
}
"""Names of decoders, and whether they convolve -> networks."""
ROW_SOLVER = {"adamw": "adam"}
"""Solvers that differ in weight decay alone, of which posteriors have none."""
PARTS = ("encoder", "decoder", "latent_generator")
"""What an iteration learns."""
USED = ("inference", "e_solver", "learning_rate", "refine_steps", "kernel")
"""Parameters that each use of a fitted model asks for."""
N_VALIDATION_DRAWS = 16
PASSES = 6
"""Tiles of learning for one of inference, on a processor: what stays in its caches is learnt from twice as fast."""


def convolves(decoder, image_shape):
    """Whether a decoder is convolutional: an additive one is of the kind of the encoder."""
    return image_shape is not None and decoder != "mlp"


def check_inference(inference, architecture):
    """Refuse a kind of inference that a model of some architecture has no parts for."""

    def suits(kind):
        has_encoder = architecture["encoder"] != "none" or not kind.encodes
        return has_encoder and kind.family in ("diagonal", architecture["family"])

    if not suits(INFERENCES[inference]):
        suitable = [name for name, kind in INFERENCES.items() if suits(kind)]
        raise ValueError(
            f"inference={inference!r} needs parts that the model was fitted without: choose one of {suitable}, or fit "
            "again."
        )


class GeneratorStart(AggregatedPosterior):
    """Starts the latent generator from draws of the posteriors that a kind of inference finds.

    Where the latent variables of all rows are known and stay so, a start that makes them less likely is undone.
    """

    def __init__(self, model, batches, seed, inference):
        super().__init__(model, batches, seed)
        self.inference = inference

    def posteriors(self, n_rows):
        x, weight = self._standardized(n_rows)
        return self.inference.parameters(self.model, x, self.seed), weight

    def __call__(self, completed=None):
        if completed is None or bool(self.prior.started):
            super().__call__()
            return
        with torch.no_grad():
            kept, z = [value.clone() for value in self.prior.parameters()], completed.draw(self.model.posterior).z
            before = self._mean_log_prob(z)
            super().__call__()
            if self._mean_log_prob(z) < before:
                for parameter, value in zip(self.prior.parameters(), kept, strict=True):
                    parameter.copy_(value)

    def _mean_log_prob(self, z):
        weight = self.batches.weight
        values = self.prior.log_prob(z).mean(0)
        return float((values if weight is None else weight.to(values) * values).mean())


class VariationalEstimator(PriorComponents, ColumnsEstimator, LatentVariableEstimator):
    """Base of the estimators of units that learn by variational EM; its subclass names and documents the parameters."""

    _prior_parameter = "latent_generator"
    _task_name = "epoch"
    _continued = {
        "n_units": "n_units",
        "unit_size": "unit_size",
        "encoder": "encoder",
        "decoder": "decoder",
        "image_shape": "image_shape",
        "encoder_sizes": "hidden_layer_sizes",
        "decoder_sizes": "decoder_hidden_layer_sizes",
        "activation": "activation",
        "family": "inference",
        "prior_": "latent_generator",
        "likelihood_": "likelihood",
    }
    momentum, weight_decay, learning_rate_schedule = 0.9, 0.0, "constant"
    conditional = False
    _tuned = None
    """What alone is learnt: names of parts, or numbers of units; None is all."""

    @property
    def _solvers(self):
        return {"e_solver": self.e_solver, "m_solver": self.m_solver}

    # -- the model ----------------------------------------------------------------------------------------------------

    def _decide(self):
        self.prior_ = resolve(self.latent_generator, GENERATORS, PriorSpec, "latent_generator")
        self.likelihood_ = self._read_likelihood
        self._architecture = self._network_sizes()
        if self.prior_.temperatures is not None and not self._sums:
            raise ValueError(
                "latent_generator='categorical' needs states that can be summed over: raise "
                f"latent_generator__max_states to n_categories ** {self._architecture['n_components']}, or have fewer "
                "units."
            )
        check_cells(self)

    @property
    def _sums(self):
        return self.prior_.has_exact_sums(self._architecture["n_components"])

    def _kind(self):
        """How posteriors are found, by the parameters in force, which may have been set after the fit."""
        used = {name: getattr(self, name) for name in USED}
        constraints = {name: self._parameter_constraints[name] for name in USED}
        validate_parameter_constraints(constraints, used, caller_name=type(self).__name__)
        check_inference(self.inference, self._architecture)
        check_cells(self, "more than an encoder")
        solver = ROW_SOLVER.get(self.e_solver, self.e_solver)
        return INFERENCES[self.inference](Search(solver, self.refine_steps, self.learning_rate, self.kernel))

    def _network_sizes(self):
        hidden, decoder = self.hidden_layer_sizes, self.decoder_hidden_layer_sizes
        sizes = layer_sizes(ENCODERS[self.encoder] if hidden is None else hidden, "hidden_layer_sizes")
        # The layers of a decoder of all units are as wide as those of the units together.
        factor = 1 if self.decoder == "additive" else self.n_units
        shape = self._image_shape() if "conv" in (self.encoder, self.decoder) else None
        kinds = self.encoder, "conv" if convolves(self.decoder, shape) else "mlp"
        mirrored = tuple(factor * size for size in (sizes if kinds[0] == kinds[1] else ENCODERS[kinds[1]])[::-1])
        kind = INFERENCES[self.inference]
        return {
            "network": "units",
            "n_units": int(self.n_units),
            "unit_size": int(self.unit_size),
            "n_components": int(self.n_units) * int(self.unit_size),
            "encoder": self.encoder if kind.encodes else "none",
            "decoder": self.decoder,
            "family": kind.family,
            "image_shape": shape,
            "encoder_sizes": sizes,
            "decoder_sizes": mirrored if decoder is None else layer_sizes(decoder, "decoder_hidden_layer_sizes"),
            "activation": self.activation,
        }

    def _build_model(self, n_features):
        a = self._architecture
        prior = self.prior_.build(a["n_components"])
        posterior = prior.adapted(POSTERIORS[a["family"]]().build(a["n_components"]))
        likelihood = self.likelihood_.build(n_features)
        encoder = self._encoder(likelihood.n_inputs + self._missing * n_features, posterior)
        decoder = self._decoder(prior.n_latent, likelihood.n_outputs)
        return LatentVariableModel(encoder, decoder, prior, posterior, likelihood, missing=self._missing)

    def _encoder(self, n_inputs, posterior):
        a, n_parameters = self._architecture, posterior.n_parameters
        if a["encoder"] == "none":
            return ConstantNetwork(n_inputs, n_parameters)
        n_blocks = 2 if n_parameters == 2 * a["n_components"] else 1
        size = n_parameters // (n_blocks * a["n_units"])
        kind, shape = (UnitConvEncoder, (a["image_shape"],)) if a["encoder"] == "conv" else (UnitEncoder, ())
        return kind(n_inputs, a["n_units"], a["encoder_sizes"], size, *shape, a["activation"], n_blocks=n_blocks)

    def _decoder(self, n_latent, n_outputs):
        a = self._architecture
        units = (a["n_units"],) if a["decoder"] == "additive" else ()
        image = convolves(a["decoder"], a["image_shape"])
        shape = (a["image_shape"],) if image else ()
        return DECODERS[a["decoder"], image](n_latent, *units, a["decoder_sizes"], n_outputs, *shape, a["activation"])

    @property
    def _n_features_out(self):
        return self.prior_.n_latent(self._architecture["n_components"])

    # -- learning -----------------------------------------------------------------------------------------------------

    def _largest_batch(self, X):
        return len(X) if self.batch_size is None else super()._largest_batch(X)

    def _training_run(self, split, random_state, *, partial=False, **options):
        run = super()._training_run(split, random_state, partial=partial, **options)
        if partial:
            run.loss.n_rows = max(run.loss.n_rows, self.n_samples_seen_)
        return run

    def _run_of(self, model, split, random_state, **options):
        if self._kind().keeps:  # posteriors are kept by the number of the row
            split = *split, np.arange(len(split[0]))
        return super()._run_of(model, split, random_state, **options)

    def _warm_up_epochs(self):
        return 0.0

    def _pretraining_epochs(self):
        return round(warm_up_epochs(self.prior_.pretraining, self.max_iter))

    def _schedule(self, loss, *, warm_up):
        loss.starts_at = self._pretraining_epochs() if warm_up else 0

    def _loss(self, model, batches, generator):
        kind = self._kind()
        noise, n_draws = self._training_noise(model, batches, generator, kind)
        options = {"kind": VariationalLoss, "closed_kl": model.has_closed_kl(), "encoder_only": not self._joint}
        loss = self._terms_loss(model, batches, ELBO(), noise, n_draws, **options)
        loss.model, loss.inference, loss.frozen = model, kind, self._searches_lines
        loss.shares, loss.whole, loss.n_rows = batches.full or kind.keeps, batches.full, batches.n_rows
        if model.scale.device.type == "cpu":
            loss.tile = min(loss.tile, tile_size(PASSES * n_draws * model.width, model.scale.itemsize))
        loss.closed = model.prior.closed_m_step
        loss.collects = loss.closed and self._joint
        loss.n_reports = len(range(0, batches.n_batches, report_stride(batches.n_batches)))
        if kind.keeps:
            shape = (batches.n_rows, model.posterior.n_parameters)
            loss.kept = torch.full(shape, torch.nan, dtype=model.scale.dtype, device=model.scale.device)
        if model.prior.starts_from_rows:
            loss.prior_start = GeneratorStart(model, batches, generator.initial_seed(), kind)
        return loss

    def _training_noise(self, model, batches, generator, kind):
        """The noise of a run and its number of draws; a search for each row needs a block that bounds it."""
        if not (kind.keeps or self._searches_lines):
            options = {"line_search": False, "shared": batches.full, "any_draws": True}
            return training_noise(self.n_draws, model.posterior.n_noise, model.scale, generator, **options)
        block = search_noise(model, self._score_seed)  # the same in a fit that goes on
        if self._searches_lines:
            return lambda n_rows, generator: block, len(block)

        def fresh(n_rows, generator):
            return search_noise(model, drawn_seed(generator))

        return fresh, len(block)

    @property
    def _joint(self):
        """Whether one pass gives the gradients of both steps: those of first order, one of each on a batch."""
        plain = self.n_e_steps == self.n_m_steps == 1 and self.e_schedule == "fixed" and self._tuned is None
        return plain and self.inference == "amortized" and not self._searches_lines

    def _step(self, model, parameters, loss):
        """The parts of an iteration on a batch, in their order.

        Steps of first order begin at the same point, and so does the M-step at the posteriors before the E-step: an
        M-step that answers to an E-step on the very batch that this has just corrected goes too far, and the two drive
        each other away from where they were (seen with Adam). Line searches take them one after the other, so that the
        bound cannot fall.
        """
        noise, infer, last = ("noise", NoiseStep(loss)), ("infer", InferenceStep(loss)), []
        if loss.closed and self._learns("latent_generator"):
            last.append(("generator", GeneratorStep(loss)))
        if self._joint:
            optimizers = [gradient_step(None, *some).optimizer for some in self._optimized(model, parameters, loss)]
            return Alternate(noise, ("em", JointStep(loss, parameters, *optimizers)), *last)
        e_step, m_step = self._e_step(model, parameters, loss), self._m_step(model, parameters, loss)
        steps = [*e_step, infer, *m_step] if loss.frozen else [infer, *e_step, *m_step]
        return Alternate(noise, *steps, *last, ("report", ReportStep(loss)))

    def _optimized(self, model, parameters, loss):
        """What the solvers of the E- and of the M-step change, with the settings and their names."""
        learnt = [model.decoder, model.likelihood] if self._learns("decoder") else []
        if not loss.closed and self._learns("latent_generator") and any(True for _ in model.prior.parameters()):
            learnt.append(model.prior)
        encoder = [model.encoder] if self._learns("encoder") and loss.inference.encodes else []
        for modules, solver in ((encoder, self.e_solver), (learnt, self.m_solver)):
            yield (self._view(parameters, *modules), self, solver) if modules else None

    def _e_step(self, model, parameters, loss):
        some, _ = self._optimized(model, parameters, loss)
        if some is None:
            return []
        step, aggressive = gradient_step(loss, *some), self.e_schedule == "aggressive"
        return [("e", ExpectationStep(step, self.n_e_steps, loss, aggressive=aggressive))]

    def _m_step(self, model, parameters, loss):
        _, some = self._optimized(model, parameters, loss)
        if some is None:
            return []
        step = gradient_step(None, *some)
        step.loss = CompleteLoss(
            loss,
            learns_prior=not loss.closed and self._learns("latent_generator"),
            valued=step.line_search,
            low_precision=self.precision == "bfloat16",
        )
        return [("m", Repeated(step, self.n_m_steps))]

    @property
    def _tuned_units(self):
        """Numbers of the units that alone are learnt; none where parts are."""
        return [part for part in self._tuned or () if not isinstance(part, str)]

    def _learns(self, part):
        """Whether a part of the model is learnt."""
        if self._tuned_units:
            a = self._architecture
            return {"encoder": a["encoder"] != "none", "decoder": a["decoder"] == "additive"}.get(part, False)
        return self._tuned is None or part in self._tuned

    def _view(self, parameters, *modules):
        """What is learnt of the parameters of some modules."""
        if not self._tuned_units:
            return parameters.part(*modules)
        return parameters.marked(parameters.marks(modules[0], modules[0].unit_masks(self._tuned_units)))

    # -- use ----------------------------------------------------------------------------------------------------------

    def _posterior_parameters(self, model, x, condition=None):
        kind = self._kind()
        if not kind.by_row:
            return kind.parameters(model, x, self._score_seed)
        with torch.inference_mode(False):
            wide = self._module(np.float64)
        return kind.parameters(wide, x.to(wide.scale), self._score_seed).to(x)

    def _n_validation_draws(self):
        return N_VALIDATION_DRAWS

    def _validation_values(self, model, x, generator, *, shared=False):
        parameters = self._kind().parameters(model, x, self._score_seed)
        shape = (N_VALIDATION_DRAWS if shared else 1, 1 if shared else len(x), model.posterior.n_noise)
        noise = standard_normal(x.new_empty(shape), generator)
        return elbo_parts(model.terms_given(parameters, x, noise))["elbo"] + model.log_jacobian_of(x)
