"""Independent categorical distributions of several sizes, side by side."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F


class Blocks(nn.Module):
    r"""Columns in blocks, one block for each categorical variable and one column for each of its categories.

    Logits l of a block stand for the probabilities :math:`e^{l_k} / \sum_j e^{l_j}`. Variables of different sizes are
    computed on together, in blocks that are filled up to the widest.

    Parameters
    ----------
    sizes : sequence of int
        Number of categories of each variable, at least 1.
    """

    padded: Tensor
    place: Tensor
    first: Tensor
    last: Tensor
    block: Tensor
    category: Tensor

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.n_columns = sum(sizes)
        widest = max(sizes)
        # Columns of each block, filled up with a column that is appended behind the last.
        padded = torch.full((len(sizes), widest), self.n_columns)
        place, first, start = [], [], 0
        for block, size in enumerate(sizes):
            padded[block, :size] = torch.arange(start, start + size)
            place.append(torch.arange(size) + block * widest)
            first.append(start)
            start += size
        buffers = {
            "padded": padded,
            "place": torch.cat(place),
            "first": torch.tensor(first),
            "last": torch.tensor(sizes).unsqueeze(1) - 1,
            "block": torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes), output_size=self.n_columns),
            "category": torch.cat([torch.arange(size) for size in sizes]),
        }
        for name, value in buffers.items():
            self.register_buffer(name, value, persistent=False)

    def arranged(self, values: Tensor, *, fill: float) -> Tensor:
        """Columns arranged in blocks, (..., n_columns) to (..., n_blocks, widest), with a filling."""
        if self.padded.numel() == self.n_columns:
            return values.reshape(*values.shape[:-1], *self.padded.shape)
        filled: Tensor = F.pad(values, (0, 1), value=fill)
        return filled[..., self.padded]

    def columns(self, blocks: Tensor) -> Tensor:
        """Blocks back to columns, without the filling."""
        flat = blocks.flatten(-2)
        return flat if self.padded.numel() == self.n_columns else flat[..., self.place]

    def log_partition(self, logits: Tensor) -> Tensor:
        """Logarithm of the sum of e^l over each block, (..., n_columns) to (..., n_blocks)."""
        return torch.logsumexp(self.arranged(logits, fill=-torch.inf), -1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probability of each category, (..., n_columns)."""
        return self.columns(torch.softmax(self.arranged(logits, fill=-torch.inf), -1))

    def log_probs(self, codes: Tensor, logits: Tensor) -> Tensor:
        """Log-probability of a category of each block, given by its code 0, 1, and so on; (..., n_blocks)."""
        shape = torch.broadcast_shapes(codes.shape[:-1], logits.shape[:-1])
        index = (codes.long() + self.first).expand(*shape, -1)
        chosen = logits.expand(*shape, -1).gather(-1, index)
        return chosen - self.log_partition(logits)

    def mode(self, values: Tensor) -> Tensor:
        """Code of the first largest value of each block, (..., n_columns) to (..., n_blocks), as integers."""
        return self.arranged(values, fill=-torch.inf).argmax(-1)

    def draw(self, probabilities: Tensor, generator: Generator) -> Tensor:
        """Code of a category of each block with given probabilities, by inversion of their sums; integers."""
        sums = self.arranged(probabilities, fill=0.0).cumsum(-1)
        uniform = torch.empty_like(sums[..., :1]).uniform_(generator=generator) * sums[..., -1:]
        # A uniform that was rounded up to the whole sum belongs to the last category.
        return torch.minimum((sums <= uniform).sum(-1, keepdim=True), self.last).squeeze(-1)

    def one_hot(self, codes: Tensor) -> Tensor:
        """Columns that are 1 where a code is, (..., n_blocks) to (..., n_columns), in the dtype of the codes.

        Between two codes they are interpolated, and a code that is NaN has none, so that its columns are 0.
        """
        distance = (codes[..., self.block] - self.category).abs()
        return torch.relu(1 - distance).nan_to_num(0.0)
