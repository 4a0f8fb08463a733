"""All parameters in one buffer, and all their gradients in another."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from skgen.networks.layered import aligned

WIDE = 128
"""Rows of so many numbers need no padding: of those, products lose less than by gaps between rows."""


class Flat(ABC):
    """What an optimiser changes: a vector of parameters, and a vector for the gradient of a loss."""

    value: Tensor
    gradient: Tensor
    held: Tensor | None = None
    """True at the elements that stay as they are, whatever their gradient; None where there are none."""

    @abstractmethod
    def elements(self) -> Tensor:
        """Indices of the elements that change: neither padding nor held."""

    @abstractmethod
    def spans(self) -> tuple[list[slice], list[slice]]:
        """Slices of what weight decay shrinks, and of the rest. Padding, always zero, may be in either."""

    def matrix_mask(self) -> Tensor:
        """A vector with 1 at the elements that weight decay shrinks and 0 at the others, padding among them."""
        decays, elements = torch.zeros_like(self.value), self.elements()
        for span in self.spans()[0]:
            decays[span] = 1
        return torch.zeros_like(self.value).index_copy_(0, elements, decays[elements])


class FlatVector(Flat):
    """A plain vector of parameters, which is changed in place. Nothing decays."""

    def __init__(self, value: Tensor) -> None:
        self.value = value
        self.gradient = torch.zeros_like(value)

    def elements(self) -> Tensor:
        return torch.arange(len(self.value), device=self.value.device)

    def spans(self) -> tuple[list[slice], list[slice]]:
        return [], [slice(0, len(self.value))]


class FlatParameters(Flat):
    """Re-points the parameters of a module, and their gradients, into two flat buffers.

    One buffer makes clearing, clipping and updating single kernel calls, and a copy of the weights one ``clone``.
    Rows of narrow matrices are padded to multiples of 16 numbers, for which products are up to three times faster, and
    a vector as long as the rows of the matrix before it is its next row, so that a layer's weight and bias are one
    matrix. Padding is zero and stays so. Parameters that require no gradient stay where they are.
    """

    def __init__(self, module: nn.Module) -> None:
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        places, size = [], 0
        columns = stride = 0
        for parameter in parameters:
            start = size
            if parameter.dim() == 2:
                start, columns = aligned(size), parameter.shape[1]
                stride = aligned(columns) if columns < WIDE else columns
                size = start + parameter.shape[0] * stride
            elif parameter.dim() == 1 and len(parameter) == columns:
                size = start + stride
                columns = 0
            else:
                start = aligned(size)
                size = start + parameter.numel()
                columns = 0
            places.append((parameter, start, (stride, 1) if parameter.dim() == 2 else _contiguous(parameter)))
        self.value = torch.zeros(size, dtype=parameters[0].dtype, device=parameters[0].device)
        self.gradient = torch.zeros_like(self.value)
        self._places = places
        self._module = module
        for parameter, start, strides in places:
            values = self.value.as_strided(parameter.shape, strides, start)
            values.copy_(parameter.detach())
            parameter.data = values
            parameter.grad = self.gradient.as_strided(parameter.shape, strides, start)

    def elements(self) -> Tensor:
        return self.marks(self._module).nonzero()[:, 0]

    def marks(self, module: nn.Module, masks: Mapping[str, Tensor] | None = None) -> Tensor:
        """True at the elements of the parameters of a part of the module, False at others and at padding.

        Parameters
        ----------
        module : nn.Module
            The module itself, or one inside it.
        masks : mapping of str to Tensor, optional
            By names of ``module.named_parameters()``, nonzero at the elements that are meant, in the parameter's
            shape. Of parameters without a mask none is.
        """
        named = dict(module.named_parameters())
        unknown = set() if masks is None else masks.keys() - named.keys()
        if unknown:
            raise ValueError(f"There is no parameter {', '.join(sorted(unknown))}: the names are {', '.join(named)}.")
        chosen = {
            parameter: True if masks is None else masks[name] != 0
            for name, parameter in named.items()
            if masks is None or name in masks
        }
        marks = torch.zeros_like(self.value, dtype=torch.bool)
        for parameter, start, strides in self._places:
            if parameter in chosen:
                marks.as_strided(parameter.shape, strides, start)[...] = chosen[parameter]
        return marks

    def part(self, *modules: nn.Module) -> "FlatView":
        """The parameters of some modules inside the module, as a vector of their own; see :meth:`marked`."""
        return self.marked(torch.stack([self.marks(module) for module in modules]).any(0))

    def marked(self, marks: Tensor) -> "FlatView":
        """The smallest slice that holds all marked elements, as a vector of its own; the others in it are held.

        Parameters
        ----------
        marks : Tensor of bool, (n_elements of the buffer,)
            Such as :meth:`marks` gives, or several of them joined by ``|``.
        """
        found = marks.nonzero()
        if not len(found):
            raise ValueError("No trainable parameter is marked: there is nothing to change.")
        span = slice(int(found[0]), int(found[-1]) + 1)
        others = self.marks(self._module)[span] & ~marks[span]
        return FlatView(self, span, others if bool(others.any()) else None)

    def spans(self) -> tuple[list[slice], list[slice]]:
        """Slices of matrices, with their padding, and of vectors."""
        ends = [start for _, start, _ in self._places[1:]] + [len(self.value)]
        found: tuple[list[slice], list[slice]] = ([], [])
        for (parameter, start, _), end in zip(self._places, ends, strict=True):
            found[parameter.dim() < 2].append(slice(start, end))
        return found


class FlatView(Flat):
    """A slice of a flat vector and of its gradient, on shared memory, for an optimiser of its own.

    Parameters
    ----------
    whole : Flat
    span : slice
        Its start and stop are indices of the whole, its step is 1.
    held : Tensor of bool, (length of the span,), optional
        True at elements that stay as they are, to the bit.
    """

    def __init__(self, whole: Flat, span: slice, held: Tensor | None = None) -> None:
        self.whole, self.span = whole, span
        self.value, self.gradient = whole.value[span], whole.gradient[span]
        known = [each for each in (held, None if whole.held is None else whole.held[span]) if each is not None]
        self.held = torch.stack(known).any(0) if known else None

    def elements(self) -> Tensor:
        inside = torch.zeros_like(self.whole.value, dtype=torch.bool)
        inside[self.whole.elements()] = True
        inside = inside[self.span]
        return (inside if self.held is None else inside & ~self.held).nonzero()[:, 0]

    def spans(self) -> tuple[list[slice], list[slice]]:
        decaying, others = map(self._inside, self.whole.spans())
        if self.held is not None:
            runs = [run for span in decaying for run in _runs(self.held, span)]
            decaying = [run for run in runs if not self.held[run.start]]
            others = others + [run for run in runs if self.held[run.start]]
        return decaying, others

    def _inside(self, spans: list[slice]) -> list[slice]:
        """The parts of slices of the whole that are in the view, by indices of the view."""
        first, length = self.span.start, len(self.value)
        found = [slice(max(span.start - first, 0), min(span.stop - first, length)) for span in spans]
        return [span for span in found if span.start < span.stop]


def _runs(marks: Tensor, span: slice) -> list[slice]:
    """Slices of a span, within each of which marks are equal."""
    changes = (marks[span].diff().nonzero()[:, 0] + span.start + 1).tolist()
    return [slice(start, stop) for start, stop in pairwise([span.start, *changes, span.stop])]


def _contiguous(parameter: Tensor) -> tuple[int, ...]:
    return torch.empty(parameter.shape, device="meta").stride()
