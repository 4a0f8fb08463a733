"""Latent-variable model with an amortised posterior."""

from torch import Generator, Tensor

from skgen._terms import Cotangents, Terms
from skgen._trace import Pullback, Tracer, per_feature
from skgen.distributions.normal import standard_normal
from skgen.likelihoods.base import Likelihood
from skgen.models.base import NetworkModel, joined
from skgen.models.summation import summed_terms, summed_tracer
from skgen.networks.base import Network
from skgen.posteriors.base import Draw, Posterior
from skgen.priors.base import Prior


class LatentVariableModel(NetworkModel):
    r"""p(z) and p(x | z) with q(z | x) from an encoder: the model of a variational autoencoder.

    .. math:: z \sim p(z), \quad x \mid z \sim p(x; \text{decoder}(z)), \quad q(z \mid x) = q(z; \text{encoder}(x))

    ``encode`` gives the parameters of q(z | x). The posterior is one that the prior has ``adapted``.
    """

    def __init__(
        self,
        encoder: Network,
        decoder: Network,
        prior: Prior,
        posterior: Posterior,
        likelihood: Likelihood,
        *,
        missing: bool = False,
    ) -> None:
        super().__init__(encoder, decoder, likelihood, missing=missing)
        self.prior = prior
        self.posterior = posterior
        prior.connect(self)

    def reset(self, generator: Generator) -> None:
        super().reset(generator)
        self.prior.reset(generator)
        self.posterior.reset(generator)

    def initialize(self, mean: Tensor, scale: Tensor) -> None:
        super().initialize(mean, scale)
        self.posterior.initialize(*self.encoder.head)

    @property
    def n_features(self) -> int:
        """Width of a row."""
        return self.likelihood.n_features

    def posterior_log_probs(self, z: Tensor, x: Tensor) -> Tensor:
        """log q(z | x_k) of points (..., components) for each of some standardised rows (K, features), (..., K)."""
        return self.posterior.log_probs(z, self.encode(x))

    @property
    def density_width(self) -> int:
        """Most numbers that :meth:`posterior_log_probs` holds per point and row."""
        return self.posterior.density_width

    def draw_posteriors(self, x: Tensor, generator: Generator) -> Tensor:
        """A draw of q(z | x) for each standardised row, (rows, components)."""
        noise = standard_normal(x.new_empty(1, len(x), self.posterior.n_noise), generator)
        return self.posterior.draw(self.encode(x), noise).z[0]

    def restandardize(self, mean: Tensor, scale: Tensor, revived: Tensor) -> None:
        shift, old = self.shift.clone(), self.scale.clone()
        super().restandardize(mean, scale, revived)
        self.prior.map_rows(lambda x: self.standardize(x * old + shift))

    @property
    def width(self) -> int:
        states = self.prior.states()
        width = super().width + self.prior.width + self.posterior.width
        return width if states is None else width * len(states)

    def closed_kl(self, draw: Draw) -> Tensor | None:
        """KL(q || p) per component where prior and posterior have it in closed form, else None."""
        return self.prior.closed_kl(draw)

    def kl_given(self, parameters: Tensor) -> Tensor | None:
        """:meth:`closed_kl` of posteriors with some parameters (batch, n_parameters)."""
        return self.closed_kl(self.posterior.draw(parameters, parameters.new_zeros(1, 1, self.posterior.n_noise)))

    def has_closed_kl(self) -> bool:
        """Whether :meth:`closed_kl` gives a value."""
        return self.kl_given(self.scale.new_zeros(1, self.posterior.n_parameters)) is not None

    def outputs(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """The decoder's outputs at z (..., components); what else it sees is the condition, (..., conditions)."""
        outputs: Tensor = self.decoder(joined(z, condition))
        return outputs

    def draw_rows(self, z: Tensor, generator: Generator) -> Tensor:
        """A draw of x, standardised, for each row of latent variables."""
        return self.likelihood.sample(self.outputs(z), generator=generator)

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.unstandardize(self.likelihood.mean(self.outputs(z, condition)))

    def log_likelihood(self, z: Tensor, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """log p(x | z) of standardised rows at draws (draws, batch, components), (draws, batch)."""
        return self.log_prob_given(self.outputs(z, condition), x)

    def terms(self, x: Tensor, noise: Tensor, condition: Tensor | None = None, *, relaxed: bool = False) -> Terms:
        """All terms of the bound in standardised units, differentiable by autograd.

        x (batch, features), noise (draws, batch or 1, n_noise); terms (draws, batch), kl (batch, components).
        Where rows are modelled given a condition (batch, conditions), the bound is on log p(x | condition). Where z has
        few states, draws give way to sums over them. ``relaxed`` has draws relaxed as in training, see
        :meth:`Posterior.relaxed`.
        """
        return self.terms_given(self.encode(x), x, noise, condition, relaxed=relaxed)

    def terms_given(
        self,
        parameters: Tensor,
        x: Tensor,
        noise: Tensor,
        condition: Tensor | None = None,
        *,
        relaxed: bool = False,
    ) -> Terms:
        """As :meth:`terms` with the posterior's parameters given, so that they are computed once for many draws."""
        if self.prior.states() is not None:
            return summed_terms(self, parameters, x, len(noise), condition)
        draw = self.posterior.relaxed(parameters, noise) if relaxed else self.posterior.draw(parameters, noise)
        return Terms(
            self.log_likelihood(draw.z, x, condition),
            self.prior.log_prob(draw.z),
            draw.log_prob,
            self.closed_kl(draw),
            n_draws=len(noise),
        )

    def _along_path(
        self, path: Tensor, to_z: Tensor, to_log_posterior: Tensor, parameters: Tensor, noise: Tensor
    ) -> Tensor:
        """The gradient of z that log q has a part in by its draws alone, times the factors of the draws."""
        score = self.posterior.path_score(parameters, noise)
        return per_feature(path) * (to_z + per_feature(to_log_posterior) * score)

    def _posterior_tracer(self, low_precision: bool) -> Tracer:
        """``trace(x, generator, condition)`` returns the posterior's parameters and their pullback."""
        encode = self._encoder_tracer(low_precision)
        return lambda x, generator, condition: encode(x, generator)

    def _draw_tracer(self) -> Tracer:
        """The tracer of draws from what the encoder gives, as :meth:`Posterior.tracer`."""
        return self.posterior.tracer()

    def tracer(self, *, low_precision: bool = False, closed_kl: bool = False, encoder_only: bool = False) -> Tracer:
        """As documented by the base class, for noise (draws, batch or 1, n_noise).

        With ``closed_kl`` the terms hold ``kl``, otherwise ``log_prior`` and ``log_posterior``. The trace of a model
        with conditions takes them as a fourth argument. ``encoder_only`` is for a loss that no other part is to
        lower: the decoder's gradient is left alone, those of likelihood and prior may be.
        """
        if self.prior.states() is not None:
            return summed_tracer(self, low_precision=low_precision, closed_kl=closed_kl, encoder_only=encoder_only)
        encode = self._posterior_tracer(low_precision)
        decode = self.decoder.tracer(low_precision=low_precision, parameter_gradient=not encoder_only)
        posterior, likelihood = self._draw_tracer(), self._likelihood_tracer()
        prior, divergence = self.prior.tracer(), self.prior.kl_tracer() if closed_kl else None

        def trace(
            x: Tensor, noise: Tensor, generator: Generator | None, condition: Tensor | None = None
        ) -> tuple[Terms, Pullback]:
            noise = noise[0] if (n_draws := len(noise)) == 1 else noise
            parameters, pull_encoder = encode(x, generator, condition)
            draw, pull_posterior = posterior(parameters, noise)
            outputs, pull_decoder = decode(joined(draw.z, condition), generator)
            log_likelihood, pull_likelihood = likelihood(outputs, x)
            parts = {"log_likelihood": log_likelihood}
            if divergence is not None:
                parts["kl"], pull_kl = divergence(draw)
            else:
                parts["log_prior"], pull_prior = prior(draw.z)
                parts["log_posterior"] = draw.log_prob

            def pullback(cotangents: Cotangents) -> None:
                to_log_likelihood, to_log_prior, to_log_posterior, to_kl, path = cotangents
                to_z = pull_decoder(pull_likelihood(to_log_likelihood))
                to_z = to_z if condition is None else to_z[..., : draw.z.shape[-1]]
                if divergence is not None:
                    pull_encoder(pull_posterior(to_z, None, *pull_kl(to_kl)))
                    return
                to_z = to_z + pull_prior(to_log_prior)
                if path is not None:
                    assert isinstance(to_log_posterior, Tensor)
                    to_z = self._along_path(path, to_z, to_log_posterior, parameters, noise)
                    to_log_posterior = None
                pull_encoder(pull_posterior(to_z, to_log_posterior, None, None))

            return Terms(**parts, n_draws=n_draws, draw=draw), pullback

        return trace
