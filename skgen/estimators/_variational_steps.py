"""The steps of variational EM: from the parameters of an estimator to what an iteration does with a batch."""

import math

from skgen.estimators._training import gradient_step
from skgen.estimators._variational_em import E_STEPS, CompleteLoss
from skgen.training.optimizers import SOLVERS
from skgen.training.steps import Alternate, Call, Repeated, Together

PARTS = ("encoder", "decoder", "latent_generator")
"""Parts of a model that are learnt."""
MOST_BLOCKS = 30
"""Blocks of updates that an E-step takes at most while the mutual information rises."""
LEAST_RISE = 1e-2
"""Nats of mutual information that count as a rise."""


class ExpectationStep(Repeated):
    """Updates of the encoder; with ``aggressive`` for as long as the mutual information rises (He et al. 2019).

    https://arxiv.org/abs/1901.05534.
    """

    def __init__(self, step, n_times, shared, *, aggressive):
        super().__init__(step, n_times)
        self.shared, self.aggressive = shared, aggressive

    def __call__(self, batch, generator, *, report=True):
        if not self.aggressive:
            super().__call__(batch, generator, report=False)
            return {}
        noise = self.shared.noise(len(batch.x), generator)
        noise = noise[:1].expand(-1, len(batch.x), -1)
        n_blocks, best, value = 0, -math.inf, self.shared.mutual_information(batch, noise)
        while n_blocks < MOST_BLOCKS and value > best + LEAST_RISE:
            best = value
            super().__call__(batch, generator, report=False)
            n_blocks, value = n_blocks + 1, self.shared.mutual_information(batch, noise)
        return {E_STEPS: batch.x.new_tensor(float(n_blocks * self.n_times))} if report else {}


class VariationalSteps:
    """Mixin of the estimators that learn by variational EM."""

    _tuned = None
    """What alone is learnt: names of parts, or numbers of units; None is all."""

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
        encoder, rest = self._learnt_modules(model, loss)
        noise, infer, last = ("noise", Call(loss.draw_noise)), ("infer", Call(loss.infer)), []
        if loss.closed and self._learns("latent_generator"):
            last.append(("generator", Call(loss.learn_generator)))
        if self._joint:
            pairs = ("e", encoder, self.e_solver), ("m", rest, self.m_solver)
            parts = [(name, self._update(None, parameters, *some)) for name, *some in pairs]
            return Alternate(noise, ("em", Together(loss, parameters, *parts)), *last)
        e_step = [("e", self._e_step(loss, parameters, encoder))] if encoder else []
        m_step = [("m", self._m_step(loss, parameters, rest))] if rest else []
        steps = [*e_step, infer, *m_step] if loss.frozen_noise else [infer, *e_step, *m_step]
        return Alternate(noise, *steps, *last, ("report", Call(loss.bound, reports=True)))

    def _learnt_modules(self, model, loss):
        """What the E- and what the M-step learn."""
        encoder = [model.encoder] if self._learns("encoder") and loss.inference.encodes else []
        rest = [model.decoder, model.likelihood] if self._learns("decoder") else []
        if self._learns_generator_by_gradients(loss) and any(True for _ in model.prior.parameters()):
            rest.append(model.prior)
        return encoder, rest

    def _learns_generator_by_gradients(self, loss):
        return not loss.closed and self._learns("latent_generator")

    def _update(self, loss, parameters, modules, solver):
        return gradient_step(loss, self._view(parameters, *modules), self, solver)

    def _e_step(self, loss, parameters, modules):
        step = self._update(loss, parameters, modules, self.e_solver)
        return ExpectationStep(step, self.n_e_steps, loss, aggressive=self.e_schedule == "aggressive")

    def _m_step(self, loss, parameters, modules):
        complete = CompleteLoss(
            loss,
            learns_prior=self._learns_generator_by_gradients(loss),
            valued=SOLVERS[self.m_solver].line_search,
            low_precision=self.precision == "bfloat16",
        )
        return Repeated(self._update(complete, parameters, modules, self.m_solver), self.n_m_steps)

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
