"""A generator of rows, and the critic that it learns from."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from skgen.models.base import joined
from skgen.networks import Network, RandomFeatureMLP


class AdversarialModel(nn.Module):
    r"""Rows :math:`x = g(z)` or :math:`g(z, \text{sign } z)`, z standard normal, and a critic T(x): how real they look.

    The model draws by ``average``, a moving average of the weights of the ``generator`` that plays against the critic.
    Rows named ``x`` are standardised, and so are those that the networks give; constant columns are 0 in both.

    With classes, a condition is a row of 0 and 1 for each row. The generator sees it beside z, and the critic has an
    output for each class, which counts for its rows, beside the one that counts for all (Miyato and Koyama 2018,
    https://arxiv.org/abs/1802.05637).

    A trained generator may draw too many rows in one group and too few in another: no small change of its weights
    moves draws from one to the other. With ``ratios``, whose mean r(x) estimates the logarithm of the density of rows
    over that of draws, a draw is accepted with probability

    .. math:: \min(1, e^{s r(x) - c})

    Accepted draws have the density of rows, as far as r is right and s r(x) below the ceiling c (Azadi et al. 2019,
    https://arxiv.org/abs/1810.06758). Ratios are learnt after the generator; until then the slope s is 0 and all draws
    are accepted. The buffer ``accepted`` is the share of draws that are.

    Parameters
    ----------
    critic : Network
        From features to 1 output and one for each class.
    generator, average : Network
        Alike, from components, their signs with ``jumps``, and classes to features.
    encoder : Network or None
        From features to components: the inverse of the generator, where there is one to learn.
    ratios : sequence of RandomFeatureMLP
        Estimates of r, from features to as many outputs as the critic has, used as its are.
    bounded : bool
        Whether columns stay within their range.
    jumps : bool
        Whether generators take the signs of z beside z: without, groups of rows are joined by what lies between them,
        since a continuous function of z has no gaps (Tanielian et al. 2020, https://arxiv.org/abs/2006.04596).
    """

    shift: Tensor
    scale: Tensor
    varying: Tensor
    low: Tensor
    high: Tensor
    slope: Tensor
    ceilings: Tensor
    accepted: Tensor

    def __init__(
        self,
        critic: Network,
        generator: Network,
        average: Network,
        encoder: Network | None = None,
        ratios: Sequence[RandomFeatureMLP] = (),
        *,
        bounded: bool = False,
        jumps: bool = False,
    ) -> None:
        super().__init__()
        self.critic, self.generator, self.average, self.encoder = critic, generator, average, encoder
        self.ratios, self.bounded, self.jumps = nn.ModuleList(ratios), bounded, jumps
        zeros = critic.head[0].new_zeros(critic.n_inputs)
        for name, value in (("shift", 0), ("scale", 1), ("varying", 1), ("low", -1), ("high", 1)):
            self.register_buffer(name, zeros + value)
        self.register_buffer("slope", zeros.new_zeros(()))
        self.register_buffer("ceilings", zeros.new_zeros(max(1, critic.n_outputs - 1)))
        self.register_buffer("accepted", zeros.new_ones(()))

    @property
    def n_latent(self) -> int:
        """Number of latent variables."""
        return (self.generator.n_inputs - (self.critic.n_outputs - 1)) // (1 + self.jumps)

    @property
    def width(self) -> int:
        """Most numbers held per row at once, for sizing tiles."""
        return max(network.width for network in (self.critic, self.generator, *self._estimates()))

    def reset(self, generator: Generator) -> None:
        """Draw initial parameters from the generator of random numbers."""
        for network in (self.critic, self.generator, self.encoder):
            if network is not None:
                network.reset(generator)
        self.average.load_state_dict(self.generator.state_dict())

    def initialize(self, mean: Tensor, spread: Tensor, low: Tensor, high: Tensor, *, common: bool = False) -> None:
        """Set the standardisation from each column's mean, standard deviation (0: constant) and range.

        With ``common`` all columns have one shift and one scale, as the pixels of an image should.
        """
        varying = spread > 0
        if common and bool(varying.any()):
            mean, spread = mean.mean().expand_as(mean), spread.square().mean().sqrt().expand_as(spread)
        scale = spread.where(varying, 1.0)
        for buffer, value in ((self.shift, mean), (self.scale, scale), (self.varying, varying)):
            buffer.copy_(value)
        self.shift.copy_(mean.where(varying, low))
        self.low.copy_((low - self.shift) / self.scale)
        self.high.copy_((high - self.shift) / self.scale)

    def restandardize(self, mean: Tensor, spread: Tensor, low: Tensor, high: Tensor, *, common: bool = False) -> None:
        """Move to a new standardisation; first and last layers change so that the function in user units does not.

        Bounds have no layer that could make up for a change: where rows are bounded, they move with the range.
        """
        shift, scale, varying = self.shift.clone(), self.scale.clone(), self.varying.clone()
        self.initialize(mean, spread, low, high, common=common)
        for network in (self.critic, self.encoder):
            if network is not None:
                network.absorb_input(self.scale / scale, (self.shift - shift) / scale)
        if self.bounded:
            return
        for network in (self.generator, self.average):
            weight, bias = network.head
            ratio = varying * scale / self.scale
            weight.mul_(ratio)
            bias.mul_(ratio).add_((shift - self.shift) / self.scale)

    def standardize(self, rows: Tensor) -> Tensor:
        """Rows in the user's units to standardised rows."""
        return (rows - self.shift) / self.scale

    def unstandardize(self, x: Tensor) -> Tensor:
        """Standardised rows to the user's units."""
        return x * self.scale + self.shift

    def scores(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """The critic's scores of standardised rows, (batch, features) to (batch,)."""
        return self.scored(self.critic(x), condition)

    def scored(self, outputs: Tensor, condition: Tensor | None = None) -> Tensor:
        """Scores from the critic's outputs, (batch, 1 + classes) to (batch,)."""
        scores = outputs[..., 0]
        return scores if condition is None else scores + (outputs[..., 1:] * condition).sum(-1)

    def latent_inputs(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """What generators take, (..., inputs), for latent rows (..., components)."""
        return joined(torch.cat([z, z.sign()], -1) if self.jumps else z, condition)

    def shaped(self, outputs: Tensor) -> Tensor:
        """A generator's outputs as standardised rows: constants where columns are constant, and within bounds."""
        if self.bounded:
            middle, reach = (self.low + self.high) / 2, (self.high - self.low) / 2
            outputs = middle + reach * outputs.tanh()
        return outputs * self.varying

    def drawn(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """The averaged generator's standardised rows for latent ones, (..., components) to (..., features)."""
        return self.shaped(self.average(self.latent_inputs(z, condition)))

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """The same in the user's units."""
        return self.unstandardize(self.drawn(z, condition))

    # -- which draws to accept ----------------------------------------------------------------------------------------

    @property
    def accepts_all(self) -> bool:
        """Whether no draw is ever refused."""
        return float(self.slope) == 0

    def forget_ratios(self, scales: Tensor, generator: Generator) -> None:
        """Accept all draws, and draw new initial parameters of the ratios, with features of such sizes."""
        with torch.no_grad():
            self.accept_all()
            for network in self._estimates():
                network.reset(generator)
                network.draw_features(scales, generator)

    def accept_all(self) -> None:
        """Refuse no draws."""
        for buffer, value in ((self.slope, 0), (self.ceilings, 0), (self.accepted, 1)):
            buffer.fill_(value)

    def _estimates(self) -> list[RandomFeatureMLP]:
        """The ratios with their type, which a list of modules forgets."""
        return [network for network in self.ratios if isinstance(network, RandomFeatureMLP)]

    def log_ratios(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """s r(x): logarithms of the density of rows over that of draws, up to a constant; (..., features) to (...)."""
        outputs = torch.stack([network(x) for network in self._estimates()]).mean(0)
        return self.slope * self.scored(outputs, condition)

    def acceptance(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """The probability of accepting draws, standardised rows (..., features), given classes: (...)."""
        ceiling = self.ceilings[0] if condition is None else condition @ self.ceilings
        return torch.exp((self.log_ratios(x, condition) - ceiling).clamp(max=0))
