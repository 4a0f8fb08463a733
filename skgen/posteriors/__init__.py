"""Posteriors q(z | x): families whose parameters a network gives.

To add one, write a file with spec and module and name the spec in ``POSTERIORS``; contract tests run over the table.
"""

from skgen.posteriors.base import Draw, Posterior, PosteriorSpec
from skgen.posteriors.boxed import BoxedPosterior
from skgen.posteriors.categorical import CategoricalPosterior
from skgen.posteriors.diagonal import Diagonal, DiagonalPosterior
from skgen.posteriors.flow import Flow, FlowPosterior
from skgen.posteriors.full import Full, FullPosterior

POSTERIORS: dict[str, type[PosteriorSpec]] = {"diagonal": Diagonal, "full": Full, "flow": Flow}

__all__ = [
    "POSTERIORS",
    "BoxedPosterior",
    "CategoricalPosterior",
    "Diagonal",
    "DiagonalPosterior",
    "Draw",
    "Flow",
    "FlowPosterior",
    "Full",
    "FullPosterior",
    "Posterior",
    "PosteriorSpec",
]
