"""Bounds for rows of which some have a class and some have none."""

from typing import NamedTuple

import torch
from torch import Tensor

from skgen._terms import Cotangents, Terms
from skgen.objectives.base import Objective


class LabelledTerms(NamedTuple):
    """What the bound of some rows is made of."""

    pairs: Terms
    """Terms of log p(x | y): of every row with every class, class by class, or of every row with its own class."""
    log_proba: Tensor
    """log q(y | x), (batch, classes)"""
    target: Tensor
    """1 at the class of a row, else 0; all 0 where it is unknown; (batch, classes)"""

    def compute(self) -> None:
        """Compute every term now, before what it is computed from is overwritten."""
        self.pairs.compute()

    @property
    def unlabelled(self) -> Tensor:
        """1 for rows without a class, else 0, (batch, 1)."""
        return 1 - self.target.sum(-1, keepdim=True)

    @property
    def share(self) -> Tensor:
        """What each class counts of a row: q(y | x), or all of the known one, (batch, classes)."""
        return self.target + self.unlabelled * torch.exp(self.log_proba)


class SemiSupervised:
    r"""Bound on log p(x, y) of rows with a class and on log p(x) of the others.

    Kingma et al. (2014), https://arxiv.org/abs/1406.5298:

    .. math::

        \log p(y) + L(x, y) + \alpha \log q(y \mid x)
        \quad\text{or}\quad
        \sum_y q(y \mid x) \big( L(x, y) + \log p(y) - \log q(y \mid x) \big)

    :math:`L(x, y)` is an objective's bound on log p(x | y). The sum over classes is exact. The term with
    :math:`\alpha` is no part of the bound: without it q(y | x) would learn nothing from rows with a class.

    Parameters
    ----------
    objective : Objective
        The bound on log p(x | y).
    log_class_prior : Tensor of shape (classes,)
        log p(y).
    classification_weight : float
        The weight :math:`\alpha` for each row with a class, if all had one.
    rows_per_label : float
        Number of rows for each that has a class: :math:`\alpha` is so many times that weight.
    """

    monitor = "objective"

    def __init__(
        self, objective: Objective, log_class_prior: Tensor, classification_weight: float, rows_per_label: float = 1.0
    ) -> None:
        self.objective = objective
        self.log_class_prior = log_class_prior
        self.classification_weight = classification_weight
        self.rows_per_label = rows_per_label

    @property
    def unitless(self) -> frozenset[str]:
        """Entries of the report that do not depend on the units of the rows."""
        return self.objective.unitless | {"log_proba"}

    def scheduled(self, kl_weight: float) -> dict[str, float]:
        """What changes with the schedule of the KL, by its name in the history."""
        return self.objective.scheduled(kl_weight)

    @staticmethod
    def _expected(values: Tensor, terms: LabelledTerms) -> Tensor:
        """Means over the classes of values of pairs, (batch,)."""
        if len(values) == len(terms.target):
            return values
        return (terms.share * values.view(terms.target.shape[1], -1).T).sum(-1)

    def _class_kl(self, terms: LabelledTerms) -> Tensor:
        """KL(q(y | x) || p(y)) of rows without a class, -log p(y) of the others, (batch,)."""
        return (terms.share * (terms.unlabelled * terms.log_proba - self.log_class_prior)).sum(-1)

    def _known_log_proba(self, terms: LabelledTerms) -> Tensor:
        """log q(y | x) of known classes, 0 where there is none; its mean over rows is that over those with a class."""
        return self.rows_per_label * (terms.target * terms.log_proba).sum(-1)

    def __call__(self, terms: LabelledTerms, kl_weight: float) -> Tensor:
        """Value of each row, (batch,), with the KL of z weighted by ``kl_weight``."""
        bound = self._expected(self.objective(terms.pairs, kl_weight), terms) - self._class_kl(terms)
        return bound + self.classification_weight * self._known_log_proba(terms)

    def report(self, terms: LabelledTerms) -> dict[str, Tensor]:
        """The objective's report with the classes in its bounds and in its KL, log q(y | x) of known classes, and both.

        Every entry is (batch,), at weight 1 of the KL.
        """
        class_kl = self._class_kl(terms)
        report = {}
        for name, values in self.objective.report(terms.pairs).items():
            sign = {"reconstruction": 0, "kl": 1}.get(name, -1)
            report[name] = self._expected(values, terms) + sign * class_kl
        log_proba = self._known_log_proba(terms)
        value = report[self.objective.monitor] + self.classification_weight * log_proba
        return report | {"log_proba": log_proba, self.monitor: value}

    def cotangents(self, terms: LabelledTerms, kl_weight: float) -> tuple[Cotangents, Tensor, Tensor]:
        """Derivatives of the sum over rows.

        Returns
        -------
        cotangents : Cotangents
            Of each pair's bound by its terms.
        share : Tensor of shape (pairs,)
            Of the value by each pair's bound.
        to_log_proba : Tensor of shape (batch, classes)
            Of the value by log q(y | x).
        """
        cotangents = self.objective.cotangents(terms.pairs, kl_weight)
        to_log_proba = self.classification_weight * self.rows_per_label * terms.target
        bounds = self.objective(terms.pairs, kl_weight)
        if len(bounds) == len(terms.target):
            return cotangents, torch.ones_like(bounds), to_log_proba
        value = bounds.view(terms.target.shape[1], -1).T + self.log_class_prior - terms.log_proba - 1
        to_log_proba = to_log_proba + terms.unlabelled * torch.exp(terms.log_proba) * value
        return cotangents, terms.share.T.reshape(-1), to_log_proba
