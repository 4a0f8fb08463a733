"""Restricted Boltzmann machines: two layers of units and a bilinear coupling."""

import torch
from torch import Generator, Tensor, nn

from skgen.distributions.normal import LOG_2PI, positive_scale
from skgen.networks.products import product, shifted_product
from skgen.units.base import Units, reusable

WEIGHT_SCALE = 0.01
"""Standard deviation of the weights at the start (Hinton 2010)."""


class BoltzmannMachine:
    r"""The law of two layers of units, :math:`p(v, h) = e^{-E(v, h)} / Z`.

    .. math::

        E(v, h) = -\log m(v) - \log m(h) - a \cdot v - b \cdot h - \beta\, h \cdot W v

    with the base measures m of the units. Visible units with a scale s have features :math:`\phi(v) = v / s`, and

    .. math::

        E(v, h) = \sum_i \Big(\frac{(v_i - a_i)^2}{2 s_i^2} + \log s_i + \tfrac12 \log 2 \pi\Big)
        - \log m(h) - b \cdot h - \beta\, h \cdot W (v / s)

    so that v given h is normal with mean :math:`a + s \beta W^T h` and standard deviation s, and :math:`\log Z` is the
    sum of the hidden units' log-partitions where W is 0. All constants are in E.

    Shapes: v (rows, n_visible), h (rows, n_hidden); functions of rows give (rows,). All run under ``no_grad`` or not.

    Attributes
    ----------
    visible, hidden : Units
    weight : Tensor of shape (n_hidden, n_visible)
    visible_bias : Tensor of shape (n_visible,)
        a, in the units of v.
    hidden_bias : Tensor of shape (n_hidden,)
    log_scale : Tensor of shape (n_visible,) or (1,), or None
        log s; None for units without a scale.
    inverse_temperature : float or Tensor of shape (rows, 1)
        beta, the factor of the weights; with a tensor the biases are (rows, n_units) and every row has its own law.
    low_precision : bool
        Whether products of matrices may be taken in bfloat16.
    """

    visible: Units
    hidden: Units
    weight: Tensor
    visible_bias: Tensor
    hidden_bias: Tensor
    log_scale: Tensor | None
    inverse_temperature: float | Tensor = 1.0
    low_precision: bool = False

    @property
    def sigma(self) -> Tensor | None:
        """Standard deviations of v given h, broadcastable to (n_visible,); None for units without a scale."""
        return None if self.log_scale is None else torch.exp(self.log_scale)

    def features(self, v: Tensor) -> Tensor:
        """phi(v): v itself, or v / s where the units have a scale."""
        return v if self.log_scale is None else v * torch.exp(-self.log_scale)

    def coupled(self, v: Tensor) -> Tensor:
        """W phi(v), (rows, n_hidden), without bias and temperature: what functions of v take as ``coupled``."""
        return product(self.features(v), self.weight.t(), low_precision=self.low_precision)

    def hidden_field(self, v: Tensor, coupled: Tensor | None = None) -> Tensor:
        """Natural parameters of h given v, (rows, n_hidden)."""
        if coupled is None:
            return self._affine(self.hidden_bias, self.features(v), self.weight.t())
        return coupled * self.inverse_temperature + self.hidden_bias

    def visible_field(self, h: Tensor) -> Tensor:
        """Natural parameters of phi(v) given h, (rows, n_visible)."""
        return self._affine(self._feature_bias(), h, self.weight)

    def hidden_mean(self, v: Tensor) -> Tensor:
        """E[h | v], (rows, n_hidden)."""
        field = self.hidden_field(v)
        return self.hidden.mean(field, out=reusable(field))

    def visible_mean(self, h: Tensor) -> Tensor:
        """E[v | h], (rows, n_visible)."""
        field = self.visible_field(h)
        return self._from_features(self.visible.mean(field, out=reusable(field)))

    def draw_hidden(self, v: Tensor, generator: Generator) -> Tensor:
        """One draw of h given v, (rows, n_hidden)."""
        return self.hidden.draw(self.hidden_field(v), generator)

    def draw_visible(self, h: Tensor, generator: Generator) -> Tensor:
        """One draw of v given h, (rows, n_visible)."""
        return self._from_features(self.visible.draw(self.visible_field(h), generator))

    def draw_visible_alone(self, n_rows: int, generator: Generator) -> Tensor:
        """Draws of v given h = 0, as if there were no hidden units, (n_rows, n_visible)."""
        return self.draw_visible(self.weight.new_zeros(n_rows, self.hidden.n_units), generator)

    def hidden_mean_and_draw(self, v: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """E[h | v] and a draw of h given v, twice (rows, n_hidden)."""
        return self.hidden.mean_and_draw(self.hidden_field(v), generator)

    def energy(self, v: Tensor, h: Tensor) -> Tensor:
        """E(v, h) of pairs of rows."""
        interaction = (h * self.hidden_field(v)).sum(-1)
        return self.visible_energy(v) - interaction - self.hidden.log_base(h)

    def free_energy(self, v: Tensor, coupled: Tensor | None = None) -> Tensor:
        r"""F(v) = :math:`-\log \int e^{-E(v, h)} dh`, in nats; ``coupled`` is :meth:`coupled` of v, if known."""
        return self.visible_energy(v) - self.hidden.log_partition(self.hidden_field(v, coupled)).sum(-1)

    def hidden_free_energy(self, h: Tensor) -> Tensor:
        r"""G(h) = :math:`-\log \int e^{-E(v, h)} dv`, in nats."""
        sums = self.visible.log_partition(self.visible_field(h)).sum(-1)
        return -(self.hidden.log_base(h) + _dot(h, self.hidden_bias) + sums) + self._offset()

    def visible_energy(self, v: Tensor) -> Tensor:
        """The terms of E that v alone enters."""
        sigma = self.sigma
        if sigma is None:
            return -(_dot(v, self.visible_bias) + self.visible.log_base(v))
        deviation = (v - self.visible_bias) / sigma
        return 0.5 * deviation.square().sum(-1) + self._log_normalizer()

    def independent_log_partition(self) -> Tensor:
        """log Z of the units with W = 0, (), or (rows,) where every row has its own law."""
        visible = self.visible.log_partition(self._feature_bias()).sum(-1)
        return visible - self._offset() + self.hidden.log_partition(self.hidden_bias).sum(-1)

    def is_normalizable(self) -> bool:
        """Whether Z is known to be finite.

        Real visible units with linear or rectified hidden ones need I - W W^T (times beta squared) to be positive
        definite; for rectified units this is sufficient but not necessary. Bounded units are always normalizable.
        """
        if self.log_scale is None or not self.hidden.unbounded:
            return True
        beta = torch.as_tensor(self.inverse_temperature).abs().max()
        return bool(beta.to(self.weight) * torch.linalg.matrix_norm(self.weight.detach(), 2) < 1)

    def require_normalizable(self) -> None:
        """Raise a ValueError that says what to change where Z is infinite."""
        if not self.is_normalizable():
            norm = float(torch.linalg.matrix_norm(self.weight.detach(), 2))
            raise ValueError(
                f"The density of a machine with gaussian visible and unbounded hidden units is normalizable where the "
                f"largest singular value of its weights is below 1, got {norm:.6g}. Scale the weights down, or take "
                f"bernoulli hidden units."
            )

    def _affine(self, bias: Tensor, inputs: Tensor, matrix: Tensor) -> Tensor:
        beta = self.inverse_temperature
        if isinstance(beta, Tensor):
            value = product(inputs, matrix, low_precision=self.low_precision)
            return value.mul_(beta).add_(bias) if reusable(value) is not None else value * beta + bias
        return shifted_product(bias, inputs, matrix, low_precision=self.low_precision, alpha=beta)

    def _feature_bias(self) -> Tensor:
        """The field of phi(v) without hidden units."""
        return self.features(self.visible_bias)

    def _from_features(self, features: Tensor) -> Tensor:
        return features if self.log_scale is None else features * torch.exp(self.log_scale)

    def _log_normalizer(self) -> Tensor:
        assert self.log_scale is not None
        return self.log_scale.expand(self.visible.n_units).sum() + 0.5 * self.visible.n_units * LOG_2PI

    def _offset(self) -> Tensor | float:
        """The part of E that is constant where the features have their base measure."""
        return 0.0 if self.log_scale is None else 0.5 * self._feature_bias().square().sum(-1)


class RestrictedBoltzmannMachine(BoltzmannMachine, nn.Module):
    """A Boltzmann machine with parameters, on standardised rows, with the standardisation as buffers.

    Rows named ``rows`` are in the user's units, v is standardised. Columns of units without a scale stay as they are.

    Parameters
    ----------
    visible, hidden : Units
        The two layers.
    variance : {"feature", "shared", "fixed"}, default="feature"
        Scale of real visible units: one per column, one for all, or 1 in standardised units.
    low_precision : bool, default=False
        Whether products of matrices may be taken in bfloat16.

    References
    ----------
    Hinton (2010), A practical guide to training restricted Boltzmann machines,
    https://www.cs.toronto.edu/~hinton/absps/guideTR.pdf. Melchior, Fischer and Wiskott (2016), How to center deep
    Boltzmann machines, https://jmlr.org/papers/v17/14-237.html.
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self, visible: Units, hidden: Units, *, variance: str = "feature", low_precision: bool = False
    ) -> None:
        super().__init__()
        self.visible = visible
        self.hidden = hidden
        self.low_precision = low_precision
        # The visible bias is as long as the rows of the weights: in flat buffers it is their last row.
        self.weight = nn.Parameter(torch.zeros(hidden.n_units, visible.n_units))
        self.visible_bias = nn.Parameter(torch.zeros(visible.n_units))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden.n_units))
        start = torch.zeros(visible.n_units if variance == "feature" else 1)
        if visible.scaled and variance != "fixed":
            self.log_scale = nn.Parameter(start)
        else:
            self.register_buffer("log_scale", start if visible.scaled else None)
        self.register_buffer("shift", torch.zeros(visible.n_units))
        self.register_buffer("scale", torch.ones(visible.n_units))

    @property
    def width(self) -> int:
        """Most numbers held per row at once, for sizing tiles."""
        return 2 * (self.visible.n_units + self.hidden.n_units)

    def initialize(self, mean: Tensor, scale: Tensor, generator: Generator, *, least: float = 1e-3) -> None:
        """Set standardisation and starting values from each column's mean and standard deviation.

        Visible biases start at the units' mean, of which probabilities are kept from 0 and 1 by ``least``.
        """
        with torch.no_grad():
            if self.visible.scaled:
                self.shift.copy_(mean)
                self.scale.copy_(positive_scale(scale))
            self.visible_bias.copy_(self.visible.initial_bias(self.standardize(mean), least=least))
            self.hidden_bias.zero_()
            drawn = torch.empty(self.weight.shape, dtype=torch.float64)
            self.weight.copy_(drawn.normal_(0, WEIGHT_SCALE, generator=generator))
            if self.log_scale is not None:
                self.log_scale.zero_()

    def standardize(self, rows: Tensor) -> Tensor:
        """Rows in the user's units to visible states."""
        return (rows - self.shift) / self.scale if self.visible.scaled else rows

    def restore(self, v: Tensor) -> Tensor:
        """Visible states to the user's units."""
        return v * self.scale + self.shift if self.visible.scaled else v

    @property
    def log_jacobian(self) -> Tensor:
        """Log-determinant of the standardisation, to add to log-densities of v."""
        return -torch.log(self.scale).sum()


class TemperedMachine(BoltzmannMachine):
    r"""A machine on the way from independent units, at 0, to another machine, at 1, whose weights it shares.

    Weights and hidden biases are multiplied by :math:`\beta`, the visible biases are
    :math:`(1 - \beta) a_0 + \beta a` with the given base bias (in the units of v), and the scale stays.
    :math:`\beta` may be a tensor (rows, 1), one for each row.
    """

    def __init__(self, machine: BoltzmannMachine, inverse_temperature: float | Tensor, base_bias: Tensor) -> None:
        beta = inverse_temperature
        self.visible, self.hidden = machine.visible, machine.hidden
        self.weight, self.log_scale = machine.weight, machine.log_scale
        self.low_precision = machine.low_precision
        self.inverse_temperature = beta * machine.inverse_temperature
        self.hidden_bias = machine.hidden_bias * beta
        self.visible_bias = base_bias + (machine.visible_bias - base_bias) * beta


def _dot(states: Tensor, bias: Tensor) -> Tensor:
    """Products of rows with a bias for all or one for each, (rows,)."""
    return states @ bias if bias.dim() == 1 else (states * bias).sum(-1)
