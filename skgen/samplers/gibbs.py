"""Block Gibbs sampling of two layers, with one chain per row."""

from typing import NamedTuple, Protocol

import torch
from torch import Generator, Tensor


class TwoLayers(Protocol):
    """A law of two layers whose units are independent given the other layer."""

    def draw_hidden(self, v: Tensor, generator: Generator) -> Tensor:
        """One draw of h given v, (rows, n_visible) to (rows, n_hidden)."""

    def draw_visible(self, h: Tensor, generator: Generator) -> Tensor:
        """One draw of v given h, (rows, n_hidden) to (rows, n_visible)."""

    def hidden_mean_and_draw(self, v: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """E[h | v] and one draw of h given v, (rows, n_visible) to twice (rows, n_hidden)."""


class State(NamedTuple):
    """Where the chains are.

    Attributes
    ----------
    v : Tensor of shape (rows, n_visible)
    h : Tensor of shape (rows, n_hidden)
        A draw given v.
    hidden_mean : Tensor of shape (rows, n_hidden)
        E[h | v], which h was drawn with.
    """

    v: Tensor
    h: Tensor
    hidden_mean: Tensor


def init(model: TwoLayers, v: Tensor, generator: Generator) -> State:
    """Chains at some visible states, with hidden states drawn given them."""
    mean, h = model.hidden_mean_and_draw(v, generator)
    return State(v, h, mean)


def step(model: TwoLayers, state: State, generator: Generator, clamp: Tensor | None = None) -> State:
    """Draw v given h, then h given v; leaves the joint law of the model invariant.

    Where ``clamp`` (rows, n_visible) is true, v stays as it is: the chain then has the law of the other cells given
    these. A block of one-hot columns is clamped as a whole.
    """
    v = model.draw_visible(state.h, generator)
    return init(model, v if clamp is None else torch.where(clamp, state.v, v), generator)


def walk(model: TwoLayers, h: Tensor, n_steps: int, generator: Generator) -> Tensor:
    """The visible states that some steps, at least one, lead to from hidden ones, (rows, n_hidden)."""
    for _ in range(n_steps - 1):
        h = model.draw_hidden(model.draw_visible(h, generator), generator)
    return model.draw_visible(h, generator)
