"""The gradient of a Boltzmann machine's log-likelihood from states of the data and states of the machine."""

from typing import NamedTuple

import torch
from torch import Tensor

from skgen.models.energy import RestrictedBoltzmannMachine
from skgen.networks.products import add_product

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

    Views are made once: of a small machine they would cost as much time as what is done with them.

    Attributes
    ----------
    visible : (n_positive + n_negative + 1, n_visible)
        phi(v) of the data, phi(v) of the chains, and the visible centre.
    hidden : (n_positive + n_negative + 1, n_hidden)
        E[h | v] minus the hidden centre, with signs, and minus the sum of these rows.
    signs : (n_positive + n_negative + 1,)
        Share of each row in the gradient: negative for data, positive for chains, 0 for the last.
    visible_states, hidden_states, shares
        All rows but the last.
    last_visible, last_hidden
        The last row.
    """

    def __init__(self, machine: RestrictedBoltzmannMachine, n_positive: int, n_negative: int) -> None:
        n, like = n_positive + n_negative, machine.weight.detach()
        self.visible = like.new_zeros(n + 1, like.shape[1])
        self.hidden = like.new_zeros(n + 1, like.shape[0])
        self.signs = like.new_zeros(n + 1)
        self.visible_states, self.hidden_states, self.shares = (x[:n] for x in (self.visible, self.hidden, self.signs))
        self.last_visible, self.last_hidden = self.visible[n], self.hidden[n]
        columns = self.visible, self.hidden, self.signs.unsqueeze(1)
        self._phases = [[x[rows] for x in columns] for rows in (slice(n_positive), slice(n_positive, n))]
        for (_, _, signs), share in zip(self._phases, (-1.0 / n_positive, 1.0 / n_negative), strict=True):
            signs.fill_(share)

    def weigh(self, weight: Tensor) -> None:
        """Set the shares of weighted rows, and the mean weight's share of the chains."""
        (*_, positive), (*_, negative) = self._phases
        positive.copy_((weight / -len(positive)).unsqueeze(1))
        negative.copy_(weight.mean() / len(negative))

    def fill(self, machine: RestrictedBoltzmannMachine, phases: tuple[Phase, Phase], center: Tensor | None) -> None:
        """Write the states of both phases, those of h about their centre."""
        inverse = None if machine.log_scale is None else torch.exp(-machine.log_scale.detach())
        for phase, (visible, hidden, signs) in zip(phases, self._phases, strict=True):
            if inverse is None:
                visible.copy_(phase.v)
            else:
                torch.mul(phase.v, inverse, out=visible)
            if center is None:
                torch.mul(phase.hidden_mean, signs, out=hidden)
            else:
                torch.sub(phase.hidden_mean, center, out=hidden).mul_(signs)


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
        self._spaces: dict[tuple[int, int, bool, torch.dtype, torch.device], Workspace] = {}

    def __call__(
        self,
        machine: RestrictedBoltzmannMachine,
        positive: Phase,
        negative: Phase,
        weight: Tensor | None = None,
        centers: Centers | None = None,
    ) -> None:
        """Add the gradient; phases are states and E[h | v] of the data and of the machine."""
        space = self._space(machine, positive.v.shape[0], negative.v.shape[0], weight is not None)
        if weight is not None:
            space.weigh(weight)
        space.fill(machine, (positive, negative), None if centers is None else centers.hidden)
        self._add_scale(machine, space, centers)
        # Signs sum to 0, so that centres of h cancel in this sum.
        to_hidden = space.hidden_states.sum(0)
        hidden_gradient = _gradient(machine.hidden_bias).add_(to_hidden)
        if centers is None:
            visible, hidden, shares = space.visible_states, space.hidden_states.t(), space.shares
        else:
            visible, hidden = space.visible, space.hidden.t()
            space.last_visible.copy_(centers.visible)
            torch.neg(to_hidden, out=space.last_hidden)
            hidden_gradient.addmv_(hidden, torch.mv(visible, centers.visible), alpha=-1)
            shares = torch.addmv(space.signs, space.hidden, centers.hidden, alpha=-1)
        add_product(_gradient(machine.weight), hidden, visible, low_precision=machine.low_precision)
        _gradient(machine.visible_bias).add_(machine.features(torch.mv(visible.t(), shares)).detach())

    def _space(
        self, machine: RestrictedBoltzmannMachine, n_positive: int, n_negative: int, weighted: bool
    ) -> Workspace:
        weight = machine.weight
        key = n_positive, n_negative, weighted, weight.dtype, weight.device
        if key not in self._spaces:
            if len(self._spaces) >= MOST_WORKSPACES:
                self._spaces.clear()
            self._spaces[key] = Workspace(machine, n_positive, n_negative)
        return self._spaces[key]

    @staticmethod
    def _add_scale(machine: RestrictedBoltzmannMachine, space: Workspace, centers: Centers | None) -> None:
        """Gradient of log s, with the ordinary gradient of W."""
        if machine.log_scale is None or machine.log_scale.grad is None:
            return
        weight, bias = machine.weight.detach(), machine.features(machine.visible_bias).detach()
        visible, shares = space.visible_states, space.shares
        to_visible = visible.t() @ shares
        interaction = (weight * (space.hidden_states.t() @ visible)).sum(0)
        if centers is not None:
            interaction += (centers.hidden @ weight) * to_visible
        gradient = visible.square().t() @ shares - 2 * bias * to_visible - interaction
        machine.log_scale.grad.add_(gradient if len(machine.log_scale) > 1 else gradient.sum())


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None, "parameters have no gradient to add to; see FlatParameters"
    return parameter.grad
