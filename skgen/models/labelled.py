"""Latent-variable models of rows that have a class, known or not."""

import torch
from torch import Generator, Tensor

from skgen._terms import Terms
from skgen._trace import Pullback, Tracer
from skgen.likelihoods.base import Likelihood
from skgen.models.classifier import log_proba_tracer
from skgen.models.latent_variable import LatentVariableModel
from skgen.networks.base import Network
from skgen.posteriors.base import Posterior
from skgen.priors.base import Prior


def one_hot(codes: Tensor, n_classes: int, like: Tensor) -> Tensor:
    """Rows of 0 and 1 for numbers of classes (batch,), (batch, classes) in the dtype of ``like``; zeros for -1."""
    return (codes.unsqueeze(-1) == torch.arange(n_classes, device=codes.device)).to(like.dtype)


def each_class(x: Tensor, noise: Tensor, n_classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Every row with every class, class by class.

    Parameters
    ----------
    x : (batch, features)
    noise : (draws, batch or 1, n_noise)

    Returns
    -------
    x : (classes * batch, features)
    noise : (draws, classes * batch or 1, n_noise)
        A row has the same noise with every class.
    condition : (classes * batch, classes)
    """
    condition = torch.eye(n_classes, dtype=x.dtype, device=x.device).repeat_interleave(len(x), 0)
    return x.repeat(n_classes, 1), noise if noise.shape[1] == 1 else noise.repeat(1, n_classes, 1), condition


class ConditionalModel(LatentVariableModel):
    r"""p(y), p(z) and p(x | z, y) with q(z | x) from an encoder that does not see the class.

    .. math:: p(x \mid y) = \int p(z) \, p(x \mid z, y) \, dz, \quad p(x) = \sum_y p(y) \, p(x \mid y)

    A condition is a row of 0 and 1 for each row of x, see :func:`one_hot`. Without it every method is about p(x): the
    likelihood is then the mixture :math:`p(x \mid z) = \sum_y p(y) \, p(x \mid z, y)`, summed exactly.
    """

    class_prior: Tensor

    def __init__(
        self,
        encoder: Network,
        decoder: Network,
        prior: Prior,
        posterior: Posterior,
        likelihood: Likelihood,
        *,
        n_classes: int,
        missing: bool = False,
    ) -> None:
        super().__init__(encoder, decoder, prior, posterior, likelihood, missing=missing)
        self.n_classes = n_classes
        self.register_buffer("class_prior", torch.full((n_classes,), 1 / n_classes))

    @property
    def log_class_prior(self) -> Tensor:
        """log p(y), (classes,), finite also where the probability is 0."""
        return torch.log(self.class_prior.clamp_min(torch.finfo(self.class_prior.dtype).tiny))

    def draw_classes(self, n_draws: int, generator: Generator) -> Tensor:
        """Numbers of classes, drawn independently from p(y), (n_draws,)."""
        return torch.multinomial(self.class_prior, n_draws, replacement=True, generator=generator)

    def _conditions(self) -> Tensor:
        """The condition of each class, (classes, 1, classes)."""
        return torch.eye(self.n_classes, dtype=self.scale.dtype, device=self.scale.device).unsqueeze(1)

    def outputs(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        if condition is None:
            raise ValueError("A model with classes gives no single distribution of a row's entries: conditional=False.")
        return super().outputs(z, condition)

    def log_likelihood(self, z: Tensor, x: Tensor, condition: Tensor | None = None) -> Tensor:
        if condition is not None:
            return super().log_likelihood(z, x, condition)
        given = [super(ConditionalModel, self).log_likelihood(z, x, one) for one in self._conditions()]
        prior = self.log_class_prior.view(-1, *[1] * given[0].dim())
        return torch.logsumexp(torch.stack(given) + prior, 0)

    def draw_rows(self, z: Tensor, generator: Generator) -> Tensor:
        condition = one_hot(self.draw_classes(len(z), generator), self.n_classes, z)
        return self.likelihood.sample(self.outputs(z, condition), generator=generator)

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """E[x | z, y] in the user's units; without a condition E[x | z], the mean over p(y)."""
        if condition is not None:
            return super().decode(z, condition)
        means = [super(ConditionalModel, self).decode(z, one) for one in self._conditions()]
        return torch.stack([share * mean for share, mean in zip(self.class_prior, means, strict=True)]).sum(0)


class LabelledModel(ConditionalModel):
    r"""A conditional model that infers the class of rows without one (Kingma et al. 2014, the model M2).

    .. math:: q(y, z \mid x) = q(y \mid x) \, q(z \mid x, y)

    ``classifier`` is the network of q(y | x). The encoder of q(z | x, y) sees x and the condition. Without a condition
    it sees the probabilities q(y | x) in its place, which gives a single posterior q(z | x) for what needs one; any
    q(z | x) gives bounds on log p(x), and where q(y | x) is sure of a class it is that of this class.
    """

    def __init__(
        self,
        encoder: Network,
        decoder: Network,
        classifier: Network,
        prior: Prior,
        posterior: Posterior,
        likelihood: Likelihood,
        *,
        missing: bool = False,
    ) -> None:
        n_classes = classifier.n_outputs
        super().__init__(encoder, decoder, prior, posterior, likelihood, n_classes=n_classes, missing=missing)
        self.classifier = classifier

    @property
    def width(self) -> int:
        return self.n_classes * super().width + self.classifier.width

    def reset(self, generator: Generator) -> None:
        super().reset(generator)
        self.classifier.reset(generator)

    def _absorb_input(self, ratio: Tensor, offset: Tensor) -> None:
        super()._absorb_input(ratio, offset)
        self.classifier.absorb_input(ratio, offset)

    def log_proba(self, x: Tensor) -> Tensor:
        """log q(y | x) of standardised rows, (batch, classes)."""
        return torch.log_softmax(self.classifier(self.inputs(x)), -1)

    def encode(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Parameters of q(z | x, y), (batch, n_parameters); without a condition of q(z | x)."""
        condition = torch.exp(self.log_proba(x)) if condition is None else condition
        outputs: Tensor = self.encoder(torch.cat([self.inputs(x), condition], -1))
        return outputs

    def terms(self, x: Tensor, noise: Tensor, condition: Tensor | None = None, *, relaxed: bool = False) -> Terms:
        return self.terms_given(self.encode(x, condition), x, noise, condition, relaxed=relaxed)

    def latent_moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of z under q(y, z | x), (batch, components) each."""
        pairs, _, condition = each_class(x, x.new_zeros(1, 1, 0), self.n_classes)
        mean, scale = self.posterior.mean_and_scale(self.encode(pairs, condition))
        mean, scale = (part.view(self.n_classes, len(x), -1) for part in (mean, scale))
        share = torch.exp(self.log_proba(x)).T.unsqueeze(-1)
        center = (share * mean).sum(0)
        return center, (share * (scale.square() + (mean - center).square())).sum(0).sqrt()

    def class_terms(self, x: Tensor, noise: Tensor) -> Terms:
        """Terms of all pairs of a class and a row, class by class: (draws, classes * batch)."""
        return self.terms(*each_class(x, noise, self.n_classes))

    def _posterior_tracer(self, low_precision: bool) -> Tracer:
        encode = self.encoder.tracer(input_gradient=False, low_precision=low_precision)
        return lambda x, generator, condition: encode(torch.cat([self.inputs(x), condition], -1), generator)

    def label_tracer(self, *, low_precision: bool = False) -> Tracer:
        """``trace(x, generator)`` returns log q(y | x), (batch, classes), and the pullback of its cotangent."""
        trace = log_proba_tracer(self.classifier, low_precision)

        def traced(x: Tensor, generator: Generator | None) -> tuple[Tensor, Pullback]:
            return trace(self.inputs(x), generator)

        return traced
