"""Latent-variable model whose posterior is known by its draws alone."""

import torch
from torch import Generator, Tensor

from skgen._terms import Terms, evaluate
from skgen._trace import Pullback, Tracer, autograd_trace
from skgen.distributions.logistic import box_from_reals, reals_from_box
from skgen.distributions.normal import sobol_normal, standard_normal, whitened_pairs
from skgen.likelihoods.base import Likelihood
from skgen.models.base import NetworkModel
from skgen.models.latent_variable import LatentVariableModel
from skgen.networks.base import Network
from skgen.posteriors.base import Draw, Posterior
from skgen.posteriors.boxed import BoxedPosterior
from skgen.posteriors.diagonal import LARGEST_LOG_VARIANCE, DiagonalPosterior, cut_off
from skgen.priors.base import Prior

N_MOMENT_DRAWS, MOMENT_DRAWS_AT_ONCE = 64, 16
"""Draws that moments of a fitted model's posteriors are taken over, and how many of them are held at once."""
N_CONTRAST_DRAWS = 16
"""The same in training, unless the noise has more than half as many variables."""
GAIN = 4.0
"""Factor of the first weights of noise and of draws beside those of codes: shapes with gaps need steep functions."""


class AdversarialBayesModel(LatentVariableModel):
    r"""p(z) and p(x | z) with an implicit q(z | x): a network turns noise and a code of the row into draws.

    .. math:: (m, \log s^2, c) = \text{encoder}(x), \quad
        z = m + s \odot (\epsilon + g(\tanh c, \epsilon)), \quad \epsilon \sim N(0, I)

    An adversary T estimates what the density of q lacks. It sees draws relative to a normal distribution r(z | x) with
    the moments of q(z | x) (adaptive contrast, Mescheder et al. 2017, https://arxiv.org/abs/1701.04722), and the code,
    which the shape of q depends on the row by:

    .. math:: \log q(z \mid x) \approx \log r(z \mid x) + T\big(c, r^{-1}(z \mid x)\big), \quad
        r^{-1}: r(\cdot \mid x) \to N(0, I)

    ``encode`` gives the parameters of r, of the family ``posterior``, so that all uses of a fitted model have a
    posterior with a density. With T = 0 and g = 0, where training starts, q is r, and both are diagonal.

    Parameters
    ----------
    encoder : Network
        From inputs to ``2 * n_components + n_code`` numbers.
    decoder, prior, likelihood
        As in :class:`LatentVariableModel`; the prior is on real numbers or on a box of them.
    posterior : Posterior
        Normal, as the prior has adapted it.
    sampler : Network
        g, from ``n_code + n_noise`` inputs to ``n_components`` outputs, with at least as many noise variables.
    jumps : bool
        Whether g takes the signs of the noise too, ``n_noise`` more inputs: without, the modes of a posterior are
        joined by what lies between them.
    adversary : Network
        T, from ``n_code + n_components`` inputs to 1 output.
    """

    points: Tensor
    contrast: Tensor
    bends = True
    """Whether g is used. Training may switch it off: q is then normal with independent components, and so is r."""

    def __init__(
        self,
        encoder: Network,
        decoder: Network,
        prior: Prior,
        posterior: Posterior,
        likelihood: Likelihood,
        sampler: Network,
        adversary: Network,
        *,
        missing: bool = False,
        jumps: bool = False,
    ) -> None:
        super().__init__(encoder, decoder, prior, posterior, likelihood, missing=missing)
        self.sampler, self.adversary, self.jumps = sampler, adversary, jumps
        self.n_code = encoder.n_outputs - 2 * prior.n_components
        self.n_noise = (sampler.n_inputs - self.n_code) // (1 + jumps)
        n_points = max(N_MOMENT_DRAWS, 2 * self.n_noise)
        points = whitened_pairs(sobol_normal(n_points // 2, self.n_noise, 0)).unsqueeze(1)
        self.register_buffer("points", points, persistent=False)
        self.register_buffer("contrast", points.clone(), persistent=False)
        self._diagonal = DiagonalPosterior(prior.n_components)

    @property
    def normal(self) -> Posterior:
        """The family of r on real numbers."""
        return self.posterior.base if isinstance(self.posterior, BoxedPosterior) else self.posterior

    @property
    def _trained(self) -> Posterior:
        """The family of r in training."""
        return self.normal if self.bends else self._diagonal

    @property
    def width(self) -> int:
        n_components = self.prior.n_components
        return super().width + len(self.points) * n_components + MOMENT_DRAWS_AT_ONCE * self.sampler.width

    def reset(self, generator: Generator) -> None:
        super().reset(generator)
        for network in (self.sampler, self.adversary):
            network.reset(generator)
            gain = network.head[1].new_ones(network.n_inputs)
            gain[self.n_code :] = GAIN
            network.absorb_input(gain, torch.zeros_like(gain))
            for part in network.head:
                part.zero_()

    def initialize(self, mean: Tensor, scale: Tensor) -> None:
        # The encoder's outputs are not the parameters of the posterior's family.
        NetworkModel.initialize(self, mean, scale)

    # -- draws --------------------------------------------------------------------------------------------------------

    def redraw_contrast(self, generator: Generator) -> None:
        """Noise that the moments of r in training are taken at: other numbers for each batch, since they are few.

        Of draws that are linear in the noise they are exact. The generator is one of the CPU.
        """
        n_pairs = max(N_CONTRAST_DRAWS // 2, self.n_noise)
        half = standard_normal(torch.empty(n_pairs, self.n_noise, dtype=torch.float64), generator)
        self.contrast = whitened_pairs(half).unsqueeze(1).to(self.points)

    def _split(self, outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean, scale and code from the encoder's outputs."""
        d = self.prior.n_components
        mean, log_variance, code = outputs.split([d, d, self.n_code], -1)
        return mean, torch.exp(0.5 * cut_off(log_variance, LARGEST_LOG_VARIANCE)), torch.tanh(code)

    def _reals(self, outputs: Tensor, noise: Tensor) -> Tensor:
        """Draws before they are brought to the space of the prior, from noise (draws, batch or 1, n_noise).

        outputs (batch, n_outputs); a single draw may come without its axis.
        """
        mean, scale, code = self._split(outputs)
        straight = noise[..., : mean.shape[-1]]
        if not self.bends:
            return mean + scale * straight
        shape = (*noise.shape[:-2], len(code))
        parts = [code, noise, noise.sign()] if self.jumps else [code, noise]
        inputs = torch.cat([part.expand(*shape, -1) for part in parts], -1)
        bent: Tensor = self.sampler(inputs)
        return mean + scale * (straight + bent)

    def _to_prior(self, reals: Tensor) -> tuple[Tensor, Tensor | float]:
        """Draws in the space of the prior, and the log-determinant of the way there."""
        return (reals, 0.0) if self.prior.support is None else box_from_reals(reals, *self.prior.support)

    def code(self, x: Tensor) -> Tensor:
        """The encoder's outputs for standardised rows, (batch, n_outputs)."""
        outputs: Tensor = self.encoder(self.inputs(x))
        return outputs

    def draw(self, x: Tensor, noise: Tensor) -> Tensor:
        """Draws of q(z | x) for standardised rows (batch, features) and noise (draws, batch or 1, n_noise)."""
        return self.draws_given(self.code(x), noise)

    def draws_given(self, outputs: Tensor, noise: Tensor) -> Tensor:
        """As :meth:`draw` with the encoder's outputs given, so that they are computed once for many draws."""
        return self._to_prior(self._reals(outputs, noise))[0]

    # -- their moments ------------------------------------------------------------------------------------------------

    def _moment_draws(self, outputs: Tensor, points: Tensor) -> Tensor:
        return torch.cat([self._reals(outputs, part) for part in points.split(MOMENT_DRAWS_AT_ONCE)])

    def encode(self, x: Tensor) -> Tensor:
        """Parameters of r(z | x) for standardised rows, at noise that all rows share, (batch, n_parameters)."""
        return self.normal.matched(self._moment_draws(self.code(x), self.points))

    def _independent(self, x: Tensor) -> Tensor:
        """Parameters of normal distributions without correlations: smooth functions of the moments everywhere."""
        return self._diagonal.matched(self._moment_draws(self.code(x), self.points))

    def posterior_log_probs(self, z: Tensor, x: Tensor) -> Tensor:
        """As documented by the base class, of independent normal variables with the moments of q."""
        if self.prior.support is None:
            return self._diagonal.log_probs(z, self._independent(x))
        reals, log_slope = reals_from_box(z, *self.prior.support)
        return self._diagonal.log_probs(reals, self._independent(x)) - log_slope.unsqueeze(-1)

    def draw_posteriors(self, x: Tensor, generator: Generator) -> Tensor:
        """As documented by the base class, of the distributions of :meth:`posterior_log_probs`."""
        noise = standard_normal(x.new_empty(1, len(x), self.prior.n_components), generator)
        return self._to_prior(self._diagonal.draw(self._independent(x), noise).z[0])[0]

    # -- their density ------------------------------------------------------------------------------------------------

    def relative(self, outputs: Tensor, noise: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Draws, draws relative to r, both (draws, batch, n_components), and their log-density by r, (draws, batch).

        ``parameters`` (batch, n_parameters) are those of r.
        """
        reals = self._reals(outputs, noise)
        normal = self._trained
        relative = normal.noise(reals, parameters)
        z, log_slope = self._to_prior(reals)
        return z, relative, evaluate(normal.draw(parameters, relative).log_prob) - log_slope

    def judged(self, outputs: Tensor, relative: Tensor) -> Tensor:
        """What the adversary sees of draws relative to r (draws, batch, n_components): the row's code, and they."""
        code = torch.tanh(outputs[..., -self.n_code :])
        return torch.cat([code.expand(*relative.shape[:-1], -1), relative], -1)

    def contrast_parameters(self, outputs: Tensor) -> Tensor:
        """Parameters of r in training, (batch, n_parameters)."""
        with torch.no_grad():
            if not self.bends:  # the encoder's mean and log-variance are those of q itself
                return outputs[..., : 2 * self.prior.n_components].clone()
            return self.normal.matched(self._moment_draws(outputs, self.contrast))

    def pseudo_terms(self, x: Tensor, noise: Tensor) -> Terms:
        """Terms of the adversarial bound of standardised rows, (draws, batch), with the adversary's log q(z | x).

        Only the best adversary makes a bound of them.
        """
        outputs = self.code(x)
        parameters = self._trained.matched(self._moment_draws(outputs, self.points))
        z, relative, log_normal = self.relative(outputs, noise, parameters)
        log_ratio = self.adversary(self.judged(outputs, relative)).squeeze(-1)
        return Terms(self.log_likelihood(z, x), self.prior.log_prob(z), log_normal + log_ratio, n_draws=len(noise))

    def _draw_tracer(self) -> Tracer:
        """As documented by the base class; the log-density of a draw is the adversary's estimate.

        Its derivative by z is that with r and T as they are. Both follow q, but in expectation over draws of q no
        change of log q at a fixed z counts, whatever it is (Roeder et al. 2017, https://arxiv.org/abs/1703.09194).
        """
        judge = self.adversary.tracer(parameter_gradient=False)

        def trace(outputs: Tensor, noise: Tensor) -> tuple[Draw, Pullback]:
            parameters = self.contrast_parameters(outputs)
            (z, relative, log_normal), pull_draws = autograd_trace(
                lambda leaf: self.relative(leaf, noise, parameters), outputs
            )
            log_ratio, pull_adversary = judge(self.judged(outputs, relative))

            def pullback(to_z: Tensor, to_log_prob: Tensor, *_: None) -> Tensor:
                share = to_log_prob.expand_as(log_normal)
                to_relative = pull_adversary(share.unsqueeze(-1))[..., self.n_code :]
                gradient: Tensor = pull_draws(to_z, to_relative, share)[0]
                return gradient

            return Draw(z, log_normal + log_ratio.squeeze(-1), None, None, None), pullback

        return trace
