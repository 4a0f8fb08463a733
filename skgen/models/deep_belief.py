"""Deep belief networks: a Boltzmann machine on top of layers of units that are drawn downwards."""

from collections.abc import Sequence
from copy import deepcopy
from itertools import pairwise

import torch
from torch import Generator, Tensor, nn

from skgen.distributions.bernoulli import bernoulli_draw
from skgen.models.energy import BoltzmannMachine, RestrictedBoltzmannMachine
from skgen.networks.products import product


def visible_log_prob(machine: BoltzmannMachine, v: Tensor, h: Tensor) -> Tensor:
    """log p(v | h) of pairs of rows, (rows,)."""
    field, features = machine.visible_field(h), machine.features(v)
    value = machine.visible.log_base(features) + (features * field).sum(-1)
    value = value - machine.visible.log_partition(field).sum(-1)
    return value if machine.log_scale is None else value - machine.log_scale.expand(v.shape[-1]).sum()


def hidden_log_prob(machine: BoltzmannMachine, field: Tensor, h: Tensor) -> Tensor:
    """log p(h | v) of rows given the fields of their hidden units, (rows,)."""
    return machine.hidden.log_base(h) + (h * field).sum(-1) - machine.hidden.log_partition(field).sum(-1)


def add_generation_gradient(
    machine: RestrictedBoltzmannMachine, v: Tensor, h: Tensor, weight: Tensor | None = None
) -> None:
    """Add the gradient of minus the mean of log p(v | h) to ``.grad``; weights are those of rows."""
    features = machine.features(v)
    deviation = _averaged(features - machine.visible.mean(machine.visible_field(h)), weight)
    _add(machine.weight, product(h.t(), deviation))
    if machine.log_scale is None:
        _add(machine.visible_bias, deviation.sum(0))
        return
    _add(machine.visible_bias, deviation.sum(0) * torch.exp(-machine.log_scale))
    if isinstance(machine.log_scale, nn.Parameter):
        share = 1.0 if weight is None else weight.mean()
        by_scale = (deviation * (features - machine.features(machine.visible_bias))).sum(0) - share
        _add(machine.log_scale, by_scale if len(machine.log_scale) > 1 else by_scale.sum(0, keepdim=True))


def add_recognition_gradient(
    machine: RestrictedBoltzmannMachine, v: Tensor, h: Tensor, weight: Tensor | None = None
) -> None:
    """Add the gradient of minus the mean of log p(h | v) to ``.grad``, that by the scale of v apart."""
    deviation = _averaged(h - machine.hidden_mean(v), weight)
    _add(machine.weight, product(deviation.t(), machine.features(v)))
    _add(machine.hidden_bias, deviation.sum(0))


def _averaged(deviation: Tensor, weight: Tensor | None) -> Tensor:
    return deviation.mul_(1 / len(deviation) if weight is None else weight.unsqueeze(-1) / len(deviation))


def _add(parameter: Tensor, ascent: Tensor) -> None:
    assert parameter.grad is not None
    parameter.grad.sub_(ascent)


class DeepBeliefNetwork(nn.Module):
    r"""Layers of binary units over visible ones, of which the two on top are a Boltzmann machine.

    .. math:: p(v, h_1, \dots, h_L) = p(v \mid h_1) \cdots p(h_{L-2} \mid h_{L-1}) \, p_{top}(h_{L-1}, h_L)

    with L - 1 directed layers. The posterior of their units is approximated upwards, layer by layer, by independent
    units, :math:`q(h_1 \mid v) \cdots q(h_{L-1} \mid h_{L-2})`. Both directions of a layer start from one machine that
    was learnt greedily, and may then go apart. Only p(v | h) of ``generation`` and p(h | v) of ``recognition`` are
    used.

    Parameters
    ----------
    recognition, generation : sequences of RestrictedBoltzmannMachine
        The directed layers, bottom to top; their hidden units are binary.
    top : RestrictedBoltzmannMachine

    References
    ----------
    Hinton, Osindero and Teh (2006), A fast learning algorithm for deep belief nets,
    https://doi.org/10.1162/neco.2006.18.7.1527. Salakhutdinov and Murray (2008), On the quantitative analysis of deep
    belief networks, https://doi.org/10.1145/1390156.1390266.
    """

    recognition: nn.ModuleList
    generation: nn.ModuleList

    def __init__(
        self,
        recognition: Sequence[RestrictedBoltzmannMachine],
        generation: Sequence[RestrictedBoltzmannMachine],
        top: RestrictedBoltzmannMachine,
    ) -> None:
        super().__init__()
        self.recognition, self.generation = nn.ModuleList(recognition), nn.ModuleList(generation)
        self.top = top
        for lower, upper in pairwise([*self._recognition, top]):
            assert lower.hidden.n_units == upper.visible.n_units

    @classmethod
    def stacked(cls, machines: Sequence[RestrictedBoltzmannMachine]) -> "DeepBeliefNetwork":
        """The network of machines, bottom to top, each learnt from the hidden units of the one below."""
        *lower, top = machines
        return cls(lower, [deepcopy(machine) for machine in lower], top)

    @property
    def _recognition(self) -> list[RestrictedBoltzmannMachine]:
        return [each for each in self.recognition if isinstance(each, RestrictedBoltzmannMachine)]

    @property
    def _generation(self) -> list[RestrictedBoltzmannMachine]:
        return [each for each in self.generation if isinstance(each, RestrictedBoltzmannMachine)]

    @property
    def machines(self) -> list[RestrictedBoltzmannMachine]:
        """The machines that lead upwards, the top included, bottom to top."""
        return [*self._recognition, self.top]

    @property
    def bottom(self) -> RestrictedBoltzmannMachine:
        """The machine that reads rows, which knows their standardisation."""
        return self.machines[0]

    @property
    def n_drawn(self) -> list[int]:
        """Number of units of each layer that is drawn in going up, bottom to top."""
        return [machine.hidden.n_units for machine in self._recognition]

    @property
    def width(self) -> int:
        """Most numbers held per row and draw at once, for sizing tiles."""
        sizes = [self.bottom.visible.n_units, *self.n_drawn, self.top.visible.n_units, self.top.hidden.n_units]
        return 4 * max(a + b for a, b in pairwise(sizes))

    @property
    def shift(self) -> Tensor:
        """What is subtracted from rows."""
        return self.bottom.shift

    @property
    def scale(self) -> Tensor:
        """What rows are then divided by."""
        return self.bottom.scale

    def standardize(self, rows: Tensor) -> Tensor:
        """Rows in the user's units to visible states."""
        return self.bottom.standardize(rows)

    def restore(self, v: Tensor) -> Tensor:
        """Visible states to the user's units."""
        return self.bottom.restore(v)

    @property
    def log_jacobian(self) -> Tensor:
        """Log-determinant of the standardisation, to add to log-densities of v."""
        return self.bottom.log_jacobian

    # -- up and down --------------------------------------------------------------------------------------------

    def encode(self, v: Tensor, n_layers: int) -> Tensor:
        """Means of the units of a layer, each given the means of the layer below, (rows, units)."""
        for machine in self.machines[:n_layers]:
            v = machine.hidden_mean(v)
        return v

    def decode(self, h: Tensor, n_layers: int) -> Tensor:
        """Means of the visible units given those of a layer, from layer to layer, (rows, n_visible)."""
        for machine in reversed([*self._generation, self.top][:n_layers]):
            h = machine.visible_mean(h)
        return h

    def ascend(self, v: Tensor, generator: Generator, *, shared: bool = False) -> list[Tensor]:
        """Draws of all layers up to the visible units of the top, bottom to top, v first.

        With ``shared`` equal rows draw alike, so that a row's weight means its repetition.
        """
        states = [v]
        for machine in self._recognition:
            states.append(bernoulli_draw(machine.hidden_mean(states[-1]), generator, shared=shared))
        return states

    def descend(self, h: Tensor, generator: Generator) -> list[Tensor]:
        """Draws of all layers below the visible units h of the top, bottom to top, h last."""
        states = [h]
        for machine in reversed(self._generation):
            states.insert(0, machine.draw_visible(states[0], generator))
        return states

    # -- bound --------------------------------------------------------------------------------------------------

    def log_weights(self, v: Tensor, uniforms: Sequence[Tensor]) -> Tensor:
        r"""log p(v, h) + log Z of the top - log q(h | v) at draws of q, (draws, rows).

        Its mean over draws, less log Z, is the variational bound, and that of its exponential is p(v) Z. Entropies of
        q are known exactly, but log q at the draws varies together with log p: where q is the posterior,
        as it is for two machines with the same weights the one upside down, all draws give log p(v).

        Parameters
        ----------
        v : (rows, n_visible)
        uniforms : tensors of shape (draws, 1 or rows, units)
            One for each layer that is drawn, in (0, 1); a unit is 1 where its own is below its probability.
        """
        n_draws, n_rows = uniforms[0].shape[0] if uniforms else 1, len(v)
        total = v.new_zeros(n_draws * n_rows)
        field = self.bottom.hidden_field(v).repeat(n_draws, 1) if uniforms else None
        v = v.repeat(n_draws, 1)
        for up, down, uniform in zip(self._recognition, self._generation, uniforms, strict=True):
            field = up.hidden_field(v) if field is None else field
            h = (uniform < up.hidden.mean(field).view(n_draws, n_rows, -1)).to(v.dtype).flatten(0, 1)
            total = total + visible_log_prob(down, v, h) - hidden_log_prob(up, field, h)
            v, field = h, None
        return (total - self.top.free_energy(v)).view(n_draws, n_rows)

    # -- wake and sleep -----------------------------------------------------------------------------------------

    def wake(
        self, v: Tensor, generator: Generator, weight: Tensor | None = None, *, shared: bool = False
    ) -> list[Tensor]:
        """Draw upwards and add the gradient of minus the mean log p of what is drawn downwards given what is above.

        With that of the top at the last of the states returned, its visible units, it is an unbiased gradient of minus
        the variational bound by all but the recognition parameters. ``shared`` is as in :meth:`ascend`.
        """
        states = self.ascend(v, generator, shared=shared)
        for machine, (below, above) in zip(self._generation, pairwise(states), strict=True):
            add_generation_gradient(machine, below, above, weight)
        return states

    def sleep(self, h: Tensor, generator: Generator) -> list[Tensor]:
        """Draw downwards from states of the top's visible units and add the gradient of minus the mean log q.

        Where they are draws of the top, it is an unbiased gradient of E_p[-log q(h | v)] by the recognition
        parameters, which makes q the model's posterior (and not the gradient of the bound).
        """
        states = self.descend(h, generator)
        for machine, (below, above) in zip(self._recognition, pairwise(states), strict=True):
            add_recognition_gradient(machine, below, above)
        return states

    def generation_log_prob(self, states: Sequence[Tensor]) -> Tensor:
        """log p of the states of all layers but the last, given those, (rows,); bottom to top."""
        pairs = zip(self._generation, pairwise(states), strict=True)
        return sum((visible_log_prob(machine, *pair) for machine, pair in pairs), states[0].new_zeros(len(states[0])))

    def recognition_log_prob(self, states: Sequence[Tensor]) -> Tensor:
        """log q of the states of all layers but the first, given that, (rows,); bottom to top."""
        total = states[0].new_zeros(len(states[0]))
        for machine, (below, above) in zip(self._recognition, pairwise(states), strict=True):
            total = total + hidden_log_prob(machine, machine.hidden_field(below), above)
        return total
