"""Random numbers as functions of a key, so that a row has the same ones in whatever company it comes."""

import torch
from torch import Tensor

# The constants of SplitMix64 as signed 64-bit numbers, whose products wrap around.
GAMMA = 0x9E3779B97F4A7C15 - 2**64
FIRST = 0xBF58476D1CE4E5B9 - 2**64
SECOND = 0x94D049BB133111EB - 2**64


def _shifted(word: Tensor, places: int) -> Tensor:
    """A word shifted to the right, with zeros on the left: of a signed number torch would repeat the sign."""
    return (word >> places) & ((1 << (64 - places)) - 1)


def _mixed(word: Tensor) -> Tensor:
    word = (word ^ _shifted(word, 30)) * FIRST
    word = (word ^ _shifted(word, 27)) * SECOND
    return word ^ _shifted(word, 31)


def _numbered(first: int, n: int, like: Tensor) -> Tensor:
    return torch.arange(first + 1, first + n + 1, device=like.device) * GAMMA


def row_keys(x: Tensor, seed: int) -> Tensor:
    """A key for each row, (rows, features) to (rows,), int64: a hash of the seed and of the row's values.

    Equal rows have equal keys; different ones, or those of another seed, share one with a chance of about 2^-64.
    """
    # 0 and -0 are equal, and so are missing values whatever their bits.
    x = torch.where(x.isnan(), torch.nan, x + 0.0)
    word = x.contiguous().view(torch.int64 if x.dtype == torch.float64 else torch.int32).long()
    places = _mixed(_mixed(_numbered(0, x.shape[1], word)) + seed)
    return _mixed(_mixed(word ^ places).sum(1))


class Streams:
    """Streams of independent random numbers, one for each of some keys (SplitMix64, Steele et al. 2014).

    https://doi.org/10.1145/2660193.2660195. The numbers of a stream depend on its key and on how many were drawn before
    from it, and on nothing else: neither on the other streams, nor on how many numbers are drawn at a time.

    Parameters
    ----------
    keys : Tensor of shape (...), int64
    """

    def __init__(self, keys: Tensor) -> None:
        self.keys, self.n_drawn = keys, 0

    def branches(self, numbers: range) -> "Streams":
        """Streams (n, ...) that begin anew: branches with some numbers of each, whatever was drawn from it."""
        words = _mixed(_numbered(numbers.start, len(numbers), self.keys) + 1)
        return Streams(_mixed(self.keys ^ words.view(-1, *[1] * self.keys.dim())))

    def uniform(self, n_draws: int) -> Tensor:
        """The next numbers between 0 and 1, both excluded, (..., n_draws); float64, where the device has it."""
        words = _mixed(self.keys.unsqueeze(-1) + _numbered(self.n_drawn, n_draws, self.keys))
        self.n_drawn += n_draws
        # One bit less than a mantissa holds, so that halves between the numbers are numbers too.
        n_bits, dtype = (23, torch.float32) if words.device.type == "mps" else (52, torch.float64)
        return (_shifted(words, 64 - n_bits).to(dtype) + 0.5) * 2.0**-n_bits

    def normal(self, n_draws: int) -> Tensor:
        """The next standard normal numbers, (..., n_draws)."""
        values: Tensor = torch.special.ndtri(self.uniform(n_draws))
        return values

    def normal_draws(self, n_draws: int, n_features: int, like: Tensor) -> Tensor:
        """The next normal vectors of streams (rows,), in the dtype of a tensor, (n_draws, rows, n_features)."""
        return self.normal(n_draws * n_features).view(-1, n_draws, n_features).transpose(0, 1).to(like)
