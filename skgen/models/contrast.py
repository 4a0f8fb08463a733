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
    """States of both phases in one buffer for each layer, with one more row for the centred gradient.

    Attributes
    ----------
    visible : (n_positive + n_negative + 1, n_visible)
        phi(v) of the data, phi(v) of the chains, and the visible centre.
    hidden : (n_positive + n_negative + 1, n_hidden)
        E[h | v] minus the hidden centre, with signs, and minus the sum of these rows.
    signs : (n_positive + n_negative + 1, 1)
        Share of each row in the gradient: negative for data, positive for chains, 0 for the last.
    """

    def __init__(self, machine: "RestrictedBoltzmannMachine", n_positive: int, n_negative: int) -> None:
        n, like = n_positive + n_negative, machine.weight.detach()
        self.n_positive = n_positive
        self.visible = like.new_zeros(n + 1, like.shape[1])
        self.hidden = like.new_zeros(n + 1, like.shape[0])
        self.signs = like.new_zeros(n + 1, 1)
        self.signs[:n_positive] = -1.0 / n_positive
        self.signs[n_positive:n] = 1.0 / n_negative

    def fill(
        self,
        machine: "RestrictedBoltzmannMachine",
        positive: Phase,
        negative: Phase,
        signs: Tensor,
        center: Tensor | None,
    ) -> None:
        """Write the states of both phases, those of h about their centre."""
        start = 0
        inverse = None if machine.log_scale is None else torch.exp(-machine.log_scale.detach())
        for phase in (positive, negative):
            rows = slice(start, start + len(phase.v))
            if inverse is None:
                self.visible[rows].copy_(phase.v)
            else:
                torch.mul(phase.v, inverse, out=self.visible[rows])
            if center is None:
                torch.mul(phase.hidden_mean, signs[rows], out=self.hidden[rows])
            else:
                torch.sub(phase.hidden_mean, center, out=self.hidden[rows]).mul_(signs[rows])
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

    Both phases and the visible centre are one product of depth n_positive + n_negative + 1: hidden states are centred
    before it, and the sum of their rows times the centre is taken off by the last row.
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
        space.fill(machine, positive, negative, signs, None if centers is None else centers.hidden)
        n = len(signs) - 1
        # Signs sum to 0, so that centres of h cancel in this sum.
        to_hidden = space.hidden[:n].sum(0)
        self._add_scale(machine, space, signs, centers)
        if centers is None:
            visible, hidden = space.visible[:n], space.hidden[:n]
            to_visible = visible.t() @ signs[:n, 0]
        else:
            visible, hidden = space.visible, space.hidden
            visible[n] = centers.visible
            torch.neg(to_hidden, out=hidden[n])
            to_hidden.addmv_(hidden.t(), visible @ centers.visible, alpha=-1)
            to_visible = visible.t() @ torch.addmv(signs[:, 0], hidden, centers.hidden, alpha=-1)
        _add_product(_gradient(machine.weight), hidden.t(), visible, machine.low_precision)
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
    def _add_scale(
        machine: "RestrictedBoltzmannMachine", space: Workspace, signs: Tensor, centers: Centers | None
    ) -> None:
        """Gradient of log s, with the ordinary gradient of W."""
        if machine.log_scale is None or machine.log_scale.grad is None:
            return
        n, weight, bias = len(signs) - 1, machine.weight.detach(), machine.features(machine.visible_bias).detach()
        visible, shares = space.visible[:n], signs[:n, 0]
        to_visible = visible.t() @ shares
        interaction = (weight * (space.hidden[:n].t() @ visible)).sum(0)
        if centers is not None:
            interaction += (centers.hidden @ weight) * to_visible
        gradient = visible.square().t() @ shares - 2 * bias * to_visible - interaction
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
