"""The gradient of a Boltzmann machine's log-likelihood from states of the data and states of the machine."""

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from skgen.networks.products import low_precision_product

if TYPE_CHECKING:
    from skgen.models.energy import RestrictedBoltzmannMachine

MOST_WORKSPACES = 4
"""Buffers are kept for so many pairs of numbers of rows; a run has at most three."""


class Centers(NamedTuple):
    """Offsets of the centred gradient: of the visible features phi(v), (n_visible,), and of h, (n_hidden,)."""

    visible: Tensor
    hidden: Tensor


class Phase(NamedTuple):
    """Visible states (rows, n_visible) of the data or of chains, and E[h | v] of each, (rows, n_hidden)."""

    v: Tensor
    hidden_mean: Tensor


class Workspace:
    """States of both phases in one buffer for each layer, with two more rows for the centres.

    Attributes
    ----------
    visible : (n_positive + n_negative + 2, n_visible)
        phi(v) of the data, phi(v) of the chains, the difference of their means, and the visible centres.
    hidden : (n_positive + n_negative + 2, n_hidden)
        E[h | v] with signs, minus the hidden centres, and minus the difference of the means.
    signs : (n_positive + n_negative, 1)
        Share of each row in the gradient: negative for data, positive for chains.
    """

    def __init__(self, machine: "RestrictedBoltzmannMachine", n_positive: int, n_negative: int) -> None:
        n, like = n_positive + n_negative, machine.weight.detach()
        self.n_positive = n_positive
        self.visible = like.new_zeros(n + 2, like.shape[1])
        self.hidden = like.new_zeros(n + 2, like.shape[0])
        self.signs = like.new_empty(n, 1)
        self.signs[:n_positive] = -1.0 / n_positive
        self.signs[n_positive:] = 1.0 / n_negative

    def fill(self, machine: "RestrictedBoltzmannMachine", positive: Phase, negative: Phase, signs: Tensor) -> None:
        """Write the states of both phases."""
        start = 0
        inverse = None if machine.log_scale is None else torch.exp(-machine.log_scale.detach())
        for phase in (positive, negative):
            rows = slice(start, start + len(phase.v))
            if inverse is None:
                self.visible[rows].copy_(phase.v)
            else:
                torch.mul(phase.v, inverse, out=self.visible[rows])
            torch.mul(phase.hidden_mean, signs[rows], out=self.hidden[rows])
            start = rows.stop


class Contrast:
    r"""Adds the gradient of minus the mean log-likelihood to the ``.grad`` of a machine's parameters.

    With :math:`\langle\cdot\rangle` the mean over the states of a phase, ordinary gradients are

    .. math::

        -\big(\langle h \phi^T \rangle_{data} - \langle h \phi^T \rangle_{model}\big), \quad
        -\big(\langle h \rangle_{data} - \langle h \rangle_{model}\big), \quad
        -\big(\langle \phi \rangle_{data} - \langle \phi \rangle_{model}\big) / s

    of W, b and a. With centres :math:`\mu` and :math:`\lambda` the first is
    :math:`G = -(\langle (h - \lambda)(\phi - \mu)^T \rangle_{data} - \langle \cdot \rangle_{model})`, and the
    others lose :math:`G \mu` and :math:`G^T \lambda / s` (Melchior, Fischer and Wiskott 2016,
    https://jmlr.org/papers/v17/14-237.html). Parameters stay in the ordinary parametrisation.

    A weight (n_positive,) multiplies each row of the data, and the mean weight multiplies the states of the machine:
    the gradient of the weighted sum of minus log-likelihoods, divided by the number of rows.

    Both phases and both centres are one product of depth n_positive + n_negative + 2.
    """

    def __init__(self) -> None:
        self._spaces: dict[tuple[int, int, torch.dtype, torch.device], Workspace] = {}

    def __call__(
        self,
        machine: "RestrictedBoltzmannMachine",
        positive: Phase,
        negative: Phase,
        weight: Tensor | None = None,
        centers: Centers | None = None,
    ) -> None:
        """Add the gradient; phases are states and E[h | v] of the data and of the machine."""
        space = self._space(machine, len(positive.v), len(negative.v))
        signs = space.signs if weight is None else _weighted(space.signs, weight)
        space.fill(machine, positive, negative, signs)
        n = len(signs)
        to_visible = space.visible[:n].t() @ signs.squeeze(1)
        to_hidden = space.hidden[:n].sum(0)
        self._add_scale(machine, space, signs, to_visible)
        if centers is not None:
            space.visible[n] = to_visible
            space.visible[n + 1] = centers.visible
            torch.neg(centers.hidden, out=space.hidden[n])
            torch.neg(to_hidden, out=space.hidden[n + 1])
            to_hidden = to_hidden - space.hidden.t() @ (space.visible @ centers.visible)
            to_visible = to_visible - space.visible.t() @ (space.hidden @ centers.hidden)
            n += 2
        _add_product(_gradient(machine.weight), space.hidden[:n].t(), space.visible[:n], machine.low_precision)
        _gradient(machine.hidden_bias).add_(to_hidden)
        _gradient(machine.visible_bias).add_(machine.features(to_visible).detach())

    def _space(self, machine: "RestrictedBoltzmannMachine", n_positive: int, n_negative: int) -> Workspace:
        key = (n_positive, n_negative, machine.weight.dtype, machine.weight.device)
        if key not in self._spaces:
            if len(self._spaces) >= MOST_WORKSPACES:
                self._spaces.clear()
            self._spaces[key] = Workspace(machine, n_positive, n_negative)
        return self._spaces[key]

    @staticmethod
    def _add_scale(machine: "RestrictedBoltzmannMachine", space: Workspace, signs: Tensor, to_visible: Tensor) -> None:
        """Gradient of log s, with the ordinary gradient of W."""
        if machine.log_scale is None or machine.log_scale.grad is None:
            return
        n, bias = len(signs), machine.features(machine.visible_bias).detach()
        squares = space.visible[:n].square().t() @ signs.squeeze(1) - 2 * bias * to_visible
        interaction = (machine.weight.detach() * (space.hidden[:n].t() @ space.visible[:n])).sum(0)
        gradient = squares - interaction
        machine.log_scale.grad.add_(gradient if len(machine.log_scale) > 1 else gradient.sum())


def _weighted(signs: Tensor, weight: Tensor) -> Tensor:
    n = len(weight)
    return torch.cat([signs[:n] * weight.unsqueeze(1), signs[n:] * weight.mean()])


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None, "parameters have no gradient to add to; see FlatParameters"
    return parameter.grad


def _add_product(out: Tensor, a: Tensor, b: Tensor, low_precision: bool) -> None:
    if low_precision:
        out.add_(low_precision_product(a, b))
    else:
        out.addmm_(a, b)
